//! Labels by Bayes' rule from the library: a gated PixelCNN of p(x|y) tells which digit an image is, and which image is none.
//!
//! `cargo run --release --example classify`

use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Split};
use kiln::eval::{self, LikelihoodOptions};
use kiln::graph::{Rule, Step, Update};
use kiln::model::{self, DataSpec};
use kiln::runtime::{Device, Program, State, Weights};
use kiln::wait::Wait;

const BATCH: usize = 32;
const STEPS: u32 = 300;
const SEED: u64 = 1;

fn main() -> kiln::Result<()> {
    let device = Device::open("auto").wait()?;
    let digits = data::open("builtin:digits", Split::Train, &OpenOptions::default())?;
    let (classes, binarization) = (digits.classes(), Binarization::Dynamic);
    let about = DataSpec { dims: digits.dims(), classes, kind: digits.kind(), binarization, mean: None };
    // Labels enter every gate, and −ln p(y|x) among the own class and two others is part of the loss.
    let hyper = toml::toml! {
        layers = 5
        hidden = 16
        head = 32
        conditional = true
        label_weight = 10.0
        label_others = 2
    };
    let model = model::build("gated-pixelcnn", &hyper, &about)?;
    println!("{} parameters on {}", model.state().parameters(true), device.name());

    let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let mut state = State::initial(&device, model.state(), SEED)?;
    let train = model.train_graph(BATCH, &|group| Update::new(group, rule))?;
    let mut program = Program::new(&device, &train, &state, Weights::Current).wait()?;
    let (augment, scale) = (Augment::default(), model.scale());
    let options = LoaderOptions { batch: BATCH, seed: SEED, start_step: 0, binarization, scale, augment, prefetch: 4 };
    let mut loader = Loader::new(digits, options)?;
    for at in 1..=STEPS {
        let batch = loader.next()?;
        program.write("x", &batch.values)?;
        program.write("labels", &data::one_hot(&batch.labels, classes, BATCH))?;
        let step = Step { seed: SEED, step: at, learning_rate: [3e-3; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut state, &step).wait()?;
        if at % 100 == 0 {
            let [nll, label] = ["nll", "label_nll"].map(|name| program.read(&state, name).wait().map(|v| v[0]));
            println!("step {at}: −ln p(x|y) {:.2} nats, −ln p(y|x) among three classes {:.3}", nll?, label?);
        }
    }

    // Every image under every class, then Bayes' rule under an even prior.
    let scoring = LikelihoodOptions { batch: 50, seed: SEED, binarization, ..LikelihoodOptions::default() };
    let mut scores = |split| {
        let source = data::open("builtin:digits", split, &OpenOptions { limit: Some(200), ..OpenOptions::default() })?;
        eval::class_scores(&device, model.as_ref(), &mut state, (source, classes), &scoring, |_| {}).wait()
    };
    let (test, valid) = (scores(Split::Test)?, scores(Split::Valid)?);
    let prior = eval::log_prior(&vec![1.0; classes], classes)?;
    let posterior = test.posterior(&prior, 1.0);
    let verdict = posterior.verdict(&test.labels);
    println!("{:.1}% of test digits are told right; −ln p(y|x) {:.3} nats, ECE {:.3}", 100.0 * verdict.accuracy, verdict.nll, verdict.ece);
    let temperature = valid.temperature(&prior);
    let tempered = test.posterior(&prior, temperature).verdict(&test.labels);
    println!("at the temperature {temperature:.2} of the validation digits: {:.3} nats, ECE {:.3}", tempered.nll, tempered.ece);

    // What is less likely than all but a hundredth of the validation digits is refused.
    let nll = |posterior: &eval::Posterior| posterior.log_p_x.iter().map(|v| -v).collect::<Vec<f64>>();
    let threshold = eval::upper_quantile(&nll(&valid.posterior(&prior, 1.0)), 0.01);
    let refused = nll(&posterior).iter().filter(|nll| **nll > threshold).count();
    println!("{refused} of {} test digits are refused: less than {:.1} nats of ln p(x)", test.len(), -threshold);
    Ok(())
}
