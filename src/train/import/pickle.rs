//! The pickles that `torch.save` makes of dictionaries of tensors, read without executing anything: a small machine that knows the opcodes
//! and the names that such files use, and refuses every other.
//!
//! Values lie in one list and name each other by their places, so that what is written once and read often stays one, and whatever a
//! spoiled file asks for, no more values are made than the file has bytes.

use std::collections::HashMap;

/// What a value is made with: the names that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_parameter`.
    Parameter,
    /// `torch.Size`.
    Size,
    /// A class of storages, by the numbers in it.
    Storage(Number),
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    F64,
    F32,
    F16,
    Bf16,
    /// One that is no fraction, of so many bytes.
    Whole(usize),
}

impl Number {
    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Whole(bytes) => bytes,
        }
    }
}

/// A tensor's place in a file: so many numbers of storage `key`, from `offset` on, by `strides`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub number: Number,
    pub key: String,
    /// Numbers of the storage.
    pub room: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A value, by its place among all.
pub type Ref = usize;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Something that no tensor is made of: none, a truth, a fraction, bytes.
    Other,
    Int(i64),
    Text(String),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    /// Kind, key, numbers.
    Storage(Number, String, usize),
    Tensor(View),
}

/// What a file holds.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    root: Ref,
}

impl Pickle {
    /// The value that the file is.
    pub fn root(&self) -> &Value {
        &self.values[self.root]
    }

    /// A value by its place.
    pub fn value(&self, at: Ref) -> &Value {
        &self.values[at]
    }
}

/// Reads a pickle.
///
/// # Errors
/// In a part of a sentence, where it is torn, or needs something that is not known.
pub fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Pickle { values: machine.values, root });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Ref>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

const TORN: &str = "it is torn";

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end)).ok_or(TORN)?;
        self.at += count;
        Ok(taken)
    }

    /// A little-endian number of so many bytes, at most eight.
    fn number(&mut self, count: usize) -> Result<u64, String> {
        Ok(self.take(count)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn length(&mut self, count: usize) -> Result<usize, String> {
        usize::try_from(self.number(count)?).map_err(|_| TORN.into())
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "a name in it is no UTF-8".into())
    }

    /// The text up to the end of a line.
    fn line(&mut self) -> Result<String, String> {
        let length = self.bytes[self.at..].iter().position(|byte| *byte == b'\n').ok_or(TORN)?;
        let text = self.text(length)?;
        self.at += 1;
        Ok(text)
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Ref, String> {
        self.stack.pop().ok_or_else(|| TORN.into())
    }

    fn top(&self) -> Result<Ref, String> {
        self.stack.last().copied().ok_or_else(|| TORN.into())
    }

    fn popped(&mut self, count: usize) -> Result<Vec<Ref>, String> {
        let from = self.stack.len().checked_sub(count).ok_or(TORN)?;
        Ok(self.stack.split_off(from))
    }

    /// What was pushed since the last mark.
    fn marked(&mut self) -> Result<Vec<Ref>, String> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len()).ok_or(TORN)?;
        Ok(self.stack.split_off(from))
    }

    fn string(&self, at: Ref) -> Result<&str, String> {
        match &self.values[at] {
            Value::Text(text) => Ok(text),
            _ => Err(TORN.into()),
        }
    }

    fn memoise(&mut self, key: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let found = *self.memo.get(&key).ok_or(TORN)?;
        self.stack.push(found);
        Ok(())
    }

    fn set_items(&mut self, pairs: &[Ref]) -> Result<(), String> {
        let top = self.top()?;
        let Value::Dict(items) = &mut self.values[top] else { return Err(TORN.into()) };
        if !pairs.len().is_multiple_of(2) {
            return Err(TORN.into());
        }
        items.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    fn append(&mut self, more: &[Ref]) -> Result<(), String> {
        let top = self.top()?;
        let Value::List(items) = &mut self.values[top] else { return Err(TORN.into()) };
        items.extend(more);
        Ok(())
    }

    /// Carries out one opcode; at the last, returns the value.
    fn step(&mut self) -> Result<Option<Ref>, String> {
        let code = self.take(1)?[0];
        match code {
            // The version of the protocol, and the length of a frame: neither changes what is read.
            0x80 => drop(self.number(1)?),
            0x95 => drop(self.number(8)?),
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let items = self.popped(usize::from(code - 0x84))?;
                self.push(Value::Tuple(items));
            }
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'K' | b'M' => {
                let value = self.number(if code == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(value as i64));
            }
            b'J' => {
                let value = self.number(4)? as u32 as i32;
                self.push(Value::Int(i64::from(value)));
            }
            0x8a => {
                let count = self.length(1)?;
                let fits = count <= 8;
                let value = if fits { self.number(count)? } else { self.take(count).map(|_| 0)? };
                // Two's complement of so many bytes.
                let shift = 64 - 8 * count.min(8) as u32;
                let value = if count == 0 { 0 } else { (value << shift) as i64 >> shift };
                self.push(if fits { Value::Int(value) } else { Value::Other });
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'X' | 0x8c | 0x8d => {
                let length = self.length(match code {
                    b'X' => 4,
                    0x8c => 1,
                    _ => 8,
                })?;
                let text = self.text(length)?;
                self.push(Value::Text(text));
            }
            b'B' | b'C' | b'T' | b'U' | 0x8e => {
                let length = self.length(match code {
                    b'B' | b'T' => 4,
                    0x8e => 8,
                    _ => 1,
                })?;
                self.take(length)?;
                self.push(Value::Other);
            }
            b'q' => {
                let key = self.number(1)? as u32;
                self.memoise(key)?;
            }
            b'r' => {
                let key = self.number(4)? as u32;
                self.memoise(key)?;
            }
            0x94 => self.memoise(self.memo.len() as u32)?,
            b'h' => {
                let key = self.number(1)? as u32;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)? as u32;
                self.recall(key)?;
            }
            b's' => {
                let pair = self.popped(2)?;
                self.set_items(&pair)?;
            }
            b'u' => {
                let pairs = self.marked()?;
                self.set_items(&pairs)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(&items)?;
            }
            b'0' => drop(self.pop()?),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(global(&module, &name)?));
            }
            0x93 => {
                let words = self.popped(2)?;
                let found = global(self.string(words[0])?, self.string(words[1])?)?;
                self.push(Value::Global(found));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage);
            }
            b'R' => {
                let words = self.popped(2)?;
                let made = self.made(words[0], words[1])?;
                self.push(made);
            }
            // What a dictionary of a module carries beside its items: versions of the modules.
            b'b' => drop(self.pop()?),
            b'.' => return self.pop().map(Some),
            other => return Err(format!("it has an opcode, {other:#04x}, that dictionaries of tensors do without")),
        }
        Ok(None)
    }

    /// The storage that `("storage", class, key, place, numbers)` names.
    fn storage(&self, id: Ref) -> Result<Value, String> {
        let Value::Tuple(parts) = &self.values[id] else { return Err(TORN.into()) };
        let [_, class, key, _, count] = parts[..] else { return Err(TORN.into()) };
        match (&self.values[class], &self.values[key], &self.values[count]) {
            (Value::Global(Global::Storage(number)), Value::Text(key), Value::Int(count)) if *count >= 0 => {
                Ok(Value::Storage(*number, key.clone(), *count as usize))
            }
            _ => Err(TORN.into()),
        }
    }

    /// What a known name makes of its arguments.
    fn made(&self, maker: Ref, arguments: Ref) -> Result<Value, String> {
        let (Value::Global(maker), Value::Tuple(arguments)) = (&self.values[maker], &self.values[arguments]) else {
            return Err(TORN.into());
        };
        let given = |at: usize| arguments.get(at).map(|at| &self.values[*at]).ok_or_else(|| TORN.to_string());
        match maker {
            Global::OrderedDict if arguments.is_empty() => Ok(Value::Dict(Vec::new())),
            Global::OrderedDict => match given(0)? {
                Value::List(pairs) => pairs.iter().map(|pair| self.pair(*pair)).collect::<Result<_, _>>().map(Value::Dict),
                _ => Err(TORN.into()),
            },
            Global::Size => Ok(given(0)?.clone()),
            Global::Parameter => Ok(given(0)?.clone()),
            Global::Tensor => {
                let (Value::Storage(number, key, room), Value::Int(offset)) = (given(0)?, given(1)?) else { return Err(TORN.into()) };
                let (shape, strides) = (self.sizes(given(2)?)?, self.sizes(given(3)?)?);
                let offset = usize::try_from(*offset).map_err(|_| TORN)?;
                let view = View { number: *number, key: key.clone(), room: *room, offset, shape, strides };
                Ok(Value::Tensor(view))
            }
            Global::Storage(_) => Err(TORN.into()),
        }
    }

    fn pair(&self, at: Ref) -> Result<(Ref, Ref), String> {
        match &self.values[at] {
            Value::Tuple(parts) | Value::List(parts) if parts.len() == 2 => Ok((parts[0], parts[1])),
            _ => Err(TORN.into()),
        }
    }

    fn sizes(&self, value: &Value) -> Result<Vec<usize>, String> {
        let Value::Tuple(parts) = value else { return Err(TORN.into()) };
        let size = |at: &Ref| match self.values[*at] {
            Value::Int(size) => usize::try_from(size).map_err(|_| TORN.into()),
            _ => Err(TORN.to_string()),
        };
        parts.iter().map(size).collect()
    }
}

/// What a name stands for, if it is one that dictionaries of tensors use.
fn global(module: &str, name: &str) -> Result<Global, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::Tensor,
        ("torch._utils", "_rebuild_parameter") => Global::Parameter,
        ("torch", "Size") => Global::Size,
        ("torch", "DoubleStorage") => Global::Storage(Number::F64),
        ("torch", "FloatStorage") => Global::Storage(Number::F32),
        ("torch", "HalfStorage") => Global::Storage(Number::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Number::Bf16),
        ("torch", "LongStorage") => Global::Storage(Number::Whole(8)),
        ("torch", "IntStorage") => Global::Storage(Number::Whole(4)),
        ("torch", "ShortStorage") => Global::Storage(Number::Whole(2)),
        ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => Global::Storage(Number::Whole(1)),
        _ => {
            return Err(format!(
                "it asks for {module}.{name}, which kiln does not run; load it in PyTorch and save its state_dict() alone, with torch.save or as \
                 .safetensors"
            ));
        }
    })
}
