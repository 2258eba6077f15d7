//! The header of an `.npy` file: a Python dictionary of `descr`, `fortran_order` and `shape`.
//!
//! Read here and not by `npyz`, whose reader multiplies the announced sizes unchecked and panics on a hostile file.

/// What a header announces.
#[derive(Debug, PartialEq)]
pub struct NpyHeader {
    /// NumPy's type string, such as `|u1`; a structured type keeps its text.
    pub descr: String,
    /// Whether the first index runs fastest.
    pub fortran_order: bool,
    /// Sizes; none for a scalar.
    pub shape: Vec<u64>,
}

impl NpyHeader {
    /// Reads the dictionary's text; `None` where it is not one, or a key is missing.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let body = text.strip_prefix('{')?.strip_suffix('}')?;
        let descr = value_of(body, "descr")?;
        let descr = match descr.strip_prefix(['\'', '"']) {
            Some(quoted) => quoted.split(['\'', '"']).next()?.to_owned(),
            None => "a structured type".to_owned(),
        };
        let order = value_of(body, "fortran_order")?;
        let fortran_order = if order.starts_with("True") { true } else { order.starts_with("False").then_some(false)? };
        let (sizes, _) = value_of(body, "shape")?.strip_prefix('(')?.split_once(')')?;
        let sizes = sizes.trim();
        let sizes = sizes.strip_suffix(',').unwrap_or(sizes);
        let shape = if sizes.is_empty() { Vec::new() } else { sizes.split(',').map(size).collect::<Option<_>>()? };
        Some(Self { descr, fortran_order, shape })
    }
}

/// What follows `'key':`.
fn value_of<'a>(body: &'a str, key: &str) -> Option<&'a str> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let after = quoted.iter().find_map(|word| body.split_once(word.as_str()))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// One size; Python 2 wrote `3L`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_suffix('L').unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them() {
        let read = |text: &str| NpyHeader::parse(text.as_bytes());
        let header = |shape: &[u64]| Some(NpyHeader { descr: "|u1".into(), fortran_order: false, shape: shape.to_vec() });
        assert_eq!(read("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 1), }      \n"), header(&[3, 2, 1]));
        assert_eq!(read("{\"shape\":(3L,),\"fortran_order\":False,\"descr\":\"|u1\"}"), header(&[3]));
        assert_eq!(read("{'descr': '|u1', 'fortran_order': False, 'shape': ()}"), header(&[]));
        for broken in
            ["", "{}", "{'descr': '|u1', 'fortran_order': 1, 'shape': ()}", "{'descr': '|u1', 'fortran_order': True, 'shape': (-1,)}"]
        {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
