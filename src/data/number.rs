//! Number types of arrays, as NumPy writes them.

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    kind: Kind,
    big: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

const NAMES: [(&str, Kind, &str); 12] = [
    ("b1", Kind::Bool, "bool"),
    ("u1", Kind::U8, "uint8"),
    ("i1", Kind::I8, "int8"),
    ("u2", Kind::U16, "uint16"),
    ("i2", Kind::I16, "int16"),
    ("u4", Kind::U32, "uint32"),
    ("i4", Kind::I32, "int32"),
    ("u8", Kind::U64, "uint64"),
    ("i8", Kind::I64, "int64"),
    ("f2", Kind::F16, "float16"),
    ("f4", Kind::F32, "float32"),
    ("f8", Kind::F64, "float64"),
];

impl Number {
    /// The type of a type string such as `<f4`; `None` for any other.
    pub fn parse(descr: &str) -> Option<Self> {
        let plain = descr.trim_start_matches(['|', '<', '>', '=']);
        let (_, kind, _) = NAMES.iter().find(|(word, ..)| *word == plain)?;
        Some(Self { kind: *kind, big: descr.starts_with('>') })
    }

    /// NumPy's name of it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind, _)| *kind == self.kind).map_or("", |(.., name)| name)
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Whether it is `uint8`.
    pub fn is_byte(self) -> bool {
        self.kind == Kind::U8
    }

    /// Whether it is `bool`.
    pub fn is_bool(self) -> bool {
        self.kind == Kind::Bool
    }

    /// Whether it has fractions.
    pub fn is_float(self) -> bool {
        matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64)
    }

    /// Hands the elements of `bytes` on in order; whole numbers beyond 2^53 are rounded.
    pub fn each(self, bytes: &[u8], mut take: impl FnMut(f64)) {
        macro_rules! numbers {
            ($of:ty) => {
                numbers!($of, |value| value as f64)
            };
            ($of:ty, $wide:expr) => {
                bytes.chunks_exact(size_of::<$of>()).for_each(|chunk| {
                    let mut own = [0; size_of::<$of>()];
                    own.copy_from_slice(chunk);
                    let wide: fn($of) -> f64 = $wide;
                    take(wide(if self.big { <$of>::from_be_bytes(own) } else { <$of>::from_le_bytes(own) }));
                })
            };
        }
        match self.kind {
            Kind::Bool => bytes.iter().for_each(|&byte| take(f64::from(u8::from(byte != 0)))),
            Kind::U8 => bytes.iter().for_each(|&byte| take(f64::from(byte))),
            Kind::I8 => numbers!(i8),
            Kind::U16 => numbers!(u16),
            Kind::I16 => numbers!(i16),
            Kind::U32 => numbers!(u32),
            Kind::I32 => numbers!(i32),
            Kind::U64 => numbers!(u64),
            Kind::I64 => numbers!(i64),
            Kind::F16 => numbers!(half::f16, half::f16::to_f64),
            Kind::F32 => numbers!(f32),
            Kind::F64 => numbers!(f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(descr: &str, bytes: &[u8]) -> Vec<f64> {
        let mut values = Vec::new();
        Number::parse(descr).unwrap().each(bytes, |v| values.push(v));
        values
    }

    #[test]
    fn numbers_of_either_end_first() {
        assert_eq!(all("<u2", &[1, 2]), [513.0]);
        assert_eq!(all(">u2", &[1, 2]), [258.0]);
        assert_eq!(all("<i8", &(-7i64).to_le_bytes()), [-7.0]);
        assert_eq!(all(">f4", &0.5f32.to_be_bytes()), [0.5]);
        assert_eq!(all("<f2", &[0x00, 0x38, 0x00, 0xC0]), [0.5, -2.0]);
        assert_eq!(all("|b1", &[0, 1, 7]), [0.0, 1.0, 1.0]);
        for unknown in ["<c8", "O", "|S3", "", "a structured type"] {
            assert_eq!(Number::parse(unknown), None);
        }
    }
}
