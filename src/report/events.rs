//! Event files as TensorBoard reads them: records framed as TensorFlow frames them, each a message of its `Event`.
//!
//! The few messages that are written are put together field by field; their numbers are those of TensorFlow's `event.proto` and
//! `summary.proto`, TensorBoard's `hparams.proto`, and `google/protobuf/struct.proto`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};

use super::write_atomically;
use crate::error::{Error, Result};

const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// What TensorFlow adds to a checksum, so that one of bytes that hold checksums is no fixed point.
const MASK: u32 = 0xa282_ead8;
/// Bytes of a record before its data (length and its checksum), and behind them.
const HEAD: usize = 12;
const TAIL: usize = 4;
/// Intervals of a histogram.
const BINS: usize = 40;

/// What a hyper-parameter is.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// A number.
    Number(f64),
    /// A truth.
    Flag(bool),
    /// Anything else, in words.
    Text(String),
}

/// An event file that grows.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens a file to go on after `step`: events of later steps, and what a kill tore, are dropped. A new file begins with its version.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(path, e);
        let old = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed)?,
        };
        let kept: Vec<&[u8]> = records(&old).filter(|data| step_of(data) <= step).collect();
        let mut bytes: Vec<u8> = kept.iter().flat_map(|data| framed(data)).collect();
        if bytes.is_empty() {
            // Event.file_version
            bytes = framed(&event(0, |out| text(out, 3, "brain.Event:2")));
        }
        if bytes != old {
            write_atomically(path, |out| out.write_all(&bytes))?;
        }
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds numbers at a step, by name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalars<'a>(&mut self, step: u64, values: impl IntoIterator<Item = (&'a str, f32)>) -> Result<()> {
        let values: Vec<Vec<u8>> = values
            .into_iter()
            .map(|(tag, value)| {
                summary(tag, |out| {
                    // Value.simple_value
                    key(out, 2, 5);
                    out.extend(value.to_le_bytes());
                })
            })
            .collect();
        self.add(step, &values)
    }

    /// Adds a picture, a PNG of so many pixels.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn image(&mut self, step: u64, tag: &str, png: &[u8], [height, width]: [u32; 2]) -> Result<()> {
        let value = summary(tag, |out| {
            // Value.image: height, width, colourspace (RGB), bytes
            nested(out, 4, |out| {
                for (field, value) in [(1, height), (2, width), (3, 3)] {
                    whole(out, field, u64::from(value));
                }
                bytes(out, 4, png);
            });
        });
        self.add(step, &[value])
    }

    /// Adds a histogram of finite values in evenly wide intervals.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<()> {
        let finite = || values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite());
        let (least, most) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if least > most {
            return Ok(());
        }
        let width = ((most - least) / BINS as f64).max(f64::from(f32::MIN_POSITIVE));
        let mut counts = [0.0f64; BINS];
        finite().for_each(|v| counts[(((v - least) / width) as usize).min(BINS - 1)] += 1.0);
        let limits: Vec<f64> = (1..=BINS).map(|i| if i == BINS { most.max(least + width) } else { least + width * i as f64 }).collect();
        let value = summary(tag, |out| {
            // Value.histo: min, max, num, sum, sum_squares, then the limits and the counts
            nested(out, 5, |out| {
                let sums = [least, most, counts.iter().sum(), finite().sum(), finite().map(|v| v * v).sum()];
                sums.into_iter().zip(1..).for_each(|(value, field)| double(out, field, value));
                for (field, list) in [(6, &limits[..]), (7, &counts)] {
                    bytes(out, field, &list.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
                }
            });
        });
        self.add(step, &[value])
    }

    /// Adds the hyper-parameters, unless the file has them already.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn settings(&mut self, settings: &[(String, Setting)]) -> Result<()> {
        const TAG: &str = "_hparams_/session_start_info";
        let there = std::fs::read(&self.path).map_err(|e| Error::io(&self.path, e))?;
        if records(&there).any(|data| data.windows(TAG.len()).any(|part| part == TAG.as_bytes())) {
            return Ok(());
        }
        let mut info = Vec::new();
        // HParamsPluginData.session_start_info: the map, and when it began
        nested(&mut info, 3, |out| {
            for (name, setting) in settings {
                nested(out, 1, |out| {
                    text(out, 1, name);
                    nested(out, 2, |out| match setting {
                        Setting::Number(value) => double(out, 2, *value),
                        Setting::Text(words) => text(out, 3, words),
                        Setting::Flag(flag) => whole(out, 4, u64::from(*flag)),
                    });
                });
            }
            double(out, 5, now());
        });
        let value = summary(TAG, |out| {
            // Value.metadata.plugin_data: its name and its content
            nested(out, 9, |out| {
                nested(out, 1, |out| {
                    text(out, 1, "hparams");
                    bytes(out, 2, &info);
                });
            });
        });
        self.add(0, &[value])
    }

    fn add(&mut self, step: u64, values: &[Vec<u8>]) -> Result<()> {
        // Event.summary, Summary.value
        let data = event(step, |out| nested(out, 5, |out| values.iter().for_each(|value| bytes(out, 1, value))));
        // One write a record, so that a reader meets whole ones.
        self.file.write_all(&framed(&data)).map_err(|e| Error::io(&self.path, e))
    }
}

/// The data of a file's records, up to the first that is torn or damaged.
pub fn records(mut file: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length: [u8; 8] = file.get(..8)?.try_into().ok()?;
        let data = HEAD..HEAD.checked_add(usize::try_from(u64::from_le_bytes(length)).ok()?)?;
        let end = data.end.checked_add(TAIL)?;
        let sum = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
        let whole = end <= file.len() && sum(8)? == masked(&length) && sum(data.end)? == masked(&file[data.clone()]);
        let found = whole.then(|| &file[data])?;
        file = &file[end..];
        Some(found)
    })
}

fn masked(bytes: &[u8]) -> u32 {
    CASTAGNOLI.checksum(bytes).rotate_right(15).wrapping_add(MASK)
}

fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// An event of a step: when it was, its step, and what more is written.
fn event(step: u64, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 1, now());
    whole(&mut out, 2, step);
    more(&mut out);
    out
}

/// The step of an event; 0 where it says none, or is none.
fn step_of(event: &[u8]) -> u64 {
    let mut rest = event;
    while let Some(tag) = varint(&mut rest) {
        let skipped = match tag & 7 {
            0 => {
                let Some(value) = varint(&mut rest) else { break };
                if tag >> 3 == 2 {
                    return value;
                }
                0
            }
            1 => 8,
            2 => varint(&mut rest).and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX),
            5 => 4,
            _ => break,
        };
        let Some(left) = rest.get(skipped..) else { break };
        rest = left;
    }
    0
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    number(out, field << 3 | kind);
}

fn whole(out: &mut Vec<u8>, field: u64, value: u64) {
    key(out, field, 0);
    number(out, value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, 1);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    number(out, value.len() as u64);
    out.extend(value);
}

fn text(out: &mut Vec<u8>, field: u64, words: &str) {
    bytes(out, field, words.as_bytes());
}

fn nested(out: &mut Vec<u8>, field: u64, inner: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    inner(&mut message);
    bytes(out, field, &message);
}

/// A value of a summary: its tag, and what it is.
fn summary(tag: &str, what: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, 1, tag);
    what(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &Path) -> Vec<u64> {
        records(&std::fs::read(path).unwrap()).map(step_of).collect()
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // RFC 3720, appendix B.4.
        assert_eq!(CASTAGNOLI.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CASTAGNOLI.checksum(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // The first 24 bytes of a file that TensorFlow wrote: length 24 and its masked checksum.
        let framed = framed(&[0; 24]);
        assert_eq!((&framed[..8], framed.len()), (&[24, 0, 0, 0, 0, 0, 0, 0][..], 40));
        assert_eq!(framed[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn a_file_goes_on_where_its_run_does_without_doubled_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut file = EventFile::open(&path, 0).unwrap();
        file.settings(&[
            ("rate".into(), Setting::Number(0.5)),
            ("model".into(), Setting::Text("vae".into())),
            ("film".into(), Setting::Flag(true)),
        ])
        .unwrap();
        for step in [10, 20, 300] {
            file.scalars(step, [("loss", 1.5), ("valid", 2.5)]).unwrap();
        }
        file.image(300, "samples", b"PNG", [4, 5]).unwrap();
        file.histogram(300, "weights", &[1.0, 2.0, f32::NAN]).unwrap();
        drop(file);
        assert_eq!(steps(&path), [0, 0, 10, 20, 300, 300, 300]);
        // What a kill tore is left out, and so is what lies after the checkpoint.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let mut file = EventFile::open(&path, 20).unwrap();
        assert_eq!(steps(&path), [0, 0, 10, 20]);
        file.settings(&[("rate".into(), Setting::Number(0.5))]).unwrap();
        file.scalars(30, [("loss", 1.0)]).unwrap();
        assert_eq!(steps(&path), [0, 0, 10, 20, 30]);
        // A damaged record ends what is believed.
        let mut spoiled = std::fs::read(&path).unwrap();
        let at = spoiled.len() - 6;
        spoiled[at] ^= 1;
        assert_eq!(records(&spoiled).count(), 4);
        assert_eq!(records(b"").count() + records(&[255; 40]).count(), 0);
    }

    #[test]
    fn a_histogram_counts_every_finite_value() {
        let folder = tempfile::tempdir().unwrap();
        for values in [vec![0.0; 7], vec![-1.0, 0.0, 1.0, 1.0], vec![f32::MAX, f32::MIN], vec![f32::NAN]] {
            let path = folder.path().join("events");
            let mut file = EventFile::open(&path, 0).unwrap();
            file.histogram(1, "w", &values).unwrap();
            let finite = values.iter().filter(|v| v.is_finite()).count();
            let bytes = std::fs::read(&path).unwrap();
            let Some(last) = records(&bytes).nth(1) else {
                assert_eq!(finite, 0);
                continue;
            };
            // The counts are the last field of the message.
            let counts: f64 = last[last.len() - 8 * BINS..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).sum();
            assert_eq!(counts, finite as f64);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
