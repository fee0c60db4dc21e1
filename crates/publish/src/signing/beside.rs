//! The signature that lies beside a JAR.

use std::io;
use std::path::{Path, PathBuf};

use super::{Mismatch, Signature, Signing};
use crate::diag::{Code, Diagnostic};
use crate::files::{FileError, FileErrorKind};
use crate::jar::Rules;

/// The path of a JAR's signature: `X.jar.sig` of `X.jar`.
pub fn path(jar: &Path) -> PathBuf {
    let mut path = jar.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Judges the file beside a JAR: the signature, if it is one, and what is wrong. `file` are its bytes, and
/// `shown` is how the operator would write the JAR's path.
pub fn beside(
    file: Result<Vec<u8>, FileError>,
    shown: &Path,
    jar: &[u8],
    signing: Option<&Signing>,
    rules: &Rules,
) -> (Option<Signature>, Vec<Diagnostic>) {
    let place = path(shown);
    let text = match file {
        Ok(text) => text,
        Err(FileError { kind: FileErrorKind::Io(error), .. }) if error.kind() == io::ErrorKind::NotFound => {
            let required = signing.filter(|signing| signing.required);
            return (None, required.map(|_| unsigned(shown, &place)).into_iter().collect());
        }
        Err(FileError { kind, .. }) => {
            let diagnostic = Diagnostic::new(Code::JarSignature, &*place, format!("the signature {kind}"));
            return (None, vec![kind.hint().into_iter().fold(diagnostic, Diagnostic::hint)]);
        }
    };
    let again = || format!("`otapress sign {} --key FILE` makes another one", shown.display());
    let signature = match Signature::parse(&text) {
        Ok(signature) => signature,
        Err(error) => {
            let diagnostic = Diagnostic::new(Code::JarSignature, &*place, error.to_string());
            return (None, vec![diagnostic.hint(format!("it is one line of base64; {}", again()))]);
        }
    };
    let Some(signing) = signing else {
        let message = "the signature is not used: the fleet names no certificates";
        let unused = Diagnostic::new(Code::SignatureUnused, &*place, message)
            .hint("name them under `midlet`, as `signing: { certificates: [signer.pem] }`");
        let found = Some(unused).filter(|_| !rules.allows(Code::SignatureUnused));
        return (Some(signature), found.into_iter().collect());
    };
    let verified = signing.chain.as_ref().map_or(Ok(()), |chain| chain.verify(jar, &signature));
    let Err(mismatch) = verified else { return (Some(signature), Vec::new()) };
    let hint = match mismatch {
        Mismatch::Bytes => format!("is it the right JAR? If so, {}", again()),
        Mismatch::Key => "sign with the key of that certificate, or name its own certificate first".into(),
        Mismatch::Digest(_) => again(),
    };
    (None, vec![Diagnostic::new(Code::JarSignature, &*place, mismatch.to_string()).hint(hint)])
}

fn unsigned(shown: &Path, place: &Path) -> Diagnostic {
    let message = format!("the JAR is not signed: there is no `{}`", place.display());
    Diagnostic::new(Code::JarUnsigned, shown, message).hint(format!(
        "`otapress sign {} --key FILE` makes one; `midlet.signing` requires it",
        shown.display()
    ))
}
