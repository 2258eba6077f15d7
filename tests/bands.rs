//! A step carried out in bands leaves what the same step leaves when every action is carried out whole.

mod support;

use kiln::cpu::{Arena, CpuProgram, CpuState};
use kiln::data::{Binarization, Kind};
use kiln::graph::{Plan, Step};
use kiln::model::{self, DataSpec};
use kiln::tensor::Precision;
use kiln::train::TrainRecipe;

/// Two steps of a model in `f64`, in bands and whole, with losses scaled if they are to be; bytes that the banded program touches, and those of all its slots.
fn compare(name: &str, hyper: &str, dims: [usize; 3], kind: Kind, batch: usize, precision: Precision) -> kiln::Result<[usize; 2]> {
    let binarization = if kind == Kind::Binary { Binarization::Static } else { Binarization::None };
    let data = DataSpec { dims, classes: 10, kind, binarization, mean: None };
    let model = model::build(name, &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
    let recipe = TrainRecipe { precision, ..TrainRecipe::new(&model.defaults()) };
    let (spec, extras) = recipe.state(model.state());
    let graph = model.train_graph(batch, &|group| recipe.pass(group, &extras, true))?;
    let mut first = CpuState::<f64>::new(&spec);
    for group in 0..model.state().groups.len() {
        let values = first.arena_mut(group, Arena::Value);
        let count = values.len();
        values.iter_mut().zip(support::normals(count, group as u32)).for_each(|(v, n)| *v = 0.1 * n);
    }
    extras
        .iter()
        .filter_map(|extra| extra.loss_scale)
        .for_each(|scale| first.tensor_mut(scale, Arena::Value).copy_from_slice(&[64.0, 0.0]));
    let mut results = Vec::new();
    let mut bytes = [0; 2];
    for banded in [true, false] {
        let mut state = first.clone();
        let mut program = CpuProgram::<f64>::new(Plan::new(&graph, &spec, true), Arena::Value);
        let plan = program.plan().clone();
        bytes = [program.bytes(), (plan.slot_elements() + plan.inputs.iter().map(|(_, s)| s.len()).sum::<usize>()) * size_of::<f64>()];
        for (at, (input, shape)) in plan.inputs.iter().enumerate() {
            let values: Vec<f64> = support::normals(shape.len(), 50 + at as u32).iter().map(|n| f64::from(*n > 0.5)).collect();
            program.write(input, &values)?;
        }
        for at in 1..=2 {
            let step = Step { seed: 1, step: at as u32, learning_rate: recipe.rates(at), updates: model.updates_at(at), ..Step::default() };
            if banded {
                program.run(&mut state, &step);
            } else {
                program.profile(&mut state, &step);
            }
        }
        let mut values = Vec::new();
        for (output, ..) in &plan.outputs {
            values.push((output.clone(), program.read(&state, output)?.to_vec()));
        }
        for group in 0..model.state().groups.len() {
            for arena in [Arena::Value, Arena::Gradient] {
                values.push((format!("{arena:?} of group {group}"), state.arena(group, arena).to_vec()));
            }
        }
        results.push(values);
    }
    for ((what, got), (_, want)) in results[0].iter().zip(&results[1]) {
        assert!(want.iter().all(|v| v.is_finite()), "{name}: {what}");
        support::close(got, want, 1e-9, &format!("{name}: {what}"));
    }
    Ok(bytes)
}

#[test]
fn pixelcnn() -> kiln::Result<()> {
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let hyper = "blocks = 2\nhidden = 16\nhead = 16\nfirst_kernel = 3";
    for precision in [Precision::F32, Precision::Mixed] {
        let [touched, all] = two.install(|| compare("pixelcnn", hyper, [28, 28, 1], Kind::Binary, 24, precision))?;
        // One band takes the whole step but for what is small, so lanes keep a few images each. A loss scale parts none.
        assert!(touched * 2 < all, "{precision:?}: {touched} bytes of {all}");
    }
    Ok(())
}

#[test]
fn colours_and_levels() -> kiln::Result<()> {
    compare("pixelcnn", "blocks = 2\nhidden = 6\nhead = 6\nfirst_kernel = 3\nlevels = 5", [6, 5, 3], Kind::Pixels, 7, Precision::F32)?;
    let mixture = "blocks = 1\nhidden = 6\nhead = 6\nfirst_kernel = 3\nlikelihood = 'mixture'\nmixtures = 3";
    compare("pixelcnn", mixture, [6, 5, 3], Kind::Pixels, 7, Precision::F32)?;
    Ok(())
}

#[test]
fn autoencoders() -> kiln::Result<()> {
    compare("vae", "form = 'mlp'\nhidden = 32\nlatent = 4", [8, 8, 1], Kind::Binary, 9, Precision::F32)?;
    compare("vae", "form = 'conv'\nlatent = 4", [28, 28, 1], Kind::Binary, 6, Precision::F32)?;
    Ok(())
}

#[test]
fn adversarial() -> kiln::Result<()> {
    compare("dcgan", "filters = 8", [32, 32, 1], Kind::Pixels, 5, Precision::F32)?;
    compare("wgan-gp", "filters = 8", [32, 32, 1], Kind::Pixels, 5, Precision::F32)?;
    Ok(())
}
