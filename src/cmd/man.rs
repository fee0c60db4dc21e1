//! `otapress man`: a manual page for each command, with examples and files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::context::{Exit, print};
use crate::report::words::known;

/// `== COMMAND`, then lines of an example, each followed by what it does.
const EXAMPLES: &str = include_str!("examples.txt");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command; default: otapress(1), which names all of them
    command: Option<String>,
    /// Write every page into a directory, as `otapress.1`, `otapress-check.1` …
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, mut cli: clap::Command) -> anyhow::Result<Exit> {
    cli.build();
    let commands: Vec<_> = cli.get_subcommands().filter(|command| is_for_people(command)).collect();
    if let Some(dir) = &args.dir {
        make(dir)?;
        write(dir, "otapress", &page(&cli, "")?)?;
        for command in commands {
            write(dir, &format!("otapress-{}", command.get_name()), &page(command, command.get_name())?)?;
        }
        return Ok(Exit::Done);
    }
    match &args.command {
        None => print(page(&cli, "")?),
        Some(name) => match commands.iter().find(|command| command.get_name() == name) {
            Some(command) => print(page(command, name)?),
            None => {
                let known = known(name, commands.iter().map(|command| command.get_name()));
                bail!("there is no command `{name}`{known}")
            }
        },
    }
}

fn is_for_people(command: &clap::Command) -> bool {
    command.get_name() != "help" && !command.is_hide_set()
}

#[expect(clippy::disallowed_methods, reason = "the directory that the caller names")]
fn make(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))
}

#[expect(clippy::disallowed_methods, reason = "the directory that the caller names")]
fn write(dir: &Path, name: &str, page: &[u8]) -> anyhow::Result<()> {
    let file = dir.join(format!("{name}.1"));
    fs::write(&file, page).with_context(|| format!("cannot write `{}`", file.display()))
}

fn page(command: &clap::Command, name: &str) -> anyhow::Result<Vec<u8>> {
    let title = if name.is_empty() { "otapress".to_owned() } else { format!("otapress-{name}") };
    let mut page = Vec::new();
    let spoken = if name.is_empty() { title.clone() } else { format!("otapress {name}") };
    let named = command.clone().display_name(&*title).bin_name(spoken);
    Man::new(named).title(title).render(&mut page)?;
    for below in command.get_subcommands().filter(|below| !name.is_empty() && is_for_people(below)) {
        let heading = format!(".SH \"{} {}\"\n", name, below.get_name()).to_uppercase();
        page.extend(heading.into_bytes());
        let man = Man::new(below.clone());
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    let mut more = Roff::new();
    more.control("SH", ["EXAMPLES"]);
    for (line, what) in examples(name) {
        more.control("TP", []).text([bold(line)]).text([roman(what)]);
    }
    more.control("SH", ["FILES"]);
    for (file, what) in FILES {
        more.control("TP", []).text([bold(*file)]).text([roman(*what)]);
    }
    more.to_writer(&mut page)?;
    Ok(page)
}

const FILES: &[(&str, &str)] = &[
    ("fleet.yaml", "The fleet; --fleet names another one. Paths below are beside it."),
    ("jars/", "The releases, as <Name>-<Version>.jar."),
    ("templates/", "The template of JADs, where the built-in one is not enough."),
    ("out/", "What is published; --out names another one."),
    (
        "state/otapress.db",
        "What the responder remembers; --state or OTAPRESS_STATE name another place, or PostgreSQL.",
    ),
];

/// The examples of a command, each with what it does.
fn examples(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let wanted = format!("== {name}");
    let lines = EXAMPLES.lines().skip_while(move |line| line.trim_end() != wanted.trim_end()).skip(1);
    let lines: Vec<_> =
        lines.take_while(|line| !line.starts_with("==")).filter(|line| !line.is_empty()).collect();
    let pairs: Vec<_> =
        lines.chunks(2).filter_map(|pair| Some((*pair.first()?, pair.get(1)?.trim()))).collect();
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let mut cli = crate::cli::command();
        cli.build();
        let names: Vec<_> =
            cli.get_subcommands().filter(|c| is_for_people(c)).map(|c| c.get_name().to_owned()).collect();
        for name in names.iter().map(String::as_str).chain([""]) {
            assert!(examples(name).count() > 0, "{name}");
            for (line, what) in examples(name) {
                let words = line.split_whitespace().map(|word| word.trim_matches('"'));
                let words: Vec<_> = words.take_while(|word| !matches!(*word, ">" | "|")).collect();
                assert!(crate::cli::command().try_get_matches_from(words).is_ok(), "{line}");
                assert!(what.ends_with('.'), "{what}");
            }
        }
        let named = EXAMPLES.lines().filter_map(|line| line.strip_prefix("==")).map(str::trim);
        assert!(named.filter(|name| !name.is_empty()).all(|name| names.iter().any(|known| known == name)));
    }
}
