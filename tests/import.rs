//! Weights of other programs: what an imported network makes is what PyTorch made of it. `tests/fixtures/import.py` wrote files and outputs.

#[path = "support/program.rs"]
mod program;

use std::path::PathBuf;

use kiln::cpu::Arena;
use kiln::graph::{Graph, Step};
use kiln::model::gan::{Family, Gan, Mode};
use kiln::runtime::{Device, Program, Weights};
use kiln::train::Trained;
use kiln::wait::Wait;
use safetensors::SafeTensors;

use program::{Place, noise, npy, png};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)
}

/// What PyTorch gave, with images as channels come here: last.
fn expected(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture("expected.safetensors")).expect("the fixture");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = file.tensor(name).expect("a tensor");
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let [n, c, h, w] = view.shape()[..] else { return values };
    let at = |i: usize| (i / (h * w * c) * c + i % c) * h * w + i / c % (h * w);
    (0..n * c * h * w).map(|i| values[at(i)]).collect()
}

/// Asserts that values are PyTorch's, to 1e-4 of the largest.
fn close(name: &str, got: &[f32]) {
    let want = expected(name);
    assert_eq!(got.len(), want.len(), "{name}");
    let scale = want.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    let worst = got.iter().zip(&want).map(|(g, w)| (g - w).abs() / scale).fold(0.0, f32::max);
    assert!(worst <= 1e-4, "{name}: {worst}");
}

/// Runs a graph with a run's weights and returns its outputs.
fn run(trained: &mut Trained, graph: &Graph, inputs: &[(&str, &[f32])], outputs: &[&str]) -> Vec<Vec<f32>> {
    let mut program = Program::new(&Device::CPU, graph, &trained.state, Weights::Current).wait().expect("a program");
    inputs.iter().for_each(|(name, values)| program.write(name, values).expect("an input"));
    program.run(&mut trained.state, &Step::default()).wait().expect("a run");
    outputs.iter().map(|name| program.read(&trained.state, name).wait().expect("an output")).collect()
}

/// A place with images of 6×5 bits or bytes, of 64×64 colours and of 8×8 bytes.
fn place() -> Place {
    let place = Place::new();
    place.write("bits.npy", &npy(&[40, 6, 5], &noise(1200, 2)));
    place.write("grey.npy", &npy(&[40, 6, 5], &noise(1200, 256)));
    place.write("colour.npy", &npy(&[12, 64, 64, 3], &noise(12 * 64 * 64 * 3, 256)));
    place.write("eight.npy", &npy(&[40, 8, 8], &noise(40 * 64, 256)));
    place
}

/// Words of an import of fixtures.
fn words(files: &[&str], rest: &str) -> String {
    let files: Vec<String> = files.iter().map(|name| fixture(name).display().to_string()).collect();
    format!("import {} {rest}", files.join(" "))
}

fn loaded(place: &Place, run: &str) -> Trained {
    Trained::load(&place.path(run), &Device::CPU, false).expect("a run")
}

#[test]
fn the_vae_of_pytorch_examples() {
    let place = place();
    let told = place.kiln(&words(&["vae.pt"], "vae --data grey.npy --set batch=8 --out run --set valid_every=0 --json")).json();
    assert_eq!((told["tensors"].as_u64(), told["names"][0].as_str()), (Some(10), Some("the VAE of pytorch/examples")));
    let mut vae = loaded(&place, "run");
    let encode = vae.model.encodes().expect("an encoder").encode_graph(4).expect("a graph");
    let decode = vae.model.decodes().expect("a decoder").decode_graph(4).expect("a graph");
    let codes = run(&mut vae, &encode, &[("x", &expected("vae.x"))], &["mean", "log_var"]);
    close("vae.mean", &codes[0]);
    close("vae.log_var", &codes[1]);
    close("vae.image", &run(&mut vae, &decode, &[("z", &expected("vae.z"))], &["x"])[0]);
    // And it is a run like any other.
    place.kiln("eval run --data grey.npy:valid --set iw=2").ok();
    place.kiln("sample run -n 4 --out some.png").ok();
    let known = place.kiln("info run --json").json();
    assert!(known["imported"][0].as_str().is_some_and(|path| path.ends_with("vae.pt")), "{known}");
    place.kiln("train --resume run --steps 2 -q --set valid_every=0").ok();
    assert_eq!(place.step("run/checkpoint.safetensors"), 2);
    place
        .kiln(&words(&["vae.pt"], "vae --data grey.npy --set batch=8 --out other --set activation=tanh"))
        .refused(2, &["activation is relu"]);
    place.kiln(&words(&["vae.pt"], "pixelcnn --data grey.npy --out other")).refused(2, &["kiln's vae", "no pixelcnn"]);
    place.kiln(&words(&["vae.pt"], "vae --data grey.npy --set batch=8 --out other --set hidden=8")).refused(
        2,
        &[
            "encoder.hidden.weight (fc1.weight) is [7, 30] there and [8, 30] here",
            "decoder.logits.weight (fc4.weight) is [30, 7] there and [30, 8] here",
        ],
    );
    place
        .kiln(&words(&["vae.pt"], "vae --set batch=8 --data eight.npy --out other"))
        .refused(2, &["fc1.weight) is [7, 30] there and [7, 64] here"]);
    assert!(!place.path("other").exists());
}

#[test]
fn the_networks_of_pytorch_examples_dcgan() {
    let place = place();
    let model = "dcgan --data colour.npy --set batch=4 --set sample_every=0";
    place.kiln(&words(&["netG.pth", "netD.pth"], &format!("{model} --out run"))).ok();
    let mut trained = loaded(&place, "run");
    let decode = trained.model.decodes().expect("a generator").decode_graph(2).expect("a graph");
    let image = run(&mut trained, &decode, &[("z", &expected("gan.z"))], &["x"]).remove(0);
    close("gan.image", &image.iter().map(|v| 2.0 * v - 1.0).collect::<Vec<_>>());
    let gan = Gan::new(Family::Dcgan, &trained.recipe.hyper, &trained.recipe.data.spec()).expect("the model");
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 64, 64, 3]);
    let [_, logits] = gan.judge(&mut graph, x, None, Mode::Infer).expect("a discriminator");
    graph.output("logits", logits);
    close("gan.logit", &run(&mut trained, &graph, &[("x", &expected("gan.image"))], &["logits"])[0]);
    place.kiln("train --resume run --steps 1 -q").ok();
    place.kiln("sample run -n 2 --out some.png").ok();
    // One network alone leaves the other as drawn, if that is said.
    let refused = place.kiln(&words(&["netG.pth"], &format!("{model} --set filters=2 --out half")));
    refused.refused(2, &["discriminator.conv1.weight is not there", "--fresh discriminator"]);
    let half = place.kiln(&words(&["netG.pth"], &format!("{model} --fresh discriminator --out half --json"))).json();
    assert_eq!((half["tensors"].as_u64(), half["fresh"].as_u64()), (Some(21), Some(17)));
    assert_eq!(place.tensors("half/checkpoint.safetensors")["generator.deconv1.weight"].0, [5, 16, 4, 4]);
    // What a file has of it is left there.
    let left = place.kiln(&words(&["netG.pth", "netD.pth"], &format!("{model} --fresh discriminator --out left --json"))).json();
    assert_eq!((left["tensors"].as_u64(), left["fresh"].as_u64()), (Some(21), Some(17)));
    place.kiln(&words(&["netG.pth"], &format!("{model} --fresh judge --out none"))).refused(2, &["--fresh judge names no tensor"]);
    place.kiln(&words(&["netD.pth"], &format!("{model} --part optimizer --out none"))).refused(2, &["no part optimizer", "model"]);
}

#[test]
fn the_pixelcnn_of_pytorch_generative() {
    let place = place();
    place.kiln(&words(&["pixelcnn.pt"], "pixelcnn --data bits.npy --out run --set valid_every=0 --set batch=8")).ok();
    let mut pixelcnn = loaded(&place, "run");
    let scores = pixelcnn.model.scores().expect("a likelihood").likelihood_graph(4).expect("a graph");
    let raster = pixelcnn.model.raster().expect("a sampler").raster_graph(4).expect("a graph");
    let x = expected("pixelcnn.x");
    close("pixelcnn.nats", &run(&mut pixelcnn, &scores, &[("x", &x)], &["nll"])[0]);
    close("pixelcnn.logits", &run(&mut pixelcnn, &raster, &[("x", &x)], &["logits"])[0]);
    place.kiln("eval run --data bits.npy:valid").ok();
    place.kiln("train --resume run --steps 1 -q").ok();
    let grey = "pixelcnn --data grey.npy --set batch=8 --set binarization=none --out other";
    place.kiln(&words(&["pixelcnn.pt"], grey)).refused(2, &["reads bits as 0 and 1"]);
}

#[test]
fn the_unet_of_diffusers() {
    let place = place();
    let weights = "unet/diffusion_pytorch_model.safetensors";
    let more = "--set valid_every=0 --set sample_every=0";
    place.kiln(&words(&[weights], &format!("diffusion --set batch=4 --data eight.npy --out run {more}"))).ok();
    let mut trained = loaded(&place, "run");
    let mut graph = Graph::new();
    let (x, head) = (graph.input("x", [3, 8, 8, 1]), graph.input("head", [3, 4]));
    let network = trained.model.denoises().expect("a network");
    let denoised = network.denoise(&mut graph, x, head, Default::default()).expect("a graph");
    graph.output("y", denoised.x0);
    // What the network says, as it is: 0 of the item and all of the output, at each time.
    let heads: Vec<f32> = expected("unet.time").iter().flat_map(|time| [1.0, *time, 0.0, 1.0]).collect();
    close("unet.y", &run(&mut trained, &graph, &[("x", &expected("unet.x")), ("head", &heads)], &["y"])[0]);
    place.kiln("sample run -n 2 --out some.png --steps 3").ok();
    place.kiln("train --resume run --steps 1 -q").ok();
    let hyper = &trained.recipe.hyper;
    assert_eq!(
        (hyper["head_channels"].as_integer(), hyper["groups"].as_integer(), hyper["filters"].as_integer()),
        (Some(4), Some(4), Some(8))
    );
    place
        .kiln(&words(&[weights], "diffusion --set batch=4 --data eight.npy --out other --set groups=2"))
        .refused(2, &["take --set groups=4"]);
    // What its file says otherwise is refused, and without it nothing is guessed.
    place.write("bare/w.safetensors", &std::fs::read(fixture(weights)).expect("weights"));
    place
        .kiln("import bare/w.safetensors diffusion --set batch=4 --data eight.npy --out other")
        .refused(1, &["config.json", "is not there"]);
    place.write("bare/config.json", &std::fs::read(fixture("unet/config.json")).expect("the settings"));
    let bare = "import bare/w.safetensors diffusion --set batch=4 --data eight.npy --out other";
    place.kiln(bare).refused(2, &["scheduler_config.json", "say noise="]);
    place.kiln(&format!("{bare} --set noise=linear")).refused(2, &["say target="]);
    assert_eq!((hyper["noise"].as_str(), hyper["target"].as_str()), (Some("linear"), Some("eps")));
    let config = std::fs::read_to_string(fixture("unet/config.json")).expect("the settings");
    for (from, to, words) in [
        ("\"downsample_padding\": 1", "\"downsample_padding\": 0", "downsample_padding is 0, and kiln's U-Net has 1"),
        ("\"freq_shift\": 0", "\"freq_shift\": 1", "freq_shift is 1"),
        ("1e-05", "1e-06", "norm_eps"),
        ("\"AttnDownBlock2D\"", "\"KDownBlock2D\"", "KDownBlock2D"),
        ("\"UpBlock2D\"", "\"AttnUpBlock2D\"", "other sizes on the way up"),
        ("\"default\"", "\"scale_shift\"", "the middle's attention"),
    ] {
        assert!(config.contains(from), "{from}");
        place.write("bare/config.json", config.replace(from, to).as_bytes());
        place.kiln(bare).refused(1, &[words]);
    }
}

#[test]
fn a_checkpoint_that_another_tool_saved_again() {
    let place = Place::new();
    place.train("run", "--steps 2 --set ema=0.5").ok();
    let tensors = place.tensors("run/checkpoint.safetensors");
    let halved = |bytes: &[u8], short: fn(f32) -> [u8; 2]| -> Vec<u8> {
        bytes.chunks_exact(4).flat_map(|b| short(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    };
    type Writer = fn(f32) -> [u8; 2];
    let kinds: [(&str, safetensors::Dtype, Option<Writer>); 3] = [
        ("f32", safetensors::Dtype::F32, None),
        ("f16", safetensors::Dtype::F16, Some(|v| half::f16::from_f32(v).to_le_bytes())),
        ("bf16", safetensors::Dtype::BF16, Some(|v| half::bf16::from_f32(v).to_le_bytes())),
    ];
    for (name, kind, writer) in kinds {
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> =
            tensors.iter().map(|(n, (shape, b))| (n, shape, writer.map_or(b.clone(), |short| halved(b, short)))).collect();
        let views =
            bytes.iter().map(|(n, shape, b)| (*n, safetensors::tensor::TensorView::new(kind, (*shape).clone(), b).expect("a tensor")));
        // Without metadata.
        place.write("again.safetensors", &safetensors::serialize(views, None).expect("a file"));
        place.kiln(&format!("import again.safetensors --like run --out {name}")).says("kiln's own names");
        let (trained, first) = (loaded(&place, name), loaded(&place, "run"));
        assert_eq!(trained.progress.step, 0);
        for id in first.state.spec().ids() {
            for arena in [Arena::Value, Arena::Average] {
                let [got, want] = [&trained, &first].map(|run| run.state.read(id, arena).wait().expect("values"));
                let rounded = |v: f32| {
                    writer.map_or(v, |short| {
                        if name == "f16" {
                            half::f16::from_le_bytes(short(v)).to_f32()
                        } else {
                            half::bf16::from_le_bytes(short(v)).to_f32()
                        }
                    })
                };
                assert_eq!(got, want.into_iter().map(rounded).collect::<Vec<_>>(), "{name} {}", first.state.spec().spec(id).name);
            }
        }
    }
    place.kiln("eval f32 --limit 16").ok();
    place.kiln("train --resume f32 --steps 1 -q").ok();
    place
        .kiln("import again.safetensors --like run --set blocks=2 --out other")
        .refused(2, &["blocks.1.reduce.weight is not there", "--fresh blocks"]);
    place
        .kiln("import again.safetensors --like run --set hidden=6 --out other")
        .refused(2, &["input.weight is [8, 1, 5, 5] there and [12, 1, 5, 5] here"]);
    place.kiln("import again.safetensors --out other --like run pixelcnn").refused(2, &["leave the model out"]);
    place.kiln("import again.safetensors --out other --data builtin:digits").refused(2, &["name the model"]);
    place.kiln("import pixelcnn --out other --data builtin:digits").refused(2, &["name the files"]);
    place.kiln("import gone.pt pixelcnn --out other --data builtin:digits").refused(1, &["gone.pt"]);
    place.write("picture.png", &png(4, 4, 3));
    place.kiln("import picture.png pixelcnn --out other --data builtin:digits").refused(1, &["neither a whole safetensors file"]);
    assert!(!place.path("other").exists());
}

#[test]
fn the_gated_pixelcnn_of_pytorch_generative_is_refused_in_words() {
    let place = Place::new();
    let zero = [0u8; 4];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &zero).expect("a tensor");
    place.write("gated.safetensors", &safetensors::serialize([("_input._vstack_1xN.weight", view)], None).expect("a file"));
    for model in ["gated-pixelcnn", "pixelcnn"] {
        place
            .kiln(&format!("import gated.safetensors {model} --data builtin:digits --out run"))
            .refused(1, &["GatedPixelCNN of pytorch-generative", "vertical stack"]);
    }
}

#[test]
fn first_weights_that_a_batch_would_set_stay_as_they_were_taken() {
    let place = Place::new();
    let more = "--set blocks=1 --set filters=4 --set mixtures=1 --set valid_every=0 --set sample_every=0 --batch 4";
    place.kiln(&format!("train pixelcnn-pp --data builtin:digits --limit 32 --steps 1 --out run -q {more} --set learning_rate=0")).ok();
    place.kiln("import run/checkpoint.safetensors --like run --set learning_rate=0 --set batch=8 --out again").ok();
    place.kiln("train --resume again --steps 1 -q").ok();
    let weights = |run: &str| {
        let mut tensors = place.tensors(&format!("{run}/checkpoint.safetensors"));
        tensors.retain(|name, _| !name.starts_with("optimizer.") && !name.starts_with("ema."));
        tensors
    };
    assert_eq!(weights("run"), weights("again"));
}
