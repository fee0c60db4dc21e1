//! `keep`: what a host may put into out/.

use std::collections::BTreeSet;

use super::raw::Node;
use super::reader::Reader;
use otapress_core::out::TEMP_PREFIX;
use otapress_core::out_path::OutPath;

/// Reads the names. Only hidden files can be kept: every other one could be a JAD of a next release.
pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in reader.texts(node, "names") {
        let name = &*text.text;
        let is_name = name.parse::<OutPath>().is_ok() && !name.contains('/');
        if is_name && name.starts_with('.') && !name.starts_with(TEMP_PREFIX) {
            names.insert(name.to_owned());
        } else {
            reader.bad_value(
                &text,
                "`keep`",
                "the name of a hidden file or directory, such as `.well-known`",
            );
        }
    }
    names
}
