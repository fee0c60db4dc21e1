//! The fixtures were made by openssl; their private keys are gone.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::*;
use crate::diag::Code;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name))
    };
}

const JAR: &[u8] = b"a JAR\n";

const DAY: i64 = 24 * 60 * 60;

fn pem(name: &str) -> &'static [u8] {
    match name {
        "signer" => fixture!("signer.pem"),
        "inter" => fixture!("inter.pem"),
        "root" => fixture!("root.pem"),
        "self" => fixture!("self.pem"),
        "renewed" => fixture!("renewed.pem"),
        "no-authority" => fixture!("no-authority.pem"),
        "by-curve" => fixture!("by-curve.pem"),
        "curve" => fixture!("curve.pem"),
        "weak" => fixture!("weak.pem"),
        _ => panic!("{name}"),
    }
}

fn parsed(name: &str) -> Result<Certificate, String> {
    Certificate::parse(&CertificateDer::from_pem_slice(pem(name)).unwrap())
}

fn named(name: &str) -> Named {
    Named { certificate: parsed(name).unwrap(), name: format!("{name}.pem") }
}

fn chain(names: &str) -> Chain {
    Chain::new(names.split(' ').map(named).collect()).unwrap().0
}

/// Where, as what and in which words a chain is refused or warned of.
fn told(names: &str) -> Vec<(usize, Code, String)> {
    let found = match Chain::new(names.split(' ').map(named).collect()) {
        Ok((_, found)) => found,
        Err(found) => found,
    };
    found.into_iter().map(|found| (found.at, found.fault.code, found.fault.message)).collect()
}

#[test]
fn a_chain_is_ordered_and_without_its_root() {
    let chain_fault = |at, message: &str| vec![(at, Code::CertificateChain, message.to_owned())];
    assert_eq!(told("signer"), []);
    assert_eq!(told("signer inter"), []);
    assert_eq!(
        told("self"),
        [(
            0,
            Code::CertificateSelfSigned,
            "the certificate of `Self` in `self.pem` is signed by itself".into()
        )]
    );
    let order = "the certificates are in a wrong order: the certificate of `Intermediate` in `inter.pem` \
        must come \
                 right behind the certificate of `Acme Signing` in `signer.pem`";
    assert_eq!(told("inter signer"), chain_fault(1, order));
    let root =
        "the certificate of `Root` in `root.pem` is signed by itself, and does not belong into a chain";
    assert_eq!(told("signer inter root"), chain_fault(2, root));
    assert_eq!(told("self signer")[0].1, Code::CertificateChain);
    assert_eq!(told("root self").len(), 2);
    let renewed = "the certificate of `Acme Signing` in `signer.pem` was not signed with the key of the \
        certificate \
                   of `Intermediate` in `renewed.pem`, in spite of the name";
    assert_eq!(told("signer renewed"), chain_fault(0, renewed));
    let leaf = "the certificate of `Intermediate` in `no-authority.pem` is not that of an authority (CA), \
        and cannot \
                issue others";
    assert_eq!(told("signer no-authority"), chain_fault(1, leaf));
    let why = "it is signed with algorithm 1.2.840.10045.4.3.2; RSA with SHA-1 or SHA-2 can be verified";
    let by_curve = told("by-curve inter");
    assert!(by_curve.iter().any(|(_, _, message)| message.contains("follows")), "{by_curve:?}");
    assert_eq!(parsed("inter").unwrap().has_issued(&parsed("by-curve").unwrap()), Err(why.into()));
    assert_eq!(told("signer signer").len(), 1);
    assert_eq!(Chain::new(Vec::new()), Err(Vec::new()));
}

#[test]
fn certificates_that_devices_cannot_use() {
    let wrong = |name: &str| parsed(name).unwrap_err();
    assert_eq!(
        wrong("curve"),
        "its key is not one of RSA (algorithm 1.2.840.10045.2.1); devices know no other"
    );
    assert_eq!(wrong("weak"), "its RSA key has 512 bits; from 1024 to 8192 can be verified");
    let whole = parsed("signer").unwrap().der().to_vec();
    for end in 0..whole.len() {
        assert!(Certificate::parse(&whole[..end]).is_err(), "{end}");
    }
    // Nothing in it makes the reader panic.
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= bit;
            if let Ok(certificate) = Certificate::parse(&damaged) {
                let _ = Chain::new(vec![Named { certificate, name: String::new() }, named("inter")]);
            }
        }
    }
}

#[test]
fn a_signature_is_that_of_the_bytes_and_of_the_signer() {
    let verify = |signature: &[u8], jar: &[u8]| {
        chain("signer inter").verify(jar, &Signature::parse(signature).unwrap())
    };
    assert_eq!(verify(fixture!("sha1.sig"), JAR), Ok(()));
    assert_eq!(verify(fixture!("sha1.sig"), b"a jar\n"), Err(Mismatch::Bytes));
    assert_eq!(verify(fixture!("other.sig"), JAR), Err(Mismatch::Key));
    assert_eq!(verify(fixture!("sha256.sig"), JAR), Err(Mismatch::Digest("SHA-256")));
    assert_eq!(verify(fixture!("sha384.sig"), JAR), Err(Mismatch::Digest("SHA-384")));
    assert_eq!(verify(fixture!("sha512.sig"), JAR), Err(Mismatch::Digest("SHA-512")));
    assert_eq!(verify(fixture!("md5.sig"), JAR), Err(Mismatch::Digest("MD5")));
    assert_eq!(
        chain("inter").verify(JAR, &Signature::parse(fixture!("sha1.sig")).unwrap()),
        Err(Mismatch::Key)
    );
    // Not a number that the key has room for, shorter, longer, nothing.
    for bytes in [vec![0xff; 256], vec![0; 256], vec![1; 255], vec![1; 4000], Vec::new()] {
        let signature = Signature::of_bytes(bytes);
        assert_eq!(chain("signer").verify(JAR, &signature), Err(Mismatch::Key));
    }
}

#[test]
fn a_signature_is_one_line_of_base64() {
    let whole = fixture!("sha1.sig");
    let signature = Signature::parse(whole).unwrap();
    assert_eq!(signature.to_file().as_bytes(), whole);
    let text = signature.to_base64();
    for good in [text.clone(), format!("{text}\r\n"), format!("{text}\n\n")] {
        assert_eq!(Signature::parse(good.as_bytes()).as_ref(), Ok(&signature));
    }
    for bad in ["", "\n", &format!("{}\n{}", &text[..64], &text[64..])] {
        assert_eq!(Signature::parse(bad.as_bytes()), Err(SignatureError::Lines), "{bad}");
    }
    for bad in ["a!", "QUI", "QUJDRA=", "Q UJD", "-----BEGIN", "QUJD-_==", "\u{e9}"] {
        assert_eq!(Signature::parse(bad.as_bytes()), Err(SignatureError::Base64), "{bad}");
    }
}

#[test]
fn validity_is_judged_at_a_moment() {
    let chain = chain("signer inter");
    let (from, until) = parsed("signer").unwrap().valid();
    // That of the intermediate begins earlier and ends later.
    let codes = |now| {
        let found = validity(&chain, now);
        found.iter().map(|found| (found.at, found.fault.code)).collect::<BTreeSet<_>>()
    };
    let none = BTreeSet::new();
    assert!(codes(from - 1).contains(&(0, Code::CertificateExpired)));
    assert_eq!(codes(from), none);
    assert_eq!(codes(until - 60 * DAY), none);
    assert_eq!(codes(until - 60 * DAY + 1), BTreeSet::from([(0, Code::CertificateExpires)]));
    assert_eq!(codes(until), BTreeSet::from([(0, Code::CertificateExpires)]));
    assert_eq!(codes(until + 1), BTreeSet::from([(0, Code::CertificateExpired)]));
    let said = validity(&chain, until - 10 * DAY).remove(0).fault.message;
    assert!(said.ends_with(", in 10 days"), "{said}");
}

#[test]
fn a_jad_has_the_chain_and_the_signature() {
    let chain = chain("signer inter");
    let lines = chain.attributes(&Signature::parse(fixture!("sha1.sig")).unwrap());
    let names: Vec<_> = lines.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["MIDlet-Certificate-1-1", "MIDlet-Certificate-1-2", "MIDlet-Jar-RSA-SHA1"]);
    assert!(names.into_iter().all(is_of_signature));
    // openssl's PEM is the same base64 in short lines.
    let body: String =
        std::str::from_utf8(pem("signer")).unwrap().lines().filter(|l| !l.starts_with('-')).collect();
    assert_eq!(lines.lines().next().unwrap(), format!("MIDlet-Certificate-1-1: {body}"));
}
