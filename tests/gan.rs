//! The adversarial models: counts, gradients with the penalty included, the theory's constants, and refusals.

mod support;

use kiln::Result;
use kiln::cpu::{Arena, CpuProgram, CpuState};
use kiln::data::{Binarization, Kind};
use kiln::graph::{Graph, Init, NodeId, Plan, Rule, StateSpec, Step, Update};
use kiln::model::gan::{DISCRIMINATOR, Family, GENERATOR, Gan, Loss, Mode, Norm, between, gradient_penalty, r1};
use kiln::model::{self, DataSpec, Model};
use kiln::random::Draws;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::wait::Wait;
use support::{Bench, normals};

fn images(side: usize, channels: usize, classes: usize) -> DataSpec {
    DataSpec { dims: [side, side, channels], classes, kind: Kind::Pixels, binarization: Binarization::None, mean: None }
}

fn points() -> DataSpec {
    DataSpec { dims: [1, 1, 2], classes: 8, kind: Kind::Points, binarization: Binarization::None, mean: None }
}

fn hyper(pairs: &str) -> toml::Table {
    pairs.parse().expect("TOML")
}

fn adam(group: usize) -> Update {
    let rule = Rule::Adam { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
    Update::new(group, rule)
}

/// First values of a model in double precision.
fn initial(spec: &StateSpec) -> CpuState<f64> {
    let mut state = CpuState::new(spec);
    for (k, id) in spec.ids().into_iter().enumerate() {
        let mut draws = Draws::new(3, 9, k as u32);
        let target: &mut [f64] = state.tensor_mut(id, Arena::Value);
        for (i, t) in target.iter_mut().enumerate() {
            *t = match &spec.spec(id).init {
                Init::Constant(v) => f64::from(*v),
                Init::Uniform(bound) => f64::from(draws.range(-bound, *bound)),
                Init::Normal(deviation) => f64::from(deviation * draws.normal()),
                Init::NearOne(deviation) => 1.0 + f64::from(deviation * draws.normal()),
                Init::UniformMasked(bound, mask) => f64::from(draws.range(-bound, *bound) * mask[i]),
                Init::UniformAround(bound, centre) => f64::from(centre[i] + draws.range(-bound, *bound)),
                Init::Values(values) => f64::from(values[i]),
            };
        }
    }
    state
}

#[test]
fn parameters_are_those_of_the_peers() -> Result<()> {
    for (side, channels, total, generator) in [(32, 1, 1_728_128, 1_066_880), (64, 3, 6_342_272, 3_576_704)] {
        let model = Gan::new(Family::Dcgan, &hyper(""), &images(side, channels, 0))?;
        assert_eq!(model.state().parameters(true), total);
        let of_generator: usize = model.state().trained(GENERATOR).iter().map(|id| model.state().spec(*id).shape.len()).sum();
        assert_eq!(of_generator, generator);
        let names: Vec<&str> = model.state().groups.iter().flat_map(|g| &g.tensors).map(|t| t.name.as_str()).collect();
        for name in ["generator.deconv1.weight", "generator.norm1.running_var", "discriminator.conv1.weight", "discriminator.norm2.bias"] {
            assert!(names.contains(&name), "{name}");
        }
        assert!(!names.contains(&"discriminator.norm1.weight"));
    }
    Ok(())
}

/// Runs whole iterations on fixed data and returns a metric after each.
fn train(model: &dyn Model, batch: usize, steps: u32, rate: f32, metric: &str) -> Result<Vec<f64>> {
    let spec = model.state();
    let graph = model.train_graph(batch, &adam)?;
    let mut state = initial(spec);
    let mut program = CpuProgram::<f64>::new(Plan::new(&graph, spec, true), Arena::Value);
    let count = graph.shape(graph.inputs()["x"]).len();
    program.write("x", &normals(count, 77).iter().map(|v| v.tanh()).collect::<Vec<_>>())?;
    if let Some(labels) = graph.inputs().get("labels") {
        let shape = graph.shape(*labels).clone();
        let one_hot: Vec<f64> =
            (0..shape.len()).map(|i| f64::from(u8::from(i / shape.channels() % shape.channels() == i % shape.channels()))).collect();
        program.write("labels", &one_hot)?;
    }
    (1..=steps)
        .map(|step| {
            let updates = model.updates_at(u64::from(step));
            program.run(&mut state, &Step { seed: 2, step, learning_rate: [0.0, rate, 0.0, 0.0], updates, ..Step::default() });
            Ok(program.read(&state, metric)?[0])
        })
        .collect()
}

#[test]
fn every_model_and_loss_takes_steps_that_lower_ds_loss() -> Result<()> {
    let small = "filters = 4\nlatent = 3\nk = 2\nhidden = 12\njudge = 10\npieces = 2\n";
    for conditional in ["", "conditional = true\n"] {
        for (family, data) in [
            (Family::Gan, images(5, 1, 4)),
            (Family::Dcgan, images(16, 2, 4)),
            (Family::Wgan, images(16, 1, 4)),
            (Family::WganGp, images(28, 1, 4)),
        ] {
            let model = Gan::new(family, &hyper(&format!("{small}{conditional}")), &data)?;
            let losses = train(&model, 6, 5, 1e-3, "loss")?;
            assert!(losses[4] < losses[0], "{family:?} {conditional:?}: {losses:?}");
        }
        for loss in ["minimax", "non-saturating", "wasserstein", "least-squares", "hinge"] {
            let text = format!("{small}{conditional}loss = \"{loss}\"\n");
            let model = Gan::new(Family::Gan, &hyper(&text.replace("pieces = 2", "pieces = 1")), &points())?;
            let losses = train(&model, 16, 6, 1e-3, "loss")?;
            assert!(losses[5] < losses[0], "{loss} {conditional:?}: {losses:?}");
        }
    }
    Ok(())
}

/// The gradients of an adversarial loss by a group's tensors, against central differences in `f64`.
fn check_gradients(
    model: &Gan,
    batch: usize,
    group: usize,
    tolerance: f64,
    loss: impl Fn(&mut Graph, NodeId, NodeId) -> Result<NodeId>,
) -> Result<()> {
    let spec = model.state();
    let mut g = Graph::new();
    let [h, w, c] = [16, 16, 1];
    let real = g.input("x", [batch, h, w, c]);
    let z = g.input("z", [batch, model.config().latent]);
    let fake = model.generate(&mut g, z, None, Mode::Train)?;
    let loss = loss(&mut g, real, fake)?;
    let gradients = g.group_gradients(loss, spec, &adam(group))?;
    g.output("loss", loss);
    for (k, gradient) in gradients.iter().enumerate() {
        g.output(&format!("grad{k}"), *gradient);
    }
    let mut program = CpuProgram::<f64>::new(Plan::new(&g, spec, true), Arena::Value);
    program.write("x", &normals(batch * h * w * c, 5).iter().map(|v| v.tanh()).collect::<Vec<_>>())?;
    program.write("z", &normals(batch * model.config().latent, 6))?;
    let mut state = initial(spec);
    // Weights of .02 leave logits near 0 and nothing to see in the penalty.
    let factor = if model.config().discriminator_norm == Norm::Batch { 6.0 } else { 1.0 };
    for id in spec.trained(DISCRIMINATOR) {
        state.tensor_mut(id, Arena::Value).iter_mut().for_each(|w| *w *= factor);
    }
    let step = Step { seed: 8, step: 4, ..Step::default() };
    program.run(&mut state, &step);
    for (k, id) in spec.trained(group).into_iter().enumerate() {
        let analytic = program.read(&state, &format!("grad{k}"))?.to_vec();
        let largest = analytic.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for at in (0..analytic.len()).step_by(analytic.len().div_ceil(7)) {
            let mut at_offset = |offset: f64| -> Result<f64> {
                let mut moved = state.clone();
                moved.tensor_mut(id, Arena::Value)[at] += offset;
                program.run(&mut moved, &step);
                Ok(program.read(&moved, "loss")?[0])
            };
            // Small, so that hardly any of the thousands of ReLUs changes sides within it.
            let width = 1e-7;
            let numeric = (at_offset(width)? - at_offset(-width)?) / (2.0 * width);
            // Differences themselves are off by rounding: a bias that cancels has none but that.
            let error = (analytic[at] - numeric).abs() / largest.max(1e-4);
            assert!(error <= tolerance, "{}[{at}]: {} against {numeric}", spec.spec(id).name, analytic[at]);
        }
    }
    Ok(())
}

#[test]
fn wgan_gp_gradients_penalty_included_are_those_of_differences() -> Result<()> {
    let model = Gan::new(Family::WganGp, &hyper("filters = 3\nlatent = 4"), &images(16, 1, 0))?;
    check_gradients(&model, 3, DISCRIMINATOR, 1e-4, |g, real, fake| {
        let [_, real_logits] = model.judge(g, real, None, Mode::Train)?;
        let [_, fake_logits] = model.judge(g, fake, None, Mode::Train)?;
        let wasserstein = Loss::Wasserstein.discriminator(g, real_logits, fake_logits, 0.0)?;
        let x = between(g, real, fake)?;
        let [_, logits] = model.judge(g, x, None, Mode::Train)?;
        let penalty = gradient_penalty(g, logits, x)?;
        let penalty = g.scale(penalty, 10.0)?;
        g.add(wasserstein, penalty)
    })
}

#[test]
fn gradients_with_r1_are_those_of_differences() -> Result<()> {
    let model = Gan::new(Family::Dcgan, &hyper("filters = 3\nlatent = 4\ndiscriminator_norm = \"none\""), &images(16, 1, 0))?;
    check_gradients(&model, 3, DISCRIMINATOR, 1e-4, |g, real, fake| {
        let [_, real_logits] = model.judge(g, real, None, Mode::Train)?;
        let [_, fake_logits] = model.judge(g, fake, None, Mode::Train)?;
        let loss = Loss::NonSaturating.discriminator(g, real_logits, fake_logits, 0.0)?;
        let slopes = r1(g, real_logits, real)?;
        let slopes = g.scale(slopes, 10.0)?;
        g.add(loss, slopes)
    })
}

#[test]
fn dcgan_gradients_through_both_networks_are_those_of_differences() -> Result<()> {
    let model = Gan::new(Family::Dcgan, &hyper("filters = 3\nlatent = 4"), &images(16, 1, 0))?;
    for group in [DISCRIMINATOR, GENERATOR] {
        check_gradients(&model, 3, group, 1e-4, |g, real, fake| {
            let [_, fake_logits] = model.judge(g, fake, None, Mode::Train)?;
            if group == GENERATOR {
                return Loss::NonSaturating.generator(g, fake_logits);
            }
            let [_, real_logits] = model.judge(g, real, None, Mode::Train)?;
            Loss::NonSaturating.discriminator(g, real_logits, fake_logits, 0.1)
        })?;
    }
    Ok(())
}

#[test]
fn the_penalty_of_a_linear_critic_is_its_slope_less_one_squared() -> Result<()> {
    for slope in [0.0, 0.25, 1.0, 3.0] {
        let mut b = Bench::new();
        let real = b.leaf([5, 1, 1, 2]);
        let fake = b.leaf([5, 1, 1, 2]);
        let w = b.leaf_of([2], vec![0.6 * slope, -0.8 * slope]);
        let x = between(&mut b.graph, real, fake)?;
        let product = b.graph.mul(x, w)?;
        let logits = b.graph.sum_items(product)?;
        let penalty = gradient_penalty(&mut b.graph, logits, x)?;
        let flat = r1(&mut b.graph, logits, x)?;
        b.graph.output("penalty", penalty);
        b.graph.output("r1", flat);
        let found = b.run::<f64>(true, "penalty")[0];
        assert!((found - (slope - 1.0).powi(2)).abs() < 1e-5, "slope {slope}: {found}");
        let found = b.run::<f64>(true, "r1")[0];
        assert!((found - 0.5 * slope * slope).abs() < 1e-9, "slope {slope}: {found}");
    }
    Ok(())
}

#[test]
fn points_between_lie_on_the_segments_with_one_share_an_item() -> Result<()> {
    let mut b = Bench::new();
    let real = b.leaf_of([4, 1, 1, 3], vec![1.0; 12]);
    let fake = b.leaf_of([4, 1, 1, 3], vec![0.0; 12]);
    let x = between(&mut b.graph, real, fake)?;
    b.graph.output("x", x);
    let shares = b.run::<f64>(true, "x");
    assert!(shares.chunks(3).all(|item| item.iter().all(|v| *v == item[0] && (0.0..1.0).contains(v))), "{shares:?}");
    assert!(shares.chunks(3).any(|item| item[0] != shares[0]));
    Ok(())
}

/// D's value −loss and its gradients by the logits.
fn at_logits(loss: Loss, real: f64, fake: f64) -> Result<[f64; 4]> {
    let mut b = Bench::new();
    let r = b.leaf_of([2], vec![real; 2]);
    let f = b.leaf_of([2], vec![fake; 2]);
    let d = loss.discriminator(&mut b.graph, r, f, 0.0)?;
    let player = loss.generator(&mut b.graph, f)?;
    let slopes = b.graph.gradients(d, &[r, f])?;
    let of_generator = b.graph.gradients(player, &[f])?;
    for (name, node) in [("d", d), ("real", slopes[0]), ("fake", slopes[1]), ("g", of_generator[0])] {
        b.graph.output(name, node);
    }
    Ok(["d", "real", "fake", "g"].map(|name| b.run::<f64>(true, name)[0]))
}

#[test]
fn at_equilibrium_the_value_is_minus_log_4_and_d_has_no_slope() -> Result<()> {
    // D = ½ everywhere: the value is −ln 4, and where p = q the pulls of data and of fakes cancel.
    let [d, real, fake, _] = at_logits(Loss::NonSaturating, 0.0, 0.0)?;
    assert!((d - 4.0f64.ln()).abs() < 1e-12);
    assert!((real + fake).abs() < 1e-12);
    Ok(())
}

#[test]
fn losses_and_gradients_are_finite_for_every_logit() -> Result<()> {
    for loss in [Loss::Minimax, Loss::NonSaturating, Loss::Wasserstein, Loss::LeastSquares, Loss::Hinge] {
        for logit in [-1e4, -100.0, 0.0, 100.0, 1e4] {
            let found = at_logits(loss, logit, -logit)?;
            assert!(found.iter().all(|v| v.is_finite()), "{loss:?} at {logit}: {found:?}");
        }
    }
    // A sure discriminator leaves the minimax generator no gradient, and the other one a whole one.
    let [.., saturated] = at_logits(Loss::Minimax, 30.0, -30.0)?;
    let [.., whole] = at_logits(Loss::NonSaturating, 30.0, -30.0)?;
    assert!(saturated.abs() < 1e-9 && (whole.abs() - 0.5).abs() < 1e-9, "{saturated} {whole}");
    Ok(())
}

#[test]
fn the_value_of_the_best_d_is_minus_log_4_plus_2_jsd() -> Result<()> {
    // Logits of D* = p/(p + q) on a fine grid, with the two densities as weights of the engine's losses.
    for (mean, jsd) in [(0.5, 0.03031), (1.0, 0.11142), (2.0, 0.33683), (4.0, 0.63272)] {
        let (n, low, high) = (4000, -8.0, 12.0);
        let width = (high - low) / n as f64;
        let at = |i: usize| low + (i as f64 + 0.5) * width;
        let density = |x: f64, m: f64| (-0.5 * (x - m).powi(2)).exp() / std::f64::consts::TAU.sqrt();
        let mut b = Bench::new();
        let logits = b.leaf_of([n], (0..n).map(|i| 0.5 * mean * mean - mean * at(i)).collect());
        let p = b.leaf_of([n], (0..n).map(|i| density(at(i), 0.0) * width).collect());
        let q = b.leaf_of([n], (0..n).map(|i| density(at(i), mean) * width).collect());
        let loss = b.graph.map(&[logits, p, q], |e, v| {
            let (real, fake) = (Loss::Minimax.of_real(e, v[0], 0.0), Loss::Minimax.of_fake(e, v[0]));
            let (real, fake) = (e.mul(v[1], real), e.mul(v[2], fake));
            e.add(real, fake)
        })?;
        let total = b.graph.sum_all(loss)?;
        b.graph.output("loss", total);
        let value = -b.run::<f64>(true, "loss")[0];
        assert!((value - (-(4.0f64.ln()) + 2.0 * jsd)).abs() < 2e-5, "m = {mean}: {value}");
    }
    Ok(())
}

#[test]
fn clipping_bounds_weights_and_leaves_statistics_alone() -> Result<()> {
    let model = Gan::new(Family::Wgan, &hyper("filters = 4\nlatent = 3"), &images(16, 1, 0))?;
    let graph = model.train_graph(4, &adam)?;
    let mut state = initial(model.state());
    let mut program = CpuProgram::<f64>::new(Plan::new(&graph, model.state(), true), Arena::Value);
    program.write("x", &normals(4 * 5 * 256, 3))?;
    program.run(&mut state, &Step { step: 1, learning_rate: [0.1; 4], updates: model.updates_at(1), ..Step::default() });
    for id in model.state().trained(DISCRIMINATOR) {
        assert!(state.tensor(id, Arena::Value).iter().all(|w| w.abs() <= 0.010_001));
    }
    let variance = model.state().ids().into_iter().find(|id| model.state().spec(*id).name == "discriminator.norm2.running_var");
    assert!(state.tensor(variance.expect("a norm"), Arena::Value).iter().any(|v| *v > 0.1));
    Ok(())
}

#[test]
fn k_updates_of_one_run_are_counted_one_by_one() -> Result<()> {
    let model = Gan::new(Family::WganGp, &hyper("latent = 2\nhidden = 4\njudge = 4\nk = 3"), &points())?;
    let plan = Plan::new(&model.train_graph(4, &adam)?, model.state(), true);
    let step = Step { updates: model.updates_at(2), ..Step::default() };
    let counts = |group: usize| -> Vec<u32> {
        let updates = plan.actions.iter().enumerate();
        let own = updates.filter(|(_, a)| matches!(a, kiln::graph::Action::Update(u) if u.group == group));
        own.map(|(at, _)| plan.step_of(at, &step).updates[group]).collect()
    };
    assert_eq!(counts(DISCRIMINATOR), [4, 5, 6]);
    assert_eq!(counts(GENERATOR), [2]);
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_in_a_sentence() {
    let refused = [
        ("dcgan", "conditional = true", images(32, 1, 0), "labelled"),
        ("dcgan", "", images(31, 1, 0), "must be even"),
        ("dcgan", "k = 0", images(32, 1, 0), "k must be"),
        ("dcgan", "latent = 0", images(32, 1, 0), "latent"),
        ("wgan", "penalty = 10", images(32, 1, 0), "clip and penalty"),
        ("wgan-gp", "discriminator_norm = \"batch\"", images(32, 1, 0), "batch norm mixes"),
        ("dcgan", "r1 = 1", images(32, 1, 0), "r1=0"),
        ("dcgan", "r1 = -1", images(32, 1, 0), "r1 must be at least 0"),
        ("gan", "r1 = 1", images(28, 1, 0), "dropout=0"),
        ("wgan-gp", "label_smoothing = 0.1", images(32, 1, 0), "targets"),
        ("gan", "loss = \"best\"", images(28, 1, 0), "gan:"),
        ("gan", "depth = 3", images(28, 1, 0), "gan:"),
        ("dcgan", "", points(), "convolutions"),
    ];
    for (name, pairs, data, part) in refused {
        let pairs = if name == "dcgan" && data.kind == Kind::Points { "form = \"conv\"" } else { pairs };
        match model::build(name, &hyper(pairs), &data) {
            Ok(_) => panic!("{name} {pairs}: not refused"),
            Err(e) => {
                let said = e.to_string();
                assert!(said.contains(part) && !said.contains('\n'), "{name} {pairs}: {said}");
                assert_eq!(e.exit_code(), 2);
            }
        }
    }
}

#[test]
fn first_scales_of_norms_depend_on_the_seed() -> Result<()> {
    let model = Gan::new(Family::Dcgan, &hyper("filters = 4"), &images(16, 1, 0))?;
    let id = model.state().ids().into_iter().find(|id| model.state().spec(*id).name == "generator.norm1.weight").expect("the scale");
    let scales = |seed| State::initial(&Device::CPU, model.state(), seed)?.read(id, Arena::Value).wait();
    assert_eq!(scales(1)?, scales(1)?);
    assert_ne!(scales(1)?, scales(2)?);
    assert!(scales(2)?.iter().all(|s| (s - 1.0).abs() < 0.1));
    Ok(())
}

#[test]
fn averaged_weights_go_with_averaged_statistics() -> Result<()> {
    let model = Gan::new(Family::Dcgan, &hyper("filters = 4\nlatent = 6"), &images(8, 1, 0))?;
    let mut state = State::initial(&Device::CPU, model.state(), 1)?;
    let graph = model.train_graph(8, &|group| Update { average: true, ..adam(group) })?;
    let mut program = Program::new(&Device::CPU, &graph, &state, Weights::Current).wait()?;
    program.write("x", &normals(8 * 64, 5).iter().map(|v| v.tanh() as f32).collect::<Vec<_>>())?;
    let named = |name: &str| model.state().ids().into_iter().find(|id| model.state().spec(*id).name == name).expect("a tensor");
    let ids = ["generator.norm1.running_mean", "generator.norm1.running_var"].map(named);
    let mut average: Vec<Vec<f32>> = ids.iter().map(|id| state.read(*id, Arena::Value).wait()).collect::<Result<_>>()?;
    for at in 1..=20 {
        let step = Step {
            seed: 1,
            step: at,
            learning_rate: [0.01; 4],
            ema_decay: 0.9,
            updates: model.updates_at(u64::from(at)),
            ..Step::default()
        };
        program.run(&mut state, &step).wait()?;
        for (id, average) in ids.iter().zip(&mut average) {
            average.iter_mut().zip(state.read(*id, Arena::Value).wait()?).for_each(|(a, v)| *a = 0.9 * *a + 0.1 * v);
        }
    }
    for (id, average) in ids.iter().zip(&average) {
        let kept = state.read(*id, Arena::Average).wait()?;
        assert!(kept.iter().zip(average).all(|(a, b)| (a - b).abs() < 1e-5), "{kept:?} {average:?}");
        assert_ne!(kept, state.read(*id, Arena::Value).wait()?);
    }
    // Averaged weights draw as a model whose weights and statistics are the averages.
    let mut alone = State::initial(&Device::CPU, model.state(), 2)?;
    for id in model.state().ids() {
        alone.write(id, Arena::Value, &state.read(id, Arena::Average).wait()?)?;
    }
    let z: Vec<f32> = normals(8 * 6, 6).iter().map(|v| *v as f32).collect();
    let draw = |state: &mut State, weights| -> Result<Vec<f32>> {
        let graph = model.decodes().expect("a generator").decode_graph(8)?;
        let mut program = Program::new(&Device::CPU, &graph, state, weights).wait()?;
        program.write("z", &z)?;
        program.run(state, &Step::default()).wait()?;
        program.read(state, "x").wait()
    };
    assert_eq!(draw(&mut state, Weights::Average)?, draw(&mut alone, Weights::Current)?);
    Ok(())
}
