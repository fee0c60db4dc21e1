//! The command `otapress serve`.
