//! TLS to the database: rustls' own verifier, and the authorities that it trusts.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Trust;

/// What makes encrypted connections to servers that `trust` accepts.
///
/// # Errors
/// If the authorities cannot be read; the text says which.
pub(super) fn connector(trust: Trust, authorities: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let roots = match trust {
        // It is not used.
        Trust::ClearText => RootCertStore::empty(),
        Trust::Authority | Trust::Host => known(authorities)?,
    };
    let roots = Arc::new(roots);
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if trust == Trust::Authority {
        let standard = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let standard = standard.build().map_err(|error| error.to_string())?;
        let algorithms = provider.signature_verification_algorithms.all;
        config.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { roots, standard, algorithms }))
    } else {
        config.with_root_certificates(roots)
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// The authorities in the file, else those of the system.
fn known(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let none = "the system has no certificates of authorities: name some with `sslrootcert`";
        return if roots.is_empty() { Err(none.into()) } else { Ok(roots) };
    };
    let wrong = |why: &dyn Display| format!("sslrootcert `{}`: {why}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let added = certificate.map_err(|error| wrong(&error)).map(|certificate| roots.add(certificate))?;
        added.map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() { Err(wrong(&"it holds no certificate")) } else { Ok(roots) }
}

/// `verify-ca`: all that rustls verifies, except that the certificate may name any host.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    standard: Arc<WebPkiServerVerifier>,
    algorithms: &'static [&'static dyn rustls::pki_types::SignatureVerificationAlgorithm],
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.standard.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.standard.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.standard.supported_verify_schemes()
    }
}
