//! Names of the values of an enum.

/// What makes one and the same text and value of an enum, for records, logs and metrics.
macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($(#[$d:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum { $($(#[$d])* $name,)* }

        impl $enum {
            /// Every one.
            pub const ALL: &[$enum] = &[$($enum::$name),*];

            /// Its name, in kebab case; stable.
            pub fn as_str(self) -> &'static str {
                match self { $($enum::$name => $text),* }
            }

            /// The one with that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($enum::$name),)* _ => None }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use names;
