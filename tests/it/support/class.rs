//! Builds class files in code, right ones and ones that are wrong in a chosen way.
//!
//! [`ClassBuilder`] keeps the constant pool; code is bytes, with constants by the numbers that the pool gave.

// Several test programs compile this file, and each uses a part of it.
#![allow(dead_code)]

pub const PUBLIC: u16 = 0x0001;
pub const PRIVATE: u16 = 0x0002;
pub const STATIC: u16 = 0x0008;
pub const FINAL: u16 = 0x0010;
pub const SUPER: u16 = 0x0020;
pub const NATIVE: u16 = 0x0100;
pub const INTERFACE: u16 = 0x0200;
pub const ABSTRACT: u16 = 0x0400;

pub const FIELD: u8 = 9;
pub const METHOD: u8 = 10;
pub const INTERFACE_METHOD: u8 = 11;

/// A class file; its fields may be made to lie.
#[derive(Clone, Debug)]
pub struct ClassBuilder {
    pub major: u16,
    pub flags: u16,
    this: u16,
    /// The constant of the superclass; 0 for none.
    pub superclass: u16,
    interfaces: Vec<u16>,
    pool: Vec<Vec<u8>>,
    /// Numbers that long and double constants take besides.
    doubled: u16,
    fields: Vec<Vec<u8>>,
    methods: Vec<Vec<u8>>,
    attributes: Vec<Vec<u8>>,
    /// Bytes behind the class.
    pub trailing: Vec<u8>,
}

/// The code of a method.
#[derive(Clone, Debug, Default)]
pub struct Code {
    pub max_stack: u16,
    pub max_locals: u16,
    pub bytes: Vec<u8>,
    /// From, to, handler, constant of the class (0 for all).
    pub handlers: Vec<[u16; 4]>,
    /// The contents of StackMap attributes.
    pub stack_maps: Vec<Vec<u8>>,
}

impl Code {
    pub fn new(bytes: &[u8]) -> Self {
        Code { max_stack: 4, max_locals: 4, bytes: bytes.into(), ..Code::default() }
    }

    /// Adds a StackMap with an entry for each offset; no local variables and an empty stack.
    pub fn mapped(mut self, offsets: &[u16]) -> Self {
        let mut map = (offsets.len() as u16).to_be_bytes().to_vec();
        for offset in offsets {
            map.extend(offset.to_be_bytes());
            map.extend([0, 0, 0, 0]);
        }
        self.stack_maps.push(map);
        self
    }

    pub fn map(mut self, content: &[u8]) -> Self {
        self.stack_maps.push(content.into());
        self
    }

    pub fn handler(mut self, from: u16, to: u16, at: u16, class: u16) -> Self {
        self.handlers.push([from, to, at, class]);
        self
    }
}

impl ClassBuilder {
    /// A public class without members; names are internal ones.
    pub fn new(name: &str, superclass: &str) -> Self {
        let mut class = ClassBuilder {
            major: 47,
            flags: PUBLIC | SUPER,
            this: 0,
            superclass: 0,
            interfaces: Vec::new(),
            pool: Vec::new(),
            doubled: 0,
            fields: Vec::new(),
            methods: Vec::new(),
            attributes: Vec::new(),
            trailing: Vec::new(),
        };
        class.this = class.class(name);
        class.superclass = class.class(superclass);
        class
    }

    /// A class that a device starts; `text` makes its bytes differ.
    pub fn midlet(name: &str, text: &str) -> Self {
        let mut class = ClassBuilder::new(name, "javax/microedition/midlet/MIDlet").constructor();
        class.string(text);
        for (method, descriptor) in [("startApp", "()V"), ("pauseApp", "()V"), ("destroyApp", "(Z)V")] {
            class = class.method(PUBLIC, method, descriptor, Code::new(&[0xb1]));
        }
        class
    }

    pub fn interface(name: &str) -> Self {
        let mut class = ClassBuilder::new(name, "java/lang/Object");
        class.flags = PUBLIC | INTERFACE | ABSTRACT;
        class
    }

    /// A public constructor without arguments.
    pub fn constructor(mut self) -> Self {
        let superclass = self.superclass_name();
        let call = self.member(METHOD, &superclass, "<init>", "()V").to_be_bytes();
        self.method(PUBLIC, "<init>", "()V", Code::new(&[0x2a, 0xb7, call[0], call[1], 0xb1]))
    }

    fn superclass_name(&self) -> String {
        let class = &self.pool[usize::from(self.superclass) - 1];
        let name = &self.pool[usize::from(u16::from_be_bytes([class[1], class[2]])) - 1];
        String::from_utf8(name[3..].into()).unwrap()
    }

    /// Adds a constant, tag included, or finds it; its number.
    pub fn constant(&mut self, bytes: Vec<u8>) -> u16 {
        if let Some(at) = self.pool.iter().position(|known| *known == bytes) {
            return at as u16 + 1;
        }
        assert!(!matches!(bytes[0], 5 | 6) || self.doubled == 0, "one long or double, and it comes last");
        self.doubled += u16::from(matches!(bytes[0], 5 | 6));
        self.pool.push(bytes);
        self.pool.len() as u16
    }

    pub fn utf8(&mut self, text: &str) -> u16 {
        let mut bytes = vec![1];
        bytes.extend((text.len() as u16).to_be_bytes());
        bytes.extend(text.as_bytes());
        self.constant(bytes)
    }

    fn pointing(&mut self, tag: u8, to: &[u16]) -> u16 {
        let mut bytes = vec![tag];
        bytes.extend(to.iter().flat_map(|index| index.to_be_bytes()));
        self.constant(bytes)
    }

    pub fn class(&mut self, name: &str) -> u16 {
        let name = self.utf8(name);
        self.pointing(7, &[name])
    }

    pub fn string(&mut self, text: &str) -> u16 {
        let text = self.utf8(text);
        self.pointing(8, &[text])
    }

    /// A field or method of a class; `tag` is [`FIELD`] and its like.
    pub fn member(&mut self, tag: u8, owner: &str, name: &str, descriptor: &str) -> u16 {
        let owner = self.class(owner);
        let (name, descriptor) = (self.utf8(name), self.utf8(descriptor));
        let pair = self.pointing(12, &[name, descriptor]);
        self.pointing(tag, &[owner, pair])
    }

    pub fn implements(mut self, name: &str) -> Self {
        let interface = self.class(name);
        self.interfaces.push(interface);
        self
    }

    pub fn field(mut self, flags: u16, name: &str, descriptor: &str) -> Self {
        let member = self.head(flags, name, descriptor, 0);
        self.fields.push(member);
        self
    }

    pub fn attribute(mut self, name: &str, content: &[u8]) -> Self {
        let attribute = self.named(name, content);
        self.attributes.push(attribute);
        self
    }

    fn head(&mut self, flags: u16, name: &str, descriptor: &str, attributes: u16) -> Vec<u8> {
        let numbers = [flags, self.utf8(name), self.utf8(descriptor), attributes];
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn named(&mut self, name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = self.utf8(name).to_be_bytes().to_vec();
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(content);
        bytes
    }

    /// A method without code.
    pub fn bare_method(mut self, flags: u16, name: &str, descriptor: &str) -> Self {
        let member = self.head(flags, name, descriptor, 0);
        self.methods.push(member);
        self
    }

    pub fn method(mut self, flags: u16, name: &str, descriptor: &str, code: Code) -> Self {
        let mut content = Vec::new();
        content.extend(code.max_stack.to_be_bytes());
        content.extend(code.max_locals.to_be_bytes());
        content.extend((code.bytes.len() as u32).to_be_bytes());
        content.extend(&code.bytes);
        content.extend((code.handlers.len() as u16).to_be_bytes());
        content.extend(code.handlers.iter().flatten().flat_map(|n| n.to_be_bytes()));
        content.extend((code.stack_maps.len() as u16).to_be_bytes());
        for map in &code.stack_maps {
            content.extend(self.named("StackMap", map));
        }
        self.method_with(flags, name, descriptor, &content)
    }

    /// A method whose Code attribute has the given content.
    pub fn method_with(mut self, flags: u16, name: &str, descriptor: &str, code: &[u8]) -> Self {
        let mut member = self.head(flags, name, descriptor, 1);
        member.extend(self.named("Code", code));
        self.methods.push(member);
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0];
        bytes.extend(self.major.to_be_bytes());
        bytes.extend((self.pool.len() as u16 + 1 + self.doubled).to_be_bytes());
        bytes.extend(self.pool.concat());
        for number in [self.flags, self.this, self.superclass, self.interfaces.len() as u16] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.interfaces.iter().flat_map(|n| n.to_be_bytes()));
        for list in [&self.fields, &self.methods, &self.attributes] {
            bytes.extend((list.len() as u16).to_be_bytes());
            bytes.extend(list.concat());
        }
        bytes.extend(&self.trailing);
        bytes
    }
}
