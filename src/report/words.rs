//! Numbers and texts as people are shown them.

pub(crate) use otapress_core::words::{count, form};
use otapress_publish::diag::did_you_mean;

/// How many names fit into a line of text.
pub(crate) const NAMED: usize = 10;

/// `dev7, dev9`, and of more than `most` how many there are besides: `dev7, dev9 and 3 more`.
pub(crate) fn few<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let (shown, others) = names.split_at(names.len().min(most));
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if others.is_empty() { shown } else { format!("{shown} and {} more", others.len()) }
}

/// `: did you mean `next`?`, or else which names there are, if they are few.
pub(crate) fn known<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => format!(": {near}"),
        None if names.is_empty() => ": there is none".into(),
        None => format!(": there is {}", few(&names, NAMED)),
    }
}

/// `999 bytes`, `1.0 kB`, `36.0 MB`.
pub(crate) fn bytes(n: u64) -> String {
    if n < 1000 {
        return count(n as usize, "byte");
    }
    #[allow(clippy::cast_precision_loss)]
    let mut amount = n as f64 / 1000.0;
    let mut units = ["kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        // Larger amounts would be rounded to 1000.0.
        if amount < 999.95 {
            break;
        }
        (amount, unit) = (amount / 1000.0, next);
    }
    format!("{amount:.1} {unit}")
}

/// `999`, `1,000`, `100,000`: as the script of a page writes numbers.
pub(crate) fn grouped(n: u64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", grouped(n / 1000), n % 1000) }
}

/// A text in one line: control characters of the input stay out of the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        let texts: Vec<_> =
            [0, 1, 999, 1000, 12_345, 999_949, 999_950, 36_000_000, u64::MAX].map(bytes).into();
        assert_eq!(
            texts,
            [
                "0 bytes",
                "1 byte",
                "999 bytes",
                "1.0 kB",
                "12.3 kB",
                "999.9 kB",
                "1.0 MB",
                "36.0 MB",
                "18446744.1 TB"
            ]
        );
    }

    #[test]
    fn digits_are_grouped() {
        let texts = [0, 999, 1000, 39_818, 1_000_007].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "39,818", "1,000,007"]);
    }

    #[test]
    fn few_names_are_shown() {
        let names = ["a", "b", "c"];
        assert_eq!(
            [1, 2, 3, 4].map(|most| few(&names, most)),
            ["a and 2 more", "a, b and 1 more", "a, b, c", "a, b, c"]
        );
    }

    #[test]
    fn an_unknown_name_leads_to_the_known_ones() {
        let names = ["next", "stable"];
        assert_eq!(known("nxt", names), ": did you mean `next`?");
        assert_eq!(known("x", names), ": there is next, stable");
        assert_eq!(known("x", []), ": there is none");
    }

    #[test]
    fn no_control_character_is_left() {
        assert_eq!(one_line("a\x1b[31m\nä"), "a\\u{1b}[31m\\nä");
    }
}
