//! A JAD against the modules of a fleet, and its signature: what has a code of its own, and may be a warning.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Jad;
use super::check::ordinal;
use crate::diag::Code;
use crate::jar::{Fault, Jar, Rules, modules_lack};
use crate::signing::{CERTIFICATE, Certificate, Chain, Mismatch, Named, SIGNATURE, Signature};

/// Something that is wrong with a line of a JAD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Concern {
    /// The line from 1, or 0 if it is about no single line.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What the JAD says that the fleet's modules do not take. What the manifest says alike is said of the JAR.
pub fn against_modules(jad: &Jad, jar: &Jar, rules: &Rules) -> Vec<Concern> {
    let of_jar = jar.attributes().filter(|(name, _)| jad.get(name).is_none());
    let found = modules_lack(jad.attributes().chain(of_jar), rules).into_iter();
    let is_new = |(name, fault): &(&str, Fault)| {
        jad.get(name).is_some_and(|value| jar.attribute(name) != Some(value)) && !rules.allows(fault.code)
    };
    found.filter(is_new).map(|(name, fault)| Concern { line: jad.line_of(name), fault }).collect()
}

/// The chains of certificates in a JAD that [`super::check_alone`] finds nothing wrong with, in their order,
/// and what is wrong with them and with the signature over the bytes of the JAR. Nothing of a JAD without a
/// signature.
pub fn verify(jad: &Jad, jar: &[u8], rules: &Rules) -> (Vec<Chain>, Vec<Concern>) {
    let (mut chains, mut found) = (Vec::new(), Vec::new());
    let Some(text) = jad.get(SIGNATURE) else { return (chains, found) };
    let mut wrong = |name: &str, fault: Fault| {
        if !rules.allows(fault.code) {
            found.push(Concern { line: jad.line_of(name), fault });
        }
    };
    let signature = match Signature::parse(text.as_bytes()) {
        Ok(signature) => signature,
        Err(error) => {
            wrong(SIGNATURE, Fault { code: Code::JarSignature, message: error.to_string(), hint: None });
            return (chains, found);
        }
    };
    for certificates in numbered(jad).into_values() {
        match chain(&certificates) {
            Err((name, fault)) => wrong(name, fault),
            Ok(named) => match Chain::new(named) {
                Err(faults) => {
                    faults.into_iter().for_each(|found| wrong(certificates[found.at].0, found.fault));
                }
                Ok((chain, faults)) => {
                    faults.into_iter().for_each(|found| wrong(certificates[found.at].0, found.fault));
                    if let Err(mismatch) = chain.verify(jar, &signature) {
                        let hint = match mismatch {
                            Mismatch::Key => "sign with the key of that certificate",
                            _ => {
                                "take the signature out of the template: one that `otapress sign` makes is \
                                 put into \
                                  every JAD of its release"
                            }
                        };
                        let message = mismatch.to_string();
                        wrong(
                            SIGNATURE,
                            Fault { code: Code::JarSignature, message, hint: Some(hint.into()) },
                        );
                    }
                    chains.push(chain);
                }
            },
        }
    }
    (chains, found)
}

/// Names and values of the certificates of each chain, in their order.
fn numbered(jad: &Jad) -> BTreeMap<u32, Vec<(&str, &str)>> {
    let mut chains: BTreeMap<u32, BTreeMap<u32, (&str, &str)>> = BTreeMap::new();
    for (name, value) in jad.attributes() {
        let numbers = name.strip_prefix(CERTIFICATE).and_then(|rest| rest.split_once('-'));
        if let Some((n, m)) = numbers.and_then(|(n, m)| Some((ordinal(n)?, ordinal(m)?))) {
            chains.entry(n).or_default().insert(m, (name, value));
        }
    }
    chains.into_iter().map(|(n, certificates)| (n, certificates.into_values().collect())).collect()
}

fn chain<'a>(certificates: &[(&'a str, &str)]) -> Result<Vec<Named>, (&'a str, Fault)> {
    let named = certificates.iter().map(|(name, value)| {
        let der = BASE64_STANDARD.decode(value).map_err(|_| "it is not base64".to_owned());
        match der.and_then(|der| Certificate::parse(&der)) {
            Ok(certificate) => Ok(Named { certificate, name: (*name).into() }),
            Err(why) => {
                let message = format!("the certificate in `{name}` is not good: {why}");
                Err((*name, Fault { code: Code::Certificate, message, hint: None }))
            }
        }
    });
    named.collect()
}
