//! `otapress show`: everything about one device.

mod json;
mod text;
mod view;

use std::io::Write as _;

use anyhow::{Context as _, anyhow, bail};

use super::plan::moment;
use super::project::Project;
use super::{find, look_at_store, now};
use crate::context::{Exit, Global, print};
use crate::report::status::openings::Wait;
use crate::report::status::replaced::OfClientId;
use otapress_publish::catalog::Entry;
use otapress_publish::diag::{Sources, Span};
use otapress_publish::fleet::uri::expand;
use otapress_publish::fleet::{Device, Fleet, Override};
use otapress_publish::price::Price;
use otapress_publish::provision::{self, Form, at_command, to_set, warnings};
use otapress_publish::render::{answer, jad_path, jar_path, rollouts};
use otapress_publish::resolve::{Assignment, assign};
use otapress_responder::decide;
use otapress_responder::offer::Offer;
use otapress_responder::record::RolloutRecord;
use otapress_responder::store::Store as _;
use otapress_responder::waves;
use view::{JarView, StateView, View};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The device, by clientID or IMEI
    device: String,
    /// Print only what to set on the device, with its password
    #[arg(long, conflicts_with = "json", value_name = "FORM")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "set")]
    provision: Option<FormName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Say what would be decided at this moment, such as `2026-12-01T08:00:00Z` [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
}

/// A [`Form`] on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormName {
    /// Commands of the console (with its dollar sign) and of MQTT, one in each line
    Set,
    /// Lines of a:/file/OwnTracks.properties
    Properties,
    /// Text messages, one in each line
    Sms,
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Set => Form::Set,
            FormName::Properties => Form::Properties,
            FormName::Sms => Form::Sms,
        }
    }
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    let Some((fleet, catalog)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let device = find::device(fleet, &args.device)?;
    let provisioning = &fleet.group(device).provisioning;
    let assignment = assign(fleet, device);
    let Ok(jad_path) = jad_path(fleet, device) else {
        bail!("`otapURI` names no file for device `{}`", device.client_id);
    };
    let password = match &provisioning.auth {
        Some(auth) if args.provision.is_some() => Some(fleet.password(&auth.password_file)?),
        Some(auth) => Some(format!("<the line in {}>", auth.password_file.display())),
        None => None,
    };
    let provision = to_set(fleet, device, password.as_deref());
    if let Some(form) = args.provision.map(Form::from) {
        let text = provision::text(form, &provision).map_err(|faults| anyhow!("{}", faults.join("; ")))?;
        print(text)?;
        if form == Form::Sms && !global.quiet {
            for note in provision::SMS_NOTES {
                writeln!(std::io::stderr(), "note: {note}")?;
            }
        }
        return Ok(Exit::Done);
    }
    let entry = assignment.target.and_then(|version| catalog.get(version));
    let (wait, state, of_client_id) = state(global, fleet, device, assignment, args.at.unwrap_or_else(now))?;
    let notify_url = expand(provisioning.notify_uri.value.as_str(), &device.client_id).into_owned();
    let view = View {
        fleet,
        device,
        assignment,
        traffic: fleet.data_plan().map_or_else(Vec::new, |plan| {
            Price::of(fleet, device, assignment, entry.map(|entry| entry.jar().size())).lines(plan)
        }),
        overridden: overridden(device, &project.loaded().sources),
        jad_url: fleet.site().url(&jad_path),
        jar: entry.map(|entry| JarView {
            url: fleet.site().url(&jar_path(fleet, entry)),
            size: entry.jar().size(),
            sha256: entry.sha256().to_string(),
            signer: signer(fleet, entry),
        }),
        command: at_command(fleet, device, &notify_url, password.as_deref()),
        warnings: warnings(fleet, device, &notify_url),
        notify_url,
        provision,
        wait,
        state,
        of_client_id,
    };
    let text =
        if args.json { serde_json::to_string_pretty(&json::json(&view))? + "\n" } else { text::text(&view) };
    print(text)
}

/// The name of the certificate whose key signed a release.
fn signer(fleet: &Fleet, entry: &Entry) -> Option<String> {
    let chain = fleet.midlet().signing.as_ref()?.chain.as_ref()?;
    entry.signature().map(|_| chain.signer().name().to_owned())
}

/// An inventory declares the device, and an entry of fleet.yaml says more.
fn overridden(device: &Device, sources: &Sources) -> Option<String> {
    let Override { span, keys } = device.overridden.as_deref()?;
    let place =
        |span: Span| format!("{}:{}", sources.get(span.source).path.display(), sources.line_column(span).0);
    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
    let keys = if keys.is_empty() { "nothing".into() } else { keys.join(", ") };
    Some(format!("{} says {keys} over {}", place(*span), place(device.span)))
}

/// What is remembered, and what would be decided if the device asked at `now` (Unix time) with the version
/// that it reported last.
fn state(
    global: &Global,
    fleet: &Fleet,
    device: &Device,
    assignment: Assignment,
    now: i64,
) -> anyhow::Result<(Option<String>, Option<StateView>, OfClientId)> {
    let rollouts = rollouts(fleet);
    let offer = Offer::new(answer(fleet, device, assignment), &rollouts)
        .context("the answer file contradicts itself")?;
    let (target, patience) = match &offer {
        Offer::Managed(managed) => (managed.target.as_ref(), managed.patience()),
        Offer::Held => (None, 0),
    };
    let id = target.map_or("", |target| &*target.rollout);
    let published = rollouts.get(id).map_or(&[][..], |rollout| &rollout.waves);
    // The next check opens what is due.
    let judged = |mut rollout: RolloutRecord| {
        waves::judge(&mut rollout, published, patience, now, &mut Vec::new());
        rollout
    };
    let wait = |rollout: &RolloutRecord| {
        let n = published.iter().position(|wave| target.is_some_and(|target| target.wave == Some(wave.wave)));
        Wait::of(rollout, published, n?, now).map(|wait| wait.text(now))
    };
    let mut waits = wait(&judged(RolloutRecord::new(id)));
    let (mut found, mut of_client_id) = (None, OfClientId::default());
    let Some(mut store) = look_at_store(global)? else { return Ok((waits, found, of_client_id)) };
    store.read(&mut |tx| {
        let rollout = judged(tx.rollout(id)?).with_release(&tx.releases()?);
        waits = wait(&rollout);
        of_client_id = OfClientId::read(tx, fleet, &device.client_id)?;
        let Some(record) = tx.device(device.imei)? else { return Ok(()) };
        let recent = match target.and_then(|target| target.channel.as_deref()) {
            Some(channel) => tx.offers_in_hour(channel, now)?,
            None => 0,
        };
        let now = record.reported.map(|reported| {
            decide::refusal(&offer, reported, &record, &rollout, recent, now).map_or(Ok(()), Err)
        });
        found = Some(StateView { record, rollout, now });
        Ok(())
    })?;
    Ok((waits, found, of_client_id))
}
