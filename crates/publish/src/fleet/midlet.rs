//! `midlet`: the MIDlet suite that is published.

use std::path::{Component, Path, PathBuf};

use super::raw::{Node, Text};
use super::reader::Reader;
use super::secrets::Secrets;
use super::{Midlet, keys, signing, suite_rules};
use crate::jar::Rules;
use otapress_core::out;

/// The template that is built in.
const DEFAULT_TEMPLATE: &str = "OwnTracks.jad";

/// Where the JARs are unless the file says otherwise.
const DEFAULT_JARS: &str = "jars";

/// The JARs are checked whatever else is wrong with `midlet`.
#[derive(Debug)]
pub(super) struct MidletDraft {
    /// Relative to the directory of fleet.yaml.
    pub jars: PathBuf,
    pub midlet: Option<Midlet>,
}

impl Default for MidletDraft {
    fn default() -> Self {
        MidletDraft { jars: DEFAULT_JARS.into(), midlet: None }
    }
}

pub(super) fn read(reader: &mut Reader, files: Secrets<'_>, node: Node<'_>) -> MidletDraft {
    let at = node.span;
    let Some(mut fields) = reader.fields(node, keys::MIDLET, "`midlet`", at) else {
        return MidletDraft::default();
    };
    let mut text = |name: &str| fields.take(name).and_then(|node| reader.text(node, &format!("`{name}`")));
    let (name, vendor, jars, template) = (text("name"), text("vendor"), text("jars"), text("template"));
    let jars = jars.map_or_else(|| DEFAULT_JARS.into(), |jars| PathBuf::from(&*jars.text));
    let rules = suite_rules::read(reader, &mut fields);
    let renamed = suite_rules::renamed(reader, &mut fields);
    let midlet = name.and_then(|name| midlet(reader, name, vendor, &jars, template));
    let signing = fields.take("signing").map(|node| signing::read(reader, files, &rules, node));
    let midlet = midlet.map(|midlet| Midlet { rules, renamed, signing, ..midlet });
    MidletDraft { jars, midlet }
}

fn midlet(
    reader: &mut Reader,
    name: Text,
    vendor: Option<Text>,
    jars: &Path,
    template: Option<Text>,
) -> Option<Midlet> {
    if out::jar_file(&name.text).is_err() {
        reader.bad_value(
            &name,
            "`name`",
            "a name that can be a file name in a URL: the JAR is published as `<name>.jar`",
        );
    }
    if let Some(template) = &template
        && !matches!(Path::new(&*template.text).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
    {
        reader.bad_value(template, "`template`", "the name of a file in templates/");
    }
    Some(Midlet {
        jars: jars.into(),
        template_span: template.as_ref().unwrap_or(&name).span,
        template: template.map_or_else(|| DEFAULT_TEMPLATE.into(), |text| text.text.into()),
        name: name.text.into(),
        vendor: vendor?.text.into(),
        rules: Rules::default(),
        renamed: false,
        signing: None,
    })
}
