//! Events over MQTT and as webhooks: what is recorded goes out, what devices say of themselves comes in.
//!
//! ```text
//! store ─ feed, after a cursor ─┬─► payload ─► <prefix>/otap/<kind>           at least once, in their order
//!                               └─► cloud event, signature ─► POST            the same, from its own cursor
//! <publish><clientID>/start ─► start ─► responder::service ─► store    acknowledged once recorded
//! operate::trigger ─► store ─► <publish><clientID>/cmd                        recorded before it is sent
//! ```
//!
//! [`topic`], [`start`], [`payload`], [`signature`] and [`backoff`] are pure; [`link`] is one connection to
//! the broker, [`webhook`] a receiver, [`daemon`] and [`trigger`] are what is done over them. Nothing is ever
//! published retained: a retained `upgrade` would be carried out at every start, for ever.

pub(crate) mod backoff;
pub(crate) mod broker;
pub(crate) mod daemon;
mod echo;
mod feed;
pub(crate) mod link;
mod outbox;
pub(crate) mod payload;
mod session;
pub(crate) mod signature;
pub(crate) mod start;
pub(crate) mod task;
pub(crate) mod topic;
pub(crate) mod trigger;
pub(crate) mod webhook;

/// Random numbers from 0 to 1, which spread the tries to reach a broker.
pub(crate) type Jitter = Box<dyn FnMut() -> f64 + Send>;
