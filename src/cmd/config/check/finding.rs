//! What is wrong on a host, with the way to mend it.

use std::fmt::Write as _;

use otapress_publish::diag::Severity;

/// The kind of a finding. The texts are stable: scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Code {
    /// The server's user does not exist.
    UserMissing,
    /// What the server needs is not there.
    PathMissing,
    /// The server's user cannot get to it.
    PathClosed,
    /// The records cannot be written.
    StateClosed,
    DiskFull,
    DiskLow,
    DiskReadOnly,
    /// fcgiwrap does not accept connections.
    SocketDown,
    /// The server's user may not connect to fcgiwrap.
    SocketClosed,
    /// `otapress serve` does not accept connections.
    UpstreamDown,
    /// The printed file is not where the server looks for it.
    ConfigMissing,
    /// It is not what would be printed now.
    ConfigDiffers,
    UnitMissing,
    UnitDisabled,
    UnitStopped,
    /// Files come from the future.
    ClockBehind,
    ClockUnsynchronized,
    /// SQLite.
    RecordsUnreadable,
    /// PostgreSQL.
    DatabaseUnreachable,
    /// The unit's `EnvironmentFile=`.
    EnvironmentMissing,
    /// Others can read the password in it.
    EnvironmentExposed,
}

impl Code {
    fn severity(self) -> Severity {
        match self {
            Code::DiskLow | Code::ConfigDiffers | Code::ClockUnsynchronized => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

#[derive(Debug)]
struct Finding {
    code: Code,
    message: String,
    mend: String,
}

#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, code: Code, message: String, mend: String) {
        self.0.push(Finding { code, message, mend });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.code.severity() == severity).count()
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for Finding { code, message, mend } in &self.0 {
            let _ = writeln!(text, "{}[{code}]: {message}\n  mend: {mend}\n", code.severity());
        }
        let _ = match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => writeln!(text, "this host: nothing is wrong"),
            (errors, warnings) => writeln!(text, "this host: errors: {errors}, warnings: {warnings}"),
        };
        text
    }

    #[cfg(test)]
    pub(super) fn codes(&self) -> Vec<Code> {
        self.0.iter().map(|finding| finding.code).collect()
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn the_book_has_every_code() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md");
        let page = std::fs::read_to_string(page).unwrap();
        let missing: Vec<_> =
            Code::VARIANTS.iter().filter(|code| !page.contains(&format!("| `{code}` |"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
