//! `otapress man`: one manual page with the sections of all commands.

use clap_mangen::Man;

use crate::context::{Exit, print};

pub(crate) fn run(mut cli: clap::Command) -> anyhow::Result<Exit> {
    let mut page = Vec::new();
    Man::new(cli.clone()).render(&mut page)?;
    cli.build();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name().to_uppercase();
        page.extend(format!(".SH \"COMMAND {name}\"\n").into_bytes());
        let man = Man::new(command.clone());
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    print(page)
}
