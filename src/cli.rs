//! The command line: parses the arguments and dispatches to the commands.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cmd;
use crate::context::{Exit, Global, WrongUsage};

/// Publishes releases for Greenwich GPS trackers: fleet.yaml, JARs and templates become a directory that any
/// HTTP server can host.
#[derive(Debug, Parser)]
#[command(name = "otapress", version, about, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 errors found, or failed; 2 usage; \
     3 differs (build --check, plan --exit-code); 4 gate missed (status --gate, promote --gate).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a fleet to begin with
    Init(cmd::init::Args),
    /// Look for mistakes in the fleet file, the inventories, the JARs and the template
    Check(cmd::check::Args),
    /// Show what a build would change, and for which devices
    Plan(cmd::plan::Args),
    /// Render the fleet and publish what differs
    Build(cmd::build::Args),
    /// Show a device's target and why it has it, its URLs and what to set on it
    Show(cmd::show::Args),
    /// Validate JARs and copy them into the catalog
    Add(cmd::add::Args),
    /// Show how one release differs from another: permissions, classes, the APIs that it uses
    Diff(cmd::diff::Args),
    /// Sign JARs: write the signature beside each
    Sign(cmd::sign::Args),
    /// Change devices in the fleet file and in inventories, keeping every comment
    Edit(cmd::edit::Args),
    /// Move a channel to a release, or back, and build; with `--commit` as one commit
    Promote(cmd::promote::Args),
    /// Serve out/ and answer the devices: for a trial, or behind nginx
    Serve(cmd::serve::Args),
    /// Walk a live site as the devices do and report what would go wrong
    Probe(cmd::probe::Args),
    /// Play the fleet against a server, to rehearse a rollout
    Simulate(cmd::simulate::Args),
    /// Show the state of the fleet: who runs what, what failed, and why nothing happens
    Status(cmd::status::Args),
    /// Send events over MQTT and to webhooks, take start messages as proof of versions, tell devices to
    /// upgrade
    Relay(cmd::relay::Args),
    /// Give devices new attempts
    Retry(cmd::retry::Args),
    /// Release the brake of a rollout
    Resume(cmd::resume::Args),
    /// Move the records: from a directory to a database, or back
    #[command(subcommand)]
    State(cmd::state::State),
    /// Print the configuration of a host that fits this fleet
    Config(cmd::config::Args),
    /// Make a fleet file from the output of the predecessor's `otc dbjson`
    Import(cmd::import::Args),
    /// Print the JSON Schema of the fleet file
    Schema,
    /// Print a completion script for a shell
    Completions(cmd::completions::Args),
    /// Print the manual page of a command, or write all of them
    Man(cmd::man::Args),
    /// Print the values that a word may have, for completion scripts
    #[command(hide = true)]
    Complete(cmd::complete::Args),
}

/// The command line as clap knows it.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let Cli { global, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = global.refuse_visible_password(names_state(&matches)).and_then(|()| match command {
        Command::Init(args) => cmd::init::run(&global, &args),
        Command::Check(args) => cmd::check::run(&global, &args),
        Command::Plan(args) => cmd::plan::run(&global, &args),
        Command::Build(args) => cmd::build::run(&global, &args),
        Command::Show(args) => cmd::show::run(&global, &args),
        Command::Add(args) => cmd::add::run(&global, &args),
        Command::Diff(args) => cmd::diff::run(&global, &args),
        Command::Sign(args) => cmd::sign::run(&global, &args),
        Command::Edit(args) => cmd::edit::run(&global, &args),
        Command::Promote(args) => cmd::promote::run(&global, &args),
        Command::Serve(args) => cmd::serve::run(&global, &args),
        Command::Probe(args) => cmd::probe::run(&global, &args),
        Command::Simulate(args) => cmd::simulate::run(&global, &args),
        Command::Status(args) => cmd::status::run(&global, &args),
        Command::Relay(args) => cmd::relay::run(&global, &args),
        Command::Retry(args) => cmd::retry::run(&global, &args),
        Command::Resume(args) => cmd::resume::run(&global, &args),
        Command::State(args) => cmd::state::run(&global, &args),
        Command::Config(args) => cmd::config::run(&global, &args),
        Command::Import(args) => cmd::import::run(&global, &args),
        Command::Schema => cmd::schema::run(),
        Command::Completions(args) => cmd::completions::run(&args, Cli::command()),
        Command::Man(args) => cmd::man::run(&args, Cli::command()),
        Command::Complete(args) => cmd::complete::run(&args, &Cli::command()),
    });
    match result {
        Ok(exit) => exit.into(),
        // A reader of our output may stop early, as `head` does.
        Err(error) if is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            if let Some(WrongUsage(message)) = error.downcast_ref() {
                let message = format!("{message}\n");
                clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(&Cli::command()).exit();
            }
            let (paint, reset) = if global.colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let _ = writeln!(io::stderr(), "{paint}error{reset}: {error:#}");
            Exit::Failed.into()
        }
    }
}

/// Whether `--state` was given on the command line, and not by its variable.
fn names_state(matches: &ArgMatches) -> bool {
    let here = matches.try_contains_id("state").is_ok_and(|known| known);
    here && matches.value_source("state") == Some(ValueSource::CommandLine)
        || matches.subcommand().is_some_and(|(_, matches)| names_state(matches))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
