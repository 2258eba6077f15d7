//! CIFAR-10 in its binary form: records of one label byte and 3×32×32 planar RGB bytes, read one by one from disk.

use super::entry::Entry;
use super::positioned::PositionedFile;
use super::{Kind, Source, check_read};
use crate::{Error, Result};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const NAMES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The records of one or more CIFAR-10 files. Only the labels are held in memory.
pub struct Cifar {
    files: Vec<PositionedFile>,
    /// Index of the first record of each file.
    starts: Vec<usize>,
    labels: Vec<u8>,
    name: String,
}

impl Cifar {
    /// Opens files whose records follow each other.
    ///
    /// # Errors
    /// A file that is missing, empty, not a whole number of records, or with a label above 9.
    pub fn open(entries: &[Entry], name: String) -> Result<Self> {
        let (mut files, mut starts, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            let (path, file) = (entry.path(), entry.positioned()?);
            if file.len() == 0 {
                return Err(Error::format(path, "is empty; fetch it again"));
            }
            if file.len() % RECORD as u64 != 0 {
                let reason = format!("has {} bytes, not a whole number of CIFAR-10 records of {RECORD}; fetch it again", file.len());
                return Err(Error::format(path, reason));
            }
            starts.push(labels.len());
            for record in 0..file.len() / RECORD as u64 {
                let mut label = [0];
                file.read_exact_at(&mut label, record * RECORD as u64)?;
                if label[0] > 9 {
                    return Err(Error::format(path, format!("is not a CIFAR-10 file: record {record} has label {}, above 9", label[0])));
                }
                labels.push(label[0]);
            }
            files.push(file);
        }
        if labels.is_empty() {
            return Err(Error::usage(format!("{name} has no CIFAR-10 files; data_batch_1.bin … or test_batch.bin are wanted")));
        }
        Ok(Self { files, starts, labels, name })
    }
}

/// The training batches `data_batch_N.bin` by number, and the test batch, of some files.
pub fn batches(files: &[Entry]) -> (Vec<Entry>, Option<Entry>) {
    let number = |file: &Entry| file.name().strip_prefix("data_batch_")?.strip_suffix(".bin")?.parse::<u32>().ok();
    let mut train: Vec<(u32, &Entry)> = files.iter().filter_map(|file| Some((number(file)?, file))).collect();
    train.sort_by_key(|(number, _)| *number);
    let test = files.iter().find(|file| file.name() == "test_batch.bin").cloned();
    (train.into_iter().map(|(_, file)| file.clone()).collect(), test)
}

impl Source for Cifar {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn dims(&self) -> [usize; 3] {
        [SIDE, SIDE, 3]
    }
    fn kind(&self) -> Kind {
        Kind::Pixels
    }
    fn class_names(&self) -> Vec<String> {
        NAMES.map(String::from).to_vec()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let file = self.starts.partition_point(|&start| start <= index) - 1;
        let mut planes = [0; 3 * PLANE];
        let record = (index - self.starts[file]) as u64;
        self.files[file].read_exact_at(&mut planes, record * RECORD as u64 + 1)?;
        for (position, pixel) in out.chunks_exact_mut(3).enumerate() {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = f32::from(planes[channel * PLANE + position]);
            }
        }
        Ok(())
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).map(|&label| u32::from(label))
    }
    fn name(&self) -> String {
        self.name.clone()
    }
}
