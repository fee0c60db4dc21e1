//! Shared by all commands: the global options, the exit codes, and the handling of arguments and output.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use otapress_publish::files::Reach;
use otapress_server::location::Location;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The fleet file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "fleet.yaml")]
    pub(crate) fleet: PathBuf,
    /// The published directory [default: out beside the fleet file]
    #[arg(short, long, global = true, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The responder's records: a directory, or postgres://USER@HOST/DATABASE [default: state beside the
    /// fleet file]
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
    /// A directory outside that of the fleet file in which the fleet may name JARs, inventories and templates
    #[arg(long, global = true, value_name = "DIR")]
    allow_path: Vec<PathBuf>,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// When to use colours
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
    pub(crate) fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| self.fleet.with_file_name("out"))
    }

    /// Where the files that the fleet names may lie.
    pub(crate) fn reach(&self) -> Reach {
        Reach::new(&self.fleet, &self.allow_path)
    }

    pub(crate) fn state(&self) -> Location {
        let beside = || Location::Directory(self.fleet.with_file_name("state"));
        self.state.clone().unwrap_or_else(beside)
    }

    /// Whether `--state` or its variable was given; otherwise the default applies.
    pub(crate) fn names_state(&self) -> bool {
        self.state.is_some()
    }

    /// # Errors
    /// If the place of the records `is_visible` on the command line, with a password in it.
    pub(crate) fn refuse_visible_password(&self, is_visible: bool) -> anyhow::Result<()> {
        match self.state.as_ref().and_then(|state| without_password(state).err()) {
            Some(why) if is_visible => Err(WrongUsage(format!("--state: {why}")).into()),
            _ => Ok(()),
        }
    }

    /// Whether to colour diagnostics, which go to the standard error.
    pub(crate) fn colour(&self) -> bool {
        self.colour_on(&io::stderr())
    }

    /// Whether to colour data, which goes to the standard output.
    pub(crate) fn colour_data(&self) -> bool {
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

/// How a command ended; clap itself exits with 2 for wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// Errors were found and shown.
    Failed = 1,
    Differs = 3,
    MissesGate = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Wrong arguments that only a command can recognise; reported as clap reports its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// Parses a value that may hold a password, which clap's own message would show.
#[derive(Clone, Copy)]
pub(crate) struct Discreet<T>(pub(crate) fn(&OsStr) -> Result<T, String>);

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

/// Parses the place of the records; the error shows no password.
pub(crate) fn location(text: &OsStr) -> Result<Location, String> {
    Location::parse(text.to_owned()).map_err(|error| error.to_string())
}

/// The same on the command line, which other users of the machine can read.
pub(crate) fn visible_location(text: &OsStr) -> Result<Location, String> {
    let location = location(text)?;
    without_password(&location)?;
    Ok(location)
}

fn without_password(location: &Location) -> Result<(), String> {
    match location {
        Location::Postgres(url) if url.has_password() => Err(
            "a password on the command line can be read by everybody on this machine: put it into the file \
             that \
             PGPASSFILE (~/.pgpass) or `passfile=` in the URL names, or the URL into the variable \
             OTAPRESS_STATE"
                .into(),
        ),
        _ => Ok(()),
    }
}

/// Parses an address to listen on. A port alone is that of this machine; `:PORT` is that of all its
/// addresses.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Some(Ok(port)) = text.strip_prefix(':').map(str::parse) {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let text = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| {
        "write `127.0.0.1:8810`, `8810` for this machine alone, or `:8810` for every address".into()
    })
}

/// Writes to the standard output.
pub(crate) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.flush()?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_enough_to_listen_on() {
        for (text, address) in [
            ("8810", "127.0.0.1:8810"),
            (":8810", "0.0.0.0:8810"),
            ("localhost:8810", "127.0.0.1:8810"),
            ("[::1]:8810", "[::1]:8810"),
        ] {
            assert_eq!(listen_address(text), Ok(address.parse().unwrap()));
        }
        for bad in ["", ":", "88100", "host:8810", "127.0.0.1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
