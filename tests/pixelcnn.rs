//! PixelCNN: its size, what each pixel may see, that its probabilities are probabilities, and that its samplers draw from them.

#[path = "support/pixels.rs"]
mod pixels;

use std::collections::BTreeSet;

use kiln::data::{Binarization, Kind};
use kiln::graph::Step;
use kiln::model::{self, DataSpec};
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Drawn, Job, Method, RasterSampler};
use kiln::train::TrainRecipe;
use kiln::wait::Wait;
use kiln::{Error, Result};

use pixels::{Net, domain, early, job, seen_in_a_pixel};

const SMALL: &str = "blocks = 2\nhidden = 6\nhead = 6\nfirst_kernel = 5";

/// The sizes that the sampler and the masks are tried on: height, width, colours, levels.
const CASES: [([usize; 3], usize); 5] = [([5, 7, 1], 2), ([7, 4, 1], 256), ([3, 5, 3], 2), ([4, 3, 3], 256), ([5, 3, 1], 7)];

#[test]
fn the_tiny_network_has_53_569_parameters() -> Result<()> {
    let net = Net::new([28, 28, 1], 2, "preset = 'tiny'")?;
    assert_eq!(net.model.state().parameters(true), 53_569);
    Ok(())
}

#[test]
fn no_logit_sees_its_own_value_or_a_later_one() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, SMALL)?;
        let early = early(&mut net)?;
        assert!(early.is_empty(), "{dims:?}, {levels} levels: values changed the logits of earlier ones: {early:?}");
    }
    Ok(())
}

#[test]
fn a_colour_sees_the_colours_before_it_in_its_own_pixel() -> Result<()> {
    for levels in [2, 256] {
        let mut net = Net::new([3, 4, 3], levels, SMALL)?;
        assert_eq!(seen_in_a_pixel(&mut net)?, BTreeSet::from([(0, 1), (0, 2), (1, 2)]), "{levels} levels");
    }
    Ok(())
}

/// The kernel positions of a mask, straight from the paper's figure: rows above, and the own row before the centre (B: and the centre).
fn mask(size: i32, centre: bool) -> Vec<[i32; 2]> {
    let half = size / 2;
    let all = (-half..=half).flat_map(|dy| (-half..=half).map(move |dx| [dy, dx]));
    all.filter(|&[dy, dx]| dy < 0 || (dy == 0 && (dx < 0 || (centre && dx == 0)))).collect()
}

/// The pixels that a pixel's logits reach through `blocks` layers of mask B and one of mask A, never leaving the image.
fn reach([h, w]: [i32; 2], from: [i32; 2], first: i32, kernel: i32, blocks: usize) -> BTreeSet<[i32; 2]> {
    let inside = |[y, x]: &[i32; 2]| (0..h).contains(y) && (0..w).contains(x);
    let dilate = |set: BTreeSet<[i32; 2]>, mask: &[[i32; 2]]| -> BTreeSet<[i32; 2]> {
        set.iter().flat_map(|[y, x]| mask.iter().map(move |[dy, dx]| [y + dy, x + dx])).filter(inside).collect()
    };
    let deep = (0..blocks).fold(BTreeSet::from([from]), |set, _| dilate(set, &mask(kernel, true)));
    dilate(deep, &mask(first, false))
}

#[test]
fn the_receptive_field_is_that_of_the_masks_with_its_blind_spot() -> Result<()> {
    let (h, w, first, blocks) = (7, 13, 5, 2);
    let mut net = Net::new([h as usize, w as usize, 1], 2, "blocks = 2\nhidden = 16\nhead = 16\nfirst_kernel = 5")?;
    let mut seen: Vec<BTreeSet<[i32; 2]>> = vec![BTreeSet::new(); (h * w) as usize];
    for stream in 0..6 {
        let base = net.noise(1, stream);
        for (j, changed) in net.influence(&base)?.iter().enumerate() {
            for &v in changed {
                seen[v].insert([j as i32 / w, j as i32 % w]);
            }
        }
    }
    for (at, seen) in seen.iter().enumerate() {
        let from = [at as i32 / w, at as i32 % w];
        assert_eq!(*seen, reach([h, w], from, first, 3, blocks), "pixel {from:?}");
    }
    // One row up the field ends 2 + 0 pixels to the right, and each further row adds one at most: the plain stack's blind spot.
    let middle = reach([h, w], [5, 6], first, 3, blocks);
    assert!(middle.contains(&[4, 8]) && !middle.contains(&[4, 9]), "{middle:?}");
    assert!(middle.contains(&[3, 9]) && !middle.contains(&[3, 10]), "{middle:?}");
    Ok(())
}

#[test]
fn a_deep_stack_sees_all_but_the_blind_spot() -> Result<()> {
    let blind = reach([28, 28], [20, 5], 7, 3, 15);
    // Rows above are seen up to two columns more than they are away; all earlier pixels to the left are seen.
    for y in 0..=20 {
        let seen: Vec<i32> = (0..28).filter(|&x| blind.contains(&[y, x])).collect();
        let last = if y == 20 { 4 } else { 5 + (20 - y) + 2 };
        let first_row = 20 - 15 - 3;
        let want: Vec<i32> = (0..28).filter(|&x| y >= first_row && x <= last.min(5 + 15 + 3)).collect();
        assert_eq!(seen, want, "row {y}");
    }
    Ok(())
}

#[test]
fn probabilities_of_every_image_sum_to_one() -> Result<()> {
    for (dims, levels) in [([3, 3, 1], 2), ([2, 2, 3], 2), ([1, 2, 1], 256), ([2, 3, 1], 3), ([1, 1, 3], 5)] {
        let mut net = Net::new(dims, levels, SMALL)?;
        let images = domain(net.item(), levels);
        let scores = net.score(&images, 256)?;
        let total: f64 = scores.nll.iter().map(|nll| (-nll).exp()).sum();
        assert_eq!(scores.nll.len(), levels.pow(net.item() as u32));
        assert!((total - 1.0).abs() < 2e-5, "{dims:?}, {levels} levels: {total}");
    }
    Ok(())
}

#[test]
fn cached_sampling_is_naive_sampling_bit_for_bit() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, SMALL)?;
        for temperature in [1.0, 0.6] {
            let job = Job { temperature, ..job(11, 5) };
            let cached = net.draw(Method::Cached, &job)?;
            assert_eq!(cached, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels, temperature {temperature}");
            assert!(cached.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels as f32).contains(v)));
        }
    }
    Ok(())
}

#[test]
fn the_samplers_log_p_is_the_scorers() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, SMALL)?;
        let drawn = net.draw(Method::Cached, &job(9, 0))?;
        let scores = net.score(&drawn.images, 4)?;
        for (image, (log_p, nll)) in drawn.log_p.iter().zip(&scores.nll).enumerate() {
            assert!((log_p + nll).abs() <= 2e-6 * nll, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -nll);
        }
    }
    Ok(())
}

#[test]
fn images_do_not_depend_on_how_a_job_is_split() -> Result<()> {
    for method in [Method::Cached, Method::Naive] {
        let mut net = Net::new([4, 5, 1], 2, SMALL)?;
        let whole = net.draw(method, &job(23, 0))?;
        let mut parts = Drawn { images: Vec::new(), log_p: Vec::new() };
        for (first, count) in [(0, 1), (1, 9), (10, 13)] {
            let part = net.draw(method, &job(count, first))?;
            parts.images.extend(part.images);
            parts.log_p.extend(part.log_p);
        }
        assert_eq!(whole, parts, "{method:?}");
        assert_ne!(whole.images, net.draw(method, &Job { seed: 18, ..job(23, 0) })?.images, "{method:?}: another seed");
    }
    Ok(())
}

#[test]
fn completion_keeps_what_is_given_and_draws_the_rest_from_the_model() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = Net::new(dims, levels, SMALL)?;
        let (item, count) = (net.item(), 6);
        let given = net.noise(count, 8);
        let top: Vec<bool> = (0..item).map(|i| i < item / 2).collect();
        let scattered: Vec<bool> = (0..item).map(|i| i * 7 % 5 < 2).collect();
        for kept in [&top, &scattered] {
            let job = Job { keep: Some((&given, kept)), ..job(count, 0) };
            let drawn = net.draw(Method::Cached, &job)?;
            assert_eq!(drawn, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels");
            for (i, value) in drawn.images.iter().enumerate().filter(|(i, _)| kept[i % item]) {
                assert_eq!(*value, given[i], "{dims:?}, {levels} levels: place {i} was given");
            }
            let map = net.score(&drawn.images, count)?.map;
            for (image, log_p) in drawn.log_p.iter().enumerate() {
                let rest: f64 = (0..item).filter(|&v| !kept[v]).map(|v| f64::from(map[image * item + v])).sum();
                assert!((log_p + rest).abs() <= 1e-5 * rest, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -rest);
            }
        }
        let all = vec![true; item];
        let drawn = net.draw(Method::Cached, &Job { keep: Some((&given, &all)), ..job(count, 0) })?;
        assert_eq!(drawn, Drawn { images: given.clone(), log_p: vec![0.0; count] });
    }
    Ok(())
}

#[test]
fn samples_come_as_often_as_the_model_says() -> Result<()> {
    let mut net = Net::new([2, 2, 1], 2, SMALL)?;
    let images = domain(4, 2);
    let scores = net.score(&images, 16)?;
    let count = 20_000;
    let drawn = net.draw(Method::Cached, &job(count, 0))?;
    let mut seen = [0.0f64; 16];
    for image in drawn.images.chunks(4) {
        seen[image.iter().enumerate().map(|(v, bit)| (*bit as usize) << v).sum::<usize>()] += 1.0;
    }
    let want = scores.nll.iter().map(|nll| (-nll).exp() * count as f64);
    let chi: f64 = seen.iter().zip(want).map(|(seen, want)| (seen - want).powi(2) / want).sum();
    // 15 degrees of freedom: above 37.7 one time in a thousand.
    assert!(chi < 37.7, "χ² = {chi}");
    Ok(())
}

#[test]
fn it_learns_one_batch_by_heart() -> Result<()> {
    let count = 8;
    let mut net = Net::new([10, 4, 1], 2, "blocks = 5\nhidden = 24\nhead = 24\nfirst_kernel = 7")?;
    let images = net.noise(count, 30);
    let recipe = TrainRecipe::new(&net.model.defaults());
    let graph = net.model.train_graph(count, &|group| recipe.update(group))?;
    let mut program = Program::new(&net.device, &graph, &net.state, Weights::Current).wait()?;
    program.write("x", &images)?;
    let mut loss = Vec::new();
    for at in 1..=1500 {
        let rate = 5e-3 * 0.998f32.powi(at as i32);
        let step = Step { step: at, learning_rate: [rate; 4], updates: [at; 4], ..Step::default() };
        program.run(&mut net.state, &step).wait()?;
        loss.push(f64::from(program.read(&net.state, "loss").wait()?[0]));
    }
    // Four columns are within reach of the first kernel and of the blocks, so that there is no blind spot and the border tells places apart.
    // Images that nothing tells apart at first cost at least the choice among them: ln 8 nats, and no model can do better.
    let least = (count as f64).ln();
    let last = loss[1499];
    assert!(loss[0] > 25.0, "{}", loss[0]);
    assert!(last > least - 1e-3 && last < 1.05 * least, "{last} nats, and {least} is the least");
    Ok(())
}

#[test]
fn a_conditional_model_is_a_distribution_for_each_class() -> Result<()> {
    for dims in [[2, 3, 1], [1, 2, 3]] {
        let data = DataSpec { dims, classes: 3, kind: Kind::Binary, binarization: Binarization::Static, mean: None };
        let hyper = toml::from_str(&format!("{SMALL}\nconditional = true")).expect("hyper-parameters");
        let model = model::build("pixelcnn", &hyper, &data)?;
        let mut state = State::initial(&Device::CPU, model.state(), 3)?;
        let images = domain(6, 2);
        let graph = model.scores().expect("a likelihood").likelihood_graph(64)?;
        let mut program = Program::new(&Device::CPU, &graph, &state, Weights::Current).wait()?;
        program.write("x", &images)?;
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for class in 0..3 {
            let hot = |count: usize| (0..3 * count).map(|i| f32::from(u8::from(i % 3 == class))).collect::<Vec<_>>();
            program.write("labels", &hot(64))?;
            program.run(&mut state, &Step::default()).wait()?;
            let nll = program.read(&state, "nll").wait()?;
            let total: f64 = nll.iter().map(|v| (-f64::from(*v)).exp()).sum();
            assert!((total - 1.0).abs() < 2e-5, "{dims:?}, class {class}: {total}");
            assert!(!seen.contains(&nll), "class {class} is a distribution of its own");
            let hot = hot(9);
            let inputs = [("labels", &hot[..])];
            let job = Job { inputs: &inputs, ..job(9, 0) };
            let mut draw = |method| {
                let mut sampler = RasterSampler::new(&Device::CPU, model.as_ref(), &state, Weights::Current, method).wait()?;
                sampler.sample(model.as_ref(), &mut state, &job).wait()
            };
            let drawn = draw(Method::Cached)?;
            assert_eq!(drawn, draw(Method::Naive)?);
            for (image, log_p) in drawn.images.chunks(6).zip(&drawn.log_p) {
                let number: usize = image.iter().enumerate().map(|(v, bit)| (*bit as usize) << v).sum();
                assert!((log_p + f64::from(nll[number])).abs() < 1e-5, "{log_p} against {}", -nll[number]);
            }
            seen.push(nll);
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |dims, levels: usize, hyper: &str, words: &[&str]| {
        let error = Net::new(dims, levels, hyper).err().unwrap_or_else(|| panic!("{hyper} was accepted"));
        assert!(matches!(error, Error::Usage(_)), "{error:?}");
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    refused([4, 4, 3], 2, "hidden = 7", &["hidden", "3 colours", "6 or 9"]);
    refused([4, 4, 1], 2, "conditional = true", &["conditional", "labels"]);
    refused([4, 4, 1], 2, "preset = 'tiny'\nhidden = 8", &["preset", "hidden"]);
    refused([4, 4, 1], 2, "kernel = 4", &["odd", "4"]);
    refused([4, 4, 1], 257, "", &["levels", "256", "257"]);
    refused([4, 4, 1], 2, "hiden = 8", &["hiden", "hidden"]);
    refused([4, 4, 1], 2, "hidden = 0", &["hidden"]);
    refused([4, 4, 1], 2, "preset = 'huge'", &["huge", "tiny"]);
}
