//! The settings sets of `otc showsets`, with their places.

use super::dbjson::left_out;
use otapress_publish::diag::{Code, Diagnostic, SourceId, Sources, Span};
use otapress_publish::fleet::raw::Text;

/// A set of the predecessor: what it sends of it.
#[derive(Clone, Debug)]
pub struct RawSet {
    /// Its name.
    pub name: Text,
    /// Its settings in their order.
    pub settings: Vec<(Text, Text)>,
}

/// Reads the sets; what the predecessor itself does not send is reported.
///
/// # Errors
/// If the text is what `otc showsets` prints for one device.
pub fn read(sources: &Sources, source: SourceId) -> Result<(Vec<RawSet>, Vec<Diagnostic>), Diagnostic> {
    let text = &sources.get(source).text;
    let (mut sets, mut found) = (Vec::new(), Vec::new());
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let piece = Piece { source, at, text: line }.trimmed();
        at += line.len();
        if piece.text.is_empty() {
            continue;
        }
        if sets.is_empty() && piece.text.starts_with(['[', '{']) {
            return Err(Diagnostic::new(
                Code::BadDump,
                piece.span(),
                "these are the settings of one device, not the sets",
            )
            .hint("run `otc showsets` without an IMEI"));
        }
        let (name, rest) = piece.split_at(piece.text.find(char::is_whitespace).unwrap_or(piece.text.len()));
        let settings = settings(rest.trimmed(), &mut found);
        sets.push(RawSet { name: name.into_text(), settings });
    }
    Ok((sets, found))
}

/// `key=value;key=value`, up to the first piece of another form, where the predecessor stops, too.
fn settings(rest: Piece<'_>, found: &mut Vec<Diagnostic>) -> Vec<(Text, Text)> {
    let mut settings = Vec::new();
    if matches!(rest.text, "" | "None") {
        return settings;
    }
    let mut at = 0;
    for part in rest.text.split(';') {
        let piece = rest.split_at(at).1.split_at(part.len()).0;
        at += part.len() + 1;
        match part.split_once('=') {
            Some((key, value)) if !value.contains('=') => {
                let (key, value) = piece.split_at(key.len());
                settings.push((key.into_text(), value.split_at(1).1.into_text()));
            }
            // A `;` at the end, which does no harm.
            None if at > rest.text.len() && part.trim().is_empty() => {}
            _ => {
                let message =
                    "the predecessor sends nothing from here on: it wants exactly one `=` between two `;`";
                let (_, behind) = rest.split_at(at - part.len() - 1);
                found.push(left_out(behind.span(), message).hint(
                    "otapress does not send it either; if the devices are to get it, write it into the set",
                ));
                break;
            }
        }
    }
    settings
}

/// A part of a text that knows where it stands.
#[derive(Clone, Copy)]
struct Piece<'a> {
    source: SourceId,
    at: usize,
    text: &'a str,
}

impl<'a> Piece<'a> {
    fn trimmed(self) -> Self {
        let start = self.text.trim_start();
        Piece { at: self.at + self.text.len() - start.len(), text: start.trim_end(), ..self }
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.text.split_at(middle);
        (Piece { text: left, ..self }, Piece { at: self.at + middle, text: right, ..self })
    }

    fn span(self) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(self.at), end: clamp(self.at + self.text.len()) }
    }

    fn into_text(self) -> Text {
        Text { text: self.text.into(), span: self.span() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(text: &str) -> (String, Vec<String>) {
        let mut sources = Sources::default();
        let source = sources.add("sets", text);
        let (sets, found) = read(&sources, source).unwrap();
        let shown = sets.iter().map(|set| {
            let settings = set.settings.iter().map(|(key, value)| format!("{}={}", key.text, value.text));
            format!("{}[{}]", set.name.text, settings.collect::<Vec<_>>().join(","))
        });
        let found = found.iter().map(|found| match found.place {
            otapress_publish::diag::Place::Span(span) => {
                let (line, column) = sources.line_column(span);
                format!("{line}:{column}:{}", &text[span.start as usize..span.end as usize])
            }
            otapress_publish::diag::Place::File(_) => unreachable!(),
        });
        let found = found.collect();
        (shown.collect::<Vec<_>>().join(" "), found)
    }

    #[test]
    fn lines_are_sets_as_far_as_the_predecessor_sends_them() {
        let (is, found) = sets(
            "leash                       maxInterval=30;fields=a b; minSpeed=5;\r\n\
             empty                       None\n\n\
             bare\n\
             broken                      a=1;url=x?id=1;b=2\n\
             cut                         a=1;;b=2\n",
        );
        assert_eq!(is, "leash[maxInterval=30,fields=a b, minSpeed=5] empty[] bare[] broken[a=1] cut[a=1]");
        assert_eq!(found, ["5:33:url=x?id=1;b=2", "6:33:;b=2"]);
    }

    #[test]
    fn the_settings_of_one_device_are_no_sets() {
        let mut sources = Sources::default();
        let source = sources.add("sets", "[\n    {\"key\": \"a\", \"val\": \"1\"}\n]\n");
        assert_eq!(read(&sources, source).unwrap_err().code, Code::BadDump);
    }
}
