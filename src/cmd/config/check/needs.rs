//! What each host's configuration needs of the machine.

use std::path::{Path, PathBuf};

use super::super::{Host, PlaceArgs, SiteArgs, systemd};
use super::services::Way;
use crate::context::Global;
use otapress_publish::fleet::Fleet;

/// Where administrators put units.
const UNITS: &str = "/etc/systemd/system";
/// Where packages do; such a unit is not what is printed.
const PACKAGED_UNITS: &str = "/usr/lib/systemd/system";

#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The user that reads `out/` and runs the responder.
    pub(super) user: String,
    /// What the user must be able to read besides `out/`.
    pub(super) reads: Vec<PathBuf>,
    /// What the user must be able to run.
    pub(super) runs: Option<PathBuf>,
    /// Whether the user writes the records.
    pub(super) writes_state: bool,
    pub(super) reached_by: Way,
    /// Each of these is a unit, or several of which one is enough.
    pub(super) units: Vec<&'static [&'static str]>,
    /// Where the printed file may be.
    pub(super) installed: Vec<PathBuf>,
    /// What systemd reads a password from.
    pub(super) environment: Option<PathBuf>,
}

impl Needs {
    pub(super) fn of(global: &Global, fleet: &Fleet, host: &Host) -> anyhow::Result<Needs> {
        match host {
            Host::Nginx { site, upstream: Some(upstream), .. } => Ok(Needs {
                reached_by: Way::Upstream(*upstream),
                units: vec![&["nginx.service"]],
                ..Needs::of_site(fleet, site, NGINX)
            }),
            Host::Nginx { site, fcgiwrap, .. } => Ok(Needs {
                reached_by: Way::Fcgiwrap { socket: fcgiwrap.clone(), user: site.place.user.clone() },
                units: vec![&["nginx.service"], &["fcgiwrap.socket", "fcgiwrap.service"]],
                ..Needs::of_program(&site.place, Needs::of_site(fleet, site, NGINX))?
            }),
            Host::Apache { site, .. } => Ok(Needs {
                units: vec![&["apache2.service", "httpd.service"]],
                ..Needs::of_program(&site.place, Needs::of_site(fleet, site, APACHE))?
            }),
            Host::Lighttpd { site, .. } => Ok(Needs {
                units: vec![&["lighttpd.service"]],
                ..Needs::of_program(&site.place, Needs::of_site(fleet, site, LIGHTTPD))?
            }),
            Host::Busybox(args) => {
                Needs::of_program(&args.place, Needs::of_place(&args.place, &["/etc/otapress-httpd.conf"]))
            }
            Host::Systemd(args) => Ok(Needs::of_unit(global, fleet, args)),
            Host::Htpasswd => Ok(Needs::default()),
        }
    }

    fn of_place(place: &PlaceArgs, files: &[&str]) -> Needs {
        let installed = place.check.installed_or(files.iter().map(PathBuf::from));
        Needs { user: place.user.clone(), installed, ..Needs::default() }
    }

    fn of_site(fleet: &Fleet, site: &SiteArgs, files: &[&str]) -> Needs {
        Needs { reads: site.htpasswd(fleet).into_iter().collect(), ..Needs::of_place(&site.place, files) }
    }

    fn of_program(place: &PlaceArgs, needs: Needs) -> anyhow::Result<Needs> {
        Ok(Needs { runs: Some(place.program()?), writes_state: true, ..needs })
    }

    fn of_unit(global: &Global, fleet: &Fleet, args: &systemd::Args) -> Needs {
        let unit = args.unit();
        let dir = fleet.dir();
        let is_packaged = Path::new(PACKAGED_UNITS).join(unit).exists();
        let own = Path::new(UNITS).join(unit);
        let places = (!is_packaged || own.exists()).then_some(own);
        let state = global.state();
        Needs {
            user: args.user().into(),
            reads: fleet
                .secret_files()
                .iter()
                .map(|file| dir.join(file))
                .chain([global.fleet.clone()])
                .collect(),
            runs: std::env::current_exe().ok(),
            writes_state: true,
            units: vec![args.units()],
            installed: args.check.installed_or(places.into_iter()),
            environment: state.directory().is_none().then(|| "/etc/otapress.env".into()),
            ..Needs::default()
        }
    }
}

const NGINX: &[&str] = &[
    "/etc/nginx/conf.d/otapress.conf",
    "/etc/nginx/sites-enabled/otapress",
    "/etc/nginx/sites-enabled/otapress.conf",
];
const APACHE: &[&str] = &["/etc/apache2/sites-enabled/otapress.conf", "/etc/httpd/conf.d/otapress.conf"];
const LIGHTTPD: &[&str] =
    &["/etc/lighttpd/conf-enabled/90-otapress.conf", "/etc/lighttpd/conf-enabled/otapress.conf"];
