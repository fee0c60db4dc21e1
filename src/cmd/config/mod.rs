//! `otapress config`: the configuration of a host for this fleet.

mod htpasswd;
mod templates;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;
use serde::Serialize;

use super::project::Project;
use crate::cli::{Global, Outcome, print};
use crate::fleet::Fleet;
use values::{Listen, Site};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
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
        /// The log of what the responder says
        #[arg(long, value_name = "FILE", default_value = "/var/log/lighttpd/otapress.log")]
        error_log: PathBuf,
    },
    /// A systemd unit for `otapress serve`
    Systemd {
        /// Where it listens
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8810")]
        listen: SocketAddr,
        /// The user that it runs as
        #[arg(long, value_name = "NAME", default_value = "otapress")]
        user: String,
    },
    /// The users and hashed passwords for basic auth on JADs and JARs
    Htpasswd,
}

/// What the web servers are told of the site.
#[derive(Debug, clap::Args)]
struct SiteArgs {
    /// Where the server listens: a port, or an address and a port [default: the port of `site`]
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Option<Listen>,
    /// The program for the devices' POSTs [default: otapress-cgi beside otapress]
    #[arg(long, value_name = "FILE")]
    cgi: Option<PathBuf>,
    /// The password file, if the fleet has otapUser [default: secrets/htpasswd beside the fleet file]
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// If a path cannot be written in a configuration, or a template or a password cannot be read.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<Outcome> {
    let project = Project::load(global);
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Outcome::Failed);
    };
    let text = match &args.host {
        Host::Nginx { site, upstream, fcgiwrap, error_log } => {
            #[derive(Serialize)]
            struct Nginx {
                #[serde(flatten)]
                site: Site,
                upstream: Option<SocketAddr>,
                fcgiwrap: String,
                error_log: String,
            }
            let nginx = Nginx {
                site: site.read(global, fleet)?,
                upstream: *upstream,
                fcgiwrap: values::path(fcgiwrap)?,
                error_log: values::path(error_log)?,
            };
            templates::render(fleet.dir(), "nginx.conf", &nginx)?
        }
        Host::Apache { site, error_log } => with_log(global, fleet, site, error_log, "apache.conf")?,
        Host::Lighttpd { site, error_log } => with_log(global, fleet, site, error_log, "lighttpd.conf")?,
        Host::Systemd { listen, user } => systemd(global, fleet, *listen, user)?,
        Host::Htpasswd => htpasswd::lines(fleet)?,
    };
    print(text.as_bytes())
}

impl SiteArgs {
    fn read(&self, global: &Global, fleet: &Fleet) -> anyhow::Result<Site> {
        Site::new(global, fleet, self.listen, self.cgi.as_deref(), self.htpasswd.as_deref())
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
        site: Site,
        error_log: String,
    }
    let values = WithLog { site: site.read(global, fleet)?, error_log: values::path(error_log)? };
    templates::render(fleet.dir(), template, &values)
}

fn systemd(global: &Global, fleet: &Fleet, listen: SocketAddr, user: &str) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Systemd<'a> {
        site: &'a str,
        otapress: String,
        fleet: String,
        out: String,
        state: String,
        listen: SocketAddr,
        privileged_port: bool,
        user: &'a str,
    }
    if user.is_empty() || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        bail!("`{user}` is not the name of a user");
    }
    let values = Systemd {
        site: fleet.site().as_str(),
        otapress: values::path(&std::env::current_exe()?)?,
        fleet: values::path(&global.fleet)?,
        out: values::path(&global.out())?,
        state: values::directory(&global.state())?,
        listen,
        // Linux: net.ipv4.ip_unprivileged_port_start
        privileged_port: listen.port() < 1024,
        user,
    };
    templates::render(fleet.dir(), "systemd.service", &values)
}
