//! A network that knows what the best one knows where data is normal, or a mixture of normals: for it everything has a closed form.

use kiln::data::Scale;
use kiln::error::{Error, Result};
use kiln::graph::{Binary, Graph, NodeId, StateSpec, Unary, Update};
use kiln::model::diffusion::{bound_graph, bound_passes};
use kiln::model::noise::{Process, Schedule, Target, Variance};
use kiln::model::{Defaults, Denoised, Denoises, Model, Optimiser, Score, Scores, Told};

/// E[x₀ | x] of values that are normal with mean 0 and standard deviation `sd`, one a value of `dims`; or of points that are so around one of `centres`,
/// each as often as any other.
pub struct Normal {
    pub sd: f64,
    pub dims: [usize; 3],
    pub centres: Vec<[f64; 2]>,
    process: Process,
    spec: StateSpec,
}

impl Normal {
    /// Of a linear, cosine or flow process; an EDM one tells α by no number of its own.
    pub fn new(sd: f64, schedule: Schedule, steps: usize, dims: [usize; 3]) -> Self {
        let (process, spec) = (Process::new(schedule, Target::V, steps), StateSpec::default());
        Self { sd, dims, centres: Vec::new(), process, spec }
    }

    /// Of the points of `builtin:gaussians8`.
    #[allow(dead_code, reason = "not every test draws points")]
    pub fn ring(schedule: Schedule, steps: usize) -> Self {
        let angle = |k: usize| k as f64 * std::f64::consts::TAU / 8.0;
        let centres = (0..8).map(|k| [2.0 * angle(k).cos(), 2.0 * angle(k).sin()]).collect();
        Self { centres, ..Self::new(0.02, schedule, steps, [1, 1, 2]) }
    }

    /// ln p of a point.
    #[allow(dead_code, reason = "not every test draws points")]
    pub fn log_p(&self, point: [f64; 2]) -> f64 {
        let variance = self.sd * self.sd;
        let near = |c: &[f64; 2]| -((point[0] - c[0]).powi(2) + (point[1] - c[1]).powi(2)) / (2.0 * variance);
        let most = self.centres.iter().map(near).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.centres.iter().map(|c| (near(c) - most).exp()).sum();
        most + (sum / self.centres.len() as f64).ln() - (2.0 * std::f64::consts::PI * variance).ln()
    }

    /// The mean of the centres given a noised point, `[N, 1, 1, 2]`, where α and σ² + α² sd² are `level`, each `[N, 1, 1, 1]`.
    fn centre(&self, g: &mut Graph, x: NodeId, level: [NodeId; 2]) -> Result<NodeId> {
        let parts = [g.slice(x, 3, 0, 1)?, g.slice(x, 3, 1, 1)?];
        let mut means = Vec::new();
        for axis in 0..2 {
            means.push(g.map(&[parts[0], parts[1], level[0], level[1]], |b, v| {
                let mut logits = Vec::new();
                for centre in &self.centres {
                    let away = [0, 1].map(|k| {
                        let at = b.scale(v[2], centre[k]);
                        let away = b.sub(v[k], at);
                        b.mul(away, away)
                    });
                    let squares = b.add(away[0], away[1]);
                    let share = b.div(squares, v[3]);
                    logits.push(b.scale(share, -0.5));
                }
                let most = logits[1..].iter().fold(logits[0], |most, logit| b.binary(Binary::Max, most, *logit));
                let (mut sum, mut mean) = (b.constant(0.0), b.constant(0.0));
                for (logit, centre) in logits.iter().zip(&self.centres) {
                    let power = b.sub(*logit, most);
                    let weight = b.unary(Unary::Exp, power);
                    sum = b.add(sum, weight);
                    let part = b.scale(weight, centre[axis]);
                    mean = b.add(mean, part);
                }
                b.div(mean, sum)
            })?);
        }
        g.concat(means[0], means[1], 3)
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
        let (skip, out) = (skip?, out?);
        let variance = self.sd * self.sd;
        // Asked for v, skip is α and out is −σ; a flow has α = 1 − σ.
        let alpha = g.map(&[skip, out], |b, v| {
            let one = b.constant(1.0);
            if flows { b.add(one, v[1]) } else { v[0] }
        })?;
        let both = g.map(&[alpha, out], |b, v| {
            let (item, noise) = (b.mul(v[0], v[0]), b.mul(v[1], v[1]));
            let item = b.scale(item, variance);
            b.add(item, noise)
        })?;
        let share = g.map(&[alpha, both], |b, v| {
            let share = b.div(v[0], v[1]);
            b.scale(share, variance)
        })?;
        let mut x0 = g.mul(x, share)?;
        if !self.centres.is_empty() {
            let centre = self.centre(g, x, [alpha, both])?;
            x0 = g.map(&[x0, centre, alpha, share], |b, v| {
                let moved = b.mul(v[2], v[3]);
                let one = b.constant(1.0);
                let rest = b.sub(one, moved);
                let rest = b.mul(rest, v[1]);
                b.add(v[0], rest)
            })?;
        }
        Ok(Denoised { x0, share: None })
    }
}
