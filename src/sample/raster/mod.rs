//! Sampling in raster order.
//!
//! The naive sampler runs the whole network once for each value and is the oracle; the cached one evaluates each node once per position.
//! Both draw the same uniforms, so they draw the same images, bit for bit on one executor.

mod cached;
mod derive;
mod device;
pub mod draw;
mod kernel;
mod parts;
mod past;
mod program;
mod scales;
mod steps;

pub use cached::CachedSampler;
pub use device::DeviceSampler;
pub use kernel::{Compiled, kernel};
pub use past::{Future, Past};
pub use program::{Feature, Known, Operand, Order, RasterProgram, RasterStep, View, Work};
pub use scales::{order, scales};

use web_time::Instant;

use draw::{Chance, Pixel};

use crate::cpu::Arena;
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, NodeId, Shape, Step};
use crate::model::{Law, Model, Raster, need};
use crate::runtime::{Device, Program, Spent, State, Weights};
use crate::tensor::Precision;

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// Number of images.
    pub count: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Number of the first image in the whole job, so that a job may be split anyhow.
    pub first: usize,
    /// Divides the logits; 1 is the model itself.
    pub temperature: f32,
    /// Values that are given, not drawn: images `[count, H, W, C]` in levels, and for each place of an image whether it is kept.
    pub keep: Option<(&'a [f32], &'a [bool])>,
    /// Values of the model's further inputs by name, `labels` `[count, classes]` for one: of `count` images each. Where a model draws in
    /// scales, `coarse` `[count, H/2, W/2, C]`, in levels, are pixels of even rows and columns to draw the others around; where it draws
    /// colours, `luma` `[count, H, W, 1]` is what they are drawn for.
    pub inputs: &'a [(&'a str, &'a [f32])],
}

impl Job<'_> {
    fn given(&self, image: usize, place: usize) -> Option<f32> {
        let (values, kept) = self.keep?;
        kept[place].then(|| values[image * kept.len() + place])
    }
}

/// Watches a job while it is drawn. It is asked from several threads.
pub trait Watch: Sync {
    /// Whether the job is to end at once.
    fn stops(&self) -> bool {
        false
    }
    /// Whether the images are wanted as far as they are drawn.
    fn wants(&self) -> bool {
        false
    }
    /// Images of the job from number `first` on, each of `item` values `[H, W, C]` in levels, of which so many positions are drawn.
    fn drawn(&self, _first: usize, _item: usize, _images: &[f32], _positions: usize) {}
}

/// Watches nothing.
pub struct Unwatched;

impl Watch for Unwatched {}

/// Images drawn, in levels from 0 (continuous values as they are), and ln p of the values drawn (not of those given), in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// `[count, H, W, C]`.
    pub images: Vec<f32>,
    /// One an image.
    pub log_p: Vec<f64>,
}

/// How images are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each node once per position.
    Cached,
    /// The same; on an adapter a workgroup draws an image, also where the adapter is a CPU, whose own form is another.
    Grouped,
    /// A whole forward pass for each value.
    Naive,
}

enum Engine {
    Cpu(Box<CachedSampler>),
    Gpu(Box<DeviceSampler>),
    Naive,
}

/// A sampler of an autoregressive model.
pub struct RasterSampler {
    device: Device,
    law: Law,
    dims: [usize; 3],
    weights: Weights,
    engine: Engine,
    naive: Option<(usize, Program)>,
    /// Draws every second pixel first, where the model is of several scales.
    coarser: Option<Box<RasterSampler>>,
    conditions: Option<Conditions>,
    spent: Spent,
}

/// What the cached samplers are given of a number of images, computed once a job from the inputs besides the image.
struct Conditions {
    count: usize,
    /// Names and lengths of the inputs.
    inputs: Vec<(String, usize)>,
    /// None where nothing is to be computed.
    program: Option<Program>,
    names: Vec<String>,
}

impl Conditions {
    /// `cached`: whether a cached sampler is to be given anything, or the whole network reads its inputs itself.
    async fn new(device: &Device, graph: &Graph, state: &State, weights: Weights, count: usize, cached: bool) -> Result<Self> {
        let further = graph.inputs().iter().filter(|(name, _)| *name != "x");
        let inputs: Vec<(String, usize)> = further.map(|(name, node)| (name.clone(), graph.shape(*node).len())).collect();
        if inputs.is_empty() || !cached {
            return Ok(Self { count, inputs, program: None, names: Vec::new() });
        }
        let given = RasterProgram::new(graph, state.spec())?.given;
        let mut graph = graph.clone();
        graph.keep_outputs(&[]);
        let names: Vec<String> = (0..given.len()).map(|k| format!("given {k}")).collect();
        names.iter().zip(&given).for_each(|(name, (_, node))| graph.output(name, *node));
        Ok(Self { count, inputs, program: Some(Program::new(device, &graph, state, weights).await?), names })
    }

    /// Refuses a job that lacks what the model reads besides the image.
    fn check(&self, job: &Job<'_>) -> Result<()> {
        let lacks = |(name, len): &&(String, usize)| !job.inputs.iter().any(|(given, values)| given == name && values.len() == *len);
        match self.inputs.iter().find(lacks) {
            Some((name, _)) => Err(Error::usage(format!("the model's images depend on {name}, which were not given for each image"))),
            None => Ok(()),
        }
    }

    async fn values(&mut self, state: &mut State, job: &Job<'_>) -> Result<Vec<Vec<f32>>> {
        let Some(program) = &mut self.program else { return Ok(Vec::new()) };
        for (name, values) in job.inputs {
            program.write(name, values)?;
        }
        program.run(state, &Step::default()).await?;
        program.read_all(state, &self.names).await
    }
}

impl RasterSampler {
    /// Prepares a model for sampling with its weights as they are now.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model is not autoregressive.
    pub async fn new(device: &Device, model: &dyn Model, state: &State, weights: Weights, method: Method) -> Result<Self> {
        Self::of_scale(device, need::in_order(model)?, state, weights, method).await
    }

    async fn of_scale(device: &Device, raster: &dyn Raster, state: &State, weights: Weights, method: Method) -> Result<Self> {
        let coarser = match raster.coarser() {
            Some(coarser) => Some(Box::pin(Self::of_scale(device, coarser.as_ref(), state, weights, method)).await?),
            None => None,
        };
        let graph = raster.raster_graph(1)?;
        let x = graph.inputs().get("x").map(|x| graph.shape(*x).dims().to_vec()).unwrap_or_default();
        let [_, h, w, c] = x[..] else { return Err(Error::Shape("pixels are drawn into images, and the input is none".into())) };
        let engine = match method {
            Method::Naive => Engine::Naive,
            Method::Cached | Method::Grouped => {
                let program = RasterProgram::new(&graph, state.spec())?;
                let constants = constants(&graph, &program, state, weights).await?;
                match device {
                    Device::Cpu(_) => Engine::Cpu(Box::new(CachedSampler::new(program, raster.law(), constants))),
                    Device::Gpu(gpu) => {
                        Engine::Gpu(Box::new(DeviceSampler::new(gpu, &program, &raster.law(), &constants, method == Method::Grouped)?))
                    }
                }
            }
        };
        let (device, law, dims) = (device.clone(), raster.law(), [h, w, c]);
        let coarser = coarser.map(Box::new);
        Ok(Self { device, law, dims, weights, engine, naive: None, coarser, conditions: None, spent: Spent::default() })
    }

    /// By which law values are drawn.
    pub fn law(&self) -> &Law {
        &self.law
    }

    /// Draws images.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn sample(&mut self, model: &dyn Model, state: &mut State, job: &Job<'_>) -> Result<Drawn> {
        self.sample_watched(model, state, job, &Unwatched).await?.ok_or(Error::Interrupted)
    }

    /// Draws images, or none once `watch` ends it. It is asked between values where a model is drawn by whole passes, between rows on the
    /// CPU and between dispatches on an adapter.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn sample_watched(
        &mut self,
        model: &dyn Model,
        state: &mut State,
        job: &Job<'_>,
        watch: &dyn Watch,
    ) -> Result<Option<Drawn>> {
        if job.count == 0 {
            return Err(Error::usage("at least one image must be drawn; take -n 1 or more"));
        }
        self.draw(need::in_order(model)?, state, job, watch).await
    }

    /// Draws images from the coarsest scale to this one.
    async fn draw(&mut self, raster: &dyn Raster, state: &mut State, job: &Job<'_>, watch: &dyn Watch) -> Result<Option<Drawn>> {
        let (Some(sampler), Some(coarser)) = (&mut self.coarser, raster.coarser()) else {
            return self.draw_scale(raster, state, job, watch).await;
        };
        sampler.spent = Spent::default();
        let known = job.inputs.iter().find(|(name, _)| *name == "coarse");
        let coarse = match known {
            Some((_, values)) if values.len() == job.count * sampler.dims.iter().product::<usize>() => {
                Drawn { images: values.to_vec(), log_p: vec![0.0; job.count] }
            }
            Some(_) => return Err(Error::usage("the coarser images are not as many, or not of the size, that are to be drawn around")),
            None => {
                let kept = scales::coarser_kept(job, self.dims);
                let keep = kept.as_ref().map(|k| (&k.values[..], &k.places[..]));
                let part = Job { seed: scales::coarser_seed(job.seed), keep, ..job.clone() };
                match Box::pin(sampler.draw(coarser.as_ref(), state, &part, watch)).await? {
                    Some(drawn) => drawn,
                    None => return Ok(None),
                }
            }
        };
        let kept = scales::kept_with(job, &coarse.images, self.dims);
        let further = job.inputs.iter().filter(|(name, _)| *name != "coarse").copied();
        let inputs: Vec<(&str, &[f32])> = further.chain([("coarse", &coarse.images[..])]).collect();
        let whole = Job { keep: Some((&kept.values, &kept.places)), inputs: &inputs, ..job.clone() };
        let drawn = self.draw_scale(raster, state, &whole, watch).await?;
        let log_p = |drawn: &Drawn| drawn.log_p.iter().zip(&coarse.log_p).map(|(fine, coarse)| fine + coarse).collect();
        Ok(drawn.map(|drawn| Drawn { log_p: log_p(&drawn), images: drawn.images }))
    }

    /// Draws the values of this scale that are not kept.
    async fn draw_scale(&mut self, raster: &dyn Raster, state: &mut State, job: &Job<'_>, watch: &dyn Watch) -> Result<Option<Drawn>> {
        self.spent = Spent::default();
        let given = self.given(raster, state, job).await?;
        match &mut self.engine {
            Engine::Cpu(sampler) => {
                let begun = Instant::now();
                let drawn = sampler.sample(job, &given, watch);
                self.spent.kernels = begun.elapsed().as_secs_f64();
                Ok(drawn)
            }
            Engine::Gpu(sampler) => sampler.sample(job, &given, &mut self.spent, watch).await,
            Engine::Naive => self.sample_naively(raster, state, job, watch).await,
        }
    }

    /// Draws images, fewer at a time where the device has no room for all of them together; which images they are is the same.
    ///
    /// # Errors
    /// As [`RasterSampler::sample`] for a single image.
    pub async fn sample_in_parts(&mut self, model: &dyn Model, state: &mut State, job: &Job<'_>) -> Result<Drawn> {
        match self.sample(model, state, job).await {
            Err(Error::Device(_)) if job.count > 1 => {}
            drawn => return drawn,
        }
        let mut whole = Drawn { images: Vec::new(), log_p: Vec::new() };
        for (from, to) in [(0, job.count / 2), (job.count / 2, job.count)] {
            let part = |values| part_of(values, job.count, from, to);
            let inputs: Vec<(&str, &[f32])> = job.inputs.iter().map(|(name, values)| (*name, part(values))).collect();
            let keep = job.keep.map(|(values, kept)| (part(values), kept));
            let half = Job { count: to - from, first: job.first + from, keep, inputs: &inputs, ..*job };
            let drawn = Box::pin(self.sample_in_parts(model, state, &half)).await?;
            whole.images.extend(drawn.images);
            whole.log_p.extend(drawn.log_p);
        }
        Ok(whole)
    }

    /// Where the time of the last job went. Drawing values on the host is in none of its parts.
    pub fn spent(&self) -> Spent {
        let mut spent = self.spent;
        if let Some(coarser) = &self.coarser {
            spent += coarser.spent();
        }
        spent
    }

    /// What the inputs besides the image come to, for a cached sampler that needs it.
    async fn given(&mut self, raster: &dyn Raster, state: &mut State, job: &Job<'_>) -> Result<Vec<Vec<f32>>> {
        if self.conditions.as_ref().is_none_or(|c| c.count != job.count) {
            let graph = raster.raster_graph(job.count)?;
            let cached = !matches!(self.engine, Engine::Naive);
            self.conditions = Some(Conditions::new(&self.device, &graph, state, self.weights, job.count, cached).await?);
        }
        let Some(conditions) = &mut self.conditions else { return Ok(Vec::new()) };
        conditions.check(job)?;
        conditions.values(state, job).await
    }

    async fn sample_naively(&mut self, raster: &dyn Raster, state: &mut State, job: &Job<'_>, watch: &dyn Watch) -> Result<Option<Drawn>> {
        let [h, w, c] = self.dims;
        let item = h * w * c;
        if self.naive.as_ref().is_none_or(|(count, _)| *count != job.count) {
            let graph = raster.raster_graph(job.count)?;
            self.naive = Some((job.count, Program::new(&self.device, &graph, state, self.weights).await?));
        }
        let Some((_, program)) = &mut self.naive else { return Err(Error::usage("no program")) };
        for (name, values) in job.inputs {
            program.write(name, values)?;
        }
        let outputs = self.law.outputs(c);
        let mut drawn = Drawn { images: vec![0.0; job.count * item], log_p: vec![0.0; job.count] };
        // The outputs of the last pass, and the pixel it was for.
        let (mut logits, mut known) = (Vec::new(), None);
        for place in 0..item {
            if watch.stops() {
                return Ok(None);
            }
            // What is kept needs no pass, and colours that one law tells need one.
            let kept = job.keep.is_some_and(|(_, kept)| kept[place]);
            if !(kept || self.law.is_of_pixels() && known == Some(place / c)) {
                let begun = Instant::now();
                program.write("x", &drawn.images)?;
                self.spent.transfers += begun.elapsed().as_secs_f64();
                self.spent += program.run_timed(state, &Step::default()).await?;
                let begun = Instant::now();
                logits = program.read(state, "logits").await?;
                self.spent.transfers += begun.elapsed().as_secs_f64();
                known = Some(place / c);
            }
            for i in 0..job.count {
                let at = i * item + place;
                drawn.images[at] = match job.given(i, place) {
                    Some(value) => value,
                    None => {
                        let pixel =
                            Pixel { outputs: &logits[at / c * outputs..][..outputs], colours: c, earlier: &drawn.images[at / c * c..at] };
                        let chance = Chance { seed: job.seed, image: (job.first + i) as u32, place: place as u32 };
                        let (value, ln) = self.law.draw(&pixel, job.temperature, chance);
                        drawn.log_p[i] += ln;
                        value
                    }
                };
            }
        }
        Ok(Some(drawn))
    }
}

/// What items `from..to` of `count` have of `values`.
fn part_of(values: &[f32], count: usize, from: usize, to: usize) -> &[f32] {
    let item = values.len() / count;
    &values[from * item..to * item]
}

/// Values of the nodes that are the same for all images.
async fn constants(graph: &Graph, program: &RasterProgram, state: &State, weights: Weights) -> Result<Vec<(Shape, Vec<f32>)>> {
    let mut values: std::collections::HashMap<NodeId, (Shape, Vec<f32>)> = std::collections::HashMap::new();
    let spec = state.spec().clone();
    let nodes = graph.fused();
    let mut ordered = Vec::new();
    for &id in &program.constants {
        let Some(node) = &nodes[id.0] else { continue };
        let shape = node.shape.clone();
        let value = match &node.kind {
            Kind::State(tensor) => {
                let arena = if weights == Weights::Average && spec.spec(*tensor).averaged { Arena::Average } else { Arena::Value };
                state.read(*tensor, arena).await?
            }
            Kind::Op(op) => {
                let mut output = vec![0.0; shape.len()];
                let inputs: Vec<&(Shape, Vec<f32>)> = node.inputs.iter().filter_map(|i| values.get(i)).collect();
                op.eval_f32(crate::graph::Eval {
                    inputs: inputs.iter().map(|(_, v)| v.as_slice()).collect(),
                    shapes: inputs.iter().map(|(s, _)| s).collect(),
                    shape: &shape,
                    output: &mut output,
                    step: &Step::default(),
                    precision: Precision::F32,
                    items: None,
                });
                output
            }
            _ => node.inputs.first().and_then(|i| values.get(i)).map(|(_, v)| v.clone()).unwrap_or_default(),
        };
        values.insert(id, (shape.clone(), value.clone()));
        ordered.push((shape, value));
    }
    Ok(ordered)
}
