//! What a feature network makes of images, and what can be read off its features.

use crate::data::one_hot;
use crate::error::Result;
use crate::graph::{Graph, Rule, StateSpec, Step, Update};
use crate::model::{Model, need};
use crate::nn::{Linear, Start};
use crate::ranks::Ranks;
use crate::runtime::{Device, Program, State, Weights};

/// Images judged at a time.
const CHUNK: usize = 250;

/// What a classifier says of images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Its last hidden layer, `[N, width]`.
    pub features: Vec<f32>,
    /// Features of an image.
    pub width: usize,
    /// The likeliest class of each; empty where the network knows no classes.
    pub labels: Vec<u32>,
    /// Its probability; empty as well.
    pub confidences: Vec<f32>,
}

impl Judged {
    /// What each rank was told of its images, one after another.
    ///
    /// # Errors
    /// As [`Ranks::join`].
    pub fn join(self, ranks: &Ranks) -> Result<Self> {
        // A rank without images has no width.
        let width = ranks.join(&[self.width as u64])?.into_iter().max().unwrap_or(0) as usize;
        let [features, confidences] = [ranks.join(&self.features)?, ranks.join(&self.confidences)?];
        Ok(Self { features, width, labels: ranks.join(&self.labels)?, confidences })
    }

    /// How sure it is of the likeliest class on average, 0 to 1.
    pub fn confidence(&self) -> f64 {
        self.confidences.iter().map(|p| f64::from(*p)).sum::<f64>() / self.confidences.len().max(1) as f64
    }
}

/// Runs a model's feature network over images in the scale of its input.
///
/// # Errors
/// [`crate::Error::Usage`] where the model has no features; those of the device.
pub async fn judge(device: &Device, model: &dyn Model, state: &mut State, images: &[f32], item: usize, classes: usize) -> Result<Judged> {
    let network = need::features(model)?;
    let (mut program, graph, chunk) =
        Program::of_items(device, state, Weights::Current, CHUNK, |items| network.features_graph(items)).await?;
    let knows = graph.outputs().iter().any(|(name, _)| name == "logits");
    let mut judged = Judged::default();
    for part in images.chunks(chunk * item) {
        let count = part.len() / item;
        let mut x = part.to_vec();
        x.resize(chunk * item, 0.0);
        program.write("x", &x)?;
        program.run(state, &Step::default()).await?;
        let features = program.read(state, "features").await?;
        judged.width = features.len() / chunk;
        judged.features.extend_from_slice(&features[..count * judged.width]);
        if knows {
            let logits = program.read(state, "logits").await?;
            let rows = || logits.chunks(classes.max(1)).take(count);
            judged.labels.extend(rows().map(largest));
            judged.confidences.extend(rows().map(|row| {
                let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                1.0 / row.iter().map(|logit| (logit - most).exp()).sum::<f32>()
            }));
        }
    }
    Ok(judged)
}

fn largest(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, v)| if *v > best.1 { (i, *v) } else { best });
    best.0 as u32
}

/// Fits a linear classifier on features and returns its accuracy on others: what is read off features without changing them.
///
/// # Errors
/// Those of the device.
pub async fn linear_accuracy(
    device: &Device,
    train: (&Judged, &[u32]),
    test: (&Judged, &[u32]),
    classes: usize,
    steps: u32,
) -> Result<f64> {
    let (fit, labels) = train;
    let width = fit.width;
    let mut spec = StateSpec::default();
    let group = spec.group("");
    let layer = Linear::new(&mut spec, group, "classes", [width, classes], Start::FanIn);
    let batch = labels.len().clamp(1, 200);
    let mut g = Graph::new();
    let (x, y) = (g.input("x", [batch, width]), g.input("labels", [batch, classes]));
    let logits = layer.apply(&mut g, &spec, x)?;
    let lse = g.log_sum_exp(logits)?;
    let hit = g.mul(logits, y)?;
    let hit = g.sum_items(hit)?;
    let lse = g.reshape(lse, [batch])?;
    let nll = g.sub(lse, hit)?;
    let loss = g.mean_all(nll)?;
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let update = Update::new(group, rule);
    let gradients = g.group_gradients(loss, &spec, &update)?;
    g.update(&spec, update, &gradients)?;
    let mut state = State::initial(device, &spec, 1)?;
    let mut program = Program::new(device, &g, &state, Weights::Current).await?;
    let parts = (labels.len() / batch).max(1);
    for step in 1..=steps {
        let at = (step as usize % parts) * batch;
        program.write("x", &fit.features[at * width..(at + batch) * width])?;
        program.write("labels", &one_hot(&labels[at..at + batch], classes, batch))?;
        let rate = 1e-3 * 0.05f32.powf(step as f32 / steps as f32);
        program.run(&mut state, &Step { seed: 1, step, learning_rate: [rate; 4], updates: [step; 4], ..Step::default() }).await?;
    }
    let (held, truth) = test;
    let mut g = Graph::new();
    let x = g.input("x", [batch, width]);
    let logits = layer.apply(&mut g, &spec, x)?;
    g.output("logits", logits);
    let mut program = Program::new(device, &g, &state, Weights::Current).await?;
    let mut right = 0;
    for (features, truth) in held.features.chunks(batch * width).zip(truth.chunks(batch)) {
        let mut x = features.to_vec();
        x.resize(batch * width, 0.0);
        program.write("x", &x)?;
        program.run(&mut state, &Step::default()).await?;
        let logits = program.read(&state, "logits").await?;
        right += logits.chunks(classes).zip(truth).filter(|(row, t)| largest(row) == **t).count();
    }
    Ok(right as f64 / truth.len().max(1) as f64)
}
