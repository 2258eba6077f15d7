//! The theory of adversarial training on densities that are known: the best discriminator, the value of the game, and the two
//! objectives a generator can have (Goodfellow et al., 2014, sections 3 and 4).

use crate::error::Result;
use crate::graph::{Distribution, Graph, NodeId, Rule, StateSpec, Step, Update};
use crate::model::gan::Loss;
use crate::nn::{Linear, Start};
use crate::runtime::{Device, Program, State, Weights};

/// Units of the discriminator's two hidden layers.
const HIDDEN: usize = 32;
/// Items of each kind a step.
const BATCH: usize = 512;
/// Points that densities are summed over, from `LOW` to `HIGH` around both means.
const GRID: usize = 2048;
const LOW: f64 = -7.0;
const HIGH: f64 = 11.0;

/// What a discriminator between N(0, 1) and N(m, 1) came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Game {
    /// The generator's mean m.
    pub mean: f64,
    /// The Jensen–Shannon divergence of the two densities, nats.
    pub jsd: f64,
    /// The value E ln D + E ln(1 − D) of the trained discriminator, both expectations by summing the densities.
    pub value: f64,
    /// (x, D(x), D*(x)) over the line.
    pub curve: Vec<[f64; 3]>,
    /// The largest |D − D*| where either density is above a thousandth of its peak.
    pub error: f64,
}

impl Game {
    /// The value of the best discriminator, −ln 4 + 2·JSD (theorem 1).
    pub fn best(&self) -> f64 {
        -(4.0f64.ln()) + 2.0 * self.jsd
    }
}

fn density(x: f64, mean: f64) -> f64 {
    (-0.5 * (x - mean).powi(2)).exp() / std::f64::consts::TAU.sqrt()
}

fn at(i: usize) -> f64 {
    LOW + (i as f64 + 0.5) * (HIGH - LOW) / GRID as f64
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The divergence of N(0, 1) from N(m, 1), nats, by summing over the line.
pub fn jensen_shannon(mean: f64) -> f64 {
    let width = (HIGH - LOW) / GRID as f64;
    let term = |i: usize| {
        let (p, q) = (density(at(i), 0.0), density(at(i), mean));
        let half = 0.5 * (p + q);
        0.5 * width * (p * (p / half).ln() + q * (q / half).ln())
    };
    (0..GRID).map(term).sum()
}

/// A discriminator of points on the line.
struct Judge {
    spec: StateSpec,
    layers: Vec<Linear>,
}

impl Judge {
    fn new() -> Self {
        let mut spec = StateSpec::default();
        let group = spec.group("discriminator");
        let sizes = [[1, HIDDEN], [HIDDEN, HIDDEN], [HIDDEN, 1]];
        let layers = sizes.iter().enumerate();
        let layers = layers.map(|(i, size)| Linear::new(&mut spec, group, &format!("layers.{i}"), *size, Start::FanIn)).collect();
        Self { spec, layers }
    }

    fn logits(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let mut h = x;
        for (i, layer) in self.layers.iter().enumerate() {
            h = if i == 0 { h } else { g.tanh(h)? };
            h = layer.apply(g, &self.spec, h)?;
        }
        Ok(h)
    }
}

/// Trains a discriminator between N(0, 1), the data, and N(m, 1), a generator that stands still.
///
/// # Errors
/// Those of the device.
pub async fn play(device: &Device, mean: f64, steps: u32, seed: u64) -> Result<Game> {
    let judge = Judge::new();
    let mut g = Graph::new();
    let streams = [g.stream(), g.stream()];
    let real = g.random(Distribution::Normal, streams[0], [BATCH, 1])?;
    let noise = g.random(Distribution::Normal, streams[1], [BATCH, 1])?;
    let fake = g.map(&[noise], |b, v| b.offset(v[0], mean))?;
    let (real, fake) = (judge.logits(&mut g, real)?, judge.logits(&mut g, fake)?);
    let loss = Loss::Minimax.discriminator(&mut g, real, fake, 0.0)?;
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let update = Update::new(0, rule);
    let gradients = g.group_gradients(loss, &judge.spec, &update)?;
    g.update(&judge.spec, update, &gradients)?;
    let mut state = State::initial(device, &judge.spec, seed)?;
    let mut program = Program::new(device, &g, &state, Weights::Current).await?;
    for step in 1..=steps {
        // The rate falls to a hundredth, so that the noise of the last batches averages out.
        let rate = 1e-2 * 0.01f32.powf(step as f32 / steps as f32);
        program.run(&mut state, &Step { seed, step, learning_rate: [rate; 4], updates: [step; 4], ..Step::default() }).await?;
    }
    let mut g = Graph::new();
    let x = g.input("x", [GRID, 1]);
    let logits = judge.logits(&mut g, x)?;
    g.output("logits", logits);
    let mut program = Program::new(device, &g, &state, Weights::Current).await?;
    program.write("x", &(0..GRID).map(|i| at(i) as f32).collect::<Vec<_>>())?;
    program.run(&mut state, &Step::default()).await?;
    let logits: Vec<f64> = program.read(&state, "logits").await?.iter().map(|l| f64::from(*l)).collect();
    Ok(measure(mean, &logits))
}

fn measure(mean: f64, logits: &[f64]) -> Game {
    let width = (HIGH - LOW) / GRID as f64;
    let mut game = Game { mean, jsd: jensen_shannon(mean), value: 0.0, curve: Vec::new(), error: 0.0 };
    for (i, &logit) in logits.iter().enumerate() {
        let (x, p, q) = (at(i), density(at(i), 0.0), density(at(i), mean));
        game.value -= width * (p * softplus(-logit) + q * softplus(logit));
        let (d, best) = (1.0 / (1.0 + (-logit).exp()), 1.0 / (1.0 + (mean * x - 0.5 * mean * mean).exp()));
        if p.max(q) > 1e-3 * density(0.0, 0.0) {
            game.error = game.error.max((d - best).abs());
            game.curve.push([x, d, best]);
        }
    }
    game
}

/// The two objectives of a generator over D's logit, and their slopes as the engine computes them: rows of logit, ln(1 − D), −ln D,
/// and the two derivatives by the logit.
///
/// # Errors
/// Those of the device.
pub async fn objectives(device: &Device) -> Result<Vec<[f64; 5]>> {
    let count = 161;
    let logits: Vec<f32> = (0..count).map(|i| -8.0 + 0.1 * i as f32).collect();
    let mut g = Graph::new();
    let l = g.input("l", [count]);
    for (loss, names) in [(Loss::Minimax, ["minimax", "minimax slope"]), (Loss::NonSaturating, ["saving", "saving slope"])] {
        let each = g.map(&[l], |b, v| loss.of_generator(b, v[0]))?;
        let sum = g.sum_all(each)?;
        let slope = g.gradients(sum, &[l])?[0];
        g.output(names[0], each);
        g.output(names[1], slope);
    }
    let spec = StateSpec::default();
    let mut state = State::new(device, &spec)?;
    let mut program = Program::new(device, &g, &state, Weights::Current).await?;
    program.write("l", &logits)?;
    program.run(&mut state, &Step::default()).await?;
    let columns = ["minimax", "saving", "minimax slope", "saving slope"];
    let columns = program.read_all(&state, &columns).await?;
    Ok((0..count).map(|i| [logits[i], columns[0][i], columns[1][i], columns[2][i], columns[3][i]].map(f64::from)).collect())
}
