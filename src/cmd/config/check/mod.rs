//! `config … --check`: this host as it is configured now (users, modes, disks, sockets, units, clock,
//! records), and then the site as a device finds it.

mod account;
mod files;
mod finding;
mod installed;
mod needs;
mod services;

use super::{Host, text};
use crate::cmd::project::Project;
use crate::cmd::{now, probe};
use crate::context::{Exit, Global, print};
use account::Account;
use finding::{Code, Findings};
use needs::Needs;
use otapress_publish::fleet::Fleet;
use otapress_server::location::Location;

pub(super) fn run(global: &Global, project: &Project, host: &Host) -> anyhow::Result<Exit> {
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let found = this_host(global, fleet, host)?;
    print(found.to_text())?;
    let url = host.check().and_then(|check| check.url(host.address()));
    let walked = probe::walk(global, project, &probe::Args::whole_site(url))?;
    Ok(if found.has_errors() { Exit::Failed } else { walked })
}

fn this_host(global: &Global, fleet: &Fleet, host: &Host) -> anyhow::Result<Findings> {
    let needs = Needs::of(global, fleet, host)?;
    let mut found = Findings::default();
    installed::is_as_printed(&needs.installed, &text(global, fleet, host)?, &mut found);
    let (out, state) = (global.out(), global.state());
    let directory = state.directory().map(|dir| dir.as_path());
    match Account::find(&needs.user) {
        Some(user) => files::suit(&user, &needs, &out, directory, &mut found),
        None => found.add(
            Code::UserMissing,
            format!("this machine has no user `{}`", needs.user),
            format!(
                "name the server's user with `--user`, or make it: `useradd --system --home-dir / --shell \
                 /usr/sbin/nologin {}`",
                needs.user
            ),
        ),
    }
    files::disks(&out, directory, &mut found);
    if let Some(file) = &needs.environment {
        files::is_private(file, &mut found);
    }
    services::answer(&needs.reached_by, &mut found);
    services::units(&needs.units, &mut found);
    let published = out.join(otapress_core::out::SITE_FILE);
    let records = directory.map(|dir| dir.join(otapress_responder::store::sqlite::FILE));
    files::clock(now(), [Some(published), records].into_iter().flatten(), &mut found);
    services::clock(&mut found);
    records_open(&state, &mut found);
    Ok(found)
}

fn records_open(state: &Location, found: &mut Findings) {
    let Err(error) = crate::cmd::store::look_at(state) else { return };
    match state {
        Location::Directory(_) => found.add(
            Code::RecordsUnreadable,
            format!("{error:#}"),
            "`otapress state check` says more, as root; `otapress state restore` puts a backup back".into(),
        ),
        Location::Postgres(_) => found.add(
            Code::DatabaseUnreachable,
            format!("{error:#}"),
            "see that PostgreSQL runs and listens there, and that pg_hba.conf lets this user in".into(),
        ),
    }
}
