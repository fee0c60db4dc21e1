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

use std::path::PathBuf;
use std::sync::Arc;

pub use self::beside::{beside, path};
pub use self::certificate::Certificate;
pub use self::chain::{Chain, ChainFault, Named};
pub use self::signature::{Mismatch, Signature, SignatureError};
pub use self::validity::validity;

use crate::diag::{Diagnostic, Span};
use crate::jar::Rules;

/// The attribute of a JAD that holds the signature.
pub const SIGNATURE: &str = "MIDlet-Jar-RSA-SHA1";

/// What the attributes with certificates start with; chain and place follow.
pub const CERTIFICATE: &str = "MIDlet-Certificate-";

/// Whether an attribute of a JAD belongs to the signature.
pub fn is_of_signature(attribute: &str) -> bool {
    attribute == SIGNATURE || attribute.starts_with(CERTIFICATE)
}

/// How a suite is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// The certificates, signer first; none if they are not good, which is reported.
    pub chain: Option<Arc<Chain>>,
    /// Where each of them is named.
    pub(crate) places: Vec<Span>,
    /// Their files, relative to the directory of the fleet file.
    pub files: Vec<PathBuf>,
    /// A JAR without a signature is an error.
    pub required: bool,
}

impl Signing {
    /// What is wrong with the validity of the certificates as of `now`, in seconds since 1970-01-01 UTC.
    pub fn validity(&self, rules: &Rules, now: i64) -> Vec<Diagnostic> {
        let found = self.chain.iter().flat_map(|chain| validity(chain, now)).collect();
        self.report(found, rules)
    }

    pub(crate) fn report(&self, found: Vec<ChainFault>, rules: &Rules) -> Vec<Diagnostic> {
        let found = found.into_iter().filter(|found| !rules.allows(found.fault.code));
        found.map(|found| found.fault.at(self.places[found.at])).collect()
    }
}

#[cfg(test)]
mod tests;
