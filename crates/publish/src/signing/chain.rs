//! The certificates of a fleet, from the signer's on.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{CERTIFICATE, Certificate, Mismatch, SIGNATURE, Signature};
use crate::diag::Code;
use crate::jar::Fault;

/// A certificate, and how to name it to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The certificate.
    pub certificate: Certificate,
    /// Its file as the operator wrote it, or the attribute that holds it.
    pub name: String,
}

/// One thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ChainFault {
    /// The certificate that it is said of, from 0.
    pub at: usize,
    /// The kind, the message and the way out.
    pub fault: Fault,
}

impl ChainFault {
    pub(super) fn new(at: usize, code: Code, message: String, hint: &str) -> Self {
        ChainFault { at, fault: Fault { code, message, hint: Some(hint.into()) } }
    }
}

/// A chain that is complete but for its root, signer first: each certificate is issued by the one after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain(Vec<Named>);

impl Chain {
    /// Checks the order and the issuers of certificates, of which there is at least one; the second is what
    /// is worth a warning.
    ///
    /// # Errors
    /// Why they are no chain.
    pub fn new(certificates: Vec<Named>) -> Result<(Self, Vec<ChainFault>), Vec<ChainFault>> {
        let mut found = self_signed(&certificates);
        found.extend((1..certificates.len()).filter_map(|next| link(&certificates, next)));
        let is_refused = found.iter().any(|found| found.fault.is_error());
        if is_refused || certificates.is_empty() { Err(found) } else { Ok((Chain(certificates), found)) }
    }

    /// Its certificates, signer first.
    pub fn certificates(&self) -> &[Named] {
        &self.0
    }

    /// The certificate whose key signs the suite.
    pub fn signer(&self) -> &Certificate {
        // None is refused where certificates are read.
        &self.0[0].certificate
    }

    /// Whether the signer signed a JAR.
    ///
    /// # Errors
    /// Why the signature is not that of these bytes and this signer.
    pub fn verify(&self, jar: &[u8], signature: &Signature) -> Result<(), Mismatch> {
        signature.verify(jar, self.signer())
    }

    /// The lines of a JAD with the chain and a signature.
    pub fn attributes(&self, signature: &Signature) -> String {
        let certificates = self.0.iter().zip(1..).map(|(named, m): (_, u32)| {
            format!("{CERTIFICATE}1-{m}: {}\n", BASE64_STANDARD.encode(named.certificate.der()))
        });
        certificates.chain([format!("{SIGNATURE}: {}\n", signature.to_base64())]).collect()
    }
}

/// Devices trust a root because they have it: one that comes with the suite is none.
fn self_signed(certificates: &[Named]) -> Vec<ChainFault> {
    let found = certificates.iter().enumerate().filter(|(_, named)| named.certificate.is_self_signed());
    let fault = |(at, named): (usize, &Named)| match certificates {
        [_] => ChainFault::new(
            at,
            Code::CertificateSelfSigned,
            format!("{named} is signed by itself"),
            "devices install the suite only where this very certificate is installed on the module",
        ),
        _ => ChainFault::new(
            at,
            Code::CertificateChain,
            format!("{named} is signed by itself, and does not belong into a chain"),
            "leave the root out: devices have their own",
        ),
    };
    found.map(fault).collect()
}

/// What is wrong between a certificate and the one before it, whose issuer's it is to be.
fn link(all: &[Named], at: usize) -> Option<ChainFault> {
    let (one, next) = (&all[at - 1], &all[at]);
    // That is said already.
    if one.certificate.is_self_signed() {
        return None;
    }
    let fault = |at, message, hint| Some(ChainFault::new(at, Code::CertificateChain, message, hint));
    let of_issuer = |named: &Named| one.certificate.names_as_issuer(&named.certificate);
    let issuer = one.certificate.issuer_name();
    if !of_issuer(next) {
        // Its issuer stands elsewhere, or it issued one that stands behind it.
        let is_ahead = |other: &Named| other.certificate.names_as_issuer(&one.certificate);
        let issued = all.iter().find(|other| of_issuer(other)).map(|issuer| (one, issuer));
        let issued =
            issued.or_else(|| all[at..].iter().find(|other| is_ahead(other)).map(|other| (other, one)));
        return match issued {
            Some((issued, by)) => fault(
                at,
                format!("the certificates are in a wrong order: {by} must come right behind {issued}"),
                "name the signer's first, then its issuer's, and so on; leave the root out",
            ),
            None => fault(
                at,
                format!("{next} follows {one}, which is issued by `{issuer}`"),
                "name the certificate of that issuer next, or end the chain if it is the root",
            ),
        };
    }
    match next.certificate.has_issued(&one.certificate) {
        Ok(true) if next.certificate.is_authority() => None,
        Ok(true) => fault(
            at,
            format!("{next} is not that of an authority (CA), and cannot issue others"),
            "name the issuer's own certificate",
        ),
        Ok(false) => fault(
            at - 1,
            format!("{one} was not signed with the key of {next}, in spite of the name"),
            "an issuer may have several certificates: name the one that this was issued with",
        ),
        Err(why) => {
            fault(at - 1, format!("{one} cannot be verified: {why}"), "let its issuer sign it with RSA")
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of `{}` in `{}`", self.certificate.name(), self.name)
    }
}
