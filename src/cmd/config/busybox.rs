//! busybox httpd, which runs programs below `/cgi-bin/` and knows little else: no headers of its own choice,
//! and a POST to a file is refused. So the whole site lies below the path of `otapress-cgi`, which sends the
//! files, too.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use serde::Serialize;

use super::values::{self, Backend, SiteValues};
use super::{PlaceArgs, htpasswd, templates};
use crate::context::Global;
use otapress_core::out::JARS;
use otapress_publish::fleet::uri::HttpUri;
use otapress_publish::fleet::{Fleet, Provisioning, Spanned};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// The directory with cgi-bin/ in it [default: www beside the fleet file]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// The httpd.conf.
pub(crate) fn text(global: &Global, fleet: &Fleet, args: &Args) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Busybox {
        #[serde(flatten)]
        site: SiteValues,
        root: String,
        name: String,
        auth: Vec<String>,
    }
    let name = program(fleet)?;
    let root = args.root.clone().unwrap_or_else(|| fleet.file().with_file_name("www"));
    let values = Busybox {
        site: SiteValues::new(global, fleet, &args.place, Backend::Cgi, None)?,
        root: values::path(&root)?,
        name,
        auth: auth(fleet)?,
    };
    templates::render(fleet, "busybox.conf", &values)
}

/// The program's name in cgi-bin/: the site is everything below it.
fn program(fleet: &Fleet) -> anyhow::Result<String> {
    let uri = fleet.site().uri();
    let path = uri.path();
    let name = path.strip_prefix("/cgi-bin/").unwrap_or_default();
    let lie_below = provisionings(fleet)
        .flat_map(|provisioning| [&provisioning.version_uri, &provisioning.notify_uri])
        .all(|uri| uri.value.below(fleet.site()).is_some());
    if name.is_empty() || name.contains('/') || !lie_below {
        bail!(
            "busybox httpd answers POSTs below /cgi-bin/ only, so that the whole site must lie there: in \
             `{}`, let `site` \
             be `http://{}/cgi-bin/ota`, and let otapURI, notifyURI and versionURI begin with that",
            fleet.file().display(),
            uri.host()
        );
    }
    Ok(name.into())
}

/// Lines that protect JADs and JARs: busybox protects all that begins with a path.
fn auth(fleet: &Fleet) -> anyhow::Result<Vec<String>> {
    let site = fleet.site();
    let mut dirs = BTreeSet::new();
    for provisioning in provisionings(fleet).filter(|provisioning| provisioning.auth.is_some()) {
        let jad = provisioning.otap_uri.value.below(site).unwrap_or_default();
        // The directory above the first clientID.
        let dir = jad.split('@').next().and_then(|plain| plain.rsplit_once('/')).map_or("", |(dir, _)| dir);
        let opens = |uri: &Spanned<HttpUri>| uri.value.below(site).is_some_and(|path| path.starts_with(dir));
        if dir.is_empty() || provisionings(fleet).any(|p| opens(&p.version_uri) || opens(&p.notify_uri)) {
            bail!(
                "busybox httpd asks for passwords by directory: let the otapURI `{}` lie in one where \
                 versionURI and \
                 notifyURI do not, such as `{}/files/@/{}`",
                provisioning.otap_uri.value.as_str(),
                site.as_str(),
                jad.rsplit('/').next().unwrap_or_default(),
            );
        }
        dirs.extend([dir.to_owned(), JARS.to_owned()]);
    }
    if dirs.is_empty() {
        return Ok(Vec::new());
    }
    let (users, prefix) = (htpasswd::lines(fleet)?, site.uri().path());
    let lines = |dir: &String| users.lines().map(|user| format!("{prefix}/{dir}:{user}")).collect::<Vec<_>>();
    Ok(dirs.iter().flat_map(lines).collect())
}

fn provisionings(fleet: &Fleet) -> impl Iterator<Item = &Provisioning> {
    fleet.groups().iter().map(|group| &group.provisioning)
}
