//! `signing` of `midlet`: the certificates that belong to the signatures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::raw::{Node, Text};
use super::reader::Reader;
use super::secrets::Secrets;
use super::{keys, suite_rules};
use crate::diag::{Code, Diagnostic, Span};
use crate::files::FileErrorKind;
use crate::jar::Rules;
use crate::signing::{Certificate, Chain, Named, Signing};

/// No file of certificates is larger, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The most certificates of a chain: a device reads a JAD into memory of which it has little.
const MAX_CERTIFICATES: usize = 8;

pub(super) fn read(reader: &mut Reader, files: Secrets<'_>, rules: &Rules, node: Node<'_>) -> Signing {
    let at = node.span;
    let none = Signing { chain: None, places: Vec::new(), files: Vec::new(), required: false };
    let Some(mut fields) = reader.fields(node, keys::SIGNING, "`signing`", at) else { return none };
    let required = suite_rules::truth(reader, &mut fields, "required");
    let Some(node) = fields.take("certificates") else { return Signing { required, ..none } };
    let place = node.span;
    let texts = suite_rules::texts(reader, node, "certificates");
    let certificates: Option<Vec<_>> = texts.iter().map(|text| certificates(reader, files, text)).collect();
    let (certificates, places): (Vec<_>, Vec<_>) = certificates.into_iter().flatten().flatten().unzip();
    if texts.is_empty() {
        let message = "`certificates` names no file";
        reader.report(Diagnostic::new(Code::Certificate, place, message).hint("name the signer's first"));
    } else if certificates.len() > MAX_CERTIFICATES {
        let message =
            format!("the chain has {} certificates, more than {MAX_CERTIFICATES}", certificates.len());
        reader.report(Diagnostic::new(Code::Certificate, place, message));
    }
    let is_chain = (1..=MAX_CERTIFICATES).contains(&certificates.len());
    let (chain, found) = match is_chain.then(|| Chain::new(certificates)) {
        None => (None, Vec::new()),
        Some(Ok((chain, found))) => (Some(Arc::new(chain)), found),
        Some(Err(found)) => (None, found),
    };
    let files = texts.iter().map(|text| PathBuf::from(&*text.text)).collect();
    let signing = Signing { chain, places, files, required };
    signing.report(found, rules).into_iter().for_each(|found| reader.report(found));
    signing
}

/// The certificates in a file, in their order; none if something is wrong, which is reported.
fn certificates(reader: &mut Reader, files: Secrets<'_>, file: &Text) -> Option<Vec<(Named, Span)>> {
    // A fleet that is read without its files has no chain.
    let (dir, reach) = files.0?;
    let mut wrong = |message: String, hint: Option<&str>| {
        let diagnostic = Diagnostic::new(Code::Certificate, file.span, message);
        reader.report(hint.into_iter().fold(diagnostic, Diagnostic::hint));
    };
    let text = match reach.text(&dir.join(&*file.text), MAX_FILE) {
        Ok(text) => text,
        Err(error) => {
            let hint = match &error.kind {
                FileErrorKind::NotText(_) => {
                    Some("`openssl x509 -inform DER -in FILE -out FILE.pem` makes PEM of DER")
                }
                kind => kind.hint(),
            };
            wrong(format!("the certificate {error}"), hint);
            return None;
        }
    };
    let name = Path::new(&*file.text).display().to_string();
    if text.contains("PRIVATE KEY-----") {
        wrong(
            format!("`{name}` holds a private key"),
            Some("name a file with certificates alone; the key has no place in the fleet's repository"),
        );
        return None;
    }
    let mut found = Vec::new();
    for section in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let parsed = section.map_err(|error| format!("it is not PEM: {error}"));
        match parsed.and_then(|der| Certificate::parse(&der)) {
            Ok(certificate) => {
                found.push((Named { certificate, name: name.clone() }, file.span));
            }
            Err(why) => {
                wrong(format!("certificate {} in `{name}` is not good: {why}", found.len() + 1), None);
                return None;
            }
        }
    }
    if found.is_empty() {
        wrong(
            format!("`{name}` holds no certificate"),
            Some("a certificate in PEM starts with `-----BEGIN CERTIFICATE-----`"),
        );
        return None;
    }
    Some(found)
}
