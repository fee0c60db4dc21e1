//! The templates of the configurations: templates/config/ beside fleet.yaml, else those that are built in.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use tera::Context;

use otapress_publish::files::{FileError, FileErrorKind};
use otapress_publish::fleet::Fleet;
use otapress_publish::template::bounded::{Bounded, MAX_TEMPLATE};

const BUILT_IN: [(&str, &str); 8] = [
    ("nginx.conf", include_str!("../../../templates/config/nginx.conf")),
    ("apache.conf", include_str!("../../../templates/config/apache.conf")),
    ("lighttpd.conf", include_str!("../../../templates/config/lighttpd.conf")),
    ("busybox.conf", include_str!("../../../templates/config/busybox.conf")),
    ("systemd.service", include_str!("../../../templates/config/systemd.service")),
    ("systemd.socket", include_str!("../../../templates/config/systemd.socket")),
    ("systemd-relay.service", include_str!("../../../templates/config/systemd-relay.service")),
    (SANDBOX, include_str!("../../../templates/config/systemd-sandbox.conf")),
];

/// The sandbox that every service unit includes.
const SANDBOX: &str = "systemd-sandbox.conf";

/// Renders the template `name`.
pub(crate) fn render(fleet: &Fleet, name: &str, values: &impl Serialize) -> anyhow::Result<String> {
    let shared = name.ends_with(".service").then_some(SANDBOX);
    let texts = shared.into_iter().chain([name]).map(|name| Ok((name, read(fleet, name)?)));
    let texts = texts.collect::<anyhow::Result<Vec<_>>>()?;
    let failed = || format!("the template `{}` fails", file(fleet, name).display());
    let templates = Bounded::parse(texts.iter().map(|(name, text)| (*name, &**text))).with_context(failed)?;
    let context = Context::from_serialize(values).with_context(failed)?;
    templates.render(name, context).with_context(failed)
}

fn read(fleet: &Fleet, name: &str) -> anyhow::Result<String> {
    match fleet.reach().text(&file(fleet, name), MAX_TEMPLATE) {
        Err(FileError { kind: FileErrorKind::Io(error), .. }) if error.kind() == ErrorKind::NotFound => {
            let (_, text) =
                BUILT_IN.iter().find(|(built_in, _)| *built_in == name).context("no such template")?;
            Ok((*text).into())
        }
        read => Ok(read?),
    }
}

fn file(fleet: &Fleet, name: &str) -> PathBuf {
    fleet.dir().join("templates/config").join(name)
}
