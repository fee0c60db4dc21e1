//! TLS to the database: which certificates are accepted.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Trust;

/// What makes encrypted connections to servers that `trust` accepts.
///
/// # Errors
/// If the authorities cannot be read; the text says which.
pub(super) fn connector(trust: Trust, authorities: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let known = match trust {
        Trust::Any => None,
        Trust::Authority | Trust::Host => Some(Known::new(authorities, &provider)?),
    };
    let verifier = Verifier { provider: provider.clone(), known, by_name: trust == Trust::Host };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Whose certificates are accepted.
#[derive(Debug)]
struct Known {
    authorities: Arc<WebPkiServerVerifier>,
    /// Those in the file: a server that has one of them needs no authority. Many databases have a certificate that
    /// they signed themselves.
    themselves: Vec<CertificateDer<'static>>,
}

impl Known {
    fn new(file: Option<&Path>, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut themselves = Vec::new();
        if let Some(file) = file {
            let wrong = |why: &dyn Display| format!("sslrootcert `{}`: {why}", file.display());
            let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
            themselves = all.map_err(|error| wrong(&error))?;
            themselves.iter().try_for_each(|one| roots.add(one.clone())).map_err(|error| wrong(&error))?;
            if themselves.is_empty() {
                return Err(wrong(&"it holds no certificate"));
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(
                    "the system has no certificates of authorities: name some with `sslrootcert`".into()
                );
            }
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let authorities = verifier.build().map_err(|error| error.to_string())?;
        Ok(Known { authorities, themselves })
    }
}

/// Accepts certificates of those who are known, or of everybody.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    known: Option<Known>,
    /// The certificate must name the host, too.
    by_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        if known.themselves.contains(end_entity) {
            if self.by_name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match known.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.by_name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
