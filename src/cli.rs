//! The command line: what it looks like, and what the exit code says.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::cmd;
use otapress_server::location::Location;

/// Publishes releases for Greenwich GPS trackers: fleet.yaml, JARs and templates become a directory that any HTTP server can host.
#[derive(Debug, Parser)]
#[command(name = "otapress", version, about, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 errors found, or failed; 2 usage; 3 differs (build --check, plan --exit-code); \
     4 gate missed (status --gate).";

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The fleet file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "fleet.yaml")]
    pub fleet: PathBuf,
    /// The published directory [default: out beside the fleet file]
    #[arg(short, long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the responder remembers: a directory, or postgres://USER@HOST/DATABASE [default: state beside the fleet file]
    #[arg(
        short,
        long,
        global = true,
        value_name = "PLACE",
        env = "OTAPRESS_STATE",
        // It may hold a password.
        hide_env_values = true,
        value_parser = Discreet(location)
    )]
    state: Option<Location>,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

impl Global {
    /// The published directory.
    pub fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| self.fleet.with_file_name("out"))
    }

    /// Where the records are.
    pub fn state(&self) -> Location {
        let beside = || Location::Directory(self.fleet.with_file_name("state"));
        self.state.clone().unwrap_or_else(beside)
    }

    /// Whether the records were named.
    pub fn names_state(&self) -> bool {
        self.state.is_some()
    }

    /// Whether what goes to the standard error is coloured.
    pub fn colour(&self) -> bool {
        self.colour_on(&io::stderr())
    }

    /// Whether data, which goes to the standard output, is coloured.
    pub fn colour_data(&self) -> bool {
        self.colour_on(&io::stdout())
    }

    fn colour_on(&self, stream: &impl anstream::stream::RawStream) -> bool {
        match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        }
    }
}

/// Reads a value that may hold a password. What clap itself says of a wrong one would show it.
#[derive(Clone, Copy)]
pub struct Discreet<T>(pub fn(&OsStr) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Discreet<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        (self.0)(value).map_err(|error| {
            let name = arg.map(|arg| match arg.get_long() {
                Some(long) => format!("--{long}"),
                None => arg.get_id().as_str().to_uppercase(),
            });
            let message = format!("{}: {error}\n", name.unwrap_or_default());
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// Reads where records are.
///
/// # Errors
/// If that is nowhere; what is said of it shows no password.
pub fn location(text: &OsStr) -> Result<Location, String> {
    Location::parse(text.to_owned()).map_err(|error| error.to_string())
}

/// Ends the process because of its arguments, as clap does.
pub fn wrong_usage(message: &str) -> ! {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n")).with_cmd(&Cli::command()).exit()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for mistakes in the fleet file, the inventories, the JARs and the template
    Check(cmd::check::Args),
    /// Show what a build would change, and for which devices
    Plan(cmd::plan::Args),
    /// Render the fleet and publish what differs
    Build(cmd::build::Args),
    /// Show what a device is to run and why, its URLs and what to set on it
    Show(cmd::show::Args),
    /// Validate JARs and copy them into the catalog
    Add(cmd::add::Args),
    /// Serve out/ and answer the devices: for a trial, or behind nginx
    Serve(cmd::serve::Args),
    /// Walk a live site as the devices do and say what would go wrong
    Probe(cmd::probe::Args),
    /// Play the fleet against a server, to rehearse a rollout
    Simulate(cmd::simulate::Args),
    /// Show where the fleet stands: who runs what, what failed, and why nothing happens
    Status(cmd::status::Args),
    /// Publish what happens over MQTT, take start messages as proof of versions, tell devices to upgrade
    Relay(cmd::relay::Args),
    /// Give devices new attempts
    Retry(cmd::retry::Args),
    /// Release the brake of a rollout
    Resume(cmd::resume::Args),
    /// Take the records elsewhere: from a directory to a database, or back
    #[command(subcommand)]
    State(cmd::copy::State),
    /// Print the configuration of a host that fits this fleet
    Config(cmd::config::Args),
    /// Make a fleet file of what the predecessor's `otc dbjson` prints
    Import(cmd::import::Args),
    /// Print the JSON Schema of the fleet file
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Errors were found and shown.
    Failed,
    /// Something differs.
    Differs,
    /// A rollout is not as good as was asked for.
    MissesGate,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Failed => ExitCode::from(FAILED),
            Outcome::Differs => ExitCode::from(DIFFERS),
            Outcome::MissesGate => ExitCode::from(MISSES_GATE),
        }
    }
}

/// Errors were found, or the command failed. Clap gives 2 for wrong usage.
const FAILED: u8 = 1;
/// Something differs.
const DIFFERS: u8 = 3;
/// A gate is missed.
const MISSES_GATE: u8 = 4;

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let result = match command {
        Command::Check(args) => cmd::check::run(&global, &args),
        Command::Plan(args) => cmd::plan::run(&global, &args),
        Command::Build(args) => cmd::build::run(&global, &args),
        Command::Show(args) => cmd::show::run(&global, &args),
        Command::Add(args) => cmd::add::run(&global, &args),
        Command::Serve(args) => cmd::serve::run(&global, &args),
        Command::Probe(args) => cmd::probe::run(&global, &args),
        Command::Simulate(args) => cmd::simulate::run(&global, &args),
        Command::Status(args) => cmd::status::run(&global, &args),
        Command::Relay(args) => cmd::relay::run(&global, &args),
        Command::Retry(args) => cmd::retry::run(&global, &args),
        Command::Resume(args) => cmd::resume::run(&global, &args),
        Command::State(args) => cmd::copy::run(&global, &args),
        Command::Config(args) => cmd::config::run(&global, &args),
        Command::Import(args) => cmd::import::run(&global, &args),
        Command::Schema => print(otapress_publish::fleet::schema::text().as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "otapress", &mut script);
            print(&script)
        }
        Command::Man => man(),
    };
    match result {
        Ok(outcome) => outcome.into(),
        // Who reads our output may stop reading it, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let (paint, reset) = if global.colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let _ = writeln!(io::stderr(), "{paint}error{reset}: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes to the standard output.
pub fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Outcome::Done)
}

/// One page with the sections of all commands.
fn man() -> anyhow::Result<Outcome> {
    let mut page = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut sections = command;
    sections.build();
    for command in sections.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name().to_uppercase();
        page.extend(format!(".SH \"COMMAND {name}\"\n").into_bytes());
        let man = clap_mangen::Man::new(command.clone());
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    print(&page)
}
