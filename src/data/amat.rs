//! `.amat` files, plain or gzipped: a picture a row of text, its values of 0..1 apart by blanks, and behind them its label where there is one (the
//! form of Larochelle's binarized MNIST and of his variations of it).

use super::entry::Entry;
use super::positioned::{PositionedFile, Reader};
use super::reading::{Range, Reading};
use super::{Kind, Source, check_read};
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

/// Longest row, bytes of text.
const MAX_ROW: u64 = 16 << 20;
/// Most values of a file.
const MOST: u64 = 8 << 30;

/// Whether a file's name is that of such a file.
pub fn has_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".amat") || name.ends_with(".amat.gz")
}

/// The pictures of one file, a byte each value, in memory or in a temporary file as of [`PositionedFile::spool`].
pub struct Amat {
    side: usize,
    kind: Kind,
    len: usize,
    pixels: PositionedFile,
    /// The label of each picture; none where rows hold pictures alone.
    labels: Vec<u8>,
    /// The labels that occur, ascending.
    known: Vec<u8>,
    notes: Vec<String>,
    name: String,
}

impl Amat {
    /// Reads a file whose rows hold N·N values, or one more, which is the label. Where all values are the ends of their range, which is 0..1
    /// unless `reading` names one, they are bits.
    ///
    /// # Errors
    /// A file that is missing, empty or torn, or a row that holds something else, by its number.
    pub fn open(file: &Entry, reading: &Reading, name: String) -> Result<Self> {
        let (path, text) = (file.path(), Arc::new(file.positioned()?));
        let mut magic = [0; 2];
        text.read_exact_at(&mut magic[..text.len().min(2) as usize], 0)?;
        let plain = BufReader::new(Reader::new(Arc::clone(&text)));
        let text: Box<dyn BufRead> =
            if magic == [0x1F, 0x8B] { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
        let range = reading.range.unwrap_or(Range::UNIT);
        let mut rows = Rows { text, row: 0, width: None, range, ends: true, labels: Vec::new(), made: Vec::new(), at: 0, wrong: None };
        let pixels = PositionedFile::spool(path, &mut rows, MOST).map_err(|e| rows.refusal(path, e))?;
        let Some(width) = rows.width else {
            return Err(Error::format(path, "holds no rows; fetch it again"));
        };
        if pixels.len() > MOST {
            return Err(Error::format(path, format!("holds more than the {MOST} values that are read; save it as .npy")));
        }
        let (kind, labels) = (if rows.ends { Kind::Binary } else { Kind::Pixels }, rows.labels);
        let known = (0..=u8::MAX).filter(|number| labels.contains(number)).collect();
        let notes = if kind == Kind::Binary || reading.range.is_some() {
            Vec::new()
        } else {
            let path = path.display();
            vec![format!(
                "{path}: its values are read as {range}, black to white, rounded to 256 levels (--set range=LOW..HIGH for others)"
            )]
        };
        let len = (pixels.len() / width.values as u64) as usize;
        Ok(Self { side: width.side, kind, len, pixels, labels, known, notes, name })
    }
}

/// What a row holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Width {
    side: usize,
    values: usize,
    labelled: bool,
}

impl Width {
    /// Of so many numbers.
    fn of(numbers: usize) -> Option<Self> {
        let square = |values: usize| Some(values.isqrt()).filter(|side| side * side == values && values > 0);
        let alone = square(numbers).map(|side| Self { side, values: numbers, labelled: false });
        let before = numbers.saturating_sub(1);
        alone.or_else(|| square(before).map(|side| Self { side, values: before, labelled: true }))
    }
}

/// Rows of text as bytes of pixels; what is wrong with them is kept.
struct Rows {
    text: Box<dyn BufRead>,
    /// Number of the row that was read last, from 1.
    row: u64,
    width: Option<Width>,
    range: Range,
    /// Whether all values so far are the ends of the range.
    ends: bool,
    labels: Vec<u8>,
    /// Pixels of that row, and how many of them were handed on.
    made: Vec<u8>,
    at: usize,
    wrong: Option<String>,
}

impl Rows {
    /// What became of a file that could not be read to its end.
    fn refusal(&mut self, path: &Path, e: std::io::Error) -> Error {
        match (self.wrong.take(), e.kind()) {
            (Some(reason), _) => Error::format(path, reason),
            (None, ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
                Error::format(path, format!("is torn or no gzip file ({e}); fetch it again"))
            }
            (None, _) => Error::io(path, e),
        }
    }

    /// Reads the next row that is not blank; `false` at the end.
    fn next(&mut self) -> std::io::Result<bool> {
        self.made.clear();
        self.at = 0;
        let mut line = Vec::new();
        while self.made.is_empty() {
            line.clear();
            if Read::by_ref(&mut self.text).take(MAX_ROW).read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            self.row += 1;
            if let Err(reason) = self.parse(&line) {
                self.wrong = Some(format!("row {} {reason}", self.row));
                return Err(ErrorKind::Other.into());
            }
        }
        Ok(true)
    }

    fn parse(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() as u64 == MAX_ROW {
            return Err(format!("is longer than {MAX_ROW} bytes, so this is no .amat file; take another"));
        }
        let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Ok(());
        }
        let wanted = "a row is a square picture of N·N values, or one and its label";
        let width = Width::of(words.len()).ok_or_else(|| format!("holds {} values; {wanted}", words.len()))?;
        let first = *self.width.get_or_insert(width);
        if width != first {
            let (found, first) = (words.len(), first.values + usize::from(first.labelled));
            return Err(format!("holds {found} values and the first row {first}; fetch the file again"));
        }
        let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok());
        let shown = |word: &[u8]| String::from_utf8_lossy(&word[..word.len().min(20)]).into_owned();
        for word in &words[..width.values] {
            let value = number(word).ok_or_else(|| format!("holds `{}`, which is no number; {wanted}", shown(word)))?;
            let (range, way_out) = (self.range, "name the values of black and white with --set range=LOW..HIGH");
            let byte = range.byte(value).ok_or_else(|| format!("holds {value}, outside of {range}; {way_out}"))?;
            self.ends &= byte == 0.0 || byte == 255.0;
            self.made.push(byte as u8);
        }
        if let (true, Some(word)) = (width.labelled, words.last()) {
            let label = number(word).filter(|label| label.fract() == 0.0 && (0.0..=255.0).contains(label));
            self.labels
                .push(label.ok_or_else(|| format!("ends in the label `{}`; labels are whole numbers of 0 to 255", shown(word)))? as u8);
        }
        Ok(())
    }
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.made.len() && !self.next()? {
            return Ok(0);
        }
        let count = (self.made.len() - self.at).min(out.len());
        out[..count].copy_from_slice(&self.made[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Source for Amat {
    fn len(&self) -> usize {
        self.len
    }
    fn dims(&self) -> [usize; 3] {
        [self.side, self.side, 1]
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn class_names(&self) -> Vec<String> {
        self.known.iter().map(u8::to_string).collect()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        self.pixels.with(index as u64 * out.len() as u64, out.len(), |bytes| {
            for (value, byte) in out.iter_mut().zip(bytes) {
                *value = f32::from(*byte);
            }
        })
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.known.binary_search(self.labels.get(index)?).ok().map(|at| at as u32)
    }
    fn knows_white(&self) -> bool {
        true
    }
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
