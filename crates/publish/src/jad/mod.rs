//! JADs, read as strictly as the strictest installer in the field reads them, and held against the JAR.
//!
//! A device that dislikes a JAD reboots and tries again at its next interval, so a JAD is judged here before
//! it is published. [`parse`] knows the form of lines, [`check_alone`] what one file tells about itself,
//! [`check`] the JAR as well. Each [`Fault`] carries the result code that a device would have posted
//! (MIDP 2.0, "Over The Air User Initiated Provisioning", and what Sun's reference installer does).

mod check;
mod suite;

pub use self::check::{check, check_alone};
pub use self::suite::{Concern, against_modules, verify};

/// What devices post when all is well.
pub const SUCCESS: u16 = 900;
/// MIDlet-Jar-Size is not the size of the JAR.
pub const SIZE_MISMATCH: u16 = 904;
/// Name, version or vendor differ between JAD and manifest.
pub const ATTRIBUTE_MISMATCH: u16 = 905;
/// The JAD is malformed or lacks something.
pub const INVALID_DESCRIPTOR: u16 = 906;
/// The JAR cannot be had, unpacked or started.
pub const INVALID_JAR: u16 = 907;
/// The signature or its certificates are wrong.
pub const AUTHENTICATION: u16 = 909;

/// One thing that is wrong with a JAD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fault {
    /// The line from 1, or 0 if it is about no single line.
    pub line: usize,
    /// What a device would have posted: 904 to 907 or 909; 900 where Sun's installer would have installed the
    /// suite, but other readers lose something, or the suite does what the fleet does not want.
    pub code_on_device: u16,
    /// What is wrong: lower case, no full stop, names in backticks.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Fault {
    fn new(line: usize, code_on_device: u16, message: impl Into<String>) -> Self {
        Fault { line, code_on_device, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The attributes of a JAD, one per line, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jad(Vec<(String, String)>);

impl Jad {
    /// The value of an attribute, whose name is case-sensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The line of an attribute from 1, or 0 if there is none.
    pub fn line_of(&self, name: &str) -> usize {
        // A parsed JAD has no line that is not an attribute.
        self.0.iter().position(|(n, _)| n == name).map_or(0, |index| index + 1)
    }

    /// Names and values in the order of the lines.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Reads a JAD: ASCII, every line `Name: value` with LF, nothing else.
///
/// # Errors
/// What is wrong with the form of each line, in their order.
pub fn parse(text: &[u8]) -> Result<Jad, Vec<Fault>> {
    if text.is_empty() {
        return Err(vec![Fault::new(0, INVALID_DESCRIPTOR, "the JAD is empty")]);
    }
    let mut faults = Vec::new();
    let body = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if body.len() != text.len() {
        faults.push(
            Fault::new(1, INVALID_DESCRIPTOR, "the JAD starts with a byte order mark")
                .hint("save it as ASCII, without a byte order mark"),
        );
    }
    if let Some(at) = body.iter().position(|&b| b == b'\r') {
        let line = 1 + body[..at].iter().filter(|&&b| b == b'\n').count();
        // CRLF is read by Sun's installer; CR alone ends no line there.
        let crlf = body.windows(2).filter(|pair| pair == b"\r\n").count();
        let is_crlf = body.iter().filter(|&&b| b == b'\r').count() == crlf;
        let code = if is_crlf { SUCCESS } else { INVALID_DESCRIPTOR };
        faults.push(
            Fault::new(line, code, "the JAD has a carriage return")
                .hint("end lines with LF alone, not CRLF or CR"),
        );
    }
    let lines: Vec<&[u8]> = body.strip_suffix(b"\n").unwrap_or(body).split(|&b| b == b'\n').collect();
    if !body.ends_with(b"\n") {
        faults.push(
            Fault::new(lines.len(), SUCCESS, "the last line has no line end")
                .hint("some readers lose such a line: end it with LF"),
        );
    }
    let mut jad = Jad(Vec::new());
    for (index, line) in lines.into_iter().enumerate() {
        let number = index + 1;
        match attribute(number, line.strip_suffix(b"\r").unwrap_or(line)) {
            Err(fault) => faults.push(fault),
            Ok((name, value)) => {
                if let Some((first, _)) = jad.attributes().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                    faults.push(
                        Fault::new(
                            number,
                            INVALID_DESCRIPTOR,
                            format!("`{first}` is given again as `{name}`"),
                        )
                        .hint("readers differ in which one they use: keep one"),
                    );
                }
                jad.0.push((name.into(), value.into()));
            }
        }
    }
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() { Ok(jad) } else { Err(faults) }
}

/// Splits one line. The first thing that is wrong with it is told.
fn attribute(number: usize, line: &[u8]) -> Result<(&str, &str), Fault> {
    let wrong = |what: &str| Fault::new(number, INVALID_DESCRIPTOR, what);
    // Sun's installer takes it, and other readers lose the line.
    let unusual = |what: &str| Fault::new(number, SUCCESS, what);
    let is_of = |names: &[&str]| names.iter().any(|name| line.starts_with(name.as_bytes()));
    let text = match std::str::from_utf8(line) {
        // Sun's installer takes it where the manifest has the same; publishing it is the JAR's matter.
        Ok(text) if text.is_ascii() || is_of(&["MIDlet-Name:", "MIDlet-Vendor:"]) => text,
        // Readers that take the bytes as Latin-1 get another name or vendor than the manifest's.
        _ => {
            let mismatch = is_of(&["MIDlet-Name:", "MIDlet-Vendor:", "MIDlet-Version:"]);
            let code = if mismatch { ATTRIBUTE_MISMATCH } else { SUCCESS };
            return Err(Fault::new(number, code, "the line is not ASCII")
                .hint("devices differ in how they read such bytes: use ASCII"));
        }
    };
    if text.is_empty() {
        return Err(unusual("the line is blank")
            .hint("devices stop at a blank line; in a template, `{%-` and `-%}` remove line ends"));
    }
    if text.starts_with([' ', '\t']) {
        return Err(wrong("the line starts with white space")
            .hint("a JAD has no continuation lines: write the value on one line, however long"));
    }
    if text.starts_with('#') {
        return Err(
            wrong("the line is a comment").hint("a JAD has no comments; in a template, `{# … #}` is one")
        );
    }
    let (name, value) =
        text.split_once(':').ok_or_else(|| wrong("the line has no colon").hint("write `Name: value`"))?;
    if name.ends_with([' ', '\t']) {
        return Err(wrong("there is white space before the colon").hint("write `Name: value`"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(wrong("what stands before the colon is not an attribute's name")
            .hint("a name is made of letters, digits, `-`, `_` and `.`"));
    }
    if value.trim().is_empty() {
        return Err(unusual(&format!("`{name}` has no value"))
            .hint("leave the line out; in a template, `{% if … %}` does so"));
    }
    match value.strip_prefix(' ') {
        Some(value) if value.starts_with([' ', '\t']) => {
            Err(unusual(&format!("`{name}` has more than one space after its colon")).hint("write one space"))
        }
        None => Err(unusual(&format!("`{name}` has no space after its colon")).hint("write one space")),
        Some(value) if value.ends_with([' ', '\t']) => Err(wrong(&format!("`{name}` ends with white space"))
            .hint("devices differ in whether it belongs to the value: remove it")),
        Some(value) if value.contains(|c: char| c.is_ascii_control()) => {
            Err(wrong(&format!("the value of `{name}` has a control character")))
        }
        Some(value) => Ok((name, value)),
    }
}

#[cfg(test)]
mod tests;
