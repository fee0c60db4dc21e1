//! One class file: its form, its members, and what it refers to.
//!
//! The `noak` crate reads the constant pool and finds members and attributes. It leaves out what a Java VM
//! of a desktop ignores and CLDC does not (bytes behind the class, padding of switches, CLDC's StackMap), and
//! it accepts constants that CLDC lacks. Those parts are here, in `code.rs` and in `stack_map.rs`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use noak::error::DecodeErrorKind;
use noak::reader::cpool::{ConstantPool, Index, Item, NameAndType, Utf8};
use noak::reader::{Attribute, Class};
use noak::{AccessFlags, MStr};

use crate::Rules;
use crate::code;
use crate::descriptor;
use crate::finding::{Code, shown};
use crate::notes::Notes;
use otapress_core::words::form;

/// A name or another text of the constant pool.
pub(crate) type Text<'a> = Cow<'a, str>;

/// A field or a method of a class.
pub(crate) struct Member<'a> {
    pub name: Text<'a>,
    pub descriptor: Text<'a>,
    pub flags: AccessFlags,
}

/// A class, or a member of one, that the code of a class uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference<'a> {
    /// Internal name, or the type of an array.
    pub owner: Text<'a>,
    /// Name and descriptor.
    pub member: Option<(Text<'a>, Text<'a>)>,
    /// The method that uses it, for messages; `None` for `extends` and `implements`.
    pub from: Option<String>,
    /// A handler catches it.
    pub is_caught: bool,
}

/// A class file that could be read.
pub(crate) struct ClassFile<'a> {
    pub entry: &'a str,
    /// Internal name.
    pub name: Text<'a>,
    pub superclass: Option<Text<'a>>,
    pub interfaces: Vec<Text<'a>>,
    pub flags: AccessFlags,
    pub fields: Vec<Member<'a>>,
    pub methods: Vec<Member<'a>>,
    pub references: Vec<Reference<'a>>,
    /// Every class and string of the constant pool: what may load classes.
    pub mentions: BTreeSet<Text<'a>>,
}

impl ClassFile<'_> {
    pub fn is_interface(&self) -> bool {
        self.flags.contains(AccessFlags::INTERFACE)
    }

    pub fn has(&self, name: &str, descriptor: &str) -> bool {
        let members = self.fields.iter().chain(&self.methods);
        members.into_iter().any(|member| member.name == name && member.descriptor == descriptor)
    }
}

const PREVERIFY: &str =
    "build for CLDC: compile for Java 1.4 or older, then preverify, as with `proguard -microedition`";
const DAMAGED: &str = "build the JAR again from its sources; the file may be damaged";

/// Reads a class and notes what is wrong with it; `None` if it cannot be told what the class is.
pub(crate) fn read<'a>(
    entry: &'a str,
    bytes: &'a [u8],
    rules: &Rules<'_>,
    notes: &mut Notes<'a>,
) -> Option<ClassFile<'a>> {
    if !bytes.starts_with(b"\xca\xfe\xba\xbe") {
        notes.add(Code::Malformed, Some(DAMAGED), || match bytes.len() {
            0 => "the file is empty".into(),
            _ => "the file is not a class: it does not start with the bytes ca fe ba be".into(),
        });
        return None;
    }
    if let Some(&[high, low]) = bytes.get(6..8) {
        let major = u16::from_be_bytes([high, low]);
        if major < 45 || major > rules.class_version {
            notes.add(Code::Version, Some(PREVERIFY), || {
                format!(
                    "the class file has version {major}{}; devices read 45 to {}",
                    java_version(major),
                    rules.class_version
                )
            });
        }
    }
    let class = match Class::new(bytes) {
        Ok(class) => class,
        Err(error) => {
            let tag = error.position().and_then(|at| bytes.get(at.checked_sub(1)?));
            match (error.kind(), tag) {
                (DecodeErrorKind::InvalidTag, Some(tag)) => {
                    notes.add(Code::ConstantTag, Some(DAMAGED), || {
                        format!("a constant is of the unknown kind {tag}")
                    });
                }
                _ => notes
                    .add(Code::Malformed, Some(DAMAGED), || format!("the class file is damaged: {error}")),
            }
            notes.only_version();
            return None;
        }
    };
    let read = Reader { entry, class: &class, pool: class.pool(), rules, notes: &mut *notes }.read(bytes);
    if read.is_none() {
        notes.add(Code::Malformed, Some(DAMAGED), || {
            "the class file refers to constants that it does not have".into()
        });
    }
    notes.only_version();
    read
}

/// The Java release that wrote class files of a version first.
fn java_version(major: u16) -> String {
    match major {
        49..=52 => format!(" (Java {})", major - 44),
        53..=99 => format!(" (Java {})", major - 44),
        _ => String::new(),
    }
}

pub(crate) fn text(text: &MStr) -> Text<'_> {
    match text.to_str() {
        Some(text) => text.into(),
        None => text.display().to_string().into(),
    }
}

struct Reader<'r, 'a, 'n> {
    entry: &'a str,
    class: &'r Class<'a>,
    pool: &'r ConstantPool<'a>,
    rules: &'r Rules<'r>,
    notes: &'n mut Notes<'a>,
}

impl<'a> Reader<'_, 'a, '_> {
    fn utf8(&self, index: Index<Utf8<'a>>) -> Option<Text<'a>> {
        Some(text(self.pool.get(index).ok()?.content))
    }

    fn class_name(&self, index: Index<noak::reader::cpool::Class<'a>>) -> Option<Text<'a>> {
        self.utf8(self.pool.get(index).ok()?.name)
    }

    fn name_and_type(&self, index: Index<NameAndType<'a>>) -> Option<(Text<'a>, Text<'a>)> {
        let pair = self.pool.get(index).ok()?;
        Some((self.utf8(pair.name)?, self.utf8(pair.descriptor)?))
    }

    /// `None` if a constant that everything hangs on is not there.
    fn read(mut self, bytes: &'a [u8]) -> Option<ClassFile<'a>> {
        let name = self.class_name(self.class.this_class())?;
        let superclass = match self.class.super_class() {
            Some(index) => Some(self.class_name(index)?),
            None => None,
        };
        if superclass.is_none() && name != "java/lang/Object" {
            self.notes.add(Code::Superclass, Some(DAMAGED), || "the class has no superclass".into());
        }
        if self.class.buffer_size() < bytes.len() {
            let more = bytes.len() - self.class.buffer_size();
            self.notes.add(Code::TrailingBytes, Some(DAMAGED), || {
                format!("{more} {} the end of the class", form(more, "byte follows", "bytes follow"))
            });
        }
        let mut mentions = self.constants();
        let mut uses = code::Uses::default();
        let mut interfaces = Vec::new();
        for index in self.class.interfaces() {
            interfaces.push(self.class_name(index.ok()?)?);
        }
        let is_interface = self.class.access_flags().contains(AccessFlags::INTERFACE);
        let fields = self.fields(is_interface, &mut uses)?;
        let methods = self.methods(is_interface, &mut uses)?;
        self.inner_classes()?;
        if uses.floats && self.rules.configuration_1_0 {
            self.notes.add(Code::Float, Some("declare CLDC-1.1 in MicroEdition-Configuration"), || {
                "the class uses floating point, which CLDC-1.0 does not have".into()
            });
        }

        let mut references: Vec<_> = superclass
            .iter()
            .chain(&interfaces)
            .map(|owner| Reference { owner: owner.clone(), member: None, from: None, is_caught: false })
            .collect();
        for (index, used) in &uses.constants {
            references.extend(self.reference(*index, used));
        }
        mentions.extend(superclass.clone());
        Some(ClassFile {
            entry: self.entry,
            name,
            superclass,
            interfaces,
            flags: self.class.access_flags(),
            fields,
            methods,
            references,
            mentions,
        })
    }

    /// Checks the constants, and returns the classes and strings among them.
    fn constants(&mut self) -> BTreeSet<Text<'a>> {
        let mut mentions = BTreeSet::new();
        for (index, item) in self.pool.iter_indices() {
            let is_sound = match item {
                Item::Class(class) => match self.utf8(class.name) {
                    Some(name) => {
                        let name = match name.strip_prefix('[') {
                            Some(_) => element(&name).map(|name| name.to_owned().into()),
                            None => Some(name),
                        };
                        mentions.extend(name);
                        true
                    }
                    None => false,
                },
                Item::String(string) => match self.utf8(string.string) {
                    // Class.forName takes names with dots.
                    Some(text) if text.len() < 512 && !text.contains('/') => {
                        mentions.insert(text.replace('.', "/").into());
                        true
                    }
                    other => other.is_some(),
                },
                Item::FieldRef(field) => {
                    self.class_name(field.class).is_some()
                        && self.name_and_type(field.name_and_type).is_some()
                }
                Item::MethodRef(method) => {
                    self.class_name(method.class).is_some()
                        && self.name_and_type(method.name_and_type).is_some()
                }
                Item::InterfaceMethodRef(method) => {
                    self.class_name(method.class).is_some()
                        && self.name_and_type(method.name_and_type).is_some()
                }
                Item::NameAndType(pair) => {
                    self.utf8(pair.name).is_some() && self.utf8(pair.descriptor).is_some()
                }
                Item::Integer(_) | Item::Long(_) | Item::Float(_) | Item::Double(_) | Item::Utf8(_) => true,
                Item::MethodHandle(_)
                | Item::MethodType(_)
                | Item::Dynamic(_)
                | Item::InvokeDynamic(_)
                | Item::Module(_)
                | Item::Package(_) => {
                    let kind = foreign_kind(item);
                    self.notes.add(Code::ConstantTag, Some(PREVERIFY), || {
                        format!("constant {} is a {kind}, which CLDC does not know", index.as_u16())
                    });
                    true
                }
            };
            if !is_sound {
                self.notes.add(Code::Constant, Some(DAMAGED), || {
                    format!("constant {} refers to a constant of the wrong kind", index.as_u16())
                });
            }
        }
        mentions
    }

    fn reference(&self, index: u16, used: &code::Use) -> Option<Reference<'a>> {
        let (owner, member) = match self.pool.get(Index::<Item<'a>>::new(index).ok()?).ok()? {
            Item::Class(class) => (self.utf8(class.name)?, None),
            Item::FieldRef(r) => (self.class_name(r.class)?, Some(self.name_and_type(r.name_and_type)?)),
            Item::MethodRef(r) => (self.class_name(r.class)?, Some(self.name_and_type(r.name_and_type)?)),
            Item::InterfaceMethodRef(r) => {
                (self.class_name(r.class)?, Some(self.name_and_type(r.name_and_type)?))
            }
            _ => return None,
        };
        Some(Reference { owner, member, from: Some(used.method.clone()), is_caught: used.is_caught })
    }

    fn fields(&mut self, is_interface: bool, uses: &mut code::Uses) -> Option<Vec<Member<'a>>> {
        let mut fields = Vec::new();
        for field in self.class.fields() {
            let field = field.ok()?;
            let (name, descriptor) = (self.utf8(field.name())?, self.utf8(field.descriptor())?);
            let flags = field.access_flags();
            match descriptor::field(&descriptor) {
                Some(floats) => uses.floats |= floats,
                None => self.notes.add(Code::Malformed, Some(DAMAGED), || {
                    format!("field `{}` has the invalid type `{}`", shown(&name), shown(&descriptor))
                }),
            }
            if is_interface && !flags.contains(AccessFlags::PUBLIC | AccessFlags::STATIC | AccessFlags::FINAL)
            {
                self.notes.add(Code::InterfaceMember, None, || {
                    format!("field `{}` of the interface is not public, static and final", shown(&name))
                });
            }
            fields.push(Member { name, descriptor, flags });
        }
        Some(fields)
    }

    fn methods(&mut self, is_interface: bool, uses: &mut code::Uses) -> Option<Vec<Member<'a>>> {
        let mut methods = Vec::new();
        for method in self.class.methods() {
            let method = method.ok()?;
            let (name, descriptor) = (self.utf8(method.name())?, self.utf8(method.descriptor())?);
            let flags = method.access_flags();
            let shown = format!("{}{}", shown(&name), shown(&descriptor));
            let slots = match descriptor::method(&descriptor) {
                Some(read) => {
                    uses.floats |= read.floats;
                    read.slots + usize::from(!flags.contains(AccessFlags::STATIC))
                }
                None => {
                    self.notes.add(Code::Malformed, Some(DAMAGED), || {
                        format!("method `{shown}` has an invalid descriptor")
                    });
                    0
                }
            };
            if slots > 255 {
                self.notes.add(Code::Parameters, Some("pass an array or an object"), || {
                    format!("the parameters of method `{shown}` take {slots} slots; at most 255 are allowed")
                });
            }
            if is_interface
                && name != "<clinit>"
                && !flags.contains(AccessFlags::PUBLIC | AccessFlags::ABSTRACT)
            {
                self.notes.add(
                    Code::InterfaceMember,
                    Some("default, static and private methods of interfaces came with Java 8"),
                    || format!("method `{shown}` of the interface is not public and abstract"),
                );
            }
            if flags.contains(AccessFlags::NATIVE) {
                self.notes.add(
                    Code::Native,
                    Some("a MIDlet cannot bring native code: the call fails"),
                    || format!("method `{shown}` is native"),
                );
            }
            self.code(flags, slots, &shown, method.attributes(), uses)?;
            methods.push(Member { name, descriptor, flags });
        }
        Some(methods)
    }

    fn code(
        &mut self,
        flags: AccessFlags,
        slots: usize,
        shown: &str,
        attributes: noak::reader::DecodeMany<'a, Attribute<'a>, u16>,
        uses: &mut code::Uses,
    ) -> Option<()> {
        let has_none = flags.intersects(AccessFlags::ABSTRACT | AccessFlags::NATIVE);
        let mut count = 0;
        for attribute in attributes {
            let attribute = attribute.ok()?;
            if self.pool.get(attribute.name()).ok()?.content.as_bytes() != b"Code" {
                continue;
            }
            count += 1;
            if count == 1 && !has_none {
                let context = code::Context { pool: self.pool, method: shown, slots };
                code::read(attribute.content(), &context, self.notes, uses);
            }
        }
        let wrong = match (has_none, count) {
            (true, 0) | (false, 1) => return Some(()),
            (true, _) => "is abstract or native and has code",
            (false, 0) => "has no code",
            (false, _) => "has code twice",
        };
        let code = if count > 1 { Code::DuplicateAttribute } else { Code::MethodCode };
        self.notes.add(code, Some(DAMAGED), || format!("method `{shown}` {wrong}"));
        Some(())
    }

    fn inner_classes(&mut self) -> Option<()> {
        let mut count = 0;
        for attribute in self.class.attributes() {
            let name = self.pool.get(attribute.ok()?.name()).ok()?.content;
            count += usize::from(name.as_bytes() == b"InnerClasses");
        }
        if count > 1 {
            self.notes.add(Code::DuplicateAttribute, Some(DAMAGED), || {
                "the class has the attribute InnerClasses more than once".into()
            });
        }
        Some(())
    }
}

/// Names a kind of constant that CLDC does not know.
fn foreign_kind(item: &Item<'_>) -> &'static str {
    match item {
        Item::MethodHandle(_) => "method handle (15)",
        Item::MethodType(_) => "method type (16)",
        Item::Dynamic(_) => "dynamic constant (17)",
        Item::InvokeDynamic(_) => "dynamic call (18)",
        Item::Module(_) => "module (19)",
        _ => "package (20)",
    }
}

/// The class of an array's elements, if they are objects.
pub(crate) fn element(array: &str) -> Option<&str> {
    array.trim_start_matches('[').strip_prefix('L')?.strip_suffix(';')
}
