//! What people and other programs are shown.

pub mod diagnostics;
pub mod json;
pub mod plan;
pub mod refusal;
pub mod status;
pub mod words;
