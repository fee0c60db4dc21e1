//! The paths at which a responder answers: those of all hosts share one name space with out/.

use super::provisioning::Provisioning;
use super::reader::Reader;
use super::uri::{HttpUri, Site};
use super::{Group, Spanned};
use crate::diag::{Code, Diagnostic};
use otapress_core::out::{ANSWERS, JARS, SITE_FILE};

/// Reports URIs of the responder that name a published file.
pub(super) fn check(reader: &mut Reader, site: &Site, groups: &[Group]) {
    let provisionings = || groups.iter().map(|group| &group.provisioning);
    let jads = || provisionings().flat_map(jad_paths);
    for provisioning in provisionings() {
        for (name, uri) in
            [("versionURI", &provisioning.version_uri), ("notifyURI", &provisioning.notify_uri)]
        {
            let Some(path) = path(&uri.value, site) else { continue };
            let first = path.split_once('/').map(|(first, _)| first);
            let is_file =
                path == SITE_FILE || matches!(first, Some(JARS | ANSWERS)) || jads().any(|jad| jad == path);
            if is_file {
                report(reader, name, uri, path);
            }
        }
    }
}

fn jad_paths(provisioning: &Provisioning) -> impl Iterator<Item = &str> {
    let former = provisioning.formerly.jad_paths.iter().map(|path| path.value.as_str());
    former.chain([provisioning.jad_path.as_str()])
}

/// The path below out/, without the query.
fn path<'a>(uri: &'a HttpUri, site: &Site) -> Option<&'a str> {
    let below = uri.path_below(site)?;
    Some(below.split_once('?').map_or(below, |(path, _)| path))
}

fn report(reader: &mut Reader, name: &str, uri: &Spanned<HttpUri>, path: &str) {
    let diagnostic = Diagnostic::new(
        Code::PathCollision,
        uri.span,
        format!("the path of `{name}` is one of published files: `{path}`"),
    )
    .hint("use another path, such as `/otap/…`: the responder answers there, whatever the host");
    if !reader.found.contains(&diagnostic) {
        reader.report(diagnostic);
    }
}
