//! A device that has asked the responder some seconds ago.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use otapress_responder::message::Request;
use otapress_responder::service::{Reply, Responder, Step, answer};
use otapress_responder::store::Durability;
use otapress_responder::store::sqlite::SqliteStore;

use super::process::PATIENCE;

/// Sends a request to what is published in `out`, with its memory in `state`.
pub fn ask(out: &Path, state: &Path, ago: i64, target: &str, agent: &str, body: &str) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let request = Request {
        method: "POST",
        target,
        host: None,
        agent: Some(agent.as_bytes()),
        body: body.as_bytes(),
        is_complete: true,
    };
    let Step::Ask(question) = Responder::new(out).prepare(&request) else { panic!("{target}") };
    let mut store = SqliteStore::open(state, PATIENCE).unwrap();
    answer(&mut store, Durability::Power, &[question], i64::try_from(now).unwrap() - ago).swap_remove(0)
}
