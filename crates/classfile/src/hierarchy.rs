//! Superclasses and interfaces: whether a class may extend what it extends.

use noak::AccessFlags;

use crate::api::Api;
use crate::class::ClassFile;
use crate::finding::{Code, Finding, dotted, shown};
use crate::suite::Suite;
use crate::{MAX_SUPERS, Rules};

pub(crate) fn findings(suite: &Suite<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    if rules.allowed.contains(Code::Superclass.as_str()) {
        return Vec::new();
    }
    suite.readable().filter_map(|class| fault(suite, class).map(|what| finding(class, what))).collect()
}

fn finding(class: &ClassFile<'_>, what: String) -> Finding {
    Finding {
        code: Code::Superclass,
        entry: class.entry.into(),
        message: format!("`{}`: {what}", shown(class.entry)),
        hint: Some("compile all classes together, against the classes that the device has".into()),
    }
}

fn fault(suite: &Suite<'_>, class: &ClassFile<'_>) -> Option<String> {
    let above = class.superclass.as_ref()?;
    if is_circular(suite, class) {
        return Some("the class is its own superclass".into());
    }
    let (is_final, is_interface) = kind(suite, above)?;
    let name = dotted(above);
    if is_interface {
        return Some(format!("the superclass `{name}` is an interface"));
    }
    if is_final {
        return Some(format!("the superclass `{name}` is final"));
    }
    if class.is_interface() && above != "java/lang/Object" {
        return Some(format!("the superclass of the interface is `{name}` and not `java.lang.Object`"));
    }
    let other =
        class.interfaces.iter().find(|other| kind(suite, other).is_some_and(|(_, interface)| !interface))?;
    Some(format!("the class implements `{}`, which is not an interface", dotted(other)))
}

/// Whether a class is final, and whether it is an interface; `None` if it is not known.
fn kind(suite: &Suite<'_>, internal: &str) -> Option<(bool, bool)> {
    if suite.classes.contains_key(internal) {
        let class = suite.class(internal)?;
        return Some((class.flags.contains(AccessFlags::FINAL), class.is_interface()));
    }
    Api::get().base(internal).map(|class| (class.is_final, class.is_interface))
}

/// Whether the superclasses of a class lead back to it. A class above a cycle is not part of it.
fn is_circular(suite: &Suite<'_>, class: &ClassFile<'_>) -> bool {
    let above = |class: &ClassFile<'_>| class.superclass.as_ref().and_then(|above| suite.class(above));
    let mut supers = std::iter::successors(above(class), |class| above(class));
    supers.by_ref().take(MAX_SUPERS).any(|above| std::ptr::eq(above, class))
}
