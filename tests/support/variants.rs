//! Every kernel that the test graphs take, in every form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln::data::{Binarization, Kind};
use kiln::graph::Plan;
use kiln::model::DataSpec;
use kiln::sample::raster::RasterProgram;
use kiln::shader::{Choices, Class, Matrices, Target};

use crate::graphs;

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

/// Every distinct kernel of the test graphs, by text: those that targets take, apart and merged, then each variant that one can take forced in turn.
pub fn variants() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, bench) in graphs::all().expect("graphs") {
        for fusion in [false, true] {
            let plan = Plan::new(&bench.graph, &bench.spec, fusion);
            for target in targets() {
                let mut candidates = BTreeSet::new();
                let mut add = |target: &Target, merged: Option<usize>, candidates: &mut BTreeSet<String>| {
                    for found in kiln::gpu::kernels(&plan, &bench.spec, target, merged).expect("kernels") {
                        texts.entry(found.text).or_insert_with(|| format!("{} in {name}", found.kernel));
                        candidates.extend(found.choice.iter().flat_map(|c| c.candidates.iter().map(ToString::to_string)));
                    }
                };
                add(&target, None, &mut candidates);
                // As many storage buffers as every adapter binds.
                if target.class == Class::Discrete {
                    add(&target, Some(8), &mut BTreeSet::new());
                }
                for candidate in candidates {
                    let choices = Choices { forced: Some(candidate), ..Choices::default() };
                    add(&Target { choices: Arc::new(choices), ..target.clone() }, None, &mut BTreeSet::new());
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
