//! What can go wrong, and how often it does in a history.

use strum::VariantArray as _;

use crate::Prng;

/// A kind of fault. A history has some of them; a shrunk one has those that it needs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray,
)]
pub enum Fault {
    /// A request does not reach its host.
    LostRequest,
    /// A reply does not reach its device.
    LostReply,
    /// A request arrives after the device has given it up.
    LateRequest,
    /// A request arrives twice.
    DoubleRequest,
    /// A result is posted again, or arrives hours late.
    LateResult,
    /// A transaction fails before it has begun.
    StoreBefore,
    /// A transaction fails while it commits.
    StoreDuring,
    /// A transaction fails after its commit.
    StoreAfter,
    /// A responder ends after it has committed and before it answers.
    Restart,
    /// Nobody reaches any host for hours.
    Outage,
    /// The clocks of the hosts go wrong by seconds a day.
    Drift,
    /// A host's clock is days away for hours.
    Jump,
    /// A copy of `out/` is hours behind.
    LateCopy,
    /// A copy is made halfway.
    TornCopy,
    /// A JAR of a host is cut off.
    CutJar,
    /// An answer file of a host is cut off.
    CutAnswer,
    /// A build ends halfway, and the next one goes on.
    TornBuild,
    /// An upgrade fails for reasons of the network.
    Transient,
    /// Devices are switched off for days.
    Parked,
    /// Devices restart at any time.
    Reboot,
    /// Some releases silence devices, come back as the old one, or do not install.
    BadRelease,
    /// Requests of nobody: unknown devices, unpublished paths, bodies that are no version.
    Stranger,
    /// The operator changes the fleet.
    Edit,
    /// The records are replaced by those of a day ago.
    Restore,
    /// Somebody builds with an older otapress.
    OldFormat,
    /// A modem names no IMEI with its results.
    NoImei,
}

/// The faults of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather(u32);

impl Weather {
    /// No faults at all.
    pub const CALM: Weather = Weather(0);

    /// All of them.
    pub fn storm() -> Self {
        Weather((1 << Fault::VARIANTS.len()) - 1)
    }

    /// Those that are not counted each time: the store has its own chance, and clocks drift all the time.
    pub const SILENT: [Fault; 6] = [
        Fault::StoreBefore,
        Fault::StoreDuring,
        Fault::StoreAfter,
        Fault::Drift,
        Fault::BadRelease,
        Fault::Edit,
    ];

    /// These and no others.
    pub fn with(faults: &[Fault]) -> Self {
        Weather(faults.iter().fold(0, |bits, fault| bits | 1 << *fault as u32))
    }

    /// A part of them that the seed chooses, so that histories are unlike.
    pub fn of(prng: &mut Prng) -> Self {
        let bits = Fault::VARIANTS.iter().filter(|_| prng.below(3) > 0).map(|fault| 1 << *fault as u32).sum();
        Weather(bits)
    }

    /// Whether a fault is among them.
    pub fn has(&self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// The same without one.
    #[must_use]
    pub fn without(&self, fault: Fault) -> Self {
        Weather(self.0 & !(1 << fault as u32))
    }

    /// Which there are.
    pub fn faults(&self) -> Vec<Fault> {
        Fault::VARIANTS.iter().copied().filter(|fault| self.has(*fault)).collect()
    }
}
