//! Encrypted connections: certificates, and a server in front of another that ends TLS.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::canned::read_from;
use super::hosts::program;
use super::proxy::forward;

/// Certificates of an authority of the test's own: for a server at 127.0.0.1, and for a
/// client.
pub fn certify(dir: &Path) {
    let openssl = |arguments: &str| {
        let done =
            Command::new(program("openssl")).args(arguments.split(' ')).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    for (name, extension) in
        [("broker", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
    {
        openssl(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name} -addext {extension}"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem \
             -copy_extensions copy"
        ));
    }
}

/// What ends TLS in front of `upstream`, with a certificate for 127.0.0.1. It runs as long as the tests do.
pub struct Front {
    pub address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Front {
    pub fn start(upstream: SocketAddr) -> Front {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path());
        let chain = CertificateDer::pem_file_iter(dir.path().join("broker.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.path().join("broker.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut connection = ServerConnection::new(config.clone()).unwrap();
                // A client that does not trust the certificate goes away.
                if (0..4)
                    .try_for_each(|_| match connection.is_handshaking() {
                        true => connection.complete_io(&mut stream).map(drop),
                        false => Ok(()),
                    })
                    .is_err()
                {
                    continue;
                }
                let mut stream = StreamOwned::new(connection, stream);
                let seen = read_from(&mut stream);
                stream.write_all(&forward(upstream, &seen)).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        });
        Front { address, dir }
    }

    /// The authority that signed its certificate.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}
