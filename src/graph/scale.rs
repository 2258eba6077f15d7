//! Dynamic loss scaling (Micikevicius et al., 2018): the loss is multiplied by a power of two before it is differentiated, so that small
//! gradients do not vanish where products round their operands to f16, and gradients are divided by it before they are used. The factor
//! is a persistent tensor that each update adjusts on the device: no step waits for the host.

use super::{Graph, Init, Kind, Layout, NodeId, Shape, StateId, StateSpec, Update};

/// The first factor.
pub const FIRST_SCALE: f32 = 65536.0;
/// The largest and the smallest one.
pub const SCALES: [f32; 2] = [1.0, 16_777_216.0];
/// Updates in a row with finite gradients after which it is doubled; it is halved after each one without.
pub const GROWTH_INTERVAL: f32 = 2000.0;
/// Elements of the tensor: the factor, and the updates since it last changed.
const SHAPE: [usize; 1] = [2];

impl StateSpec {
    /// The same tensors and, for each group that has trained ones, a loss scale in a group of its own.
    pub fn with_loss_scales(&self) -> (Self, Vec<Option<StateId>>) {
        let mut spec = self.clone();
        let own = spec.group("optimizer.loss_scale");
        let first = Init::Values(vec![FIRST_SCALE, 0.0]);
        let scales = (0..self.groups.len())
            .map(|group| {
                let trains = !self.trained(group).is_empty();
                trains.then(|| spec.tensor(own, &group.to_string(), SHAPE, first.clone(), Layout::Plain, false))
            })
            .collect();
        (spec, scales)
    }
}

impl Graph {
    /// The tensor of the factor that the loss of an update is multiplied by, if it has one.
    pub(crate) fn loss_scale_tensor(&mut self, update: &Update) -> Option<NodeId> {
        let id = update.loss_scale?;
        let known = self.states.get(&(id, self.changes)).copied();
        let tensor = known.unwrap_or_else(|| self.push(Kind::State(id), Vec::new(), Shape::from(SHAPE)));
        self.states.insert((id, self.changes), tensor);
        Some(tensor)
    }
}

/// A loss scale `[factor, updates since it changed]` after an update whose gradients were all finite, or not.
pub fn adjusted([scale, since]: [f32; 2], finite: bool) -> [f32; 2] {
    match finite {
        false => [(scale * 0.5).max(SCALES[0]), 0.0],
        true if since + 1.0 >= GROWTH_INTERVAL => [(scale * 2.0).min(SCALES[1]), 0.0],
        true => [scale, since + 1.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_at_once_and_rises_slowly_within_its_bounds() {
        assert_eq!(adjusted([1024.0, 7.0], false), [512.0, 0.0]);
        assert_eq!(adjusted([1024.0, 7.0], true), [1024.0, 8.0]);
        assert_eq!(adjusted([1024.0, GROWTH_INTERVAL - 1.0], true), [2048.0, 0.0]);
        assert_eq!(adjusted([SCALES[0], 0.0], false)[0], SCALES[0]);
        assert_eq!(adjusted([SCALES[1], GROWTH_INTERVAL], true)[0], SCALES[1]);
    }
}
