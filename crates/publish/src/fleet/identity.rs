//! Devices that could be taken for one another: by a responder, a file system, a person.

use std::collections::{BTreeMap, HashMap};

use super::Device;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic, SourceId, Sources};
use otapress_core::id::Imei;

/// Checks the devices, which are sorted by clientID.
pub(super) fn check(reader: &mut Reader, sources: &Sources, devices: &[Device]) {
    client_ids_that_are_imeis(reader, sources, devices);
    client_ids_by_case(reader, sources, devices);
    bent_client_ids(reader, devices);
    imeis_without_check_digit(reader, sources, devices);
    imeis_without_leading_zero(reader, devices);
}

fn declared(sources: &Sources, device: &Device) -> String {
    let (line, _) = sources.line_column(device.span);
    format!("it is declared at {}:{line}", sources.get(device.span.source).path.display())
}

/// The responder knows a device by its clientID or its IMEI.
fn client_ids_that_are_imeis(reader: &mut Reader, sources: &Sources, devices: &[Device]) {
    let named: HashMap<Imei, &Device> = devices
        .iter()
        .filter_map(|device| {
            let imei = device.client_id.as_str().parse().ok()?;
            (imei != device.imei).then_some((imei, device))
        })
        .collect();
    if named.is_empty() {
        return;
    }
    for other in devices {
        if let Some(device) = named.get(&other.imei) {
            let message =
                format!("the clientID `{}` is the IMEI of device `{}`", other.imei, other.client_id);
            reader.report(
                Diagnostic::new(Code::ClientIdIsImei, device.span, message).hint(declared(sources, other)),
            );
        }
    }
}

/// vfat, exFAT, SMB, macOS and Windows keep one directory for two such clientIDs.
fn client_ids_by_case(reader: &mut Reader, sources: &Sources, devices: &[Device]) {
    let by_id = |id: &str| devices.binary_search_by(|device| device.client_id.as_str().cmp(id)).ok();
    let mut seen: HashMap<String, &Device> = HashMap::new();
    for device in devices {
        let id = device.client_id.as_str();
        if !id.bytes().any(|b| b.is_ascii_uppercase()) {
            continue;
        }
        let lower = id.to_ascii_lowercase();
        let other = by_id(&lower).map(|i| &devices[i]).or_else(|| seen.get(&lower).copied());
        if let Some(other) = other {
            let message =
                format!("the clientIDs `{}` and `{id}` differ only in upper and lower case", other.client_id);
            reader.report(Diagnostic::new(Code::SimilarClientId, device.span, message).hint(format!(
                "some file systems keep one directory for both, and people mix them up; {}",
                declared(sources, other)
            )));
        }
        seen.insert(lower, device);
    }
}

/// Device files of DOS, which Windows and some servers of its files still reserve.
const DOS_DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// clientIDs become names of directories.
fn bent_client_ids(reader: &mut Reader, devices: &[Device]) {
    for device in devices {
        let id = device.client_id.as_str();
        let why = if id.ends_with('.') {
            "Windows and SMB drop a dot at the end of a name"
        } else if is_dos_device(id) {
            "Windows and SMB keep this name for a device"
        } else if id.starts_with('-') {
            "commands mistake a name that starts with `-` for an option"
        } else {
            continue;
        };
        let message = format!("the clientID `{id}` is an awkward name for a directory");
        reader.report(Diagnostic::new(Code::AwkwardClientId, device.span, message).hint(why));
    }
}

fn is_dos_device(id: &str) -> bool {
    let stem = id.split('.').next().unwrap_or_default();
    let is_port = |name: &str| {
        let (kind, number) = name.split_at_checked(3).unwrap_or_default();
        matches!(kind, "com" | "lpt") && matches!(number.as_bytes(), [b'1'..=b'9'])
    };
    // Nearly all names are longer.
    stem.len() <= 4 && {
        let stem = stem.to_ascii_lowercase();
        DOS_DEVICES.contains(&&*stem) || is_port(&stem)
    }
}

fn digits(device: &Device) -> usize {
    device.imei.to_string().len()
}

/// The same IMEI with its check digit and without: probably one device.
fn imeis_without_check_digit(reader: &mut Reader, sources: &Sources, devices: &[Device]) {
    let short: HashMap<String, &Device> = devices
        .iter()
        .filter(|device| digits(device) == 14)
        .map(|device| (device.imei.to_string(), device))
        .collect();
    if short.is_empty() {
        return;
    }
    for device in devices.iter().filter(|device| digits(device) == 15 && device.imei.luhn_ok()) {
        if let Some(other) = short.get(&device.imei.to_string()[..14]) {
            let message = format!(
                "the IMEI `{}` of device `{}` is that of device `{}` without its check digit",
                other.imei, other.client_id, device.client_id
            );
            reader.report(
                Diagnostic::new(Code::SimilarImei, other.span, message).hint(declared(sources, device)),
            );
        }
    }
}

/// A spreadsheet takes the first 0 of an IMEI away. 14 digits are left, which also is the form without check
/// digit; but put a 0 in front of such a one and the check digit is right by chance only once in ten times.
fn imeis_without_leading_zero(reader: &mut Reader, devices: &[Device]) {
    let mut by_source: BTreeMap<SourceId, (usize, bool, &Device)> = BTreeMap::new();
    for device in devices.iter().filter(|device| digits(device) == 14) {
        let fits = format!("0{}", device.imei).parse::<Imei>().is_ok_and(Imei::luhn_ok);
        let of_source = by_source.entry(device.span.source).or_insert((0, true, device));
        of_source.0 += 1;
        of_source.1 &= fits;
        if device.span < of_source.2.span {
            of_source.2 = device;
        }
    }
    for (count, all_fit, first) in by_source.into_values() {
        // North American type allocation codes start with 01.
        let is_likely = all_fit && (count > 1 || first.imei.to_string().starts_with('1'));
        if is_likely {
            let imei = first.imei;
            let message = match count {
                1 => format!("the IMEI `{imei}` may have lost the leading 0"),
                _ => {
                    format!("the {count} IMEIs with 14 digits may have lost the leading 0, such as `{imei}`")
                }
            };
            reader.report(Diagnostic::new(Code::ImeiLeadingZero, first.span, message).hint(format!(
                "`0{imei}` has a correct check digit; format the column as text, and compare with `AT+CGSN`"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dos_devices_are_known() {
        for id in ["con", "NUL", "aux.1", "com1", "LPT9"] {
            assert!(is_dos_device(id), "{id}");
        }
        for id in ["com", "com0", "com10", "cons", "dev1", "x.con"] {
            assert!(!is_dos_device(id), "{id}");
        }
    }
}
