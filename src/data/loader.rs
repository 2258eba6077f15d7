//! Batches: endless and shuffled for training, on a thread of their own; in order for evaluation.

use super::augment::{Augment, Draw};
use super::binarize::{Binarization, Key, binarize};
use super::{Kind, Source, item_len, streams};
use crate::parallel::prelude::*;
use crate::random::Draws;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// The range in which a batch presents pixels; points are always [`Scale::Raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 0..1: value / 255.
    Unit,
    /// −1..1: value / 127.5 − 1.
    Symmetric,
    /// The integers 0..=255; binarized pixels are 0 or 255.
    Levels,
    /// As the source has them.
    Raw,
}

impl Scale {
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Unit => values.iter_mut().for_each(|v| *v /= 255.0),
            Self::Symmetric => values.iter_mut().for_each(|v| *v = *v / 127.5 - 1.0),
            Self::Levels | Self::Raw => {}
        }
    }

    fn check(self, source: &dyn Source) -> Result<()> {
        if source.kind() == Kind::Points && self != Self::Raw {
            return Err(Error::usage(format!("{} holds points, which have no scale; this model wants images", source.name())));
        }
        Ok(())
    }
}

/// One batch of B items.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// B×H×W×C values, scaled.
    pub values: Vec<f32>,
    /// B classes; empty where the source has no labels.
    pub labels: Vec<u32>,
    /// B indices of items in the source.
    pub indices: Vec<u32>,
    /// How often the source was gone through before; 0 in evaluation.
    pub epoch: u64,
}

/// What [`Loader::new`] is told.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// Items a batch, at least 1.
    pub batch: usize,
    /// Seed of the order and of the binarization.
    pub seed: u64,
    /// Step of the first batch: where a resumed run goes on.
    pub start_step: u64,
    /// Grey to black and white.
    pub binarization: Binarization,
    /// The range of the values.
    pub scale: Scale,
    /// What is done to each image at random.
    pub augment: Augment,
    /// Batches made ahead of the one asked for; 0 is taken as 1.
    pub prefetch: usize,
}

/// Makes training batches one after another.
#[derive(Clone)]
struct Maker {
    source: Arc<dyn Source>,
    options: LoaderOptions,
    /// Which items of a batch are made, in what order; all of them where there are none.
    places: Arc<[usize]>,
    steps_per_epoch: u64,
    /// Step of the next batch.
    step: u64,
    /// The epoch, and the order of its items.
    order: (u64, Vec<u32>),
}

impl Maker {
    fn next(&mut self) -> Result<Batch> {
        let Self { source, options, places, steps_per_epoch, step, order } = self;
        let epoch = *step / *steps_per_epoch;
        if order.0 != epoch {
            *order = (epoch, Draws::new(options.seed, streams::SHUFFLE, epoch as u32).permutation(source.len()));
        }
        let start = (*step % *steps_per_epoch) as usize * options.batch;
        let batch = &order.1[start..start + options.batch];
        let indices = if places.is_empty() { batch.to_vec() } else { places.iter().map(|place| batch[*place]).collect() };
        *step += 1;
        let key = Key { seed: options.seed, stream: streams::BINARIZE_TRAIN, step: epoch as u32 };
        let change = |index: u32, values: &mut [f32]| {
            let draw = Draw { seed: options.seed, epoch: epoch as u32, item: u64::from(index) };
            options.augment.apply(&**source, values, draw)
        };
        read_batch(&**source, indices, &change, options.binarization, key, options.scale).map(|b| Batch { epoch, ..b })
    }
}

/// Who makes the batches.
enum Making {
    /// A thread of its own, ahead of the batch that is asked for.
    // The channel is dropped before the thread is joined, so that the thread sees it closed.
    Ahead { batches: Option<Receiver<Result<Batch>>>, thread: Option<JoinHandle<()>> },
    /// Whoever asks, where there are no threads.
    Here(Box<Maker>),
}

/// Endless training batches, read, binarized and scaled on another thread, where there are threads.
///
/// The batch of step s is a pure function of (source, seed, batch size, s): items s·B.. of the epoch's permutation. The items that do
/// not fill a batch at the end of an epoch are left out of it.
pub struct Loader {
    making: Making,
    steps_per_epoch: u64,
}

impl Loader {
    /// Starts reading ahead.
    ///
    /// # Errors
    /// A batch of 0 items or more than the source has, or a binarization or scale that its values cannot have.
    pub fn new(source: Arc<dyn Source>, options: LoaderOptions) -> Result<Self> {
        Self::of_places(source, options, Vec::new())
    }

    /// The same of some items of each batch alone, by their places in it, below the size of a batch; nothing else is read. Without places, all.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn of_places(source: Arc<dyn Source>, options: LoaderOptions, places: Vec<usize>) -> Result<Self> {
        options.binarization.check(source.kind(), &source.name())?;
        options.scale.check(&*source)?;
        options.augment.check(source.kind(), source.dims(), &source.name())?;
        let (len, batch) = (source.len(), options.batch);
        if batch == 0 || batch > len {
            let name = source.name();
            return Err(Error::usage(format!("a batch of {batch} cannot be made of the {len} items of {name}; set --batch to 1..={len}")));
        }
        let steps_per_epoch = (len / batch) as u64;
        let (ahead, step) = (options.prefetch.max(1), options.start_step);
        let maker = Maker { source, options, places: places.into(), steps_per_epoch, step, order: (u64::MAX, Vec::new()) };
        let (sender, batches) = sync_channel(ahead);
        let mut made_there = maker.clone();
        let work = move || {
            loop {
                let made = made_there.next();
                let failed = made.is_err();
                if sender.send(made).is_err() || failed {
                    break;
                }
            }
        };
        let making = match std::thread::Builder::new().name("kiln-data".into()).spawn(work) {
            Ok(thread) => Making::Ahead { batches: Some(batches), thread: Some(thread) },
            Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Making::Here(Box::new(maker)),
            Err(e) => return Err(Error::Training(format!("the data thread does not start: {e}"))),
        };
        Ok(Self { making, steps_per_epoch })
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// An item that cannot be read; nothing comes after it.
    #[expect(clippy::should_implement_trait, reason = "endless and fallible: an iterator would add an end that never comes")]
    pub fn next(&mut self) -> Result<Batch> {
        let stopped = || Error::Training("the data thread has stopped; start again from the last checkpoint".into());
        match &mut self.making {
            Making::Ahead { batches, .. } => batches.as_ref().ok_or_else(stopped)?.recv().map_err(|_| stopped())?,
            Making::Here(maker) => maker.next(),
        }
    }

    /// Batches an epoch: items / batch size, rounded down, at least 1.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let Making::Ahead { batches, thread } = &mut self.making else { return };
        *batches = None;
        if let Some(thread) = thread.take() {
            // A thread that panicked has already closed the channel; there is nothing more to learn.
            let _ = thread.join();
        }
    }
}

/// One pass over `source` in its own order, `batch` items at a time, the last batch ragged.
///
/// Draws are keyed by the item, so the size of the batch never changes a value. `batch` 0 is taken as 1. Stops after an error.
pub fn sequential(
    source: Arc<dyn Source>,
    batch: usize,
    seed: u64,
    binarization: Binarization,
    scale: Scale,
) -> impl Iterator<Item = Result<Batch>> + Send {
    let all = 0..source.len();
    sequential_within(source, all, batch, seed, binarization, scale)
}

/// As [`sequential`], of the items of a range alone; each is what it is in a pass over all.
pub fn sequential_within(
    source: Arc<dyn Source>,
    items: std::ops::Range<usize>,
    batch: usize,
    seed: u64,
    binarization: Binarization,
    scale: Scale,
) -> impl Iterator<Item = Result<Batch>> + Send {
    let (mut at, last, batch) = (items.start, items.end.min(source.len()), batch.max(1));
    let mut refusal = binarization.check(source.kind(), &source.name()).and_then(|()| scale.check(&*source)).err();
    std::iter::from_fn(move || {
        if let Some(refusal) = refusal.take() {
            at = last;
            return Some(Err(refusal));
        }
        let end = at.saturating_add(batch).min(last);
        if at >= end {
            return None;
        }
        let indices = (at as u32..end as u32).collect();
        let key = Key { seed, stream: streams::BINARIZE_EVAL, step: 0 };
        let made = read_batch(&*source, indices, &|_, _| Ok(()), binarization, key, scale);
        at = if made.is_ok() { end } else { last };
        Some(made)
    })
}

fn read_batch(
    source: &dyn Source,
    indices: Vec<u32>,
    change: &(dyn Fn(u32, &mut [f32]) -> Result<()> + Sync),
    how: Binarization,
    key: Key,
    scale: Scale,
) -> Result<Batch> {
    let item = item_len(source.dims());
    let mut values = vec![0.0; indices.len() * item];
    let read = |(out, &index): (&mut [f32], &u32)| -> Result<()> {
        source.read(index as usize, out)?;
        change(index, out)?;
        binarize(out, index as usize, how, key);
        scale.apply(out);
        Ok(())
    };
    if source.costly() {
        values.par_chunks_exact_mut(item).zip(&indices).try_for_each(read)?;
    } else {
        // A copy is cheaper than waking other threads.
        values.chunks_exact_mut(item).zip(&indices).try_for_each(read)?;
    }
    let labels = if source.classes() == 0 { Vec::new() } else { indices.iter().filter_map(|&i| source.label(i as usize)).collect() };
    Ok(Batch { values, labels, indices, epoch: 0 })
}

#[cfg(test)]
mod tests {
    use super::super::{OpenOptions, Split, open};
    use super::*;

    fn digits(limit: usize) -> Arc<dyn Source> {
        open("builtin:digits", Split::Train, &OpenOptions { limit: Some(limit), ..OpenOptions::default() }).unwrap()
    }

    fn options(batch: usize, start_step: u64) -> LoaderOptions {
        LoaderOptions {
            batch,
            seed: 4,
            start_step,
            binarization: Binarization::Dynamic,
            scale: Scale::Unit,
            augment: Augment::default(),
            prefetch: 2,
        }
    }

    #[test]
    fn a_resumed_loader_goes_on_as_if_it_had_never_stopped() {
        let mut whole = Loader::new(digits(23), options(5, 0)).unwrap();
        assert_eq!(whole.steps_per_epoch(), 4);
        let all: Vec<Batch> = (0..11).map(|_| whole.next().unwrap()).collect();
        let mut resumed = Loader::new(digits(23), options(5, 6)).unwrap();
        for expected in &all[6..] {
            assert_eq!(&resumed.next().unwrap(), expected);
        }
        assert_eq!(all.iter().map(|b| b.epoch).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn some_places_of_a_batch_are_what_the_whole_batch_has_there() {
        let mut whole = Loader::new(digits(23), options(5, 2)).unwrap();
        let mut part = Loader::of_places(digits(23), options(5, 2), vec![3, 0]).unwrap();
        for _ in 0..4 {
            let (whole, part) = (whole.next().unwrap(), part.next().unwrap());
            assert_eq!(part.indices, [whole.indices[3], whole.indices[0]]);
            assert_eq!((part.labels, part.epoch), (vec![whole.labels[3], whole.labels[0]], whole.epoch));
            assert_eq!(part.values, [&whole.values[3 * 784..4 * 784], &whole.values[..784]].concat());
        }
    }

    #[test]
    fn an_epoch_meets_no_item_twice_and_epochs_differ() {
        let mut loader = Loader::new(digits(20), options(5, 0)).unwrap();
        let mut epochs: Vec<Vec<u32>> = (0..2).map(|_| (0..4).flat_map(|_| loader.next().unwrap().indices).collect()).collect();
        assert_ne!(epochs[0], epochs[1]);
        for epoch in &mut epochs {
            epoch.sort_unstable();
            assert_eq!(*epoch, (0..20).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn the_batch_size_of_an_evaluation_changes_no_value() {
        let pass = |batch| -> (Vec<f32>, Vec<u32>) {
            let batches = sequential(digits(23), batch, 1, Binarization::Dynamic, Scale::Symmetric);
            batches.map(|b| b.map(|b| (b.values, b.labels)).unwrap()).fold(Default::default(), |(mut v, mut l), (values, labels)| {
                v.extend(values);
                l.extend(labels);
                (v, l)
            })
        };
        let one = pass(1);
        assert_eq!(one.0.len(), 23 * 784);
        assert!(one.0.iter().all(|v| v.abs() == 1.0));
        assert_eq!(one, pass(7));
        assert_eq!(one, pass(100));
        let part = sequential_within(digits(23), 5..16, 4, 1, Binarization::Dynamic, Scale::Symmetric);
        let part: Vec<f32> = part.flat_map(|b| b.unwrap().values).collect();
        assert_eq!(part, one.0[5 * 784..16 * 784]);
    }

    #[test]
    fn batches_that_cannot_be_are_refused() {
        for batch in [0, 24] {
            let sentence = Loader::new(digits(23), options(batch, 0)).err().unwrap().to_string();
            assert!(sentence.contains("--batch"), "{sentence}");
        }
        let ring = open("builtin:gaussians8", Split::Train, &OpenOptions::default()).unwrap();
        assert!(Loader::new(ring.clone(), options(5, 0)).is_err());
        let points = LoaderOptions { binarization: Binarization::None, scale: Scale::Raw, ..options(5, 0) };
        assert_eq!(Loader::new(ring, points).unwrap().next().unwrap().values.len(), 10);
    }
}
