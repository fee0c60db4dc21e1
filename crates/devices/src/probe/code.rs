//! What can be wrong with a live site, and how to mend it.

use otapress_publish::diag::Severity;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $severity:ident $mend:literal,)*) => {
        /// A kind of finding. The texts are stable: scripts depend on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The code in kebab case.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text),* }
            }

            /// The code with that text.
            pub fn from_name(name: &str) -> Option<Code> {
                match name { $($text => Some(Code::$name),)* _ => None }
            }

            /// How bad it is: an error keeps devices from upgrading, makes them post every second, or tells
            /// strangers what is none of their business.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity),* }
            }

            /// How to mend it.
            pub fn mend(self) -> &'static str {
                match self { $(Code::$name => $mend),* }
            }
        }
    };
}

codes! {
    // Whatever is asked for.
    /// No connection.
    Unreachable = "unreachable" Error
        "see that the server runs, that its name resolves, and that no firewall is in between",
    /// No complete reply in time.
    TimedOut = "timed-out" Error
        "see the server's error log; a CGI program that is waited for must read its input to the end",
    /// The connection ended before the reply did, or the length was wrong.
    Broken = "broken-reply" Error
        "send the exact Content-Length, and replace files by renaming, never in place",
    /// Not HTTP/1.
    NotHttp = "not-http" Error
        "let plain HTTP/1.1 listen on this port, neither TLS nor HTTP/2 alone",
    /// Sent on to https.
    HttpsRedirect = "https-redirect" Error
        "serve the site over plain http, too: the modem cannot speak https; take these paths out of the redirection",
    /// Sent on to anywhere else.
    Redirect = "redirect" Error
        "answer at once, without redirects for host names, slashes or anything else",
    /// Compressed.
    Compressed = "compressed" Error
        "turn gzip, brotli and the like off for JADs, JARs and the responder",
    /// `Transfer-Encoding: chunked`.
    Chunked = "chunked" Error
        "send a Content-Length: no compression, filter or server-side include may change the body; buffer what CGI sends",
    /// Neither length nor chunks.
    NoLength = "no-length" Error
        "send a Content-Length",
    /// A status line without words.
    NoReason = "no-reason" Error
        "send `HTTP/1.1 200 OK` (under CGI `Status: 200 OK`)",
    /// A cache answered.
    Cached = "cached" Error
        "take JADs and the responder's answers out of the cache in front of the server",

    // JADs.
    /// A status other than 200.
    JadStatus = "jad-status" Error
        "serve the files of out/ below the URL of `site`, and let the server read them",
    /// Served as another type.
    JadType = "jad-type" Error
        "serve `.jad` as `text/vnd.sun.j2me.app-descriptor`, without a quoted charset",
    /// A modem would not take it.
    JadMalformed = "jad-malformed" Error
        "serve the bytes of out/ as they are; if they are wrong there, mend the template and build",
    /// Another release's.
    JadStale = "jad-stale" Error
        "publish out/ (`rsync -c`, because size and time may be equal), and purge the cache that still has the old one",
    /// Not the bytes of out/.
    JadAltered = "jad-altered" Error
        "turn off whatever changes the body on its way, and publish out/ again",
    /// Caches may keep it.
    JadCacheable = "jad-cacheable" Error
        "send `Cache-Control: no-cache, no-transform` with `.jad`, and neither Expires nor max-age",
    /// Caches are not told to leave it alone.
    JadCacheControl = "jad-cache-control" Warning
        "send `Cache-Control: no-cache, no-transform` with `.jad`, if the server can",

    // JARs.
    /// A status other than 200.
    JarStatus = "jar-status" Error
        "publish the JARs of out/ before the JADs that name them",
    /// Served as another type.
    JarType = "jar-type" Error
        "serve `.jar` as `application/java-archive`",
    /// Not as long as its JAD says.
    JarSize = "jar-size" Error
        "publish out/ as a whole, JARs first, and serve the JAR as it is: devices answer 904 after the whole download",
    /// Not the bytes of out/.
    JarAltered = "jar-altered" Error
        "publish out/ again and purge the caches in between: a published JAR never changes",

    // Basic auth.
    /// Given to everybody.
    NoAuth = "no-auth" Error
        "ask for basic auth on `.jad` and `.jar`, or take `otapUser` out of the fleet",
    /// Asked for in a way that the modem does not know.
    AuthScheme = "auth-scheme" Error
        "answer 401 with `WWW-Authenticate: Basic realm=…`",
    /// The fleet's credentials are not taken.
    AuthRefused = "auth-refused" Error
        "let the server know the fleet's otapUser and otapPassword",

    // The responder.
    /// A version check answered with another status than 200.
    VersionStatus = "version-status" Error
        "send POSTs of versionURI to the responder: on any other status devices post again every second",
    /// Not an answer that devices understand.
    VersionMalformed = "version-malformed" Error
        "send POSTs of versionURI to `otapress-cgi` or `otapress serve`, and nothing else",
    /// Upgrades a device that runs its target.
    VersionLoop = "version-loop" Error
        "send POSTs of versionURI to the responder: a static answer upgrades devices for ever",
    /// More than the device's business.
    VersionLeak = "version-leak" Error
        "answer from the responder, not with the files of vc/",
    /// A result answered with another status than 200.
    NotifyStatus = "notify-status" Error
        "send POSTs of notifyURI to the responder, without auth",
    /// Another POST answered with another status than 200.
    PostStatus = "post-status" Error
        "send every POST to the responder, whatever its path: a device with last year's versionURI posts every second until it gets a 200",

    // What is nobody's business.
    /// Answer files can be fetched.
    VcExposed = "vc-exposed" Error
        "refuse GET of everything below `vc/`: it holds what is pushed to the devices",
    /// `otapress.json` can be fetched.
    SiteFileExposed = "site-file-exposed" Error
        "refuse GET of `otapress.json`",
    /// Directories are listed.
    Listing = "directory-listing" Error
        "turn directory listings off: they tell the clientIDs",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
        }
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
            assert!(!code.mend().is_empty() && !code.mend().ends_with('.'), "{}", code.as_str());
        }
    }
}
