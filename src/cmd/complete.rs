//! `otapress complete`: the values that a word of a command line may have, for the scripts of `completions`.
//!
//! Hidden: shells call it with the words up to the one that is completed. Where that is a device, a group, a
//! channel, a release or a state, it prints those that the fleet has; otherwise nothing, and the shell goes
//! on with what it knows of commands and options.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::context::{Exit, print};
use crate::report::status::filter::StateFilter;
use otapress_core::out;
use otapress_publish::fleet::{self, Fleet};

/// More would hide what one looks for.
const MOST: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The words of the command line, without the name of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Device,
    Group,
    Channel,
    Release,
    Rollout,
    State,
}

pub(crate) fn run(args: &Args, cli: &clap::Command) -> anyhow::Result<Exit> {
    let Some((word, before)) = args.words.split_last() else { return Ok(Exit::Done) };
    let Some((kind, file)) = wanted(cli, before, word) else { return Ok(Exit::Done) };
    let known = match kind {
        Kind::State => StateFilter::names().into_iter().map(String::from).collect(),
        kind => fleet::load(&file).fleet.map(|fleet| names(&fleet, kind)).unwrap_or_default(),
    };
    let fitting = known.into_iter().filter(|name| name.starts_with(&**word)).take(MOST);
    print(fitting.map(|name| name + "\n").collect::<String>())
}

/// Walks down the commands as the words do; what the last one stands for, and the fleet file.
fn wanted(cli: &clap::Command, before: &[String], word: &str) -> Option<(Kind, PathBuf)> {
    let mut command = cli;
    let mut file = PathBuf::from("fleet.yaml");
    let mut positionals = 0;
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if let Some(option) = option(cli, command, word) {
            if !option.get_action().takes_values() || word.contains('=') {
                continue;
            }
            let Some(value) = words.next() else { return Some((kind(command, option)?, file)) };
            if option.get_id() == "fleet" {
                file = value.into();
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
            positionals = 0;
        } else {
            positionals += 1;
        }
    }
    if word.starts_with('-') {
        return None;
    }
    let all: Vec<_> = command.get_positionals().collect();
    let argument = all.get(positionals).or_else(|| {
        all.last().filter(|last| last.get_num_args().is_some_and(|range| range.max_values() > 1))
    })?;
    Some((kind(command, argument)?, file))
}

fn option<'a>(cli: &'a clap::Command, command: &'a clap::Command, word: &str) -> Option<&'a clap::Arg> {
    let is_named = |arg: &&clap::Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == long.split('=').next(),
        None => word.strip_prefix('-').is_some_and(|short| arg.get_short() == short.chars().next()),
    };
    command.get_arguments().chain(cli.get_arguments()).filter(|arg| !arg.is_positional()).find(is_named)
}

/// What an argument stands for, by its name.
fn kind(command: &clap::Command, arg: &clap::Arg) -> Option<Kind> {
    match (command.get_name(), arg.get_id().as_str()) {
        ("simulate", _) => None,
        (_, "device" | "devices" | "devices_and_release") => Some(Kind::Device),
        (_, "group") => Some(Kind::Group),
        (_, "channel") => Some(Kind::Channel),
        ("resume", "release") => Some(Kind::Rollout),
        ("diff", "old" | "new") | (_, "release") => Some(Kind::Release),
        (_, "is") => Some(Kind::State),
        _ => None,
    }
}

fn names(fleet: &Fleet, kind: Kind) -> BTreeSet<String> {
    let channels = || fleet.channels().iter();
    match kind {
        Kind::Device => fleet.devices().iter().map(|device| device.client_id.to_string()).collect(),
        Kind::Group => fleet.groups().iter().filter_map(|group| group.name.clone()).collect(),
        Kind::Channel => channels().map(|channel| channel.name.clone()).collect(),
        Kind::Rollout => {
            channels().map(|channel| format!("{}/{}", channel.name, channel.release.value)).collect()
        }
        Kind::Release => releases(fleet),
        Kind::State => BTreeSet::new(),
    }
}

/// The versions in the names of the JARs: to open all of them takes longer than somebody who waits for a key.
fn releases(fleet: &Fleet) -> BTreeSet<String> {
    let directory = fleet.dir().join(&fleet.midlet().jars);
    let prefix = format!("{}-", out::jar_name(&fleet.midlet().name));
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_prefix(&prefix)?.strip_suffix(".jar")?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands_for(line: &str) -> Option<(Kind, PathBuf)> {
        let words: Vec<_> = line.split(' ').map(String::from).collect();
        let (word, before) = words.split_last().unwrap();
        wanted(&crate::cli::command(), before, word)
    }

    #[test]
    fn words_are_known_by_their_places() {
        let fleet = || PathBuf::from("fleet.yaml");
        for (line, kind) in [
            ("show d", Kind::Device),
            ("status --json d", Kind::Device),
            ("status --is l", Kind::State),
            ("status --group ", Kind::Group),
            ("retry dev1 d", Kind::Device),
            ("edit hold d", Kind::Device),
            ("edit move dev1 --channel ", Kind::Channel),
            ("promote ", Kind::Channel),
            ("promote next ", Kind::Release),
            ("resume ", Kind::Rollout),
            ("diff 0.1 ", Kind::Release),
        ] {
            assert_eq!(stands_for(line), Some((kind, fleet())), "{line}");
        }
        assert_eq!(stands_for("-f a/fleet.yaml show "), Some((Kind::Device, "a/fleet.yaml".into())));
        for line in ["", "sh", "show --pro", "build ", "add x", "simulate --devices ", "status --write "] {
            assert_eq!(stands_for(line), None, "{line}");
        }
    }
}
