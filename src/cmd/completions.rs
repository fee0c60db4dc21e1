//! `otapress completions`: a completion script for a shell.
//!
//! clap knows the commands and options; what a fleet has, the script asks `otapress complete`.

use clap_complete::Shell;

use crate::context::{Exit, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut cli: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "otapress", &mut script);
    let script = String::from_utf8(script)?;
    // The end of zsh's decides what is called at the first key; it is written anew.
    let made = match args.shell {
        Shell::Zsh => script.split("\nif [ \"$funcstack[1]\"").next().unwrap_or(&script),
        _ => &script,
    };
    print(format!("{made}{}", with_values(args.shell)))
}

/// The part that asks for values before it goes on with what clap has made; other shells have none.
fn with_values(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Fish => FISH,
        Shell::Zsh => ZSH,
        _ => "",
    }
}

const BASH: &str = r#"
_otapress_or_values() {
    local values
    values=$(otapress complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
    if [ -n "$values" ]; then
        COMPREPLY=($values)
    else
        _otapress "$@"
    fi
}
complete -F _otapress_or_values -o nosort -o bashdefault -o default otapress
"#;

const FISH: &str = r#"
function __otapress_values
    command -q otapress; and otapress complete -- (commandline -opc)[2..-1] (commandline -ct) 2> /dev/null
end
complete -c otapress -a '(__otapress_values)'
"#;

const ZSH: &str = r#"
_otapress_or_values() {
    local -a values
    values=("${(@f)$(otapress complete -- "${(@)words[2,CURRENT]}" 2> /dev/null)}")
    values=(${values:#})
    if (( ${#values} )); then
        compadd -a values
    else
        _otapress "$@"
    fi
}
compdef _otapress_or_values otapress
if [ "$funcstack[1]" = "_otapress" ]; then
    _otapress_or_values "$@"
fi
"#;
