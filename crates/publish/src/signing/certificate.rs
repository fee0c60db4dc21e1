//! One certificate: what a device looks at.

use std::fmt;

use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA384, RsaParameters,
    UnparsedPublicKey,
};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _, Header, Reader as _, SliceReader};
use x509_cert::ext::pkix::BasicConstraints;

use crate::jar::shown;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// How certificates are signed: all of RSA with PKCS #1 v1.5.
const ALGORITHMS: [(ObjectIdentifier, &RsaParameters); 4] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), &RSA_PKCS1_2048_8192_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
];

/// An X.509 certificate with an RSA key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Both names as DER, which is how devices compare them.
    subject: Vec<u8>,
    issuer: Vec<u8>,
    name: String,
    /// The issuer in words.
    issuer_name: String,
    /// RSAPublicKey of PKCS #1.
    key: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// From and until when it is valid, in seconds since 1970.
    valid: (i64, i64),
    is_authority: bool,
    /// What its issuer signed, how, and the signature.
    signed: Vec<u8>,
    algorithm: ObjectIdentifier,
    signature: Vec<u8>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.name)
    }
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// What keeps a device from using it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let broken = |error: x509_cert::der::Error| format!("it is not an X.509 certificate: {error}");
        let parsed = x509_cert::Certificate::from_der(der).map_err(broken)?;
        let tbs = &parsed.tbs_certificate;
        let key = &tbs.subject_public_key_info;
        if key.algorithm.oid != RSA {
            return Err(format!(
                "its key is not one of RSA (algorithm {}); devices know no other",
                key.algorithm.oid
            ));
        }
        let key = key.subject_public_key.raw_bytes().to_vec();
        let (modulus, exponent) =
            rsa_key(&key).map_err(|error| format!("its RSA key cannot be read: {error}"))?;
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !(1024..=8192).contains(&bits) {
            return Err(format!("its RSA key has {bits} bits; from 1024 to 8192 can be verified"));
        }
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        let constraints = tbs.get::<BasicConstraints>().map_err(broken)?;
        Ok(Certificate {
            der: der.to_vec(),
            subject: tbs.subject.to_der().map_err(broken)?,
            issuer: tbs.issuer.to_der().map_err(broken)?,
            name: name(&tbs.subject),
            issuer_name: name(&tbs.issuer),
            key,
            modulus,
            exponent,
            valid: (seconds(tbs.validity.not_before), seconds(tbs.validity.not_after)),
            // Certificates of version 1 cannot say it.
            is_authority: match constraints {
                Some((_, constraints)) => constraints.ca,
                None => tbs.version == x509_cert::Version::V1,
            },
            signed: first_element(der).map_err(broken)?,
            algorithm: parsed.signature_algorithm.oid,
            signature: parsed.signature.raw_bytes().to_vec(),
        })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its subject in words, for messages: the common name, if it has one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same of its issuer.
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// From and until when it is valid, in seconds since 1970-01-01 UTC.
    pub fn valid(&self) -> (i64, i64) {
        self.valid
    }

    /// Modulus and exponent, big-endian.
    pub(super) fn numbers(&self) -> (&[u8], &[u8]) {
        (&self.modulus, &self.exponent)
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    pub(super) fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// Whether its issuer is called as the other's subject.
    pub(super) fn names_as_issuer(&self, other: &Certificate) -> bool {
        self.issuer == other.subject
    }

    /// Whether its key made a signature as MIDP has it: RSASSA-PKCS1-v1_5 with SHA-1.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, &self.key);
        key.verify(message, signature).is_ok()
    }

    /// Whether its key signed another certificate.
    ///
    /// # Errors
    /// If that is signed in a way that is not known.
    pub(super) fn has_issued(&self, other: &Certificate) -> Result<bool, String> {
        let known = ALGORITHMS.iter().find(|(algorithm, _)| *algorithm == other.algorithm);
        let (_, parameters) = known.ok_or_else(|| {
            format!(
                "it is signed with algorithm {}; RSA with SHA-1 or SHA-2 can be verified",
                other.algorithm
            )
        })?;
        let key = UnparsedPublicKey::new(*parameters, &self.key);
        Ok(key.verify(&other.signed, &other.signature).is_ok())
    }
}

/// What stands first in a DER sequence, with its header. It is taken from the bytes as they are: they are
/// what was signed, even where an encoder of today would write them differently.
fn first_element(der: &[u8]) -> x509_cert::der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(der)?;
    Header::decode(&mut reader)?;
    Ok(reader.tlv_bytes()?.to_vec())
}

/// Modulus and exponent of an RSAPublicKey, without leading zeros.
fn rsa_key(der: &[u8]) -> x509_cert::der::Result<(Vec<u8>, Vec<u8>)> {
    use x509_cert::der::asn1::UintRef;
    let mut reader = SliceReader::new(der)?;
    let numbers = reader.sequence(|reader| {
        let modulus = UintRef::decode(reader)?;
        let exponent = UintRef::decode(reader)?;
        Ok((modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec()))
    })?;
    reader.finish(numbers)
}

/// The common name, else the whole name.
fn name(name: &x509_cert::name::Name) -> String {
    let mut attributes = name.0.iter().flat_map(|part| part.0.iter());
    let common = attributes.find(|attribute| attribute.oid == COMMON_NAME);
    let text = match common {
        Some(attribute) => String::from_utf8_lossy(attribute.value.value()).into_owned(),
        None => name.to_string(),
    };
    shown(text.as_bytes())
}
