//! What people and other programs are shown.

pub mod diagnostics;
pub mod refusal;
pub mod status;
