//! `otapress add`: JARs into the catalog.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::files::replace;
use super::project::Project;
use crate::context::{Exit, Global, print};
use crate::report::{diagnostics, json};
use otapress_core::version::Version;
use otapress_core::wire::Site;
use otapress_publish::catalog::{self, Catalog, MAX_JAR};
use otapress_publish::diag::{Code, Diagnostic, Sources};
use otapress_publish::files;
use otapress_publish::fleet::Midlet;
use otapress_publish::jar::{self, Jar};
use otapress_publish::publish::scan::read_site;
use otapress_publish::regression;
use otapress_publish::signing::{self, Signature};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The JARs
    #[arg(required = true, value_name = "JAR")]
    jars: Vec<PathBuf>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command: all of the JARs are good, or none is added.
#[expect(clippy::disallowed_methods, reason = "the directory of the JARs, for the first")]
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    let Some(midlet) = &project.loaded().midlet else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let dir = global.fleet.parent().unwrap_or(Path::new("")).join(&midlet.jars);
    // Without the fleet's rules, to know what is there even if some of it is not good.
    let (catalog, _) = catalog::load(&global.reach(), &dir, &dir, None);
    let published = read_site(&global.out()).ok().flatten();
    let (mut good, mut found) = (Vec::new(), Vec::new());
    for path in &args.jars {
        let (jar, wrong) = validate(path, midlet, &catalog, published.as_ref());
        good.extend(jar.map(|good| (path, good)));
        found.extend(wrong);
    }
    // The same bytes given twice are one JAR.
    let mut wanted: BTreeMap<Version, &(&PathBuf, Good)> = BTreeMap::new();
    for this in &good {
        let (path, Good { jar, bytes, .. }) = this;
        let first = *wanted.entry(jar.version()).or_insert(this);
        if first.1.bytes != *bytes {
            let message = format!("version {} is given twice, with different bytes", jar.version_text());
            let hint = format!("add only one of this and `{}`", first.0.display());
            found.push(Diagnostic::new(Code::VersionConflict, path.as_path(), message).hint(hint));
        }
    }
    for diagnostic in found.iter().filter(|diagnostic| !global.quiet || diagnostic.is_error()) {
        let text = diagnostics::text(diagnostic, &Sources::default(), global.colour());
        std::io::stderr().write_all(text.as_bytes())?;
    }
    if found.iter().any(Diagnostic::is_error) {
        return Ok(Exit::Failed);
    }

    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let mut added = Vec::new();
    for (_, Good { jar, bytes, signature }) in wanted.into_values() {
        let known = catalog.get(jar.version());
        let path = match known {
            Some(entry) => entry.shown_as().to_owned(),
            None => write(&dir, jar, bytes)?,
        };
        if let Some(signature) = signature {
            replace(&signing::path(&path), signature.to_file().as_bytes())?;
        }
        if !args.json {
            let note = match (known.is_some(), signature.is_some()) {
                (true, true) => " (was there; with its signature)",
                (true, false) => " (was there)",
                (false, true) => " (with its signature)",
                (false, false) => "",
            };
            print(format!("{}  {}  {}{note}\n", jar.version_text(), jar.sha256(), path.display()))?;
        }
        added.push(json!({
            "version": jar.version_text(),
            "sha256": jar.sha256().to_string(),
            "size": jar.size(),
            "file": path.display().to_string(),
            "added": known.is_none(),
            "signed": signature.is_some(),
        }));
    }
    if args.json {
        print(json::text(&added))?;
    }
    Ok(Exit::Done)
}

/// A JAR that may be added.
struct Good {
    jar: Jar,
    bytes: Vec<u8>,
    /// The signature that lies beside it.
    signature: Option<Signature>,
}

/// The JAR, if it fits the fleet and what is known of the version, and all that is wrong with it.
fn validate(
    path: &Path,
    midlet: &Midlet,
    catalog: &Catalog,
    published: Option<&Site>,
) -> (Option<Good>, Vec<Diagnostic>) {
    let bytes = match files::read(path, MAX_JAR) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("the file {}", error.kind);
            return (None, vec![Diagnostic::new(Code::JarUnreadable, path, message)]);
        }
    };
    let (jar, faults) = jar::judge(&bytes, &midlet.rules);
    let mut found: Vec<_> = faults.into_iter().map(|fault| fault.at(path)).collect();
    let Some(jar) = jar else { return (None, found) };
    for (attribute, is, wanted) in
        [("MIDlet-Name", jar.name(), &midlet.name), ("MIDlet-Vendor", jar.vendor(), &midlet.vendor)]
    {
        if is != wanted {
            let message = format!("{attribute} is `{is}`, but the fleet's MIDlet has `{wanted}`");
            found.push(
                Diagnostic::new(Code::WrongMidlet, path, message)
                    .hint("build the JAR with the fleet's name and vendor"),
            );
        }
    }
    let known = catalog.get(jar.version());
    if let Some(entry) = known.filter(|entry| entry.sha256() != jar.sha256()) {
        let message = format!(
            "version {} is already in the catalog with different content: `{}`",
            jar.version_text(),
            entry.shown_as().display()
        );
        found.push(
            Diagnostic::new(Code::VersionConflict, path, message)
                .hint("give the new JAR a new MIDlet-Version"),
        );
    } else if published
        .into_iter()
        .flat_map(|site| &site.releases)
        .any(|release| release.version.parse() == Ok(jar.version()) && release.sha256 != jar.sha256())
    {
        let message = format!("version {} is already published with different content", jar.version_text());
        found.push(
            Diagnostic::new(Code::VersionChanged, path, message)
                .hint("give the new JAR a new MIDlet-Version"),
        );
    }
    found.extend(published.into_iter().flat_map(|site| regression::of(site, &jar, path, midlet)));
    let file = files::read(&signing::path(path), Signature::MAX_FILE);
    let (signature, wrong) = signing::beside(file, path, &bytes, midlet.signing.as_ref(), &midlet.rules);
    found.extend(wrong);
    let is_refused = found.iter().any(Diagnostic::is_error);
    ((!is_refused).then_some(Good { jar, bytes, signature }), found)
}

/// Writes `<Name>-<Version>.jar` whole or not at all.
#[expect(clippy::disallowed_methods, reason = "a new JAR in jars/")]
fn write(dir: &Path, jar: &Jar, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = dir.join(jar.file_name());
    let failed = || format!("cannot write `{}`", path.display());
    let mut temp = tempfile::NamedTempFile::new_in(dir).with_context(failed)?;
    temp.write_all(bytes).with_context(failed)?;
    temp.as_file().set_permissions(PermissionsExt::from_mode(0o644)).with_context(failed)?;
    temp.as_file().sync_all().with_context(failed)?;
    temp.persist_noclobber(&path).with_context(failed)?;
    Ok(path)
}
