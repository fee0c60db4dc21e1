//! The code of a method: instructions, branches, handlers, and where a StackMap must have entries.

use std::collections::BTreeMap;

use noak::reader::cpool::{ConstantPool, Index, Item};

use crate::bytes::Bytes;
use crate::finding::Code;
use crate::layout::Layout;
use crate::notes::Notes;
use crate::opcode;
use crate::stack_map;
use otapress_core::words::form;

/// The first use of a constant.
pub(crate) struct Use {
    /// The method that uses it, for messages.
    pub method: String,
    /// A handler catches the class.
    pub is_caught: bool,
}

/// Constants by number, each with its first user; a caught use wins.
pub(crate) type Constants = BTreeMap<u16, Use>;

/// What the code of a class uses.
#[derive(Default)]
pub(crate) struct Uses {
    pub constants: Constants,
    pub floats: bool,
}

/// The surroundings of a method's code.
pub(crate) struct Context<'r, 'a> {
    pub pool: &'r ConstantPool<'a>,
    /// Name and descriptor, fit for a message.
    pub method: &'r str,
    /// Slots of the parameters, `this` included.
    pub slots: usize,
}

const DAMAGED: &str = "build the JAR again from its sources; the file may be damaged";
const NOT_CLDC: &str =
    "compile for Java 1.4 or older and preverify for CLDC, as with `proguard -microedition -target 1.3`";
const PREVERIFY: &str = "preverify the classes for CLDC, as with `proguard -microedition`";
const LITERAL: &str = "compile with `-target 1.4`, or use Class.forName";

/// The length of the code that a device accepts, in bytes.
const MAX_CODE: usize = 65535;

/// Judges the content of a Code attribute.
pub(crate) fn read(content: &[u8], context: &Context<'_, '_>, notes: &mut Notes<'_>, uses: &mut Uses) {
    if judge(content, context, notes, uses).is_none() {
        let method = context.method;
        notes.add(Code::Malformed, Some(DAMAGED), || format!("the code of method `{method}` is cut off"));
    }
}

/// `None` if the attribute ends too early.
fn judge(content: &[u8], context: &Context<'_, '_>, notes: &mut Notes<'_>, uses: &mut Uses) -> Option<()> {
    let method = context.method;
    let mut bytes = Bytes(content);
    let (max_stack, max_locals, length) = (bytes.u16()?, bytes.u16()?, bytes.u32()? as usize);
    let code = bytes.take(length)?;
    if usize::from(max_stack) + usize::from(max_locals) >= 0x8000 {
        notes.add(Code::FrameSize, Some("split the method"), || {
            format!(
                "a frame of method `{method}` takes {max_stack} + {max_locals} slots; it must be below 32768"
            )
        });
    }
    if usize::from(max_locals) < context.slots {
        notes.add(Code::Malformed, Some(DAMAGED), || {
            format!(
                "method `{method}` has {max_locals} local variables, and its parameters take {}",
                context.slots
            )
        });
    }
    if length == 0 {
        notes.add(Code::MethodCode, Some(DAMAGED), || format!("the code of method `{method}` is empty"));
    }
    if length > MAX_CODE {
        notes.add(Code::CodeLength, Some("split the method"), || {
            format!("the code of method `{method}` has {length} bytes; at most {MAX_CODE} are allowed")
        });
        return Some(());
    }
    let mut walk = Walk {
        code,
        context,
        notes,
        uses,
        layout: Layout {
            starts: vec![false; length],
            news: vec![false; length],
            joins: vec![false; length],
            max_stack,
            max_locals,
        },
        branches: Vec::new(),
    };
    let is_decoded = walk.instructions();
    walk.handlers(&mut bytes, is_decoded)?;
    if is_decoded {
        walk.targets();
    }
    let layout = walk.layout;

    let mut map = None;
    for _ in 0..bytes.u16()? {
        let (name, length) = (bytes.u16()?, bytes.u32()? as usize);
        let content = bytes.take(length)?;
        let Ok(Item::Utf8(name)) = Index::<Item<'_>>::new(name).and_then(|index| context.pool.get(index))
        else {
            notes.add(Code::Constant, Some(DAMAGED), || {
                format!("an attribute of method `{method}` has no name")
            });
            continue;
        };
        if name.content.as_bytes() == b"StackMap" && map.replace(content).is_some() {
            notes.add(Code::DuplicateAttribute, Some(DAMAGED), || {
                format!("method `{method}` has the attribute StackMap more than once")
            });
        }
    }
    if !bytes.0.is_empty() {
        let more = bytes.0.len();
        notes.add(Code::Malformed, Some(DAMAGED), || {
            format!(
                "{more} {} the end of the code of method `{method}`",
                form(more, "byte follows", "bytes follow")
            )
        });
    }
    if is_decoded {
        stack_map_of(map, &layout, context, notes);
    }
    Some(())
}

fn stack_map_of(map: Option<&[u8]>, layout: &Layout, context: &Context<'_, '_>, notes: &mut Notes<'_>) {
    let method = context.method;
    match map {
        None => {
            if let Some(at) = layout.joins.iter().position(|&join| join) {
                notes.add(Code::NotPreverified, Some(PREVERIFY), || {
                    format!("method `{method}` has no StackMap, which instruction {at} needs")
                });
            }
        }
        Some(map) => {
            if let Err(wrong) = stack_map::check(map, layout, context.pool) {
                notes.add(Code::StackMap, Some(PREVERIFY), || {
                    format!("the StackMap of method `{method}` {wrong}")
                });
            }
        }
    }
}

/// The constant that an instruction names first.
fn operand(operands: &[u8]) -> u16 {
    Bytes(operands).u16().unwrap_or(0)
}

struct Walk<'w, 'r, 'a, 'n> {
    code: &'w [u8],
    context: &'w Context<'r, 'a>,
    notes: &'w mut Notes<'n>,
    uses: &'w mut Uses,
    layout: Layout,
    /// From where to where.
    branches: Vec<(usize, i64)>,
}

impl Walk<'_, '_, '_, '_> {
    fn note(&mut self, code: Code, hint: &'static str, at: usize, what: impl FnOnce() -> String) {
        let method = self.context.method;
        self.notes.add(code, Some(hint), || format!("instruction {at} of method `{method}` {}", what()));
    }

    /// Decodes every instruction; `false` if one of them hides where the next one starts.
    fn instructions(&mut self) -> bool {
        let mut at = 0;
        let mut ends = true;
        while at < self.code.len() {
            let op = self.code[at];
            self.layout.starts[at] = true;
            if ends && at > 0 {
                self.layout.joins[at] = true;
            }
            ends = opcode::ends_block(op);
            self.uses.floats |= opcode::is_float(op);
            let Some(length) = opcode::length(self.code, at) else {
                match opcode::is_known(op) {
                    true => {
                        self.note(Code::CodeEnd, DAMAGED, at, || "is cut off by the end of the code".into())
                    }
                    false => {
                        self.note(Code::Instruction, NOT_CLDC, at, || format!("is the unknown {op:#04x}"))
                    }
                }
                return false;
            };
            self.instruction(at, op, length);
            at += length;
        }
        if !ends {
            let method = self.context.method;
            self.notes.add(Code::CodeEnd, Some(DAMAGED), || {
                format!("the code of method `{method}` runs beyond its last instruction")
            });
        }
        true
    }

    /// Judges one instruction, which is there with all its `length` bytes.
    fn instruction(&mut self, at: usize, op: u8, length: usize) {
        let mut operands = Bytes(&self.code[at + 1..at + length]);
        match op {
            // ldc, ldc_w, ldc2_w
            0x12 => self.loads(at, operands.u8().unwrap_or(0).into()),
            0x13 => self.loads(at, operand(operands.0)),
            0x14 => self.uses(at, operand(operands.0), "a long or a double", |item| {
                matches!(item, Item::Long(_) | Item::Double(_))
            }),
            // Branches, goto, and the subroutines that CLDC does not have.
            0x99..=0xa8 | 0xc6 | 0xc7 => {
                let by = i64::from(operands.i16().unwrap_or(0));
                self.branches.push((at, at as i64 + by));
            }
            0xc8 | 0xc9 => {
                let by = i64::from(operands.i32().unwrap_or(0));
                self.branches.push((at, at as i64 + by));
            }
            0xaa | 0xab => self.switch(at, op, length),
            0xb2..=0xb5 => {
                self.uses(at, operand(operands.0), "a field", |item| matches!(item, Item::FieldRef(_)))
            }
            0xb7 | 0xb8 if matches!(self.item(operand(operands.0)), Some(Item::InterfaceMethodRef(_))) => {
                self.used(operand(operands.0), false);
                self.note(Code::Instruction, NOT_CLDC, at, || {
                    "calls a method of an interface statically, which came with Java 8".into()
                });
            }
            0xb6..=0xb8 => self.uses(at, operand(operands.0), "a method of a class", |item| {
                matches!(item, Item::MethodRef(_))
            }),
            0xb9 => self.uses(at, operand(operands.0), "a method of an interface", |item| {
                matches!(item, Item::InterfaceMethodRef(_))
            }),
            // new, anewarray, checkcast, instanceof, multianewarray
            0xbb | 0xbd | 0xc0 | 0xc1 | 0xc5 => {
                self.layout.news[at] = op == 0xbb;
                self.uses(at, operand(operands.0), "a class", |item| matches!(item, Item::Class(_)));
            }
            0xbc => {
                let kind = operands.u8().unwrap_or(0);
                self.uses.floats |= matches!(kind, 6 | 7);
                if !(4..=11).contains(&kind) {
                    self.note(Code::Instruction, DAMAGED, at, || {
                        format!("makes an array of the unknown type {kind}")
                    });
                }
            }
            0xc4 if operands.u8().is_some_and(opcode::is_float) => self.uses.floats = true,
            _ => {}
        }
        let widened = if op == 0xc4 { self.code[at + 1] } else { op };
        if let Some(name) = opcode::not_cldc(widened) {
            self.note(Code::Instruction, NOT_CLDC, at, || format!("is `{name}`, which CLDC does not have"));
        }
    }

    fn item(&self, index: u16) -> Option<&Item<'_>> {
        self.context.pool.get(Index::<Item<'_>>::new(index).ok()?).ok()
    }

    fn loads(&mut self, at: usize, index: u16) {
        if matches!(self.item(index), Some(Item::Class(_))) {
            self.note(Code::Literal, LITERAL, at, || "loads a class constant, which CLDC cannot".into());
            self.used(index, false);
            return;
        }
        self.uses(at, index, "an int, a float or a string", |item| {
            matches!(item, Item::Integer(_) | Item::Float(_) | Item::String(_))
        });
    }

    fn uses(&mut self, at: usize, index: u16, wanted: &str, is_right: impl Fn(&Item<'_>) -> bool) {
        if self.item(index).is_some_and(is_right) {
            self.used(index, false);
        } else {
            self.note(Code::Constant, DAMAGED, at, || {
                format!("uses constant {index}, which is not {wanted}")
            });
        }
    }

    fn used(&mut self, index: u16, is_caught: bool) {
        let method = self.context.method;
        let used = self.uses.constants.entry(index);
        let used = used.or_insert_with(|| Use { method: method.to_owned(), is_caught });
        if is_caught && !used.is_caught {
            *used = Use { method: method.to_owned(), is_caught };
        }
    }

    fn switch(&mut self, at: usize, op: u8, length: usize) {
        let padding = 3 - at % 4;
        let (zeros, rest) = self.code[at + 1..at + length].split_at(padding);
        let is_padded = zeros.iter().all(|&b| b == 0);
        let mut operands = Bytes(rest);
        let mut ascend = true;
        let mut branch = |by: Option<i32>| self.branches.push((at, at as i64 + i64::from(by.unwrap_or(0))));
        branch(operands.i32());
        if op == 0xaa {
            operands.take(8);
            while let Some(by) = operands.i32() {
                branch(Some(by));
            }
        } else {
            operands.take(4);
            let mut last = None;
            while let Some(key) = operands.i32() {
                ascend &= last.is_none_or(|last| last < key);
                last = Some(key);
                branch(operands.i32());
            }
        }
        if !is_padded {
            self.note(Code::SwitchPadding, DAMAGED, at, || "is a switch whose padding is not zero".into());
        }
        if !ascend {
            self.note(Code::Instruction, DAMAGED, at, || "is a lookupswitch whose keys do not ascend".into());
        }
    }

    /// Whether an instruction starts at an offset.
    fn starts(&self, at: i64) -> Option<usize> {
        let at = usize::try_from(at).ok()?;
        self.layout.starts.get(at).copied().unwrap_or(false).then_some(at)
    }

    fn targets(&mut self) {
        for (from, to) in std::mem::take(&mut self.branches) {
            match self.starts(to) {
                Some(to) => self.layout.joins[to] = true,
                None => self.note(Code::BranchTarget, DAMAGED, from, || {
                    format!("branches to {to}, where no instruction starts")
                }),
            }
        }
    }

    fn handlers(&mut self, bytes: &mut Bytes<'_>, is_decoded: bool) -> Option<()> {
        let end = self.code.len();
        for n in 0..bytes.u16()? {
            let (from, to, handler) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
            let caught = bytes.u16()?;
            if caught != 0 {
                match self.item(caught) {
                    Some(Item::Class(_)) => self.used(caught, true),
                    _ => self.note(Code::Constant, DAMAGED, handler.into(), || {
                        format!("handles constant {caught}, which is not a class")
                    }),
                }
            }
            if !is_decoded {
                continue;
            }
            let is_sound = from < to
                && self.starts(from.into()).is_some()
                && (usize::from(to) == end || self.starts(to.into()).is_some());
            match self.starts(handler.into()) {
                Some(handler) if is_sound => self.layout.joins[handler] = true,
                _ => {
                    let method = self.context.method;
                    self.notes.add(Code::BranchTarget, Some(DAMAGED), || {
                        format!(
                            "handler {n} of method `{method}` ({from} to {to}, at {handler}) fits no \
                            instructions"
                        )
                    });
                }
            }
        }
        Some(())
    }
}
