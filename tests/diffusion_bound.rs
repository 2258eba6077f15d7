//! The bound and the flow's log p of diffusion models, against closed forms.

mod support;

use std::sync::Arc;

use kiln::data::{self, Kind, OpenOptions, Source, Split};
use kiln::eval::{self, LikelihoodOptions, Scores};
use kiln::model::noise::Schedule;
use kiln::model::{Model, need};
use kiln::random::Draws;
use kiln::runtime::{Device, State};
use kiln::wait::Wait;
use support::models::{build, images};
use support::normal::Normal;

/// Items of normal values.
struct Values {
    sd: f32,
    count: usize,
    dims: [usize; 3],
}

impl Source for Values {
    fn len(&self) -> usize {
        self.count
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        Kind::Points
    }
    fn class_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> kiln::Result<()> {
        let mut draws = Draws::new(4, 1, index as u32);
        out.iter_mut().for_each(|v| *v = self.sd * draws.normal());
        Ok(())
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn name(&self) -> String {
        "normal values".into()
    }
}

fn scored(model: &dyn Model, source: Arc<dyn Source>, batch: usize, steps: Option<usize>) -> Scores {
    let mut state = State::initial(&Device::CPU, model.state(), 1).expect("state");
    let options = LikelihoodOptions { batch, seed: 2, per_pixel: true, steps, ..LikelihoodOptions::default() };
    eval::score(&Device::CPU, model, &mut state, source, &options, |_| {}).wait().expect("scores")
}

#[test]
fn all_terms_of_the_best_network_are_those_worked_out_apart() {
    // Nats a value of Σ KL over t ≥ 2, with variances fixed small.
    for (schedule, sd, known) in
        [(Schedule::Linear, 0.5, 4.368_516), (Schedule::Cosine, 0.5, 4.756_662), (Schedule::Linear, 0.25, 3.659_800)]
    {
        let dims = [8, 8, 4];
        let model = Normal::new(sd, schedule, 1000, dims);
        let found = scored(&model, Arc::new(Values { sd: sd as f32, count: 64, dims }), 64, Some(1000));
        let values = 256.0;
        let steps = found.part("between").expect("terms") / values;
        assert!((steps - known).abs() < 0.02 * known, "{schedule:?} {sd}: {steps}, not {known}");
        let parts: f64 = ["prior", "between", "decoder"].iter().filter_map(|name| found.part(name)).sum();
        let mean = found.nll.iter().sum::<f64>() / 64.0;
        assert!((parts - mean).abs() < 1e-3 * mean.abs().max(1.0), "the parts add up");
        assert!((found.passes.iter().sum::<f64>() - mean).abs() < 1e-6 * mean.abs().max(1.0), "and so do the passes");
        let map: f64 = found.map.iter().map(|v| f64::from(*v)).sum::<f64>() / 64.0;
        assert!((map - mean).abs() < 1e-3 * mean.abs().max(1.0), "and the values");
        let prior = found.part("prior").expect("prior") / values;
        let last = need::denoises(&model).expect("a network").process().step(999);
        let known = 0.5 * (last.alpha / last.sigma).powi(2) * sd * sd;
        assert!((prior - known).abs() < 0.1 * known, "{prior}, not {known}");
    }
}

#[test]
fn a_bound_lies_above_the_entropy_and_falls_with_its_steps() {
    for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Flow] {
        let (sd, dims) = (0.5, [4, 4, 4]);
        let model = Normal::new(sd, schedule, 1000, dims);
        let entropy = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * sd * sd).ln();
        let of = |steps| {
            let found = scored(&model, Arc::new(Values { sd: sd as f32, count: 128, dims }), 128, Some(steps));
            found.nll.iter().sum::<f64>() / 128.0 / 64.0
        };
        let (few, more, many) = (of(10), of(40), of(400));
        assert!(few > more && more > many && many > entropy - 0.02, "{schedule:?}: {few}, {more}, {many}, entropy {entropy}");
    }
}

#[test]
fn a_bound_does_not_depend_on_the_batch() {
    let dims = [2, 2, 1];
    let model = Normal::new(0.5, Schedule::Cosine, 100, dims);
    let source: Arc<dyn Source> = Arc::new(Values { sd: 0.5, count: 7, dims });
    let whole = scored(&model, Arc::clone(&source), 7, Some(20));
    let parts = scored(&model, source, 3, Some(20));
    assert_eq!(whole.nll, parts.nll);
    assert_eq!(whole.map, parts.map);
}

#[test]
fn a_bound_of_no_such_chain_is_refused() {
    let model =
        build("diffusion", "filters = 8\nmultipliers = [1]\nblocks = 1\nheads = 2\ntimesteps = 50", &images([8, 8, 1], Kind::Pixels))
            .expect("a model");
    let scores = need::scores(model.as_ref()).expect("scores");
    for steps in [0, 1, 51] {
        assert_eq!(scores.passes(Some(steps)).expect_err("refused").exit_code(), 2);
    }
    assert_eq!(scores.passes(None).expect("passes").len(), 50);
    let other = build("vae", "", &images([8, 8, 1], Kind::Pixels)).expect("a model");
    assert!(need::scores(other.as_ref()).expect("scores").passes(Some(5)).is_err());
}

#[test]
fn the_flow_of_the_best_network_tells_the_density() {
    for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Flow] {
        let (sd, dims) = (0.5, [2, 2, 4]);
        let model = Normal::new(sd, schedule, 1000, dims);
        let source: Arc<dyn Source> = Arc::new(Values { sd: sd as f32, count: 6, dims });
        let mut state = State::initial(&Device::CPU, model.state(), 1).expect("state");
        let options = LikelihoodOptions { batch: 4, seed: 2, ..LikelihoodOptions::default() };
        let found =
            eval::flow_likelihood(&Device::CPU, &model, &mut state, Arc::clone(&source), (&options, 400), |_| {}).wait().expect("log p");
        let least = *need::denoises(&model).expect("a network").process().ladder(400).iter().rev().nth(1).expect("a level");
        // Of data with the least noise that is asked about.
        let variance = sd * sd + (least.sigma / least.alpha).powi(2);
        for (index, (nll, halved)) in found.nll.iter().zip(&found.halved).enumerate() {
            let mut values = [0.0; 16];
            source.read(index, &mut values).expect("an item");
            let known: f64 =
                values.iter().map(|v| f64::from(*v).powi(2) / variance / 2.0 + 0.5 * (2.0 * std::f64::consts::PI * variance).ln()).sum();
            assert!((nll - known).abs() < 0.02, "{schedule:?} {index}: {nll}, not {known}");
            assert!((halved - known).abs() < 0.1, "{schedule:?} {index}: {halved} by half the steps, not {known}");
        }
    }
}

#[test]
fn the_ring_of_eight_gaussians_is_scored_as_its_density_says() {
    // Continuous levels: the modes are narrower than the gaps between the least levels of a thousand steps.
    let model = Normal::ring(Schedule::Flow, 1000);
    let options = OpenOptions { limit: Some(400), ..OpenOptions::default() };
    let source = data::open("builtin:gaussians8", Split::Test, &options).expect("points");
    let known: Vec<f64> = (0..source.len())
        .map(|index| {
            let mut point = [0.0; 2];
            source.read(index, &mut point).expect("a point");
            -model.log_p(point.map(f64::from))
        })
        .collect();
    let entropy = known.iter().sum::<f64>() / known.len() as f64;
    let mut state = State::initial(&Device::CPU, model.state(), 1).expect("state");
    let asked = LikelihoodOptions { batch: 100, seed: 2, ..LikelihoodOptions::default() };
    let found = eval::flow_likelihood(&Device::CPU, &model, &mut state, Arc::clone(&source), (&asked, 600), |_| {}).wait().expect("log p");
    let least = *need::denoises(&model).expect("a network").process().ladder(600).iter().rev().nth(1).expect("a level");
    // Around its centre a point is normal, and the least noise that is asked about widens it.
    let wider = 1.0 + (least.sigma / least.alpha / model.sd).powi(2);
    let off: Vec<f64> = found
        .nll
        .iter()
        .zip(&known)
        .map(|(nll, known)| {
            let base = 8f64.ln() + (2.0 * std::f64::consts::PI * model.sd * model.sd).ln();
            nll - (base + wider.ln() + (known - base) / wider)
        })
        .collect();
    // Its trace is estimated by one draw of signs, which where modes part is off by a nat a point, to either side.
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    let error = (off.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt() / off.len() as f64;
    assert!(mean.abs() < 4.0 * error && error < 0.08, "{mean} ± {error} nats off the density");
    // The bound of the best network lies above the entropy by what the discrete steps cost, and by less the more there are.
    let bounds = [100, 1000].map(|steps| scored(&model, Arc::clone(&source), 100, Some(steps)).figure(2).nats);
    assert!(bounds[1] < bounds[0] && (-0.05..0.3).contains(&(bounds[1] - entropy)), "{bounds:?} of {entropy}");
}
