//! Portability gates: every kernel variant passes naga's validation and its SPIR-V, MSL and HLSL writers, and, where the tools are
//! installed, `spirv-val` and Tint, which are stricter.

#[path = "support/graphs.rs"]
mod graphs;
mod support;
pub use support::Bench;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use kiln::data::{Binarization, Kind};
use kiln::graph::Plan;
use kiln::model::DataSpec;
use kiln::sample::raster::RasterProgram;
use kiln::shader::{Choices, Class, Matrices, Target};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Every class of adapter, each with no cooperative matrices and with those of two sizes.
fn targets() -> Vec<Target> {
    let sizes = [None, Some(Matrices { side: 8, subgroup: 8 }), Some(Matrices { side: 16, subgroup: 32 })];
    let target = |class, matrices| Target {
        max_invocations: 256,
        workgroup_bytes: 16 << 10,
        class,
        texels: 1 << 24,
        prefers_textures: false,
        matrices,
        choices: Arc::default(),
    };
    sizes.iter().flat_map(|&matrices| [Class::Software, Class::Integrated, Class::Discrete].map(|class| target(class, matrices))).collect()
}

/// Every distinct kernel of the test graphs, by text: those that targets take, then each variant that one can take forced in turn.
fn variants() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, bench) in graphs::all().expect("graphs") {
        for fusion in [false, true] {
            let plan = Plan::new(&bench.graph, &bench.spec, fusion);
            for target in targets() {
                let mut candidates = BTreeSet::new();
                let mut add = |target: &Target, candidates: &mut BTreeSet<String>| {
                    for found in kiln::gpu::kernels(&plan, &bench.spec, target).expect("kernels") {
                        texts.entry(found.text).or_insert_with(|| format!("{} in {name}", found.kernel));
                        candidates.extend(found.choice.iter().flat_map(|c| c.candidates.iter().map(ToString::to_string)));
                    }
                };
                add(&target, &mut candidates);
                for candidate in candidates {
                    let choices = Choices { forced: Some(candidate), ..Choices::default() };
                    add(&Target { choices: Arc::new(choices), ..target.clone() }, &mut BTreeSet::new());
                }
            }
        }
    }
    raster(&mut texts);
    texts
}

/// The kernels that draw images pixel by pixel: bits, levels, mixtures and continuous values, one stack and two, recurrences, with labels and around a coarser image,
/// of a workgroup an image and of one invocation.
fn raster(texts: &mut BTreeMap<String, String>) {
    for (model, dims, hyper) in [
        ("pixelcnn", [6, 5, 3], "blocks = 1\nhidden = 6\nhead = 6\nlevels = 4"),
        ("gated-pixelcnn", [6, 5, 1], "layers = 3\nhidden = 4\nhead = 4\nconditional = true"),
        ("gated-pixelcnn", [4, 4, 3], "layers = 2\nhidden = 3\nhead = 3\nlevels = 256"),
        ("gated-pixelcnn", [6, 4, 1], "layers = 2\nhidden = 4\nhead = 4\nscales = 2"),
        ("gated-pixelcnn", [4, 4, 3], "layers = 2\nhidden = 3\nhead = 3\nlikelihood = 'mixture'"),
        ("pixelcnn", [4, 4, 3], "blocks = 1\nhidden = 3\nhead = 3\nlikelihood = 'mixture'\nmixtures = 1\nlevels = 4"),
        ("pixelcnn-pp", [4, 8, 1], "filters = 2\nblocks = 1\nstages = 2\nconditional = true"),
        ("pixelrnn", [6, 5, 1], "layer = 'row'\nlayers = 2\nconditional = true"),
        ("rnn", [6, 1, 2], "hidden = 4\nlikelihood = 'gaussian'\nmixtures = 2\ndifference = true"),
        ("pixelrnn", [4, 5, 3], "layer = 'diagonal'\nlayers = 2\nhidden = 3\nhead = 3\nlevels = 4"),
    ] {
        let (kind, binarization) = match dims[2] {
            _ if hyper.contains("gaussian") => (Kind::Points, Binarization::None),
            1 => (Kind::Binary, Binarization::Static),
            _ => (Kind::Pixels, Binarization::None),
        };
        let data = DataSpec { dims, classes: 3, kind, binarization, mean: None };
        let model = kiln::model::build(model, &toml::from_str(hyper).expect("hyper-parameters"), &data).expect("a model");
        let raster = model.raster().expect("autoregressive");
        let graph = raster.raster_graph(1).expect("a graph");
        let program = RasterProgram::new(&graph, model.state()).expect("a raster program");
        let constant = |id| (graph.shape(id).clone(), vec![0.0; graph.shape(id).len()]);
        let constants: Vec<_> = program.constants.iter().map(|id| constant(*id)).collect();
        for target in targets() {
            for alone in [false, true] {
                let text = kiln::sample::raster::kernel(&program, &raster.law(), &constants, &target, alone).expect("a kernel").text;
                texts.entry(text).or_insert_with(|| format!("raster of {}", model.name()));
            }
        }
    }
}

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

#[test]
fn every_variant_is_portable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (spirv_val, tint) = (installed("spirv-val"), installed("tint"));
    let variants = variants();
    assert!(variants.len() > 100, "{} variants", variants.len());
    let mut with_matrices = 0;
    for (number, (text, name)) in variants.iter().enumerate() {
        let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}\n{text}", e.emit_to_string(text)));
        // Cooperative matrices are for Vulkan and Metal alone, and newer than the tools.
        let matrices = text.contains("enable wgpu_cooperative_matrix;");
        let needed = if matrices {
            Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP
        } else {
            Capabilities::empty()
        };
        let info = Validator::new(ValidationFlags::all(), needed)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{name}: {}\n{text}", e.emit_to_string(text)));

        with_matrices += usize::from(matrices);

        let options = naga::back::spv::Options { lang_version: (1, if matrices { 6 } else { 3 }), ..Default::default() };
        let words = naga::back::spv::write_vec(&module, &info, &options, None).unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
        let options = naga::back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
        naga::back::msl::write_string(&module, &info, &options, &Default::default()).unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        if matrices {
            continue;
        }
        let options = naga::back::hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut out = String::new();
        naga::back::hlsl::Writer::new(&mut out, &options, &Default::default())
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));

        if spirv_val {
            let file = folder.path().join(format!("{number}.spv"));
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            std::fs::write(&file, bytes).expect("write");
            check(name, text, Command::new("spirv-val").args(["--target-env", "vulkan1.2"]).arg(&file));
        }
        if tint {
            let file = folder.path().join(format!("{number}.wgsl"));
            std::fs::write(&file, text).expect("write");
            check(name, text, Command::new("tint").arg(&file).args(["--format", "wgsl", "-o"]).arg(folder.path().join("out.wgsl")));
        }
    }
    assert!(with_matrices > 10, "{with_matrices} variants with cooperative matrices");
}

fn check(name: &str, text: &str, command: &mut Command) {
    let output = command.output().expect("the tool runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn conv_tiles_fit_the_workgroup_memory_every_adapter_has() {
    for (text, name) in variants() {
        let widths = [("vec4<f32>", 16), ("vec2<f32>", 8), ("Partial", 8), ("f16", 2), ("f32", 4)];
        let bytes: usize = text
            .lines()
            .filter_map(|l| l.strip_prefix("var<workgroup> "))
            .map(|l| {
                let width = widths.iter().find(|(ty, _)| l.contains(&format!("array<{ty}"))).map(|w| w.1);
                let count = l.rsplit(", ").next().and_then(|rest| rest.split('>').next()?.parse::<usize>().ok());
                width.zip(count).map(|(w, c)| w * c).unwrap_or_else(|| panic!("{name}: cannot read {l}"))
            })
            .sum();
        assert!(bytes <= 16 << 10, "{name}: {bytes} bytes");
    }
}
