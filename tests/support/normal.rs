//! A network that knows what the best one knows where data is normal: for it everything has a closed form.

use kiln::data::Scale;
use kiln::error::{Error, Result};
use kiln::graph::{Graph, NodeId, StateSpec, Update};
use kiln::model::diffusion::{bound_graph, bound_passes};
use kiln::model::noise::{Process, Schedule, Target, Variance};
use kiln::model::{Defaults, Denoised, Denoises, Model, Optimiser, Score, Scores, Told};

/// E[x₀ | x] of values that are normal with mean 0 and standard deviation `sd`, one a value of `dims`.
pub struct Normal {
    pub sd: f64,
    pub dims: [usize; 3],
    process: Process,
    spec: StateSpec,
}

impl Normal {
    /// Of a linear, cosine or flow process; an EDM one tells α by no number of its own.
    pub fn new(sd: f64, schedule: Schedule, steps: usize, dims: [usize; 3]) -> Self {
        Self { sd, dims, process: Process::new(schedule, Target::V, steps), spec: StateSpec::default() }
    }
}

impl Model for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }
    fn state(&self) -> &StateSpec {
        &self.spec
    }
    fn defaults(&self) -> Defaults {
        let (learning_rate, betas, optimiser) = (vec![0.0], [0.0; 2], Optimiser::Sgd);
        Defaults { batch: 1, steps: 1, learning_rate, rate_decay: 1.0, warmup: 0, clip_norm: 0.0, ema: 0.0, optimiser, betas }
    }
    fn scale(&self) -> Scale {
        Scale::Raw
    }
    fn train_graph(&self, _: usize, _: &dyn Fn(usize) -> Update) -> Result<Graph> {
        Err(Error::Shape("nothing is trained".into()))
    }
    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
    fn denoises(&self) -> Option<&dyn Denoises> {
        Some(self)
    }
    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }
}

impl Scores for Normal {
    fn score(&self) -> Score {
        Score::Bound
    }
    fn passes(&self, steps: Option<usize>) -> Result<Vec<Vec<f32>>> {
        bound_passes(self, steps)
    }
    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        bound_graph(self, batch)
    }
}

impl Denoises for Normal {
    fn process(&self) -> &Process {
        &self.process
    }
    fn variance(&self) -> Variance {
        Variance::FixedSmall
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn value_levels(&self) -> Option<usize> {
        None
    }
    fn classes(&self) -> usize {
        0
    }
    fn denoise(&self, g: &mut Graph, x: NodeId, head: NodeId, _: Told) -> Result<Denoised> {
        let n = g.shape(x).dims()[0];
        let flows = self.process.schedule() == Schedule::Flow;
        let [skip, out] = [2, 3].map(|k| {
            let column = g.slice(head, 1, k, 1)?;
            g.reshape(column, [n, 1, 1, 1])
        });
        let variance = self.sd * self.sd;
        // Asked for v, skip is α and out is −σ; a flow has α = 1 − σ.
        let x0 = g.map(&[x, skip?, out?], |b, v| {
            let sigma = b.neg(v[2]);
            let one = b.constant(1.0);
            let alpha = if flows { b.sub(one, sigma) } else { v[1] };
            let noise = b.mul(sigma, sigma);
            let item = b.mul(alpha, alpha);
            let item = b.scale(item, variance);
            let both = b.add(item, noise);
            let share = b.div(alpha, both);
            let share = b.scale(share, variance);
            b.mul(v[0], share)
        })?;
        Ok(Denoised { x0, share: None })
    }
}
