//! Autoencoders: what they learn, what they are made of and what they refuse.

mod support;

use kiln::data::{Binarization, Kind};
use kiln::graph::{Action, Plan, Step};
use kiln::model::DataSpec;
use kiln::wait::Wait;
use support::models::{adam, blocks, build, images, initial, labels, refusal, run, train};

fn parameters(name: &str, hyper: &str, data: &DataSpec) -> usize {
    build(name, hyper, data).expect("model").state().parameters(true)
}

#[test]
fn parameter_counts_are_those_of_the_pytorch_twins() {
    let mnist = images([28, 28, 1], Kind::Pixels);
    assert_eq!(parameters("vae", "form = 'mlp'", &mnist), 652_824);
    assert_eq!(parameters("vae", "form = 'conv'", &mnist), 258_025);
    // Without the log variance: 400·20 + 20 fewer.
    assert_eq!(parameters("autoencoder", "", &mnist), 652_824 - 8_020);
    // One vector a class for each side's first layer.
    assert_eq!(parameters("cvae", "", &mnist), 652_824 + 2 * 10 * 400);
    // One scale for all values.
    assert_eq!(parameters("vae", "likelihood = 'gaussian'", &mnist), 652_825);
    assert_eq!(parameters("vae", "likelihood = 'gaussian'\nvariance = 'fixed'", &mnist), 652_824);
}

#[test]
fn tensors_have_the_names_of_the_pytorch_twins() {
    let names = |hyper: &str| -> Vec<String> {
        let model = build("vae", hyper, &images([28, 28, 1], Kind::Pixels)).expect("model");
        let names = model.state().ids().into_iter().map(|id| model.state().spec(id).name.clone());
        names.filter_map(|n| n.strip_suffix(".weight").map(String::from)).collect()
    };
    assert_eq!(names(""), ["encoder.hidden", "encoder.mean", "encoder.log_var", "decoder.hidden", "decoder.logits"]);
    let conv =
        ["encoder.conv1", "encoder.conv2", "encoder.mean", "encoder.log_var", "decoder.project", "decoder.deconv1", "decoder.deconv2"];
    assert_eq!(names("form = 'conv'"), conv);
}

#[test]
fn every_form_and_likelihood_learns_one_batch_by_heart() {
    let cases = [
        ("autoencoder", "hidden = 64\nlatent = 8", 0.05),
        ("vae", "hidden = 64\nlatent = 8", 0.35),
        ("vae", "form = 'conv'\nfilters = 8\nlatent = 8", 0.35),
        ("vae", "hidden = 64\nlatent = 8\nlayers = 2\nactivation = 'tanh'", 0.35),
        ("cvae", "hidden = 64\nlatent = 8", 0.35),
        ("cvae", "form = 'conv'\nfilters = 8\nlatent = 8", 0.35),
        ("vae", "hidden = 64\nlatent = 8\nlikelihood = 'logistic'", 0.6),
    ];
    let dims = [16, 16, 1];
    for (name, hyper, share) in cases {
        let model = build(name, hyper, &images(dims, Kind::Pixels)).expect("model");
        let mut state = initial(&*model);
        let (x, y) = (blocks(12, dims), labels(12));
        let loss = train(&*model, &mut state, &[("x", &x), ("labels", &y)], 12, 250, 3e-3, "loss");
        let last = loss[loss.len() - 1];
        assert!(last < share * loss[0], "{name} {hyper}: {} then {last}", loss[0]);
        if name == "autoencoder" {
            continue;
        }
        let graph = model.scores().expect("bound").likelihood_graph(12).expect("graph");
        let nll = run(&graph, &mut state, &[("x", &x), ("labels", &y)], &Step { seed: 4, ..Step::default() }, "nll");
        let mean = nll.iter().sum::<f32>() / 12.0;
        assert!((mean - last).abs() < 0.15 * last.abs() + 5.0, "{name} {hyper}: the bound is {mean}, the last loss {last}");
    }
}

#[test]
fn a_learnt_gaussian_scale_finds_the_noise_of_the_data() {
    // Noise of deviation 0.2 around one grey: no latent can explain it, so the scale must.
    let model =
        build("vae", "likelihood = 'gaussian'\nhidden = 8\nlatent = 1\nscale = 1", &images([4, 4, 1], Kind::Pixels)).expect("model");
    let mut state = initial(&*model);
    let x: Vec<f32> = support::normals(512 * 16, 3).iter().map(|v| 0.5 + 0.2 * *v as f32).collect();
    train(&*model, &mut state, &[("x", &x)], 512, 400, 1e-2, "loss");
    let id = model.state().ids().into_iter().find(|id| model.state().spec(*id).name == "decoder.log_scale").expect("scale");
    let sigma = state.read(id, kiln::cpu::Arena::Value).wait().expect("value")[0].exp();
    assert!((sigma - 0.2).abs() < 0.02, "{sigma}");
}

#[test]
fn conv_forms_fit_grey_and_colour_images_of_any_size_the_strides_allow() {
    for (dims, hyper) in [([28, 28, 1], ""), ([32, 32, 3], ""), ([64, 32, 3], ""), ([12, 20, 1], "stages = 1"), ([16, 16, 3], "stages = 3")]
    {
        let hyper = format!("form = 'conv'\nfilters = 4\nlatent = 3\n{hyper}");
        let model = build("vae", &hyper, &images(dims, Kind::Pixels)).expect("model");
        let mut state = initial(&*model);
        let values = dims.iter().product::<usize>();
        let x = blocks(2, dims);
        let encode = model.encodes().expect("encoder").encode_graph(2).expect("graph");
        for output in ["mean", "log_var"] {
            assert_eq!(run(&encode, &mut state, &[("x", &x)], &Step::default(), output).len(), 2 * 3);
        }
        let decode = model.decodes().expect("decoder").decode_graph(2).expect("graph");
        let images = run(&decode, &mut state, &[("z", &[0.5; 6])], &Step::default(), "x");
        assert_eq!(images.len(), 2 * values);
        assert!(images.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}

#[test]
fn what_does_not_fit_is_refused_in_a_sentence() {
    let mut data = images([28, 28, 1], Kind::Pixels);
    let odd = images([27, 27, 1], Kind::Pixels);
    for (name, hyper, data, words) in [
        ("vae", "form = 'conv'", &odd, "27×27"),
        ("vae", "form = 'conv'\nstages = 3", &data, "stages=2"),
        ("vae", "latent = 0", &data, "latent"),
        ("vae", "beta = -1.0", &data, "beta"),
        ("vae", "hidden = 0", &data, "hidden"),
        ("vae", "scale = 0.0\nlikelihood = 'gaussian'", &data, "scale"),
        ("vae", "form = 'cubic'", &data, "cubic"),
        ("vae", "depth = 3", &data, "depth"),
        ("autoencoder", "beta = 2.0", &data, "beta"),
        ("cvae", "layers = 0", &data, "layers"),
    ] {
        let said = refusal(name, hyper, data);
        assert!(said.contains(words) && !said.contains('\n'), "{said}");
    }
    data.classes = 0;
    assert!(refusal("cvae", "", &data).contains("labels"));
    data.binarization = Binarization::Dynamic;
    assert!(refusal("vae", "likelihood = 'logistic'", &data).contains("8-bit"));
    let points = images([1, 1, 2], Kind::Points);
    assert!(refusal("vae", "likelihood = 'bernoulli'", &points).contains("gaussian"));
    assert!(build("vae", "hidden = 8\nlatent = 1", &points).is_ok());
}

#[test]
fn beta_of_one_is_the_vae_exactly_and_others_weigh_the_kl() {
    let data = images([8, 8, 1], Kind::Pixels);
    let x = blocks(6, [8, 8, 1]);
    let losses = |hyper: &str, metric: &str| {
        let model = build("vae", &format!("hidden = 16\nlatent = 4\n{hyper}"), &data).expect("model");
        train(&*model, &mut initial(&*model), &[("x", &x)], 6, 20, 1e-3, metric)
    };
    assert_eq!(losses("", "loss"), losses("beta = 1.0", "loss"));
    let (plain, heavy) = (losses("", "kl"), losses("beta = 8.0", "kl"));
    assert_eq!(plain[0], heavy[0]);
    assert!(heavy[19] < plain[19], "{heavy:?} {plain:?}");
    let (loss, recon, kl) = (losses("beta = 8.0", "loss"), losses("beta = 8.0", "recon"), losses("beta = 8.0", "kl"));
    assert!((loss[5] - (recon[5] + 8.0 * kl[5])).abs() < 1e-3);
}

/// The sums of the bound take their programs in: what is written is the two sums per image and the three gradients.
#[test]
fn the_bound_is_two_kernels_forward_and_one_a_gradient_backward() {
    let model = build("vae", "", &images([28, 28, 1], Kind::Pixels)).expect("model");
    let graph = model.train_graph(128, &adam).expect("graph");
    let plan = Plan::new(&graph, model.state(), true);
    let mut shapes: Vec<(String, String)> = plan
        .actions
        .iter()
        .filter_map(|a| match a {
            Action::Compute { op, shape, .. } => Some((op.name().to_string(), shape.to_string())),
            _ => None,
        })
        .collect();
    shapes.sort();
    let count = |name: &str| shapes.iter().filter(|(n, _)| n == name).count();
    // Five layers forward, their four inputs' gradients (the image has none), and weights.
    assert_eq!(count("conv"), 5, "{shapes:?}");
    assert_eq!(count("conv_weight"), 5, "{shapes:?}");
    // The latents; the gradients of logits, mean and log variance; the loss of its two parts.
    assert_eq!(count("map"), 5, "{shapes:?}");
    let wide = shapes.iter().filter(|(name, shape)| name == "map" && shape.starts_with("128×28"));
    assert_eq!(wide.count(), 1, "{shapes:?}");
    // Reconstruction and KL of each image, their means, and the gradients of five biases.
    assert_eq!(count("reduce"), 9, "{shapes:?}");
}

mod likelihoods {
    use super::*;
    use support::Bench;

    /// Huge logits, means and log variances of both signs give finite losses, gradients and weights.
    #[test]
    fn a_step_of_each_likelihood_is_finite_for_extreme_outputs() {
        for likelihood in ["bernoulli", "gaussian", "logistic"] {
            let model = build("vae", &format!("layers = 0\nlatent = 2\nlikelihood = '{likelihood}'"), &images([2, 2, 1], Kind::Pixels))
                .expect("model");
            for size in [1e2f32, 1e4] {
                let mut state = initial(&*model);
                for id in model.state().ids() {
                    let spec = model.state().spec(id).clone();
                    if spec.name.ends_with("bias") {
                        let sign = |i: usize| if i.is_multiple_of(2) { size } else { -size };
                        let values: Vec<f32> = (0..spec.shape.len()).map(sign).collect();
                        state.write(id, kiln::cpu::Arena::Value, &values).expect("write");
                    }
                }
                let x = [0.0, 0.25, 1.0, 0.75];
                let loss = train(&*model, &mut state, &[("x", &x)], 1, 3, 1e-3, "loss");
                assert!(loss.iter().all(|l| l.is_finite()), "{likelihood} {size}: {loss:?}");
                for id in model.state().ids() {
                    let values = state.read(id, kiln::cpu::Arena::Value).wait().expect("read");
                    assert!(values.iter().all(|v| v.is_finite()), "{likelihood} {size}: {}", model.state().spec(id).name);
                }
            }
        }
    }

    /// Every level of a logistic pixel has a probability, and they sum to one.
    #[test]
    fn the_levels_of_a_discretised_logistic_sum_to_one() {
        let data = images([1, 256, 1], Kind::Pixels);
        for scale in [0.002, 0.05, 3.0] {
            let hyper = format!("layers = 0\nlatent = 1\nlikelihood = 'logistic'\nvariance = 'fixed'\nscale = {scale:?}");
            let model = build("vae", &hyper, &data).expect("model");
            for mean in [-0.4f32, 0.3, 0.5, 1.0] {
                let mut state = initial(&*model);
                for id in model.state().ids() {
                    let spec = model.state().spec(id).clone();
                    let value = if spec.name == "decoder.logits.bias" { mean } else { 0.0 };
                    state.write(id, kiln::cpu::Arena::Value, &vec![value; spec.shape.len()]).expect("write");
                }
                // An image of one pixel at each level scores Σ −ln p; one image a level isolates each.
                let graph = model.scores().expect("bound").likelihood_graph(256).expect("graph");
                let x: Vec<f32> = (0..256).flat_map(|level| std::iter::repeat_n(level as f32 / 255.0, 256)).collect();
                let nll = run(&graph, &mut state, &[("x", &x)], &Step::default(), "recon");
                let sum: f64 = nll.iter().map(|v| (-f64::from(*v) / 256.0).exp()).sum();
                assert!((sum - 1.0).abs() < 2e-4, "scale {scale}, mean {mean}: {sum}");
            }
        }
    }

    #[test]
    fn a_bernoulli_bound_has_the_gradients_of_its_definition() -> kiln::Result<()> {
        let mut b = Bench::new();
        let (logits, x) = (b.leaf([3, 7]), b.leaf([3, 7]));
        let y = b.graph.bernoulli_nll(logits, x)?;
        b.check_gradients(y, 1e-6);
        Ok(())
    }
}

#[test]
fn noise_belongs_to_the_image_and_not_to_the_batch() {
    let data = images([8, 8, 1], Kind::Pixels);
    for name in ["vae", "cvae"] {
        let model = build(name, "hidden = 16\nlatent = 4", &data).expect("model");
        let mut state = initial(&*model);
        let (x, y) = (blocks(6, [8, 8, 1]), labels(6));
        let mut part = |first: usize, count: usize, output: &str| {
            let step = Step { seed: 2, step: 7, first_item: first as u32, ..Step::default() };
            let inputs: [(&str, &[f32]); 2] =
                [("x", &x[first * 64..(first + count) * 64]), ("labels", &y[first * 10..(first + count) * 10])];
            let graph = if output == "nll" {
                model.scores().expect("bound").likelihood_graph(count)
            } else {
                model.bounds().expect("bound").bound_graph(count, 16)
            };
            run(&graph.expect("graph"), &mut state, &inputs, &step, output)
        };
        for output in ["nll", "log_weight"] {
            let whole = part(0, 6, output);
            let split: Vec<f32> = [(0, 2), (2, 1), (3, 3)].into_iter().flat_map(|(first, count)| part(first, count, output)).collect();
            for (a, b) in whole.iter().zip(&split) {
                assert!((a - b).abs() <= 1e-5 * a.abs(), "{name} {output}: {a} and {b}");
            }
        }
    }
}

/// With the latent priced out, the label alone must say which image to draw.
#[test]
fn a_conditional_decoder_draws_what_its_label_says() {
    let dims = [8, 8, 1];
    for form in ["form = 'mlp'\nhidden = 64", "form = 'conv'\nfilters = 8\nstages = 2"] {
        let model = build("cvae", &format!("{form}\nlatent = 2\nbeta = 50.0"), &images(dims, Kind::Pixels)).expect("model");
        let mut state = initial(&*model);
        let (x, y) = (blocks(10, dims), labels(10));
        train(&*model, &mut state, &[("x", &x), ("labels", &y)], 10, 600, 5e-3, "loss");
        let decode = model.decodes().expect("decoder").decode_graph(10).expect("graph");
        let drawn = run(&decode, &mut state, &[("z", &[0.0; 20]), ("labels", &y)], &Step::default(), "x");
        let wrong = drawn.iter().zip(&x).filter(|(d, x)| (**d > 0.5) != (**x > 0.5)).count();
        assert!(wrong <= 6, "{form}: {wrong} of 640 pixels");
    }
}
