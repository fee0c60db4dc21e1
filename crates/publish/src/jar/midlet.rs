//! The attributes `MIDlet-1`, `MIDlet-2` …: what can be started in a suite.

use std::str::FromStr;

use super::fault::shown;

/// One MIDlet: `name, icon, class` (MIDP 2.0, `MIDlet-<n>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Midlet {
    name: String,
    icon: Option<String>,
    class: String,
}

impl Midlet {
    /// What a user would see.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of a picture in the JAR, if there is one.
    pub fn icon(&self) -> Option<&str> {
        self.icon.as_deref()
    }

    /// The class that is started, its packages separated by dots.
    pub fn class(&self) -> &str {
        &self.class
    }
}

/// Why a text is not a [`Midlet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum MidletError {
    #[error("is not of the form `name, icon, class`")]
    Fields,
    #[error("names no class")]
    NoClass,
}

impl FromStr for Midlet {
    type Err = MidletError;

    fn from_str(text: &str) -> Result<Self, MidletError> {
        let mut fields = text.split(',').map(str::trim);
        // Devices ignore further fields.
        let (Some(name), Some(icon), Some(class)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(MidletError::Fields);
        };
        if class.is_empty() {
            return Err(MidletError::NoClass);
        }
        let icon = (!icon.is_empty()).then(|| icon.into());
        Ok(Midlet { name: name.into(), icon, class: class.into() })
    }
}

/// Whether an attribute is one of `MIDlet-<n>`.
pub(crate) fn is_numbered(name: &str) -> bool {
    digits(name).is_some()
}

fn digits(name: &str) -> Option<&str> {
    name.strip_prefix("MIDlet-").filter(|n| is_number(n))
}

/// Whether a text is digits alone.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What [`numbered`] found.
pub(crate) struct Numbered<'a> {
    /// Each MIDlet with its attribute's name, in the order of their numbers.
    pub midlets: Vec<(&'a str, Midlet)>,
    /// What is wrong: an attribute's name and the rest of the sentence.
    pub faults: Vec<(&'a str, String)>,
}

/// The MIDlets of a list of attributes.
pub(crate) fn numbered<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Numbered<'a> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (name, value) in attributes {
        let Some(digits) = digits(name) else { continue };
        match digits.parse::<u32>() {
            Ok(n) if !digits.starts_with('0') => found.push((n, name, value)),
            _ => faults.push((name, "is misnumbered: MIDlets count from 1, without leading zeros".into())),
        }
    }
    found.sort_unstable();
    let mut midlets = Vec::new();
    let mut expected = 1;
    for (n, name, value) in found {
        if n > expected {
            faults.push((name, format!("comes without `MIDlet-{expected}`")));
        }
        expected = n.saturating_add(1);
        match value.parse() {
            Ok(midlet) => midlets.push((name, midlet)),
            Err(error) => faults.push((name, format!("{error}: `{}`", shown(value.as_bytes())))),
        }
    }
    Numbered { midlets, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fields_of_which_the_icon_may_be_empty() {
        let midlet: Midlet = " Own Tracks , /i.png ,demo.OwnTracks".parse().unwrap();
        assert_eq!(
            (midlet.name(), midlet.icon(), midlet.class()),
            ("Own Tracks", Some("/i.png"), "demo.OwnTracks")
        );
        assert_eq!("a,,b".parse::<Midlet>().unwrap().icon(), None);
        assert_eq!("a,b,c,d,".parse::<Midlet>().unwrap().class(), "c");
        for bad in ["", "a", "a,b"] {
            assert_eq!(bad.parse::<Midlet>(), Err(MidletError::Fields), "{bad:?}");
        }
        assert_eq!("a,b, ".parse::<Midlet>(), Err(MidletError::NoClass));
    }

    #[test]
    fn numbers_ascend_from_one_without_gaps() {
        let list = [("MIDlet-2", "b,,B"), ("MIDlet-Name", "x"), ("MIDlet-1", "a,,A"), ("MIDlet-10", "c")];
        let Numbered { midlets, faults } = numbered(list.into_iter());
        assert_eq!(
            midlets.iter().map(|(n, m)| (*n, m.class())).collect::<Vec<_>>(),
            [("MIDlet-1", "A"), ("MIDlet-2", "B")]
        );
        assert_eq!(
            faults,
            [
                ("MIDlet-10", "comes without `MIDlet-3`".to_owned()),
                ("MIDlet-10", "is not of the form `name, icon, class`: `c`".to_owned())
            ]
        );
        for bad in ["MIDlet-0", "MIDlet-01", "MIDlet-99999999999"] {
            assert_eq!(numbered([(bad, "a,,A")].into_iter()).faults.len(), 1, "{bad}");
        }
    }
}
