//! A simulated Greenwich tracker: its version check, its OTAP procedure and the state between them.
//!
//! It does what the firmware and the modem are known to do, mistakes included, over any [`Transport`], and
//! hands back every [`Exchange`] so that tests, `probe` and `simulate` can look at what a server really sent.
//! It is deterministic: the same server and the same faults give the same life.

mod check;
pub mod http;
mod otap;
mod settings;

pub use check::{Answered, Check, CheckOutcome, NoAnswer, Program, Quirks, Reading};
pub use otap::{Faults, JAD_TYPE, JAR_TYPES, Otap, OtapOutcome, Refusal, media_type, unknown_charset};
pub use settings::{Corruption, Settings, expand};

use std::sync::Arc;

use http::{Error, Network, Reply, Request};
use otapress_core::id::Imei;
use otapress_publish::jar::{self, Fault, Jar};

/// Carries requests to servers: a [`Network`], or a simulated one.
pub trait Transport {
    /// Sends a request and returns the whole reply.
    ///
    /// # Errors
    /// If there is no complete reply of HTTP/1.
    fn exchange(&mut self, request: &Request) -> Result<Reply, Error>;

    /// Reads an application that was downloaded. A transport of many devices can remember those it knows.
    ///
    /// # Errors
    /// Why a device does not install it.
    fn read_jar(&mut self, bytes: &[u8]) -> Result<Arc<Jar>, Vec<Fault>> {
        jar::read(bytes).map(Arc::new)
    }
}

impl Transport for Network {
    fn exchange(&mut self, request: &Request) -> Result<Reply, Error> {
        Network::exchange(self, request)
    }
}

/// One tracker with its modem.
#[derive(Clone, Debug)]
pub struct Device {
    /// The modem's IMEI.
    pub imei: Imei,
    /// The modem's name in the User-Agent of the OTAP procedure, such as `TC65i`.
    pub product: String,
    /// The MIDlet-Version that runs, as its manifest spells it.
    pub version: String,
    /// The settings file.
    pub settings: Settings,
    /// Deviations from the usual version check.
    pub quirks: Quirks,
    /// The address and the time limit of its requests, where no other transport is named.
    pub network: Network,
    /// Sticks from an upgrade answer until the reboot.
    upgrade_flag: bool,
    reboots: u64,
}

/// The purpose of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Purpose {
    /// POST of the running version.
    #[strum(serialize = "check")]
    VersionCheck,
    /// GET of the descriptor.
    Jad,
    /// GET of the application.
    Jar,
    /// POST of the result.
    Notify,
}

/// A request and its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its purpose.
    pub purpose: Purpose,
    /// The request.
    pub request: Request,
    /// The reply.
    pub reply: Result<Reply, Error>,
}

impl Exchange {
    fn make(transport: &mut dyn Transport, purpose: Purpose, request: Request) -> Exchange {
        // https is for the MIDlet's own requests: the modem does not know it.
        let known =
            purpose == Purpose::VersionCheck || http::Url::parse(&request.url).is_some_and(|url| !url.tls);
        let reply = if known { transport.exchange(&request) } else { Err(Error::Url(request.url.clone())) };
        Exchange { purpose, request, reply }
    }

    /// The status, if there is a reply.
    pub fn status(&self) -> Option<u16> {
        self.reply.as_ref().ok().map(|reply| reply.status)
    }

    /// The bytes of the reply's body; 0 without a reply.
    pub fn body_size(&self) -> usize {
        self.reply.as_ref().map_or(0, |reply| reply.body.len())
    }
}

/// A device's actions between two waits for its versionInterval.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The version check; `None` if the device goes on with an upgrade that it was told of before.
    pub check: Option<Check>,
    /// The OTAP procedure, if the check told it to upgrade.
    pub otap: Option<Otap>,
    /// The version check after the reboot that ends the procedure.
    pub start: Option<Check>,
}

impl Turn {
    /// Every exchange in order.
    pub fn exchanges<'a>(&'a self) -> impl Iterator<Item = &'a Exchange> {
        let otap = self.otap.iter().flat_map(|otap| &otap.exchanges);
        let exchange = |check: &'a Option<Check>| check.as_ref().and_then(|check| check.exchange.as_ref());
        exchange(&self.check).into_iter().chain(otap).chain(exchange(&self.start))
    }
}

impl Device {
    /// A tracker as it leaves the works, running `version`.
    pub fn new(imei: Imei, version: &str) -> Device {
        Device {
            imei,
            product: "TC65i".into(),
            version: version.into(),
            settings: Settings::default(),
            quirks: Quirks::default(),
            network: Network::default(),
            upgrade_flag: false,
            reboots: 0,
        }
    }

    /// Stores a setting.
    ///
    /// # Errors
    /// If the setting would damage the settings file.
    pub fn with(mut self, key: &str, val: &str) -> Result<Device, Corruption> {
        self.settings.apply(key, val)?;
        Ok(self)
    }

    /// The clientID: the setting, or else the IMEI.
    pub fn client_id(&self) -> String {
        self.settings.get("clientID").map_or_else(|| self.imei.to_string(), String::from)
    }

    /// A URI setting with the clientID put in; `None` if it is not set.
    pub fn expanded(&self, key: &str) -> Option<String> {
        self.settings.get(key).map(|uri| expand(uri, &self.client_id()))
    }

    /// Seconds between version checks; 0 (it polls every second) if the setting is garbage.
    pub fn version_interval(&self) -> i64 {
        self.settings.number("versionInterval", 10800)
    }

    /// Whether an upgrade answer has come since the last reboot.
    pub fn wants_upgrade(&self) -> bool {
        self.upgrade_flag
    }

    /// How often it has rebooted.
    pub fn reboots(&self) -> u64 {
        self.reboots
    }

    /// One version check and, if it is told to upgrade, the OTAP procedure, the reboot and the version
    /// check at start-up. If that one tells it to upgrade again, [`Device::wants_upgrade`], and the next
    /// turn goes on from there at once.
    pub fn turn(&mut self, faults: &Faults) -> Turn {
        let mut turn = Turn { check: None, otap: None, start: None };
        if !self.upgrade_flag {
            let lose = faults.lose_answer;
            turn.check = Some(if lose { self.check_and_lose_the_answer() } else { self.check() });
        }
        if self.upgrade_flag {
            turn.otap = Some(self.otap(faults));
            if !faults.no_reboot {
                self.reboot();
                turn.start = Some(self.check());
            }
        }
        turn
    }

    /// Restarts with the installed version; a pending upgrade is forgotten.
    pub fn reboot(&mut self) {
        self.upgrade_flag = false;
        self.reboots += 1;
    }
}
