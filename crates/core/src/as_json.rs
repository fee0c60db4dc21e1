//! Values that are JSON strings because they have a text form of their own.

#![expect(clippy::disallowed_types, reason = "the values that stand in what reports print")]

use serde::{Serialize, Serializer};

macro_rules! serialize_as_text {
    ($($type:ty),*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )* };
}

serialize_as_text!(crate::digest::Sha256, crate::id::ClientId, crate::id::Imei, crate::version::Version);
