//! Which devices a rollout reaches, and when.
//!
//! A device falls into one of 10,000 buckets by its clientID and the rollout's salt, and is in as soon as the
//! percentage in basis points exceeds its bucket. So raising a percentage only adds devices, and no device
//! depends on another.

use crate::fleet::Wave;
use otapress_core::digest::Sha256;
use otapress_core::id::ClientId;

/// The bucket of a device, 0–9999.
pub fn bucket(salt: &str, client_id: &ClientId) -> u16 {
    let text = [salt.as_bytes(), b"\0", client_id.as_str().as_bytes()].concat();
    let bucket = (u128::from(Sha256::of(&text).prefix64()) * 10_000) >> 64;
    bucket as u16
}

/// The place of the first wave that takes a bucket in; none if even the last one does not.
pub fn wave_of(waves: &[Wave], bucket: u16) -> Option<usize> {
    waves.iter().position(|wave| bucket < wave.percent.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Sources, Span};
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_design() {
        let bucket = |salt, id: &str| super::bucket(salt, &id.parse().unwrap());
        assert_eq!(bucket("r-0.10.65", "dev1"), 3224);
        assert_eq!(bucket("r-0.10.65", "123456789012345"), 7534);
        assert_eq!(bucket("r-0.10.66", "dev1"), 7632);
    }

    fn wave(points: u16) -> Wave {
        let span = Span { source: Sources::default().add("", ""), start: 0, end: 0 };
        Wave { at: None, after: None, percent: format!("{points}bp").parse().unwrap(), span }
    }

    proptest! {
        #[test]
        fn raising_a_percentage_only_adds_devices(
            salt in ".{0,20}",
            id in "[a-z0-9._@-]{1,30}",
            low in 0u16..=10_000,
            more in 0u16..=10_000,
        ) {
            let Ok(id) = id.parse::<ClientId>() else { return Ok(()) };
            let high = low.saturating_add(more).min(10_000);
            let bucket = bucket(&salt, &id);
            prop_assert!(bucket < 10_000);
            if wave_of(&[wave(low)], bucket).is_some() {
                prop_assert!(wave_of(&[wave(high)], bucket).is_some());
            }
            prop_assert!(wave_of(&[wave(10_000)], bucket).is_some());
            prop_assert!(wave_of(&[wave(0)], bucket).is_none());
        }
    }

    #[test]
    fn buckets_are_even() {
        let inside =
            (0..20_000).filter(|n| bucket("even", &format!("dev{n}").parse().unwrap()) < 2500).count();
        // The standard deviation is 61; five of them make a false alarm a matter of one in a million salts.
        assert!((4_694..=5_306).contains(&inside), "{inside}");
    }
}
