//! `limits`: how long what a device is told may be.

use super::keys;
use super::raw::Node;
use super::reader::Reader;

/// How long what the modem is told may be before there is a warning, in characters; and what a device may be
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// otapURI and notifyURI, expanded.
    pub url: usize,
    /// otapUser.
    pub user: usize,
    /// otapPassword.
    pub password: usize,
    /// apn.
    pub apn: usize,
    /// What a device is sent at a version check, in bytes; more is an error.
    pub answer: u64,
    /// A JAD without its signature and certificates, in bytes; more is an error.
    pub jad: u64,
}

impl Default for Limits {
    /// What is believed of Cinterion modules; unconfirmed, hence warnings only.
    fn default() -> Self {
        Limits { url: 100, user: 32, password: 32, apn: 100, answer: 2_000, jad: 4_000 }
    }
}

pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Limits {
    let mut limits = Limits::default();
    let at = node.span;
    if let Some(mut fields) = reader.fields(node, keys::LIMITS, "`limits`", at) {
        let Limits { url, user, password, apn, answer, jad } = &mut limits;
        for (name, limit) in [("answer", answer), ("jad", jad)] {
            let size = fields.take(name).and_then(|node| reader.size(node, name));
            *limit = size.unwrap_or(*limit);
        }
        for (name, limit) in [("url", url), ("user", user), ("password", password), ("apn", apn)] {
            let number =
                fields.take(name).and_then(|node| reader.number(node, &format!("`{name}`"), 1, 1000));
            *limit = number.map_or(*limit, |number| number as usize);
        }
    }
    limits
}
