//! Codes of findings, and how bad each is.

#[expect(clippy::disallowed_types, reason = "reports print it")]
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// Nothing is built: a device would fail on it, or it means nothing.
    Error,
    /// Worth a look; fails only under `--strict`.
    Warning,
}

/// Declares an enum of codes, each with its stable text and its severity. A last variant may hold the codes
/// of another such enum: `…; Class(otapress_classfile::Code)`.
#[macro_export]
macro_rules! codes {
    (
        $(#[$about:meta])*
        enum $name:ident {
            $($(#[$doc:meta])* $code:ident = $text:literal $severity:ident,)*
        }
        $($(#[$more_doc:meta])* and $more:ident($inner:ty))?
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $code,)*
            $($(#[$more_doc])* $more($inner),)?
        }

        impl $name {
            /// Every code.
            pub fn all() -> impl Iterator<Item = $name> {
                [$($name::$code),*].into_iter()$(.chain(<$inner>::all().map($name::$more)))?
            }

            /// The code in kebab case.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$code => $text,)*
                    $($name::$more(code) => code.as_str(),)?
                }
            }

            /// How bad a finding of this kind is.
            pub fn severity(self) -> $crate::finding::Severity {
                match self {
                    $($name::$code => $crate::finding::Severity::$severity,)*
                    $($name::$more(code) => code.severity(),)?
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
