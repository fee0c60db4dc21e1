//! `otapress config`: the configuration of a host for this fleet.

#![expect(clippy::disallowed_types, reason = "what a template sees; nobody reads it back")]

mod busybox;
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

use super::probe;
use super::project::Project;
use crate::context::{Exit, Global, print};
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
    /// Print nothing, but verify the server as it is configured now: probe it there, or where it listens, or
    /// at the site
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    check: Option<Option<String>>,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    if let Some(url) = args.host.to_check() {
        return probe::walk(global, &project, &probe::Args::whole_site(url));
    }
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let text = match &args.host {
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
    };
    if !global.quiet {
        for warning in reach::warnings(&args.host.reached(global)) {
            writeln!(io::stderr(), "warning: {warning}")?;
        }
    }
    print(text)
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

    /// The URL to probe, if `--check` is given; `Some(None)` is the site itself.
    fn to_check(&self) -> Option<Option<String>> {
        match self {
            Host::Nginx { site, .. } | Host::Apache { site, .. } | Host::Lighttpd { site, .. } => {
                site.place.to_check()
            }
            Host::Busybox(args) => args.place.to_check(),
            Host::Systemd(args) => args.to_check(),
            Host::Htpasswd => None,
        }
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

    fn to_check(&self) -> Option<Option<String>> {
        let url = self.check.as_ref()?;
        Some(url.clone().or_else(|| Some(self.listen?.url())))
    }
}

impl SiteArgs {
    fn read(&self, global: &Global, fleet: &Fleet, backend: Backend) -> anyhow::Result<SiteValues> {
        SiteValues::new(global, fleet, &self.place, backend, self.htpasswd.as_deref())
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
