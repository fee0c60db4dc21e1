//! `site`: the URL under which out/ is served.

use super::raw::Node;
use super::reader::Reader;
use super::uri::{HttpUri, Site};
use crate::diag::{Code, Diagnostic};

pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Option<Site> {
    let text = reader.text(node, "`site`")?;
    let uri = HttpUri::parse(&text.text).map_err(|error| error.to_string());
    let site = uri.and_then(|uri| Site::new(&uri).ok_or_else(|| "it must have no query and no `@`".into()));
    match site {
        Ok(site) => {
            if site.uri().is_private() {
                reader.report(
                    Diagnostic::new(
                        Code::PrivateHost,
                        text.span,
                        format!(
                            "devices may not find `{}`: their modem asks the DNS server \
                            8.8.8.8",
                            site.uri().host()
                        ),
                    )
                    .hint(
                        "use a host name that public DNS knows, unless the devices are in a network of \
                        your own",
                    ),
                );
            }
            Some(site)
        }
        Err(hint) => {
            reader.report(
                Diagnostic::new(Code::BadUri, text.span, format!("`{}` is not a valid `site`", text.text))
                    .hint(hint),
            );
            None
        }
    }
}
