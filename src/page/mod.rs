//! kiln in a browser: what a page's script may ask for. `page/engine.js` says who calls it.
//!
//! Calls come one behind the other, but for [`stop`]. A call that fails does so with a sentence. Values of images are 0..1, `[N, H, W, C]`.

mod archive;
mod artist;
mod asked;
mod run;
mod stop;
mod training;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use js_sys::Function;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::error::{Error, Result};
use crate::runtime::Device;
use asked::Request;
use run::Run;
use stop::STOP;
use training::Training;

/// What was opened and made so far.
#[derive(Default)]
struct Page {
    device: Option<Device>,
    runs: BTreeMap<String, Run>,
    training: Option<Training>,
}

thread_local! {
    static PAGE: RefCell<Page> = RefCell::default();
}

type Answer<T> = std::result::Result<T, JsValue>;

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map_err(|e| {
        JsValue::from_str(&match e {
            Error::Interrupted => "stopped".into(),
            other => other.to_string(),
        })
    })
}

fn device() -> Result<Device> {
    PAGE.with_borrow(|page| page.device.clone()).ok_or_else(|| Error::usage("no device was opened"))
}

/// Opens a device: `auto` (a GPU, or else the CPU), `gpu` (a software driver too) or `cpu`. Returns a JSON object of its `name`, `backend`
/// and whether it is `software`.
#[wasm_bindgen]
pub async fn open(choice: String) -> Answer<String> {
    console_error_panic_hook::set_once();
    let device = answer(Device::open(&choice).await)?;
    let about = match &device {
        Device::Cpu(_) => json!({"name": "kiln's own executor", "backend": "cpu", "software": true}),
        Device::Gpu(gpu) => json!({"name": gpu.description().name, "backend": "WebGPU", "software": gpu.description().is_cpu}),
    };
    PAGE.with_borrow_mut(|page| page.device = Some(device));
    Ok(about.to_string())
}

/// Makes a run known by a name, of the text of its recipe and the bytes of its weights; returns a JSON object of what it is.
#[wasm_bindgen]
pub fn load(name: String, recipe: String, weights: Vec<u8>) -> Answer<String> {
    let run = answer(device().and_then(|device| Run::new(&device, &recipe, &weights)))?;
    let about = run.about(&name).to_string();
    PAGE.with_borrow_mut(|page| page.runs.insert(name, run));
    Ok(about)
}

/// Carries out a call on a run, which is away meanwhile.
async fn with<T>(name: &str, call: impl AsyncFnOnce(&Device, &mut Run) -> Result<T>) -> Answer<T> {
    STOP.store(false, Ordering::Relaxed);
    let device = answer(device())?;
    let taken = PAGE.with_borrow_mut(|page| page.runs.remove(name));
    let mut run = taken.ok_or_else(|| JsValue::from_str(&format!("no run {name} was loaded")))?;
    let done = call(&device, &mut run).await;
    PAGE.with_borrow_mut(|page| page.runs.insert(name.into(), run));
    answer(done)
}

/// Draws images. `progress` hears of `(images, done, total)` on the way.
#[wasm_bindgen]
pub async fn sample(name: String, options: String, progress: Function) -> Answer<Vec<f32>> {
    with(&name, async |device, run| run.sample(device, &options, None, progress).await).await
}

/// Draws the images around values that are kept: where `kept` `[H, W]` is 1, `values` `[H, W, C]` stand.
#[wasm_bindgen]
pub async fn complete(name: String, options: String, kept: Vec<u8>, values: Vec<f32>, progress: Function) -> Answer<Vec<f32>> {
    with(&name, async |device, run| run.sample(device, &options, Some((&kept, &values)), progress).await).await
}

/// Images of latents `[N, latent]`; a label of −1 is none.
#[wasm_bindgen]
pub async fn decode(name: String, z: Vec<f32>, label: i32) -> Answer<Vec<f32>> {
    with(&name, async |device, run| run.decode(device, &z, u32::try_from(label).ok()).await).await
}

/// Trains a model; `told` hears of events as JSON, and of samples with their values behind. Returns a JSON object of how it ended.
#[wasm_bindgen]
pub async fn train(request: String, told: Function) -> Answer<String> {
    STOP.store(false, Ordering::Relaxed);
    let request = answer(Request::parse(&request))?;
    let training = answer(Training::start(&answer(device())?, &request).await)?;
    go_on(training, told).await
}

/// Goes on with the training that was stopped.
#[wasm_bindgen]
pub async fn resume(told: Function) -> Answer<String> {
    STOP.store(false, Ordering::Relaxed);
    go_on(answer(taken())?, told).await
}

async fn go_on(mut training: Training, told: Function) -> Answer<String> {
    let done = training.run(&STOP, told).await;
    PAGE.with_borrow_mut(|page| page.training = Some(training));
    answer(done)
}

/// Images of the model in training, as it is now.
#[wasm_bindgen]
pub async fn drawn(count: usize, seed: u32) -> Answer<Vec<f32>> {
    STOP.store(false, Ordering::Relaxed);
    let mut training = answer(taken())?;
    let done = training.draw(count, seed.into()).await;
    PAGE.with_borrow_mut(|page| page.training = Some(training));
    answer(done)
}

/// Asks whatever is under way to end.
#[wasm_bindgen]
pub fn stop() {
    STOP.store(true, Ordering::Relaxed);
}

/// The run folder of the training, as the bytes of a `.zip`.
#[wasm_bindgen]
pub fn archive() -> Answer<Vec<u8>> {
    PAGE.with_borrow(|page| match &page.training {
        Some(training) => answer(archive::zipped(&training.files())),
        None => answer(Err(nothing_trained())),
    })
}

fn taken() -> Result<Training> {
    PAGE.with_borrow_mut(|page| page.training.take()).ok_or_else(nothing_trained)
}

fn nothing_trained() -> Error {
    Error::usage("nothing is being trained")
}
