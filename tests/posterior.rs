//! Latents of images that are known in part: chains come to p(z | kept), searches to where it is densest.

mod support;

use kiln::cpu::Arena;
use kiln::data::Kind;
use kiln::model::Model;
use kiln::runtime::{Device, State, Weights};
use kiln::sample::posterior::{Kept, Posterior};
use kiln::sample::target::Target;
use kiln::sample::{latents, mala, search};
use kiln::wait::Wait;
use support::models::{build, images, initial};

const DIMS: [usize; 3] = [3, 2, 1];
const MASK: [bool; 6] = [true, false, true, true, false, false];

/// A model of one latent, with weights so large that what is kept tells much of it.
fn made(name: &str, hyper: &str, larger: &str) -> (Box<dyn Model>, State) {
    let model = build(name, hyper, &images(DIMS, Kind::Pixels)).expect("model");
    let mut state = initial(&*model);
    for id in model.state().ids().into_iter().filter(|id| model.state().spec(*id).name == larger) {
        let values: Vec<f32> = state.read(id, Arena::Value).wait().expect("tensor").iter().map(|v| 8.0 * v).collect();
        state.write(id, Arena::Value, &values).expect("tensor");
    }
    (model, state)
}

/// ln p(z | kept) on a grid of step 1/120, up to a constant.
fn grid(posterior: &mut Posterior, state: &mut State, kept: &Kept<'_>) -> (Vec<f32>, Vec<f64>) {
    let z: Vec<f32> = (0..1201).map(|i| (i as f32 - 600.0) / 120.0).collect();
    let mut along = posterior.along(state, kept, z.len());
    let chunk = along.chunk();
    let value = z.chunks(chunk).enumerate().flat_map(|(part, z)| along.of(part * chunk, z).wait().expect("values").0).collect();
    (z, value)
}

#[test]
fn chains_come_to_the_posterior_and_searches_to_its_top() {
    for (name, hyper, larger) in [
        ("vae", "hidden = 12\nlatent = 1\nlikelihood = 'bernoulli'", "decoder.logits.weight"),
        ("vae", "hidden = 12\nlatent = 1\nlikelihood = 'gaussian'\nscale = 0.3", "decoder.hidden.weight"),
        ("gan", "hidden = 12\njudge = 12\nlatent = 1", "generator.output.weight"),
    ] {
        let (model, mut state) = made(name, hyper, larger);
        let image = [0.9, 0.5, 0.2, 0.8, 0.5, 0.5];
        let kept = Kept { images: &image, mask: &MASK, labels: (&[], 0) };
        let mut posterior = Posterior::new(&Device::CPU, (&*model, &state, Weights::Current), 0.3, 256).wait().expect("posterior");
        let (z, value) = grid(&mut posterior, &mut state, &kept);
        let top = value.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // −ln p of each kept value and ½z², worked out from what the decoder makes.
        let decoded =
            kiln::sample::latent::decode(&Device::CPU, &*model, &mut state, Weights::Current, &z, (&[], 0)).wait().expect("images");
        let by_hand = |i: usize| -> f64 {
            let kept = (0..6).filter(|at| MASK[*at]).map(|at| {
                let (x, made) = (f64::from(image[at]), f64::from(decoded[i * 6 + at]));
                match hyper.contains("bernoulli") {
                    true => x * made.ln() + (1.0 - x) * (1.0 - made).ln(),
                    false => -0.5 * ((x - made) / 0.3).powi(2),
                }
            });
            kept.sum::<f64>() - 0.5 * f64::from(z[i] * z[i])
        };
        // Where what is made stands near black or white, pictures say less of it than the density knows.
        let told = |i: &usize| decoded[i * 6..(i + 1) * 6].iter().all(|v| (0.02..0.98).contains(v));
        let told: Vec<usize> = (0..1201).step_by(10).filter(told).collect();
        let off: Vec<f64> = told.iter().map(|i| value[*i] - by_hand(*i)).collect();
        assert!(off.len() > 10 || hyper.contains("gaussian"), "{name}: {} latents to compare at", off.len());
        assert!(off.iter().all(|other| (other - off[0]).abs() < 2e-3), "{name}: the density is another: {off:?}");

        let n = 3000;
        let many = image.repeat(n);
        let kept_many = Kept { images: &many, mask: &MASK, labels: (&[], 0) };
        let mut along = posterior.along(&mut state, &kept_many, 1);
        let starts = latents(3, 0, n, 1);
        let ended = mala::walk(&mut along, &starts, 150, 5, || {}).wait().expect("chains");
        assert!((0.4..0.75).contains(&ended.acceptance), "{name}: {}", ended.acceptance);
        let mut sorted = ended.z.clone();
        sorted.sort_by(f32::total_cmp);
        // Largest distance between the two distribution functions (Kolmogorov), which of n draws is below 1.95/√n but once in a thousand.
        let total: f64 = value.iter().map(|v| (v - top).exp()).sum();
        let (mut sum, mut far): (f64, f64) = (0.0, 0.0);
        for (z, value) in z.iter().zip(&value) {
            let share = |edge: f32| sorted.partition_point(|other| *other <= edge) as f64 / n as f64;
            sum += (value - top).exp() / total;
            far = far.max((share(z + 0.5 / 120.0) - sum).abs());
        }
        assert!(far < 1.95 / (n as f64).sqrt(), "{name}: distribution functions {far} apart");

        let mut along = posterior.along(&mut state, &kept, 8);
        let found = search::climb(&mut along, &latents(4, 0, 8, 1), 300, || {}).wait().expect("search").best_of(8);
        // The top may lie between two points of the grid.
        assert!(found.value.len() == 1 && (-1e-3..0.02).contains(&(found.value[0] - top)), "{name}: {} of {top}", found.value[0]);
    }
}

#[test]
fn an_adapter_makes_the_same_of_it() {
    let gpu = match Device::open("gpu").wait() {
        Ok(gpu) => gpu,
        Err(reason) => {
            assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "{reason}");
            return eprintln!("skipped: {reason}");
        }
    };
    for (name, hyper) in [("cvae", "hidden = 12\nlatent = 2"), ("gan", "hidden = 12\njudge = 12\nlatent = 2\nconditional = true")] {
        let model = build(name, hyper, &images(DIMS, Kind::Pixels)).expect("model");
        let image = [0.9, 0.5, 0.2, 0.8, 0.5, 0.5, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let kept = Kept { images: &image, mask: &MASK, labels: (&[3, 7], 10) };
        let z = latents(3, 0, 6, 2);
        let [cpu, gpu] = [&Device::CPU, &gpu].map(|device| {
            let mut state = State::initial(device, model.state(), 3).expect("state");
            let mut posterior = Posterior::new(device, (&*model, &state, Weights::Current), 0.3, 4).wait().expect("posterior");
            // Three latents of each image, four at a time: the second part begins within an image.
            let mut along = posterior.along(&mut state, &kept, 3);
            let parts = [along.of(0, &z[..8]).wait().expect("values"), along.of(4, &z[8..]).wait().expect("values")];
            parts.into_iter().flat_map(|(value, slope)| value.into_iter().chain(slope.into_iter().map(f64::from))).collect::<Vec<f64>>()
        });
        assert_eq!(cpu.len(), 6 + 12);
        support::close(&gpu, &cpu, 1e-4, name);
    }
}
