//! A disk whose power can be cut: a file system in a file, mounted where only this test sees it. What the kernel has
//! not written to it by then is lost, as on a machine that dies.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// In bytes; copied at every cut.
const SIZE: u64 = 48 << 20;

/// How a file system is mounted that forgives nothing: no data goes with a name, and nothing is written for its
/// age while a test runs.
const OPTIONS: &str = "loop,noatime,data=writeback,noauto_da_alloc,commit=300";

pub struct PowerDisk {
    dir: tempfile::TempDir,
    /// It sleeps, and its mounts end with it.
    holder: Child,
}

impl PowerDisk {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        let made = Command::new("/sbin/mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
        assert!(made.success());
        let holder = mount(dir.path());
        PowerDisk { dir, holder }
    }

    /// A path on the disk, for processes of [`Self::on_it`].
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("disk").join(path)
    }

    /// The same path for others.
    pub fn seen(&self, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path(path).strip_prefix("/").unwrap())
    }

    /// The command, run where the disk is mounted.
    pub fn on_it(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Cuts the power while a process works, and mounts what is left. The process is killed.
    pub fn cut(&mut self, process: &mut Child) {
        let pid = Pid::from_child(process);
        kill_process(pid, Signal::STOP).unwrap();
        let image = self.dir.path().join("image");
        // One moment of the disk, and not the first half of one and the second half of another.
        let mut left = fs::read(&image).unwrap();
        loop {
            let again = fs::read(&image).unwrap();
            if again == left {
                break;
            }
            left = again;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        self.unmount();
        // A new file: what the kernel still writes goes to the old one.
        fs::remove_file(&image).unwrap();
        fs::write(&image, left).unwrap();
        self.holder = mount(self.dir.path());
    }

    fn unmount(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn mount(dir: &Path) -> Child {
    let script = format!("mount -o {OPTIONS} image disk && echo mounted && exec sleep infinity");
    let mut holder = Command::new("unshare")
        .args(["--mount", "sh", "-euc", &script])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "mounted\n", "root, mounts and loop devices are needed");
    holder
}
