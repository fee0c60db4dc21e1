//! A passphrase that somebody types.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};

use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;

/// Longer lines are not typed: a terminal has no room for them.
const LONGEST: usize = 4096;

/// The modes of a terminal, which return when this goes.
struct Modes<'a>(&'a File, Termios);

impl Drop for Modes<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// Asks on the terminal, which shows nothing of the answer; with the end of its line, as openssl reads it.
///
/// # Errors
/// If there is no terminal, or whoever sits at it gives up.
#[expect(clippy::disallowed_methods, reason = "the terminal")]
pub(super) fn ask(prompt: &str) -> anyhow::Result<Vec<u8>> {
    let failed = "cannot ask for the passphrase";
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").context(failed)?;
    let modes = tcgetattr(&terminal).context(failed)?;
    let mut silent = modes.clone();
    // A signal would end the program and leave the terminal silent: Ctrl-C ends the line instead.
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).context(failed)?;
    let mut line = vec![0; LONGEST];
    let read = {
        let _modes = Modes(&terminal, modes);
        (&terminal).write_all(prompt.as_bytes()).context(failed)?;
        // A terminal gives one line at a time.
        (&terminal).read(&mut line)
    };
    terminal.write_all(b"\n").context(failed)?;
    line.truncate(read.context(failed)?);
    if !line.ends_with(b"\n") {
        bail!("no passphrase was typed");
    }
    Ok(line)
}
