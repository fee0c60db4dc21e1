//! The broker, and who we are there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rumqttc::tokio_rustls::rustls::crypto::ring;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject as _;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use rumqttc::{AckMode, MqttOptions, TlsConfiguration, Transport};

/// After so long without any message, both sides ask whether the other one is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The most that MQTT can carry: a rejected longer message would be delivered again with every connection.
const LONGEST: usize = 268_435_455;

/// The broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    pub(crate) tls: bool,
}

/// Why a text is not an address. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("the broker is named as `mqtt://HOST[:PORT]`, or with TLS `mqtts://HOST[:PORT]`")]
    Shape,
    /// Anybody who can list processes can read a password in an argument.
    #[error(
        "credentials do not belong on the command line: leave them out of the URL, and use --user and \
         --password-file"
    )]
    Credentials,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Shape)?;
        let (tls, usual) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(AddressError::Shape),
        };
        if rest.contains('@') {
            return Err(AddressError::Credentials);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::Shape)?;
        let authority = uri.authority().ok_or(AddressError::Shape)?;
        let host = authority.host();
        // `http` reports no port where it is not a number.
        let port = match authority.as_str().len() - host.len() {
            0 => usual,
            _ => authority.port_u16().ok_or(AddressError::Shape)?,
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_err() => {
                return Err(AddressError::Shape);
            }
            Some(address) => address,
            None => host,
        };
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if host.is_empty() || !host.chars().all(in_name) || port == 0 || !is_bare || rest.contains('#') {
            return Err(AddressError::Shape);
        }
        Ok(Address { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Whether the traffic leaves this machine.
    pub(crate) fn is_remote(&self) -> bool {
        let loopback = self.host.parse::<std::net::IpAddr>().map(|ip| ip.is_loopback());
        !loopback.unwrap_or(self.host == "localhost")
    }
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The user.
    pub(crate) user: String,
    /// Never shown.
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Files that TLS takes, as PEM.
#[derive(Clone, Default)]
pub(crate) struct Pem {
    /// Whose certificates are trusted; without it, those that the system trusts.
    pub(crate) authorities: Option<Vec<u8>>,
    /// Our own certificate, its chain, and the key.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Of the authorities' file.
    #[error("there is no certificate of an authority in PEM")]
    Authorities,
    /// Of our own files.
    #[error("there is no certificate and key in PEM: {0}")]
    Identity(String),
    /// The system's authorities.
    #[error("the authorities that the system trusts cannot be read ({0}): name a file of them")]
    System(String),
    /// Anything else.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The broker, how it is spoken to and as whom.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) address: Address,
    login: Option<Login>,
    transport: Transport,
}

impl Broker {
    /// Checks and keeps what is needed to connect.
    pub(crate) fn new(address: Address, login: Option<Login>, pem: Pem) -> Result<Self, TlsError> {
        let transport = if address.tls { Transport::Tls(tls(pem)?) } else { Transport::Tcp };
        Ok(Broker { address, login, transport })
    }

    /// The options of a connection under that clientID. With `keep`, the broker keeps the subscriptions and
    /// what arrives for them while we are not there.
    pub(super) fn options(&self, client_id: &str, keep: Keep) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, (self.address.host.as_str(), self.address.port));
        options
            .set_transport(self.transport.clone())
            .set_keep_alive(u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX))
            .set_clean_session(keep == Keep::Nothing)
            .set_ack_mode(AckMode::Manual)
            .set_max_packet_size(LONGEST, LONGEST);
        if let Some(login) = &self.login {
            options.set_credentials(&login.user, login.password.clone());
        }
        options
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The broker keeps nothing beyond the connection.
    Nothing,
    /// Subscriptions, and messages for them.
    Session,
}

fn tls(pem: Pem) -> Result<TlsConfiguration, TlsError> {
    let Some(authorities) = pem.authorities else {
        return TlsConfiguration::try_default_rustls().map_err(|error| TlsError::System(error.to_string()));
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authorities) {
        roots.add(certificate.map_err(|_| TlsError::Authorities)?)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Authorities);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((chain, key)) = pem.identity else { return Ok(builder.with_no_client_auth().into()) };
    let wrong = |error: rustls::pki_types::pem::Error| TlsError::Identity(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(wrong)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(wrong)?;
    Ok(builder.with_client_auth_cert(chain, key)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_a_url_without_secrets() {
        for (text, shown) in [
            ("mqtt://broker.example.com", "mqtt://broker.example.com:1883"),
            ("mqtts://broker.example.com/", "mqtts://broker.example.com:8883"),
            ("mqtt://127.0.0.1:2000", "mqtt://127.0.0.1:2000"),
            ("mqtts://[::1]:2000", "mqtts://[::1]:2000"),
            ("mqtts://[2001:db8::1]", "mqtts://[2001:db8::1]:8883"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "broker",
            "tcp://broker",
            "mqtt://",
            "mqtt://a/b",
            "mqtt://a:x",
            "mqtt://a:0",
            "mqtt://a:65536",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://[a]",
            "mqtt://[::1]9",
            "mqtt://a b",
            "mqtt://a?x",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError::Shape), "{bad}");
        }
        assert_eq!("mqtt://ota:geheim@broker".parse::<Address>(), Err(AddressError::Credentials));
        let remote = |text: &str| text.parse::<Address>().unwrap().is_remote();
        assert!(remote("mqtt://broker") && remote("mqtt://10.0.0.1"));
        assert!(!remote("mqtt://localhost") && !remote("mqtt://127.0.0.9") && !remote("mqtt://[::1]"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { user: "ota".into(), password: "geheim".into() };
        assert_eq!(format!("{login:?}"), "Login { user: \"ota\", .. }");
    }

    #[test]
    fn what_is_no_certificate_is_refused_at_once() {
        let address: Address = "mqtts://broker".parse().unwrap();
        let with = |pem| Broker::new(address.clone(), None, pem).map(|_| ()).unwrap_err().to_string();
        let nothing = Pem { authorities: Some(b"no PEM".to_vec()), identity: None };
        assert_eq!(with(nothing), "there is no certificate of an authority in PEM");
    }
}
