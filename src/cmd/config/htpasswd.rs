//! The password file for basic auth.
//!
//! The passwords are hashed by SHA-512-crypt (`$6$`), the strongest scheme that nginx, Apache and lighttpd
//! all verify: they hand it to the C library's `crypt`. bcrypt is not taken by nginx on Debian, and what is
//! left is MD5 or SHA-1.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use sha_crypt::{CustomizedPasswordHasher as _, Params, ShaCrypt};

use otapress_publish::fleet::Fleet;

/// One line `user:hash` for each otapUser of the fleet.
pub(crate) fn lines(fleet: &Fleet) -> anyhow::Result<String> {
    let mut users: BTreeMap<&str, (String, &Path)> = BTreeMap::new();
    for auth in fleet.groups().iter().flat_map(|group| group.provisioning.auths()) {
        let secret = fleet.password(&auth.password_file)?;
        match users.get(auth.user.as_str()) {
            Some((known, file)) if *known != secret => bail!(
                "`otapUser: {}` has one password in `{}` and another in `{}`; servers know one of them, so \
                 give devices another `otapUser` for the time in which both are in use",
                auth.user,
                file.display(),
                auth.password_file.display()
            ),
            _ => drop(users.insert(&auth.user, (secret, &auth.password_file))),
        }
    }
    if users.is_empty() {
        bail!("`{}` has no `otapUser`: the JADs and JARs are for everybody", fleet.file().display());
    }
    let mut lines = String::new();
    for (user, (secret, _)) in users {
        // 16 characters in the hash; the C library takes no more.
        let mut salt = [0; 12];
        getrandom::fill(&mut salt).context("no random numbers")?;
        lines += &format!("{user}:{}\n", hash(&secret, &salt)?);
    }
    Ok(lines)
}

fn hash(secret: &str, salt: &[u8; 12]) -> anyhow::Result<String> {
    let hash = ShaCrypt::SHA512
        .hash_password_customized(secret.as_bytes(), salt, None, None, Params::RECOMMENDED)
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(hash.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha_crypt::PasswordVerifier as _;

    #[test]
    fn a_hash_is_what_the_c_library_takes() {
        let text = hash("secret", b"abcdefghijkl").unwrap();
        let parts: Vec<_> = text.split('$').collect();
        let (salt, digest) = (parts[parts.len() - 2], parts[parts.len() - 1]);
        assert_eq!((parts[1], salt.len(), digest.len()), ("6", 16, 86), "{text}");
        let hash = text.parse().unwrap();
        let hash: &sha_crypt::PasswordHash = &hash;
        assert!(ShaCrypt::SHA512.verify_password(b"secret", hash).is_ok());
        assert!(ShaCrypt::SHA512.verify_password(b"Secret", hash).is_err());
    }
}
