//! `formerly`: what devices may still have been told. JADs stay published at the old paths, and responders
//! answer there.

use std::path::PathBuf;

use super::Spanned;
use super::keys;
use super::modem::{Auth, check_modem_characters, check_user, http_uri, published_path, web_uri};
use super::raw::{Node, Text};
use super::reader::Reader;
use super::secrets::Secrets;
use super::uri::{HttpUri, JadPath, Site};
use crate::diag::{Code, Diagnostic};

/// What the devices of a group may still have been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formerly {
    /// Former paths of the JADs, `@` unexpanded.
    pub jad_paths: Vec<Spanned<JadPath>>,
    /// The otapURIs of these paths; any host.
    pub otap_uris: Vec<HttpUri>,
    /// Former notifyURIs, `@` unexpanded; any host.
    pub notify_uris: Vec<HttpUri>,
    /// Former versionURIs; any host.
    pub version_uris: Vec<HttpUri>,
    /// Who else may fetch JAD and JAR.
    pub auths: Vec<Auth>,
}

/// `formerly` as written.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    otap_uris: Vec<Text>,
    notify_uris: Vec<Text>,
    version_uris: Vec<Text>,
    users: Vec<Text>,
    password_files: Vec<Text>,
}

impl Draft {
    pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Self {
        let at = node.span;
        let Some(mut fields) = reader.fields(node, keys::FORMERLY, "`formerly`", at) else {
            return Draft::default();
        };
        let mut texts =
            |name, what| fields.take(name).map(|node| reader.texts(node, what)).unwrap_or_default();
        let draft = Draft {
            otap_uris: texts("otapURI", "URIs"),
            notify_uris: texts("notifyURI", "URIs"),
            version_uris: texts("versionURI", "URIs"),
            users: texts("otapUser", "users"),
            password_files: texts("otapPasswordFile", "file names"),
        };
        let to_modem =
            [("otapURI", &draft.otap_uris), ("notifyURI", &draft.notify_uris), ("otapUser", &draft.users)];
        for (name, texts) in to_modem {
            texts.iter().for_each(|text| check_modem_characters(reader, name, text));
        }
        draft
    }

    /// `now` are the user and the password file of today, of whom a device may still have one.
    pub(super) fn finish(
        &self,
        reader: &mut Reader,
        site: &Site,
        secrets: Secrets<'_>,
        now: (Option<&Text>, Option<&Text>),
    ) -> Formerly {
        let (otap_uris, jad_paths) =
            self.otap_uris.iter().filter_map(|text| jad_path(reader, text, site)).unzip();
        let notify = self.notify_uris.iter().filter_map(|text| http_uri(reader, text, "notifyURI"));
        let notify_uris = notify.map(|uri| uri.value).collect();
        let version = self.version_uris.iter().filter_map(|text| web_uri(reader, text, "versionURI"));
        let version_uris = version.map(|uri| uri.value).collect();
        for user in &self.users {
            check_user(reader, user);
        }
        for file in &self.password_files {
            // A former password is sent by devices, and told to none.
            secrets.check(reader, file, usize::MAX);
        }
        let (user, file) = now;
        let users = self.users.iter().chain(user);
        let files = || self.password_files.iter().chain(file);
        let pairs = users.flat_map(|user| files().map(move |file| (user, file)));
        let is_todays = |user: &Text, file: &Text| Some(user) == now.0 && Some(file) == now.1;
        let auths = pairs
            .filter(|(user, file)| !is_todays(user, file))
            .map(|(user, file)| Auth {
                user: user.text.to_string(),
                password_file: PathBuf::from(&*file.text),
            })
            .collect();
        Formerly { jad_paths, otap_uris, notify_uris, version_uris, auths }
    }
}

fn jad_path(reader: &mut Reader, text: &Text, site: &Site) -> Option<(HttpUri, Spanned<JadPath>)> {
    let uri = http_uri(reader, text, "otapURI")?;
    let Some(below) = uri.value.path_below(site) else {
        let base = site.uri().path().into_owned();
        reader.report(
            Diagnostic::new(
                Code::OutsideSite,
                uri.span,
                format!("the path of a former `otapURI` is not below `{base}`, where out/ is served"),
            )
            .hint("its host may be another one, its path must be in out/"),
        );
        return None;
    };
    let value = published_path(reader, &uri, below)?;
    Some((uri.value, Spanned { value, span: uri.span }))
}
