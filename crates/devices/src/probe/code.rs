//! The faults that a live site can have, and how to mend each.

#[expect(clippy::disallowed_types, reason = "reports print it")]
use serde::Serialize;

use otapress_publish::diag::Severity;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $severity:ident $mend:literal,)*) => {
        /// The kind of a finding. The texts are stable: scripts depend on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
        #[serde(rename_all = "kebab-case")]
        #[strum(serialize_all = "kebab-case")]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// An error keeps devices from upgrading, makes them post every second, or tells strangers what
            /// is none of their business.
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
    Unreachable Error
        "see that the server runs, that its name resolves, and that no firewall is in between",
    /// No complete reply in time.
    TimedOut Error
        "see the server's error log; a CGI program that is waited for must read its input to the end",
    /// The connection ended before the reply did, or the length was wrong.
    BrokenReply Error
        "send the exact Content-Length, and replace files by renaming, never in place",
    /// No TLS, or a certificate that is not accepted.
    Certificate Error
        "let the server of an https versionURI show its whole chain of certificates, for the host that the \
         URI names; `--cafile` names the authority if it is your own",
    /// Not HTTP/1.
    NotHttp Error
        "let plain HTTP/1.1 listen on this port, neither TLS nor HTTP/2 alone",
    /// Sent on to https.
    HttpsRedirect Error
        "serve the site over plain http, too: the modem cannot speak https; take these paths out of the \
         redirection",
    /// Sent on to anywhere else.
    Redirect Error
        "answer at once, without redirects for host names, slashes or anything else",
    /// Compressed.
    Compressed Error
        "turn gzip, brotli and the like off for JADs, JARs and the responder",
    /// `Transfer-Encoding: chunked`.
    Chunked Error
        "send a Content-Length: no compression, filter or server-side include may change the body; buffer \
         what CGI sends",
    /// Neither length nor chunks.
    NoLength Error
        "send a Content-Length",
    /// A status line without words.
    NoReason Error
        "send `HTTP/1.1 200 OK` (under CGI `Status: 200 OK`)",
    /// A cache answered.
    Cached Error
        "take JADs and the responder's answers out of the cache in front of the server",

    // JADs.
    /// A status other than 200.
    JadStatus Error
        "serve the files of out/ below the URL of `site`, and let the server read them",
    /// Served as another type.
    JadType Error
        "serve `.jad` as `text/vnd.sun.j2me.app-descriptor`, without a quoted charset",
    /// A modem would not take it.
    JadMalformed Error
        "serve the bytes of out/ as they are; if they are wrong there, mend the template and build",
    /// Another release's.
    JadStale Error
        "publish out/ (`rsync -c`, because size and time may be equal), and purge the cache that still has \
         the old one",
    /// Not the bytes of out/.
    JadAltered Error
        "turn off whatever changes the body on its way, and publish out/ again",
    /// Caches may keep it.
    JadCacheable Error
        "send `Cache-Control: no-cache, no-transform` with `.jad`, and neither Expires nor max-age",
    /// Caches are not told to leave it alone.
    JadCacheControl Warning
        "send `Cache-Control: no-cache, no-transform` with `.jad`, if the server can",

    // JARs.
    /// A status other than 200.
    JarStatus Error
        "publish the JARs of out/ before the JADs that name them",
    /// Served as another type.
    JarType Error
        "serve `.jar` as `application/java-archive`",
    /// Not as long as its JAD says.
    JarSize Error
        "publish out/ as a whole, JARs first, and serve the JAR as it is: devices answer 904 after the \
         whole download",
    /// Not the bytes of out/.
    JarAltered Error
        "publish out/ again and purge the caches in between: a published JAR never changes",
    /// Not signed as its JAD says, or with a certificate that is not valid now.
    JarSignature Error
        "publish out/ again as a whole, and see that `otapress check` finds nothing: devices answer 909",

    // Basic auth.
    /// Given to everybody.
    NoAuth Error
        "ask for basic auth on `.jad` and `.jar`, or take `otapUser` out of the fleet",
    /// Asked for in a way that the modem does not know.
    AuthScheme Error
        "answer 401 with `WWW-Authenticate: Basic realm=…`",
    /// The fleet's credentials are not taken.
    AuthRefused Error
        "let the server know the fleet's otapUser and otapPassword",

    // The responder.
    /// A version check answered with another status than 200.
    VersionStatus Error
        "send POSTs of versionURI to the responder: on any other status devices post again every second",
    /// Not an answer that devices understand.
    VersionMalformed Error
        "send POSTs of versionURI to `otapress-cgi` or `otapress serve`, and nothing else",
    /// Upgrades a device that runs its target.
    VersionLoop Error
        "send POSTs of versionURI to the responder: a static answer upgrades devices for ever",
    /// More than the device's business.
    VersionLeak Error
        "answer from the responder, not with the files of vc/",
    /// The answer is not what the responder decided.
    VersionAltered Error
        "let nothing between the responder and the device change its answers",
    /// The server answers by itself.
    ResponderDown Error
        "see that fcgiwrap or `otapress serve` runs, that the server's user may use its socket, and what the \
         server's \
         error log says; a responder before otapress 0.2 is found so, too",
    /// The responder cannot read out/.
    ResponderOut Error
        "let `OTAPRESS_OUT` (`serve --out`) name the directory that `otapress build` wrote, and let the \
         responder's user \
         read all of it",
    /// Nothing is remembered.
    ResponderState Error
        "let `OTAPRESS_STATE` (`serve --state`) name a directory that the responder's user may write, on a \
         disk that \
         has room; the server's error log has the reason",
    /// The responder decides by other files.
    ResponderStale Error
        "publish out/ where the responder reads it (`OTAPRESS_OUT`), and see that its clock is right",
    /// Server and client have different times.
    ClockOff Warning
        "let both machines keep their time (`timedatectl set-ntp true`): waves, windows and deadlines go by \
         it",
    /// The responder does not know the path.
    VersionUnpublished Error
        "a proxy changes the path (`otapress serve --prefix` if it takes a part away), or the responder \
         reads another \
         out/ than the fleet's: at a path that is not published no device gets an upgrade",
    /// The responder does not know the path.
    NotifyUnpublished Error
        "a proxy changes the path (`otapress serve --prefix` if it takes a part away), or the responder \
         reads another \
         out/ than the fleet's: results at a path that is not published are not recorded",
    /// A result answered with another status than 200.
    NotifyStatus Error
        "send POSTs of notifyURI to the responder, without auth",
    /// Another POST answered with another status than 200.
    PostStatus Error
        "send every POST to the responder, whatever its path: a device with last year's versionURI posts \
         every second until it gets a 200",

    // Files that must stay private.
    /// Answer files can be fetched.
    VcExposed Error
        "refuse GET of everything below `vc/`: it holds what is pushed to the devices",
    /// `otapress.json` can be fetched.
    SiteFileExposed Error
        "refuse GET of `otapress.json`",
    /// Directories are listed.
    DirectoryListing Error
        "turn directory listings off: they tell the clientIDs",
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;

    #[test]
    fn codes_are_found_by_name_and_say_how_to_mend() {
        for code in Code::VARIANTS {
            assert_eq!(code.to_string().parse(), Ok(*code));
            assert!(!code.mend().is_empty() && !code.mend().ends_with('.'), "{code}");
        }
        assert_eq!(Code::BrokenReply.to_string(), "broken-reply");
    }
}
