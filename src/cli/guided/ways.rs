//! The ways to images of a class: what each needs of a run and of a classifier.

use crate::cli::draw::{self, Order};
use crate::cli::measured::weights;
use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::Device;
use crate::sample::diffusion::{Drawer, Items, Settings, Unwatched};
use crate::sample::guided::{ClassPush, Guide, Proposes, Slopes};
use crate::sample::latents;
use crate::sample::raster::{Job, Method, RasterSampler};
use crate::sample::twisted::{Grown, Grows, Growth, grow};
use crate::sample::walker::{Walked, Walker};
use crate::train::Trained;
use crate::wait::Wait;

/// Images drawn at a time.
const TOGETHER: usize = 256;
/// Blocks of rows that images are drawn in by sequential Monte Carlo.
const BLOCKS: usize = 7;
/// Share of them that must be effective for them to go on as they are.
const ENOUGH: f64 = 0.5;

/// A run and a classifier that judges what it draws.
pub struct Pair<'a> {
    pub trained: &'a mut Trained,
    pub guide: &'a mut Trained,
    pub judge: Guide,
    pub device: &'a Device,
    pub order: Order,
    pub bar: indicatif::ProgressBar,
}

impl Proposes for Pair<'_> {
    fn propose(&mut self, first: usize, count: usize) -> Result<(Vec<f32>, Vec<f64>)> {
        (self.order.first, self.order.count) = (first, count);
        let images = draw::all(self.trained, self.device, &self.order)?;
        let log_p = self.judge.log_p(&mut self.guide.state, &images).wait()?;
        self.bar.inc(count as u64);
        Ok((images, log_p))
    }
}

/// Images drawn a few rows at a time.
pub fn by_rows(
    trained: &mut Trained,
    guide: &mut Trained,
    judge: Guide,
    device: &Device,
    (order, particles): (&Order, usize),
    output: &Output,
) -> Result<Grown> {
    let own = weights(trained);
    let sampler = RasterSampler::new(device, trained.model.as_ref(), &trained.state, own, Method::Cached).wait()?;
    let top = sampler.law().top();
    let [rows, width, channels] = trained.recipe.data.dims;
    let item = rows * width * channels;
    let (temperature, seed) = (order.temperature, order.seed);
    let mut pair = Rows { trained, guide, judge, sampler, rows, item, top, temperature, seed };
    let block = rows.div_ceil(BLOCKS);
    let bar = output.bar(rows.div_ceil(block) as u64, "blocks of rows");
    let how = Growth { particles, wanted: order.count, rows, item, block, enough: ENOUGH, seed };
    let grown = grow(&mut pair, &how, || bar.inc(1));
    bar.finish_and_clear();
    let mut grown = grown?;
    grown.images.iter_mut().for_each(|v| *v /= top);
    Ok(grown)
}

/// A run that draws rows, and a classifier that judges them.
struct Rows<'a> {
    trained: &'a mut Trained,
    guide: &'a mut Trained,
    judge: Guide,
    sampler: RasterSampler,
    rows: usize,
    item: usize,
    top: f32,
    temperature: f32,
    seed: u64,
}

impl Grows for Rows<'_> {
    fn grow(&mut self, images: &[f32], rows: usize) -> Result<Vec<f32>> {
        let kept: Vec<bool> = (0..self.item).map(|at| at < rows * self.item / self.rows).collect();
        let mut grown = Vec::with_capacity(images.len());
        for part in images.chunks(TOGETHER * self.item) {
            let (count, first) = (part.len() / self.item, grown.len() / self.item);
            let keep = (rows > 0).then_some((part, &kept[..]));
            let job = Job { count, seed: self.seed, first, temperature: self.temperature, keep, inputs: &[] };
            grown.extend(self.sampler.sample(self.trained.model.as_ref(), &mut self.trained.state, &job).wait()?.images);
        }
        Ok(grown)
    }

    fn promise(&mut self, images: &[f32], rows: usize) -> Result<Vec<f64>> {
        let shown: Vec<f32> = images.iter().map(|v| v / self.top).collect();
        self.judge.log_p_of_rows(&mut self.guide.state, &shown, rows as f64 / self.rows as f64).wait()
    }
}

/// Images of latents that walked towards a class.
pub fn by_chains(
    trained: &mut Trained,
    guide: &mut Trained,
    device: &Device,
    (count, steps, seed): (usize, usize, u64),
    class: u32,
    bar: &indicatif::ProgressBar,
) -> Result<Walked> {
    let classes = guide.recipe.data.classes;
    let from = (guide.model.as_ref(), &guide.state, weights(guide));
    let mut slopes = Slopes::new(device, from, (class, classes), count).wait()?;
    let own = (trained.model.as_ref(), weights(trained));
    Walker::new(device, own, &mut slopes, [&mut trained.state, &mut guide.state], count)
        .wait()?
        .walk(count, steps, seed, || bar.inc(1))
        .wait()
}

/// Images of a diffusion model along the slopes of a classifier.
pub fn along_slopes(
    trained: &mut Trained,
    guide: &mut Trained,
    device: &Device,
    order: &Order,
    (class, scale): (u32, f64),
    bar: &indicatif::ProgressBar,
) -> Result<Vec<f32>> {
    if !(scale >= 0.0 && scale.is_finite()) {
        return Err(Error::usage(format!("--guidance must be a number from 0, not {scale}")));
    }
    let network = need::denoises(trained.model.as_ref())?;
    let settings = order.denoising.unwrap_or_else(|| Settings::of(network, None, None));
    let len: usize = network.dims().iter().product();
    let classes = guide.recipe.data.classes;
    let own = weights(trained);
    let mut drawer = Drawer::pushed(device, (trained.model.as_ref(), &trained.state, own), &settings, order.count.min(TOGETHER)).wait()?;
    let from = (guide.model.as_ref(), &guide.state, weights(guide));
    let mut slopes = Slopes::new(device, from, (class, classes), drawer.chunk()).wait()?;
    let mut images = Vec::new();
    for first in (0..order.count).step_by(drawer.chunk()) {
        let count = drawer.chunk().min(order.count - first);
        let z = latents(order.seed, first, count, len);
        let items = Items { z: &z, seed: order.seed, first, ..Items::default() };
        let mut push = ClassPush { slopes: &mut slopes, state: &mut guide.state, scale };
        images.extend(drawer.go_pushed(&mut trained.state, &items, &mut Unwatched, Some(&mut push)).wait()?);
        bar.inc(count as u64);
    }
    Ok(images)
}
