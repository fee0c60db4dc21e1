//! `otapress import`: a fleet file from what the predecessor's `otc` prints.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::count;
use crate::context::{Exit, Global, print};
use crate::import::{Imported, Jars, Origin, convert, fleet_file, inventory, read_dbjson, read_showsets};
use crate::report::diagnostics;
use otapress_publish::catalog::{self, Catalog};
use otapress_publish::diag::{Diagnostic, SourceId, Sources};
use otapress_publish::files::Reach;
use otapress_publish::fleet::uri::{HttpUri, Site};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `otc dbjson` prints; `-` for the standard input
    file: PathBuf,
    /// What `otc showsets` prints
    #[arg(long, value_name = "FILE")]
    sets: Option<PathBuf>,
    /// The directory of the JARs that the fleet is to have
    #[arg(long, value_name = "DIR")]
    jars: Option<PathBuf>,
    /// The URL under which out/ will be served
    #[arg(long, value_name = "URL", default_value = PLACEHOLDER)]
    site: String,
    /// The access point of the devices
    #[arg(long, value_name = "NAME", default_value = "internet")]
    apn: String,
    /// Write the devices to a CSV file, which must not exist, instead of into the fleet file
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
}

const PLACEHOLDER: &str = "http://ota.example.com";

/// The fleet file goes to the standard output, and what is not in it is told on the standard error.
#[expect(clippy::disallowed_methods, reason = "the inventory that `--inventory` names")]
pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let site = args.site.strip_suffix('/').unwrap_or(&args.site);
    let site = HttpUri::parse(site).map_err(|error| anyhow!("`{site}` cannot be the site: {error}"))?;
    let Some(site) = Site::new(&site) else {
        bail!("`{}` cannot be the site: it has a query or ends in a slash", args.site);
    };
    let mut sources = Sources::default();
    let file = add(&mut sources, &args.file)?;
    let sets = args.sets.as_ref().map(|path| add(&mut sources, path)).transpose()?;
    let catalog =
        args.jars.as_ref().map(|dir| catalog::load(&Reach::new(&dir.join("x"), &[]), dir, dir, None));

    let mut found = Vec::new();
    let rows = keep(read_dbjson(&sources, file), &mut found);
    let sets = sets.map(|source| keep(read_showsets(&sources, source), &mut found));
    let (catalog, wrong) = catalog.map_or((None, Vec::new()), |(catalog, wrong)| (Some(catalog), wrong));
    found.extend(wrong);
    let jars = catalog.as_ref().map(|catalog| Jars(catalog.versions().collect()));
    let fleet = convert(&rows, sets.as_deref(), jars.as_ref(), &mut found);
    show(global, &found, &sources)?;
    if found.iter().any(Diagnostic::is_error) {
        return Ok(Exit::Failed);
    }

    let midlet = catalog.as_ref().map_or_else(|| Ok(None), midlet)?;
    let origin = Origin {
        site,
        apn: args.apn.clone(),
        midlet: midlet.clone().unwrap_or_else(|| ("OwnTracks".into(), "Choral".into())),
        inventory: args.inventory.as_ref().map(|path| path.display().to_string()),
    };
    if let Some(path) = &args.inventory {
        let table = inventory(&fleet.devices)?;
        let mut file =
            std::fs::File::create_new(path).with_context(|| format!("cannot create `{}`", path.display()))?;
        file.write_all(table.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    print(fleet_file(&fleet, &origin).as_bytes())?;
    if !global.quiet {
        let assumed = [
            (args.site == PLACEHOLDER)
                .then(|| format!("`site` is `{PLACEHOLDER}`: name yours with `--site`")),
            midlet.is_none().then(|| {
                "`midlet` is what the predecessor's JADs say: `--jars` reads it from the JARs".into()
            }),
        ];
        summary(&fleet, found.len(), assumed.into_iter().flatten())?;
    }
    Ok(Exit::Done)
}

fn add(sources: &mut Sources, path: &Path) -> anyhow::Result<SourceId> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read the standard input")?;
        ("<stdin>".into(), bytes)
    } else {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        (path.to_owned(), bytes)
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&b| b == b'\n').count() + 1;
        let column = good.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
        anyhow!("{}:{line}:{column}: this byte is not UTF-8 text", name.display())
    })?;
    Ok(sources.add(name, text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

fn keep<T>(read: Result<(Vec<T>, Vec<Diagnostic>), Diagnostic>, found: &mut Vec<Diagnostic>) -> Vec<T> {
    match read {
        Ok((good, wrong)) => {
            found.extend(wrong);
            good
        }
        Err(wrong) => {
            found.push(wrong);
            Vec::new()
        }
    }
}

fn show(global: &Global, found: &[Diagnostic], sources: &Sources) -> std::io::Result<()> {
    let mut err = std::io::BufWriter::new(std::io::stderr().lock());
    for diagnostic in found.iter().filter(|found| !global.quiet || found.is_error()) {
        err.write_all(diagnostics::text(diagnostic, sources, global.colour()).as_bytes())?;
    }
    err.flush()
}

/// MIDlet-Name and MIDlet-Vendor, which all JARs of a fleet share; none if there are no JARs.
fn midlet(catalog: &Catalog) -> anyhow::Result<Option<(String, String)>> {
    let names: BTreeSet<_> = catalog
        .entries()
        .map(|entry| (entry.jar().name().to_owned(), entry.jar().vendor().to_owned()))
        .collect();
    if names.len() > 1 {
        let names: Vec<_> = names.iter().map(|(name, vendor)| format!("{name} of {vendor}")).collect();
        bail!("the JARs are of several MIDlets, but a fleet has one: {}", names.join(", "));
    }
    Ok(names.into_iter().next())
}

fn summary(fleet: &Imported, left: usize, assumed: impl Iterator<Item = String>) -> std::io::Result<()> {
    let mut err = std::io::stderr().lock();
    writeln!(
        err,
        "imported {}, {}, {}; {} above",
        count(fleet.devices.len(), "device"),
        count(fleet.groups.len(), "group"),
        count(fleet.sets.len(), "settings set"),
        count(left, "remark"),
    )?;
    for line in assumed {
        writeln!(err, "note: {line}")?;
    }
    let called =
        "devices are called by their IMEI, as the predecessor knows no clientIDs: rename those that have one";
    writeln!(err, "note: {called}")?;
    if !fleet.sets.is_empty() {
        let sets = "settings are sent until they are confirmed; `enforce: always` on a set sends them at \
            every check, as the predecessor does without `--once`";
        writeln!(err, "note: {sets}")?;
    }
    Ok(())
}
