//! The rules of a fleet that its JARs are judged by: `midlet` in fleet.yaml.

use std::collections::BTreeSet;

use crate::diag::Code;

/// What the fleet's modules have, and what its operator accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Values of MicroEdition-Profile that the modules have.
    pub profiles: Vec<String>,
    /// The same of MicroEdition-Configuration.
    pub configurations: Vec<String>,
    /// The highest major version of a class file.
    pub class_version: u16,
    /// The largest JAR, in bytes.
    pub max_size: u64,
    /// Packages and classes that the modules have besides, with dots.
    pub api: Vec<String>,
    /// Codes of diagnostics about JARs that are accepted.
    pub allow: BTreeSet<String>,
}

impl Default for Rules {
    /// What the modules in the field have.
    fn default() -> Self {
        Rules {
            profiles: vec!["IMP-NG".into()],
            configurations: vec!["CLDC-1.0".into(), "CLDC-1.1".into()],
            class_version: otapress_classfile::CLASS_VERSION,
            max_size: 1_000_000,
            api: Vec::new(),
            allow: BTreeSet::new(),
        }
    }
}

impl Rules {
    /// Whether the operator accepts a mistake of this kind.
    pub fn allows(&self, code: Code) -> bool {
        self.allow.contains(code.as_str())
    }

    /// The codes that `midlet.allow` may name: of JARs and of how they are signed.
    pub fn allowable() -> impl Iterator<Item = Code> {
        Code::all().filter(|code| {
            matches!(
                code,
                Code::Class(_)
                    | Code::JarProfile
                    | Code::JarProfileDoubtful
                    | Code::JarConfiguration
                    | Code::JarPermission
                    | Code::JarPush
                    | Code::JarDataSize
                    | Code::JarEnvironment
                    | Code::JarSize
                    | Code::JarUnpackedSize
                    | Code::JarGrowth
                    | Code::JarSignatureFiles
                    | Code::JarMultiRelease
                    | Code::JarNested
                    | Code::JarNonAscii
                    | Code::JadSizeSigned
                    | Code::SignatureUnused
                    | Code::UnsignedAfterSigned
                    | Code::CertificateSelfSigned
                    | Code::CertificateExpired
                    | Code::CertificateExpires
                    | Code::MidletChanged
                    | Code::HttpPermissionDropped
                    | Code::PermissionDropped
            )
        })
    }
}
