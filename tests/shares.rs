//! Scores and bounds that ranks share, as threads of this process: the same bits for any number of ranks.

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kiln::data::{self, OpenOptions, Source, Split};
use kiln::eval::{self, Figure, LikelihoodOptions};
use kiln::model::{Model, need};
use kiln::ranks::{Ranks, together};
use kiln::runtime::{Device, State};
use kiln::train::{Files, Order, RunFolder, Silent, Trainer, parse_settings};
use kiln::wait::Wait;
use kiln::{Error, Result};
use support::adapter;

/// Not a multiple of a batch, of a block or of a number of ranks.
const ITEMS: usize = 37;
const BATCH: usize = 8;

/// A small network of a model, and settings of its data.
const MODELS: [(&str, &str); 10] = [
    ("pixelcnn", "blocks=1 hidden=4 head=4 first_kernel=3"),
    ("gated-pixelcnn", "layers=2 hidden=4 head=4 conditional=true binarization=dynamic"),
    ("gated-pixelcnn", "layers=2 hidden=4 head=4 scales=2"),
    ("pixelcnn-pp", "filters=2 blocks=1 stages=2"),
    ("pixelrnn", "layers=1 hidden=4 head=4 binarization=dynamic"),
    ("diffusion", "filters=4 multipliers=[1,1] blocks=1 attention=[8] head_channels=4 timesteps=20"),
    ("vae", "form=conv filters=4 latent=2"),
    ("cvae", "hidden=8 latent=2"),
    ("wavenet", "residual=4 skip=4 head=4 depth=2 stacks=1 window=16"),
    ("classifier", "hidden=8"),
];

fn source_of(model: &str) -> &'static str {
    if model == "wavenet" { "builtin:waves" } else { "builtin:digits" }
}

fn trainer(model: &str, own: &str, device: &Device) -> Result<Trainer> {
    let words = match source_of(model) {
        "builtin:digits" => format!("{own} resize=16"),
        _ => own.to_string(),
    };
    let more = "log_every=1 sample_every=0 valid_every=1 valid_items=37 tensorboard=false";
    let settings: Vec<String> = words.split_whitespace().chain(more.split_whitespace()).map(String::from).collect();
    let order = Order {
        model: model.into(),
        source: source_of(model).into(),
        seed: 1,
        settings: parse_settings(&settings)?,
        batch: Some(8),
        steps: Some(1),
        limit: Some(96),
        ..Order::default()
    };
    Trainer::start(device, order.recipe(device)?, RunFolder::in_memory(Files::new())).wait()
}

/// What ranks are told of `ITEMS` items by a job, the same on all of them.
fn told<T: PartialEq + std::fmt::Debug + Send>(
    ranks: usize,
    (model, own): (&str, &str),
    open: &(impl Fn() -> Device + Sync),
    job: &(impl Fn(&Device, &dyn Model, &mut State, Arc<dyn Source>, &LikelihoodOptions) -> Result<T> + Sync),
) -> T {
    let told = together(ranks, |ranks| {
        let device = open();
        let mut trainer = trainer(model, own, &device)?;
        let data = trainer.recipe().data.clone();
        let options = OpenOptions { limit: Some(ITEMS), reading: data.reading.clone(), ..OpenOptions::default() };
        let source = data::open(source_of(model), Split::Test, &options)?;
        let options = LikelihoodOptions { batch: BATCH, seed: 5, binarization: data.binarization, ranks, ..LikelihoodOptions::default() };
        let (model, state) = trainer.model_and_state();
        job(&device, model, state, source, &options)
    });
    let mut told: Vec<T> = told.into_iter().map(|told| told.unwrap_or_else(|e| panic!("{model}: {e}"))).collect();
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{model}: ranks are told different things");
    told.swap_remove(0)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// All that a model tells of the items.
#[derive(PartialEq, Debug)]
struct Told {
    lists: Vec<(String, Vec<u64>)>,
    map: Vec<u32>,
    accuracy: Option<[u64; 3]>,
}

fn all(device: &Device, model: &dyn Model, state: &mut State, source: Arc<dyn Source>, options: &LikelihoodOptions) -> Result<Told> {
    let source = || Arc::clone(&source);
    let mut told = Told { lists: Vec::new(), map: Vec::new(), accuracy: None };
    let mut last = 0;
    let hear = |done: usize| {
        assert!(done > last && done <= ITEMS, "{done} after {last}");
        last = done;
    };
    if model.judges().is_some() {
        let classes = source().classes();
        let found = eval::accuracy(device, model, state, (source(), classes), options, hear).wait()?;
        assert_eq!((found.count, last), (ITEMS, ITEMS));
        told.accuracy = Some([found.share, found.error, found.nats].map(f64::to_bits));
        return Ok(told);
    }
    let per_pixel = model.bounds().is_none();
    let options = LikelihoodOptions { per_pixel, ..options.clone() };
    let scores = eval::score(device, model, state, source(), &options, hear).wait()?;
    // Of four ranks one has none of the three blocks that passes are added up in.
    assert!(scores.nll.len() == ITEMS && (last == ITEMS || last == 0 && options.ranks.count() == 4), "{last}");
    told.lists = scores.parts.iter().map(|(name, values)| (name.clone(), bits(values))).collect();
    told.lists.push(("nll".into(), bits(&scores.nll)));
    told.lists.push(("passes".into(), bits(&scores.passes)));
    told.map = scores.map.iter().map(|v| v.to_bits()).collect();
    if model.bounds().is_some() {
        let found = eval::importance_bound(device, model, state, source(), &options, 20, |_| {}).wait()?;
        told.lists.extend([("iw".into(), bits(&found.nll)), ("variance".into(), bits(&found.variance))]);
        told.lists.push(("effective".into(), bits(&found.effective)));
    }
    if model.denoises().is_some() {
        let found = eval::flow_likelihood(device, model, state, source(), (&options, 4), |_| {}).wait()?;
        told.lists.extend([("flow".into(), bits(&found.nll)), ("halved".into(), bits(&found.halved))]);
    }
    Ok(told)
}

#[test]
fn every_score_has_the_same_bits_for_any_number_of_ranks() {
    for model in MODELS {
        let one = told(1, model, &|| Device::CPU, &all);
        assert!(one.accuracy.is_some() || one.lists.iter().all(|(name, list)| name == "passes" || list.len() == ITEMS), "{model:?}");
        for ranks in [2, 3, 4] {
            assert!(told(ranks, model, &|| Device::CPU, &all) == one, "{model:?} by {ranks} ranks");
        }
    }
}

#[test]
fn on_an_adapter_too() {
    for model in [MODELS[0], MODELS[7]] {
        let Some(_) = adapter() else { return };
        let open = || Device::open("gpu").wait().expect("an adapter");
        assert!(told(2, model, &open, &all) == told(1, model, &open, &all), "{model:?}");
    }
}

#[test]
fn more_ranks_than_items_leave_some_without_any() {
    let few = |device: &Device, model: &dyn Model, state: &mut State, source, options: &LikelihoodOptions| {
        let scores = eval::score(device, model, state, data::subset(source, 2)?, options, |_| {}).wait()?;
        Ok(bits(&scores.nll))
    };
    for model in [MODELS[0], MODELS[5]] {
        assert_eq!(told(4, model, &|| Device::CPU, &few), told(1, model, &|| Device::CPU, &few));
    }
}

/// The terms of a bound are means over items: nothing of the batch is left in them, and their sum is the bound.
#[test]
fn terms_of_a_bound_do_not_depend_on_the_batch() {
    let terms = |batch: usize| {
        told(1, MODELS[5], &|| Device::CPU, &|device, model, state, source, options| {
            let options = LikelihoodOptions { batch, ..options.clone() };
            let scores = eval::score(device, model, state, source, &options, |_| {}).wait()?;
            let sum: f64 = scores.passes.iter().sum();
            let mean = Figure::of(&scores.nll, 1).nats;
            assert!((sum / mean - 1.0).abs() < 1e-9, "{sum} and {mean}");
            Ok(bits(&scores.passes))
        })
    };
    assert_eq!(terms(1), terms(7));
    assert_eq!(terms(1), terms(64));
}

#[test]
fn what_one_rank_cannot_score_is_the_failure_of_all() {
    let refused = together(2, |ranks| {
        let mut trainer = trainer("pixelcnn", MODELS[0].1, &Device::CPU)?;
        // The second rank's data are of another size.
        let resize = if ranks.is_first() { 16 } else { 8 };
        let mut reading = trainer.recipe().data.reading.clone();
        reading.size = Some([resize, resize]);
        let source = data::open("builtin:digits", Split::Test, &OpenOptions { limit: Some(4), reading, ..OpenOptions::default() })?;
        let options = LikelihoodOptions { ranks: ranks.clone(), ..LikelihoodOptions::default() };
        let (model, state) = trainer.model_and_state();
        let scores = eval::score(&Device::CPU, need::scores(model).map(|_| model)?, state, source, &options, |_| {}).wait();
        assert!(ranks.is_known());
        scores
    });
    let words: Vec<String> = refused.into_iter().map(|scores| scores.expect_err("a refusal").to_string()).collect();
    assert_eq!(words[0], words[1]);
}

/// The validation score of a run after its first step.
#[test]
fn validation_is_shared() {
    let valid = |ranks: usize, lanes: usize| -> Vec<u64> {
        let logged = together(ranks, |ranks: Ranks| {
            let mut trainer = trainer("diffusion", &format!("{} lanes={lanes}", MODELS[5].1), &Device::CPU)?;
            trainer.join(&ranks)?;
            trainer.run(&AtomicBool::new(false), &mut Silent).wait()?;
            let lines = trainer.folder().metrics();
            let valid = lines.iter().find_map(|line| line["valid"].as_f64()).ok_or_else(|| Error::Training("no score".into()))?;
            Ok(valid.to_bits())
        });
        logged.into_iter().map(|valid| valid.expect("a score")).collect()
    };
    let one = valid(1, 4);
    assert_eq!(valid(2, 4), [one[0]; 2]);
    assert_eq!(valid(4, 4), [one[0]; 4]);
}
