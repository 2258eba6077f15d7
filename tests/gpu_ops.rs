//! Every operation on the GPU against its meaning in `f64` on the CPU, over random and awkward shapes, with both families of kernels:
//! those for GPUs and those for adapters that are CPUs. With `KILN_REQUIRE_GPU=1` a missing adapter is a failure.

#[path = "support/graphs/mod.rs"]
mod graphs;
mod support;
pub use support::Bench;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use kiln::cpu::{Arena, CpuProgram};
use kiln::data::{Binarization, Kind};
use kiln::gpu::{Choice, Gpu, GpuProgram, GpuState, Options, Weights};
use kiln::graph::{FIRST_SCALE, Graph, Init, Layout, Plan, Rule, StateId, StateSpec, Step, Update};
use kiln::model::DataSpec;
use kiln::runtime::{Device, Program, State};
use kiln::shader::{Choices, Variant};
use kiln::tensor::Precision;
use kiln::train::TrainRecipe;
use kiln::wait::Wait;
use support::close;

/// Relative to the largest element of a result.
const TOLERANCE: f64 = 1e-4;

/// The adapter, opened for either family of kernels: as a GPU with runtime checks, as a CPU without.
fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let open = |as_cpu: bool| Gpu::open(&Choice::Any, Options { checked: !as_cpu, as_cpu: Some(as_cpu), ..Options::default() }).wait();
        match (open(false), open(true)) {
            (Ok(a), Ok(b)) => vec![a, b],
            (Err(e), _) | (_, Err(e)) => {
                assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none_or(|v| v != "1"), "KILN_REQUIRE_GPU is set and: {e}");
                eprintln!("skipped: {e}");
                Vec::new()
            }
        }
    })
}

fn step() -> Step {
    Step { seed: 0x1234_5678_9ABC, step: 3, first_item: 2, learning_rate: [0.01; 4], ema_decay: 0.9, updates: [2; 4] }
}

fn upload(gpu: &Gpu, bench: &Bench) -> GpuState {
    let host = bench.state::<f32>();
    let state = GpuState::new(gpu, &bench.spec).expect("state");
    state.write(0, Arena::Value, host.arena(0, Arena::Value)).expect("upload");
    state
}

fn check(cases: Vec<graphs::Case>) {
    for (name, bench) in &cases {
        let mut state = bench.state::<f64>();
        let mut oracle = CpuProgram::<f64>::new(Plan::new(&bench.graph, &bench.spec, false), Arena::Value);
        oracle.run(&mut state, &step());
        for gpu in gpus() {
            for fusion in [false, true] {
                let what = |output: &str| format!("{name}: {output}, fusion {fusion}, as CPU {}", gpu.target().is_cpu());
                let device = upload(gpu, bench);
                let plan = Plan::new(&bench.graph, &bench.spec, fusion);
                let mut program = GpuProgram::new(gpu, plan, &bench.spec, &device, Weights::Current)
                    .wait()
                    .unwrap_or_else(|e| panic!("{}: {e}", what("")));
                program.run(&step()).wait().unwrap_or_else(|e| panic!("{}: {e}", what("")));
                for (output, _) in bench.graph.outputs() {
                    let got: Vec<f64> = program.read(output).wait().expect("output").into_iter().map(f64::from).collect();
                    let want = oracle.read(&state, output).expect("output");
                    close(&got, want, TOLERANCE, &what(output));
                }
            }
        }
    }
}

#[test]
fn maps() {
    check(graphs::maps().expect("graphs"));
}

#[test]
fn reductions() {
    check(graphs::reductions().expect("graphs"));
}

#[test]
fn products() {
    check(graphs::products().expect("graphs"));
}

#[test]
fn convolutions() {
    check(graphs::convolutions().expect("graphs"));
}

#[test]
fn every_variant_is_right_and_all_of_a_convolution_agree_to_the_bit() {
    // Every third geometry: narrow and wide channels, a stride, a mask, an image of one pixel; software drivers compile slowly.
    let mut cases: Vec<graphs::Case> = graphs::convolutions().expect("graphs").into_iter().step_by(3).collect();
    cases.extend(graphs::fused().expect("graphs").into_iter().take(1));
    for gpu in gpus().iter().take(1) {
        let mut taken = BTreeSet::new();
        for (name, bench) in &cases {
            let mut state = bench.state::<f64>();
            let plan = Plan::new(&bench.graph, &bench.spec, true);
            let mut oracle = CpuProgram::<f64>::new(plan.clone(), Arena::Value);
            oracle.run(&mut state, &step());
            let device = upload(gpu, bench);
            let run = |gpu: &Gpu| {
                let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &device, Weights::Current).wait().expect("program");
                program.run(&step()).wait().expect("run");
                program
            };
            // Whatever is forced from outside. The others are compared with one that sums in order, as a default need not.
            let mut reference = run(&gpu.with_choices(Choices::forcing("direct").expect("a family")));
            let names: BTreeSet<Variant> = reference.choices().iter().flat_map(|c| c.candidates.to_vec()).collect();
            for variant in names {
                taken.insert(variant);
                let forced = Choices { forced: Some(variant.to_string()), ..Choices::default() };
                let mut program = run(&gpu.with_choices(forced));
                assert!(program.choices().iter().any(|c| c.variant == variant), "{name}: {variant} was not taken");
                let ordered = !program.choices().iter().any(|c| matches!(c.variant, Variant::Split(..) | Variant::Dot(_)));
                for (output, _) in bench.graph.outputs() {
                    let values = program.read(output).wait().expect("output");
                    let got: Vec<f64> = values.iter().copied().map(f64::from).collect();
                    close(&got, oracle.read(&state, output).expect("output"), TOLERANCE, &format!("{name}: {output} by {variant}"));
                    // The first two outputs of these graphs are a convolution and its adjoint; a split one and a dot add in another order.
                    if name.starts_with("conv ") && output != "out2" && ordered {
                        assert!(values == reference.read(output).wait().expect("output"), "{name}: {output} by {variant} has other bits");
                    }
                }
            }
        }
        for family in ["tile-", "split-", "direct-", "dot-"] {
            assert!(taken.iter().any(|v| v.to_string().starts_with(family)), "no {family} among {taken:?}");
        }
    }
}

/// The nearest number that f16 holds (of the size that the test graphs have).
fn f16(value: f32) -> f32 {
    f32::from_bits((value.to_bits() + 0xfff + (value.to_bits() >> 13 & 1)) & !0x1fff)
}

#[test]
fn mixed_precision_rounds_the_operands_of_products_and_nothing_else() {
    let Some(gpu) = gpus().first() else { return };
    let mixed = match gpu.with_precision(Precision::Mixed).wait() {
        Ok(mixed) => mixed,
        Err(e) => {
            let said = e.to_string();
            assert!(said.contains("cooperative matrices") && said.contains("precision f32"), "{said}");
            eprintln!("refused: {said}");
            return;
        }
    };
    let mut taken = 0;
    for (number, (name, bench)) in graphs::matrices().expect("graphs").into_iter().enumerate() {
        // Operands that f16 holds are not rounded at all, so that every difference would be a fault of the kernel.
        let mut state = bench.state::<f64>();
        let rounded: Vec<f32> = bench.state::<f32>().arena(0, Arena::Value).iter().copied().map(f16).collect();
        state.arena_mut(0, Arena::Value).iter_mut().zip(&rounded).for_each(|(v, r)| *v = f64::from(*r));
        let plan = Plan::new(&bench.graph, &bench.spec, true);
        let mut oracle = CpuProgram::<f64>::new(plan.clone(), Arena::Value);
        oracle.run(&mut state, &step());
        let device = GpuState::new(gpu, &bench.spec).expect("state");
        device.write(0, Arena::Value, &rounded).expect("upload");
        let run = |gpu: &Gpu| {
            let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &device, Weights::Current).wait().expect("program");
            program.run(&step()).wait().expect("run");
            program
        };
        let default = run(&mixed);
        // Every variant once: software drivers take a minute to compile them for all shapes.
        let candidates: BTreeSet<Variant> = default.choices().iter().flat_map(|c| c.candidates.to_vec()).collect();
        let all = candidates.iter().filter(|v| number == 0 && matches!(v, Variant::Matrix { .. }));
        let defaults: BTreeSet<Variant> = default.choices().iter().map(|c| c.variant).collect();
        for variant in all.chain(defaults.iter().filter(|_| number > 0)) {
            let mut program = run(&mixed.with_choices(Choices::forcing(&variant.to_string()).expect("a name")));
            taken += program.choices().iter().filter(|c| c.variant == *variant).count();
            for (output, _) in bench.graph.outputs() {
                let got: Vec<f64> = program.read(output).wait().expect("output").into_iter().map(f64::from).collect();
                close(&got, oracle.read(&state, output).expect("output"), TOLERANCE, &format!("{name}: {output} by {variant}"));
            }
        }
    }
    assert!(taken > 0, "no product was large enough");
}

#[test]
fn every_tile_sums_in_the_same_order() {
    for (name, bench) in graphs::convolutions().expect("graphs") {
        let results: Vec<[Vec<f32>; 2]> = gpus()
            .iter()
            .filter_map(|gpu| {
                let state = upload(gpu, &bench);
                let plan = Plan::new(&bench.graph, &bench.spec, true);
                let mut program = GpuProgram::new(gpu, plan, &bench.spec, &state, Weights::Current).wait().expect("program");
                program.run(&step()).wait().expect("run");
                // But a split sum and a dot, which add in another order.
                let ordered = !program.choices().iter().any(|c| matches!(c.variant, Variant::Split(..) | Variant::Dot(_)));
                ordered.then(|| ["out0", "out1"].map(|output| program.read(output).wait().unwrap_or_default()))
            })
            .collect();
        // Weight gradients (the only output of the last case) are split by shape and kernel family.
        if bench.graph.outputs().len() > 1 {
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{name}: the tiled and the direct kernel differ");
        }
    }
}

#[test]
fn fused_blocks() {
    check(graphs::fused().expect("graphs"));
}

#[test]
fn mixtures() {
    check(graphs::mixtures().expect("graphs"));
}

#[test]
fn group_norms() {
    check(graphs::group_norms().expect("graphs"));
}

#[test]
fn attentions() {
    check(graphs::attentions().expect("graphs"));
}

#[test]
fn gates() {
    check(graphs::gates().expect("graphs"));
}

#[test]
fn scans() {
    check(graphs::scans().expect("graphs"));
}

#[test]
fn movement() {
    check(graphs::movement().expect("graphs"));
}

#[test]
fn uniforms_equal_the_hosts_bit_for_bit_and_normals_nearly() {
    for gpu in gpus() {
        // The last step's counters need all 64 bits of the element's number.
        for first_item in [0, 1, 0xFFFF_FF00] {
            for shape in [[3usize, 5].as_slice(), &[2, 8], &[12], &[2, 3, 700]] {
                let (name, bench) = graphs::draws(shape).expect("graph");
                let step = Step { first_item, ..step() };
                let state = GpuState::new(gpu, &bench.spec).expect("state");
                let plan = Plan::new(&bench.graph, &bench.spec, true);
                let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &state, Weights::Current).wait().expect("program");
                program.run(&step).wait().expect("run");
                let mut host = CpuProgram::<f32>::new(plan, Arena::Value);
                let mut host_state = bench.state::<f32>();
                host.run(&mut host_state, &step);
                assert_eq!(program.read("out0").wait().expect("uniforms"), host.read(&host_state, "out0").expect("uniforms"), "{name}");
                let normals = program.read("out1").wait().expect("normals");
                for (got, want) in normals.iter().zip(host.read(&host_state, "out1").expect("normals")) {
                    assert!((got - want).abs() <= 1e-5, "{name}: {got} against {want}");
                }
            }
        }
    }
}

#[test]
fn updates_match_the_cpu() {
    for (name, bench) in graphs::updates().expect("graphs") {
        let plan = Plan::new(&bench.graph, &bench.spec, true);
        let mut host = bench.state::<f64>();
        let mut oracle = CpuProgram::<f64>::new(plan.clone(), Arena::Value);
        let steps = [1, 2, 3].map(|updates| Step { updates: [updates; 4], ..step() });
        steps.iter().for_each(|s| oracle.run(&mut host, s));
        for gpu in gpus() {
            let state = upload(gpu, &bench);
            let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &state, Weights::Current).wait().expect("program");
            steps.iter().for_each(|s| program.run(s).wait().expect("run"));
            for arena in [Arena::Value, Arena::Gradient, Arena::First, Arena::Second, Arena::Average] {
                let got: Vec<f64> = state.read(0, arena).wait().expect("arena").into_iter().map(f64::from).collect();
                close(&got, host.arena(0, arena), 1e-5, &format!("{name}: {arena:?}, as CPU {}", gpu.target().is_cpu()));
            }
        }
    }
}

#[test]
fn a_loss_scale_changes_no_bit_until_a_gradient_overflows_and_then_the_update_is_left_out() {
    let mut plain = StateSpec::default();
    let group = plain.group("");
    let id = plain.tensor(group, "w", [5, 13], Init::Normal(1.0), Layout::Plain, true);
    let (spec, scales) = plain.with_loss_scales();
    let scale = scales[group].expect("a scale");
    let graph = |loss_scale| -> kiln::Result<Graph> {
        let mut g = Graph::new();
        let (w, factor) = (g.state(&spec, id), g.input("factor", [1]));
        let square = g.mul(w, w)?;
        let scaled = g.mul(square, factor)?;
        let loss = g.mean_all(scaled)?;
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        let update = Update { clip_norm: Some(0.25), average: true, loss_scale, ..Update::new(group, rule) };
        let gradients = g.group_gradients(loss, &spec, &update)?;
        g.update(&spec, update, &gradients)?;
        Ok(g)
    };
    let graphs = [None, Some(scale)].map(|s| graph(s).expect("a graph"));
    let devices = gpus().iter().map(|gpu| Device::Gpu(gpu.clone())).chain([Device::CPU]);
    for device in devices {
        let kept = [Arena::Value, Arena::First, Arena::Second, Arena::Average];
        let [bare, scaled] = graphs.each_ref().map(|g| {
            let mut state = State::initial(&device, &spec, 1).expect("a state");
            let mut program = Program::new(&device, g, &state, Weights::Current).wait().expect("a program");
            let mut run = |factor: f32, update: u32| {
                program.write("factor", &[factor]).expect("written");
                program.run(&mut state, &Step { updates: [update; 4], ..step() }).wait().expect("run");
                let weights = kept.map(|arena| state.read(id, arena).wait().expect("read"));
                (weights, state.read(scale, Arena::Value).wait().expect("read"))
            };
            // The third gradient is finite before it is scaled alone.
            [run(1.0, 1), run(0.5, 2), run(1e36, 3), run(1.0, 3)]
        });
        let name = device.name();
        assert_eq!(bare[1].0, scaled[1].0, "{name}");
        assert_eq!(scaled[1].1, [FIRST_SCALE, 2.0], "{name}");
        assert_ne!(bare[1].0, bare[2].0, "{name}");
        assert_eq!(scaled[1].0, scaled[2].0, "{name}: an overflow moved the weights");
        assert_eq!(scaled[2].1, [FIRST_SCALE / 2.0, 0.0], "{name}");
        assert_ne!(scaled[2].0, scaled[3].0, "{name}");
        assert_eq!(scaled[3].1, [FIRST_SCALE / 2.0, 1.0], "{name}");
    }
}

/// Losses and weights of three steps of a small model, and the dispatches of a step.
fn trained(gpu: &Gpu, name: &str, hyper: &str, dims: [usize; 3]) -> (Vec<Vec<f32>>, usize) {
    let kind = if dims[2] == 1 { (Kind::Binary, Binarization::Static) } else { (Kind::Pixels, Binarization::None) };
    let data = DataSpec { dims, classes: 2, kind: kind.0, binarization: kind.1, mean: None };
    let model = kiln::model::build(name, &toml::from_str(hyper).expect("hyper-parameters"), &data).expect("a model");
    let recipe = TrainRecipe::new(&model.defaults());
    let (spec, extras) = recipe.state(model.state());
    let graph = model.train_graph(4, &|group| recipe.pass(group, &extras, true)).expect("a graph");
    let device = Device::Gpu(gpu.clone());
    let mut state = State::initial(&device, &spec, 1).expect("a state");
    let mut program = Program::new(&device, &graph, &state, Weights::Current).wait().expect("a program");
    let items = 4 * model.batches();
    program.write("x", &vec![0.25; items * dims.iter().product::<usize>()]).expect("written");
    let mut numbers = Vec::new();
    for at in 1..=3 {
        let step = Step { seed: 1, step: at as u32, learning_rate: recipe.rates(at), updates: model.updates_at(at), ..Step::default() };
        program.run(&mut state, &step).wait().expect("run");
        for (output, _) in graph.outputs() {
            numbers.push(program.read(&state, output).wait().expect("output"));
        }
    }
    for group in 0..spec.groups.len() {
        for arena in [Arena::Value, Arena::First, Arena::Second] {
            let ids = (0..spec.groups[group].tensors.len()).map(|index| StateId { group, index });
            numbers.extend(ids.map(|id| state.read(id, arena).wait().expect("read")));
        }
    }
    (numbers, program.dispatches().expect("an adapter").0)
}

#[test]
fn kernels_that_share_a_dispatch_compute_the_same_bits() {
    for gpu in gpus().iter().take(1) {
        // One chain of layers, with norms of its gradients; halves of a batch that go through one network, running statistics and two updates.
        for (name, hyper, dims) in
            [("pixelcnn", "blocks = 2\nhidden = 8\nhead = 8", [6, 6, 1]), ("dcgan", "filters = 4\nlatent = 6", [32, 32, 3])]
        {
            let (merged, fewer) = trained(gpu, name, hyper, dims);
            let (apart, all) = trained(&gpu.apart(), name, hyper, dims);
            assert!(4 * fewer < 3 * all, "{name}: {fewer} dispatches of {all} kernels");
            assert!(apart.iter().flatten().all(|value| value.is_finite()), "{name}");
            assert!(merged == apart, "{name}: kernels that share dispatches have other bits");
        }
    }
}

#[test]
fn state_copies_within_an_arena_and_averaged_weights() {
    let mut spec = StateSpec::default();
    let group = spec.group("");
    let [a, b] = ["a", "b"].map(|name| spec.tensor(group, name, [3, 5], Init::Constant(0.0), Layout::Plain, name == "a"));
    let mut graph = Graph::new();
    let x = graph.state(&spec, a);
    graph.assign(&spec, b, x).expect("assign");
    let y = graph.state(&spec, b);
    let double = graph.scale(y, 2.0).expect("scale");
    graph.output("y", double);
    for gpu in gpus() {
        let state = GpuState::new(gpu, &spec).expect("state");
        state.write_tensor(a, Arena::Value, &[1.5; 15]).expect("write");
        state.write_tensor(a, Arena::Average, &[4.0; 15]).expect("write");
        for (weights, want) in [(Weights::Current, 3.0), (Weights::Average, 8.0)] {
            let mut program = GpuProgram::new(gpu, Plan::new(&graph, &spec, true), &spec, &state, weights).wait().expect("program");
            program.run(&step()).wait().expect("run");
            assert_eq!(program.read("y").wait().expect("y"), [want; 15]);
            assert_eq!(state.read_tensor(b, Arena::Value).wait().expect("b"), [want / 2.0; 15]);
        }
    }
}

#[test]
fn nothing_is_allocated_after_the_first_read() {
    for gpu in gpus() {
        let (_, bench) = graphs::updates().expect("graphs").remove(0);
        let state = upload(gpu, &bench);
        let plan = Plan::new(&bench.graph, &bench.spec, true);
        let mut program = GpuProgram::new(gpu, plan, &bench.spec, &state, Weights::Current).wait().expect("program");
        for _ in 0..2 {
            program.run(&step()).wait().expect("run");
            program.read("out0").wait().expect("loss");
        }
        let before = program.stats();
        for _ in 0..5 {
            program.run(&step()).wait().expect("run");
            program.read("out0").wait().expect("loss");
        }
        assert_eq!(program.stats(), before);
    }
}

#[test]
fn refusals_are_sentences() {
    if gpus().is_empty() {
        return;
    }
    let refused = Gpu::open(&Choice::Named("no such adapter".into()), Options::default()).wait().expect_err("there is none");
    assert!(refused.to_string().contains("there are:"), "{refused}");
    assert_eq!(refused.exit_code(), 2);
}

#[test]
fn a_tensor_too_large_for_the_adapter_is_refused_with_the_way_out() {
    use kiln::graph::{Graph, StateSpec};
    for gpu in gpus() {
        let len = (gpu.description().max_binding / 4 + 1024) as usize;
        let mut graph = Graph::new();
        let x = graph.input("x", [len]);
        let y = graph.scale(x, 2.0).expect("scale");
        graph.output("y", y);
        let spec = StateSpec::default();
        let state = GpuState::new(gpu, &spec).expect("state");
        let refused = GpuProgram::new(gpu, Plan::new(&graph, &spec, true), &spec, &state, Weights::Current).wait().expect_err("too large");
        assert!(refused.to_string().contains("smaller batch"), "{refused}");
    }
}
