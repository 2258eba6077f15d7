//! Images that come together, of all that are drawn.

use std::ops::Range;

use crate::error::Result;
use crate::ranks::Ranks;

/// Images that were drawn together.
#[derive(Default)]
pub struct Part {
    /// In 0..1 (points as they are), `[n, H, W, C]`.
    pub images: Vec<f32>,
    /// ln p of each, of the distribution drawn from, where the model knows it.
    pub log_p: Vec<f64>,
    /// The latents they were made of, where there are any.
    pub z: Vec<f32>,
}

impl Part {
    /// Those of a range of numbers, where it holds those of `own`.
    pub fn cut(&self, own: Range<usize>, wanted: Range<usize>) -> Self {
        fn within<T: Copy>(values: &[T], own: &Range<usize>, wanted: &Range<usize>) -> Vec<T> {
            let each = values.len() / own.len().max(1);
            values[(wanted.start - own.start) * each..(wanted.end - own.start) * each].to_vec()
        }
        Self { images: within(&self.images, &own, &wanted), log_p: within(&self.log_p, &own, &wanted), z: within(&self.z, &own, &wanted) }
    }

    /// Those of all ranks, one after another.
    ///
    /// # Errors
    /// As [`Ranks::join`].
    pub fn join(self, ranks: &Ranks) -> Result<Self> {
        Ok(Self { images: ranks.join(&self.images)?, log_p: ranks.join(&self.log_p)?, z: ranks.join(&self.z)? })
    }
}
