//! WaveNet and recurrent networks over series: their size, what they may see, their probabilities, and how they are drawn.

#[path = "support/pixels.rs"]
mod pixels;
mod support;

use kiln::Result;
use kiln::data::Kind;
use kiln::runtime::Weights;
use kiln::sample::raster::{CachedSampler, Future, Job, Method, Past};
use kiln::wait::Wait;
use pixels::{Net, data, domain, early, job, labels};
use support::models::{build, images, initial, refusal, train};

/// Networks of a few units: a name, its hyper-parameters, channels of a step and levels.
const SMALL: [(&str, &str, usize, usize); 9] = [
    ("wavenet", "residual = 6\nskip = 5\nhead = 4\ndepth = 2\nstacks = 1", 1, 2),
    ("wavenet", "residual = 6\nskip = 5\nhead = 4\ndepth = 2\nstacks = 2\nkernel = 3", 1, 3),
    ("wavenet", "residual = 4\nskip = 4\nhead = 6\ndepth = 2\nstacks = 1", 2, 3),
    ("wavenet", "residual = 4\nskip = 4\nhead = 4\ndepth = 3\nstacks = 1\nlikelihood = 'mixture'\nmixtures = 2", 1, 4),
    ("rnn", "hidden = 5", 1, 2),
    ("rnn", "hidden = 5\nlayers = 2", 1, 3),
    ("rnn", "hidden = 4\nlayers = 2", 2, 3),
    ("rnn", "hidden = 6\ncell = 'lstm'\nlayers = 2", 2, 2),
    ("rnn", "hidden = 4\ncell = 'lstm'\nlikelihood = 'mixture'\nmixtures = 2", 1, 4),
];

/// Networks of continuous values, 0 levels.
const CONTINUOUS: [(&str, &str, usize, usize); 4] = [
    ("rnn", "hidden = 5\nmixtures = 3", 1, 0),
    ("rnn", "hidden = 6\ncell = 'lstm'\nlayers = 2\ndifference = true", 3, 0),
    ("wavenet", "residual = 4\nskip = 4\nhead = 6\ndepth = 2\nstacks = 1", 2, 0),
    ("wavenet", "residual = 4\nskip = 4\nhead = 4\ndepth = 3\nstacks = 1\nmixtures = 1\ndifference = true", 1, 0),
];

fn net(steps: usize, (name, hyper, channels, levels): (&str, &str, usize, usize)) -> Result<Net> {
    Net::of(name, data([steps, 1, channels], levels, 0), levels, hyper)
}

#[test]
fn they_have_as_many_parameters_as_the_same_networks_in_pytorch() -> Result<()> {
    let count =
        |name: &str, hyper: &str, dims, kind| -> Result<usize> { Ok(build(name, hyper, &images(dims, kind))?.state().parameters(true)) };
    // Embedding 257 × 32; 16 layers of 2·32·64 + 64 and 32·128 + 128, a residual 32·32 + 32 in all but the last; the head.
    let wavenet = 257 * 32 + 16 * (2 * 32 * 64 + 64 + 32 * 128 + 128) + 15 * (32 * 32 + 32) + 128 * 128 + 128 + 128 * 256 + 256;
    assert_eq!(count("wavenet", "", [2048, 1, 1], Kind::Pixels)?, wavenet);
    // Bits are shown as they are: a weight and a bias; GRU(64, 64) and Linear(64, 1).
    assert_eq!(count("rnn", "", [784, 1, 1], Kind::Binary)?, 2 * 64 + 6 * 64 * 64 + 6 * 64 + 65);
    assert_eq!(count("rnn", "cell = 'lstm'", [784, 1, 1], Kind::Binary)?, 2 * 64 + 8 * 64 * 64 + 8 * 64 + 65);
    Ok(())
}

#[test]
fn no_logit_sees_its_own_value_or_a_later_one_and_the_field_ends_where_it_should() -> Result<()> {
    for case in SMALL.into_iter().filter(|case| !case.1.contains("mixture")) {
        let mut net = net(7, case)?;
        assert_eq!(early(&mut net)?, [], "{case:?}");
    }
    // Kernels of 2 with dilations 1, 2, 4: the value itself and 7 before it reach the next logit.
    let mut net = net(16, ("wavenet", "residual = 8\nskip = 8\nhead = 8\ndepth = 3\nstacks = 1", 1, 3))?;
    let seen = net.influence(&net.noise(1, 1))?;
    for (j, changed) in seen.iter().enumerate() {
        assert_eq!(changed.iter().copied().collect::<Vec<_>>(), (j + 1..16.min(j + 9)).collect::<Vec<_>>(), "value {j}");
    }
    // A recurrence forgets nothing.
    let mut net = self::net(9, ("rnn", "hidden = 8", 1, 3))?;
    assert_eq!(net.influence(&net.noise(1, 1))?[0].len(), 8);
    Ok(())
}

#[test]
fn probabilities_sum_to_one() -> Result<()> {
    for case @ (_, _, channels, levels) in SMALL {
        let steps = 4 / channels;
        let mut net = net(steps, case)?;
        let all = domain(steps * channels, levels);
        let total: f64 = net.score(&all, 64)?.nll.iter().map(|nll| (-nll).exp()).sum();
        assert!((total - 1.0).abs() < 2e-5, "{case:?}: {total}");
    }
    Ok(())
}

#[test]
fn what_is_drawn_from_a_cache_is_what_whole_passes_draw_and_its_log_p_is_its_score() -> Result<()> {
    for case in SMALL.into_iter().chain(CONTINUOUS) {
        let mut net = net(12, case)?;
        let naive = net.draw(Method::Naive, &job(9, 2))?;
        let cached = net.draw(Method::Cached, &job(9, 2))?;
        assert_eq!(cached, naive, "{case:?}");
        let scores = net.score(&cached.images, 4)?;
        for (nll, log_p) in scores.nll.iter().zip(&cached.log_p) {
            assert!((nll + log_p).abs() < 1e-3 * nll.abs().max(1.0), "{case:?}: {nll} and {log_p}");
        }
        // From a beginning that is given.
        let item = net.item();
        let mask: Vec<bool> = (0..item).map(|at| at < item / 3).collect();
        let given = net.noise(9, 5);
        let forced = Job { keep: Some((&given, &mask)), ..job(9, 2) };
        let drawn = net.draw(Method::Cached, &forced)?;
        assert_eq!(drawn, net.draw(Method::Naive, &forced)?, "{case:?}");
        assert!((0..9 * item).all(|at| !mask[at % item] || drawn.images[at] == given[at]), "{case:?}");
    }
    Ok(())
}

#[test]
fn densities_of_continuous_values_integrate_to_one() -> Result<()> {
    for case @ (_, _, channels, _) in CONTINUOUS {
        // The last value goes over a fine grid behind two steps that stay.
        let mut net = net(3, case)?;
        let (cells, most) = (4000, 60.0);
        let start = net.noise(1, 3);
        let before = &start[..3 * channels - 1];
        let place = |k: usize| (k as f32 + 0.5) / cells as f32 * 2.0 * most - most;
        let series: Vec<f32> = (0..cells).flat_map(|k| before.iter().copied().chain([place(k)])).collect();
        let scores = net.score(&series, 500)?;
        let last = scores.map.iter().skip(3 * channels - 1).step_by(3 * channels);
        let total: f64 = last.map(|nll| f64::from(-nll).exp() * 2.0 * f64::from(most) / cells as f64).sum();
        assert!((total - 1.0).abs() < 1e-4, "{case:?}: {total}");
    }
    Ok(())
}

#[test]
fn the_step_before_is_what_a_difference_begins_from() -> Result<()> {
    let mut plain = net(6, ("rnn", "hidden = 4", 2, 0))?;
    let mut differs = net(6, ("rnn", "hidden = 4\ndifference = true", 2, 0))?;
    let series = plain.noise(2, 1);
    let [plain, differs] = [plain.logits(&series)?, differs.logits(&series)?];
    // Two channels of 5 logits, 5 means and 5 spreads each.
    for (at, (a, b)) in plain.iter().zip(&differs).enumerate() {
        let (row, channel, part) = (at / 30, at % 30 / 15, at % 15 / 5);
        let before = if part == 1 && row % 6 > 0 { series[(row - 1) * 2 + channel] } else { 0.0 };
        assert!((b - a - before).abs() < 1e-5, "row {row}, channel {channel}: {a} and {b}");
    }
    Ok(())
}

#[test]
fn what_is_known_of_a_process_is_learnt_of_its_densities() -> Result<()> {
    // x' = 0.9 x + 0.1 e from its stationary law: -0.883647 nats a step, and more of the first.
    let (count, steps, wide) = (64, 32, 0.1 / (1.0f64 - 0.81).sqrt());
    let mut draws = kiln::random::Draws::new(7, 3, 0);
    let mut series = Vec::new();
    for _ in 0..count {
        let mut x = wide as f32 * draws.normal();
        for _ in 0..steps {
            series.push(x);
            x = 0.9 * x + 0.1 * draws.normal();
        }
    }
    let rate = -0.883_647 * (steps - 1) as f64 + wide.ln() + 0.5 * (std::f64::consts::TAU.ln() + 1.0);
    for (name, hyper) in [
        ("rnn", "hidden = 8\nmixtures = 1\ndifference = true"),
        ("wavenet", "residual = 8\nskip = 8\nhead = 8\ndepth = 1\nstacks = 1\nmixtures = 2"),
    ] {
        let model = build(name, hyper, &images([steps, 1, 1], Kind::Points))?;
        let mut state = initial(model.as_ref());
        let losses = train(model.as_ref(), &mut state, &[("x", &series)], count, 400, 1e-2, "loss");
        // Of 2,048 values the sample's own nats differ from the rate by 0.7 a series, and a fit of the sample is better than the truth.
        let last = f64::from(losses[399]);
        assert!((last - rate).abs() < 1.5, "{name}: {last} and {rate}, from {}", losses[0]);
    }
    Ok(())
}

#[test]
fn futures_of_a_past_that_is_carried_on_are_those_of_whole_jobs() -> Result<()> {
    for case @ (_, _, channels, _) in SMALL.into_iter().chain(CONTINUOUS) {
        let (steps, begins, count) = (12, 5, 11);
        let mut net = net(steps, case)?;
        let (item, past_item) = (steps * channels, begins * channels);
        let given = net.noise(count, 5);
        let begun: Vec<f32> = given[..past_item].to_vec();
        let sampler = CachedSampler::of(net.model.as_ref(), &net.state, Weights::Current).wait()?;
        let mut past = Past::new(&sampler)?;
        begun.chunks(channels).try_for_each(|row| past.push(row))?;
        assert_eq!(past.len(), begins);
        // The last channel is given at every step behind the past too.
        let kept: Vec<bool> = (0..item - past_item).map(|at| at % channels + 1 == channels && channels > 1).collect();
        let rest: Vec<f32> = given.chunks(item).flat_map(|series| series[past_item..].to_vec()).collect();
        let drawn = past.draw(&Future { count, steps: steps - begins, temperature: 1.0, seed: 17, keep: (&rest, &kept) })?;
        let mask: Vec<bool> = vec![true; past_item].into_iter().chain(kept.iter().copied()).collect();
        let whole: Vec<f32> = rest.chunks(item - past_item).flat_map(|rest| [&begun, rest].concat()).collect();
        let want = net.draw(Method::Naive, &Job { keep: Some((&whole, &mask)), ..job(count, 0) })?;
        let want: Vec<f32> = want.images.chunks(item).flat_map(|series| series[past_item..].to_vec()).collect();
        assert_eq!(drawn, want, "{case:?}");
        assert!(past.draw(&Future { count, steps: 8, temperature: 1.0, seed: 17, keep: (&rest, &kept) }).is_err());
        assert!(past.push(&vec![0.0; channels + 1]).is_err());
    }
    Ok(())
}

#[test]
fn labels_are_heard() -> Result<()> {
    for (name, hyper) in [("wavenet", "residual = 4\nskip = 4\nhead = 4\ndepth = 2\nstacks = 1"), ("rnn", "hidden = 4")] {
        let mut net = Net::labelled(name, [6, 1, 1], 3, &format!("{hyper}\nconditional = true"))?;
        let series = net.noise(4, 1);
        assert_ne!(net.score_as(0, &series, 4)?.nll, net.score_as(1, &series, 4)?.nll, "{name}");
        let first = labels(4, 0);
        let inputs = [("labels", &first[..])];
        let drawn = net.draw(Method::Cached, &Job { inputs: &inputs, ..job(4, 0) })?;
        assert_eq!(drawn, net.draw(Method::Naive, &Job { inputs: &inputs, ..job(4, 0) })?, "{name}");
    }
    Ok(())
}

#[test]
fn they_learn_what_comes_next() -> Result<()> {
    // Two counters that turn over at 8 and begin anywhere: after the first step each is known.
    let (count, steps, levels) = (16, 24, 8);
    let series: Vec<f32> = (0..count).flat_map(|n| (0..steps).map(move |t| ((n * 3 + t) % levels * 32) as f32)).collect();
    for (name, hyper) in [
        ("wavenet", "residual = 16\nskip = 16\nhead = 16\ndepth = 2\nstacks = 1\nlevels = 8"),
        ("rnn", "hidden = 16\nlevels = 8"),
        ("rnn", "hidden = 16\nlevels = 8\ncell = 'lstm'\nlayers = 2"),
    ] {
        let model = build(name, hyper, &images([steps, 1, 1], Kind::Pixels))?;
        let mut state = initial(model.as_ref());
        let losses = train(model.as_ref(), &mut state, &[("x", &series)], count, 300, 1e-2, "loss");
        let uniform = steps as f32 * (levels as f32).ln();
        assert!((losses[0] - uniform).abs() < 0.5 * uniform, "{name} {hyper}: begins at {}", losses[0]);
        // What is left is the first step's eight levels.
        assert!(losses[299] < (levels as f32).ln() + 0.5, "{name} {hyper}: ends at {}", losses[299]);
    }
    Ok(())
}

#[test]
fn what_they_cannot_be_made_of_is_refused_with_the_way_out() {
    let series = images([16, 1, 1], Kind::Pixels);
    for (name, hyper, data, words) in [
        ("wavenet", "", images([8, 8, 1], Kind::Pixels), "images of 8×8; take pixelcnn"),
        ("rnn", "", images([8, 8, 3], Kind::Pixels), "images of 8×8"),
        ("rnn", "likelihood = 'mixture'", images([8, 1, 2], Kind::Points), "quantize=linear or mulaw, or likelihood=gaussian"),
        ("wavenet", "levels = 8", images([8, 1, 2], Kind::Points), "leave levels=8 out"),
        ("rnn", "mixtures = 65", images([8, 1, 2], Kind::Points), "1 to 64 components"),
        ("rnn", "likelihood = 'gaussian'", series.clone(), "quantize=none"),
        ("wavenet", "difference = true", series.clone(), "difference=true is for continuous"),
        ("pixelcnn", "likelihood = 'gaussian'", images([8, 8, 1], Kind::Pixels), "continuous values of series"),
        ("wavenet", "depth = 0", series.clone(), "depth must be at least 1"),
        ("wavenet", "depth = 17", series.clone(), "depth must be at most 16"),
        ("wavenet", "kernel = 1", series.clone(), "kernel must be at least 2"),
        ("wavenet", "residual = 5", images([16, 1, 2], Kind::Pixels), "multiples of the 2 channels"),
        ("rnn", "hidden = 0", series.clone(), "hidden must be at least 1"),
        ("rnn", "hidden = 5", images([16, 1, 2], Kind::Pixels), "multiple of the 2 channels"),
        ("rnn", "cell = 'elman'", series.clone(), "cell"),
        ("rnn", "mixtures = 3", series.clone(), "likelihood=mixture"),
        ("wavenet", "conditional = true", kiln::model::DataSpec { classes: 0, ..series.clone() }, "needs labels"),
    ] {
        let said = refusal(name, hyper, &data);
        assert!(said.contains(words), "{name} {hyper}: {said}");
    }
}
