//! Items in a row, shared among ranks: who does which, and all of them on every rank again.

use std::ops::Range;

use crate::error::Result;
use crate::ranks::Ranks;
use crate::runtime::Device;

/// The part of so many items that this rank does.
#[derive(Clone, Debug)]
pub struct Share {
    ranks: Ranks,
    own: Range<usize>,
    count: usize,
}

impl Share {
    /// This rank's share of `count` items.
    pub fn of(ranks: &Ranks, count: usize) -> Self {
        Self::in_blocks(ranks, count, 1)
    }

    /// The same in whole blocks of so many items, the last of them ragged: what is summed block by block does not depend on the ranks.
    pub fn in_blocks(ranks: &Ranks, count: usize, block: usize) -> Self {
        let blocks = ranks.share(count.div_ceil(block));
        let own = (blocks.start * block).min(count)..(blocks.end * block).min(count);
        Self { ranks: ranks.clone(), own, count }
    }

    /// Numbers of its items, of all.
    pub fn own(&self) -> Range<usize> {
        self.own.clone()
    }

    /// How many items a program is made for, where one process would make it for `most`. On the CPU no more than the rank has. On an adapter as
    /// many as one process: there the shape of a product may decide how its sum is split, and so its last digits.
    pub fn at_once(&self, device: &Device, most: usize) -> usize {
        match device {
            Device::Cpu(_) => most.min(self.own.len()).max(1),
            Device::Gpu(_) => most.min(self.count).max(1),
        }
    }

    /// About how many items all ranks have done, where this one has done so many of its own.
    pub fn done(&self, own: usize) -> usize {
        if own >= self.own.len() { self.count } else { own * self.count / self.own.len() }
    }

    /// What each rank made of its items, one after another.
    ///
    /// # Errors
    /// As [`Ranks::join`].
    pub fn join<T: bytemuck::Pod>(&self, mine: &mut Vec<T>) -> Result<()> {
        if self.ranks.count() > 1 {
            *mine = self.ranks.join(mine)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::together;

    #[test]
    fn shares_in_blocks_cover_all_and_are_joined_in_order() {
        for ranks in 1..=4 {
            for (count, block) in [(0, 1), (1, 4), (11, 1), (11, 4), (64, 16), (3, 16)] {
                let told = together(ranks, |ranks| {
                    let share = Share::in_blocks(&ranks, count, block);
                    assert!(share.own().is_empty() || share.own().start.is_multiple_of(block));
                    let mut mine: Vec<u32> = share.own().map(|n| n as u32).collect();
                    assert_eq!(share.done(mine.len()), count);
                    assert!(share.at_once(&Device::CPU, 5) <= mine.len().clamp(1, 5));
                    share.join(&mut mine)?;
                    Ok(mine)
                });
                for list in told {
                    assert_eq!(list.expect("a list"), (0..count as u32).collect::<Vec<_>>(), "{ranks} {count} {block}");
                }
            }
        }
    }
}
