//! A linear-Gaussian model: x = W z + b + σ·noise. Its likelihood is Gaussian, and with orthogonal columns its posterior is too, and
//! factorises, so that the encoder can be exact (Tipping and Bishop, 1999; Lucas et al., 2019).

mod support;

use std::sync::Arc;

use kiln::cpu::Arena;
use kiln::data::{Binarization, Kind, Source};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::Step;
use kiln::model::{DataSpec, Model};
use kiln::runtime::{Device, State};
use kiln::wait::Wait;
use support::models::{build, initial, run, train};

const D: usize = 6;
const Z: usize = 2;
const SIGMA: f64 = 0.5;
/// Columns of W: at right angles.
const W: [[f64; Z]; D] = [[0.3, 1.0], [-0.6, 0.5], [0.3, 0.0], [0.6, 0.0], [0.0, 0.0], [0.0, 0.75]];
const B: [f64; D] = [0.2, -0.1, 0.4, 0.0, 0.3, -0.5];

fn model() -> Box<dyn Model> {
    let data = DataSpec { dims: [1, 1, D], classes: 0, kind: Kind::Points, binarization: Binarization::None, mean: None };
    build("vae", &format!("layers = 0\nlatent = {Z}\nlikelihood = 'gaussian'\nvariance = 'fixed'\nscale = {SIGMA}"), &data).expect("model")
}

fn length(j: usize) -> f64 {
    W.iter().map(|row| row[j] * row[j]).sum()
}

/// Weights of the model and of its exact posterior: mean W ᵀ(x − b)/(|w|² + σ²), variance σ²/(|w|² + σ²).
fn exact(model: &dyn Model) -> State {
    let mut state = initial(model);
    for id in model.state().ids() {
        let spec = model.state().spec(id);
        let precision = |j: usize| length(j) + SIGMA * SIGMA;
        let values: Vec<f64> = match spec.name.as_str() {
            "decoder.logits.weight" => (0..Z).flat_map(|j| W.iter().map(move |row| row[j])).collect(),
            "decoder.logits.bias" => B.to_vec(),
            "encoder.mean.weight" => W.iter().flat_map(|row| (0..Z).map(|j| row[j] / precision(j)).collect::<Vec<_>>()).collect(),
            "encoder.mean.bias" => (0..Z).map(|j| -W.iter().zip(B).map(|(r, b)| r[j] * b).sum::<f64>() / precision(j)).collect(),
            "encoder.log_var.bias" => (0..Z).map(|j| (SIGMA * SIGMA / precision(j)).ln()).collect(),
            _ => vec![0.0; spec.shape.len()],
        };
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        state.write(id, Arena::Value, &values).expect("write");
    }
    state
}

/// ln N(x; b, WWᵀ + σ²I) of the decoder's W and b, through the Cholesky factor of the covariance.
fn log_p(model: &dyn Model, state: &State, x: &[f32]) -> f64 {
    let tensor = |name: &str| -> Vec<f64> {
        let id = model.state().ids().into_iter().find(|id| model.state().spec(*id).name == name).expect("tensor");
        state.read(id, Arena::Value).wait().expect("read").into_iter().map(f64::from).collect()
    };
    let (w, bias) = (tensor("decoder.logits.weight"), tensor("decoder.logits.bias"));
    let mut l = [[0.0; D]; D];
    for i in 0..D {
        for j in 0..=i {
            let covariance: f64 = (0..Z).map(|k| w[k * D + i] * w[k * D + j]).sum();
            let noise = if i == j { SIGMA * SIGMA } else { 0.0 };
            let rest = covariance + noise - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = if i == j { rest.sqrt() } else { rest / l[j][j] };
        }
    }
    let mut standard = [0.0; D];
    for i in 0..D {
        let before: f64 = (0..i).map(|k| l[i][k] * standard[k]).sum();
        standard[i] = (f64::from(x[i]) - bias[i] - before) / l[i][i];
    }
    let determinant: f64 = (0..D).map(|i| l[i][i].ln()).sum();
    -0.5 * standard.iter().map(|v| v * v).sum::<f64>() - determinant - 0.5 * D as f64 * (2.0 * std::f64::consts::PI).ln()
}

fn mean_log_p(model: &dyn Model, state: &State, x: &[f32]) -> f64 {
    x.chunks(D).map(|x| log_p(model, state, x)).sum::<f64>() / (x.len() / D) as f64
}

/// Moves one of the encoder's tensors off its optimum.
fn disturb(model: &dyn Model, state: &mut State, name: &str, by: f32) {
    let id = model.state().ids().into_iter().find(|id| model.state().spec(*id).name == name).expect("tensor");
    let values: Vec<f32> = state.read(id, Arena::Value).wait().expect("read").iter().map(|v| v + by).collect();
    state.write(id, Arena::Value, &values).expect("write");
}

/// Draws from the model itself.
fn data(count: usize) -> Vec<f32> {
    let noise = support::normals(count * (D + Z), 9);
    let rows = noise.chunks(D + Z);
    rows.flat_map(|n| (0..D).map(|i| ((0..Z).map(|j| W[i][j] * n[D + j]).sum::<f64>() + B[i] + SIGMA * n[i]) as f32).collect::<Vec<_>>())
        .collect()
}

fn weights(model: &dyn Model, state: &mut State, x: &[f32], samples: usize, step: u32) -> Vec<f64> {
    let graph = model.bounds().expect("bound").bound_graph(x.len() / D, samples).expect("graph");
    let step = Step { seed: 3, step, ..Step::default() };
    run(&graph, state, &[("x", x)], &step, "log_weight").into_iter().map(f64::from).collect()
}

#[test]
fn with_the_exact_posterior_every_importance_weight_is_the_likelihood() {
    let model = model();
    let mut state = exact(&*model);
    let x = data(40);
    for (n, row) in weights(&*model, &mut state, &x, 32, 0).chunks(32).enumerate() {
        let want = log_p(&*model, &state, &x[n * D..(n + 1) * D]);
        assert!(row.iter().all(|w| (w - want).abs() < 1e-3), "image {n}: {row:?}, not {want}");
    }
}

#[test]
fn the_elbo_touches_the_likelihood_at_the_optimum_and_is_below_it_elsewhere() {
    let model = model();
    let x = data(2_000);
    let truth = mean_log_p(&*model, &exact(&*model), &x);
    // The reconstruction term of one latent is noisy, so it is averaged over draws; the noise of the mean is measured.
    let elbo = |state: &mut State| -> (f64, f64) {
        let graph = model.scores().expect("bound").likelihood_graph(2_000).expect("graph");
        let means: Vec<f64> = (0..400)
            .map(|draw| {
                let nll = run(&graph, state, &[("x", &x)], &Step { seed: 8, step: draw, ..Step::default() }, "nll");
                -nll.iter().map(|v| f64::from(*v)).sum::<f64>() / 2_000.0
            })
            .collect();
        let mean = means.iter().sum::<f64>() / 400.0;
        let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 399.0;
        (mean, (variance / 400.0).sqrt())
    };
    let (best, error) = elbo(&mut exact(&*model));
    assert!((best - truth).abs() < 1e-3 + 3.0 * error && error < 1.5e-3, "{best} ± {error}, not {truth}");
    for name in ["encoder.mean.weight", "encoder.mean.bias", "encoder.log_var.weight", "encoder.log_var.bias"] {
        let mut state = exact(&*model);
        disturb(&*model, &mut state, name, 0.2);
        let (worse, error) = elbo(&mut state);
        assert!(worse < truth - 3.0 * error, "{name}: {worse} ± {error} against {truth}");
    }
}

#[test]
fn training_reaches_the_optimum_and_never_passes_it() {
    let model = model();
    let mut state = initial(&*model);
    let x = data(1_000);
    for rate in [2e-2, 2e-3, 2e-4] {
        train(&*model, &mut state, &[("x", &x)], 1_000, 1_000, rate, "loss");
    }
    let truth = mean_log_p(&*model, &state, &x);
    let best = mean_log_p(&*model, &exact(&*model), &x);
    assert!(truth > best, "what was learnt fits its data at least as well as what made it: {truth}, {best}");
    let all = weights(&*model, &mut state, &x, 256, 5);
    let elbo = all.iter().sum::<f64>() / all.len() as f64;
    assert!(elbo < truth + 5e-4 && elbo > truth - 5e-3, "{elbo} against {truth}");
}

#[test]
fn the_importance_weighted_bound_rises_with_the_samples_and_stays_below() {
    let model = model();
    let mut state = exact(&*model);
    // A posterior that is off, so that there is a gap to close.
    disturb(&*model, &mut state, "encoder.mean.bias", 0.2);
    disturb(&*model, &mut state, "encoder.log_var.bias", 0.3);
    let x = data(500);
    let all = weights(&*model, &mut state, &x, 256, 1);
    let truth = mean_log_p(&*model, &state, &x);
    let bound = |k: usize| {
        let one = |part: &[f64]| {
            let top = part.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            top + (part.iter().map(|w| (w - top).exp()).sum::<f64>() / part.len() as f64).ln()
        };
        all.chunks(k).map(one).sum::<f64>() / (all.len() / k) as f64
    };
    let bounds: Vec<f64> = [1, 2, 4, 16, 64, 256].into_iter().map(bound).collect();
    assert!(bounds.windows(2).all(|w| w[0] <= w[1]), "{bounds:?}");
    assert!(bounds[0] < truth - 0.05 && bounds[5] < truth + 5e-3 && bounds[5] > truth - 0.02, "{bounds:?} against {truth}");
}

/// Points `[N, 1, 1, D]` held in memory.
struct Held(Vec<f32>);

impl Source for Held {
    fn len(&self) -> usize {
        self.0.len() / D
    }
    fn dims(&self) -> [usize; 3] {
        [1, 1, D]
    }
    fn kind(&self) -> Kind {
        Kind::Points
    }
    fn read(&self, index: usize, out: &mut [f32]) -> kiln::Result<()> {
        out.copy_from_slice(&self.0[index * D..(index + 1) * D]);
        Ok(())
    }
    fn name(&self) -> String {
        "held".into()
    }
}

#[test]
fn the_bounds_error_is_what_it_moves_by_and_its_gap_what_it_lacks() {
    let model = model();
    let mut state = exact(&*model);
    disturb(&*model, &mut state, "encoder.mean.bias", 0.2);
    disturb(&*model, &mut state, "encoder.log_var.bias", 0.3);
    let x = data(20);
    let truth = -mean_log_p(&*model, &state, &x);
    let source: Arc<dyn Source> = Arc::new(Held(x));
    let mut figure = |seed: u64, samples: usize| {
        let options = LikelihoodOptions { batch: 20, seed, ..LikelihoodOptions::default() };
        let scores = eval::importance_bound(&Device::CPU, &*model, &mut state, Arc::clone(&source), &options, samples, |_| {});
        scores.wait().expect("bounds").figure(D)
    };
    // The same twenty images under 300 draws of their 64 latents each.
    let drawn: Vec<_> = (0..300).map(|seed| figure(seed, 64)).collect();
    let mean = |of: &dyn Fn(&eval::ImportanceFigure) -> f64| drawn.iter().map(of).sum::<f64>() / drawn.len() as f64;
    let bound = mean(&|f| f.bound.nats);
    let moved = (drawn.iter().map(|f| (f.bound.nats - bound).powi(2)).sum::<f64>() / 299.0).sqrt();
    let stated = mean(&|f| f.monte_carlo);
    // The spread of 300 draws is itself known to 4%.
    assert!((stated / moved - 1.0).abs() < 0.15, "stated {stated}, moved by {moved}");
    // The mean bound lies above −ln p by what the delta method says, to the error of the mean and a fifth of the gap.
    let (gap, lacks) = (mean(&|f| f.gap), bound - truth);
    assert!((gap - lacks).abs() < 3.0 * moved / 300f64.sqrt() + 0.2 * lacks, "a gap of {gap}, and {lacks} is lacking");
    assert!(gap > 3.0 * moved / 300f64.sqrt(), "the gap of {gap} can be told from the noise");
    assert!(drawn.iter().all(|f| f.bound.error >= f.monte_carlo && f.least_effective > 5.0));
    assert!(figure(0, 1).monte_carlo.is_nan(), "one latent tells nothing of its spread");
}
