//! What makes signatures: openssl with a file, or a command of the operator's.
//!
//! A private key is read by these programs alone and never by otapress, so it cannot get into anything that
//! otapress writes; a passphrase passes through otapress only where it is typed once for several JARs.
//! openssl reads every form in which keys are kept, those of old included, and is where certificates are
//! asked for anyway; the crates that could sign know fewer forms, and the advisory RUSTSEC-2023-0071 is open
//! against the one that signs with RSA and SHA-1.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Display, Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context as _, bail};

use super::passphrase;
use otapress_publish::signing::Signature;

/// No key makes a longer signature; with room for what is no signature, in bytes.
const LONGEST: u64 = 64 << 10;

/// Makes signatures.
pub(super) enum Signer {
    Openssl {
        key: PathBuf,
        passphrase: Passphrase,
    },
    /// A command of the shell.
    Shell(String),
}

/// Where the passphrase of a key comes from.
pub(super) enum Passphrase {
    /// openssl asks on the terminal.
    Openssl,
    /// A source as openssl spells it.
    Source(OsString),
    /// It was typed, and its line is handed to openssl for each JAR.
    Typed(Vec<u8>),
}

impl Signer {
    /// Either a key or a command is given: the command line sees to that. Where it is to make `several`
    /// signatures, a passphrase is asked for only once.
    ///
    /// # Errors
    /// If a file cannot be read, or nobody types a passphrase.
    pub(super) fn new(
        key: Option<&Path>,
        passphrase: Option<&Path>,
        command: Option<&str>,
        several: bool,
    ) -> anyhow::Result<Self> {
        if let Some(command) = command {
            return Ok(Signer::Shell(command.into()));
        }
        let key = key.context("name a key")?;
        for (what, file) in [("key", Some(key)), ("passphrase", passphrase)] {
            let Some(file) = file else { continue };
            // Only opened: what is in it is none of our business.
            File::open(file).with_context(|| format!("cannot read the {what} in `{}`", file.display()))?;
        }
        // openssl takes what looks like a URI for one.
        let key = Path::new(".").join(key);
        // openssl asks on the terminal; without one it would take the JAR on its standard input for the
        // passphrase.
        let nothing = || Passphrase::Source("pass:".into());
        let passphrase = match passphrase {
            Some(file) => {
                let mut source = OsString::from("file:");
                source.push(file);
                Passphrase::Source(source)
            }
            None if File::open("/dev/tty").is_err() => nothing(),
            None if !several => Passphrase::Openssl,
            None => match run(openssl(&key, &nothing()), b"")? {
                Ended::Failed(_, said) if is_about_passphrase(&said) => {
                    Passphrase::Typed(passphrase::ask(&format!("Enter pass phrase for {}:", shown(&key)))?)
                }
                _ => nothing(),
            },
        };
        Ok(Signer::Openssl { key, passphrase })
    }

    /// Signs a JAR, the bytes of that file.
    ///
    /// # Errors
    /// What the program says.
    pub(super) fn sign(&self, file: &Path, jar: &[u8]) -> anyhow::Result<Signature> {
        match self {
            Signer::Openssl { key, passphrase } => {
                let mut command = openssl(key, passphrase);
                let input = match passphrase {
                    Passphrase::Typed(line) => {
                        // Its standard input has the passphrase. That it signs these bytes is verified after.
                        command.arg(Path::new(".").join(file));
                        line
                    }
                    Passphrase::Openssl | Passphrase::Source(_) => jar,
                };
                let key = shown(key);
                match run(command, input)? {
                    Ended::Signed(signature) => Ok(signature),
                    Ended::Silent => bail!("openssl made no signature with the key in `{key}`"),
                    Ended::Failed(_, said) if is_about_passphrase(&said) => bail!(
                        "the key in `{key}` is encrypted, and its passphrase is missing or wrong: name a \
                         file with it, \
                         `--passphrase-file FILE`"
                    ),
                    Ended::Failed(status, said) => {
                        let first = said.lines().map(str::trim).find(|line| !line.is_empty());
                        let why = first.map_or_else(|| status.to_string(), str::to_owned);
                        bail!("openssl cannot use the key in `{key}`: {why}")
                    }
                }
            }
            Signer::Shell(text) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(text);
                match run(command, jar)? {
                    Ended::Signed(signature) => Ok(signature),
                    Ended::Silent => bail!("the command wrote nothing to its standard output"),
                    Ended::Failed(status, _) => bail!("the command ended with {status}"),
                }
            }
        }
    }
}

/// Signs what is named after it, or what its standard input has.
fn openssl(key: &Path, passphrase: &Passphrase) -> Command {
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha1", "-sign"]).arg(key).stderr(Stdio::piped());
    match passphrase {
        Passphrase::Openssl => {}
        Passphrase::Source(source) => drop(command.arg("-passin").arg(source)),
        Passphrase::Typed(_) => drop(command.args(["-passin", "stdin"])),
    }
    command
}

/// The key as it was named.
fn shown(key: &Path) -> Display<'_> {
    key.strip_prefix(".").unwrap_or(key).display()
}

/// How a program ended.
enum Ended {
    Signed(Signature),
    /// Well, and without a signature.
    Silent,
    /// Its status, and what it said on its standard error if that was piped.
    Failed(ExitStatus, String),
}

/// openssl has no status for it.
fn is_about_passphrase(said: &str) -> bool {
    ["bad decrypt", "password", "pass phrase"].iter().any(|words| said.contains(words))
}

/// Runs a program with that on its standard input; what it writes is the signature.
fn run(mut command: Command, input: &[u8]) -> anyhow::Result<Ended> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!("`{name}` is not installed"),
        _ => anyhow::Error::new(error).context(format!("cannot start `{name}`")),
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (signature, said) = thread::scope(|scope| {
        // A program that ends early closes the pipe, and its status says why.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input)));
        let said = scope.spawn(|| {
            let mut said = Vec::new();
            let read = stderr.map(|stderr| stderr.take(LONGEST).read_to_end(&mut said));
            read.transpose().map(|_| said)
        });
        let mut signature = Vec::new();
        let read = stdout.map(|stdout| stdout.take(LONGEST).read_to_end(&mut signature)).transpose();
        let said = said.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.and(said).map(|said| (signature, said))
    })?;
    let status = child.wait()?;
    Ok(match (status.success(), signature.is_empty()) {
        (false, _) => Ended::Failed(status, String::from_utf8_lossy(&said).into_owned()),
        (true, true) => Ended::Silent,
        (true, false) => Ended::Signed(Signature::of_bytes(signature)),
    })
}
