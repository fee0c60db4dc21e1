//! The settings file of a device and what the firmware reads from it.

use std::collections::BTreeMap;

/// The settings on the device's flash: `key=value` lines, one per setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, String>,
    writes: u64,
    changes: u64,
}

/// Why a pushed setting would have damaged the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the setting {key:?} corrupts the settings file: {why}")]
pub struct Corruption {
    /// The key as it was pushed.
    pub key: String,
    /// The fault of the key or the value.
    pub why: &'static str,
}

impl Settings {
    /// Stores a setting; an empty value deletes it. The file is rewritten whether or not it changes.
    ///
    /// # Errors
    /// If the line would not be read back as it was written. A real device writes it all the same and
    /// is damaged; the simulated one stays as it was, so that the cause can be told.
    pub fn apply(&mut self, key: &str, val: &str) -> Result<(), Corruption> {
        let why = if key.is_empty() {
            "the key is empty"
        } else if key.starts_with('#') {
            "the line would be a comment"
        } else if key.contains('=') {
            "the key contains `=`"
        } else if [key, val].iter().any(|s| s.contains(['\r', '\n'])) {
            "a line end"
        } else if !key.is_ascii() || !val.is_ascii() {
            "a character that is not ASCII"
        } else {
            self.writes += 1;
            let is_change = match self.values.get_mut(key) {
                _ if val.is_empty() => self.values.remove(key).is_some(),
                Some(known) if known == val => false,
                Some(known) => {
                    val.clone_into(known);
                    true
                }
                None => self.values.insert(key.into(), val.into()).is_none(),
            };
            self.changes += u64::from(is_change);
            return Ok(());
        };
        Err(Corruption { key: key.into(), why })
    }

    /// The value of a setting, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Every setting in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, val)| (key.as_str(), val.as_str()))
    }

    /// The number of writes of the file on flash: one for every pushed setting.
    pub fn flash_writes(&self) -> u64 {
        self.writes
    }

    /// How often a value became another one: as long as that is the same, so are all values.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A number as the firmware reads it: the default if unset, 0 if it is garbage.
    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.get(key).map_or(default, |val| val.parse().unwrap_or(0))
    }
}

/// A URI with every `@` replaced by the clientID, unless the clientID itself contains one.
pub fn expand(uri: &str, client_id: &str) -> String {
    if client_id.contains('@') { uri.into() } else { uri.replace('@', client_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_deletes_and_every_push_writes() {
        let mut settings = Settings::default();
        settings.apply("tid", "D1").unwrap();
        settings.apply("tid", "D1").unwrap();
        assert_eq!(settings.get("tid"), Some("D1"));
        settings.apply("tid", "").unwrap();
        assert_eq!(settings.get("tid"), None);
        assert_eq!((settings.flash_writes(), settings.changes()), (3, 2));
        settings.apply("tid", "").unwrap();
        assert_eq!((settings.flash_writes(), settings.changes()), (4, 2));
        settings.apply("a", "b=c#d").unwrap();
        assert_eq!(settings.iter().collect::<Vec<_>>(), [("a", "b=c#d")]);
    }

    #[test]
    fn what_corrupts_the_file_is_refused() {
        let mut settings = Settings::default();
        for (key, val) in
            [("a=b", "c"), ("#a", "b"), ("a", "b\n"), ("a\r", "b"), ("ä", "b"), ("a", "ü"), ("", "b")]
        {
            assert_eq!(settings.apply(key, val).unwrap_err().key, key);
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn numbers_are_read_as_the_firmware_does() {
        let mut settings = Settings::default();
        assert_eq!(settings.number("versionInterval", 10800), 10800);
        settings.apply("versionInterval", "60").unwrap();
        assert_eq!(settings.number("versionInterval", 10800), 60);
        settings.apply("versionInterval", "1h").unwrap();
        assert_eq!(settings.number("versionInterval", 10800), 0);
    }

    #[test]
    fn the_client_id_is_put_in_everywhere_or_nowhere() {
        assert_eq!(expand("http://@/files/@/x.jad", "d1"), "http://d1/files/d1/x.jad");
        assert_eq!(expand("http://h/files/@/x.jad", "a@b"), "http://h/files/@/x.jad");
    }
}
