//! Autoregressive models on images of a few pixels.

#![allow(dead_code)] // each test program uses a part

use std::collections::BTreeSet;
use std::sync::Arc;

use kiln::Result;
use kiln::data::{Binarization, Kind, Source};
use kiln::eval::{self, ClassScores, LikelihoodOptions, Scores};
use kiln::graph::Step;
use kiln::model::{self, DataSpec, Model, need};
use kiln::random::Draws;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Drawn, Job, Method, RasterSampler};
use kiln::wait::Wait;

/// Classes of the data.
pub const CLASSES: usize = 3;

/// What a model is told of images of these dims; of 0 levels, values are continuous.
pub fn data(dims: [usize; 3], levels: usize, classes: usize) -> DataSpec {
    let (kind, binarization) = match levels {
        0 => (Kind::Points, Binarization::None),
        2 => (Kind::Binary, Binarization::Static),
        _ => (Kind::Pixels, Binarization::None),
    };
    DataSpec { dims, classes, kind, binarization, mean: None }
}

/// One-hot labels of `count` images of a class.
pub fn labels(count: usize, class: usize) -> Vec<f32> {
    (0..count * CLASSES).map(|i| f32::from(u8::from(i % CLASSES == class))).collect()
}

/// Images from the seed of the tests.
pub fn job(count: usize, first: usize) -> Job<'static> {
    Job { count, seed: 17, first, temperature: 1.0, keep: None, inputs: &[] }
}

/// A model with its first weights.
pub struct Net {
    pub device: Device,
    pub model: Box<dyn Model>,
    pub state: State,
    pub dims: [usize; 3],
    pub levels: usize,
    /// Class of the images that are scored, where the model is conditional.
    pub class: usize,
}

impl Net {
    /// A PixelCNN of data without labels.
    pub fn new(dims: [usize; 3], levels: usize, hyper: &str) -> Result<Self> {
        Self::of("pixelcnn", data(dims, levels, 0), levels, hyper)
    }

    /// A model of data with [`CLASSES`] labels.
    pub fn labelled(model: &str, dims: [usize; 3], levels: usize, hyper: &str) -> Result<Self> {
        Self::of(model, data(dims, levels, CLASSES), levels, hyper)
    }

    /// A model of some data.
    pub fn of(model: &str, data: DataSpec, levels: usize, hyper: &str) -> Result<Self> {
        // Of autoregressive models alone the levels are a key.
        let told = if ["cvae", "diffusion"].contains(&model) { String::new() } else { format!("levels = {levels}\n") };
        let hyper = toml::from_str(&format!("{told}{hyper}")).expect("hyper-parameters");
        let model = model::build(model, &hyper, &data)?;
        let device = Device::open("cpu").wait()?;
        let state = State::initial(&device, model.state(), 3)?;
        Ok(Self { device, model, state, dims: data.dims, levels, class: 0 })
    }

    pub fn item(&self) -> usize {
        self.dims.iter().product()
    }

    /// Logits of one value.
    pub fn per_value(&self) -> usize {
        if self.levels == 2 { 1 } else { self.levels }
    }

    /// Images of random levels, or of the standard normal.
    pub fn noise(&self, count: usize, stream: u32) -> Vec<f32> {
        let mut draws = Draws::new(23, stream, 0);
        let mut value = || if self.levels == 0 { draws.normal() } else { draws.below(self.levels) as f32 };
        (0..count * self.item()).map(|_| value()).collect()
    }

    /// `[N, values, per_value]` logits of images given in levels.
    pub fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        let count = images.len() / self.item();
        let graph = need::raster(self.model.as_ref())?.raster_graph(count)?;
        let mut program = Program::new(&self.device, &graph, &self.state, Weights::Current).wait()?;
        program.write("x", images)?;
        program.write("labels", &labels(count, self.class))?;
        program.run(&mut self.state, &Step::default()).wait()?;
        program.read(&self.state, "logits").wait()
    }

    /// For each value j of `base`: which values' logits change when j alone is changed.
    pub fn influence(&mut self, base: &[f32]) -> Result<Vec<BTreeSet<usize>>> {
        let (item, levels) = (self.item(), self.levels as f32);
        let mut images = base.to_vec();
        for j in 0..item {
            let mut changed = base.to_vec();
            changed[j] = (changed[j] + (levels / 2.0).floor()) % levels;
            images.extend(changed);
        }
        let logits = self.logits(&images)?;
        let per = self.per_value();
        let bits = |image: usize, v: usize| logits[(image * item + v) * per..][..per].iter().map(|l| l.to_bits()).collect::<Vec<_>>();
        Ok((0..item).map(|j| (0..item).filter(|&v| bits(j + 1, v) != bits(0, v)).collect()).collect())
    }

    fn options(batch: usize, per_pixel: bool) -> LikelihoodOptions {
        LikelihoodOptions { batch, per_pixel, ..LikelihoodOptions::default() }
    }

    fn source(&self, images: &[f32]) -> Arc<dyn Source> {
        Arc::new(Memory { dims: self.dims, levels: self.levels, images: images.to_vec(), class: self.class as u32 })
    }

    pub fn score(&mut self, images: &[f32], batch: usize) -> Result<Scores> {
        let (source, exact) = (self.source(images), need::in_order(self.model.as_ref()).is_ok());
        eval::score(&self.device, self.model.as_ref(), &mut self.state, source, &Self::options(batch, exact), |_| {}).wait()
    }

    /// Scores of images under every class.
    pub fn score_classes(&mut self, images: &[f32], batch: usize) -> Result<ClassScores> {
        let data = (self.source(images), CLASSES);
        eval::class_scores(&self.device, self.model.as_ref(), &mut self.state, data, &Self::options(batch, false), |_| {}).wait()
    }

    /// Scores of images of a class.
    pub fn score_as(&mut self, class: usize, images: &[f32], batch: usize) -> Result<Scores> {
        self.class = class;
        self.score(images, batch)
    }

    pub fn draw(&mut self, method: Method, job: &Job<'_>) -> Result<Drawn> {
        let mut sampler = RasterSampler::new(&self.device, self.model.as_ref(), &self.state, Weights::Current, method).wait()?;
        sampler.sample(self.model.as_ref(), &mut self.state, job).wait()
    }
}

/// Images in memory, given in levels, all of one class.
struct Memory {
    dims: [usize; 3],
    levels: usize,
    images: Vec<f32>,
    class: u32,
}

impl Source for Memory {
    fn len(&self) -> usize {
        self.images.len() / self.dims.iter().product::<usize>()
    }
    fn dims(&self) -> [usize; 3] {
        self.dims
    }
    fn kind(&self) -> Kind {
        match self.levels {
            0 => Kind::Points,
            2 => Kind::Binary,
            _ => Kind::Pixels,
        }
    }
    fn classes(&self) -> usize {
        CLASSES
    }
    fn label(&self, _index: usize) -> Option<u32> {
        Some(self.class)
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let levels = self.levels as f32;
        // The least byte of a level.
        let byte = |level: f32| match self.levels {
            0 => level,
            2 => 255.0 * level,
            _ => (level * 256.0 / levels).ceil(),
        };
        let item = out.len();
        out.iter_mut().zip(&self.images[index * item..]).for_each(|(o, v)| *o = byte(*v));
        Ok(())
    }
    fn name(&self) -> String {
        "memory".into()
    }
}

/// For colours before others in one pixel: which of the first change the logits of which of the second, in some images.
pub fn seen_in_a_pixel(net: &mut Net) -> Result<BTreeSet<(usize, usize)>> {
    let mut seen = BTreeSet::new();
    for stream in 0..4 {
        let base = net.noise(1, stream);
        for (j, changed) in net.influence(&base)?.iter().enumerate() {
            seen.extend(changed.iter().filter(|&&v| v / 3 == j / 3).map(|&v| (j % 3, v % 3)));
        }
    }
    Ok(seen)
}

/// Values whose logits a value changes although it does not come before them: pairs of both.
pub fn early(net: &mut Net) -> Result<Vec<(usize, usize)>> {
    let base = net.noise(1, 1);
    let influence = net.influence(&base)?;
    Ok(influence.iter().enumerate().flat_map(|(j, changed)| changed.range(..=j).map(move |v| (j, *v))).collect())
}

/// Every image of `values` values of `levels` levels.
pub fn domain(values: usize, levels: usize) -> Vec<f32> {
    let count = levels.pow(values as u32);
    (0..count).flat_map(|code| (0..values).map(move |v| (code / levels.pow(v as u32) % levels) as f32)).collect()
}
