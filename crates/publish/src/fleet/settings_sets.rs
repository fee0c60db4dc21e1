//! `settings`: named sets of settings, linted by what the firmware does with them.

use std::collections::BTreeMap;

use super::keys;
use super::raw::{Node, Text, Value};
use super::reader::{Reader, did_you_mean};
use super::secrets::Secrets;
use crate::diag::{Code, Diagnostic, Span};
use crate::settings::{INTERNAL, KEYS, corrupting_key, corrupting_text, find, value_fault};

/// A named set.
#[derive(Clone, Debug)]
pub(super) struct SettingsSet {
    /// Its name.
    pub span: Span,
    pub values: BTreeMap<String, SetValue>,
    /// Sent at every check, not only until confirmed.
    pub always: bool,
}

/// A value of a set.
#[derive(Clone, Debug)]
pub(super) struct SetValue {
    pub text: String,
    pub span: Span,
    /// The file that it comes from, if it is an otapPassword.
    pub file: Option<Box<str>>,
}

/// Where the secrets of a set are, and how long one may be.
#[derive(Clone, Copy)]
struct Passwords<'a> {
    secrets: Secrets<'a>,
    limit: usize,
}

/// Reads a set: settings at once, or `values`, `enforce` and `allow`.
pub(super) fn read(
    reader: &mut Reader,
    secrets: Secrets<'_>,
    limit: usize,
    name: &Text,
    node: Node<'_>,
) -> SettingsSet {
    let passwords = Passwords { secrets, limit };
    let what = format!("settings set `{}`", name.text);
    let has = |wanted: &str| match &node.value {
        Value::Map(entries) => {
            entries.iter().any(|(key, _)| matches!(&key.value, Value::Scalar(text) if &**text == wanted))
        }
        _ => false,
    };
    // No setting of the firmware has one of these names.
    let long = keys::SET.iter().any(|key| has(key.name));
    if !long {
        return SettingsSet {
            span: name.span,
            values: values(reader, passwords, node, &what, name, &[]),
            always: false,
        };
    }
    let Some(mut fields) = reader.fields(node, keys::SET, &what, name.span) else {
        return SettingsSet { span: name.span, values: BTreeMap::new(), always: false };
    };
    let allow = fields.take("allow").map(|node| reader.texts(node, "keys")).unwrap_or_default();
    let always = fields
        .take("enforce")
        .and_then(|node| reader.one_of(node, "`enforce`", &["until-confirmed", "always"]))
        .is_some_and(|index| index == 1);
    let values = match fields.take("values") {
        Some(node) => values(reader, passwords, node, &what, name, &allow),
        None => BTreeMap::new(),
    };
    for key in allow.iter().filter(|key| !values.contains_key(&*key.text)) {
        reader.report(
            Diagnostic::new(Code::Unused, key.span, format!("{what} has no `{}` to allow", key.text)).hint(
                did_you_mean(&key.text, values.keys().map(String::as_str))
                    .unwrap_or_else(|| "remove it, so that nobody adds the key by mistake".into()),
            ),
        );
    }
    SettingsSet { span: name.span, values, always }
}

fn values(
    reader: &mut Reader,
    passwords: Passwords<'_>,
    node: Node<'_>,
    what: &str,
    name: &Text,
    allow: &[Text],
) -> BTreeMap<String, SetValue> {
    let mut values = BTreeMap::new();
    for (key, node) in reader.entries(node, what, name.span).unwrap_or_default() {
        if &*key.text == "otapPassword" {
            check_allowed(reader, &key, allow);
            if let Some(value) = password(reader, passwords, &key, node) {
                values.insert(key.text.into(), value);
            }
            continue;
        }
        let value = match node.value {
            Value::Null => {
                reader.report(
                    Diagnostic::new(Code::WrongType, key.span, format!("`{}` has no value", key.text))
                        .hint("write `\"\"` to delete the setting on the device"),
                );
                continue;
            }
            _ => match reader.text(node, &format!("the value of `{}`", key.text)) {
                Some(value) => value,
                None => continue,
            },
        };
        lint(reader, &key, &value, allow);
        let value = SetValue { text: value.text.into(), span: value.span, file: None };
        values.insert(key.text.to_string(), value);
    }
    values
}

/// `otapPassword: { file: … }`: fleet.yaml holds no secret.
fn password(reader: &mut Reader, passwords: Passwords<'_>, key: &Text, node: Node<'_>) -> Option<SetValue> {
    let Value::Map(_) = node.value else {
        reader.report(
            Diagnostic::new(Code::SecretInFleet, key.span, "`otapPassword` is written in the fleet file")
                .hint("write it into a file, and `otapPassword: { file: secrets/otap }`"),
        );
        return None;
    };
    let mut fields = reader.fields(node, keys::PASSWORD, "`otapPassword`", key.span)?;
    let file = fields.take("file").and_then(|node| reader.text(node, "`file`"))?;
    let text = passwords.secrets.read(reader, &file, passwords.limit).unwrap_or_default();
    Some(SetValue { text, span: file.span, file: Some(file.text) })
}

fn lint(reader: &mut Reader, key: &Text, value: &Text, allow: &[Text]) {
    let name = &*key.text;
    if let Some(why) = corrupting_key(name) {
        return reader.report(
            Diagnostic::new(Code::CorruptingSetting, key.span, format!("the key {name:?} {why}")).hint(
                "the device keeps its settings as `key=value` lines of ASCII; this would corrupt the file",
            ),
        );
    }
    if let Some(why) = corrupting_text(&value.text) {
        reader.report(
            Diagnostic::new(Code::CorruptingSetting, value.span, format!("the value of `{name}` {why}"))
                .hint(
                    "the device keeps its settings as `key=value` lines of ASCII; this would corrupt the \
                    file",
                ),
        );
    }
    if INTERNAL.contains(&name) {
        return reader.report(
            Diagnostic::new(
                Code::InternalSetting,
                key.span,
                format!("`{name}` belongs to the firmware alone"),
            )
            .hint("remove it"),
        );
    }
    let Some(known) = find(name) else {
        return reader.report(
            Diagnostic::new(
                Code::UnknownSetting,
                key.span,
                format!("the firmware knows no setting `{name}`"),
            )
            .hint(
                did_you_mean(name, KEYS.iter().map(|key| key.name).chain(INTERNAL.iter().copied()))
                    .unwrap_or_else(|| "check the spelling; case matters".into()),
            ),
        );
    };
    if let Some(fault) = value_fault(known, &value.text) {
        reader.report(
            Diagnostic::new(Code::BadSettingValue, value.span, fault)
                .hint("the device reads anything else as 0 or keeps it as it is"),
        );
    }
    check_allowed(reader, key, allow);
}

/// A dangerous key must be allowed by its set.
fn check_allowed(reader: &mut Reader, key: &Text, allow: &[Text]) {
    let name = &*key.text;
    let dangerous = find(name).is_some_and(|known| known.dangerous);
    if dangerous && !allow.iter().any(|allowed| *allowed.text == *name) {
        reader.report(
            Diagnostic::new(
                Code::DangerousSetting,
                key.span,
                format!("`{name}` can cut the device off or leak a secret in clear text"),
            )
            .hint(format!(
                "if you are sure, write the set as `{{ values: {{ {name}: … }}, allow: [{name}] }}`"
            )),
        );
    }
}
