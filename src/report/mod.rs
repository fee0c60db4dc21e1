//! What people and other programs are shown.

#![allow(clippy::disallowed_types, reason = "the JSON that commands print")]

pub mod diagnostics;
pub mod json;
pub mod plan;
pub mod refusal;
pub mod status;
pub mod words;
