//! Sums up a fixed tree.

use crate::parallel::prelude::*;

/// Adds vectors up in pairs, pairs of pairs and so on, in the order in which they come: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). Of 2ⁿ vectors
/// any aligned run of 2ᵏ has a sum of its own in this tree, so whoever adds the runs' sums up the same way gets the same bits.
///
/// It holds one vector for each level, so 2ⁿ vectors are added in the memory of n + 1.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sums that wait for their other half, with the level of each; levels fall.
    waiting: Vec<(u32, Vec<f32>)>,
}

/// Elements that one core adds at once.
const CHUNK: usize = 1 << 14;

impl Tree {
    /// Adds the next vector; all are of one length.
    pub fn add(&mut self, values: Vec<f32>) {
        let (mut level, mut sum) = (0, values);
        while let Some((_, mut before)) = self.waiting.pop_if(|(waiting, _)| *waiting == level) {
            add(&mut before, &sum);
            (level, sum) = (level + 1, before);
        }
        self.waiting.push((level, sum));
    }

    /// The sum of all, whose number is a power of two, and an empty tree again; none where there were none.
    pub fn whole(&mut self) -> Option<Vec<f32>> {
        debug_assert!(self.waiting.len() <= 1, "a power of two");
        self.waiting.pop().map(|(_, sum)| sum)
    }
}

fn add(to: &mut [f32], what: &[f32]) {
    to.par_chunks_mut(CHUNK).zip(what.par_chunks(CHUNK)).for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_up_in_pairs() {
        let leaves = [1e8f32, 1.0, 1.0, 1.0, -1e8, 1.0, 1.0, 1.0];
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.add(vec![*leaf]));
        let expected = ((leaves[0] + leaves[1]) + (leaves[2] + leaves[3])) + ((leaves[4] + leaves[5]) + (leaves[6] + leaves[7]));
        assert_eq!(tree.whole(), Some(vec![expected]));
        assert_eq!(tree.whole(), None);
        assert_ne!(expected, leaves.iter().sum::<f32>(), "an order that matters");
    }
}
