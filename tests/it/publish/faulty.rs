//! A disk on which any call can fail or be the last one, and which remembers what it was asked to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use otapress_publish::publish::disk::{Disk, RealDisk};

/// One thing that was asked of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    CreateDir(PathBuf),
    Create(PathBuf, Vec<u8>),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    RemoveFile(PathBuf),
    RemoveDir(PathBuf),
    Barrier,
}

impl Op {
    /// Does it.
    pub fn run(&self) -> io::Result<()> {
        match self {
            Op::CreateDir(path) => RealDisk.create_dirs(path),
            Op::Create(path, bytes) => RealDisk.create(path, bytes, None),
            Op::Link(from, to) => RealDisk.link(from, to),
            Op::Rename(from, to) => RealDisk.rename(from, to),
            Op::Exchange(one, other) => RealDisk.exchange(one, other),
            Op::RemoveFile(path) => RealDisk.remove_file(path),
            Op::RemoveDir(path) => RealDisk.remove_dir(path),
            // Nobody pulls the plug of the machine; what a barrier is good for is tried with `Fault::Torn`.
            Op::Barrier => Ok(()),
        }
    }

    fn needs_room(&self) -> bool {
        matches!(self, Op::CreateDir(_) | Op::Create(..) | Op::Link(..))
    }
}

/// What happens at the call with a number, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and what comes after it is done.
    Once(usize),
    /// From then on there is no room for anything new.
    Full(usize),
    /// The process ends in the middle of it.
    Last(usize),
    Never,
}

pub struct Faulty {
    fault: Fault,
    concurrent: bool,
    done: Mutex<Vec<Op>>,
}

impl Faulty {
    pub fn new(fault: Fault) -> Self {
        Faulty { fault, concurrent: false, done: Mutex::default() }
    }

    /// The same with two threads.
    pub fn concurrent(self) -> Self {
        Faulty { concurrent: true, ..self }
    }

    /// What it was asked to do.
    pub fn into_ops(self) -> Vec<Op> {
        self.done.into_inner().unwrap()
    }

    fn act(&self, op: Op) -> io::Result<()> {
        let mut done = self.done.lock().unwrap();
        let n = done.len();
        done.push(op.clone());
        let error = match self.fault {
            Fault::Once(at) if n == at => rustix::io::Errno::IO,
            Fault::Full(at) if n >= at && op.needs_room() => rustix::io::Errno::NOSPC,
            Fault::Last(at) if n >= at => rustix::io::Errno::IO,
            _ => return op.run(),
        };
        // A file that cannot be written is there all the same, with a part of it.
        if let Op::Create(path, bytes) = &op
            && !matches!(self.fault, Fault::Last(at) if n > at)
        {
            RealDisk.create(path, &bytes[..bytes.len() / 2], None)?;
        }
        Err(error.into())
    }
}

impl Disk for Faulty {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<_> = path.ancestors().take_while(|dir| !dir.exists()).collect();
        missing.into_iter().rev().try_for_each(|dir| self.act(Op::CreateDir(dir.into())))
    }

    fn create(&self, path: &Path, bytes: &[u8], _: Option<SystemTime>) -> io::Result<()> {
        self.act(Op::Create(path.into(), bytes.into()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(Op::Link(from.into(), to.into()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(Op::Rename(from.into(), to.into()))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.act(Op::Exchange(one.into(), other.into()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.act(Op::RemoveFile(path.into()))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.act(Op::RemoveDir(path.into()))
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        for entry in walkdir::WalkDir::new(path).contents_first(true) {
            let entry = entry.map_err(io::Error::from)?;
            let path = entry.path().to_owned();
            self.act(if entry.file_type().is_dir() { Op::RemoveDir(path) } else { Op::RemoveFile(path) })?;
        }
        Ok(())
    }

    fn barrier(&self, _: &Path) -> io::Result<()> {
        self.act(Op::Barrier)
    }

    fn is_concurrent(&self) -> bool {
        self.concurrent
    }
}
