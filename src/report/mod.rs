//! Output for people and programs.

#![allow(clippy::disallowed_types, reason = "the JSON that commands print")]

pub mod ci_formats;
pub mod diagnostics;
pub(crate) mod json;
pub(crate) mod plan;
pub(crate) mod refusal;
pub(crate) mod rehearsal;
pub mod status;
pub(crate) mod suite_diff;
pub(crate) mod words;
