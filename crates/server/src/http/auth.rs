//! Basic authentication (RFC 7617) without a clock that tells how much of a guess was right.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::hint::black_box;

use otapress_core::digest::Sha256;

/// The value of `WWW-Authenticate` in a 401.
pub const CHALLENGE: &str = "Basic realm=\"otap\"";

/// The credentials that open JADs and JARs. Several are accepted, so that a password can be changed
/// while devices still use the old one.
///
/// Only digests are kept.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Vec<Sha256>);

impl Credentials {
    /// Accepts each of these users with its password; a user may stand here more than once.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let digest = |(user, password)| Sha256::of(token(user, password).as_bytes());
        Credentials(pairs.into_iter().map(digest).collect())
    }

    /// Whether there is none, so that nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value of an `Authorization` header is one of them.
    pub fn accept(&self, header: Option<&[u8]>) -> bool {
        let Some(given) = header.and_then(after_scheme) else { return false };
        let given = Sha256::of(given);
        // Digests are compared, each of them, so that the time does not depend on the guess.
        self.0.iter().fold(false, |accepted, known| black_box(accepted | (*known == given)))
    }
}

/// What follows `Basic ` for a user with a password.
pub fn token(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("{user}:{password}"))
}

fn after_scheme(header: &[u8]) -> Option<&[u8]> {
    let header = header.trim_ascii();
    let (scheme, rest) = header.split_at(header.iter().position(|&b| b == b' ')?);
    scheme.eq_ignore_ascii_case(b"Basic").then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_credentials_is_accepted_and_nothing_else() {
        let credentials = Credentials::new([("Aladdin", "open sesame"), ("ota", "new")]);
        // The first is the example of RFC 7617, section 2.
        for good in ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "basic  b3RhOm5ldw== "] {
            assert!(credentials.accept(Some(good.as_bytes())), "{good}");
        }
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Digest b3RhOm5ldw==",
            "Basic b3RhOm5ldw",
            "Basic b3RhOm9sZA==",
            "b3RhOm5ldw==",
        ] {
            assert!(!credentials.accept(Some(bad.as_bytes())), "{bad}");
        }
        assert!(!credentials.accept(None));
        assert!(!Credentials::default().accept(Some(b"Basic Og==")));
    }
}
