//! The OTAP result codes: what they mean and whose fault they tell of.
//!
//! MIDP 2.0, "Over The Air User Initiated Provisioning", and the Cinterion Java manuals.

/// Whose fault a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody's.
    None,
    /// The device's or its network's: another device may fare better.
    Device,
    /// The JAD's or the JAR's: every device will fare alike.
    Artifact,
}

/// A known code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultCode {
    /// Three digits.
    pub code: u16,
    /// What it says.
    pub meaning: &'static str,
    /// Whose fault it is.
    pub fault: Fault,
}

/// The code that says that the suite is installed, which does not prove that it runs.
pub const INSTALLED: u16 = 900;

/// Every known code, in ascending order.
pub const CODES: &[ResultCode] = &[
    known(INSTALLED, "success: installed, not yet proven running", Fault::None),
    known(901, "insufficient memory in the file system", Fault::Device),
    known(902, "user cancelled", Fault::Device),
    known(903, "loss of service", Fault::Device),
    known(904, "JAR size mismatch", Fault::Artifact),
    known(
        905,
        "attribute mismatch: name, version or vendor differ between JAD and manifest",
        Fault::Artifact,
    ),
    known(906, "invalid descriptor", Fault::Artifact),
    known(907, "invalid JAR: unavailable, not extractable or malformed", Fault::Artifact),
    known(908, "incompatible configuration or profile", Fault::Artifact),
    known(909, "application authentication failure: the signature", Fault::Artifact),
    known(910, "application authorization failure: unsigned replaces signed", Fault::Artifact),
    known(911, "push registration failure", Fault::Device),
    known(912, "deletion notification", Fault::None),
    known(913, "required package not supported", Fault::Artifact),
];

const fn known(code: u16, meaning: &'static str, fault: Fault) -> ResultCode {
    ResultCode { code, meaning, fault }
}

/// What is known of a code, if anything.
pub fn lookup(code: u16) -> Option<&'static ResultCode> {
    CODES.iter().find(|known| known.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artifact_is_to_blame_for_these_alone() {
        let blamed: Vec<_> = CODES.iter().filter(|c| c.fault == Fault::Artifact).map(|c| c.code).collect();
        assert_eq!(blamed, [904, 905, 906, 907, 908, 909, 910, 913]);
        let nobody: Vec<_> = CODES.iter().filter(|c| c.fault == Fault::None).map(|c| c.code).collect();
        assert_eq!(nobody, [900, 912]);
        assert!(CODES.is_sorted_by_key(|c| c.code));
        assert_eq!(lookup(914), None);
    }
}
