//! Builds JARs in code, whole ones and ones that are broken in a chosen way.
//!
//! The bytes depend on nothing but the calls: no clock, and no compression unless it is asked for, so that
//! no library decides them. [`JarBuilder`] makes MIDlet suites; [`Member`] and [`zip`] are the level below,
//! where every field of an archive can be made to lie.

// The unit tests and the integration tests both compile this file, and each uses a part of it.
#![allow(dead_code)]

#[path = "class.rs"]
pub mod class;

use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use self::class::ClassBuilder;

/// The class that a suite's MIDlet-1 names unless told otherwise.
pub const CLASS: &str = "demo.OwnTracks";

/// A MIDlet suite, valid until it is told to be otherwise.
#[derive(Clone, Debug)]
pub struct JarBuilder {
    attributes: Vec<(String, String)>,
    sections: String,
    manifest: Option<Vec<u8>>,
    entries: Vec<(String, Vec<u8>)>,
    deflated: bool,
}

impl JarBuilder {
    /// A suite with one MIDlet and its class.
    pub fn new(name: &str, version: &str, vendor: &str) -> Self {
        let empty = JarBuilder {
            attributes: Vec::new(),
            sections: String::new(),
            manifest: None,
            entries: Vec::new(),
            deflated: false,
        };
        empty
            .attribute("Manifest-Version", "1.0")
            .attribute("MIDlet-Name", name)
            .attribute("MIDlet-Version", version)
            .attribute("MIDlet-Vendor", vendor)
            .attribute("MIDlet-1", &format!("{name},,{CLASS}"))
            .attribute("MicroEdition-Profile", "IMP-NG")
            .attribute("MicroEdition-Configuration", "CLDC-1.1")
            .class(&ClassBuilder::midlet("demo/OwnTracks", &format!("class of {version}")), "demo/OwnTracks")
    }

    /// Sets an attribute of the main section; it keeps its place if it is there already.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        match self.attributes.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value.into(),
            None => self.attributes.push((name.into(), value.into())),
        }
        self
    }

    /// Adds an attribute even if it is there already.
    pub fn again(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Leaves an attribute out.
    pub fn without(mut self, name: &str) -> Self {
        self.attributes.retain(|(n, _)| n != name);
        self
    }

    /// Adds text after the blank line that ends the main section.
    pub fn section(mut self, text: &str) -> Self {
        self.sections += text;
        self
    }

    /// Replaces the whole manifest.
    pub fn manifest(mut self, bytes: &[u8]) -> Self {
        self.manifest = Some(bytes.into());
        self
    }

    /// Adds an entry; it replaces an earlier one of the same name.
    pub fn entry(mut self, name: &str, data: &[u8]) -> Self {
        self.entries.retain(|(n, _)| n != name);
        self.entries.push((name.into(), data.into()));
        self
    }

    /// Adds a class at the path of an internal name.
    pub fn class(self, class: &ClassBuilder, name: &str) -> Self {
        self.entry(&format!("{name}.class"), &class.build())
    }

    /// Leaves an entry out.
    pub fn without_entry(mut self, name: &str) -> Self {
        self.entries.retain(|(n, _)| n != name);
        self
    }

    /// Compresses the entries and writes data descriptors, as the JDK's `jar` does.
    pub fn deflated(mut self) -> Self {
        self.deflated = true;
        self
    }

    /// The manifest's bytes: CRLF, lines folded at 72 bytes.
    pub fn manifest_bytes(&self) -> Vec<u8> {
        if let Some(bytes) = &self.manifest {
            return bytes.clone();
        }
        let mut bytes = Vec::new();
        for (name, value) in &self.attributes {
            let line = format!("{name}: {value}").into_bytes();
            let (first, rest) = line.split_at(line.len().min(72));
            bytes.extend_from_slice(first);
            for more in rest.chunks(71) {
                bytes.extend_from_slice(b"\r\n ");
                bytes.extend_from_slice(more);
            }
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.sections.as_bytes());
        bytes
    }

    /// The entries, for a test that breaks one of them before it calls [`zip`]; the manifest is the first.
    pub fn members(&self) -> Vec<Member> {
        let manifest = ("META-INF/MANIFEST.MF".to_owned(), self.manifest_bytes());
        std::iter::once(&manifest)
            .chain(&self.entries)
            .map(|(name, data)| match self.deflated {
                true => Member::deflated(name, data).with_descriptor(true),
                false => Member::stored(name, data),
            })
            .collect()
    }

    /// The JAR.
    pub fn build(&self) -> Vec<u8> {
        zip(&self.members())
    }
}

/// The fields that an entry's local header and its record in the central directory share.
#[derive(Clone, Debug)]
pub struct Header {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u32,
    pub size: u32,
    pub extra: Vec<u8>,
}

/// One entry as it will be written; nothing keeps its parts from contradicting each other.
#[derive(Clone, Debug)]
pub struct Member {
    pub local: Header,
    pub data: Vec<u8>,
    pub descriptor: Vec<u8>,
    pub central: Header,
    /// Where the central directory says that the entry starts; `None` for the truth.
    pub offset: Option<u32>,
}

impl Member {
    /// An uncompressed entry.
    pub fn stored(name: &str, data: &[u8]) -> Self {
        Member::new(name, 0, data, data.to_vec())
    }

    /// A compressed entry.
    pub fn deflated(name: &str, data: &[u8]) -> Self {
        Member::new(name, 8, data, deflate(data))
    }

    fn new(name: &str, method: u16, plain: &[u8], data: Vec<u8>) -> Self {
        let mut crc = Crc::new();
        crc.update(plain);
        let header = Header {
            name: name.into(),
            flags: 0,
            method,
            crc: crc.sum(),
            compressed: data.len() as u32,
            size: plain.len() as u32,
            extra: Vec::new(),
        };
        Member { local: header.clone(), data, descriptor: Vec::new(), central: header, offset: None }
    }

    /// Moves CRC and sizes behind the data; the descriptor's signature is optional in the format.
    pub fn with_descriptor(mut self, signature: bool) -> Self {
        self.local.flags |= 8;
        self.central.flags |= 8;
        (self.local.crc, self.local.compressed, self.local.size) = (0, 0, 0);
        if signature {
            self.descriptor.extend_from_slice(b"PK\x07\x08");
        }
        for field in [self.central.crc, self.central.compressed, self.central.size] {
            self.descriptor.extend_from_slice(&field.to_le_bytes());
        }
        self
    }

    /// Changes both headers alike.
    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }
}

/// A raw deflate stream.
pub fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Writes the members, the central directory and the end record.
pub fn zip(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let offset = member.offset.unwrap_or(bytes.len() as u32);
        bytes.extend_from_slice(b"PK\x03\x04\x14\x00");
        bytes.extend_from_slice(&shared(&member.local));
        bytes.extend_from_slice(&member.local.name);
        bytes.extend_from_slice(&member.local.extra);
        bytes.extend_from_slice(&member.data);
        bytes.extend_from_slice(&member.descriptor);

        directory.extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
        directory.extend_from_slice(&shared(&member.central));
        // Comment length, disk, internal and external attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(&member.central.name);
        directory.extend_from_slice(&member.central.extra);
    }
    let start = bytes.len() as u32;
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    bytes.extend_from_slice(&(members.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(members.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn shared(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&header.flags.to_le_bytes());
    bytes.extend_from_slice(&header.method.to_le_bytes());
    // 2001-01-01 00:00:00.
    bytes.extend_from_slice(&[0x00, 0x00, 0x21, 0x2a]);
    bytes.extend_from_slice(&header.crc.to_le_bytes());
    bytes.extend_from_slice(&header.compressed.to_le_bytes());
    bytes.extend_from_slice(&header.size.to_le_bytes());
    bytes.extend_from_slice(&(header.name.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(header.extra.len() as u16).to_le_bytes());
    bytes
}
