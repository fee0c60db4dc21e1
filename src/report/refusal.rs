//! Refusals in words, for every command that tells why a device is not offered its target.

use crate::report::words::form;
use otapress_responder::record::{Refusal, RolloutRecord};

/// The meaning of a refusal, and the remedy if the operator has one. `rollout` is the refusing rollout.
pub(crate) fn explain(refusal: Refusal, rollout: &RolloutRecord) -> String {
    match refusal {
        Refusal::NoImei => "the request names no IMEI".into(),
        Refusal::UnknownDevice => "it is not in out/".into(),
        Refusal::NoAnswerFile => "its answer file is missing or unreadable".into(),
        Refusal::NoState => "the state cannot be read or written".into(),
        Refusal::BadVersion => "what it reports is not a version".into(),
        Refusal::Held => "`hold: true`".into(),
        Refusal::NoTarget => "there is nothing that it should run".into(),
        Refusal::Current => "it runs its target".into(),
        Refusal::DowngradeDenied => "it runs a higher version, and the channel says `downgrade: deny`".into(),
        Refusal::WaitingForWave => "its wave is not open yet".into(),
        Refusal::OutsideWindow => "the channel's window is closed".into(),
        Refusal::AttemptsUsed => "it has used its attempts; `otapress retry` gives it new ones".into(),
        Refusal::Halted => {
            let reason = rollout.halted.as_ref().map_or("", |halt| &halt.reason);
            format!("{reason}; `otapress resume {}` lets it go on", rollout.id)
        }
        Refusal::Withdrawn => "the release is withdrawn".into(),
        Refusal::Proving => format!(
            "{} {} sent the release and not heard of since, which is as many as may be; `otapress status` \
             names them",
            rollout.places,
            form(rollout.places, "device was", "devices were")
        ),
        Refusal::NotPublished => "the JAR of its target is not in out/, or not all of it".into(),
        Refusal::RateLimited => "the channel has made as many offers in the last hour as it may".into(),
    }
}
