//! p(y|x) by Bayes' rule, and as a part of the loss: on images so small that every one of them can be gone through.

#[path = "support/pixels.rs"]
mod pixels;

use kiln::Result;
use kiln::cpu::{Arena, CpuProgram, CpuState};
use kiln::eval;
use kiln::graph::{Plan, Rule, Step, Update};
use kiln::model;
use kiln::model::noise::Level;
use kiln::runtime::{State, Weights};
use kiln::sample::diffusion::Push;
use kiln::sample::guided::{ClassPush, Guide, Proposes, Slopes, reject, resample};
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::sample::twisted::{Grows, Growth, grow};
use kiln::sample::walker::Walker;
use kiln::wait::Wait;

use pixels::{CLASSES, Net, data, domain, job, labels};

const SMALL: &str = "layers = 2\nhidden = 6\nhead = 6\nfirst_kernel = 3\nconditional = true";
const DIMS: [usize; 3] = [3, 3, 1];

fn gated(hyper: &str) -> Result<Net> {
    Net::labelled("gated-pixelcnn", DIMS, 2, &format!("{SMALL}\n{hyper}"))
}

#[test]
fn posteriors_are_those_of_enumeration() -> Result<()> {
    let mut net = gated("")?;
    let images = domain(net.item(), 2);
    // ln p(x|y) value by value, from the logits that images are drawn by.
    let mut enumerated = vec![Vec::new(); CLASSES];
    for (class, log_p) in enumerated.iter_mut().enumerate() {
        net.class = class;
        let logits = net.logits(&images)?;
        let value = |(l, x): (&f32, &f32)| if *x == 1.0 { -f64::from(-l).exp().ln_1p() } else { -f64::from(*l).exp().ln_1p() };
        log_p.extend(logits.chunks(net.item()).zip(images.chunks(net.item())).map(|(l, x)| l.iter().zip(x).map(value).sum::<f64>()));
    }
    let weights = [0.5, 0.3, 0.2];
    let log_prior = eval::log_prior(&weights, CLASSES)?;
    for batch in [512, 7] {
        let posterior = net.score_classes(&images, batch)?.posterior(&log_prior, 1.0);
        let mut total = 0.0;
        for (i, (row, log_p_x)) in posterior.log_p_y.chunks(CLASSES).zip(&posterior.log_p_x).enumerate() {
            let joint: Vec<f64> = (0..CLASSES).map(|c| enumerated[c][i].exp() * weights[c]).collect();
            let sum: f64 = joint.iter().sum();
            assert!((row.iter().map(|p| p.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(row.iter().zip(&joint).all(|(p, j)| (p - (j / sum).ln()).abs() < 1e-4), "image {i}: {row:?}");
            assert!((log_p_x - sum.ln()).abs() < 1e-4);
            total += sum;
        }
        assert!((total - 1.0).abs() < 1e-5, "{total}");
    }
    Ok(())
}

#[test]
fn all_classes_of_an_image_are_bounded_with_the_same_noise() -> Result<()> {
    for (model, hyper) in
        [("cvae", "form = 'mlp'\nhidden = 8\nlatent = 3"), ("diffusion", "preset = 'tiny'\ntimesteps = 4\nconditional = true")]
    {
        let dims = if model == "cvae" { DIMS } else { [8, 8, 1] };
        let mut net = Net::labelled(model, dims, 2, hyper)?;
        let images = net.noise(5, 1);
        let scores = net.score_classes(&images, 2)?;
        for class in 0..CLASSES {
            let alone = net.score_as(class, &images, 5)?.nll;
            let found: Vec<f64> = scores.log_p.chunks(CLASSES).map(|image| -image[class]).collect();
            assert!(alone.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs().max(1.0)), "{model}: {alone:?} {found:?}");
        }
    }
    Ok(())
}

/// A step of training on noise in `f64`: the metrics of a loss with labels, and whether its gradients are those of differences.
fn step_of(hyper: &str, step: u32) -> Result<[f64; 3]> {
    let net = gated(hyper)?;
    let batch = 4;
    let update = |group| Update::new(group, Rule::Sgd { momentum: 0.0 });
    let graph = net.model.train_graph(batch, &update)?;
    let spec = net.model.state();
    let mut state = CpuState::<f64>::new(spec);
    for id in spec.ids() {
        let values = net.state.read(id, Arena::Value).wait()?;
        state.tensor_mut(id, Arena::Value).iter_mut().zip(values).for_each(|(to, from)| *to = f64::from(from));
    }
    let mut program = CpuProgram::<f64>::new(Plan::new(&graph, spec, true), Arena::Value);
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    program.write("x", &wide(net.noise(batch, 2)))?;
    program.write("labels", &wide([labels(1, 2), labels(2, 0), labels(1, 1)].concat()))?;
    let now = Step { seed: 3, step, ..Step::default() };
    program.run(&mut state, &now);
    let told = ["loss", "nll", "label_nll"].map(|name| program.read(&state, name).map(|v| v[0]));
    let [loss, nll, label] = [0, 1, 2].map(|i| *told[i].as_ref().expect("a metric"));
    for id in spec.ids() {
        let gradient = state.tensor(id, Arena::Gradient).to_vec();
        for at in (0..gradient.len()).step_by(gradient.len().div_ceil(3)) {
            let mut moved = |by: f64| -> Result<f64> {
                state.tensor_mut(id, Arena::Value)[at] += by;
                program.run(&mut state, &now);
                state.tensor_mut(id, Arena::Value)[at] -= by;
                Ok(program.read(&state, "loss")?[0])
            };
            let found = (moved(1e-5)? - moved(-1e-5)?) / 2e-5;
            assert!(
                (found - gradient[at]).abs() < 1e-6 * found.abs().max(1.0),
                "{}[{at}]: {found}, not {}",
                spec.spec(id).name,
                gradient[at]
            );
        }
    }
    Ok([loss, nll, label])
}

#[test]
fn a_loss_with_labels_is_the_sum_it_says_and_its_gradients_are_right() -> Result<()> {
    let [loss, nll, label] = step_of("label_weight = 0.7\nlabel_others = 2", 1)?;
    assert!((loss - nll - 0.7 * label).abs() < 1e-9 && label > 0.0);
    // Among all classes it is Bayes' rule under an even prior, whatever is drawn.
    let mut net = gated("")?;
    let scores = net.score_classes(&net.noise(4, 2), 4)?;
    let posterior = scores.posterior(&eval::log_prior(&[1.0; 3], 3)?, 1.0);
    let truth = [2, 0, 0, 1];
    let wanted = -truth.iter().enumerate().map(|(i, class)| posterior.log_p_y[i * CLASSES + class]).sum::<f64>() / 4.0;
    assert!((label - wanted).abs() < 1e-4, "{label}, not {wanted}");
    // Among fewer it is less, and which are drawn differs from step to step.
    let few: Vec<f64> =
        (1..7).map(|step| step_of("label_weight = 1\nlabel_others = 1", step).map(|told| told[2])).collect::<Result<_>>()?;
    assert!(few.iter().all(|label| *label < wanted) && few.iter().any(|label| *label != few[0]), "{few:?}");
    Ok(())
}

#[test]
fn a_weight_for_labels_is_refused_where_it_has_no_meaning() {
    let refusal = |name: &str, hyper: &str, classes: usize| {
        let error = model::build(name, &toml::from_str(hyper).expect("TOML"), &data([8, 8, 1], 2, classes)).err().expect("a refusal");
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    for (name, hyper, word) in [
        ("gated-pixelcnn", "label_weight = 1", "conditional=true"),
        ("pixelcnn", "label_weight = -1\nconditional = true", "not below 0"),
        ("pixelcnn", "label_weight = 'much'\nconditional = true", "expected a number"),
        ("pixelrnn", "label_others = 1\nconditional = true", "label_weight"),
        ("pixelcnn-pp", "label_weight = 1\nlabel_others = 3\nconditional = true\nstages = 1", "1 to 2"),
        ("cvae", "label_weight = 1", "autoregressive"),
        ("diffusion", "label_weight = 1", "autoregressive"),
        ("dcgan", "label_weight = 1", "autoregressive"),
        ("classifier", "label_others = 1", "autoregressive"),
    ] {
        let said = refusal(name, hyper, CLASSES);
        assert!(said.starts_with(name) && said.contains(word), "{name}, {hyper}: {said}");
    }
}

/// A network of 4×4 bits and a classifier of them, both with weights as they are drawn.
struct World {
    net: Net,
    sampler: RasterSampler,
    judge_state: State,
    guide: Guide,
}

const WIDE: [usize; 3] = [4, 4, 1];
/// The class that is asked for.
const WANTED: u32 = 1;

impl World {
    fn new() -> Result<Self> {
        let net = Net::labelled("gated-pixelcnn", WIDE, 2, "layers = 2\nhidden = 8\nhead = 8\nfirst_kernel = 3")?;
        let judge =
            model::build("classifier", &toml::from_str("form = 'mlp'\nhidden = 16\nrows = true").expect("TOML"), &data(WIDE, 2, CLASSES))?;
        let mut judge_state = State::initial(&net.device, judge.state(), 5)?;
        for id in judge.state().ids().into_iter().filter(|id| judge.state().spec(*id).name == "classes.weight") {
            // So that it is sure of some images and not of others.
            let values: Vec<f32> = judge_state.read(id, Arena::Value).wait()?.iter().map(|v| 12.0 * v).collect();
            judge_state.write(id, Arena::Value, &values)?;
        }
        let sampler = RasterSampler::new(&net.device, net.model.as_ref(), &net.state, Weights::Current, Method::Cached).wait()?;
        let guide = Guide::new(&net.device, (judge.as_ref(), &judge_state, Weights::Current), (WANTED, CLASSES), 4096).wait()?;
        Ok(Self { net, sampler, judge_state, guide })
    }

    /// p(x) and p(y|x) of every image.
    fn enumerated(&mut self) -> Result<[Vec<f64>; 2]> {
        let images = domain(16, 2);
        let p = self.net.score(&images, 4096)?.nll.iter().map(|nll| (-nll).exp()).collect();
        let told = self.guide.log_p(&mut self.judge_state, &images).wait()?.iter().map(|l| l.exp()).collect();
        Ok([p, told])
    }
}

impl Grows for World {
    fn grow(&mut self, images: &[f32], rows: usize) -> Result<Vec<f32>> {
        let kept: Vec<bool> = (0..16).map(|at| at < 4 * rows).collect();
        let job = Job { keep: (rows > 0).then_some((images, &kept[..])), ..job(images.len() / 16, 0) };
        Ok(self.sampler.sample(self.net.model.as_ref(), &mut self.net.state, &job).wait()?.images)
    }

    fn promise(&mut self, images: &[f32], rows: usize) -> Result<Vec<f64>> {
        self.guide.log_p_of_rows(&mut self.judge_state, images, rows as f64 / 4.0).wait()
    }
}

impl Proposes for World {
    fn propose(&mut self, first: usize, count: usize) -> Result<(Vec<f32>, Vec<f64>)> {
        let drawn = self.sampler.sample(self.net.model.as_ref(), &mut self.net.state, &job(count, first)).wait()?;
        let log_p = self.guide.log_p(&mut self.judge_state, &drawn.images).wait()?;
        Ok((drawn.images, log_p))
    }
}

/// χ² of images beside probabilities of all images, in groups by the first six values and by the last two.
fn chi_squared(images: &[f32], p: &[f64]) -> f64 {
    let group = |code: usize| code % 64 + 64 * (code >> 14);
    let code = |image: &[f32]| image.iter().enumerate().map(|(v, bit)| (*bit as usize) << v).sum::<usize>();
    let (mut found, mut wanted, n) = (vec![0.0; 256], vec![0.0; 256], (images.len() / 16) as f64);
    images.chunks(16).for_each(|image| found[group(code(image))] += 1.0);
    p.iter().enumerate().for_each(|(code, p)| wanted[group(code)] += n * p);
    assert!(wanted.iter().all(|w| *w > 5.0), "groups large enough for a χ²");
    found.iter().zip(&wanted).map(|(f, w): (&f64, &f64)| (f - w).powi(2) / w).sum()
}

#[test]
fn guided_images_are_distributed_as_the_posterior_of_enumeration() -> Result<()> {
    let mut world = World::new()?;
    let [p, told] = world.enumerated()?;
    let p_y: f64 = p.iter().zip(&told).map(|(p, t)| p * t).sum();
    let posterior: Vec<f64> = p.iter().zip(&told).map(|(p, t)| p * t / p_y).collect();
    // 255 degrees of freedom: five standard deviations above their mean.
    let most = 255.0 + 5.0 * (2.0f64 * 255.0).sqrt();
    let n = 20_000;
    let kept = reject(&mut world, n, 1_000_000, 3)?;
    let found = chi_squared(&kept.images, &posterior);
    assert!(found < most, "by rejection: χ² {found}");
    let acceptance = n as f64 / kept.drawn as f64;
    let error = (p_y * (1.0 - p_y) / kept.drawn as f64).sqrt();
    assert!((acceptance - p_y).abs() < 4.0 * error && (kept.mean_p - p_y).abs() < 4.0 * error, "{acceptance}, {}, {p_y}", kept.mean_p);
    // Which are kept does not depend on how many are asked for.
    let few = reject(&mut world, 40, 1_000_000, 3)?;
    assert_eq!(few.numbers, kept.numbers[..40]);
    let taken = resample(&mut world, n, 10 * n, 3)?;
    let found = chi_squared(&taken.images, &posterior);
    assert!(found < most, "by resampling: χ² {found}");
    assert!((taken.mean_p - p_y).abs() < 4.0 * error && taken.effective < 10.0 * n as f64);
    for (enough, copies) in [(0.0, 0), (1.1, 3)] {
        let how = Growth { particles: 5 * n, wanted: n, rows: 4, item: 16, block: 1, enough, seed: 3 };
        let mut blocks = 0;
        let grown = grow(&mut world, &how, || blocks += 1)?;
        let found = chi_squared(&grown.images, &posterior);
        assert!(found < most, "by sequential Monte Carlo, copied {copies} times: χ² {found}");
        assert_eq!((blocks, grown.copied), (4, copies));
        assert!((grown.log_p_y.exp() / p_y - 1.0).abs() < 0.03 && grown.effective > n as f64 / 2.0, "{}, not {p_y}", grown.log_p_y.exp());
    }
    // A classifier of rows looks at no others.
    let mut images = domain(16, 2)[..16 * 300].to_vec();
    let before = world.promise(&images, 2)?;
    images.chunks_mut(16).for_each(|image| image[8..].iter_mut().for_each(|v| *v = 1.0 - *v));
    assert_eq!(world.promise(&images, 2)?, before);
    assert_ne!(world.promise(&images, 3)?, before);
    // What is not guided is something else, and the test would see it.
    let plain = world.propose(0, n)?.0;
    assert!(chi_squared(&plain, &p) < most && chi_squared(&plain, &posterior) > 2.0 * most);
    assert!(reject(&mut world, 50, 60, 3).is_err_and(|e| e.exit_code() == 2 && e.to_string().contains("60 draws")));
    Ok(())
}

#[test]
fn a_push_is_the_slope_of_what_the_classifier_says_of_noised_points() -> Result<()> {
    let dims = [4, 4, 1];
    let hyper = toml::from_str("form = 'mlp'\nhidden = 16\nnoised = true").expect("TOML");
    let judge = model::build("classifier", &hyper, &data(dims, 2, CLASSES))?;
    let device = kiln::runtime::Device::CPU;
    let mut state = State::initial(&device, judge.state(), 5)?;
    let mut slopes = Slopes::new(&device, (judge.as_ref(), &state, Weights::Current), (WANTED, CLASSES), 4).wait()?;
    let points: Vec<f32> = (0..3 * 16).map(|i| 2.0 * kiln::random::normal(kiln::random::word(4, 1, 0, i))).collect();
    for (alpha, sigma) in [(0.8f64, 0.6f64), (1.0, 20.0), (0.999, 0.04)] {
        let length = alpha.hypot(sigma);
        let mut log_p = |points: &[f32]| -> Result<Vec<f64>> {
            let seen: Vec<f32> = points.iter().map(|v| ((f64::from(*v) / length + 1.0) / 2.0) as f32).collect();
            Ok(slopes.of(&mut state, &seen, (sigma / length) as f32).wait()?.0)
        };
        let h = 0.02 * length as f32;
        let mut differences = Vec::new();
        for at in [0, 7, 15] {
            let moved = |by: f32| points.iter().enumerate().map(|(i, v)| if i % 16 == at { v + by } else { *v }).collect::<Vec<f32>>();
            let (up, down) = (log_p(&moved(h))?, log_p(&moved(-h))?);
            differences.push((at, up.iter().zip(&down).map(|(u, d)| (u - d) / f64::from(2.0 * h)).collect::<Vec<f64>>()));
        }
        let level = Level { alpha, sigma, time: 0.0 };
        let pushed = ClassPush { slopes: &mut slopes, state: &mut state, scale: 3.0 }.push(level, &points).wait()?;
        let largest = pushed.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
        for (at, slopes) in &differences {
            for (image, slope) in slopes.iter().enumerate() {
                let (wanted, found) = (3.0 * sigma * sigma / alpha * slope, f64::from(pushed[image * 16 + at]));
                assert!((wanted - found).abs() < 0.02 * largest, "{alpha}, {sigma}: {found}, not {wanted}");
            }
        }
    }
    Ok(())
}

#[test]
fn chains_of_latents_come_to_the_posterior_of_a_grid() -> Result<()> {
    // One latent, so that p(z|y) can be summed on a grid, and weights so large that it is far from the prior.
    let device = kiln::runtime::Device::CPU;
    let built = |name: &str, hyper: &str, seed: u64, larger: &[(&str, f32)]| -> Result<_> {
        let model = model::build(name, &toml::from_str(hyper).expect("TOML"), &data(WIDE, 2, CLASSES))?;
        let mut state = State::initial(&device, model.state(), seed)?;
        for id in model.state().ids() {
            for (_, factor) in larger.iter().filter(|(name, _)| model.state().spec(id).name == *name) {
                let values: Vec<f32> = state.read(id, Arena::Value).wait()?.iter().map(|v| factor * v).collect();
                state.write(id, Arena::Value, &values)?;
            }
        }
        Ok((model, state))
    };
    let (vae, mut generator) = built("vae", "form = 'mlp'\nhidden = 12\nlatent = 1", 4, &[("decoder.logits.weight", 6.0)])?;
    let (judge, mut told) = built("classifier", "form = 'mlp'\nhidden = 16\nactivation = 'tanh'", 5, &[("classes.weight", 12.0)])?;
    let weights = Weights::Current;

    let grid: Vec<f32> = (0..1201).map(|i| (i as f32 - 600.0) / 120.0).collect();
    let images = kiln::sample::latent::decode(&device, vae.as_ref(), &mut generator, weights, &grid, (&[], 0)).wait()?;
    let log_p = Guide::new(&device, (judge.as_ref(), &told, weights), (WANTED, CLASSES), 256).wait()?.log_p(&mut told, &images).wait()?;
    let density: Vec<f64> = grid.iter().zip(&log_p).map(|(z, l)| (l - f64::from(z * z) / 2.0).exp()).collect();
    let total: f64 = density.iter().sum();

    let mut slopes = Slopes::new(&device, (judge.as_ref(), &told, weights), (WANTED, CLASSES), 4000).wait()?;
    let n = 4000;
    let walked =
        Walker::new(&device, (vae.as_ref(), weights), &mut slopes, [&mut generator, &mut told], n).wait()?.walk(n, 120, 9, || {}).wait()?;
    assert!((0.4..0.75).contains(&walked.acceptance), "{}", walked.acceptance);
    // Twenty bins, as likely each.
    let mut edges = Vec::new();
    let mut sum = 0.0;
    for (z, p) in grid.iter().zip(&density) {
        sum += p / total;
        if sum > (edges.len() + 1) as f64 / 20.0 && edges.len() < 19 {
            edges.push((*z + 0.5 / 120.0, sum));
        }
    }
    let chi = |z: &[f32]| {
        let mut below = 0.0;
        let bins = edges.iter().map(|(edge, share)| (*edge, *share)).chain([(f32::INFINITY, 1.0)]);
        let (mut chi, mut from) = (0.0, f32::NEG_INFINITY);
        for (edge, share) in bins {
            let found = z.iter().filter(|z| **z > from && **z <= edge).count() as f64;
            let wanted = (share - below) * z.len() as f64;
            chi += (found - wanted).powi(2) / wanted;
            (below, from) = (share, edge);
        }
        chi
    };
    // 19 degrees of freedom, and five standard deviations.
    let most = 19.0 + 5.0 * 38f64.sqrt();
    let (found, prior) = (chi(&walked.z), chi(&kiln::sample::latents(9, 0, n, 1)));
    assert!(found < most && prior > 4.0 * most, "χ² {found}, of the prior {prior}");
    Ok(())
}
