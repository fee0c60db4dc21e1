//! The structure of the archive: end record, central directory and local headers (APPNOTE.TXT 6.3).
//!
//! Accepted is an archive of one plain form only: its bytes are exactly its entries, one after the other,
//! then the directory, then the end record. Whatever tells the same thing twice must tell it alike, so that
//! no reader can see another archive than this one. Nothing is allocated by a header's word, and nothing
//! is unpacked here.

use std::collections::BTreeMap;

use super::fault::{Fault, shown};
use crate::files::{FETCH_LFS, is_lfs_pointer};
use otapress_core::words;

/// How an entry's data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

/// An entry of the directory.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// As written, in whatever encoding.
    pub name: &'a [u8],
    /// How `data` is kept.
    pub method: Method,
    /// Of the unpacked data.
    pub crc: u32,
    /// Of the unpacked data, in bytes.
    pub size: u32,
    /// The data as it stands in the archive; `None` if it cannot be told, which is reported already.
    pub data: Option<&'a [u8]>,
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
const ZIP64_LOCATOR_LEN: usize = 20;
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// General-purpose bits: encrypted, strongly encrypted, masked headers.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// General-purpose bit: CRC and sizes stand behind the data.
const DESCRIBED: u16 = 1 << 3;

/// Every entry in the order of the directory, with what is wrong with single entries.
///
/// # Errors
/// What keeps the directory from being read at all.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, Vec<Fault>), Fault> {
    let end = end_record(bytes)?;
    let records = directory(bytes, &end)?;
    let mut faults = Vec::new();
    duplicates(&records, &mut faults);

    // The entries must lie one after the other, so each ends where the next one starts.
    let mut starts: Vec<u32> = records.iter().map(|r| r.offset).collect();
    starts.push(end.directory as u32);
    starts.sort_unstable();
    if starts[0] > 0 && !records.is_empty() {
        faults.push(
            Fault::archive(format!(
                "{} {} before the archive's first entry",
                starts[0],
                words::form(starts[0], "byte stands", "bytes stand")
            ))
            .hint("a JAR starts with its first entry: remove what was put before it"),
        );
    }
    let mut entries = Vec::new();
    for record in &records {
        let limit = starts[starts.partition_point(|&s| s <= record.offset).min(starts.len() - 1)];
        let (method, data) = match record.locate(bytes, limit as usize) {
            Ok((method, data)) => (method, Some(data)),
            Err(fault) => {
                faults.push(fault);
                (Method::Stored, None)
            }
        };
        let Shared { name, crc, size, .. } = record.shared;
        entries.push(Entry { name, method, crc, size, data });
    }
    Ok((entries, faults))
}

/// Takes fields off the front of a header.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn signature(&mut self, signature: &[u8]) -> Option<()> {
        (self.take(signature.len())? == signature).then_some(())
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_le_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }
}

struct End {
    /// The entries that it counts.
    count: u16,
    /// Where the directory starts.
    directory: usize,
    /// Where the end record starts.
    at: usize,
}

fn end_record(bytes: &[u8]) -> Result<End, Fault> {
    let at = find_end_record(bytes)?;
    let mut fields = Fields(&bytes[at + END.len()..]);
    let mut read = || {
        let (disk, start_disk) = (fields.u16()?, fields.u16()?);
        let (count_here, count) = (fields.u16()?, fields.u16()?);
        Some((disk, start_disk, count_here, count, fields.u32()?, fields.u32()?))
    };
    let (disk, start_disk, count_here, count, size, offset) = read().ok_or_else(truncated)?;

    let locator = at.checked_sub(ZIP64_LOCATOR_LEN).is_some_and(|l| bytes[l..].starts_with(ZIP64_LOCATOR));
    if locator || size == u32::MAX || offset == u32::MAX {
        return Err(zip64("the archive"));
    }
    if disk != 0 || start_disk != 0 || count_here != count {
        return Err(Fault::archive("the archive is one part of several"));
    }
    let stop = u64::from(offset) + u64::from(size);
    match (at as u64).checked_sub(stop) {
        Some(0) => Ok(End { count, directory: offset as usize, at }),
        Some(extra) => Err(Fault::archive(format!(
            "the end record and the file disagree by {} about where the archive starts",
            words::count(extra, "byte")
        ))
        .hint("a JAR starts with its first entry: remove what was put before or into it")),
        None => Err(Fault::archive("the central directory would reach behind the end record")
            .hint("the file seems to be truncated at its start or damaged: copy it again")),
    }
}

/// Where the end record starts, if it and the archive's comment are the last things in the file.
fn find_end_record(bytes: &[u8]) -> Result<usize, Fault> {
    if bytes.is_empty() {
        return Err(Fault::archive("the file is empty"));
    }
    let found = bytes.windows(END.len()).rposition(|w| w == END).filter(|at| bytes.len() - at >= END_LEN);
    let Some(at) = found else {
        return Err(if bytes.starts_with(LOCAL) {
            truncated()
        } else if is_lfs_pointer(bytes) {
            Fault::archive("a Git LFS pointer, not the JAR itself").hint(FETCH_LFS)
        } else {
            Fault::archive("not a zip file").hint("a JAR starts with the bytes `PK`; was a web page saved?")
        });
    };
    let comment = usize::from(u16::from_le_bytes([bytes[at + 20], bytes[at + 21]]));
    let behind = bytes.len() - at - END_LEN;
    // A comment cannot hide another end record: the last one is looked for.
    match behind.checked_sub(comment) {
        Some(0) => Ok(at),
        Some(trailing) => Err(Fault::archive(format!(
            "{trailing} {} the end of the archive",
            words::form(trailing, "byte follows", "bytes follow")
        ))
        .hint("devices look for the end record at the end of the file: remove what follows it")),
        None => Err(truncated()),
    }
}

fn truncated() -> Fault {
    Fault::archive("the file is truncated: it has no complete end record").hint("copy the file again")
}

fn zip64(what: &str) -> Fault {
    Fault::archive(format!("{what} is of the zip64 form, which devices cannot read"))
        .hint("write the JAR with the JDK's `jar`, which uses zip64 for huge archives only")
}

/// What a local header and the directory both say.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shared<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u32,
    size: u32,
    extra: &'a [u8],
}

/// One record of the central directory.
struct Record<'a> {
    shared: Shared<'a>,
    /// Where the local header starts.
    offset: u32,
}

fn directory<'a>(bytes: &'a [u8], end: &End) -> Result<Vec<Record<'a>>, Fault> {
    let mut fields = Fields(&bytes[end.directory..end.at]);
    let mut records = Vec::new();
    while !fields.0.is_empty() {
        if records.len() > usize::from(u16::MAX) {
            return Err(Fault::archive("the archive has more than 65535 entries, which needs zip64"));
        }
        let at = end.at - fields.0.len();
        let record = record(&mut fields).ok_or_else(|| {
            Fault::archive(format!("the central directory is malformed at byte {at}"))
                .hint("the file is damaged: copy or build it again")
        })?;
        records.push(record);
    }
    if records.len() != usize::from(end.count) {
        return Err(if records.len() > usize::from(u16::MAX) {
            Fault::archive("the archive has more than 65535 entries, which needs zip64")
        } else {
            Fault::archive(format!(
                "the end record counts {} {}, but the central directory has {}",
                end.count,
                words::form(end.count, "entry", "entries"),
                records.len()
            ))
        });
    }
    Ok(records)
}

fn record<'a>(fields: &mut Fields<'a>) -> Option<Record<'a>> {
    fields.signature(CENTRAL)?;
    let _made_by = fields.u16()?;
    let (mut shared, name_len, extra_len) = shared(fields)?;
    let comment_len = fields.u16()?;
    // Disk, internal attributes and external attributes.
    fields.take(8)?;
    let offset = fields.u32()?;
    shared.name = fields.take(name_len)?;
    shared.extra = fields.take(extra_len)?;
    fields.take(comment_len.into())?;
    Some(Record { shared, offset })
}

/// The fields from `version needed` to the lengths of name and extra field, which follow elsewhere.
fn shared<'a>(fields: &mut Fields<'a>) -> Option<(Shared<'a>, usize, usize)> {
    let _version_needed = fields.u16()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let _time_and_date = fields.u32()?;
    let (crc, compressed, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name_len, extra_len) = (fields.u16()?, fields.u16()?);
    let shared = Shared { name: &[], flags, method, crc, compressed, size, extra: &[] };
    Some((shared, name_len.into(), extra_len.into()))
}

fn duplicates(records: &[Record<'_>], faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
    for record in records {
        *seen.entry(record.shared.name).or_default() += 1;
    }
    let twice = seen.into_iter().filter(|&(_, count)| count > 1);
    faults.extend(twice.map(|(name, count)| {
        Fault::archive(format!("the archive has {count} entries named `{}`", shown(name)))
            .hint("readers differ in which of them they take: build the JAR with one")
    }));
}

impl<'a> Record<'a> {
    /// The entry's data, which must end, with its descriptor if it has one, exactly at `limit`.
    fn locate(&self, bytes: &'a [u8], limit: usize) -> Result<(Method, &'a [u8]), Fault> {
        let name = shown(self.shared.name);
        let wrong = |what: &str| Fault::archive(format!("entry `{name}` {what}"));
        let damaged = |what: &str| wrong(what).hint("the file is damaged: copy or build it again");

        let mut fields = Fields(bytes.get(self.offset as usize..limit).unwrap_or_default());
        let header = |fields: &mut Fields<'a>| {
            fields.signature(LOCAL)?;
            let (mut local, name_len, extra_len) = shared(fields)?;
            local.name = fields.take(name_len)?;
            local.extra = fields.take(extra_len)?;
            Some(local)
        };
        let local = header(&mut fields)
            .ok_or_else(|| damaged("has no local header where the central directory says"))?;
        let central = &self.shared;
        if local.name != central.name {
            return Err(wrong(&format!("is named `{}` in its local header", shown(local.name))));
        }
        if (local.flags | central.flags) & ENCRYPTED != 0 {
            return Err(wrong("is encrypted").hint("build the JAR without a password"));
        }
        // Writers of streams put the field into local headers, where devices do not look for sizes.
        if is_zip64(central) {
            return Err(zip64(&format!("entry `{name}`")));
        }
        if local.method != central.method || (local.flags ^ central.flags) & DESCRIBED != 0 {
            return Err(damaged("is described differently by its local header and the central directory"));
        }
        let method = match central.method {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => {
                return Err(wrong(&format!("is compressed by method {other}"))
                    .hint("devices read stored and deflated entries only"));
            }
        };
        let sums = (central.crc, central.compressed, central.size);
        let described = central.flags & DESCRIBED != 0;
        let is_streamed = is_zip64(&local);
        // A streaming writer leaves out what it does not know yet, each for itself.
        let agrees = |local: u32, central: u32, unknown: bool| {
            local == central || described && local == 0 || unknown && is_streamed && local == u32::MAX
        };
        if !agrees(local.crc, central.crc, false)
            || !agrees(local.compressed, central.compressed, true)
            || !agrees(local.size, central.size, true)
        {
            return Err(damaged("has other sizes or another CRC in its local header"));
        }
        let data = fields
            .take(central.compressed as usize)
            .ok_or_else(|| damaged("reaches into the next entry or behind the entries"))?;
        let rest = match described {
            true => descriptor(fields.0, sums, is_streamed)
                .ok_or_else(|| damaged("has a data descriptor that is missing or says otherwise"))?,
            false => fields.0,
        };
        if !rest.is_empty() {
            return Err(wrong(&format!(
                "is followed by {} {} to no entry",
                rest.len(),
                words::form(rest.len(), "byte that belongs", "bytes that belong")
            ))
            .hint("build the JAR again from its classes"));
        }
        Ok((method, data))
    }
}

/// What follows the data descriptor. Its signature is optional; its sizes may have eight bytes after a local
/// header with a zip64 field.
fn descriptor(bytes: &[u8], (crc, compressed, size): (u32, u32, u32), is_streamed: bool) -> Option<&[u8]> {
    let starts = [bytes.strip_prefix(DESCRIPTOR), Some(bytes)];
    let wide = [false, true].into_iter().take(1 + usize::from(is_streamed));
    wide.flat_map(|wide| starts.into_iter().flatten().map(move |bytes| (bytes, wide))).find_map(
        |(bytes, wide)| {
            let mut fields = Fields(bytes);
            let mut number = |wide: bool| {
                let low = fields.u32()?;
                let high = if wide { fields.u32()? } else { 0 };
                Some(u64::from(low) | u64::from(high) << 32)
            };
            let is_right = number(false)? == u64::from(crc)
                && number(wide)? == u64::from(compressed)
                && number(wide)? == u64::from(size);
            is_right.then_some(fields.0)
        },
    )
}

/// Whether a size is to be looked up in, or is doubled by, a zip64 extra field.
fn is_zip64(header: &Shared<'_>) -> bool {
    let mut fields = Fields(header.extra);
    let mut field = || {
        let (id, len) = (fields.u16()?, fields.u16()?);
        fields.take(len.into()).map(|_| id)
    };
    header.compressed == u32::MAX
        || header.size == u32::MAX
        || std::iter::from_fn(&mut field).any(|id| id == 1)
}
