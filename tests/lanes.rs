//! Runs in lanes, shared by ranks that are threads of this process: the same bits for any number of ranks.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use kiln::cpu::Arena;
use kiln::ranks::{Ranks, together};
use kiln::runtime::Device;
use kiln::train::{Files, Observer, Order, Recipe, RunFolder, Silent, Trainer, parse_settings};
use kiln::wait::Wait;
use support::adapter;

const STEPS: u64 = 3;
const CHECKPOINT: &str = "checkpoint.safetensors";

/// A small network of a model, and data for it.
fn small(model: &str) -> (&'static str, &'static str) {
    const DIGITS: &str = "builtin:digits";
    match model {
        "pixelcnn" => (DIGITS, "blocks=1 hidden=4 head=4 first_kernel=3"),
        "gated-pixelcnn" => (DIGITS, "layers=2 hidden=4 head=4 conditional=true binarization=dynamic"),
        "pixelcnn-pp" => (DIGITS, "filters=2 blocks=1 stages=2 dropout=0.3 accumulate=2"),
        "pixelrnn" => (DIGITS, "layers=1 hidden=4 head=4 binarization=dynamic"),
        "diffusion" => {
            (DIGITS, "filters=4 multipliers=[1,1] blocks=1 attention=[8] head_channels=4 timesteps=20 importance=true dropout=0.1")
        }
        "vae" => (DIGITS, "form=conv filters=4 latent=2"),
        "cvae" | "autoencoder" => (DIGITS, "hidden=8 latent=2"),
        "classifier" => (DIGITS, "hidden=8"),
        "gan" => (DIGITS, "hidden=8 judge=8 latent=4"),
        "wgan" | "wgan-gp" => (DIGITS, "hidden=8 judge=8 latent=4 k=2"),
        "dcgan" => (DIGITS, "filters=2 latent=4 ema=0.9"),
        "rnn" => ("builtin:waves", "hidden=4 layers=1 window=16"),
        "wavenet" => ("builtin:waves", "residual=4 skip=4 head=4 depth=2 stacks=1 window=16"),
        other => panic!("{other} has no small network here"),
    }
}

fn recipe(model: &str, device: &Device, lanes: usize) -> kiln::Result<Recipe> {
    let (source, own) = small(model);
    let size = if source == "builtin:digits" { "resize=16" } else { "" };
    let words = format!("{own} {size} lanes={lanes} log_every=1 sample_every=0 valid_every=2 valid_items=4 tensorboard=false");
    let settings: Vec<String> = words.split_whitespace().map(String::from).collect();
    let order = Order {
        model: model.into(),
        source: source.into(),
        seed: 1,
        settings: parse_settings(&settings)?,
        batch: Some(16),
        steps: Some(STEPS),
        limit: Some(96),
        ..Order::default()
    };
    order.recipe(device)
}

fn start(ranks: &Ranks, model: &str, device: &Device, lanes: usize) -> kiln::Result<Trainer> {
    let recipe = Recipe::hand_out(ranks, || recipe(model, device, lanes))?;
    let mut trainer = Trainer::start(device, recipe, RunFolder::in_memory(Files::new())).wait()?;
    trainer.join(ranks)?;
    Ok(trainer)
}

/// What a run of several ranks leaves in the folder of the first; the others leave nothing.
fn files(model: &str, ranks: usize, lanes: usize, open: impl Fn() -> Device + Sync) -> Files {
    let left = together(ranks, |ranks| {
        let mut trainer = start(&ranks, model, &open(), lanes)?;
        trainer.run(&AtomicBool::new(false), &mut Silent).wait()?;
        Ok((ranks.rank(), trainer.folder().files()))
    });
    let mut left: Vec<(usize, Files)> = left.into_iter().map(|left| left.unwrap_or_else(|e| panic!("{model}: {e}"))).collect();
    assert!(left[1..].iter().all(|(_, files)| !files.contains_key(CHECKPOINT)), "{model}");
    left.swap_remove(0).1
}

/// Losses of the steps.
fn losses(files: &Files) -> Vec<f64> {
    let text = String::from_utf8(files["metrics.jsonl"].clone()).expect("text");
    text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["loss"].as_f64()).collect()
}

fn numbers_agree(model: &str, numbers: &[usize], lanes: usize, open: impl Fn() -> Device + Sync) {
    let one = files(model, 1, lanes, &open);
    assert_eq!(losses(&one).len(), STEPS as usize, "{model}");
    for &ranks in numbers {
        let several = files(model, ranks, lanes, &open);
        assert_eq!(losses(&one), losses(&several), "{model} by {ranks} ranks");
        for name in [CHECKPOINT, "recipe.toml"] {
            assert!(one[name] == several[name], "{name} of {model} by {ranks} ranks");
        }
    }
}

#[test]
fn every_model_has_the_same_bits_for_any_number_of_ranks() {
    for model in kiln::model::names() {
        numbers_agree(model, &[2, 4, 8], 8, || Device::CPU);
    }
}

#[test]
fn on_an_adapter_too() {
    for model in ["pixelcnn", "dcgan"] {
        let Some(_) = adapter() else { return };
        numbers_agree(model, &[2], 4, || Device::open("gpu").wait().expect("an adapter"));
    }
}

#[test]
fn the_mean_over_lanes_is_that_of_the_batch() {
    for model in ["pixelcnn", "classifier", "rnn"] {
        let [one, eight] = [1, 8].map(|lanes| files(model, 1, lanes, || Device::CPU));
        for (a, b) in losses(&one).iter().zip(losses(&eight)) {
            assert!((a - b).abs() <= 2e-5 * a.abs(), "{model}: {a} and {b}");
        }
        assert!(!String::from_utf8_lossy(&one["recipe.toml"]).contains("lanes"));
        assert!(String::from_utf8_lossy(&eight["recipe.toml"]).contains("lanes = 8"));
    }
}

/// Asks for a stop after a step.
struct Stopper<'a>(&'a AtomicBool, u64);

impl Observer for Stopper<'_> {
    fn step(&mut self, step: u64) {
        self.0.store(step == self.1, Ordering::Relaxed);
    }
}

#[test]
fn one_rank_that_is_asked_stops_all_and_another_number_goes_on() {
    let whole = files("dcgan", 1, 4, || Device::CPU);
    let left = together(4, |ranks| {
        let mut trainer = start(&ranks, "dcgan", &Device::CPU, 4)?;
        let stop = AtomicBool::new(false);
        let mut stopper = Stopper(&stop, if ranks.rank() == 3 { 1 } else { 0 });
        let outcome = trainer.run(&stop, &mut stopper).wait()?;
        assert!(outcome.stopped && outcome.step == 2);
        Ok((ranks.is_first(), trainer.folder().files()))
    });
    let (_, first) = left.into_iter().map(|left| left.expect("a run")).find(|(first, _)| *first).expect("the first rank");
    let place = tempfile::tempdir().expect("a folder");
    first
        .iter()
        .filter(|(name, _)| !name.contains('/'))
        .for_each(|(name, bytes)| std::fs::write(place.path().join(name), bytes).expect(name));
    let done = together(2, |ranks| {
        let folder = RunFolder::hand_out_run(&ranks, place.path())?;
        let mut trainer = Trainer::go_on(&Device::CPU, folder, None).wait()?;
        trainer.join(&ranks)?;
        trainer.run(&AtomicBool::new(false), &mut Silent).wait()
    });
    assert!(done.into_iter().all(|done| done.expect("a run").step == STEPS));
    assert!(std::fs::read(place.path().join(CHECKPOINT)).expect("a checkpoint") == whole[CHECKPOINT]);
}

#[test]
fn weights_that_drift_apart_stop_the_run() {
    let ended = together(2, |ranks| {
        let mut trainer = start(&ranks, "classifier", &Device::CPU, 2)?;
        if ranks.rank() == 1 {
            let (_, state) = trainer.model_and_state();
            let id = state.spec().ids()[0];
            let mut values = state.read(id, Arena::Value).wait()?;
            values[0] += 1e-3;
            state.write(id, Arena::Value, &values)?;
        }
        let ended = trainer.run(&AtomicBool::new(false), &mut Silent).wait();
        assert!(ranks.is_known() && !trainer.folder().files().contains_key(CHECKPOINT));
        ended
    });
    for ended in ended {
        let words = ended.expect_err("a drift").to_string();
        assert!(words.contains("rank 1") && words.contains("--resume"), "{words}");
    }
}

#[test]
fn ranks_that_cannot_share_are_refused() {
    let said = |ranks: usize, model: &'static str, seeds: bool| {
        let ended = together(ranks, |ranks| {
            let mut recipe = recipe(model, &Device::CPU, 2)?;
            recipe.seed += if seeds { ranks.rank() as u64 } else { 0 };
            let mut trainer = Trainer::start(&Device::CPU, recipe, RunFolder::in_memory(Files::new())).wait()?;
            trainer.join(&ranks)
        });
        ended.into_iter().map(|ended| ended.expect_err("a refusal")).inspect(|e| assert_eq!(e.exit_code(), 2)).map(|e| e.to_string()).next()
    };
    assert!(said(4, "classifier", false).expect("words").contains("--set lanes=4"));
    assert!(said(2, "classifier", true).expect("words").contains("the recipe"));
}
