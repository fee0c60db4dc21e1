//! `otapress config`: the configuration of a host for this fleet.

#![expect(clippy::disallowed_types, reason = "what a template sees; nobody reads it back")]

mod busybox;
mod check;
mod check_args;
mod htpasswd;
mod reach;
mod systemd;
mod templates;
mod values;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::project::Project;
use crate::context::{Exit, Global, print};
use check_args::CheckArgs;
use otapress_publish::fleet::Fleet;
use values::{Backend, Listen, SiteValues};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    host: Host,
}

#[derive(Debug, clap::Subcommand)]
enum Host {
    /// nginx with fcgiwrap, or in front of `otapress serve`
    Nginx {
        #[command(flatten)]
        site: SiteArgs,
        /// Hand the devices' POSTs to `otapress serve` there, instead of to otapress-cgi
        #[arg(long, value_name = "ADDRESS")]
        upstream: Option<SocketAddr>,
        /// The socket of fcgiwrap
        #[arg(
            long,
            value_name = "SOCKET",
            default_value = "/run/fcgiwrap.socket",
            conflicts_with = "upstream"
        )]
        fcgiwrap: PathBuf,
        /// The error log
        #[arg(long, value_name = "FILE", default_value = "/var/log/nginx/otapress.log")]
        error_log: PathBuf,
    },
    /// Apache with mod_cgid
    Apache {
        #[command(flatten)]
        site: SiteArgs,
        /// The error log
        #[arg(long, value_name = "FILE", default_value = "/var/log/apache2/otapress.log")]
        error_log: PathBuf,
    },
    /// lighttpd with mod_cgi
    Lighttpd {
        #[command(flatten)]
        site: SiteArgs,
        /// The responder's log
        #[arg(long, value_name = "FILE", default_value = "/var/log/lighttpd/otapress.log")]
        error_log: PathBuf,
    },
    /// busybox httpd, with the whole site below /cgi-bin/
    Busybox(busybox::Args),
    /// systemd units: of `otapress serve`, of its socket, and of `otapress relay`
    Systemd(systemd::Args),
    /// The users and hashed passwords for basic auth on JADs and JARs
    Htpasswd,
}

#[derive(Debug, clap::Args)]
struct SiteArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The password file, if the fleet has otapUser [default: secrets/htpasswd beside the fleet file]
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// Where the server listens: a port, or an address and a port [default: the port of `site`]
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Option<Listen>,
    /// The program for the devices' POSTs [default: otapress-cgi beside otapress]
    #[arg(long, value_name = "FILE")]
    cgi: Option<PathBuf>,
    /// The user that the server runs programs as, for --check
    #[arg(long, value_name = "NAME", default_value = "www-data")]
    user: String,
    #[command(flatten)]
    check: CheckArgs,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    if args.host.check().is_some_and(CheckArgs::is_wanted) {
        return check::run(global, &project, &args.host);
    }
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let text = text(global, fleet, &args.host)?;
    if !global.quiet {
        for warning in reach::warnings(&args.host.reached(global)) {
            writeln!(io::stderr(), "warning: {warning}")?;
        }
    }
    print(text)
}

/// The configuration.
fn text(global: &Global, fleet: &Fleet, host: &Host) -> anyhow::Result<String> {
    Ok(match host {
        Host::Nginx { site, upstream, fcgiwrap, error_log } => {
            #[derive(Serialize)]
            struct Nginx {
                #[serde(flatten)]
                site: SiteValues,
                upstream: Option<SocketAddr>,
                fcgiwrap: String,
                error_log: String,
            }
            let nginx = Nginx {
                site: site.read(global, fleet, upstream.map_or(Backend::Cgi, |_| Backend::Http))?,
                upstream: *upstream,
                fcgiwrap: values::path(fcgiwrap)?,
                error_log: values::path(error_log)?,
            };
            templates::render(fleet, "nginx.conf", &nginx)?
        }
        Host::Apache { site, error_log } => with_log(global, fleet, site, error_log, "apache.conf")?,
        Host::Lighttpd { site, error_log } => with_log(global, fleet, site, error_log, "lighttpd.conf")?,
        Host::Busybox(args) => busybox::text(global, fleet, args)?,
        Host::Systemd(args) => systemd::text(global, fleet, args)?,
        Host::Htpasswd => htpasswd::lines(fleet)?,
    })
}

impl Host {
    /// The paths that the server's user must reach.
    fn reached(&self, global: &Global) -> Vec<PathBuf> {
        let (place, has_program) = match self {
            Host::Nginx { site, upstream, .. } => (&site.place, upstream.is_none()),
            Host::Apache { site, .. } | Host::Lighttpd { site, .. } => (&site.place, true),
            Host::Busybox(args) => (&args.place, true),
            // The daemon's user is often a member of the right group.
            Host::Systemd(_) | Host::Htpasswd => return Vec::new(),
        };
        let program = has_program.then(|| place.program().ok()).flatten();
        let absolute = |path| std::path::absolute(path).ok();
        [Some(global.out()), program].into_iter().flatten().filter_map(absolute).collect()
    }

    /// What is to be verified; `None` if there is no server.
    fn check(&self) -> Option<&CheckArgs> {
        match self {
            Host::Nginx { site, .. } | Host::Apache { site, .. } | Host::Lighttpd { site, .. } => {
                Some(&site.place.check)
            }
            Host::Busybox(args) => Some(&args.place.check),
            Host::Systemd(args) => Some(&args.check),
            Host::Htpasswd => None,
        }
    }

    /// Where the server listens, if that is given.
    fn address(&self) -> Option<String> {
        let listen = match self {
            Host::Nginx { site, .. } | Host::Apache { site, .. } | Host::Lighttpd { site, .. } => {
                site.place.listen
            }
            Host::Busybox(args) => args.place.listen,
            Host::Systemd(args) => return Some(args.address()),
            Host::Htpasswd => None,
        };
        listen.map(Listen::url)
    }
}

impl PlaceArgs {
    /// The program for the devices' POSTs.
    fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.cgi {
            Some(cgi) => Ok(cgi.clone()),
            None => {
                Ok(std::env::current_exe().context("where this program is")?.with_file_name("otapress-cgi"))
            }
        }
    }
}

impl SiteArgs {
    fn read(&self, global: &Global, fleet: &Fleet, backend: Backend) -> anyhow::Result<SiteValues> {
        SiteValues::new(global, fleet, &self.place, backend, self.htpasswd(fleet).as_deref())
    }

    /// The password file, if the fleet needs one.
    fn htpasswd(&self, fleet: &Fleet) -> Option<PathBuf> {
        let asks = fleet.groups().iter().any(|group| group.provisioning.auth.is_some());
        let usual = || fleet.file().with_file_name("secrets").join("htpasswd");
        asks.then(|| self.htpasswd.clone().unwrap_or_else(usual))
    }
}

fn with_log(
    global: &Global,
    fleet: &Fleet,
    site: &SiteArgs,
    error_log: &std::path::Path,
    template: &str,
) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct WithLog {
        #[serde(flatten)]
        site: SiteValues,
        error_log: String,
    }
    let values =
        WithLog { site: site.read(global, fleet, Backend::Cgi)?, error_log: values::path(error_log)? };
    templates::render(fleet, template, &values)
}
