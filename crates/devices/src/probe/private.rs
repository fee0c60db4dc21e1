//! Files that only the responder may read.

use super::{Code, Subject, Walk};
use otapress_core::out::{ANSWERS, JARS, SITE_FILE, answer_path};

impl Walk<'_> {
    /// Asks for what must not be given. Everything but 200 is fine; a redirect is none of a device's
    /// business.
    pub(super) fn private(&mut self, subject: &Subject) {
        let answer = answer_path(subject.device.imei);
        let [answers, jars] = [ANSWERS, JARS].map(|dir| format!("{dir}/"));
        let asked = [
            (Code::VcExposed, "the answer file", answer.as_str()),
            (Code::SiteFileExposed, "the site file", SITE_FILE),
            (Code::DirectoryListing, "a directory", &answers),
            (Code::DirectoryListing, "a directory", &jars),
        ];
        for (code, what, path) in asked {
            let request = subject.device.modem_get(&format!("{}/{path}", self.site.site));
            let request = subject.device.with_credentials(&request).unwrap_or(request);
            let reply = subject.device.network.exchange(&request);
            self.report.requests += 1;
            if reply.as_ref().is_ok_and(|reply| reply.status == 200) {
                let evidence = super::Evidence::of(&request, &reply);
                let message = format!("a GET of `{path}` is answered with {what}");
                self.report.add(code, what, &subject.device.client_id(), message, evidence);
            }
        }
    }
}
