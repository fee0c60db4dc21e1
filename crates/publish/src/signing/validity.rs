//! Whether certificates are valid at a moment. What is published does not depend on it: only diagnostics do.

use super::{Chain, ChainFault};
use crate::diag::Code;
use otapress_core::words::count;

/// How long before its end a certificate is worth a warning, in seconds: getting one takes weeks.
const NOTICE: i64 = 60 * 24 * 60 * 60;

/// What is wrong with the validity of the certificates as of `now`, in seconds since 1970-01-01 UTC.
pub fn validity(chain: &Chain, now: i64) -> Vec<ChainFault> {
    let found = chain.certificates().iter().enumerate().filter_map(|(at, named)| {
        let (from, until) = named.certificate.valid();
        let (code, message) = if now < from {
            (Code::CertificateExpired, format!("{named} is valid only from {}", date(from)))
        } else if now > until {
            (Code::CertificateExpired, format!("{named} has expired on {}", date(until)))
        } else if until - now < NOTICE {
            let days = count((until - now) / (24 * 60 * 60), "day");
            (Code::CertificateExpires, format!("{named} expires on {}, in {days}", date(until)))
        } else {
            return None;
        };
        let hint = match code {
            Code::CertificateExpires => {
                "no device installs the suite after that: get a new certificate, for the same key or another \
                 one"
            }
            _ => {
                "devices answer 909: get a new certificate; releases that are signed with its key need no \
                other signature"
            }
        };
        Some(ChainFault::new(at, code, message, hint))
    });
    found.collect()
}

fn date(seconds: i64) -> String {
    let day = |time: jiff::Timestamp| time.strftime("%F").to_string();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "a day beyond the year 9999".into(), day)
}
