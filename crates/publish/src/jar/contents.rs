//! Unpacking entries, within bounds, and proving that they are what their headers say.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::fault::{Fault, shown};
use super::layout::{Entry, Method};
use otapress_core::words::count;

/// What all entries together may unpack to. A module's whole flash is smaller by far.
const MAX_UNPACKED: u64 = 64 << 20;

/// How much is unpacked at a time, whatever a header claims.
const CHUNK: usize = 32 << 10;

/// Whether the entries, by what their headers say, are too much to be looked at.
pub(super) fn bomb(entries: &[Entry<'_>]) -> Option<Fault> {
    let total: u64 = entries.iter().filter(|e| e.data.is_some()).map(|e| u64::from(e.size)).sum();
    (total > MAX_UNPACKED).then(|| {
        Fault::archive(format!(
            "the archive would unpack to {total} bytes; at most {MAX_UNPACKED} are accepted"
        ))
    })
}

/// Unpacks an entry whose place in the archive is known, piece by piece into `sink`, never more than
/// the size that its headers give.
///
/// # Errors
/// If the data is not exactly of that size and CRC, or if some of it is left over.
pub(super) fn unpack(entry: &Entry<'_>, data: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), Fault> {
    let wrong = |what: String| {
        Fault::archive(format!("entry `{}` {what}", shown(entry.name)))
            .hint("the file is damaged: copy or build it again")
    };
    let size = u64::from(entry.size);
    let mut crc = Crc::new();
    match entry.method {
        Method::Stored if data.len() as u64 != size => {
            return Err(wrong(format!("is stored in {}, but its size is {size}", count(data.len(), "byte"))));
        }
        Method::Stored => {
            crc.update(data);
            sink(data);
        }
        Method::Deflated => {
            let mut inflater = Decompress::new(false);
            let mut buffer = [0; CHUNK];
            loop {
                let (read, written) = (inflater.total_in(), inflater.total_out());
                let status = inflater
                    .decompress(&data[read as usize..], &mut buffer, FlushDecompress::None)
                    .map_err(|_| wrong("has compressed data that is corrupt".into()))?;
                if inflater.total_out() > size {
                    return Err(wrong(format!("unpacks to more than its size of {}", count(size, "byte"))));
                }
                let piece = &buffer[..(inflater.total_out() - written) as usize];
                crc.update(piece);
                sink(piece);
                match status {
                    Status::StreamEnd => break,
                    _ if piece.is_empty() && inflater.total_in() == read => {
                        return Err(wrong("has compressed data that is cut off".into()));
                    }
                    _ => {}
                }
            }
            if inflater.total_out() != size {
                let has = count(inflater.total_out(), "byte");
                return Err(wrong(format!("unpacks to {has}, but its size is {size}")));
            }
            let rest = data.len() as u64 - inflater.total_in();
            if rest != 0 {
                return Err(wrong(format!("has {} behind its compressed data", count(rest, "byte"))));
            }
        }
    }
    if crc.sum() != entry.crc {
        return Err(wrong("does not have the CRC that its headers give".into()));
    }
    Ok(())
}
