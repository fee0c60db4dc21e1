//! The OTAP procedure: the modem fetches the JAD and the JAR, installs, and posts the result.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::http::{Error, Framing, Reply, Request};
use super::{Device, Exchange, Purpose, Transport};
use otapress_publish::jad;
use otapress_publish::jar::Rules;

/// The characters that break the unquoted parameters of `AT^SJOTAP`.
const BREAKS_COMMAND: [char; 3] = [',', '"', ';'];

/// The only type as which a descriptor is taken.
pub const JAD_TYPE: &str = "text/vnd.sun.j2me.app-descriptor";

/// The types as which an application is taken.
pub const JAR_TYPES: [&str; 2] = ["application/java-archive", "application/java"];

/// The connection broke while the JAR came.
const LOSS_OF_SERVICE: u16 = 903;

/// Faults to simulate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Post this result instead of the real one, and install only if both are 900.
    pub pretend: Option<u16>,
    /// The answer to the version check does not arrive.
    pub lose_answer: bool,
    /// The device stays as it is after the procedure: no reboot, no check at start-up.
    pub no_reboot: bool,
    /// The number of repeated posts of the result.
    pub repeat_notify: u32,
}

/// An OTAP procedure, from the descriptor to the notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otap {
    /// Every exchange in order.
    pub exchanges: Vec<Exchange>,
    /// How it ended.
    pub outcome: OtapOutcome,
}

/// How an OTAP procedure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtapOutcome {
    /// Refused before the descriptor was read; no result is posted.
    Refused(Refusal),
    /// Ended with a result, which is posted to notifyURI.
    Finished {
        /// The MIDP status code.
        code: u16,
        /// The cause in words.
        why: String,
        /// Whether the result was answered with 200 (the device does not care).
        delivered: bool,
    },
}

impl OtapOutcome {
    /// The code that was posted, if any was.
    pub fn code(&self) -> Option<u16> {
        match self {
            OtapOutcome::Refused(_) => None,
            OtapOutcome::Finished { code, .. } => Some(*code),
        }
    }
}

/// Why a modem gives up without posting a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// otapURI is not set.
    NoOtapUri,
    /// A parameter would break the AT command.
    Command(String),
    /// otapURI is not an `http` URL that ends in `.jad`.
    OtapUri(String),
    /// No complete reply to the GET of the JAD.
    Http(Error),
    /// A status other than 200.
    Status(u16),
    /// Not served as `text/vnd.sun.j2me.app-descriptor`.
    ContentType(Option<String>),
}

/// A result of the installer: the code and what was found.
struct Verdict {
    code: u16,
    why: String,
}

impl Verdict {
    fn new(code: u16, why: impl Into<String>) -> Verdict {
        Verdict { code, why: why.into() }
    }

    /// The first fault that keeps a device from installing, among those whose code counts.
    fn of(faults: &[jad::Fault], counts: impl Fn(u16) -> bool) -> Option<Verdict> {
        let fault = faults.iter().find(|f| f.code_on_device != jad::SUCCESS && counts(f.code_on_device))?;
        Some(Verdict::new(fault.code_on_device, format!("line {}: {}", fault.line, fault.message)))
    }

    fn descriptor() -> Verdict {
        Verdict::new(jad::INVALID_DESCRIPTOR, "the descriptor is not complete")
    }
}

/// A transport, and what went over it.
struct Wire<'a> {
    transport: &'a mut dyn Transport,
    log: Vec<Exchange>,
}

impl Device {
    /// Runs the procedure once, whatever the last version check said. The running version changes if
    /// the application was installed; the reboot is the caller's.
    pub fn otap(&mut self, faults: &Faults) -> Otap {
        self.otap_over(&mut self.network.clone(), faults)
    }

    /// The same over a transport.
    pub fn otap_over(&mut self, transport: &mut dyn Transport, faults: &Faults) -> Otap {
        let mut wire = Wire { transport, log: Vec::new() };
        let outcome = self.install(faults, &mut wire).unwrap_or_else(OtapOutcome::Refused);
        Otap { exchanges: wire.log, outcome }
    }

    fn install(&mut self, faults: &Faults, wire: &mut Wire<'_>) -> Result<OtapOutcome, Refusal> {
        let otap_uri = self.expanded("otapURI").ok_or(Refusal::NoOtapUri)?;
        self.check_command(&otap_uri)?;
        let descriptor = self.get_jad(&otap_uri, wire)?;

        let mut notify_uri = self.expanded("notifyURI");
        let verdict = match descriptor {
            Err(verdict) => verdict,
            Ok(jad) => {
                // MIDP 2.0 OTA 2.1.6: the descriptor's own URL goes before any other.
                if let Some(uri) = jad.get("MIDlet-Install-Notify") {
                    notify_uri = Some(uri.into());
                }
                match self.get_jar(&jad, wire) {
                    Err(verdict) => verdict,
                    Ok(version) => {
                        if faults.pretend.is_none_or(|code| code == jad::SUCCESS) {
                            self.version = version;
                        }
                        Verdict::new(jad::SUCCESS, "installed")
                    }
                }
            }
        };
        let code = faults.pretend.unwrap_or(verdict.code);
        let mut delivered = false;
        for _ in 0..=faults.repeat_notify {
            if let Some(uri) = notify_uri.as_deref().filter(|uri| !uri.is_empty()) {
                delivered |= self.notify(uri, code, wire);
            }
        }
        Ok(OtapOutcome::Finished { code, why: verdict.why, delivered })
    }

    /// The parameters of the AT command are not quoted, so that some characters cut it in pieces.
    fn check_command(&self, otap_uri: &str) -> Result<(), Refusal> {
        let notify_uri = self.expanded("notifyURI");
        let breaks = |c: char| !c.is_ascii_graphic() || BREAKS_COMMAND.contains(&c);
        let set = |key| self.settings.get(key);
        for parameter in
            [Some(otap_uri), set("otapUser"), set("otapPassword"), set("apn"), notify_uri.as_deref()]
        {
            if let Some(parameter) = parameter.filter(|p| p.contains(breaks)) {
                return Err(Refusal::Command(parameter.into()));
            }
        }
        if super::http::Url::parse(otap_uri).is_none_or(|url| url.tls) || !otap_uri.ends_with(".jad") {
            return Err(Refusal::OtapUri(otap_uri.into()));
        }
        Ok(())
    }

    /// Fetches and reads the descriptor; the error is a refusal without a post, or a result.
    fn get_jad(&self, uri: &str, wire: &mut Wire<'_>) -> Result<Result<jad::Jad, Verdict>, Refusal> {
        let reply = self.get(Purpose::Jad, uri, wire).map_err(Refusal::Http)?;
        if reply.status != 200 {
            return Err(Refusal::Status(reply.status));
        }
        let content_type = reply.header("Content-Type").unwrap_or_default();
        if media_type(content_type) != JAD_TYPE {
            return Err(Refusal::ContentType(reply.header("Content-Type").map(String::from)));
        }
        if let Some(charset) = unknown_charset(content_type) {
            return Ok(Err(Verdict::new(
                jad::INVALID_DESCRIPTOR,
                format!("the charset `{charset}` is unknown"),
            )));
        }
        let jad = match jad::parse(&reply.body) {
            Ok(jad) => jad,
            Err(faults) => {
                return Ok(Err(Verdict::of(&faults, |_| true).unwrap_or_else(Verdict::descriptor)));
            }
        };
        // Signatures are checked once the JAR is complete.
        let alone = jad::check_alone(&jad);
        Ok(match Verdict::of(&alone, |code| code == jad::INVALID_DESCRIPTOR) {
            Some(verdict) => Err(verdict),
            None => Ok(jad),
        })
    }

    /// Fetches the application and compares it with its descriptor; gives the version that it is.
    fn get_jar(&self, jad: &jad::Jad, wire: &mut Wire<'_>) -> Result<String, Verdict> {
        let url = jad.get("MIDlet-Jar-URL").ok_or_else(Verdict::descriptor)?;
        let reply = self.get(Purpose::Jar, url, wire).map_err(|error| match error {
            Error::Url(_) => Verdict::new(jad::INVALID_JAR, error.to_string()),
            _ => Verdict::new(LOSS_OF_SERVICE, error.to_string()),
        })?;
        if reply.status != 200 {
            return Err(Verdict::new(jad::INVALID_JAR, format!("the JAR came with status {}", reply.status)));
        }
        let content_type = media_type(reply.header("Content-Type").unwrap_or_default());
        if !JAR_TYPES.contains(&content_type.as_str()) {
            return Err(Verdict::new(jad::INVALID_JAR, format!("the JAR came as `{content_type}`")));
        }
        let (size, said) = (reply.body.len().to_string(), jad.get("MIDlet-Jar-Size").unwrap_or_default());
        if size != said.trim_start_matches('0') {
            return Err(Verdict::new(jad::SIZE_MISMATCH, format!("{size} bytes instead of {said}")));
        }
        let jar = wire.transport.read_jar(&reply.body).map_err(|faults| {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            Verdict::new(jad::INVALID_JAR, messages.join("; "))
        })?;
        if let Some(verdict) = Verdict::of(&jad::check(jad, &jar, url), |_| true) {
            return Err(verdict);
        }
        let (_, concerns) = jad::verify(jad, &reply.body, &Rules::default());
        match concerns.into_iter().find(|concern| concern.fault.is_error()) {
            Some(concern) => Err(Verdict::new(jad::AUTHENTICATION, concern.fault.message)),
            None => Ok(jar.version_text().into()),
        }
    }

    /// A GET as the modem makes it: with credentials once it is asked for them.
    fn get(&self, purpose: Purpose, uri: &str, wire: &mut Wire<'_>) -> Result<Reply, Error> {
        let mut exchange = Exchange::make(wire.transport, purpose, self.modem_get(uri));
        let basic = exchange.reply.as_ref().is_ok_and(|reply| {
            let scheme = reply.header("WWW-Authenticate").and_then(|v| v.split_whitespace().next());
            reply.status == 401 && scheme.is_some_and(|s| s.eq_ignore_ascii_case("Basic"))
        });
        if let (true, Some(request)) = (basic, self.with_credentials(&exchange.request)) {
            wire.log.push(exchange);
            exchange = Exchange::make(wire.transport, purpose, request);
        }
        let reply = exchange.reply.clone();
        wire.log.push(exchange);
        reply
    }

    /// The modem's GET, without credentials.
    pub fn modem_get(&self, uri: &str) -> Request {
        Request::get(uri).header("User-Agent", &self.modem_agent()).header("Accept", "*/*")
    }

    /// Repeats the request with otapUser and otapPassword; `None` if there is no otapUser.
    pub fn with_credentials(&self, request: &Request) -> Option<Request> {
        let user = self.settings.get("otapUser")?;
        let password = self.settings.get("otapPassword").unwrap_or_default();
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Some(request.clone().header("Authorization", &format!("Basic {credentials}")))
    }

    /// The modem's post of a result.
    pub fn modem_post(&self, uri: &str, code: u16) -> Request {
        let body = format!("{code} {}", text(code));
        Request::post(uri, body.as_bytes(), Framing::Length).header("User-Agent", &self.modem_agent())
    }

    fn notify(&self, uri: &str, code: u16, wire: &mut Wire<'_>) -> bool {
        let exchange = Exchange::make(wire.transport, Purpose::Notify, self.modem_post(uri, code));
        let delivered = exchange.status() == Some(200);
        wire.log.push(exchange);
        delivered
    }

    fn modem_agent(&self) -> String {
        format!("{}/{} Profile/IMP-NG Configuration/CLDC-1.1", self.product, self.imei)
    }
}

/// The text that goes with a result (MIDP 2.0 OTA, "Installation Status").
fn text(code: u16) -> &'static str {
    match code {
        900 => "Success",
        901 => "Insufficient Memory",
        902 => "User Cancelled",
        903 => "Loss of Service",
        904 => "JAR size mismatch",
        905 => "Attribute Mismatch",
        906 => "Invalid Descriptor",
        907 => "Invalid JAR",
        908 => "Incompatible Configuration or Profile",
        909 => "Application authentication failure",
        910 => "Application authorization failure",
        911 => "Push registration failure",
        912 => "Deletion Notification",
        913 => "Required package not supported by the device",
        _ => "Unknown",
    }
}

/// The media type that a Content-Type names, in lower case.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The charset that a Content-Type names, if the modem does not know it.
pub fn unknown_charset(content_type: &str) -> Option<&str> {
    charset(content_type).filter(|charset| !is_known_charset(charset))
}

/// The charset as it stands: quotes are not taken off, as the modem's parser does not.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value.trim())
    })
}

fn is_known_charset(charset: &str) -> bool {
    ["utf-8", "iso-8859-1", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_as_the_modem_does() {
        assert_eq!(media_type(" Text/Plain ; charset=x"), "text/plain");
        assert_eq!(charset("a/b; Charset= utf-8 "), Some("utf-8"));
        assert_eq!(charset("a/b"), None);
        assert!(is_known_charset("UTF-8"));
        assert!(!is_known_charset("\"utf-8\""));
    }
}
