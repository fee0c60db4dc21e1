//! The JADs: each is read again as a device would read it, before it is published.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Release, bytes, jad_paths};
use crate::diag::{Code, Diagnostic, Place, Sources};
use crate::fleet::{Device, Fleet};
use crate::jad::{self, Concern, Jad};
use crate::jar::Fault;
use crate::signing::{Chain, SIGNATURE, is_of_signature};
use crate::template::Template;
use crate::tree::{ContentId, Tree};
use otapress_core::out::Tier;
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;

/// What the JADs say of signatures.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    /// Releases with a signature, whoever put it there.
    pub signed: BTreeSet<Version>,
    /// Releases without.
    pub unsigned: BTreeSet<Version>,
    /// Chains that the template has itself.
    pub chains: Vec<(Chain, Place)>,
}

/// The bytes of a JAD without its signature and certificates: real ones take 3 to 6 kB.
fn unsigned_size(jad: &str) -> u64 {
    let is_signature = |line: &&str| line.split_once(':').is_some_and(|(name, _)| is_of_signature(name));
    jad.split_inclusive('\n').filter(|line| !is_signature(line)).map(|line| line.len() as u64).sum()
}

/// Renders JADs, each different one once, and sees that no two devices want different ones at one path.
pub(super) struct Jads<'a> {
    fleet: &'a Fleet,
    template: &'a Template,
    sources: &'a Sources,
    releases: &'a BTreeMap<Version, Release<'a>>,
    /// The JAD of a release if the template is the same for all devices.
    rendered: HashMap<Version, Result<ContentId, ()>>,
    jads: Vec<(OutPath, ContentId, &'a Device)>,
    warnings: Vec<Diagnostic>,
    signatures: Signatures,
    /// Signatures and certificates in the template's output that were looked at, by release.
    verified: HashSet<(Version, String)>,
}

impl<'a> Jads<'a> {
    pub(super) fn new(
        fleet: &'a Fleet,
        template: &'a Template,
        sources: &'a Sources,
        releases: &'a BTreeMap<Version, Release<'a>>,
    ) -> Self {
        Jads {
            fleet,
            template,
            sources,
            releases,
            rendered: HashMap::new(),
            jads: Vec::new(),
            warnings: Vec::new(),
            signatures: Signatures::default(),
            verified: HashSet::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        device: &'a Device,
        target: Version,
        tree: &mut Tree,
    ) -> Result<(), Vec<Diagnostic>> {
        let paths = jad_paths(self.fleet, device).map_err(|diagnostic| vec![diagnostic])?;
        let content = match self.rendered.get(&target) {
            Some(Ok(content)) => *content,
            // It was reported when it failed.
            Some(Err(())) => return Ok(()),
            None => {
                let rendered = self.render(device, target, tree);
                if !self.template.is_per_device() {
                    self.rendered.insert(target, rendered.as_ref().copied().map_err(|_| ()));
                }
                rendered?
            }
        };
        self.jads.extend(paths.into_iter().map(|path| (path, content, device)));
        Ok(())
    }

    fn render(
        &mut self,
        device: &Device,
        target: Version,
        tree: &mut Tree,
    ) -> Result<ContentId, Vec<Diagnostic>> {
        let release =
            self.releases.get(&target).expect("the catalog was checked for every release of the fleet");
        let mut text = self
            .template
            .render(&release.values, self.fleet, device, self.sources)
            .map_err(|diagnostic| vec![diagnostic])?;
        // A last line without an end is a fault of the template, which is to be seen as such.
        if let Some(signature) = release.signature.as_ref().filter(|_| text.ends_with('\n')) {
            text += signature;
        }
        self.check_size(&text)?;
        let parsed = jad::parse(text.as_bytes());
        let faults = match &parsed {
            Ok(parsed) => jad::check(parsed, release.entry.jar(), &release.url),
            Err(faults) => faults.clone(),
        };
        let mut found: Vec<_> = faults.into_iter().map(|fault| self.refused(release, &text, fault)).collect();
        if let (Ok(parsed), true) = (&parsed, found.is_empty()) {
            let rules = &self.fleet.midlet().rules;
            let mut concerns = jad::against_modules(parsed, release.entry.jar(), rules);
            concerns.extend(self.verify(parsed, target, release, &text));
            let version = release.entry.jar().version_text();
            found.extend(concerns.into_iter().map(|Concern { line, fault }| {
                let message = format!("the JAD of release {version}: {}", fault.message);
                Fault { message, ..fault }.at(self.template.place_of(&text, line, self.sources))
            }));
            let kind = if parsed.get(SIGNATURE).is_some() {
                &mut self.signatures.signed
            } else {
                &mut self.signatures.unsigned
            };
            kind.insert(target);
        }
        let (errors, warnings): (Vec<_>, Vec<_>) = found.into_iter().partition(Diagnostic::is_error);
        self.warnings.extend(warnings);
        if errors.is_empty() { Ok(tree.intern(bytes(text))) } else { Err(errors) }
    }

    /// Reports a JAD that is too long for devices: they read it into memory of which they have little.
    fn check_size(&mut self, text: &str) -> Result<(), Vec<Diagnostic>> {
        let limit = self.fleet.limits().jad;
        let (size, whole) = (unsigned_size(text), text.len() as u64);
        let diagnostic =
            |code, message| Diagnostic::new(code, self.template.place_of(text, 1, self.sources), message);
        if size > limit {
            let message = format!("the JAD has {size} bytes, but devices may accept only {limit}");
            return Err(vec![
                diagnostic(Code::JadSize, message)
                    .hint("shorten the template, or raise `jad` under `limits` if your devices accept more"),
            ]);
        }
        if whole > limit && !self.fleet.midlet().rules.allows(Code::JadSizeSigned) {
            let message = format!(
                "the JAD has {whole} bytes with its signature and certificates, but devices may accept only \
                 {limit}"
            );
            let hint = "see on one device that it installs; then raise `jad` under `limits`";
            let warning = diagnostic(Code::JadSizeSigned, message).hint(hint);
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// The fault of a JAD at its place in the template.
    fn refused(&self, release: &Release<'_>, text: &str, fault: jad::Fault) -> Diagnostic {
        let version = release.entry.jar().version_text();
        let place = self.template.place_of(text, fault.line, self.sources);
        let message = match fault.code_on_device {
            jad::SUCCESS => {
                format!(
                    "the JAD of release {version} does not suit every device of the fleet: {}",
                    fault.message
                )
            }
            code => {
                format!("a device would answer {code} to the JAD of release {version}: {}", fault.message)
            }
        };
        Diagnostic { hint: fault.hint, ..Diagnostic::new(Code::JadInvalid, place, message) }
    }

    /// Verifies the signature that a template has itself; what lies beside the JAR is verified with it.
    fn verify(&mut self, parsed: &Jad, version: Version, release: &Release<'_>, text: &str) -> Vec<Concern> {
        let of_signature = parsed.attributes().filter(|(name, _)| is_of_signature(name));
        let lines: String = of_signature.map(|(name, value)| format!("{name}: {value}\n")).collect();
        let is_known = lines.is_empty() || release.signature.as_ref() == Some(&lines);
        if is_known || !self.verified.insert((version, lines)) {
            return Vec::new();
        }
        let jar = match release.entry.bytes() {
            Ok(jar) => jar,
            Err(error) => {
                let fault = Fault { code: Code::JarUnreadable, message: error.to_string(), hint: None };
                return vec![Concern { line: 0, fault }];
            }
        };
        let (chains, found) = jad::verify(parsed, &jar, &self.fleet.midlet().rules);
        let place = self.template.place_of(text, parsed.line_of(SIGNATURE), self.sources);
        self.signatures.chains.extend(chains.into_iter().map(|chain| (chain, place.clone())));
        found
    }

    /// Adds the files of all JADs; returns what cannot stand side by side.
    pub(super) fn finish(mut self, tree: &mut Tree) -> (Vec<Diagnostic>, Signatures) {
        self.jads.sort_by(|a, b| (&a.0, &a.2.client_id).cmp(&(&b.0, &b.2.client_id)));
        let mut found = Vec::new();
        for pair in self.jads.windows(2) {
            let [(path, content, one), (other_path, other_content, other)] = pair else { continue };
            if path == other_path && content != other_content {
                found.push(
                    Diagnostic::new(
                        Code::SharedJad,
                        other.span,
                        format!(
                            "devices `{}` and `{}` share `{path}`, but would get different JADs",
                            one.client_id, other.client_id
                        ),
                    )
                    .hint("give them the same release, put `@` into `otapURI`, or hold one of them"),
                );
            }
        }
        // A file cannot be the directory of another one; only a path with `.jad/` in it can want that.
        for (path, _, device) in &self.jads {
            for (at, _) in path.as_str().match_indices(".jad/") {
                let prefix = &path.as_str()[..at + ".jad".len()];
                if let Ok(i) = self.jads.binary_search_by(|(path, _, _)| path.as_str().cmp(prefix)) {
                    found.push(
                        Diagnostic::new(
                            Code::PathCollision,
                            device.span,
                            format!(
                                "`{path}` of device `{}` lies below the JAD of device `{}`",
                                device.client_id, self.jads[i].2.client_id
                            ),
                        )
                        .hint("change `otapURI` of one of their groups"),
                    );
                }
            }
        }
        for (path, content, _) in self.jads {
            tree.add(path, Tier::Jad, content);
        }
        found.extend(self.warnings);
        (found, self.signatures)
    }
}
