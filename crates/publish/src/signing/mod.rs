//! Signed suites: the chain of certificates of a fleet, and the signatures that lie beside its JARs.
//!
//! MIDP 2.0 signs a suite in its JAD: `MIDlet-Jar-RSA-SHA1` is the base64 of an RSASSA-PKCS1-v1_5 signature
//! with SHA-1 over the JAR, and `MIDlet-Certificate-<n>-<m>` are the certificates of chain n, signer first,
//! root left out. What is here only verifies: no private key ever gets near a build.

mod beside;
mod certificate;
mod chain;
mod signature;
mod validity;

pub use self::beside::{beside, path};
pub use self::certificate::Certificate;
pub use self::chain::{Chain, ChainFault, Named};
pub use self::signature::{Mismatch, Signature, SignatureError};
pub use self::validity::validity;

/// The attribute of a JAD that holds the signature.
pub const SIGNATURE: &str = "MIDlet-Jar-RSA-SHA1";

/// What the attributes with certificates start with; chain and place follow.
pub const CERTIFICATE: &str = "MIDlet-Certificate-";

/// Whether an attribute of a JAD belongs to the signature.
pub fn is_of_signature(attribute: &str) -> bool {
    attribute == SIGNATURE || attribute.starts_with(CERTIFICATE)
}

#[cfg(test)]
mod tests;
