//! Where drawn series go: a picture of lines, an array, a table or a sound, in the units of the series.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use super::endings;
use crate::data::Source;
use crate::data::series::Cut;
use crate::error::{Error, Result};
use crate::report::{self, Column};

/// Series to be written together.
pub struct Sequences {
    path: PathBuf,
    cut: Cut,
    dims: [usize; 3],
    values: Vec<f64>,
    dates: Option<Named>,
}

/// Words of each step, and what they are.
pub type Named = (String, Vec<String>);

impl Sequences {
    /// Prepares to write `count` series of `dims` = `[T, 1, C]`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an ending that series are not written with, or a sound of anything but one series of one channel and a rate.
    pub fn new(path: &Path, count: usize, dims: [usize; 3], cut: &Cut) -> Result<Self> {
        endings::check(path, "series", &["png", "npy", "csv", "wav"])?;
        if endings::of(path) == "wav" {
            if count != 1 || dims[2] != 1 {
                let channels = dims[2];
                return Err(Error::usage(format!("a .wav holds one series of one channel, not {count} of {channels}; take -n 1, or .npy")));
            }
            if cut.rate.is_none() {
                return Err(Error::usage("a .wav needs samples a second, which only data from a .wav have; take .npy or .csv"));
            }
        }
        Ok(Self { path: path.into(), cut: cut.clone(), dims, values: Vec::with_capacity(count * dims[0] * dims[2]), dates: None })
    }

    /// Has the dates of all steps of all series written beside them, where there is a table.
    pub fn dated(&mut self, dates: Option<Named>) {
        self.dates = dates;
    }

    /// Takes the next series, in shares 0..1 of the last level (continuous values as they are).
    pub fn take(&mut self, part: &[f32]) {
        self.values.extend(self.cut.in_units(part));
    }

    /// Takes the next series, in their units.
    pub fn take_units(&mut self, part: &[f64]) {
        self.values.extend_from_slice(part);
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn finish(self, title: &str) -> Result<()> {
        let Self { path, cut, dims: [steps, _, channels], values, dates } = self;
        match endings::of(&path).as_str() {
            "png" => report::save_png(&path, &report::sequences(title, &values, steps, &cut.names)),
            "csv" => {
                let rows = 0..values.len() / channels;
                let place = |of: &dyn Fn(usize) -> usize| Column::Numbers(rows.clone().map(|row| (of(row) + 1) as f64).collect());
                let mut columns = vec![("series".into(), place(&|row| row / steps)), ("step".into(), place(&|row| row % steps))];
                columns.extend(dates.map(|(title, words)| (title, Column::Words(words))));
                let channel = |c: usize| Column::Numbers(values.iter().skip(c).step_by(channels).copied().collect());
                columns.extend(cut.names.iter().enumerate().map(|(c, name)| (name.clone(), channel(c))));
                report::write_csv(&path, &columns)
            }
            "wav" => {
                let bytes = sound(&values, cut.rate.unwrap_or_default());
                let bytes = bytes.map_err(|e| Error::format(&path, format!("cannot be written: {e}; take .npy")))?;
                report::write_atomically(&path, |out| out.write_all(&bytes))
            }
            _ => {
                let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                report::write_npy_f32(&path, &[values.len() / (steps * channels), steps, channels], &values)
            }
        }
    }
}

/// The dates of all steps of a source, item by item, where its file tells them.
pub fn dates_of(source: &dyn Source) -> Option<Named> {
    let title = source.dates(0)?.0.to_string();
    let mut words = Vec::with_capacity(source.len() * source.dims()[0]);
    for index in 0..source.len() {
        words.extend(source.dates(index)?.1.iter().map(|date| date.to_string()));
    }
    Some((title, words))
}

/// A 16-bit `.wav` of values in −1..1.
fn sound(values: &[f64], rate: u32) -> hound::Result<Vec<u8>> {
    let spec = hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec)?;
    for value in values {
        writer.write_sample((value.clamp(-1.0, 1.0) * f64::from(i16::MAX)).round() as i16)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}
