//! A published directory in memory: what a responder reads, and what a server of files sends.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;
use std::sync::Arc;

use otapress_core::digest::Sha256;
use otapress_core::out::Served;
use otapress_core::out_path::OutPath;
use otapress_devices::device::http::{Reply, ReplyFraming};
use otapress_publish::files::{self, FileError};
use otapress_publish::tree::{Content, Tree};
use otapress_responder::service::Files;

/// Files by their path below `out/`.
#[derive(Clone, Debug, Default)]
pub struct Published(BTreeMap<String, Arc<[u8]>>);

impl Published {
    /// What a build of that tree publishes.
    ///
    /// # Errors
    /// If a JAR cannot be read.
    pub fn of(tree: &Tree) -> Result<Self, FileError> {
        Published::with_known(tree, &mut BTreeMap::new())
    }

    /// The same for one build after the other: JARs that are known are not read again.
    ///
    /// # Errors
    /// If a JAR cannot be read.
    pub fn with_known(tree: &Tree, known_jars: &mut BTreeMap<Sha256, Arc<[u8]>>) -> Result<Self, FileError> {
        let mut contents = BTreeMap::new();
        let mut published = Published::default();
        for file in tree.files() {
            let known = contents.get(&file.content).cloned();
            let bytes: Arc<[u8]> = match (known, tree.content(file.content)) {
                (Some(bytes), _) => bytes,
                (None, Content::Bytes(bytes)) => bytes.clone(),
                (None, Content::CopyOf { file, size, sha256 }) => match known_jars.entry(*sha256) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(new) => new.insert(files::read(file, *size)?.into()).clone(),
                },
            };
            contents.insert(file.content, bytes.clone());
            published.put(file.path.as_str(), bytes);
        }
        Ok(published)
    }

    /// Puts a file in its place.
    pub fn put(&mut self, path: &str, bytes: Arc<[u8]>) {
        self.0.insert(path.into(), bytes);
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }

    /// The content of a file.
    pub fn get(&self, path: &str) -> Option<&Arc<[u8]>> {
        self.0.get(path)
    }

    fn at(&self, file: &Path) -> Option<&Arc<[u8]>> {
        self.get(file.to_str()?)
    }

    /// Every file, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Arc<[u8]>)> {
        self.0.iter().map(|(path, bytes)| (&**path, bytes))
    }

    /// How a server of files answers a GET.
    pub fn reply(&self, path: Option<&OutPath>, needs_auth: bool, has_credentials: bool) -> Reply {
        let found = path.and_then(|path| Some((Served::of(path)?, self.get(path.as_str())?)));
        match found {
            None => reply(404, "Not Found", vec![], b""),
            Some((served, _)) if needs_auth && served.is_protected() && !has_credentials => {
                reply(401, "Unauthorized", vec![("WWW-Authenticate", "Basic realm=\"OTA\"")], b"")
            }
            Some((served, bytes)) => reply(200, "OK", vec![("Content-Type", served.content_type())], bytes),
        }
    }
}

/// A complete reply.
pub(crate) fn reply(status: u16, reason: &str, headers: Vec<(&str, &str)>, body: &[u8]) -> Reply {
    Reply {
        version: "HTTP/1.1".into(),
        status,
        reason: reason.into(),
        headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        body: body.into(),
        framing: ReplyFraming::Length,
    }
}

impl Files for Published {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.at(file).map(|bytes| bytes.to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn size(&self, file: &Path) -> Option<u64> {
        self.at(file).map(|bytes| bytes.len() as u64)
    }

    fn is_missing(&self, file: &Path) -> bool {
        self.at(file).is_none()
    }

    fn answers(&self, dir: &Path, most: usize) -> usize {
        let dir = format!("{}/", dir.display());
        let within = self.0.range(dir.clone()..).take_while(|(file, _)| file.starts_with(&dir));
        within.filter(|(file, _)| file.ends_with(".json")).take(most).count()
    }
}
