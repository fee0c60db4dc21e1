//! The text of META-INF/MANIFEST.MF (JAR File Specification, "JAR Manifest").
//!
//! Only the main section counts. What readers are known to read differently (a byte order mark, a missing
//! last line end, an attribute given twice, suite attributes in the section of an entry) is refused.

use super::fault::{Fault, shown};

/// What the JDK's reader takes as one line, in bytes: 512 with the line end, which may be a CRLF. Writers
/// fold at 72.
const MAX_LINE: usize = 510;

/// The attributes of the main section: name and trimmed value, in the order of the file.
pub(super) type Attributes = Vec<(String, String)>;

/// A physical line with its number.
type Line<'a> = (usize, &'a [u8]);

/// Reads the main section.
///
/// # Errors
/// Everything that is wrong with the form of the manifest.
pub(super) fn parse(bytes: &[u8]) -> Result<Attributes, Vec<Fault>> {
    if [b"\xef\xbb\xbf".as_slice(), b"\xfe\xff", b"\xff\xfe"].iter().any(|bom| bytes.starts_with(bom)) {
        return Err(vec![
            Fault::manifest("the manifest starts with a byte order mark")
                .hint("devices answer 907 to it: save the manifest as UTF-8 without a byte order mark"),
        ]);
    }
    let mut faults = Vec::new();
    if !bytes.is_empty() && !bytes.ends_with(b"\n") && !bytes.ends_with(b"\r") {
        faults.push(
            Fault::manifest("the manifest's last line has no line end")
                .hint("readers lose such a line: end it with a line end"),
        );
    }
    let lines = lines(bytes);
    let mut sections = lines.split(|(_, line)| line.is_empty());
    let main = sections.next().map(|main| logical(main, &mut faults)).unwrap_or_default();
    let attributes = main_section(&main, &mut faults);
    for section in sections {
        foreign_section(&logical(section, &mut faults), &mut faults);
    }
    if faults.is_empty() { Ok(attributes) } else { Err(faults) }
}

/// The physical lines; CRLF, LF and CR end one.
fn lines(bytes: &[u8]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(len);
        lines.push((lines.len() + 1, line));
        rest = tail.strip_prefix(b"\r\n").unwrap_or(tail.get(1..).unwrap_or_default());
    }
    lines
}

/// The lines of a section with their continuation lines joined. This happens before the bytes become
/// text, because a line may be folded within a character.
fn logical(section: &[Line<'_>], faults: &mut Vec<Fault>) -> Vec<(usize, Vec<u8>)> {
    let mut joined: Vec<(usize, Vec<u8>)> = Vec::new();
    for &(number, line) in section {
        if line.len() > MAX_LINE {
            faults.push(
                Fault::manifest(format!("line {number} of the manifest has {} bytes", line.len()))
                    .hint("fold it: a line has at most 72 bytes, and the next one goes on after one space"),
            );
        }
        match (line.strip_prefix(b" "), joined.last_mut()) {
            (Some(more), Some((_, before))) => before.extend_from_slice(more),
            (Some(_), None) => faults.push(Fault::manifest(format!(
                "line {number} of the manifest continues a line, but there is none before it"
            ))),
            (None, _) => joined.push((number, line.to_vec())),
        }
    }
    joined
}

fn main_section(lines: &[(usize, Vec<u8>)], faults: &mut Vec<Fault>) -> Attributes {
    let mut attributes = Attributes::new();
    for (number, line) in lines {
        let (name, value) = match attribute(*number, line) {
            Ok(attribute) => attribute,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        if let Some((first, _)) = attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            faults.push(
                Fault::manifest(match first == name {
                    true => format!("attribute `{name}` is given twice"),
                    false => format!("attribute `{first}` is given again as `{name}`"),
                })
                .hint("readers differ in which one they use: keep one"),
            );
        }
        match std::str::from_utf8(value) {
            Err(_) => faults.push(Fault::manifest(format!("the value of `{name}` is not UTF-8"))),
            Ok(value) => {
                let value = value.trim_matches([' ', '\t']);
                if value.contains(|c: char| c.is_control()) {
                    faults.push(Fault::manifest(format!("the value of `{name}` has a control character")));
                }
                attributes.push((name.into(), value.into()));
            }
        }
    }
    attributes
}

/// A section about an entry. Attributes of the suite in it override the main section in Sun's reader.
fn foreign_section(lines: &[(usize, Vec<u8>)], faults: &mut Vec<Fault>) {
    let about = lines.first().map(|(_, line)| shown(line)).unwrap_or_default();
    if let Some((number, first)) = lines.first()
        && attribute(*number, first).is_ok_and(|(name, _)| !name.eq_ignore_ascii_case("Name"))
    {
        faults.push(
            Fault::manifest(format!("the section at line {number} of the manifest starts with `{about}`"))
                .hint("a section behind the first blank line is about an entry, and starts with its `Name`"),
        );
    }
    for (number, line) in lines {
        match attribute(*number, line) {
            Err(fault) => faults.push(fault),
            Ok((name, _)) if is_of_the_suite(name) => {
                faults.push(Fault::manifest(format!("attribute `{name}` is in the section `{about}`")).hint(
                    "devices let it override the main section: move it before the manifest's first blank \
                     line",
                ))
            }
            Ok(_) => {}
        }
    }
}

fn is_of_the_suite(name: &str) -> bool {
    ["MIDlet-", "MicroEdition-"]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix)))
}

/// `Name: value`; the name is 1 to 70 of `A-Z a-z 0-9 _ -` and does not start with `_` or `-`.
fn attribute(number: usize, line: &[u8]) -> Result<(&str, &[u8]), Fault> {
    let malformed = || {
        Fault::manifest(format!("line {number} of the manifest is not an attribute: `{}`", shown(line)))
            .hint("write `Name: value`, with nothing before the colon and one space after it")
    };
    let colon = line.windows(2).position(|w| w == b": ").ok_or_else(malformed)?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| malformed())?;
    let good = (1..=70).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if good { Ok((name, &line[colon + 2..])) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(bytes: &[u8]) -> Vec<String> {
        parse(bytes).unwrap_err().into_iter().map(|f| f.message).collect()
    }

    fn attributes(bytes: &[u8]) -> Vec<(String, String)> {
        parse(bytes).unwrap()
    }

    #[test]
    fn every_line_end_is_read_and_the_first_blank_line_ends_the_main_section() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("A: 1{end}B-c:   two words  {end}{end}Name: x{end}D: 3{end}{end}");
            let expected = [("A".into(), "1".into()), ("B-c".into(), "two words".into())];
            assert_eq!(attributes(text.as_bytes()), expected, "{end:?}");
        }
        assert_eq!(attributes(b""), []);
    }

    #[test]
    fn continuation_lines_are_joined_even_within_a_character() {
        assert_eq!(attributes(b"A: b\r\n  c\r\n d\r\n")[0].1, "b cd");
        assert_eq!(attributes(b"A: \xc3\n \xa4\n")[0].1, "ä");
        // The name may be folded too: a fold is a matter of bytes.
        assert_eq!(attributes(b"A\n B: c\n")[0].0, "AB");
        assert_eq!(
            messages(b" x\nA: b\n"),
            ["line 1 of the manifest continues a line, but there is none before it"]
        );
        assert_eq!(
            messages(b"A: b\n\n x\n"),
            ["line 3 of the manifest continues a line, but there is none before it"]
        );
    }

    #[test]
    fn sections_start_with_a_name() {
        assert_eq!(attributes(b"A: 1\n\n\nname: x\nB: 2\n\n"), [("A".into(), "1".into())]);
        assert_eq!(
            messages(b"A: 1\n\nB: 2\nName: x\n"),
            ["the section at line 3 of the manifest starts with `B: 2`"]
        );
    }

    #[test]
    fn lines_have_a_longest_length() {
        let line = |len: usize| format!("A: {}\n", "x".repeat(len - 3)).into_bytes();
        assert_eq!(attributes(&line(510))[0].1.len(), 507);
        assert_eq!(messages(&line(511)), ["line 1 of the manifest has 511 bytes"]);
    }

    #[test]
    fn byte_order_marks_and_a_lost_last_line_are_refused() {
        for bom in [b"\xef\xbb\xbfA: b\n".as_slice(), b"\xfe\xff\0A", b"\xff\xfeA\0"] {
            assert_eq!(messages(bom), ["the manifest starts with a byte order mark"]);
        }
        assert_eq!(messages(b"A: b\nC: d"), ["the manifest's last line has no line end"]);
    }

    #[test]
    fn malformed_lines_are_all_named() {
        assert_eq!(
            messages(b"A:b\nA : b\n: b\n-A: b\n# c\n\tA: b\n\xff: b\n"),
            [
                "line 1 of the manifest is not an attribute: `A:b`",
                "line 2 of the manifest is not an attribute: `A : b`",
                "line 3 of the manifest is not an attribute: `: b`",
                "line 4 of the manifest is not an attribute: `-A: b`",
                "line 5 of the manifest is not an attribute: `# c`",
                "line 6 of the manifest is not an attribute: `\\tA: b`",
                "line 7 of the manifest is not an attribute: `\u{fffd}: b`",
            ]
        );
    }

    #[test]
    fn values_are_clean_utf8() {
        assert_eq!(messages(b"A: \xe4\n"), ["the value of `A` is not UTF-8"]);
        assert_eq!(messages(b"A: b\0c\n"), ["the value of `A` has a control character"]);
        assert_eq!(messages(b"A: b\tc\n"), ["the value of `A` has a control character"]);
    }

    #[test]
    fn attributes_are_unique_whatever_their_case() {
        assert_eq!(messages(b"A: b\nA: b\n"), ["attribute `A` is given twice"]);
        assert_eq!(messages(b"A: b\na: b\n"), ["attribute `A` is given again as `a`"]);
    }

    #[test]
    fn suite_attributes_belong_to_the_main_section() {
        assert_eq!(
            messages(
                b"A: b\n\nName: x.class\nmidlet-name: y\nDigest: z\n\n\nName: y\nMicroEdition-Profile: z\n"
            ),
            [
                "attribute `midlet-name` is in the section `Name: x.class`",
                "attribute `MicroEdition-Profile` is in the section `Name: y`",
            ]
        );
    }
}
