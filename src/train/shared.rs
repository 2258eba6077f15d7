//! A run that several ranks share: who reads what, and what all have to have alike.

use std::path::Path;

use super::checkpoint::Snapshot;
use super::data::check_unchanged;
use super::run::{CHECKPOINT, checkpoint_name};
use super::{Files, Recipe, RunFolder, Trained, Trainer};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::lanes::Lanes;
use crate::ranks::Ranks;
use crate::runtime::Device;

/// What a rank reads of each batch, and where its lanes find theirs in it.
pub(super) struct Share {
    /// Items of a lane in each of the batches that a pass reads.
    pub items: usize,
    /// Values of an item.
    pub item: usize,
    /// Classes, 0 without labels.
    pub classes: usize,
    /// Batches of a pass.
    batches: usize,
    passes: usize,
    lanes: usize,
    own: std::ops::Range<usize>,
}

impl Share {
    /// Places in a batch of the items that the rank reads, in the order in which its lanes take them; none where it reads all in order.
    pub(super) fn places(&self) -> Vec<usize> {
        if self.lanes == 1 {
            return Vec::new();
        }
        let batch = self.items * self.lanes;
        let mut places = Vec::new();
        for pass in 0..self.passes {
            for lane in self.own.clone() {
                for number in 0..self.batches {
                    let first = (pass * self.batches + number) * batch + lane * self.items;
                    places.extend(first..first + self.items);
                }
            }
        }
        places
    }

    /// What a lane takes of a batch in a pass: values and labels.
    pub(super) fn of<'a>(&self, data: &'a Batch, pass: usize, lane: usize) -> (&'a [f32], &'a [u32]) {
        let count = self.batches * self.items;
        let first = (pass * self.own.len() + lane - self.own.start) * count;
        let labels = if self.classes > 0 { &data.labels[first..first + count] } else { &[] };
        (&data.values[first * self.item..(first + count) * self.item], labels)
    }

    /// Items of a lane in a pass.
    pub(super) fn count(&self) -> usize {
        self.batches * self.items
    }
}

impl Trainer {
    /// Shares the run with other ranks, which have the same recipe. To be called before [`Trainer::run`].
    ///
    /// # Errors
    /// [`Error::Usage`] where they cannot share its lanes, or where their programs or data differ.
    pub fn join(&mut self, ranks: &Ranks) -> Result<()> {
        ranks.agree(self.recipe.shared_by(ranks))?;
        ranks.same("the recipe", &toml::to_string(&self.recipe).unwrap_or_default())?;
        self.ranks = ranks.clone();
        Ok(())
    }

    /// The part of each batch that is this rank's.
    pub(super) fn share(&self) -> Share {
        let (train, data) = (&self.recipe.train, &self.recipe.data);
        Share {
            items: train.lane(),
            item: data.dims.iter().product(),
            classes: data.classes,
            batches: self.model.batches(),
            passes: train.accumulate,
            lanes: train.lanes,
            own: Lanes::own(train.lanes, &self.ranks),
        }
    }

    /// Stops where the weights of any rank are no longer those of the others.
    ///
    /// # Errors
    /// [`Error::Training`].
    pub(super) fn check_drift(&self, snapshot: &Snapshot) -> Result<()> {
        if self.ranks.count() == 1 {
            return Ok(());
        }
        let all = self.ranks.gather(snapshot.digest().into_bytes())?;
        let Some(rank) = all.iter().position(|digest| *digest != all[0]) else { return Ok(()) };
        self.ranks.all_know();
        Err(Error::Training(format!(
            "at step {} the weights of rank {rank} are no longer those of rank 0, as those of a faulty device; \
             go on from the last checkpoint with --resume, without that machine",
            self.progress.step
        )))
    }
}

impl Recipe {
    /// Refuses ranks that cannot share its lanes.
    fn shared_by(&self, ranks: &Ranks) -> Result<()> {
        let (count, lanes) = (ranks.count(), self.train.lanes);
        if lanes.is_multiple_of(count) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{count} ranks cannot share {lanes} lanes; start a number of ranks that divides them, or another run with --set lanes={count}"
        )))
    }

    /// The first rank's recipe on all ranks, which look whether their data are what it says.
    ///
    /// # Errors
    /// The first rank's, on all; [`Error::Usage`] where data differ.
    pub fn hand_out(ranks: &Ranks, made: impl FnOnce() -> Result<Self>) -> Result<Self> {
        if ranks.count() == 1 {
            return made();
        }
        let made = || made().and_then(|recipe| recipe.shared_by(ranks).map(|()| Some(recipe)));
        let mine = ranks.agree(if ranks.is_first() { made() } else { Ok(None) })?;
        let text = mine.as_ref().map_or(Ok(String::new()), toml::to_string).map_err(|e| Error::usage(e.to_string()))?;
        let text = String::from_utf8(ranks.from_first(text.into_bytes())?).unwrap_or_default();
        let read = || {
            let recipe: Self = toml::from_str(&text).map_err(|e| Error::usage(format!("the recipe of rank 0 cannot be read: {e}")))?;
            if !ranks.is_first() {
                check_unchanged(&recipe, None)?;
            }
            Ok(recipe)
        };
        ranks.agree(read())
    }
}

impl RunFolder {
    /// The first rank's folder of a run that goes on: locked there, and what is needed of it in the memory of the others.
    ///
    /// # Errors
    /// The first rank's, on all.
    pub fn hand_out_run(ranks: &Ranks, path: &Path) -> Result<Self> {
        let open = || {
            let (mut folder, _) = Self::open(path)?;
            folder.claim()?;
            Ok(folder)
        };
        if ranks.count() == 1 {
            return open();
        }
        let mine = ranks.agree(if ranks.is_first() { open().map(Some) } else { Ok(None) })?;
        let mut files = Files::new();
        for name in ["recipe.toml", CHECKPOINT] {
            let bytes = mine.as_ref().filter(|folder| folder.has(name)).map_or(Ok(Vec::new()), |folder| folder.read(name));
            let bytes = ranks.from_first(ranks.agree(bytes)?)?;
            if !bytes.is_empty() {
                files.insert(name.into(), bytes);
            }
        }
        Ok(mine.unwrap_or_else(|| Self::in_memory(files)))
    }
}

impl Trained {
    /// The first rank's run, loaded there as by [`Trained::load`]; the others are handed its recipe and its checkpoint, so that all have the same
    /// weights, also of a run that is trained meanwhile, and none of them needs the folder.
    ///
    /// # Errors
    /// As [`Trained::load`], of the first rank, on all; those of another rank's device.
    pub fn hand_out(ranks: &Ranks, path: &Path, device: &Device, best: bool) -> Result<Self> {
        if ranks.count() == 1 {
            return Self::load(path, device, best);
        }
        let name = checkpoint_name(best);
        let read = || {
            let (folder, recipe) = RunFolder::open(path)?;
            let text = toml::to_string(&recipe).map_err(|e| Error::usage(e.to_string()))?;
            let bytes = folder.checkpoint(best)?;
            Ok((Some((folder, recipe)), text.into_bytes(), bytes))
        };
        let (opened, text, bytes) = ranks.agree(if ranks.is_first() { read() } else { Ok((None, Vec::new(), Vec::new())) })?;
        let [text, bytes] = [ranks.from_first(text)?, ranks.from_first(bytes)?];
        let load = || {
            let (folder, recipe) = match opened {
                Some(opened) => opened,
                None => {
                    let folder = RunFolder::in_memory(Files::from([("recipe.toml".into(), text), (name.into(), bytes.clone())]));
                    let recipe = folder.recipe()?;
                    (folder, recipe)
                }
            };
            Self::of_checkpoint(folder, recipe, device, (name, &bytes))
        };
        ranks.agree(load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_their_items_of_every_batch_and_pass() {
        let share = |own: std::ops::Range<usize>| Share { items: 2, item: 1, classes: 3, batches: 2, passes: 2, lanes: 4, own };
        // Two passes of two batches of eight.
        let whole = Batch { values: (0..32).map(|v| v as f32).collect(), labels: (0..32).collect(), indices: Vec::new(), epoch: 0 };
        let mut seen = Vec::new();
        for own in [0..2, 2..4] {
            let share = share(own.clone());
            let places = share.places();
            let labels: Vec<u32> = places.iter().map(|place| whole.labels[*place]).collect();
            let data = Batch { values: labels.iter().map(|label| *label as f32).collect(), labels, ..whole.clone() };
            for lane in own {
                let (values, labels) = share.of(&data, 1, lane);
                let first = 16 + 2 * lane as u32;
                assert_eq!(labels, [first, first + 1, first + 8, first + 9]);
                assert_eq!((values.len(), values[0], share.count()), (4, first as f32, 4));
            }
            seen.extend(places);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..32).collect::<Vec<_>>());
        assert!(Share { lanes: 1, own: 0..1, ..share(0..1) }.places().is_empty());
    }
}
