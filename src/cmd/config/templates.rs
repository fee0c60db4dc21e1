//! The templates of the configurations: templates/config/ beside fleet.yaml, else those that are built in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tera::{Context, Tera};

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

/// Renders the template `name`; `dir` is where fleet.yaml is.
pub(crate) fn render(dir: &Path, name: &str, values: &impl Serialize) -> anyhow::Result<String> {
    let mut tera = Tera::default();
    // A configuration is no HTML.
    tera.autoescape_on(Vec::<&str>::new());
    let shared = name.ends_with(".service").then_some(SANDBOX);
    for name in shared.into_iter().chain([name]) {
        let (path, text) = read(dir, name)?;
        tera.add_raw_template(name, &text).with_context(|| failed(&path))?;
    }
    let failed = || failed(&file(dir, name));
    let context = Context::from_serialize(values).with_context(failed)?;
    tera.render(name, &context).with_context(failed)
}

fn read(dir: &Path, name: &str) -> anyhow::Result<(PathBuf, String)> {
    let path = file(dir, name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (_, text) =
                BUILT_IN.iter().find(|(built_in, _)| *built_in == name).context("no such template")?;
            (*text).into()
        }
        Err(error) => return Err(error).with_context(|| format!("the template `{}`", path.display())),
    };
    Ok((path, text))
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join("templates/config").join(name)
}

fn failed(path: &Path) -> String {
    format!("the template `{}` fails", path.display())
}
