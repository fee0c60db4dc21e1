//! A commit in the git repository of a fleet, made by the program `git`. Nothing is pushed.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

use crate::context::{Global, WrongUsage};

/// Where a commit goes.
pub(super) struct Target {
    /// The real path of the work tree.
    top: PathBuf,
    /// The branch that the commit is made on.
    branch: String,
    /// Whether that branch is not checked out yet.
    is_other: bool,
    /// The fleet file from the top.
    fleet: PathBuf,
    /// The directory out/ from the top, if HEAD has files in it.
    tracked_out: Option<PathBuf>,
}

/// What stands in the way of a commit of its own.
const UNDER_WAY: [(&str, &str); 6] = [
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
    ("BISECT_LOG", "a bisection"),
];

impl Target {
    /// Looks at the repository of the fleet: it must be able to take a commit on the branch.
    pub(super) fn find(global: &Global, branch: Option<&str>) -> anyhow::Result<Self> {
        let dir = global.fleet.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let top = said(git(dir), &["rev-parse", "--show-toplevel"])
            .context("--commit: the fleet is not in a git repository")?;
        let top = Path::new(OsStr::from_bytes(&top)).canonicalize()?;
        if !is_true(git(&top), &["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])? {
            bail!("--commit: nothing is committed in this repository yet: begin with `git commit`");
        }
        let head = asked(git(&top), &["symbolic-ref", "--quiet", "--short", "HEAD"])?;
        let (branch, is_other) = match (branch, head) {
            (None, None) => {
                bail!(WrongUsage("--commit: HEAD is detached: name a branch with `--branch`".into()))
            }
            (None, Some(head)) => (head, false),
            (Some(branch), head) => (branch.to_owned(), head.as_deref() != Some(branch)),
        };
        if is_other {
            is_free(&top, &branch)?;
        }
        for (file, what) in UNDER_WAY {
            let path = said(git(&top), &["rev-parse", "--git-path", file])?;
            if top.join(OsStr::from_bytes(&path)).exists() {
                bail!("--commit: {what} is under way: end it first");
            }
        }
        let fleet = below(&top, &global.fleet)
            .with_context(|| format!("--commit: `{}` is not in the repository", global.fleet.display()))?;
        let mut target = Target { top, branch, is_other, fleet, tracked_out: None };
        let out = global.out();
        if let Some(out) = below(&target.top, &out)
            && !target.tracked(std::iter::once(out.as_path()))?.is_empty()
        {
            target.tracked_out = Some(out);
        }
        Ok(target)
    }

    /// Where a fleet file is that has all that is asked for: HEAD, the branch, or the branch of the remote.
    pub(super) fn first_with(
        &self,
        global: &Global,
        has_it: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Option<String>> {
        let name = self.fleet.to_str().context("--commit: the path of the fleet file is not UTF-8")?;
        let is_in = |commit: &str| -> anyhow::Result<bool> {
            let output = run(git(&self.top).args(["cat-file", "blob", &format!("{commit}:{name}")]), None)?;
            Ok(output.status.success() && has_it(&String::from_utf8_lossy(&output.stdout)))
        };
        let branch = format!("refs/heads/{}", self.branch);
        for (commit, place) in [("HEAD", "HEAD".to_owned()), (&*branch, format!("`{}`", self.branch))] {
            if is_in(commit)? {
                return Ok(Some(place));
            }
        }
        let Some(remote) = self.remote()? else { return Ok(None) };
        let place = || Some(format!("`{}` of `{remote}`", self.branch));
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", &remote, &branch];
        let fetched = run(git(&self.top).args(fetch), None)?;
        if fetched.status.success() {
            return Ok(is_in("FETCH_HEAD")?.then(place).flatten());
        }
        let why = String::from_utf8_lossy(&fetched.stderr);
        // A branch that only this repository has is no surprise.
        if !why.contains("couldn't find remote ref") && !global.quiet {
            let mut err = std::io::stderr();
            writeln!(
                err,
                "note: `{remote}` was not reached, so what it had last is looked at: {}",
                why.trim()
            )?;
        }
        Ok(is_in(&format!("refs/remotes/{remote}/{}", self.branch))?.then(place).flatten())
    }

    /// The remote of the branch, else the only one, or `origin`.
    fn remote(&self) -> anyhow::Result<Option<String>> {
        if let Some(named) = asked(git(&self.top), &["config", &format!("branch.{}.remote", self.branch)])? {
            return Ok(Some(named));
        }
        let all = said(git(&self.top), &["remote"])?;
        let all = String::from_utf8_lossy(&all);
        let all: Vec<_> = all.lines().collect();
        Ok(match &all[..] {
            [one] => Some((*one).to_owned()),
            all => all.iter().find(|remote| **remote == "origin").map(|remote| (*remote).to_owned()),
        })
    }

    /// Sees that nothing but the promotion would be committed, and that somebody commits it.
    pub(super) fn require_clean(&self) -> anyhow::Result<()> {
        for who in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            said(git(&self.top), &["var", who]).context(
                "--commit: git does not know who commits: set `git config user.name` and `user.email`",
            )?;
        }
        let changed = said(git(&self.top), &["status", "--porcelain", "--untracked-files=no"])?;
        if !changed.is_empty() {
            let changed = String::from_utf8_lossy(&changed).into_owned();
            let few: Vec<_> =
                changed.lines().take(3).map(|line| format!("`{}`", line.get(3..).unwrap_or(line))).collect();
            let more = if changed.lines().count() > few.len() { ", …" } else { "" };
            bail!(
                "--commit: the work tree has changes of its own: {}{more}: commit or stash them first",
                few.join(", ")
            );
        }
        Ok(())
    }

    /// Sees that everything that the fleet is made of is in HEAD, as far as it lies in the repository.
    pub(super) fn require_committed(&self, files: &[PathBuf]) -> anyhow::Result<()> {
        let mut wanted: Vec<_> = files.iter().filter_map(|file| below(&self.top, file)).collect();
        let known = self.tracked(wanted.iter().map(PathBuf::as_path))?;
        wanted.retain(|file| !known.contains(file));
        let Some(first) = wanted.first() else { return Ok(()) };
        let first = first.display();
        let more = if wanted.len() > 1 { format!(", and {} more", wanted.len() - 1) } else { String::new() };
        bail!(
            "--commit: `{first}` is not committed{more}: `git add {first}`, in a commit of its own, \
             so that what is published can be built from every commit"
        );
    }

    /// The files in HEAD that are some paths, or below them.
    fn tracked<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> anyhow::Result<Vec<PathBuf>> {
        let mut command = git(&self.top);
        command.args(["ls-files", "-z", "--"]).args(paths);
        let found = said(command, &[])?;
        let names = found.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
    }

    /// Commits the files, and out/ if that is tracked; says what was made.
    pub(super) fn commit<'a>(
        &self,
        files: impl Iterator<Item = &'a PathBuf>,
        message: &str,
    ) -> anyhow::Result<String> {
        if self.is_other {
            let exists = is_true(
                git(&self.top),
                &["rev-parse", "--quiet", "--verify", &format!("refs/heads/{}", self.branch)],
            )?;
            let create: &[&str] = if exists { &[] } else { &["--create"] };
            said(git(&self.top), &[&["switch", "--quiet"], create, &[&self.branch]].concat())?;
        }
        let paths = files.filter_map(|file| below(&self.top, file)).chain(self.tracked_out.clone());
        let mut add = git(&self.top);
        add.args(["add", "--all", "--"]).args(paths);
        said(add, &[])?;
        let mut commit = git(&self.top);
        commit.args(["commit", "--quiet", "--file=-"]);
        checked(run(&mut commit, Some(message))?, "git commit")?;
        let made = said(git(&self.top), &["rev-parse", "--short", "HEAD"])?;
        Ok(format!("committed {} on `{}`; nothing was pushed", String::from_utf8_lossy(&made), self.branch))
    }
}

/// Whether a branch can take the commit: it is not there yet, or it is where HEAD is.
fn is_free(top: &Path, branch: &str) -> anyhow::Result<()> {
    let name = format!("refs/heads/{branch}");
    if branch.starts_with('-') || !is_true(git(top), &["check-ref-format", &name])? {
        bail!(WrongUsage(format!("--branch: `{branch}` cannot be a branch")));
    }
    let tip = asked(git(top), &["rev-parse", "--quiet", "--verify", &name])?;
    let head = asked(git(top), &["rev-parse", "HEAD"])?;
    if tip.is_some() && tip != head {
        bail!("--branch: `{branch}` is not where HEAD is: `git switch {branch}` first");
    }
    let elsewhere = asked(git(top), &["for-each-ref", "--format=%(worktreepath)", &name])?;
    match elsewhere.filter(|path| !path.is_empty()) {
        Some(path) => bail!("--branch: `{branch}` is checked out in `{path}`"),
        None => Ok(()),
    }
}

/// A path from the top of a work tree; none if it lies elsewhere, or is not there.
fn below(top: &Path, path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    Some(real.strip_prefix(top).ok()?.to_owned())
}

/// `git` in a directory: it takes names as they are, asks nobody, and speaks English.
fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir);
    command.env("LC_ALL", "C").env("GIT_LITERAL_PATHSPECS", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

fn run(command: &mut Command, input: Option<&str>) -> anyhow::Result<Output> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the program `git` cannot be started: --commit needs it")?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).context("git does not read the message")?;
    }
    child.wait_with_output().context("git cannot be waited for")
}

fn checked(output: Output, what: &str) -> anyhow::Result<Vec<u8>> {
    if !output.status.success() {
        let text = [output.stderr, output.stdout].concat();
        bail!("{what}: {}", String::from_utf8_lossy(&text).trim());
    }
    let mut text = output.stdout;
    if text.ends_with(b"\n") {
        text.pop();
    }
    Ok(text)
}

/// The output of a command that must succeed, without its last line end.
fn said(mut command: Command, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = run(command.args(args), None)?;
    checked(output, &format!("git {}", args.first().copied().unwrap_or("failed")))
}

/// The output of a command that may have no answer.
fn asked(mut command: Command, args: &[&str]) -> anyhow::Result<Option<String>> {
    let output = run(command.args(args), None)?;
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    Ok(output.status.success().then_some(text))
}

fn is_true(command: Command, args: &[&str]) -> anyhow::Result<bool> {
    Ok(asked(command, args)?.is_some())
}
