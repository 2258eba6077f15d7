//! A training that goes on in the page.

use std::sync::atomic::AtomicBool;

use js_sys::{Float32Array, Function};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;

use super::artist::{Artist, Sitter};
use super::asked::{Options, Request};
use crate::error::Result;
use crate::runtime::Device;
use crate::train::{Files, Observer, Order, RunFolder, Trainer};

/// What is trained on: digits that are drawn, so that nothing need be fetched.
const DATA: &str = "builtin:digits";

/// Sizes that learn something of those digits within minutes of one thread; other models have their own.
const SMALL: [(&str, &[(&str, i64)]); 2] = [("pixelcnn", &[("blocks", 3), ("hidden", 16), ("head", 16)]), ("dcgan", &[("filters", 16)])];

/// A training.
pub struct Training {
    trainer: Trainer,
    device: Device,
}

impl Training {
    /// Makes the recipe of what is asked for, and first weights.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for what does not fit; errors of the device.
    pub async fn start(device: &Device, request: &Request) -> Result<Self> {
        let mut settings = toml::Table::new();
        settings.insert("sample_every".into(), toml::Value::Integer(request.sample_every as i64));
        let small = SMALL.iter().find(|(name, _)| *name == request.model).map_or(&[][..], |(_, keys)| *keys);
        settings.extend(small.iter().map(|(key, value)| (key.to_string(), toml::Value::Integer(*value))));
        if let Some(rate) = request.learning_rate {
            settings.insert("learning_rate".into(), toml::Value::Float(rate));
        }
        let order = Order {
            model: request.model.clone(),
            source: DATA.into(),
            seed: request.seed.into(),
            settings,
            batch: Some(request.batch),
            steps: Some(request.steps),
            ..Order::default()
        };
        let trainer = Trainer::start(device, order.recipe(device)?, RunFolder::in_memory(Files::new())).await?;
        Ok(Self { trainer, device: device.clone() })
    }

    /// Trains until the end or until `stop` is set; returns how it ended, as JSON.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run(&mut self, stop: &AtomicBool, told: Function) -> Result<String> {
        let metrics = self.trainer.model().metrics().iter().map(|(name, unit)| (name.to_string(), unit.to_string())).collect();
        let mut teller = Teller { told, metrics, dims: self.trainer.recipe().data.dims };
        let ended = self.trainer.run(stop, &mut teller).await?;
        Ok(json!({"step": ended.step, "stopped": ended.stopped, "items_per_s": ended.items_per_second}).to_string())
    }

    /// Images of the model as it is now.
    ///
    /// # Errors
    /// As [`Artist::draw`].
    pub async fn draw(&mut self, count: usize, seed: u64) -> Result<Vec<f32>> {
        let (weights, data) = (self.trainer.weights(), self.trainer.recipe().data.clone());
        let (model, state) = self.trainer.model_and_state();
        let classes = if model.conditional() { data.classes } else { 0 };
        let mut sitter = Sitter { device: &self.device, model, state, weights, classes, dims: data.dims };
        let options = Options { count, seed: seed as u32, label: None, temperature: 1.0, steps: None };
        // Made anew each time: a sampler holds weights as they were.
        Artist::default().draw(&mut sitter, &options, None, None).await
    }

    /// Everything in its folder.
    pub fn files(&self) -> Files {
        self.trainer.folder().files()
    }
}

/// Tells a page.
struct Teller {
    told: Function,
    /// Names and units.
    metrics: Vec<(String, String)>,
    dims: [usize; 3],
}

impl Teller {
    fn tell(&self, event: &Value, values: &JsValue) {
        // A page that cannot show what it is told is told so by its own script.
        let _ = self.told.call2(&JsValue::NULL, &JsValue::from_str(&event.to_string()), values);
    }
}

impl Observer for Teller {
    fn metrics(&mut self, step: u64, values: &[f32], items_per_second: f64) {
        let named = self.metrics.iter().zip(values);
        let values: serde_json::Map<String, Value> = named.map(|((name, _), value)| (name.clone(), json!(value))).collect();
        let units: serde_json::Map<String, Value> = self.metrics.iter().map(|(name, unit)| (name.clone(), json!(unit))).collect();
        let event = json!({"kind": "metrics", "step": step, "values": values, "units": units, "items_per_s": items_per_second});
        self.tell(&event, &JsValue::UNDEFINED);
    }

    fn step(&mut self, step: u64) {
        self.tell(&json!({"kind": "step", "step": step}), &JsValue::UNDEFINED);
    }

    fn say(&mut self, words: &str) {
        self.tell(&json!({"kind": "say", "words": words}), &JsValue::UNDEFINED);
    }

    fn valid(&mut self, step: u64, nats: f64, _data: &str, _best: bool) {
        self.tell(&json!({"kind": "valid", "step": step, "nats": nats}), &JsValue::UNDEFINED);
    }

    fn drawn(&mut self, step: u64, items: &[f32]) {
        let count = items.len() / self.dims.iter().product::<usize>().max(1);
        let event = json!({"kind": "samples", "step": step, "count": count, "dims": self.dims});
        self.tell(&event, &Float32Array::from(items));
    }
}
