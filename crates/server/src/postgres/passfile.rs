//! A file of passwords, as PostgreSQL's own programs read it: `HOST:PORT:DATABASE:USER:PASSWORD` in each
//! line.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// The password for a connection; `None` if the file is not there or holds none for it.
///
/// # Errors
/// If others may read it, or it cannot be read.
pub(super) fn password(file: &Path, config: &Config) -> io::Result<Option<String>> {
    let text = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 => {
            return Err(io::Error::other("others may read it: `chmod 600` it"));
        }
        Ok(_) => fs::read_to_string(file)?,
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.to_string_lossy().into_owned(),
        None => String::new(),
    };
    let user = config.get_user().unwrap_or_default();
    let wanted = [&*host, &*port, config.get_dbname().unwrap_or(user), user];
    let matches = |field: &str, wanted: &str| field == "*" || field == wanted;
    let of_line = |line: &str| {
        let fields = fields(line);
        let (password, keys) = fields.split_last()?;
        let fits = keys.len() == wanted.len() && keys.iter().zip(wanted).all(|(key, of)| matches(key, of));
        fits.then(|| password.clone())
    };
    Ok(text.lines().filter(|line| !line.starts_with('#')).find_map(of_line))
}

/// The fields of a line. A backslash takes its meaning from a colon and from a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // The password is all that is left; colons in it need no backslash.
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(chars.next())),
            c => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        let find = |url: &str| password(&file, &url.parse().unwrap());
        assert_eq!(find("postgres://ota@db/ota").unwrap(), None);
        let text = "# db:5432:ota:ota:comment\nother:*:*:*:no\ndb:5432:ota:ota:ge\\:h\\\\e:im\n\
             *:6000:*:ota:second\nshort:line\n";
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(find("postgres://ota@db/ota").unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find("postgres://ota@db/ota").unwrap().as_deref(), Some("ge:h\\e:im"));
        assert_eq!(find("postgres://ota@db").unwrap().as_deref(), Some("ge:h\\e:im"));
        assert_eq!(find("postgres://ota@db:6000/x").unwrap().as_deref(), Some("second"));
        assert_eq!(find("postgres://who@db/ota").unwrap(), None);
    }
}
