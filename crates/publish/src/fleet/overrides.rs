//! Entries below `devices:` over devices that an inventory declares, so that one device can be held without a
//! column for all.

use std::collections::HashMap;

use super::raw_device::RawDevice;
use crate::diag::Span;

/// All devices, with the entries applied whose device is in an inventory and has no other IMEI there; the
/// rest of such entries are duplicates.
pub(super) fn apply(entries: Vec<RawDevice>, mut inventories: Vec<RawDevice>) -> Vec<RawDevice> {
    if entries.is_empty() || inventories.is_empty() {
        return [entries, inventories].concat();
    }
    let mut by_id = HashMap::with_capacity(entries.len());
    for entry in entries.iter().rev() {
        by_id.insert(entry.client_id.text.clone(), entry.client_id.span);
    }
    let mut entries: HashMap<Span, RawDevice> =
        entries.into_iter().map(|entry| (entry.client_id.span, entry)).collect();
    for device in &mut inventories {
        let Some(span) = by_id.get(&device.client_id.text) else { continue };
        let imei = device.imei.as_ref().unwrap_or(&device.client_id);
        let is_same = |entry: &RawDevice| entry.imei.as_ref().is_none_or(|own| own.text == imei.text);
        if entries.get(span).is_some_and(is_same)
            && let Some(entry) = entries.remove(span)
        {
            device.override_with(entry);
        }
    }
    inventories.extend(entries.into_values());
    inventories
}
