//! Every operation on the GPU against its meaning in `f64` on the CPU, over random and awkward shapes, with both families of kernels:
//! those for GPUs and those for adapters that are CPUs. With `KILN_REQUIRE_GPU=1` a missing adapter is a failure.

#[path = "support/graphs.rs"]
mod graphs;
mod support;
pub use support::Bench;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use kiln::cpu::{Arena, CpuProgram};
use kiln::gpu::{Choice, Gpu, GpuProgram, GpuState, Options, Weights};
use kiln::graph::{Plan, Step};
use kiln::shader::{Choices, Variant};
use support::close;

/// Relative to the largest element of a result.
const TOLERANCE: f64 = 1e-4;

/// The adapter, opened for either family of kernels: as a GPU with runtime checks, as a CPU without.
fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    GPUS.get_or_init(|| {
        let open = |as_cpu: bool| Gpu::open(&Choice::Any, Options { checked: !as_cpu, as_cpu: Some(as_cpu) });
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
                let what = |output: &str| format!("{name}: {output}, fusion {fusion}, as CPU {}", gpu.target().is_cpu);
                let device = upload(gpu, bench);
                let plan = Plan::new(&bench.graph, &bench.spec, fusion);
                let mut program =
                    GpuProgram::new(gpu, plan, &bench.spec, &device, Weights::Current).unwrap_or_else(|e| panic!("{}: {e}", what("")));
                program.run(&step()).unwrap_or_else(|e| panic!("{}: {e}", what("")));
                for (output, _) in bench.graph.outputs() {
                    let got: Vec<f64> = program.read(output).expect("output").into_iter().map(f64::from).collect();
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
fn convolutions() {
    check(graphs::convolutions().expect("graphs"));
}

#[test]
fn every_variant_is_right_and_all_of_a_convolution_agree_to_the_bit() {
    // Every third geometry: narrow and wide channels, a stride, a mask, an image of one pixel; software drivers compile slowly.
    let mut cases: Vec<graphs::Case> = graphs::convolutions().expect("graphs").into_iter().step_by(3).collect();
    cases.extend(graphs::fused().expect("graphs").into_iter().take(1));
    for gpu in gpus().iter().take(1) {
        for (name, bench) in &cases {
            let mut state = bench.state::<f64>();
            let plan = Plan::new(&bench.graph, &bench.spec, true);
            let mut oracle = CpuProgram::<f64>::new(plan.clone(), Arena::Value);
            oracle.run(&mut state, &step());
            let device = upload(gpu, bench);
            let run = |gpu: &Gpu| {
                let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &device, Weights::Current).expect("program");
                program.run(&step()).expect("run");
                program
            };
            let mut default = run(gpu);
            let names: BTreeSet<Variant> = default.choices().iter().flat_map(|c| c.candidates.to_vec()).collect();
            assert!(names.iter().any(|v| matches!(v, Variant::Direct { .. })), "{name}: {names:?}");
            for variant in names {
                let forced = Choices { forced: Some(variant.to_string()), ..Choices::default() };
                let mut program = run(&gpu.with_choices(forced));
                assert!(program.choices().iter().any(|c| c.variant == variant), "{name}: {variant} was not taken");
                for (output, _) in bench.graph.outputs() {
                    let values = program.read(output).expect("output");
                    let got: Vec<f64> = values.iter().copied().map(f64::from).collect();
                    close(&got, oracle.read(&state, output).expect("output"), TOLERANCE, &format!("{name}: {output} by {variant}"));
                    // The first two outputs of these graphs are a convolution and its adjoint.
                    if name.starts_with("conv ") && output != "out2" {
                        assert!(values == default.read(output).expect("output"), "{name}: {output} by {variant} has other bits");
                    }
                }
            }
        }
    }
}

#[test]
fn every_tile_sums_in_the_same_order() {
    for (name, bench) in graphs::convolutions().expect("graphs") {
        let results: Vec<[Vec<f32>; 2]> = gpus()
            .iter()
            .map(|gpu| {
                let state = upload(gpu, &bench);
                let plan = Plan::new(&bench.graph, &bench.spec, true);
                let mut program = GpuProgram::new(gpu, plan, &bench.spec, &state, Weights::Current).expect("program");
                program.run(&step()).expect("run");
                ["out0", "out1"].map(|output| program.read(output).unwrap_or_default())
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
                let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &state, Weights::Current).expect("program");
                program.run(&step).expect("run");
                let mut host = CpuProgram::<f32>::new(plan, Arena::Value);
                let mut host_state = bench.state::<f32>();
                host.run(&mut host_state, &step);
                assert_eq!(program.read("out0").expect("uniforms"), host.read(&host_state, "out0").expect("uniforms"), "{name}");
                let normals = program.read("out1").expect("normals");
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
            let mut program = GpuProgram::new(gpu, plan.clone(), &bench.spec, &state, Weights::Current).expect("program");
            steps.iter().for_each(|s| program.run(s).expect("run"));
            for arena in [Arena::Value, Arena::Gradient, Arena::First, Arena::Second, Arena::Average] {
                let got: Vec<f64> = state.read(0, arena).expect("arena").into_iter().map(f64::from).collect();
                close(&got, host.arena(0, arena), 1e-5, &format!("{name}: {arena:?}, as CPU {}", gpu.target().is_cpu));
            }
        }
    }
}

#[test]
fn state_copies_within_an_arena_and_averaged_weights() {
    use kiln::graph::{Graph, Init, Layout, StateSpec};
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
            let mut program = GpuProgram::new(gpu, Plan::new(&graph, &spec, true), &spec, &state, weights).expect("program");
            program.run(&step()).expect("run");
            assert_eq!(program.read("y").expect("y"), [want; 15]);
            assert_eq!(state.read_tensor(b, Arena::Value).expect("b"), [want / 2.0; 15]);
        }
    }
}

#[test]
fn nothing_is_allocated_after_the_first_read() {
    for gpu in gpus() {
        let (_, bench) = graphs::updates().expect("graphs").remove(0);
        let state = upload(gpu, &bench);
        let plan = Plan::new(&bench.graph, &bench.spec, true);
        let mut program = GpuProgram::new(gpu, plan, &bench.spec, &state, Weights::Current).expect("program");
        for _ in 0..2 {
            program.run(&step()).expect("run");
            program.read("out0").expect("loss");
        }
        let before = program.stats();
        for _ in 0..5 {
            program.run(&step()).expect("run");
            program.read("out0").expect("loss");
        }
        assert_eq!(program.stats(), before);
    }
}

#[test]
fn refusals_are_sentences() {
    if gpus().is_empty() {
        return;
    }
    let refused = Gpu::open(&Choice::Named("no such adapter".into()), Options::default()).expect_err("there is none");
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
        let refused = GpuProgram::new(gpu, Plan::new(&graph, &spec, true), &spec, &state, Weights::Current).expect_err("too large");
        assert!(refused.to_string().contains("smaller batch"), "{refused}");
    }
}
