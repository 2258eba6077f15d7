//! The classifier: what it learns, what it is made of, what it refuses.

mod support;

use kiln::data::Kind;
use kiln::graph::Step;
use kiln::wait::Wait;
use support::models::{blocks, build, images, initial, labels, refusal, run, train};

#[test]
fn it_learns_one_batch_by_heart_and_its_features_have_the_promised_shape() {
    let dims = [16, 16, 1];
    for hyper in ["filters = 8", "form = 'mlp'\nhidden = 32"] {
        let model = build("classifier", hyper, &images(dims, Kind::Pixels)).expect("model");
        let mut state = initial(&*model);
        let (x, y) = (blocks(20, dims), labels(20));
        let inputs: [(&str, &[f32]); 2] = [("x", &x), ("labels", &y)];
        let accuracy = train(&*model, &mut state, &inputs, 20, 150, 3e-3, "accuracy");
        assert!(accuracy[0] < 0.6 && accuracy.last() > Some(&0.85), "{hyper}: {accuracy:?}");
        let graph = model.features().expect("features").features_graph(20).expect("graph");
        assert_eq!(run(&graph, &mut state, &inputs, &Step::default(), "features").len(), 20 * 128);
        assert_eq!(run(&graph, &mut state, &inputs, &Step::default(), "logits").len(), 20 * 10);
    }
}

#[test]
fn a_frozen_trunk_keeps_its_first_values() {
    use kiln::cpu::Arena;
    let dims = [16, 16, 1];
    let model = build("classifier", "frozen = true", &images(dims, Kind::Pixels)).expect("model");
    let mut state = initial(&*model);
    let read = |state: &kiln::runtime::State| -> Vec<Vec<f32>> {
        model.state().ids().into_iter().map(|id| state.read(id, Arena::Value).wait().expect("tensor")).collect()
    };
    let before = read(&state);
    let (x, y) = (blocks(8, dims), labels(8));
    train(&*model, &mut state, &[("x", &x), ("labels", &y)], 8, 3, 1e-2, "loss");
    for (id, (before, after)) in model.state().ids().into_iter().zip(before.iter().zip(&read(&state))) {
        let name = &model.state().spec(id).name;
        assert_eq!(before == after, name.starts_with("encoder."), "{name}");
    }
}

#[test]
fn it_has_the_parameters_of_its_pytorch_twin() {
    // conv(1, 32, 4), conv(32, 64, 4), linear(3136, 128), linear(128, 10)
    let model = build("classifier", "", &images([28, 28, 1], Kind::Pixels)).expect("model");
    assert_eq!(model.state().parameters(true), 544 + 32_832 + 401_536 + 1_290);
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let mut data = images([28, 28, 1], Kind::Pixels);
    assert!(refusal("classifier", "features = 0", &data).contains("features"));
    data.classes = 0;
    assert!(refusal("classifier", "", &data).contains("labels"));
    assert!(refusal("classifier", "", &images([27, 28, 1], Kind::Pixels)).contains("27×28"));
}

/// Of another model's network only the classifier's own layers are trained, whatever network it is.
#[test]
fn it_learns_upon_the_network_of_another_model() {
    for (name, dims, own) in [
        ("wavenet", [16, 1, 1], "residual = 4\nskip = 4\ndepth = 2"),
        ("rnn", [16, 1, 1], "hidden = 4"),
        ("pixelcnn", [12, 8, 3], "blocks = 3\nhidden = 6\nhead = 6\nfirst_kernel = 3\nlevels = 8"),
        ("diffusion", [8, 8, 1], "preset = 'tiny'"),
        ("wgan-gp", [8, 8, 1], "filters = 4"),
    ] {
        let hyper = format!("frozen = true\n[body]\nmodel = '{name}'\nbits = false\nclasses = 10\n[body.hyper]\n{own}");
        let model = build("classifier", &hyper, &images(dims, Kind::Pixels)).expect("model");
        let spec = model.state();
        let trained: Vec<&str> = spec.ids().into_iter().map(|id| spec.spec(id)).filter(|t| t.trained).map(|t| t.name.as_str()).collect();
        assert_eq!(trained, ["features.weight", "features.bias", "classes.weight", "classes.bias"], "{name}");
        let mut state = initial(&*model);
        let (x, y) = (blocks(12, dims), labels(12));
        let inputs: [(&str, &[f32]); 2] = [("x", &x), ("labels", &y)];
        let loss = train(&*model, &mut state, &inputs, 12, 60, 1e-2, "loss");
        assert!(loss.last() < loss.first(), "{name}: {loss:?}");
    }
}
