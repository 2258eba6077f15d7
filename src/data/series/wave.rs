//! Sound: `.wav` files.

use super::resample::resample;
use super::{Cut, Raw, numbered, room};
use crate::{Error, Result};
use hound::{SampleFormat, WavReader};
use std::io::ErrorKind;
use std::path::Path;

/// Reads PCM of 8 to 32 bits or floats of 32, in −1..1: one channel, or the one that was chosen; resampled where another rate was asked
/// for.
pub fn read(path: &Path, name: String, cut: &Cut) -> Result<Raw> {
    let refused = |reason: String| Error::usage(format!("{name} {reason}"));
    let failed = |error: hound::Error| match error {
        // Its word for an end that comes too early is Other.
        hound::Error::IoError(e) if !matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::Other) => Error::io(path, e),
        hound::Error::Unsupported => {
            refused("is of a codec that is not PCM (8 to 32 bits, or floats of 32); convert it to 16-bit PCM".into())
        }
        hound::Error::FormatError(what) => refused(format!("is torn, or no .wav ({what}); write it again")),
        other => refused(format!("is torn, or no .wav ({other}); write it again")),
    };
    let mut reader = WavReader::open(path).map_err(failed)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    if channels == 0 || spec.sample_rate == 0 || !(1..=32).contains(&spec.bits_per_sample) {
        return Err(refused("announces no channels, no samples a second, or samples of no size; write it again".into()));
    }
    let channel = match cut.channel {
        None if channels == 1 => 0,
        None => return Err(refused(format!("has {channels} channels, and one is read; choose it, as in --set channel=1"))),
        Some(n) if n <= channels => n - 1,
        Some(n) => return Err(refused(format!("has {channels} channels and no channel={n}; they are counted from 1"))),
    };
    room(&name, reader.duration() as usize)?;
    let mut values: Vec<f64> = match spec.sample_format {
        SampleFormat::Float => every(reader.samples::<f32>(), channel, channels).map(|v| v.map(f64::from)).collect::<Result<_, _>>(),
        SampleFormat::Int => {
            let whole = f64::from(1u32 << (spec.bits_per_sample - 1));
            every(reader.samples::<i32>(), channel, channels).map(|v| v.map(|v| f64::from(v) / whole)).collect::<Result<_, _>>()
        }
    }
    .map_err(failed)?;
    let rate = cut.rate.unwrap_or(spec.sample_rate);
    let mut notes = Vec::new();
    if rate != spec.sample_rate && values.iter().all(|v| v.is_finite()) {
        room(&name, (values.len() as u64 * u64::from(rate) / u64::from(spec.sample_rate)) as usize)?;
        values = resample(&values, spec.sample_rate, rate);
        notes.push(format!("{name}: resampled from {} to {rate} samples a second", spec.sample_rate));
    }
    let names = vec![numbered(channels)[channel].clone()];
    Ok(Raw { name, series: 1, steps: values.len(), values, channels: names, rate: Some(rate), dates: None, notes })
}

/// One channel of samples that lie side by side.
fn every<T>(samples: impl Iterator<Item = hound::Result<T>>, channel: usize, channels: usize) -> impl Iterator<Item = hound::Result<T>> {
    // A sample of another channel that cannot be read ends the file all the same.
    samples.enumerate().filter(move |(at, sample)| at % channels == channel || sample.is_err()).map(|(_, sample)| sample)
}
