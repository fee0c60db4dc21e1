//! `otapress completions`: a completion script for a shell.

use crate::context::{Exit, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, mut cli: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "otapress", &mut script);
    print(script)
}
