//! The page in a real browser: its module beside native kiln, every kernel through the browser's compiler, and what a visitor does.
//!
//! The browser is a headless Chromium on SwiftShader. KILN_REQUIRE_BROWSER=1 makes a missing one a failure.

#[path = "../support/graphs/mod.rs"]
mod graphs;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/variants.rs"]
mod variants;
pub use support::Bench;

mod browser;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use browser::{Browser, Sent};
use kiln::data::one_hot;
use kiln::runtime::{Device, Weights};
use kiln::sample::diffusion::{Drawer, Settings, Unwatched};
use kiln::sample::latent::decode;
use kiln::sample::latents;
use kiln::sample::raster::{Job, Method, RasterSampler};
use kiln::train::Trained;
use kiln::wait::Wait;
use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Longest that a page may take: SwiftShader on two cores is slow.
const PATIENCE: Duration = Duration::from_secs(400);

/// Where the page's own files and those of these tests are.
fn roots(site: &Path, more: &Path) -> Vec<PathBuf> {
    vec![more.to_path_buf(), site.to_path_buf(), Path::new(ROOT).join("tests/page")]
}

/// The page, built once.
fn site() -> &'static Path {
    static SITE: OnceLock<PathBuf> = OnceLock::new();
    SITE.get_or_init(|| {
        let site = Path::new(ROOT).join("target/kiln-page");
        let built = Command::new(Path::new(ROOT).join("scripts/page")).arg(&site).output().expect("scripts/page runs");
        assert!(built.status.success(), "scripts/page: {}", String::from_utf8_lossy(&built.stderr));
        site
    })
}

fn kiln(folder: &Path, words: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env("KILN_CACHE", folder.join("cache"))
        .output()
        .expect("kiln runs");
    assert!(output.status.success(), "kiln {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What was sent, by where to.
struct Told(BTreeMap<String, Vec<u8>>);

impl Told {
    fn of(sent: Vec<Sent>) -> Self {
        Self(sent.into_iter().map(|sent| (sent.to, sent.body)).collect())
    }

    fn bytes(&self, to: &str) -> &[u8] {
        self.0.get(to).unwrap_or_else(|| panic!("the page sent nothing to {to}"))
    }

    fn values(&self, to: &str) -> Vec<f32> {
        self.bytes(to).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    fn json(&self, to: &str) -> Value {
        serde_json::from_slice(self.bytes(to)).unwrap_or_else(|e| panic!("{to}: {e}"))
    }
}

/// The runs of the page, each of which draws in another way.
const RUNS: [(&str, &str); 4] = [
    ("grey", "pixelcnn --set blocks=1 --set hidden=8 --set head=8 --set first_kernel=5 --set levels=4 --steps 20 --batch 16"),
    (
        "bits",
        "gated-pixelcnn --set layers=2 --set hidden=6 --set head=6 --set conditional=true --set binarization=dynamic --steps 20 --batch 16",
    ),
    ("latent", "vae --set form=mlp --set hidden=32 --set latent=2 --steps 20 --batch 16"),
    ("noise", "diffusion --set preset=tiny --steps 4 --batch 4"),
];

/// What native kiln draws where the page drew `images`.
fn native(run: &Path) -> Vec<f32> {
    let mut trained = Trained::load(run, &Device::CPU, false).expect("a run");
    let weights = if trained.recipe.train.ema > 0.0 { Weights::Average } else { Weights::Current };
    let (model, classes) = (trained.model.as_ref(), trained.recipe.data.classes);
    let labels: Vec<u32> = (0..4).map(|i| i % classes.max(1) as u32).collect();
    if model.raster().is_some() {
        let mut sampler = RasterSampler::new(&Device::CPU, model, &trained.state, weights, Method::Cached).wait().expect("a sampler");
        let top = sampler.law().top();
        let hot = one_hot(&labels, classes, 4);
        let inputs = [("labels", &hot[..])];
        let job = Job { count: 4, seed: 5, first: 0, temperature: 1.0, keep: None, inputs: &inputs };
        let drawn = sampler.sample(model, &mut trained.state, &job).wait().expect("images");
        return drawn.images.into_iter().map(|v| v / top).collect();
    }
    if let Some(network) = model.denoises() {
        let settings = Settings::of(network, None, Some(5));
        let mut drawer = Drawer::new(&Device::CPU, model, &trained.state, weights, &settings, 4).wait().expect("a drawer");
        let z = latents(5, 0, 4, trained.recipe.data.dims.iter().product());
        return drawer.draw(&mut trained.state, &z, &[], (5, 0), &mut Unwatched).wait().expect("images");
    }
    let z = latents(5, 0, 4, model.decodes().expect("a decoder").latent());
    decode(&Device::CPU, model, &mut trained.state, weights, &z, (&labels, classes)).wait().expect("images")
}

fn near(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// A folder of trained runs, and of a page's list of them.
fn trained(runs: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a folder");
    for (name, words) in runs {
        let words = format!("train {words} --data builtin:digits --limit 200 --device cpu --seed 3 --out {name} --set sample_every=0");
        kiln(place.path(), &words);
    }
    let names: Vec<&str> = runs.iter().map(|(name, _)| *name).collect();
    kiln(place.path(), &format!("page {} --out site --weights f32", names.join(" ")));
    place
}

#[test]
fn a_visitor_samples_completes_walks_and_trains() {
    let Some(program) = browser::program() else { return };
    let place = trained(&RUNS);
    let runs = place.path().join("site/runs");
    // A run whose weights were cut off on their way.
    let index = std::fs::read_to_string(runs.join("index.json")).expect("a list");
    let mut index: Value = serde_json::from_str(&index).expect("JSON");
    let broken = json!({"name": "broken", "folder": "broken", "about": "cut off", "weights": "f32"});
    index["runs"].as_array_mut().expect("a list").push(broken);
    std::fs::write(runs.join("index.json"), index.to_string()).expect("a list");
    std::fs::create_dir(runs.join("broken")).expect("a folder");
    std::fs::copy(runs.join("grey/recipe.toml"), runs.join("broken/recipe.toml")).expect("a recipe");
    std::fs::write(runs.join("broken/weights.safetensors"), b"torn").expect("a file");
    let browser = Browser::show(&program, roots(site(), &place.path().join("site")), "visit.html");
    let seen = Told::of(browser.all(PATIENCE)).json("/seen");
    eprintln!("{seen}");
    assert_eq!([&seen["samples"], &seen["completions"], &seen["chains"]], [16, 8, 4]);
    assert!(seen["archive"].as_u64().is_some_and(|bytes| bytes > 10_000) && seen["curves"].as_u64() > Some(0), "{seen}");
    assert!(seen["figures"].as_str().is_some_and(|said| said.contains("images/s")), "{seen}");
    assert!(seen["broken"].as_str().is_some_and(|said| said.contains("weights.safetensors") && said.ends_with('.')), "{seen}");
}

#[test]
fn the_module_does_what_native_kiln_does() {
    let Some(program) = browser::program() else { return };
    let place = trained(&RUNS);
    let folder = place.path();
    let names = RUNS.map(|(name, _)| name);
    let browser = Browser::show(&program, roots(site(), &folder.join("site")), "module.html");
    let told = Told::of(browser.all(PATIENCE));
    kiln(folder, "train vae --data builtin:digits --device cpu --seed 1 --steps 3 --batch 8 --out same --set sample_every=0");
    let metrics = std::fs::read_to_string(folder.join("same/metrics.jsonl")).expect("metrics");
    let metrics: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let losses: Vec<&Value> = metrics.iter().filter(|line| line["loss"].is_number()).collect();
    assert!(losses.len() > 1, "{losses:?}");
    eprintln!("started in {}", told.json("/started")["milliseconds"]);
    for device in ["cpu", "gpu"] {
        eprintln!("{device}: {} {}", told.json(&format!("/{device}/opened")), told.json(&format!("/{device}/times")));
        let values = |run: &str, what: &str| told.values(&format!("/{device}/{run}/{what}"));
        for name in names {
            let (found, wanted) = (values(name, "images"), native(&folder.join(name)));
            // What is drawn value by value is the same; what is computed is, but for how sums round.
            let tolerance = if ["grey", "bits"].contains(&name) { 0.0 } else { 2e-4 };
            assert!(near(&found, &wanted, tolerance), "{device} draws other images of {name} than native kiln");
            let on_the_way = told.json(&format!("/{device}/{name}/told"));
            let on_the_way = on_the_way.as_array().expect("a list");
            assert!(name == "latent" || on_the_way.len() > 1, "{device} told nothing of {name} on the way");
            assert!(on_the_way.iter().all(|told| told[0] == 4 * 784), "{on_the_way:?}");
        }
        for name in ["grey", "bits", "noise"] {
            let (images, completed) = (values(name, "images"), values(name, "completed"));
            assert_eq!(completed.len(), 4 * 784);
            assert!(completed.chunks_exact(784).all(|c| near(&c[..392], &images[..392], 1e-6)), "{device}: {name} keeps what was given");
            assert!(completed[392..784] != images[392..784], "{device}: {name} draws the rest anew");
        }
        assert_eq!(values("latent", "decoded").len(), 2 * 784);
        let events = told.json(&format!("/{device}/events"));
        let of_kind = |kind: &str| events.as_array().expect("a list").iter().filter(|e| e["kind"] == kind).cloned().collect::<Vec<_>>();
        for line in &losses {
            let same = of_kind("metrics").into_iter().find(|e| e["step"] == line["step"]).expect("the step");
            let [found, wanted] = [&same["values"]["loss"], &line["loss"]].map(|v| v.as_f64().expect("a number"));
            assert!((found - wanted).abs() < 1e-4 * wanted.abs(), "{device}: the loss of step {} is {found}, not {wanted}", line["step"]);
            assert_eq!(same["units"]["loss"], "nats");
        }
        assert_eq!(of_kind("samples")[0]["values"], json!(16 * 784));
        assert_eq!(told.json(&format!("/{device}/trained"))["step"], 3);
        assert_eq!(told.values(&format!("/{device}/drawn")).len(), 3 * 784);
        let stopped = told.json(&format!("/{device}/stopped"));
        assert!(stopped[0]["stopped"] == true && stopped[0]["step"].as_u64() < stopped[1]["step"].as_u64(), "{stopped}");
        // The run folder is one of native kiln's.
        let at = folder.join(device);
        let archive = std::io::Cursor::new(told.bytes(&format!("/{device}/archive")).to_vec());
        zip::ZipArchive::new(archive).and_then(|mut archive| archive.extract(&at)).expect("an archive");
        assert!(kiln(&at, "eval kiln-run --limit 20 --device cpu").contains("nats"));
        kiln(&at, "train --resume kiln-run --steps 5 --device cpu");
        let refusals = told.json(&format!("/{device}/refusals"));
        for (said, words) in refusals.as_array().expect("a list").iter().zip(["recipe", "nobody", "temperature", "pixelcnn", "batch"]) {
            let said = said.as_str().expect("a sentence");
            assert!(said.contains(words) && !said.contains("panicked") && said.len() < 400, "{said}");
        }
    }
    assert_eq!(told.json("/cpu/opened")["backend"], "cpu");
    assert_eq!(told.json("/gpu/opened")["backend"], "WebGPU");
}

#[test]
fn every_kernel_passes_the_browsers_compiler() {
    let Some(program) = browser::program() else { return };
    let place = tempfile::tempdir().expect("a folder");
    let matrices = |text: &str| text.contains("enable wgpu_cooperative_matrix;");
    let texts: Vec<Value> = variants::variants()
        .into_iter()
        .filter(|(text, _)| !matrices(text))
        .map(|(text, name)| json!({"name": name, "text": text}))
        .collect();
    std::fs::write(place.path().join("kernels.json"), json!(texts).to_string()).expect("a file");
    let browser = Browser::show(&program, roots(place.path(), place.path()), "kernels.html");
    let compiled = Told::of(browser.all(PATIENCE)).json("/compiled");
    eprintln!("{} kernels on {}", compiled["count"], compiled["adapter"]);
    assert_eq!(compiled["count"], texts.len());
    assert_eq!(compiled["refused"], json!([]), "the browser refuses kernels");
}
