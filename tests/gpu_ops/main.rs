//! Every operation on the GPU against its meaning in `f64` on the CPU, over random and awkward shapes, with both families of kernels:
//! those for GPUs and those for adapters that are CPUs. With `KILN_REQUIRE_GPU=1` a missing adapter is a failure.

#[path = "../support/graphs/mod.rs"]
mod graphs;
mod programs;
#[path = "../support/mod.rs"]
mod support;
pub use support::Bench;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use kiln::cpu::{Arena, CpuProgram};
use kiln::gpu::{Choice, Gpu, GpuProgram, GpuState, Options, Weights};
use kiln::graph::{Plan, Step};
use kiln::shader::{Choices, Variant};
use kiln::tensor::Precision;
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
