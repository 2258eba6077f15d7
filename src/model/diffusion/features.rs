//! Features of images: what the U-Net makes of them in its middle, where noise is a tenth of what it reads.

use super::{Diffusion, Network};
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::model::Represents;
use crate::model::noise::{Level, Schedule};

/// The level that the network is told: that where noise has nearest to this share of what it reads, σ/√(α² + σ²). Nothing is noised, so that
/// features are a function of the image alone.
const SHARE: f64 = 0.1;
/// Levels that it is looked for among, where time is continuous.
const LEVELS: usize = 1000;

impl Diffusion {
    /// The level of features.
    pub(super) fn feature_level(&self) -> Level {
        let count = if self.process.steps() > 0 { self.process.steps() } else { LEVELS };
        let share = |level: &Level| (level.sigma / level.alpha.hypot(level.sigma) - SHARE).abs();
        let levels = self.process.levels(count).into_iter().filter(|level| level.sigma > 0.0);
        levels.min_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or(Level::CLEAN)
    }
}

impl Represents for Diffusion {
    fn whence(&self) -> &'static str {
        "the middle of the U-Net, told that noise has a tenth of what it reads"
    }

    fn represent(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let Network::Images(net) = &self.network else { return Err(Error::Shape("points have no map in the middle".into())) };
        let level = self.feature_level();
        let n = g.shape(x).dims()[0];
        let head = self.process.head(level);
        let factor = if self.process.schedule() == Schedule::Edm { head.input } else { level.alpha };
        let read = g.map(&[x], |b, v| {
            let twice = b.scale(v[0], 2.0 * factor);
            b.offset(twice, -factor)
        })?;
        let time = g.fill([n], head.time)?;
        let labels = match self.classes {
            0 => None,
            classes => {
                let (none, said) = (g.fill([n, classes], 0.0)?, g.fill([n, 1], 1.0)?);
                Some(g.concat(none, said, 1)?)
            }
        };
        net.middle(g, &self.spec, read, time, labels)
    }
}
