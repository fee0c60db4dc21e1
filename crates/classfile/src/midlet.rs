//! The classes that `MIDlet-<n>` name: what a device creates first.

use noak::AccessFlags;

use crate::class::ClassFile;
use crate::finding::{Code, Finding, dotted, shown};
use crate::suite::Suite;
use crate::{MAX_SUPERS, Rules};

const MIDLET: &str = "javax/microedition/midlet/MIDlet";

pub(crate) fn findings(suite: &Suite<'_>, rules: &Rules<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (attribute, name) in &rules.midlets {
        let internal = name.replace('.', "/");
        let attribute = shown(attribute);
        if name.contains('/') || !suite.classes.contains_key(&*internal) {
            findings.push(missing(suite, &attribute, name));
            continue;
        }
        let Some(class) = suite.class(&internal) else { continue };
        let mut add = |code, what: &str, hint: &str| {
            findings.push(Finding {
                code,
                entry: class.entry.into(),
                message: format!("`{}`: the class of `{attribute}` {what}", shown(class.entry)),
                hint: Some(hint.into()),
            });
        };
        if !class.flags.contains(AccessFlags::PUBLIC) {
            add(Code::MidletNotPublic, "is not public", "declare it `public class`");
        }
        if class.is_interface() {
            add(Code::MidletAbstract, "is an interface", "name a class that extends MIDlet");
        } else if class.flags.contains(AccessFlags::ABSTRACT) {
            add(Code::MidletAbstract, "is abstract", "name a class that can be created");
        }
        let is_constructor = |method: &crate::class::Member<'_>| {
            method.name == "<init>"
                && method.descriptor == "()V"
                && method.flags.contains(AccessFlags::PUBLIC)
        };
        if !class.methods.iter().any(is_constructor) {
            add(
                Code::MidletConstructor,
                "has no public constructor without arguments",
                "add one, or make the class public and leave all constructors out",
            );
        }
        if let Err(end) = ends_in_midlet(suite, class) {
            let what =
                format!("does not extend javax.microedition.midlet.MIDlet: its superclasses end in `{end}`");
            add(Code::MidletSuperclass, &what, "devices start subclasses of MIDlet only");
        }
    }
    findings
}

fn missing(suite: &Suite<'_>, attribute: &str, name: &str) -> Finding {
    let simple = |name: &str| name.rsplit(['/', '.']).next().unwrap_or_default().to_ascii_lowercase();
    let wanted = name.strip_suffix(".class").unwrap_or(name).replace('\\', "/");
    let near = suite
        .classes
        .keys()
        .find(|class| **class == wanted.replace('.', "/"))
        .or_else(|| suite.classes.keys().find(|class| simple(class) == simple(&wanted)));
    Finding {
        code: Code::MidletMissing,
        entry: String::new(),
        message: format!("`{attribute}` names the class `{}`, which is not in the JAR", shown(name)),
        hint: near.map(|near| format!("there is `{}`", dotted(near))),
    }
}

/// Follows the superclasses.
///
/// # Errors
/// The last of them, if it is another one than MIDlet and all are known.
fn ends_in_midlet(suite: &Suite<'_>, class: &ClassFile<'_>) -> Result<(), String> {
    let mut current = class;
    for _ in 0..MAX_SUPERS {
        let Some(above) = &current.superclass else { return Err(dotted(&current.name)) };
        match suite.classes.get(&**above) {
            Some(entry) => match &entry.class {
                Some(class) => current = class,
                // It cannot be read, which is reported.
                None => return Ok(()),
            },
            None if above == MIDLET => return Ok(()),
            None => return Err(dotted(above)),
        }
    }
    Err(dotted(&class.name))
}
