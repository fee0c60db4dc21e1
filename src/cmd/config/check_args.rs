//! `--check`, which every host has.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Print nothing, but verify this host and the server as it is configured now: probe it there, or where
    /// it listens, or at the site
    #[arg(long, value_name = "URL", num_args = 0..=1)]
    check: Option<Option<String>>,
    /// Where the printed file is, for --check [default: where its first lines say it goes]
    #[arg(long, value_name = "FILE", requires = "check")]
    installed: Option<PathBuf>,
}

impl CheckArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.check.is_some()
    }

    /// The URL to probe, or else `default`; none is the site itself.
    pub(super) fn url(&self, default: Option<String>) -> Option<String> {
        self.check.clone().flatten().or(default)
    }

    /// The file that `--installed` names, or the usual ones.
    pub(super) fn installed_or(&self, usual: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
        self.installed.clone().map_or_else(|| usual.collect(), |file| vec![file])
    }
}
