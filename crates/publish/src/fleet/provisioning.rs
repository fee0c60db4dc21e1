//! `provisioning`: what is set on the devices by hand or by SMS before they can ask us anything.

use std::path::PathBuf;

use super::formerly::{self, Formerly};
use super::limits::Limits;
use super::modem::{Auth, check_modem_characters, check_user, http_uri, published_path, too_long, web_uri};
use super::raw::{Node, Text};
use super::reader::{Fields, Reader};
use super::secrets::Secrets;
use super::uri::{HttpUri, JadPath, Site};
use super::{Spanned, keys};
use crate::diag::{Code, Diagnostic, Span};

/// What is set on the devices of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioning {
    /// The URL of the JAD, `@` unexpanded.
    pub otap_uri: Spanned<HttpUri>,
    /// Its path below out/.
    pub jad_path: JadPath,
    /// Where the modem posts its result, `@` unexpanded.
    pub notify_uri: Spanned<HttpUri>,
    /// Where the MIDlet posts its version; `@` is not expanded there.
    pub version_uri: Spanned<HttpUri>,
    /// Seconds between version checks.
    pub version_interval: Spanned<u32>,
    /// The access point.
    pub apn: String,
    /// Who may fetch JAD and JAR; none: anybody.
    pub auth: Option<Auth>,
    /// What its devices may still have been told.
    pub formerly: Formerly,
}

impl Provisioning {
    /// Who may fetch JAD and JAR, former users and passwords included.
    pub fn auths(&self) -> impl Iterator<Item = &Auth> {
        self.auth.iter().chain(&self.formerly.auths)
    }
}

/// Seconds between version checks that the firmware has by itself.
const DEFAULT_INTERVAL: u32 = 10_800;

/// `provisioning` as written, for one group or for all.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    otap_uri: Option<Text>,
    notify_uri: Option<Text>,
    version_uri: Option<Text>,
    version_interval: Option<Spanned<u32>>,
    apn: Option<Text>,
    otap_user: Option<Text>,
    otap_password_file: Option<Text>,
    formerly: Option<formerly::Draft>,
}

impl Draft {
    pub(super) fn read(reader: &mut Reader, node: Node<'_>, at: Span) -> Self {
        match reader.fields(node, keys::PROVISIONING, "`provisioning`", at) {
            Some(fields) => Self::from_fields(reader, fields),
            None => Draft::default(),
        }
    }

    /// The one at the top of the file, with the keys that every device needs.
    pub(super) fn read_base(reader: &mut Reader, node: Node<'_>) -> Self {
        let at = node.span;
        let draft = Self::read(reader, node, at);
        let needed = [&draft.otap_uri, &draft.notify_uri, &draft.version_uri];
        for (name, _) in keys::PROVISIONING_REQUIRED.iter().zip(needed).filter(|(_, text)| text.is_none()) {
            reader.missing(name, "`provisioning`", at);
        }
        draft
    }

    fn from_fields(reader: &mut Reader, mut fields: Fields<'_>) -> Self {
        let mut text = |name: &'static str| {
            let node = fields.take(name)?;
            let text = reader.text(node, &format!("`{name}`"))?;
            check_modem_characters(reader, name, &text);
            Some(text)
        };
        let mut draft = Draft {
            otap_uri: text("otapURI"),
            notify_uri: text("notifyURI"),
            version_uri: text("versionURI"),
            apn: text("apn"),
            otap_user: text("otapUser"),
            ..Draft::default()
        };
        draft.otap_password_file =
            fields.take("otapPasswordFile").and_then(|node| reader.text(node, "`otapPasswordFile`"));
        draft.version_interval = fields.take("versionInterval").and_then(|node| {
            let span = node.span;
            let value = reader.number(node, "`versionInterval`", 60, i32::MAX as u32)?;
            Some(Spanned { value, span })
        });
        draft.formerly = fields.take("formerly").map(|node| formerly::Draft::read(reader, node));
        draft
    }

    /// The same with what a group says differently.
    pub(super) fn overridden_by(&self, group: &Draft) -> Draft {
        let pick = |own: &Option<Text>, all: &Option<Text>| own.clone().or_else(|| all.clone());
        Draft {
            otap_uri: pick(&group.otap_uri, &self.otap_uri),
            notify_uri: pick(&group.notify_uri, &self.notify_uri),
            version_uri: pick(&group.version_uri, &self.version_uri),
            version_interval: group.version_interval.or(self.version_interval),
            apn: pick(&group.apn, &self.apn),
            otap_user: pick(&group.otap_user, &self.otap_user),
            otap_password_file: pick(&group.otap_password_file, &self.otap_password_file),
            formerly: group.formerly.clone().or_else(|| self.formerly.clone()),
        }
    }

    /// Checks what can be checked without knowing the devices; without a good `site`, what can be checked
    /// without that.
    pub(super) fn finish(
        &self,
        reader: &mut Reader,
        site: Option<&Site>,
        limits: Limits,
        secrets: Secrets<'_>,
    ) -> Option<Provisioning> {
        let otap_uri = self.otap_uri.as_ref().and_then(|text| http_uri(reader, text, "otapURI"));
        let jad_path = otap_uri.as_ref().zip(site).and_then(|(uri, site)| jad_path(reader, uri, site));
        let notify_uri = self.notify_uri.as_ref().and_then(|text| http_uri(reader, text, "notifyURI"));
        if let Some((uri, site)) = notify_uri.as_ref().zip(site)
            && uri.value.origin() != site.uri().origin()
        {
            reader.report(
                Diagnostic::new(
                    Code::ForeignHost,
                    uri.span,
                    "`notifyURI` is on another host than `site`: this site's responder may never be asked",
                )
                .hint(format!("`site` is `{}`", site.as_str())),
            );
        }
        let version_uri = self.version_uri.as_ref().and_then(|text| web_uri(reader, text, "versionURI"));
        if let Some(uri) = &version_uri
            && uri.value.path().contains('@')
        {
            reader.report(
                Diagnostic::new(
                    Code::BadUri,
                    uri.span,
                    "`versionURI` contains `@`, which devices do not replace there",
                )
                .hint("remove it: the responder knows the device by its IMEI"),
            );
        }
        for (text, name, limit) in
            [(&self.otap_user, "otapUser", limits.user), (&self.apn, "apn", limits.apn)]
        {
            if let Some(text) = text
                && text.text.len() > limit
            {
                reader.report(too_long(text.span, name, &text.text, limit));
            }
        }
        let auth = self.auth(reader, limits, secrets);
        let span = otap_uri.as_ref()?.span;
        let formerly = self.formerly.as_ref().zip(site).map(|(draft, site)| {
            let now = (self.otap_user.as_ref(), self.otap_password_file.as_ref());
            draft.finish(reader, site, secrets, now)
        });
        Some(Provisioning {
            otap_uri: otap_uri?,
            jad_path: jad_path?,
            notify_uri: notify_uri?,
            version_uri: version_uri?,
            version_interval: self.version_interval.unwrap_or(Spanned { value: DEFAULT_INTERVAL, span }),
            apn: self.apn.as_ref().map_or_else(|| "internet".into(), |text| text.text.to_string()),
            auth: auth?,
            formerly: formerly.unwrap_or_default(),
        })
    }

    /// User and password file; both or none.
    fn auth(&self, reader: &mut Reader, limits: Limits, secrets: Secrets<'_>) -> Option<Option<Auth>> {
        let other = |reader: &mut Reader, missing: &'static str, there: &str, text: &Text| {
            if !reader.misspells(missing) {
                reader.missing(missing, there, text.span);
            }
            None
        };
        match (&self.otap_user, &self.otap_password_file) {
            (None, None) => Some(None),
            (Some(user), Some(file)) => {
                check_user(reader, user);
                secrets.check(reader, file, limits.password);
                Some(Some(Auth { user: user.text.to_string(), password_file: PathBuf::from(&*file.text) }))
            }
            (Some(text), None) => other(reader, "otapPasswordFile", "`otapUser`", text),
            (None, Some(text)) => other(reader, "otapUser", "`otapPasswordFile`", text),
        }
    }
}

fn jad_path(reader: &mut Reader, uri: &Spanned<HttpUri>, site: &Site) -> Option<JadPath> {
    let Some(below) = uri.value.below(site) else {
        reader.report(
            Diagnostic::new(
                Code::OutsideSite,
                uri.span,
                "`otapURI` is not below `site`, where out/ is served",
            )
            .hint(format!("it must start with `{}/`", site.as_str())),
        );
        return None;
    };
    published_path(reader, uri, below)
}
