//! A detached signature: the file `X.jar.sig` beside `X.jar`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use num_bigint::BigUint;

use super::Certificate;

/// The raw bytes of a signature.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Signature(Vec<u8>);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

/// Why a text is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nothing, or several lines.
    #[error("the signature is not one line")]
    Lines,
    /// Something else than base64.
    #[error("the signature is not base64")]
    Base64,
}

/// Why a signature is not that of a JAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Another key made it, or it was damaged.
    #[error("the signature was not made with the key of the first certificate")]
    Key,
    /// The right key made it, of other bytes.
    #[error("the JAR is not the one that was signed: its bytes have changed since")]
    Bytes,
    /// The right key made it, with another digest than SHA-1.
    #[error("the signature was made with {0}; MIDP 2.0 has SHA-1")]
    Digest(&'static str),
}

/// What precedes the digest in RFC 8017, section 9.2.
const DIGESTS: [(&str, &[u8], usize); 5] = [
    ("SHA-1", b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14", 20),
    ("SHA-256", b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 32),
    ("SHA-384", b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30", 48),
    ("SHA-512", b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40", 64),
    ("MD5", b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10", 16),
];

impl Signature {
    /// The largest file that is read as a signature, in bytes: that of the largest key has 1,369.
    pub const MAX_FILE: u64 = 4096;

    /// A signature as a signer returns it.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Signature(bytes)
    }

    /// Reads what [`Signature::to_file`] wrote; other line ends than LF, or none, are fine.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let text = text.trim_ascii_end();
        if text.is_empty() || text.contains(&b'\n') {
            return Err(SignatureError::Lines);
        }
        BASE64_STANDARD.decode(text).map(Signature).map_err(|_| SignatureError::Base64)
    }

    /// The file's text: one line.
    pub fn to_file(&self) -> String {
        self.to_base64() + "\n"
    }

    /// As a JAD has it.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.0)
    }

    /// Whether a certificate's key signed a JAR.
    ///
    /// # Errors
    /// Why the signature is not that of these bytes and this key.
    pub fn verify(&self, jar: &[u8], signer: &Certificate) -> Result<(), Mismatch> {
        if signer.has_signed(jar, &self.0) { Ok(()) } else { Err(self.explain(signer)) }
    }

    /// Looks into a signature that is wrong already, to tell people why.
    fn explain(&self, signer: &Certificate) -> Mismatch {
        let (modulus, exponent) = signer.numbers();
        // A wrong signature may be long, and so may a key's exponent: neither is worth the time.
        if self.0.len() != modulus.len() || exponent.len() > 8 {
            return Mismatch::Key;
        }
        let number = BigUint::from_bytes_be;
        let padded = number(&self.0).modpow(&number(exponent), &number(modulus)).to_bytes_be();
        let made_with = DIGESTS.iter().find(|(_, prefix, length)| {
            let info = padded.len().checked_sub(prefix.len() + length).map(|at| padded.split_at(at));
            info.is_some_and(|(padding, info)| {
                info.starts_with(prefix) && padding.starts_with(b"\x01\xff") && padding.ends_with(b"\xff\x00")
            })
        });
        match made_with {
            None => Mismatch::Key,
            Some(("SHA-1", ..)) => Mismatch::Bytes,
            Some((digest, ..)) => Mismatch::Digest(digest),
        }
    }
}
