//! A plan for programs, and as it is saved and read back.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Style;
use crate::report::status::time::moment;
use crate::report::suite_diff;
use otapress_core::digest::Sha256;
use otapress_core::out::Part;
use otapress_core::version::Version;
use otapress_core::wire;
use otapress_publish::plan::view::Fingerprint;
use otapress_publish::plan::{
    Change, Devices, Hindrance, Kind, Opening, Plan, Proof, Pushed, Rule, Running, Side, State, Upgrades,
};
use otapress_publish::plan::{Costs, Month};
use otapress_publish::settings::is_secret;

/// The number of the format; a saved plan with another number is refused.
const FORMAT: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    otapress_plan: u32,
    differs: bool,
    before: SideView,
    after: SideView,
    changed: usize,
    transitions: Vec<TransitionView>,
    replaced: Vec<String>,
    waves: Vec<WaveView>,
    departures: Vec<DepartureView>,
    rules: Vec<RuleView>,
    /// If the records were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obstacles: Vec<ObstacleView>,
    settings: Vec<SettingView>,
    jad_moves: Vec<JadMoveView>,
    jads_rewritten: usize,
    jars: Vec<JarView>,
    suites: Vec<Value>,
    files: FilesView,
    upgrades: Upgrades,
    /// If the fleet has a `dataPlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<PriceView>,
}

#[derive(Serialize)]
struct ObstacleView {
    rollout: String,
    obstacle: &'static str,
    reason: Option<String>,
    count: usize,
    devices: Vec<String>,
}

/// Bytes and money; of a month, what changes for each device.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PriceView {
    currency: String,
    once: PartView,
    unsure: PartView,
    if_all_attempts_fail: PartView,
    months: Vec<MonthView>,
    version_checks: PartView,
}

#[derive(Serialize)]
struct PartView {
    bytes: f64,
    money: f64,
}

#[derive(Serialize)]
struct MonthView {
    key: &'static str,
    before: u32,
    after: u32,
    devices: usize,
    #[serde(flatten)]
    each: PartView,
}

fn price(costs: &Costs) -> PriceView {
    #[allow(clippy::cast_precision_loss)]
    let amount = |bytes: u64| bytes as f64;
    let part = |bytes: f64| PartView { bytes, money: (costs.money(bytes) * 100.0).round() / 100.0 };
    let month = |month: &Month| MonthView {
        key: month.key,
        before: month.values.0,
        after: month.values.1,
        devices: month.devices,
        each: part(month.bytes.round()),
    };
    PriceView {
        currency: costs.currency().to_owned(),
        once: part(amount(costs.upgrades.traffic)),
        unsure: part(amount(costs.upgrades.unsure_traffic)),
        if_all_attempts_fail: part(amount(costs.upgrades.worst_traffic)),
        months: costs.months.iter().map(month).collect(),
        version_checks: part(costs.checks.0.round()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SideView {
    site: Option<String>,
    version_paths: Option<Vec<String>>,
    notify_paths: Option<Vec<String>>,
    auth: Option<bool>,
    devices: usize,
    fingerprint: BTreeMap<&'static str, Sha256>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TransitionView {
    kind: Kind,
    before: StateView,
    after: StateView,
    count: usize,
    downgrade_denied: usize,
    /// Absent for those that stay: most of a fleet, and not what a plan is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum StateView {
    Absent,
    Unreadable,
    Held,
    Nothing,
    Target { version: Version },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WaveView {
    rollout: String,
    #[serde(flatten)]
    opening: OpeningView,
    is_new: bool,
    count: usize,
    new: usize,
    devices: Vec<String>,
}

#[derive(Serialize)]
struct OpeningView {
    from: Option<String>,
    after: Option<ProofView>,
}

/// What a wave, counted from 1, must have shown.
#[derive(Serialize)]
struct ProofView {
    wave: usize,
    #[serde(flatten)]
    rule: wire::After,
}

#[derive(Serialize)]
struct DepartureView {
    #[serde(flatten)]
    opening: OpeningView,
    count: usize,
}

#[derive(Serialize)]
struct RuleView {
    rule: &'static str,
    channel: Option<String>,
    before: Value,
    after: Value,
    count: usize,
    devices: Vec<String>,
}

#[derive(Serialize)]
struct SettingView {
    key: String,
    secret: bool,
    before: Option<PushedView>,
    after: Option<PushedView>,
    count: usize,
    devices: Vec<String>,
}

#[derive(Serialize)]
struct PushedView {
    value: Option<String>,
    enforce: &'static str,
}

#[derive(Serialize)]
struct JadMoveView {
    before: Option<String>,
    after: String,
    count: usize,
    devices: Vec<String>,
}

#[derive(Serialize)]
struct JarView {
    before: Option<ReleaseView>,
    after: Option<ReleaseView>,
}

#[derive(Serialize)]
struct ReleaseView {
    version: String,
    size: u64,
    sha256: Sha256,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    signed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilesView {
    written: BTreeMap<&'static str, usize>,
    removed: BTreeMap<&'static str, usize>,
    unchanged: usize,
    bytes_written: u64,
    bytes_removed: u64,
}

/// The whole plan, every device by name.
pub(crate) fn json(plan: &Plan, style: Style<'_>) -> impl Serialize {
    let names = |devices: &Devices| -> Vec<String> {
        let imeis = plan.imeis(devices, devices.count(), style.names);
        imeis.into_iter().map(|imei| style.names.name(imei).into_owned()).collect()
    };
    let transitions = plan.transitions.iter().map(|transition| TransitionView {
        kind: transition.kind(),
        before: transition.before.into(),
        after: transition.after.into(),
        count: transition.devices.count(),
        downgrade_denied: transition.denied,
        devices: (transition.kind() != Kind::Stays).then(|| names(&transition.devices)),
        running: transition.running,
    });
    let waves = plan.waves.iter().map(|wave| WaveView {
        rollout: wave.rollout.clone(),
        opening: wave.opening.into(),
        is_new: wave.added,
        count: wave.devices.count(),
        new: wave.new,
        devices: names(&wave.devices),
    });
    let departures = plan
        .departures
        .iter()
        .map(|departure| DepartureView { opening: departure.opening.into(), count: departure.devices });
    let rules = plan.rules.iter().map(|change| {
        let (before, after) = values(&change.rule);
        RuleView {
            rule: (&change.rule).into(),
            channel: change.channel.clone(),
            before,
            after,
            count: change.devices.count(),
            devices: names(&change.devices),
        }
    });
    let obstacles = plan.obstacles.iter().map(|obstacle| {
        let (name, reason) = match &obstacle.hindrance {
            Hindrance::Halted(reason) => ("halted", Some(reason.clone())),
            Hindrance::Proving(_) => ("proving", None),
            Hindrance::Exhausted => ("exhausted", None),
        };
        ObstacleView {
            rollout: obstacle.rollout.clone(),
            obstacle: name,
            reason,
            count: obstacle.devices.count(),
            devices: names(&obstacle.devices),
        }
    });
    let settings = plan.settings.iter().map(|change| {
        let secret = is_secret(&change.key);
        let pushed = |pushed: &Pushed| PushedView {
            value: (!secret).then(|| pushed.value.clone()),
            enforce: if pushed.always { "always" } else { "until-confirmed" },
        };
        SettingView {
            key: change.key.clone(),
            secret,
            before: change.change.before().map(pushed),
            after: change.change.after().map(pushed),
            count: change.devices.count(),
            devices: names(&change.devices),
        }
    });
    let moves = plan.moves.iter().map(|moved| JadMoveView {
        before: moved.before.clone(),
        after: moved.after.clone(),
        count: moved.devices.count(),
        devices: names(&moved.devices),
    });
    let release = |release: &wire::Release| ReleaseView {
        version: release.version.clone(),
        size: release.size,
        sha256: release.sha256,
        signed: release.suite.signed,
        withdrawn: release.withdrawn.clone(),
    };
    let jar = |change: &Change<wire::Release>| JarView {
        before: change.before().map(release),
        after: change.after().map(release),
    };
    let files = &plan.files;
    View {
        otapress_plan: FORMAT,
        differs: !plan.is_empty(),
        before: side(&plan.before),
        after: side(&plan.after),
        changed: plan.changed,
        transitions: transitions.collect(),
        replaced: names(&plan.replaced),
        waves: waves.collect(),
        departures: departures.collect(),
        rules: rules.collect(),
        obstacles: obstacles.collect(),
        settings: settings.collect(),
        jad_moves: moves.collect(),
        jads_rewritten: files.jads_rewritten,
        jars: plan.jars.iter().map(jar).collect(),
        suites: plan.suites.iter().map(suite_diff::json).collect(),
        files: FilesView {
            written: parts(|part| files.written_by_part[part as usize]),
            removed: parts(|part| files.removed_by_part[part as usize]),
            unchanged: files.unchanged,
            bytes_written: files.bytes_written,
            bytes_removed: files.bytes_removed,
        },
        upgrades: plan.upgrades,
        price: plan.costs.as_ref().map(price),
    }
}

/// The fingerprints in a saved plan: of the tree as it was, and of the tree as it was to be.
pub(crate) fn fingerprints(text: &[u8]) -> Result<(Fingerprint, Fingerprint), String> {
    let plan: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match &plan["otapressPlan"] {
        Value::Null => return Err("it is not a plan".into()),
        format if *format != FORMAT => return Err("it was made by another version of otapress".into()),
        _ => {}
    }
    let of = |side: &str| {
        Fingerprint::from_parts(|part| {
            let text = plan[side]["fingerprint"][part.name()].as_str();
            let digest = text.and_then(|text| text.parse::<Sha256>().ok());
            digest.ok_or_else(|| format!("`{side}.fingerprint.{}` is not a digest", part.name()))
        })
    };
    Ok((of("before")?, of("after")?))
}

fn parts<T>(of: impl Fn(Part) -> T) -> BTreeMap<&'static str, T> {
    Part::ALL.into_iter().map(|part| (part.name(), of(part))).collect()
}

fn side(side: &Side) -> SideView {
    let site = side.site.as_ref();
    SideView {
        site: site.map(|site| site.site.clone()),
        version_paths: site.map(|site| site.version_paths.clone()),
        notify_paths: site.map(|site| site.notify_paths.clone()),
        auth: site.map(|site| site.auth),
        devices: side.devices,
        fingerprint: parts(|part| side.fingerprint.of(part)),
    }
}

impl From<Opening> for OpeningView {
    fn from(opening: Opening) -> Self {
        let proof = |proof: Proof| ProofView { wave: proof.wave, rule: proof.rule };
        OpeningView { from: opening.at.map(moment), after: opening.after.map(proof) }
    }
}

impl From<State> for StateView {
    fn from(state: State) -> Self {
        match state {
            State::Absent => StateView::Absent,
            State::Unreadable => StateView::Unreadable,
            State::Held => StateView::Held,
            State::Nothing => StateView::Nothing,
            State::Target(version) => StateView::Target { version },
        }
    }
}

/// The values of a rule before and after, as in out/.
fn values(rule: &Rule) -> (Value, Value) {
    match rule {
        Rule::Channel(old, new) => (json!(old), json!(new)),
        Rule::Spelling(old, new) => (json!(old), json!(new)),
        Rule::Wave(old, new) => (json!(OpeningView::from(*old)), json!(OpeningView::from(*new))),
        Rule::Unproven(old, new) => (json!(old), json!(new)),
        Rule::Window(old, new) => (json!(old), json!(new)),
        Rule::Attempts(old, new) | Rule::Interval(old, new) => (json!(old), json!(new)),
        Rule::Brake(old, new) => (json!(old), json!(new)),
        Rule::NoDowngrade(old, new) => {
            let word = |denied: bool| json!(if denied { "deny" } else { "allow" });
            (word(*old), word(*new))
        }
        Rule::Rate(old, new) => (json!(old), json!(new)),
    }
}
