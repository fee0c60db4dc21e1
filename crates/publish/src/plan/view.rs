//! A published tree as it is compared: its answers by IMEI, and its other files by path.
//!
//! Files with the same bytes share one [`Blob`], which is parsed once however many devices it answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::jad;
use crate::tree::{Content, Tree};
use otapress_core::digest::Sha256;
use otapress_core::id::Imei;
use otapress_core::out::{Part, imei_of};
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site};

/// The place of a blob in its view.
pub type BlobId = u32;

/// The content of files.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Where it lies.
    pub part: Part,
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// How many bytes there are.
    pub size: u64,
    /// Their meaning.
    pub meaning: Meaning,
}

/// The meaning of a file's bytes, as needed for a plan.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// A device's answer; none if it cannot be read.
    Answer(Option<Arc<AnswerFile>>),
    /// A JAD, and the version in it if it can be read.
    Jad(Option<Version>),
    /// A JAR, checksums, or what describes the site.
    Other,
}

/// A published tree.
#[derive(Clone, Debug, Default)]
pub struct View {
    site: Option<Site>,
    answers: Vec<(Imei, BlobId)>,
    files: Vec<(OutPath, BlobId)>,
    blobs: Vec<Blob>,
}

impl View {
    /// The files that out/ is to hold.
    pub fn of(tree: &Tree) -> View {
        let mut builder = Builder::default();
        let mut known = HashMap::new();
        for file in tree.files() {
            let part = file.tier.part();
            let content = tree.content(file.content);
            let id = *known.entry((part, file.content)).or_insert_with(|| match content {
                Content::Bytes(bytes) => builder.blob(part, bytes),
                Content::CopyOf { size, sha256, .. } => builder.opaque(part, *sha256, *size),
            });
            if let (Part::Site, Content::Bytes(bytes)) = (part, content) {
                builder.view.site = Site::parse(bytes).ok();
            }
            builder.file(&file.path, id);
        }
        builder.finish()
    }

    /// The content of `otapress.json`; none if nothing is published.
    pub fn site(&self) -> Option<&Site> {
        self.site.as_ref()
    }

    /// The answers, by IMEI.
    pub fn answers(&self) -> &[(Imei, BlobId)] {
        &self.answers
    }

    /// The other files, by path.
    pub fn files(&self) -> &[(OutPath, BlobId)] {
        &self.files
    }

    /// The content of files.
    pub fn blob(&self, id: BlobId) -> &Blob {
        &self.blobs[id as usize]
    }

    /// Whether a file other than an answer has this path.
    pub fn has(&self, path: &OutPath) -> bool {
        self.files.binary_search_by(|(known, _)| known.cmp(path)).is_ok()
    }

    /// Digests that identify this tree, part by part.
    pub fn fingerprint(&self) -> Fingerprint {
        let of = |part| {
            let files = self.files.iter().filter(|(_, id)| self.blob(*id).part == part);
            let answers = self.answers.iter().filter(|_| part == Part::Answers);
            let files = files.map(|(path, id)| (Cow::Borrowed(path.as_str()), *id));
            let answers = answers.map(|(imei, id)| (Cow::Owned(imei.to_string()), *id));
            let line = |(name, id): (Cow<'_, str>, BlobId)| {
                [self.blob(id).sha256.as_bytes(), name.as_bytes(), b"\n"].concat()
            };
            Sha256::of_parts(files.chain(answers).map(line))
        };
        Fingerprint(Part::ALL.map(of))
    }
}

/// The digests of all files of each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([Sha256; Part::ALL.len()]);

impl Fingerprint {
    /// The digest of one part.
    pub fn of(&self, part: Part) -> Sha256 {
        self.0[part as usize]
    }

    /// The fingerprint that has these digests.
    ///
    /// # Errors
    /// The error of `of` for a part.
    pub fn from_parts<E>(of: impl Fn(Part) -> Result<Sha256, E>) -> Result<Self, E> {
        let [jars, jads, answers, site] = Part::ALL.map(of);
        Ok(Fingerprint([jars?, jads?, answers?, site?]))
    }
}

/// Builds a view from the files of a directory.
#[derive(Debug, Default)]
pub struct Builder {
    view: View,
    known: HashMap<(Part, Sha256), BlobId>,
}

impl Builder {
    /// A builder for what `otapress.json` describes.
    pub fn new(site: Site) -> Self {
        Builder { view: View { site: Some(site), ..View::default() }, known: HashMap::new() }
    }

    /// Keeps the bytes of a file.
    pub fn blob(&mut self, part: Part, bytes: &[u8]) -> BlobId {
        let meaning = || match part {
            Part::Answers => Meaning::Answer(AnswerFile::parse(bytes).ok().map(Arc::new)),
            Part::Jads => Meaning::Jad(jad_version(bytes)),
            Part::Jars | Part::Site => Meaning::Other,
        };
        self.intern(part, Sha256::of(bytes), bytes.len() as u64, meaning)
    }

    /// Keeps a file of a part whose files are not read: JARs, and what describes the site.
    pub fn opaque(&mut self, part: Part, sha256: Sha256, size: u64) -> BlobId {
        self.intern(part, sha256, size, || Meaning::Other)
    }

    /// The blob with that digest, if such bytes were kept.
    pub fn known(&self, part: Part, sha256: Sha256) -> Option<BlobId> {
        self.known.get(&(part, sha256)).copied()
    }

    fn intern(&mut self, part: Part, sha256: Sha256, size: u64, meaning: impl FnOnce() -> Meaning) -> BlobId {
        *self.known.entry((part, sha256)).or_insert_with(|| {
            let id = BlobId::try_from(self.view.blobs.len()).expect("fewer contents than files");
            self.view.blobs.push(Blob { part, sha256, size, meaning: meaning() });
            id
        })
    }

    /// Adds a file.
    pub fn file(&mut self, path: &OutPath, id: BlobId) {
        match imei_of(path) {
            Some(imei) => self.view.answers.push((imei, id)),
            None => self.view.files.push((path.clone(), id)),
        }
    }

    /// The view.
    pub fn finish(mut self) -> View {
        self.view.answers.sort_unstable();
        self.view.files.sort_unstable();
        self.view
    }
}

fn jad_version(bytes: &[u8]) -> Option<Version> {
    jad::parse(bytes).ok()?.get("MIDlet-Version")?.parse().ok()
}
