//! The instruction set (JVM specification 6, without what CLDC leaves out).

/// The lengths of the instructions from 0x00 to 0xc9; 0 where the operands decide.
#[rustfmt::skip]
const LENGTHS: [u8; 0xca] = [
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 00
    2, 3, 2, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, // 10: bipush sipush ldc ldc_w ldc2_w, loads
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 20
    1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, // 30: stores
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 40
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 50
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 60
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 70
    1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // 80: iinc
    1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, // 90: branches
    3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 0, 0, 1, 1, 1, 1, // a0: branches goto jsr ret, switches, returns
    1, 1, 3, 3, 3, 3, 3, 3, 3, 5, 5, 3, 2, 3, 1, 1, // b0: fields, calls, new newarray anewarray
    3, 3, 1, 1, 0, 4, 3, 3, 5, 5,                   // c0: casts, monitors, wide, multianewarray, branches
];

pub(crate) fn is_known(op: u8) -> bool {
    usize::from(op) < LENGTHS.len()
}

/// The length of the instruction at an offset; `None` if it is unknown or reaches beyond the code.
pub(crate) fn length(code: &[u8], at: usize) -> Option<usize> {
    let int = |at: usize| {
        let bytes = code.get(at..at.checked_add(4)?)?;
        Some(i64::from(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
    };
    let op = *code.get(at)?;
    let length = match op {
        // Padding to four bytes, the default, then low and high or the number of pairs.
        0xaa | 0xab => {
            let operands = at + 4 - at % 4;
            let entries = match op {
                0xaa => (int(operands + 8)? - int(operands + 4)?).checked_add(1)?,
                _ => int(operands + 4)?,
            };
            let (head, each) = if op == 0xaa { (12, 4) } else { (8, 8) };
            // An empty range is none.
            if entries < i64::from(op == 0xaa) {
                return None;
            }
            operands - at + head + usize::try_from(entries).ok()?.checked_mul(each)?
        }
        0xc4 => match *code.get(at + 1)? {
            0x15..=0x19 | 0x36..=0x3a | 0xa9 => 4,
            0x84 => 6,
            _ => return None,
        },
        _ => usize::from(*LENGTHS.get(usize::from(op))?),
    };
    (at + length <= code.len()).then_some(length)
}

/// No instruction runs on into the next one.
pub(crate) fn ends_block(op: u8) -> bool {
    // goto, ret, switches, returns, athrow, goto_w
    matches!(op, 0xa7 | 0xa9..=0xb1 | 0xbf | 0xc8)
}

/// The name of an instruction that CLDC leaves out.
pub(crate) fn not_cldc(op: u8) -> Option<&'static str> {
    Some(match op {
        0xa8 => "jsr",
        0xa9 => "ret",
        0xba => "invokedynamic",
        0xc9 => "jsr_w",
        _ => return None,
    })
}

pub(crate) fn is_float(op: u8) -> bool {
    matches!(op,
        // Constants, loads, stores.
        0x0b..=0x0f | 0x17 | 0x18 | 0x22..=0x29 | 0x30 | 0x31 | 0x38 | 0x39 | 0x43..=0x4a | 0x51 | 0x52
        // Arithmetic, conversions, comparisons, returns.
        | 0x62 | 0x63 | 0x66 | 0x67 | 0x6a | 0x6b | 0x6e | 0x6f | 0x72 | 0x73 | 0x76 | 0x77
        | 0x86 | 0x87 | 0x89..=0x90 | 0x95..=0x98 | 0xae | 0xaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(length(&[0x10, 7], 0), Some(2));
        assert_eq!(length(&[0x10], 0), None);
        assert_eq!(length(&[0xca], 0), None);
        // A tableswitch at 1 has two bytes of padding.
        let table = [0, 0xaa, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(length(&table, 1), Some(23));
        assert_eq!(length(&table[..23], 1), None);
        let lookup = [0xab, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
        assert_eq!(length(&lookup, 0), Some(12));
        let huge = [0xab, 0, 0, 0, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(length(&huge, 0), None);
        let negative = [0xaa, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1];
        assert_eq!(length(&negative, 0), None);
        assert_eq!((length(&[0xc4, 0x84, 0, 1, 0, 1], 0), length(&[0xc4, 0x00, 0, 1], 0)), (Some(6), None));
    }
}
