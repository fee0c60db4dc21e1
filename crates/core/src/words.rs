//! Words that go with numbers, for everything that people read.

use std::fmt::Display;

/// `1 device`, `2 devices`.
pub fn count<N: Display + PartialEq + From<u8>>(n: N, what: &str) -> String {
    if n == N::from(1) { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// The form of a word that goes with a number: `1 runs`, `2 run`.
pub fn form<'a, N: PartialEq + From<u8>>(n: N, one: &'a str, many: &'a str) -> &'a str {
    if n == N::from(1) { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0_u32, 1, 2].map(|n| count(n, "device")), ["0 devices", "1 device", "2 devices"]);
        assert_eq!([0_usize, 1, 2].map(|n| form(n, "runs", "run")), ["run", "runs", "run"]);
    }
}
