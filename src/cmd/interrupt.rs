//! Ctrl-C, where an operator should know what it leaves.

use std::io::Write as _;
use std::thread;

/// The exit code of a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// Prints a message and ends the process at the first Ctrl-C.
pub(crate) fn end_with(message: &'static str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The handler is there before this returns, so that no Ctrl-C is missed.
    let mut interrupts = {
        let _guard = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            let _ = writeln!(std::io::stderr(), "{message}");
            std::process::exit(INTERRUPTED);
        }
    })?;
    Ok(())
}
