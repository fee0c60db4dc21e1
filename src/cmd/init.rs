//! `otapress init`: a fleet to begin with.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::files::replace;
use crate::context::{Exit, Global, WrongUsage, print};
use otapress_publish::catalog::MAX_JAR;
use otapress_publish::files;
use otapress_publish::fleet::uri::{HttpUri, Site};
use otapress_publish::fleet::{parse, schema};
use otapress_publish::jar::{self, Jar};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which is made if need be [default: that of --fleet]
    dir: Option<PathBuf>,
    /// The URL under which out/ will be served, such as http://ota.example.com
    #[arg(long)]
    site: Option<String>,
    /// The access point of the devices' SIM cards
    #[arg(long, value_name = "NAME")]
    apn: Option<String>,
    /// The vendor of the MIDlet [default: that of the JAR, else Choral]
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// The first release: its name, vendor and version go into the fleet file
    #[arg(long, value_name = "FILE")]
    jar: Option<PathBuf>,
    /// Write the configuration of a CI system, too [default: that of the directory's git remote, if known]
    #[arg(long, value_name = "SYSTEM")]
    ci: Option<Ci>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ci {
    /// GitHub Actions and Forgejo
    Github,
    /// GitLab
    Gitlab,
    /// No CI system
    None,
}

/// Hosts whose CI system is known.
const HOSTS: [(&str, Ci); 4] = [
    ("github.com", Ci::Github),
    ("codeberg.org", Ci::Github),
    ("forgejo.", Ci::Github),
    ("gitlab.", Ci::Gitlab),
];

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let file = match &args.dir {
        Some(dir) => dir.join("fleet.yaml"),
        None => global.fleet.clone(),
    };
    if file.exists() {
        bail!("`{}` is there already, so nothing was written: `otapress edit` changes it", file.display());
    }
    let site = asked(args.site.as_deref(), "--site", "The URL under which out/ will be served: ")?;
    let uri = HttpUri::parse(site.trim_end_matches('/'));
    let uri = uri.map_err(|error| WrongUsage(format!("--site: `{site}` cannot be the site: {error}")))?;
    let Some(site) = Site::new(&uri) else {
        bail!(WrongUsage(format!("--site: `{site}` cannot be the site: it has a query")));
    };
    let apn = asked(args.apn.as_deref(), "--apn", "The access point of the SIM cards: ")?;
    // Somebody is there who was asked for the site or the access point.
    let answers = (args.site.is_none() || args.apn.is_none()) && args.jar.is_none();
    let jar = match answers.then(|| answer("The first JAR (empty: none yet): ")).transpose()? {
        Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
        _ => args.jar.clone(),
    };
    let release = jar.as_deref().map(read_jar).transpose()?;
    let jar = release.as_ref().map(|(jar, _)| jar);
    let vendor = match (&args.vendor, jar) {
        (Some(vendor), Some(jar)) if vendor != jar.vendor() => {
            bail!(WrongUsage(format!("--vendor: the vendor in the JAR is `{}`", jar.vendor())));
        }
        (Some(vendor), _) => vendor.clone(),
        (None, Some(jar)) => jar.vendor().to_owned(),
        (None, None) if answers => match answer(&format!("The vendor of the MIDlet (empty: {VENDOR}): "))? {
            none if none.is_empty() => VENDOR.to_owned(),
            vendor => vendor,
        },
        (None, None) => VENDOR.to_owned(),
    };
    let text = fleet_file(&site, &apn, &vendor, jar, &token()?);
    let loaded = parse(text.clone(), None);
    if let Some(mistake) = loaded.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        bail!(WrongUsage(mistake.message.clone()));
    }
    let dir = file.parent().unwrap_or(Path::new(""));
    let mut files = vec![
        (dir.join("fleet.schema.json"), schema::text().into_bytes()),
        (dir.join(".gitignore"), IGNORED.as_bytes().to_vec()),
        (dir.join(".gitattributes"), ATTRIBUTES.as_bytes().to_vec()),
    ];
    match args.ci.or_else(|| ci_of(dir)) {
        Some(Ci::Github) => {
            files.push((dir.join("ci/action.yml"), include_bytes!("../../ci/action.yml").to_vec()));
            files.push((dir.join(".github/workflows/otapress.yml"), WORKFLOW.as_bytes().to_vec()));
        }
        Some(Ci::Gitlab) => {
            files.push((dir.join(".gitlab-ci.yml"), include_bytes!("../../ci/gitlab.yml").to_vec()));
        }
        Some(Ci::None) | None => {}
    }
    if let Some((jar, bytes)) = &release {
        let name = jar.file_name();
        files.push((dir.join("jars").join(name), bytes.clone()));
    }
    // The fleet file comes last: with it the directory is a fleet. What is there already is the operator's.
    let mut written = Vec::new();
    for (path, content) in files.into_iter().chain([(file.clone(), text.into_bytes())]) {
        if !path.exists() {
            replace(&path, &content)?;
            written.push(format!("`{}`", path.display()));
        }
    }
    if global.quiet {
        return Ok(Exit::Done);
    }
    let option = if args.dir.is_some() { format!(" -f {}", file.display()) } else { String::new() };
    let add = match release {
        Some(_) => String::new(),
        None => format!("  otapress{option} add FILE.jar\n  otapress{option} promote stable VERSION --new\n"),
    };
    print(format!(
        "wrote {}\nnext:\n{add}  otapress{option} edit add-device ID --imei IMEI\n  otapress{option} serve\n",
        written.join(", ")
    ))
}

/// A value that was given, or that somebody types.
fn asked(given: Option<&str>, option: &str, question: &str) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if !io::stdin().is_terminal() {
        bail!(WrongUsage(format!("{option} is missing, and there is no terminal to ask on")));
    }
    match answer(question)? {
        none if none.is_empty() => bail!(WrongUsage(format!("{option} is missing"))),
        text => Ok(text),
    }
}

/// What somebody types on the terminal; may be empty.
fn answer(question: &str) -> anyhow::Result<String> {
    let mut err = io::stderr().lock();
    err.write_all(question.as_bytes())?;
    err.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the terminal")?;
    Ok(line.trim().to_owned())
}

/// The CI system of the host of a directory's git remote.
fn ci_of(dir: &Path) -> Option<Ci> {
    // The directory may be made only now, in a repository that is there.
    let dir = Path::new(".").join(dir);
    let dir = dir.ancestors().find(|dir| dir.is_dir())?;
    let output = Command::new("git").arg("-C").arg(dir).args(["remote", "-v"]).output().ok()?;
    let remotes = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let urls = remotes.lines().filter_map(|line| line.split_whitespace().nth(1));
    // `https://HOST/…`, `ssh://USER@HOST/…`, `USER@HOST:…`
    let hosts = urls.map(|url| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let end = rest.find(['/', ':']).unwrap_or(rest.len());
        rest[..end].rsplit('@').next().unwrap_or_default()
    });
    let mut known = hosts.filter_map(|host| HOSTS.iter().find(|(known, _)| host.starts_with(known)));
    known.next().map(|(_, ci)| *ci)
}

fn read_jar(path: &Path) -> anyhow::Result<(Jar, Vec<u8>)> {
    let bytes = files::read(path, MAX_JAR)?;
    let jar = jar::read(&bytes).map_err(|faults| {
        let fault = faults.into_iter().next().map(|fault| fault.at(path).message).unwrap_or_default();
        anyhow::anyhow!("`{}` cannot be the first release: {fault}", path.display())
    })?;
    Ok((jar, bytes))
}

/// A path component that strangers do not guess: 80 random bits.
fn token() -> anyhow::Result<String> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).context("no random numbers")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The vendor of the firmware.
const VENDOR: &str = "Choral";

fn fleet_file(site: &Site, apn: &str, vendor: &str, jar: Option<&Jar>, token: &str) -> String {
    let site = site.as_str();
    let name = jar.map_or("OwnTracks", Jar::name);
    let quoted = |text: &str| format!("{text:?}");
    let channels = match jar {
        Some(jar) => {
            format!("channels:\n  stable: {}\n\ndefault: {{ channel: stable }}\n", jar.version_text())
        }
        None => "\
# `otapress promote stable VERSION --new` makes the first one, which is that of every device.
channels: {}
"
        .into(),
    };
    format!(
        "\
# yaml-language-server: $schema=./fleet.schema.json
#
# Which devices run which release. `otapress check` finds mistakes, `otapress build` publishes out/.
site: {site} # the URL under which out/ is served; plain http, because the modem knows no https

provisioning: # `otapress show DEVICE --provision` prints it for a device
  otapURI: {site}/files/@/{name}.jad
  # The paths of the responder hold a part that nobody guesses, so that strangers leave no records.
  notifyURI: {site}/otap/{token}/notify?id=@
  versionURI: {site}/otap/{token}/version
  versionInterval: 10800 # seconds between two checks of a device
  apn: {}

midlet: {{ name: {}, vendor: {} }}

# A channel names the release that its devices run; waves, windows and brakes go here, too.
{channels}
# One line for each device; `otapress edit add-device` adds one. Large fleets have them in CSV files \
(`inventory`).
devices: {{}}
",
        quoted(apn),
        quoted(name),
        quoted(vendor),
    )
}

const IGNORED: &str = "\
# The responder's records, secrets, and what builds remember beside out/.
/state
/secrets
.*.otapress-*
";

const ATTRIBUTES: &str = "\
# Devices compare bytes: no line end may change.
*.jar binary
*.jad -text
*.sig binary
/out/** -text
";

const WORKFLOW: &str = "\
name: fleet
on: [push, pull_request]
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
        with: { fetch-depth: 0 }
      - run: cargo install otapress --locked
      - uses: ./ci
";
