//! The files that hold otapPasswords, checked without showing what is in them.

use std::path::Path;

use super::modem::{breaks_command, too_long_secret};
use super::raw::Text;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic};
use crate::files::Reach;
use crate::password::{self, PasswordError};

/// The directory of fleet.yaml and what else may be read; none if the text of a fleet is read without its
/// files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secrets<'a>(pub Option<(&'a Path, &'a Reach)>);

impl Secrets<'_> {
    /// Reports what is wrong with the password of a file. A file that is missing is a warning: what is
    /// published does not depend on it, and may be built where the secret is not.
    pub(super) fn check(self, reader: &mut Reader, file: &Text, limit: usize) {
        match self.0.map(|(dir, reach)| password::within(dir, reach, Path::new(&*file.text))) {
            None => {}
            Some(Ok(password)) => check(reader, file, &password, limit),
            Some(Err(PasswordError::Unreadable(error))) => reader.report(
                Diagnostic::new(Code::PasswordMissing, file.span, format!("the password file {error}"))
                    .hint("`show --provision`, `serve` and `simulate` need it"),
            ),
            Some(Err(error)) => reader.report(bad(file, &error.to_string())),
        }
    }

    /// The password of a file, which is to be pushed.
    pub(super) fn read(self, reader: &mut Reader, file: &Text, limit: usize) -> Option<String> {
        let (dir, reach) = self.0?;
        match password::within(dir, reach, Path::new(&*file.text)) {
            Ok(password) => {
                check(reader, file, &password, limit);
                Some(password)
            }
            Err(error) => {
                reader.report(bad(file, &error.to_string()));
                None
            }
        }
    }
}

fn check(reader: &mut Reader, file: &Text, password: &str, limit: usize) {
    if breaks_command(password).is_some() {
        let message =
            format!("the password in `{}` has a character that breaks the modem's command", file.text);
        reader.report(bad(file, &message).hint(
            "the firmware quotes nothing: no comma, quote, semicolon, white space, control or non-ASCII \
             character",
        ));
    }
    if password.len() > limit {
        reader.report(too_long_secret(file.span, password.len(), limit));
    }
}

fn bad(file: &Text, message: &str) -> Diagnostic {
    Diagnostic::new(Code::BadPassword, file.span, message)
        .hint("write the password alone, in one line of ASCII")
}
