//! The 2-D ring of eight Gaussians (Metz et al., 2017, "Unrolled generative adversarial networks", section 3.1).

use super::{draws, origin};
use crate::Result;
use crate::data::{Kind, Source, Split, check_read};

const MODES: usize = 8;
const RADIUS: f32 = 2.0;
const SIGMA: f32 = 0.02;

/// Points around (2 cos πk/4, 2 sin πk/4), σ = 0.02, in mode k = 0..8 with equal probability; the class is k.
pub struct Gaussians {
    split: Split,
    seed: u64,
    len: usize,
}

impl Gaussians {
    pub fn new(split: Split, seed: u64, len: usize) -> Self {
        Self { split, seed, len }
    }
}

impl Source for Gaussians {
    fn len(&self) -> usize {
        self.len
    }
    fn dims(&self) -> [usize; 3] {
        [1, 1, 2]
    }
    fn kind(&self) -> Kind {
        Kind::Points
    }
    fn class_names(&self) -> Vec<String> {
        (0..MODES).map(|mode| mode.to_string()).collect()
    }
    fn origin(&self) -> Option<String> {
        Some(origin("gaussians8", self.split, self.seed))
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let mut draws = draws(self.seed, 2, self.split, index);
        let angle = draws.below(MODES) as f32 * std::f32::consts::TAU / MODES as f32;
        out[0] = RADIUS * angle.cos() + SIGMA * draws.normal();
        out[1] = RADIUS * angle.sin() + SIGMA * draws.normal();
        Ok(())
    }
    fn label(&self, index: usize) -> Option<u32> {
        Some(draws(self.seed, 2, self.split, index).below(MODES) as u32)
    }
    fn name(&self) -> String {
        format!("builtin:gaussians8:{}", self.split)
    }
}
