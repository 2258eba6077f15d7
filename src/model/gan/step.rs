//! One full iteration as one graph: k discriminator steps, each on a batch of its own, and a generator step; no readback between.

use super::conv::Met;
use super::penalty::{between, gradient_penalty, r1};
use super::{DISCRIMINATOR, GENERATOR, Gan, STATISTICS};
use crate::error::Result;
use crate::graph::{Distribution, Graph, NodeId, Unary, Update};
use crate::nn::BatchNorm2d;
use crate::op::Reduction;

/// A generated batch and the statistics met while making it.
struct Fake {
    x: NodeId,
    labels: Option<NodeId>,
    met: Met,
}

impl Gan {
    /// The graph of an iteration: inputs `x` (and `labels`) of `batch·k` items, split among the k steps; outputs are the metrics.
    pub(super) fn iteration(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let [h, w, c] = self.dims;
        let k = self.config.k;
        let mut g = Graph::new();
        let all = g.input("x", [batch * k, h, w, c]);
        let all_labels = self.labels(&mut g, batch * k);
        let mut last = None;
        for step in 0..k {
            let real = g.slice(all, 0, step * batch, batch)?;
            let labels = match all_labels {
                Some(all) => Some(g.slice(all, 0, step * batch, batch)?),
                None => None,
            };
            let fake = self.fake(&mut g, batch, labels)?;
            self.discriminator_step(&mut g, real, &fake, update, step + 1 == k)?;
            last = Some(fake);
        }
        // k ≥ 1, so there is one; the last batch of fakes serves both players.
        if let Some(fake) = last {
            self.generator_step(&mut g, &fake, update)?;
        }
        Ok(g)
    }

    /// A batch from fresh noise. Fakes take the labels of the data, so both sides have classes in the same shares.
    fn fake(&self, g: &mut Graph, batch: usize, labels: Option<NodeId>) -> Result<Fake> {
        let stream = g.stream();
        let z = g.random(Distribution::Normal, stream, [batch, self.config.latent])?;
        let mut met = Some(Vec::new());
        let x = self.generate_met(g, z, labels, &mut met)?;
        Ok(Fake { x, labels, met })
    }

    /// One update of D. Real and generated batches go through it apart, so batch norm never mixes them.
    fn discriminator_step(&self, g: &mut Graph, real: NodeId, fake: &Fake, update: &dyn Fn(usize) -> Update, told: bool) -> Result<()> {
        let config = &self.config;
        let (mut met, mut of_fakes) = (Some(Vec::new()), Some(Vec::new()));
        let [_, real_logits] = self.judge_met(g, real, fake.labels, true, &mut met)?;
        let [_, fake_logits] = self.judge_met(g, fake.x, fake.labels, true, &mut of_fakes)?;
        let mut loss = config.loss.discriminator(g, real_logits, fake_logits, config.label_smoothing)?;
        if told {
            let said = [("d_real", real_logits), ("d_fake", fake_logits)];
            for (name, logits) in said {
                let opinion = config.loss.opinion(g, logits)?;
                g.output(name, opinion);
            }
            // Of the values, not of D's features: batch norm blows the differences inside a collapsed batch up again, dropout makes new
            // ones, and a critic's features make next to nothing of a sound batch of low contrast.
            let spread = spread_ratio(g, [real, fake.x])?;
            g.output("spread", spread);
        }
        if config.penalty > 0.0 {
            let x = between(g, real, fake.x)?;
            let [_, logits] = self.judge_met(g, x, fake.labels, true, &mut Some(Vec::new()))?;
            let penalty = gradient_penalty(g, logits, x)?;
            loss = plus(g, loss, config.penalty, penalty)?;
        }
        if config.r1 > 0.0 {
            let penalty = r1(g, real_logits, real)?;
            loss = plus(g, loss, config.r1, penalty)?;
        }
        let clamp = (config.clip > 0.0).then_some(config.clip as f32);
        let update = Update { clamp, ..update(DISCRIMINATOR) };
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        if told {
            g.output("loss", loss);
            let norm = norm(g, &gradients, &update)?;
            g.output("grad_d", norm);
        }
        g.update(&self.spec, update.clone(), &gradients)?;
        // What is kept of D judges data, so its running statistics are those of data.
        met.iter().flatten().try_for_each(|moments| moments.track(g, &self.spec))?;
        BatchNorm2d::average(g, &self.spec, STATISTICS[DISCRIMINATOR], &update)
    }

    fn generator_step(&self, g: &mut Graph, fake: &Fake, update: &dyn Fn(usize) -> Update) -> Result<()> {
        let [_, logits] = self.judge_met(g, fake.x, fake.labels, true, &mut Some(Vec::new()))?;
        let loss = self.config.loss.generator(g, logits)?;
        g.output("loss_g", loss);
        let update = update(GENERATOR);
        let gradients = g.group_gradients(loss, &self.spec, &update)?;
        let norm = norm(g, &gradients, &update)?;
        g.output("grad_g", norm);
        g.update(&self.spec, update.clone(), &gradients)?;
        fake.met.iter().flatten().try_for_each(|moments| moments.track(g, &self.spec))?;
        BatchNorm2d::average(g, &self.spec, STATISTICS[GENERATOR], &update)
    }
}

/// loss + weight·penalty, scalars both.
fn plus(g: &mut Graph, loss: NodeId, weight: f64, penalty: NodeId) -> Result<NodeId> {
    g.map(&[loss, penalty], |b, v| {
        let weighted = b.scale(v[1], weight);
        b.add(v[0], weighted)
    })
}

/// The Euclidean norm of all gradients of an update together.
fn norm(g: &mut Graph, gradients: &[NodeId], update: &Update) -> Result<NodeId> {
    let mut total = None;
    for &gradient in gradients {
        let squares = g.mul(gradient, gradient)?;
        let sum = g.sum_all(squares)?;
        total = Some(match total {
            Some(total) => g.add(total, sum)?,
            None => sum,
        });
    }
    match total {
        Some(total) => {
            let norm = g.map(&[total], |b, v| b.unary(Unary::Sqrt, v[0]))?;
            g.unscaled(norm, update)
        }
        None => g.program(crate::graph::Expr::build(|b| b.constant(0.0)), &[], crate::graph::Shape::scalar()),
    }
}

/// How much items differ within a batch: √(the sum over values of their variance over the batch), of the second over the first; 1 where
/// neither batch has differences, as of one item.
fn spread_ratio(g: &mut Graph, batches: [NodeId; 2]) -> Result<NodeId> {
    let mut spread = |x: NodeId| -> Result<NodeId> {
        let n = g.shape(x).dims()[0];
        let flat = g.reshape(x, [n, g.shape(x).len() / n])?;
        let [_, variance] = g.channel_moments(flat)?;
        let total = g.reduce(Reduction::Sum, variance, 0..2)?;
        g.reshape(total, crate::graph::Shape::scalar())
    };
    let [real, fake] = [spread(batches[0])?, spread(batches[1])?];
    g.map(&[real, fake], |b, v| {
        let [real, fake] = [v[0], v[1]].map(|v| b.offset(v, 1e-12));
        let ratio = b.div(fake, real);
        b.unary(Unary::Sqrt, ratio)
    })
}
