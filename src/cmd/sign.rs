//! `otapress sign`: the signature of a JAR, as a file beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::files::replace;
use super::now;
use super::signer::Signer;
use crate::context::{Exit, Global, print};
use crate::report::diagnostics;
use otapress_publish::catalog::MAX_JAR;
use otapress_publish::diag::Diagnostic;
use otapress_publish::fleet::{self, Loaded};
use otapress_publish::signing::{self, Chain, Mismatch, Signature};
use otapress_publish::{files, jar};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The JARs
    #[arg(required = true, value_name = "JAR")]
    jars: Vec<PathBuf>,
    /// The private key in PEM (PKCS #8 or PKCS #1, also encrypted), which openssl reads
    #[arg(long, value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    key: Option<PathBuf>,
    /// A file with the passphrase of the key in its first line; without it, it is asked for once
    #[arg(long, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,
    /// A command for `sh -c` that reads the JAR on its standard input and writes the raw signature
    /// (RSASSA-PKCS1-v1_5 with SHA-1), for keys in tokens
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Replace signatures that are good, too
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  otapress sign jars/OwnTracks-0.10.66.jar --key signer.key
  otapress sign new.jar --command 'openssl dgst -sha1 -sign signer.key' && otapress add new.jar

The signature has to fit the first certificate of `midlet.signing` in the fleet file.";

/// Signs all of the JARs, or none.
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let loaded = fleet::load_within(&global.reach(), &global.fleet);
    let Some(chain) = chain(global, &loaded)? else { return Ok(Exit::Failed) };
    let mut jars = Vec::new();
    for path in &args.jars {
        let jar = files::read(path, MAX_JAR)?;
        if let Err(faults) = jar::read(&jar) {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            bail!("`{}` is not a JAR that a device would install: {}", path.display(), messages.join("; "));
        }
        let file = signing::path(path);
        if !args.force && is_signed(&file, &jar, chain) {
            bail!("`{}` is a good signature already: `--force` replaces it", file.display());
        }
        jars.push((path, file, jar));
    }
    // Nobody is asked for a passphrase before it is clear that there is something to sign.
    let (key, passphrase) = (args.key.as_deref(), args.passphrase_file.as_deref());
    let signer = Signer::new(key, passphrase, args.command.as_deref(), jars.len() > 1)?;
    let mut signatures = Vec::new();
    for (path, file, jar) in jars {
        let signature =
            signer.sign(path, &jar).with_context(|| format!("cannot sign `{}`", path.display()))?;
        fits(chain, &jar, &signature).with_context(|| format!("cannot sign `{}`", path.display()))?;
        signatures.push((file, signature));
    }
    for (file, signature) in signatures {
        replace(&file, signature.to_file().as_bytes())?;
        print(format!("{}\n", file.display()))?;
    }
    Ok(Exit::Done)
}

/// The chain of the fleet; none if there is something wrong with it, which is shown.
fn chain<'a>(global: &Global, loaded: &'a Loaded) -> anyhow::Result<Option<&'a Chain>> {
    let show = |found: &mut dyn Iterator<Item = &Diagnostic>| -> anyhow::Result<()> {
        for diagnostic in found {
            let text = diagnostics::text(diagnostic, &loaded.sources, global.colour());
            std::io::stderr().write_all(text.as_bytes())?;
        }
        Ok(())
    };
    let errors = || loaded.diagnostics.iter().filter(|found| found.is_error());
    let Some(midlet) = &loaded.midlet else {
        show(&mut errors())?;
        return Ok(None);
    };
    let Some(signing) = &midlet.signing else {
        bail!(
            "`{}` names no certificates, and so nobody can say whether the key is the right one: add \
             `signing: {{ certificates: [signer.pem] }}` under `midlet`",
            global.fleet.display()
        );
    };
    let Some(chain) = &signing.chain else {
        show(&mut errors())?;
        return Ok(None);
    };
    let found = signing.validity(&midlet.rules, now());
    show(&mut found.iter().filter(|found| !global.quiet || found.is_error()))?;
    Ok((!found.iter().any(Diagnostic::is_error)).then_some(&**chain))
}

fn is_signed(file: &Path, jar: &[u8], chain: &Chain) -> bool {
    let text = files::read(file, Signature::MAX_FILE);
    text.ok().and_then(|text| Signature::parse(&text).ok()).is_some_and(|old| chain.verify(jar, &old).is_ok())
}

/// Whoever made the signature, it is good only if devices would take it.
fn fits(chain: &Chain, jar: &[u8], signature: &Signature) -> anyhow::Result<()> {
    let Err(mismatch) = chain.verify(jar, signature) else { return Ok(()) };
    let first = &chain.certificates()[0];
    match mismatch {
        Mismatch::Key => bail!("the key does not fit {first}, which is the first: nothing was written"),
        Mismatch::Bytes => bail!("other bytes than the JAR's were signed: nothing was written"),
        Mismatch::Digest(digest) => bail!("{digest} was used instead of SHA-1: nothing was written"),
    }
}
