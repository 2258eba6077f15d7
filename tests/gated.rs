//! Gated PixelCNN: its size, that its probabilities are probabilities, and that its samplers draw from them. What each pixel may see is in
//! `gated_field.rs`.

#[path = "support/pixels.rs"]
mod pixels;

use kiln::graph::Step;
use kiln::model::{self, DataSpec};
use kiln::runtime::{Program, Weights};
use kiln::sample::raster::{Drawn, Job, Method};
use kiln::wait::Wait;
use kiln::{Error, Result};

use pixels::{CLASSES, Net, data, domain, job, labels};

const SMALL: &str = "layers = 3\nhidden = 6\nhead = 6\nfirst_kernel = 5";

fn gated(dims: [usize; 3], levels: usize, hyper: &str) -> Result<Net> {
    Net::labelled("gated-pixelcnn", dims, levels, hyper)
}

/// The sizes that the sampler and the masks are tried on: height, width, colours, levels.
const CASES: [([usize; 3], usize); 6] =
    [([5, 7, 1], 2), ([7, 4, 1], 256), ([3, 5, 3], 2), ([4, 3, 3], 256), ([5, 3, 1], 7), ([1, 9, 1], 2)];

#[test]
fn the_sizes_have_the_parameters_of_the_reference() -> Result<()> {
    for (preset, plain, with_labels) in [("tiny", 69_953, 75_713), ("small", 666_753, 687_233), ("k5", 312_961, 323_201)] {
        let count = |conditional: bool| -> Result<usize> {
            let hyper = toml::from_str(&format!("preset = '{preset}'\nconditional = {conditional}")).expect("hyper-parameters");
            let data = DataSpec { classes: 10, ..data([28, 28, 1], 2, CLASSES) };
            Ok(model::build("gated-pixelcnn", &hyper, &data)?.state().parameters(true))
        };
        assert_eq!([count(false)?, count(true)?], [plain, with_labels], "{preset}");
    }
    Ok(())
}

#[test]
fn probabilities_of_every_image_sum_to_one_for_each_label() -> Result<()> {
    for (dims, levels) in [([3, 3, 1], 2), ([2, 2, 3], 2), ([1, 2, 1], 256), ([2, 3, 1], 3), ([1, 1, 3], 5)] {
        for conditional in [false, true] {
            let mut net = gated(dims, levels, &format!("{SMALL}\nconditional = {conditional}"))?;
            let images = domain(net.item(), levels);
            let mut first = Vec::new();
            for class in 0..if conditional { CLASSES } else { 1 } {
                let scores = net.score_as(class, &images, 256)?;
                let total: f64 = scores.nll.iter().map(|nll| (-nll).exp()).sum();
                assert_eq!(scores.nll.len(), levels.pow(net.item() as u32));
                assert!((total - 1.0).abs() < 2e-5, "{dims:?}, {levels} levels, class {class}: {total}");
                assert_ne!(scores.nll, first, "class {class} is another distribution");
                first = scores.nll;
            }
        }
    }
    Ok(())
}

#[test]
fn cached_sampling_is_naive_sampling_bit_for_bit() -> Result<()> {
    for (dims, levels) in CASES {
        for more in ["", "conditional = true", "dilations = [2, 1]\nkernel = 5", "layers = 1"] {
            let hyper: String = format!("{SMALL}\n{more}")
                .lines()
                .filter(|l| !more.contains("layers") || *l != "layers = 3")
                .collect::<Vec<_>>()
                .join("\n");
            let mut net = gated(dims, levels, &hyper)?;
            // More images than are drawn side by side.
            let hot = [labels(7, 1), labels(4, 2)].concat();
            let inputs = [("labels", &hot[..])];
            let job = Job { temperature: 0.9, inputs: if more.contains("conditional") { &inputs } else { &[] }, ..job(11, 5) };
            let cached = net.draw(Method::Cached, &job)?;
            assert_eq!(cached, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels, {more}");
            assert!(cached.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels as f32).contains(v)));
        }
    }
    Ok(())
}

#[test]
fn the_samplers_log_p_is_the_scorers_given_the_label() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = gated(dims, levels, &format!("{SMALL}\nconditional = true"))?;
        for class in 0..2 {
            let hot = labels(9, class);
            let drawn = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(9, 0) })?;
            let scores = net.score_as(class, &drawn.images, 4)?;
            for (image, (log_p, nll)) in drawn.log_p.iter().zip(&scores.nll).enumerate() {
                assert!((log_p + nll).abs() <= 4e-6 * nll, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -nll);
            }
        }
    }
    Ok(())
}

#[test]
fn images_do_not_depend_on_how_a_job_is_split() -> Result<()> {
    let mut net = gated([4, 5, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let hot = [labels(12, 0), labels(11, 2)].concat();
    let whole = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(23, 0) })?;
    let mut parts = Drawn { images: Vec::new(), log_p: Vec::new() };
    for (first, count) in [(0, 1), (1, 9), (10, 13)] {
        let hot = &hot[first * CLASSES..][..count * CLASSES];
        let part = net.draw(Method::Cached, &Job { inputs: &[("labels", hot)], ..job(count, first) })?;
        parts.images.extend(part.images);
        parts.log_p.extend(part.log_p);
    }
    assert_eq!(whole, parts);
    Ok(())
}

#[test]
fn completion_keeps_what_is_given_and_draws_the_rest_given_the_label() -> Result<()> {
    for (dims, levels) in CASES {
        let mut net = gated(dims, levels, &format!("{SMALL}\nconditional = true"))?;
        let (item, count) = (net.item(), 6);
        let given = net.noise(count, 8);
        let hot = labels(count, 2);
        for kept in [(0..item).map(|i| i < item / 2).collect::<Vec<_>>(), (0..item).map(|i| i * 7 % 5 < 2).collect()] {
            let job = Job { keep: Some((&given, &kept)), inputs: &[("labels", &hot)], ..job(count, 0) };
            let drawn = net.draw(Method::Cached, &job)?;
            assert_eq!(drawn, net.draw(Method::Naive, &job)?, "{dims:?}, {levels} levels");
            for (i, value) in drawn.images.iter().enumerate().filter(|(i, _)| kept[i % item]) {
                assert_eq!(*value, given[i], "{dims:?}, {levels} levels: place {i} was given");
            }
            let map = net.score_as(2, &drawn.images, count)?.map;
            for (image, log_p) in drawn.log_p.iter().enumerate() {
                let rest: f64 = (0..item).filter(|&v| !kept[v]).map(|v| f64::from(map[image * item + v])).sum();
                assert!((log_p + rest).abs() <= 1e-5 * rest, "{dims:?}, {levels} levels, image {image}: {log_p} against {}", -rest);
            }
        }
    }
    Ok(())
}

#[test]
fn samples_come_as_often_as_the_model_says() -> Result<()> {
    let mut net = gated([2, 2, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let images = domain(4, 2);
    let scores = net.score_as(1, &images, 16)?;
    let count = 20_000;
    let hot = labels(count, 1);
    let drawn = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot)], ..job(count, 0) })?;
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
fn a_job_without_the_labels_it_needs_is_refused() -> Result<()> {
    let mut net = gated([3, 3, 1], 2, &format!("{SMALL}\nconditional = true"))?;
    let short = labels(3, 0);
    for inputs in [&[][..], &[("labels", &short[..])]] {
        for method in [Method::Cached, Method::Naive] {
            let Err(Error::Usage(said)) = net.draw(method, &Job { inputs, ..job(4, 0) }) else { panic!("drawn without labels") };
            assert!(said.contains("labels"), "{said}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |dims: [usize; 3], hyper: &str| match gated(dims, 2, hyper) {
        Err(Error::Usage(said)) => said,
        Err(other) => panic!("{hyper}: {other}"),
        Ok(_) => panic!("{hyper} was taken"),
    };
    for (hyper, word) in [
        ("kernel = 4", "odd"),
        ("first_kernel = 6", "odd"),
        ("first_kernel = 1", "first_kernel"),
        ("layers = 0", "layers"),
        ("hidden = 0", "hidden"),
        ("dilations = [1, 0]", "dilations"),
        ("hidden = 100000", "hidden"),
        ("width = 3", "width"),
    ] {
        assert!(refusal([4, 4, 1], hyper).contains(word), "{hyper}");
    }
    assert!(refusal([4, 4, 3], "hidden = 8").contains("3 colours"));
    assert!(refusal([4, 4, 3], "hidden = 9\nhead = 4").contains("3 colours"));
    // Unless they are asked for, sizes go with the colours.
    for preset in ["tiny", "small", "k5", "custom"] {
        let hyper = toml::from_str(&format!("preset = '{preset}'")).expect("hyper-parameters");
        assert!(model::build("gated-pixelcnn", &hyper, &data([4, 4, 3], 256, CLASSES)).is_ok(), "{preset}");
    }
    let unlabelled = data([4, 4, 1], 2, 0);
    let hyper = toml::from_str("conditional = true").expect("hyper-parameters");
    let Err(Error::Usage(said)) = model::build("gated-pixelcnn", &hyper, &unlabelled) else { panic!("labels of data without any") };
    assert!(said.contains("labels"), "{said}");
}

/// A network of PyTorch's weights says of images what PyTorch says: `tests/fixtures/gated_pixelcnn.py` wrote both.
#[test]
fn pytorchs_weights_give_pytorchs_probabilities() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gated_pixelcnn.safetensors");
    let bytes = std::fs::read(&path).expect("the fixture");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).expect("a tensor of the fixture").data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (x, classes) = (values("x"), values("classes"));
    let count = classes.len();
    let hot: Vec<f32> = classes.iter().flat_map(|class| (0..CLASSES).map(move |c| f32::from(u8::from(c as f32 == *class)))).collect();
    for (prefix, conditional) in [("plain", false), ("labelled", true)] {
        let mut net = gated([6, 9, 1], 2, &format!("layers = 3\nhidden = 6\nhead = 5\nconditional = {conditional}"))?;
        for id in net.model.state().ids() {
            let name = format!("{prefix}.{}", net.model.state().spec(id).name);
            kiln::train::checkpoint::read_tensor(&path, &file, &name, &mut net.state, id, kiln::cpu::Arena::Value)?;
        }
        let graph = net.model.scores().expect("a likelihood").likelihood_graph(count)?;
        let raster = net.model.raster().expect("autoregressive").raster_graph(count)?;
        for (graph, output, want) in [(graph, "nll", "nats"), (raster, "logits", "logits")] {
            let mut program = Program::new(&net.device, &graph, &net.state, Weights::Current).wait()?;
            program.write("x", &x)?;
            program.write("labels", &hot)?;
            program.run(&mut net.state, &Step::default()).wait()?;
            let got = program.read(&net.state, output).wait()?;
            for (got, want) in got.iter().zip(values(&format!("{prefix}.{want}"))) {
                assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{prefix} {output}: {got}, PyTorch {want}");
            }
        }
    }
    Ok(())
}
