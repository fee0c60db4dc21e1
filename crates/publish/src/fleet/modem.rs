//! What the modem and the MIDlet are told, checked: characters, lengths, URIs.

use std::path::PathBuf;

use super::Spanned;
use super::raw::Text;
use super::reader::Reader;
use super::uri::{HttpUri, JadPath, UriError};
use crate::diag::{Code, Diagnostic, Place, Span};
use otapress_core::out::{ANSWERS, JAD_SUFFIX, JARS};

/// Basic auth on JAD and JAR.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Auth {
    /// otapUser.
    pub user: String,
    /// The file that holds otapPassword, relative to the directory of fleet.yaml.
    pub password_file: PathBuf,
}

/// The first character of a parameter that would end it or the command: the firmware quotes nothing.
pub(super) fn breaks_command(text: &str) -> Option<char> {
    text.chars().find(|&c| matches!(c, ',' | '"' | '\'' | ';') || !c.is_ascii_graphic())
}

/// A warning that a modem may not take a value.
pub(super) fn too_long(span: Span, name: &str, value: &str, limit: usize) -> Diagnostic {
    Diagnostic::new(
        Code::ModemLength,
        span,
        format!("`{name}` becomes `{value}`: {} characters, but modems may accept only {limit}", value.len()),
    )
    .hint("shorten it, or raise the limit under `limits` if your modems accept more")
}

/// The same without the value.
pub(super) fn too_long_secret(span: Span, len: usize, limit: usize) -> Diagnostic {
    let message = format!("`otapPassword` has {len} characters, but modems may accept only {limit}");
    Diagnostic::new(Code::ModemLength, span, message)
        .hint("shorten it, or raise the limit under `limits` if your modems accept more")
}

/// The firmware puts these values unquoted into one `AT^SJOTAP` command.
pub(super) fn check_modem_characters(reader: &mut Reader, name: &str, text: &Text) {
    if let Some(c) = breaks_command(&text.text) {
        reader.report(
            Diagnostic::new(
                Code::ModemCharacter,
                text.span,
                format!(
                    "`{name}` contains {c:?}, which breaks \
                the modem's command"
                ),
            )
            .hint(
                "the firmware quotes nothing: no comma, quote, semicolon, white space, control or \
                    non-ASCII character",
            ),
        );
    }
}

/// Basic auth ends the user at the first colon.
pub(super) fn check_user(reader: &mut Reader, user: &Text) {
    if user.text.contains(':') {
        reader.bad_value(user, "`otapUser`", "a name without `:`, at which basic auth ends it");
    }
}

pub(super) fn http_uri(reader: &mut Reader, text: &Text, name: &str) -> Option<Spanned<HttpUri>> {
    parsed_uri(reader, text, name, HttpUri::parse)
}

/// The MIDlet asks there, not the modem, so that it may be https.
pub(super) fn web_uri(reader: &mut Reader, text: &Text, name: &str) -> Option<Spanned<HttpUri>> {
    parsed_uri(reader, text, name, HttpUri::parse_web)
}

fn parsed_uri(
    reader: &mut Reader,
    text: &Text,
    name: &str,
    parse: fn(&str) -> Result<HttpUri, UriError>,
) -> Option<Spanned<HttpUri>> {
    match parse(&text.text) {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err(error) => {
            // A character that breaks the modem's command is told, and is mostly what is wrong with the URI.
            let is_told =
                |told: &Diagnostic| told.code == Code::ModemCharacter && told.place == Place::Span(text.span);
            if !reader.found.iter().any(is_told) {
                let message = format!("`{}` is not a valid `{name}`", text.text);
                reader.report(Diagnostic::new(Code::BadUri, text.span, message).hint(error.to_string()));
            }
            None
        }
    }
}

/// Where the JADs of an otapURI lie, which is `below` the site.
pub(super) fn published_path(reader: &mut Reader, uri: &Spanned<HttpUri>, below: &str) -> Option<JadPath> {
    let mut bad = |hint: String| {
        reader.report(
            Diagnostic::new(
                Code::BadUri,
                uri.span,
                format!("`{}` is not a valid `otapURI`", uri.value.as_str()),
            )
            .hint(hint),
        );
        None
    };
    if !below.ends_with(JAD_SUFFIX) {
        return bad("the modem takes only URLs that end in `.jad`".into());
    }
    let first = below.split('/').next().unwrap_or_default();
    if below.contains('/') && matches!(first, JARS | ANSWERS) {
        return bad(format!(
            "`{first}/` in out/ is for other files; put the JADs elsewhere, such as `files/@/`"
        ));
    }
    let is_hidden = |component: &str| component.starts_with('.') && !matches!(component, "." | "..");
    if below.split('/').any(is_hidden) {
        return bad("files and directories whose name starts with a dot are hidden, and not served".into());
    }
    JadPath::new(below).map_or_else(|error| bad(error.to_string()), Some)
}
