//! Descriptors of fields and methods (JVM specification 4.3).

/// What a method's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// Slots of its parameters; long and double take two.
    pub slots: usize,
    /// A parameter or the result is a float or double, or an array of them.
    pub floats: bool,
}

/// Reads a method's descriptor.
pub(crate) fn method(text: &str) -> Option<Method> {
    let mut rest = text.strip_prefix('(')?;
    let mut read = Method { slots: 0, floats: false };
    while !rest.starts_with(')') {
        let (kind, after) = field_type(rest)?;
        read.slots += if matches!(kind, b'J' | b'D') { 2 } else { 1 };
        read.floats |= is_float(rest, after);
        rest = after;
    }
    let result = &rest[1..];
    if result != "V" {
        let (_, after) = field_type(result)?;
        if !after.is_empty() {
            return None;
        }
        read.floats |= is_float(result, after);
    }
    Some(read)
}

/// Reads a field's descriptor: `Some(true)` for a float or double, or an array of them.
pub(crate) fn field(text: &str) -> Option<bool> {
    let (_, after) = field_type(text)?;
    after.is_empty().then(|| is_float(text, after))
}

/// The kind of the type at the front (`[` for an array), and the rest.
fn field_type(text: &str) -> Option<(u8, &str)> {
    let element = text.trim_start_matches('[');
    if text.len() - element.len() > 255 {
        return None;
    }
    let kind = *element.as_bytes().first()?;
    let rest = match kind {
        b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' => &element[1..],
        b'L' => {
            let (name, rest) = element[1..].split_once(';')?;
            if name.is_empty() {
                return None;
            }
            rest
        }
        _ => return None,
    };
    Some((if text.starts_with('[') { b'[' } else { kind }, rest))
}

fn is_float(text: &str, after: &str) -> bool {
    matches!(text[..text.len() - after.len()].trim_start_matches('['), "F" | "D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_floats() {
        let read = |text| method(text).map(|m| (m.slots, m.floats));
        assert_eq!(read("()V"), Some((0, false)));
        assert_eq!(read("(IJ[[DLjava/lang/String;)V"), Some((5, true)));
        assert_eq!(read("([J)F"), Some((1, true)));
        for bad in ["", "(", "()", "()VV", "(V)V", "(L;)V", "(Lx)V", "()II", "([)V", "(ä)V"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(
            (field("I"), field("[F"), field("Ljava/lang/Float;")),
            (Some(false), Some(true), Some(false))
        );
        assert_eq!((field("V"), field("II"), field("")), (None, None, None));
    }
}
