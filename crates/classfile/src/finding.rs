//! Findings about classes, each with a stable code.

use std::borrow::Cow;

pub use otapress_core::finding::Severity;

otapress_core::codes! {
    /// The kind of a finding. The texts are stable: `midlet.allow` and scripts depend on them.
    enum Code {
        // A MIDlet's class.
        /// `MIDlet-<n>` names a class that the JAR lacks.
        MidletMissing = "midlet-class-missing" Error,
        /// It is not public.
        MidletNotPublic = "midlet-class-not-public" Error,
        /// It is abstract or an interface.
        MidletAbstract = "midlet-class-abstract" Error,
        /// It has no public constructor without arguments.
        MidletConstructor = "midlet-class-constructor" Error,
        /// Its superclasses do not end in `javax.microedition.midlet.MIDlet`.
        MidletSuperclass = "midlet-class-superclass" Error,

        // The form of a class file.
        /// Not a class file, cut off, or contradictory.
        Malformed = "class-malformed" Error,
        /// A class file newer or older than the device reads.
        Version = "class-version" Error,
        /// A constant of a kind that CLDC does not know.
        ConstantTag = "class-constant-tag" Error,
        /// A constant of the wrong kind for its use.
        Constant = "class-constant" Error,
        /// Bytes behind the end of the class.
        TrailingBytes = "class-trailing-bytes" Error,
        /// An attribute twice where one is allowed.
        DuplicateAttribute = "class-duplicate-attribute" Error,
        /// A path that is not the class's name, and something refers to the class.
        Path = "class-path" Error,
        /// A path that is not the class's name, and nothing refers to the class.
        PathUnused = "class-path-unused" Warning,
        /// A package that the device protects.
        ProtectedPackage = "class-protected-package" Error,

        // Methods and their code.
        /// No code for a method that needs some, or code for one that must have none.
        MethodCode = "class-method-code" Error,
        /// Code of 65,536 bytes and more.
        CodeLength = "class-code-length" Error,
        /// More than 255 slots of parameters.
        Parameters = "class-parameters" Error,
        /// A frame too large for the device.
        FrameSize = "class-frame-size" Error,
        /// An instruction that CLDC does not have.
        Instruction = "class-instruction" Error,
        /// A class constant that an instruction loads.
        Literal = "class-literal" Error,
        /// Padding of a switch that is not zero.
        SwitchPadding = "class-switch-padding" Error,
        /// A branch or a handler that leads to no instruction.
        BranchTarget = "class-branch-target" Error,
        /// Code that runs beyond its end.
        CodeEnd = "class-code-end" Error,
        /// A method with branches and no StackMap.
        NotPreverified = "class-not-preverified" Error,
        /// A StackMap that is wrong or lacks an entry.
        StackMap = "class-stack-map" Error,
        /// A native method.
        Native = "class-native-method" Warning,
        /// Floating point where the manifest says CLDC-1.0.
        Float = "class-float" Warning,

        // Relations of classes.
        /// A method of an interface that is not public and abstract, or a field that is not public, static
        /// and final.
        InterfaceMember = "class-interface-member" Error,
        /// A superclass that is final or an interface, or one's own subclass.
        Superclass = "class-superclass" Error,

        // References.
        /// A class of one of the JAR's own packages that is not there.
        ClassMissing = "class-missing" Error,
        /// The same, from classes that no MIDlet reaches.
        ClassMissingUnreached = "class-missing-unreached" Warning,
        /// A member that a class of the JAR lacks.
        MemberMissing = "member-missing" Error,
        /// The same, from classes that no MIDlet reaches.
        MemberMissingUnreached = "member-missing-unreached" Warning,
        /// A class of `java.*` that CLDC does not have.
        ApiMissing = "api-missing" Error,
        /// The same, from classes that no MIDlet reaches.
        ApiMissingUnreached = "api-missing-unreached" Warning,
        /// A member that a class of the API is not known to have.
        ApiMember = "api-member-missing" Warning,
        /// A class of an API that not every module has.
        ApiOptional = "api-optional" Warning,
        /// A class of the `choral.io` library, which the JAR does not hold.
        ApiChoral = "api-choral" Warning,
        /// A class that is not in the JAR and in no API that is known.
        ApiUnknown = "api-unknown" Warning,
    }
}

/// Something that is wrong with a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub code: Code,
    /// The path of the class in the JAR; empty for a class that is not there.
    pub entry: String,
    /// The entry, the member and what is wrong: lower case, no full stop, names in backticks.
    pub message: String,
    /// The way out, if one is known.
    pub hint: Option<String>,
}

/// The longest part of a foreign text that a message shows, in characters.
const SHOWN: usize = 120;

/// A foreign text without control characters and of bounded length.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let plain = |c: char| !c.is_control() && c != '`' && !is_invisible(c);
    if text.len() <= SHOWN && text.chars().all(plain) {
        return text.into();
    }
    let mut escaped = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == SHOWN {
            escaped.push('…');
            break;
        }
        match plain(c) {
            true => escaped.push(c),
            false => escaped.extend(c.escape_unicode()),
        }
    }
    escaped.into()
}

/// Characters that change the direction or the place of the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A class as the language spells it: with dots.
pub(crate) fn dotted(internal: &str) -> String {
    shown(internal).replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let texts: BTreeSet<_> = Code::all().map(Code::as_str).collect();
        assert_eq!(texts.len(), Code::all().count());
        assert!(texts.iter().all(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn foreign_text_is_escaped_and_short() {
        assert_eq!(shown("a/B$c"), "a/B$c");
        assert_eq!(shown("a\n\u{202e}b"), "a\\u{a}\\u{202e}b");
        assert!(shown(&"x".repeat(1 << 16)).len() < 200);
    }
}
