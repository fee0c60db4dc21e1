//! `unproven` of a channel: how many devices may have been sent the release without having proven it.

use super::keys;
use super::raw::{Node, Value};
use super::reader::Reader;
use super::scalars::BasisPoints;
use crate::diag::Code;
use otapress_core::wire::{Limit, Places};

pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Option<Limit> {
    if matches!(node.value, Value::Scalar(_)) {
        let word = reader.text(node, "`unproven`")?;
        if &*word.text == "unlimited" {
            return Some(Limit::Unlimited);
        }
        reader.bad_value(&word, "`unproven`", "`{ least: 3, share: 10% }`, or `unlimited`");
        return None;
    }
    let at = node.span;
    let mut fields = reader.fields(node, keys::UNPROVEN, "`unproven`", at)?;
    let least = fields
        .take("least")
        .map_or(Some(Places::DEFAULT.least), |node| reader.number(node, "`least`", 1, 1_000_000));
    let share = fields.take("share").map_or(Some(Places::DEFAULT.share_bp), |node| {
        let percent = reader.parsed::<BasisPoints>(node, "a percentage", Code::BadValue);
        percent.map(|(points, _)| points.get())
    });
    Some(Limit::Places(Places { least: least?, share_bp: share? }))
}
