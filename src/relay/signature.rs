//! Signatures of webhooks by the Standard Webhooks convention: pure.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::report::words::count;

/// Secrets that sign; more than one while they are exchanged.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Vec<u8>>);

/// Why a text holds no secrets. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("it holds no secret")]
    None,
    #[error("line {0} is not `whsec_` and base64 behind it")]
    Shape(usize),
    #[error(
        "the secret in line {0} has {bytes}: it must have 24 to 64, as of `openssl rand -base64 32`",
        bytes = count(*.1, "byte")
    )]
    Length(usize, usize),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", count(self.0.len(), "secret"))
    }
}

impl Secrets {
    /// Reads one secret in each line.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let secrets = lines.map(|(n, line)| {
            let coded = line.trim().strip_prefix("whsec_").ok_or(SecretError::Shape(n + 1))?;
            let secret = BASE64_STANDARD.decode(coded).map_err(|_| SecretError::Shape(n + 1))?;
            match secret.len() {
                24..=64 => Ok(secret),
                other => Err(SecretError::Length(n + 1, other)),
            }
        });
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        if secrets.is_empty() { Err(SecretError::None) } else { Ok(Secrets(secrets)) }
    }

    /// The value of `webhook-signature`; none without a secret. `at` are seconds since 1970.
    pub(crate) fn sign(&self, id: &str, at: i64, body: &str) -> Option<String> {
        let signed = format!("{id}.{at}.{body}");
        let signature = |secret: &Vec<u8>| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
            mac.update(signed.as_bytes());
            Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
        };
        let all: Vec<_> = self.0.iter().filter_map(signature).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the convention's own documentation.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let secrets = Secrets::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signed = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_exchanged_without_a_gap_and_never_shown() {
        let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let both = Secrets::parse(&format!("{new}\r\n\n{old}\n")).unwrap();
        let signed = both.sign("a", 1, "{}").unwrap();
        let one = |text| Secrets::parse(text).unwrap().sign("a", 1, "{}").unwrap();
        assert_eq!(signed, format!("{} {}", one(new), one(old)));
        assert_eq!(format!("{both:?}"), "2 secrets");
        for (text, error) in [
            ("", SecretError::None),
            ("\n\n", SecretError::None),
            ("geheim", SecretError::Shape(1)),
            ("\nwhsec_!", SecretError::Shape(2)),
            ("whsec_AAEC", SecretError::Length(1, 3)),
        ] {
            assert_eq!(Secrets::parse(text).unwrap_err(), error);
        }
        assert_eq!(Secrets::default().sign("a", 1, "{}"), None);
    }
}
