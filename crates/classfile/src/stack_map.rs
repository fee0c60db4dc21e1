//! CLDC's StackMap: the attribute of a method's code that a preverifier adds (CLDC 1.1, appendix 1).
//!
//! A list of entries, each an offset, the types of the local variables and those of the stack. The types are
//! not compared with the code: a preverifier that places its entries right computes their types, too.

use noak::reader::cpool::{ConstantPool, Index, Item};

use crate::bytes::Bytes;
use crate::layout::Layout;
use otapress_core::words;

/// Judges the content of the attribute.
///
/// # Errors
/// The first fault, as the rest of a sentence.
pub(crate) fn check(content: &[u8], layout: &Layout, pool: &ConstantPool<'_>) -> Result<(), String> {
    let cut_off = || "is cut off".to_owned();
    let mut bytes = Bytes(content);
    let count = bytes.u16().ok_or_else(cut_off)?;
    let mut entries = vec![false; layout.starts.len()];
    let mut last = None;
    for _ in 0..count {
        let at = bytes.u16().ok_or_else(cut_off)?;
        if usize::from(at) >= layout.starts.len() {
            return Err(format!("has an entry for offset {at}, beyond the code"));
        }
        if !layout.starts[usize::from(at)] {
            return Err(format!("has an entry for offset {at}, where no instruction starts"));
        }
        if last.is_some_and(|last| last >= at) {
            return Err(format!("has an entry for offset {at} in the wrong order or twice"));
        }
        last = Some(at);
        entries[usize::from(at)] = true;
        for (what, max) in [("local variables", layout.max_locals), ("stack", layout.max_stack)] {
            let slots = types(&mut bytes, layout, pool)
                .ok_or_else(cut_off)?
                .map_err(|wrong| format!("has an entry for offset {at} with {wrong}"))?;
            if slots > u64::from(max) {
                return Err(format!(
                    "has an entry for offset {at} with {} of {what}; there are {max}",
                    words::count(slots, "slot")
                ));
            }
        }
    }
    if !bytes.0.is_empty() {
        return Err(format!("has {} behind its last entry", words::count(bytes.0.len(), "byte")));
    }
    match layout.joins.iter().zip(&entries).position(|(&join, &entry)| join && !entry) {
        Some(at) => Err(format!("has no entry for offset {at}, which code branches to or does not run into")),
        None => Ok(()),
    }
}

/// The slots that a list of types takes; `None` if it is cut off.
fn types(bytes: &mut Bytes<'_>, layout: &Layout, pool: &ConstantPool<'_>) -> Option<Result<u64, String>> {
    let mut slots = 0;
    for _ in 0..bytes.u16()? {
        slots += 1;
        match bytes.u8()? {
            0..=2 | 5 | 6 => {}
            3 | 4 => slots += 1,
            7 => {
                let index = bytes.u16()?;
                let item = Index::<Item<'_>>::new(index).and_then(|index| pool.get(index));
                if !matches!(item, Ok(Item::Class(_))) {
                    return Some(Err(format!("constant {index}, which is not a class")));
                }
            }
            8 => {
                let at = bytes.u16()?;
                if !layout.news.get(usize::from(at)).copied().unwrap_or(false) {
                    return Some(Err(format!("an object made at {at}, where no `new` is")));
                }
            }
            kind => return Some(Err(format!("the unknown type {kind}"))),
        }
    }
    Some(Ok(slots))
}
