//! `withdrawn`: releases that nobody is to be sent again.

use std::collections::BTreeMap;

use super::raw::Node;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic, Span};
use otapress_core::version::Version;

/// Why a release is withdrawn, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The operator's reason.
    pub reason: String,
    pub(crate) span: Span,
}

pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> BTreeMap<Version, Withdrawal> {
    let at = node.span;
    let mut withdrawn = BTreeMap::new();
    for (key, node) in reader.entries(node, "`withdrawn`", at).unwrap_or_default() {
        let version = reader.parse::<Version>(&key, "a version", Code::BadVersion);
        let Some(reason) = reader.text(node, "the reason") else { continue };
        if reason.text.trim().is_empty() {
            let message = format!("release `{}` is withdrawn without a reason", key.text);
            let hint = "say why: operators read it when they want to go back to the release";
            reader.report(Diagnostic::new(Code::BadValue, key.span, message).hint(hint));
        }
        let Some(version) = version else { continue };
        let withdrawal = Withdrawal { reason: reason.text.into(), span: key.span };
        if withdrawn.insert(version, withdrawal).is_some() {
            let message = format!("release `{}` is withdrawn twice", key.text);
            reader
                .report(Diagnostic::new(Code::DuplicateKey, key.span, message).hint("remove one of the two"));
        }
    }
    withdrawn
}
