//! TLS for version checks: the MIDlet's own HTTP client may have it, the modem does not.
//!
//! Certificates are verified by rustls, against the authorities of the system or those of a file.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The authorities whose certificates are accepted.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why there are no authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// The system has none.
    #[error("the system has no certificates of authorities: name a file with `--cafile`")]
    System,
    /// A file that cannot be read or is no PEM.
    #[error("cannot read certificates from `{0}`: {1}")]
    File(PathBuf, String),
    /// A file without certificates.
    #[error("`{0}` holds no certificate in PEM")]
    Empty(PathBuf),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The authorities of the system. They are read once.
    ///
    /// # Errors
    /// If there are none.
    pub fn system() -> Result<Tls, AuthoritiesError> {
        static SYSTEM: OnceLock<Option<Tls>> = OnceLock::new();
        let load = || {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            (!roots.is_empty()).then(|| Tls::of(roots))
        };
        SYSTEM.get_or_init(load).clone().ok_or(AuthoritiesError::System)
    }

    /// The authorities whose certificates stand in a PEM file, and no others.
    ///
    /// # Errors
    /// If the file cannot be read or holds none.
    pub fn from_file(file: &Path) -> Result<Tls, AuthoritiesError> {
        let wrong = |error: pem::Error| AuthoritiesError::File(file.into(), error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(wrong)? {
            let added = roots.add(certificate.map_err(wrong)?);
            added.map_err(|error| AuthoritiesError::File(file.into(), error.to_string()))?;
        }
        if roots.is_empty() { Err(AuthoritiesError::Empty(file.into())) } else { Ok(Tls::of(roots)) }
    }

    /// No authorities: for whoever speaks no TLS.
    pub fn none() -> Tls {
        Tls::of(RootCertStore::empty())
    }

    /// The same for another client.
    pub fn config(&self) -> ClientConfig {
        (*self.0).clone()
    }

    fn of(roots: RootCertStore) -> Tls {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|config| config.with_root_certificates(roots).with_no_client_auth());
        // The provider is a constant that supports these versions.
        Tls(Arc::new(config.unwrap_or_else(|error| unreachable!("{error}"))))
    }

    /// Shakes hands over `stream` with the server that calls itself `host`.
    pub(crate) fn connect<S: Read + Write>(
        &self,
        host: &str,
        mut stream: S,
    ) -> Result<StreamOwned<ClientConnection, S>, std::io::Error> {
        let other = |error: &dyn fmt::Display| std::io::Error::other(error.to_string());
        let name = ServerName::try_from(host.to_owned()).map_err(|error| other(&error))?;
        let mut connection = ClientConnection::new(self.0.clone(), name).map_err(|error| other(&error))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}
