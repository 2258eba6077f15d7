//! `kiln complete`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::draw::{check_amount, chosen_class, labels};
use super::endings;
use super::measured::{weights, weights_in_words};
use super::output::{Output, as_text};
use super::pictures::check_grid;
use super::sample::write_log_p;
use super::sequences::Sequences;
use crate::data::{self, Scale, Source, one_hot};
use crate::error::{Error, Result};
use crate::model::need;
use crate::report::{self, GridOptions, NpyStream};
use crate::runtime::Device;
use crate::sample::raster::{self, Job, Method, RasterSampler};
use crate::train::{DataRequest, Trained, open_data};

/// Images completed at a time.
const CHUNK: usize = 256;

/// Arguments of `complete`.
#[derive(Args)]
pub struct CompleteArgs {
    /// Run folder
    pub run: PathBuf,
    /// An image to complete
    #[arg(long, value_name = "FILE", required_unless_present = "data")]
    pub image: Option<PathBuf>,
    /// Images to complete, instead of one
    #[arg(long, value_name = "SOURCE", conflicts_with = "image")]
    pub data: Option<String>,
    /// What is given: top:N rows, which of series are steps; with --teacher-forced also bottom:N, left:N or right:N. A model of several scales draws coarse pixels
    /// first, which what is kept between them does not guide
    #[arg(long, value_name = "PART")]
    pub keep: String,
    /// Draw each pixel given what stands before it alone, so that what is kept behind it does not guide it: an approximation
    #[arg(long)]
    pub teacher_forced: bool,
    /// Completions of the image, or images of the source
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// The .png grid (or .npy) to write; of series, a .png of lines, .npy, .csv or .wav
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write log p of each image's rest given what is kept, in nats
    #[arg(long, value_name = "F.npy or F.csv")]
    pub log_p: Option<PathBuf>,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Class of the images, for conditional models [default: of --data, its own; of --image, each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Which places of an image `top:N`, `bottom:N`, `left:N` or `right:N` gives.
fn kept(part: &str, [h, w, c]: [usize; 3]) -> Result<Vec<bool>> {
    let bad = || {
        Error::usage(format!("--keep takes top:N, bottom:N, left:N or right:N with N up to the size of the image ({h}×{w}), not {part}"))
    };
    let (side, count) = part.split_once(':').ok_or_else(bad)?;
    let count: usize = count.parse().map_err(|_| bad())?;
    let most = if matches!(side, "top" | "bottom") { h } else { w };
    if count > most {
        return Err(bad());
    }
    let inside: fn(usize, usize, usize, usize, usize) -> bool = match side {
        "top" => |y, _, n, _, _| y < n,
        "bottom" => |y, _, n, h, _| y + n >= h,
        "left" => |_, x, n, _, _| x < n,
        "right" => |_, x, n, _, w| x + n >= w,
        _ => return Err(bad()),
    };
    Ok((0..h * w * c).map(|i| inside(i / c / w, i / c % w, count, h, w)).collect())
}

/// Whether, in the order of drawing, everything kept stands before everything drawn, so that what is drawn follows p(rest | kept) exactly. A kept value behind a
/// drawn one would have to guide it, for which the model has no conditional: the sum over all that could be drawn in between.
fn is_exact(mask: &[bool]) -> bool {
    mask.iter().skip_while(|kept| **kept).all(|kept| !kept)
}

/// Images in levels, and the labels that they have.
type Labelled = (Vec<f32>, Vec<u32>);

/// The images to complete, in levels.
struct Given {
    source: Option<Arc<dyn Source>>,
    image: Vec<f32>,
    count: usize,
}

impl Given {
    fn open(args: &CompleteArgs, trained: &Trained, levels: usize) -> Result<Self> {
        let dims = trained.recipe.data.dims;
        match (&args.image, &args.data) {
            (Some(path), _) => Ok(Self { source: None, image: image_levels(path, dims, levels)?, count: args.count }),
            (None, Some(source)) => {
                let request = DataRequest { source: Some(source), labels: trained.model.conditional(), ..DataRequest::default() };
                let source = open_data(&trained.recipe, &request)?;
                let (name, images) = (source.name(), source.len());
                if args.count > images {
                    return Err(Error::usage(format!("{name} has {images} images, fewer than -n {}; take -n {images}", args.count)));
                }
                Ok(Self { source: Some(data::subset(source, args.count)?), image: Vec::new(), count: args.count })
            }
            (None, None) => Err(Error::usage("kiln complete takes --image or --data")),
        }
    }

    /// Its images, some at a time, with their labels where they have any.
    fn parts<'a>(&'a self, trained: &Trained, seed: u64, levels: usize) -> Box<dyn Iterator<Item = Result<Labelled>> + 'a> {
        match &self.source {
            Some(source) => {
                let batches = data::sequential(Arc::clone(source), CHUNK, seed, trained.recipe.data.binarization, Scale::Levels);
                let leveled = move |values: Vec<f32>| values.into_iter().map(|byte| level(byte, levels)).collect();
                Box::new(batches.map(move |batch| batch.map(|batch| (leveled(batch.values), batch.labels))))
            }
            None => {
                Box::new((0..self.count).step_by(CHUNK).map(|first| Ok((self.image.repeat(CHUNK.min(self.count - first)), Vec::new()))))
            }
        }
    }
}

/// `kiln complete`
pub fn run(args: &CompleteArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "completed images", &["png", "npy", "csv", "wav"])?;
    if let Some(path) = &args.log_p {
        endings::check(path, "log p", &["npy", "csv"])?;
    }
    let device = Device::open(&common.device)?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let seed = common.seed.unwrap_or(1);
    let mut sampler = RasterSampler::new(&device, trained.model.as_ref(), &trained.state, weights(&trained), Method::Cached)?;
    let mask = kept(&args.keep, dims)?;
    let scales = raster::scales(need::raster(trained.model.as_ref())?);
    let in_order: Vec<bool> = raster::order(dims, scales).into_iter().map(|place| mask[place]).collect();
    let (in_raster_order, exact) = (is_exact(&mask), is_exact(&in_order));
    if !in_raster_order && !args.teacher_forced {
        return Err(Error::usage(format!(
            "--keep {}: pixels are drawn from the top, each row from the left, so none can be drawn given what is kept below it or to its \
             right; keep top:N, or take --teacher-forced for an approximation that draws each given what stands before it alone",
            args.keep
        )));
    }
    check_amount(args.count, args.temperature)?;
    let class = chosen_class(&trained, args.class.as_deref())?;
    let classes = trained.recipe.data.classes;
    let (levels, top) = (sampler.levels(), (sampler.levels() - 1) as f32);
    let given = Given::open(args, &trained, levels)?;
    let count = given.count;
    let cut = &trained.recipe.data.reading.series;
    let mut series = if cut.is_settled() { Some(Sequences::new(&args.out, count, dims, cut)?) } else { None };
    let picture = endings::of(&args.out) == "png";
    if series.is_none() {
        endings::check(&args.out, "completed images", &["png", "npy"])?;
        if picture {
            check_grid(3 * count, dims, false)?;
        }
    }
    let shape: Vec<usize> = [count].into_iter().chain(dims).collect();
    let mut array = if picture || series.is_some() { None } else { Some(NpyStream::create(&args.out, &shape)?) };
    let (mut whole, mut seen, mut rest, mut log_p) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut first = 0;
    for part in given.parts(&trained, seed, levels) {
        let (part, own) = part?;
        let here = part.len() / item;
        let known = class.is_none() && own.len() == here;
        let hot = one_hot(&if known { own } else { labels(classes, class, first, here) }, classes, here);
        let inputs = [("labels", &hot[..])];
        let job = Job { count: here, seed, first, temperature: args.temperature, keep: Some((&part, &mask)), inputs: &inputs };
        let drawn = sampler.sample_in_parts(trained.model.as_ref(), &mut trained.state, &job)?;
        let made: Vec<f32> = drawn.images.iter().map(|v| v / top).collect();
        match (&mut array, &mut series) {
            (Some(array), _) => array.extend(&made)?,
            (None, Some(series)) => series.take(&made),
            (None, None) => {
                whole.extend(part.iter().map(|v| v / top));
                seen.extend(part.iter().enumerate().map(|(i, v)| if mask[i % item] { v / top } else { 0.5 }));
                rest.extend(made);
            }
        }
        log_p.extend(drawn.log_p);
        first += here;
    }
    match (array, series) {
        (Some(array), _) => array.finish()?,
        (None, Some(series)) => series.finish(&format!("series from their beginning on, kept {}", args.keep))?,
        (None, None) => {
            let captions = ["image", "what is kept", "completed"].map(String::from).to_vec();
            let options = GridOptions { columns: count, row_captions: captions, ..GridOptions::default() };
            report::save_png(&args.out, &report::grid_with(&[whole, seen, rest].concat(), dims, &options))?;
        }
    }
    let mean = log_p.iter().sum::<f64>() / count as f64;
    if let Some(path) = &args.log_p {
        write_log_p(path, log_p)?;
    }
    let weights = weights_in_words(&trained, args.best);
    let under = if args.temperature == 1.0 { String::new() } else { format!(" under temperature {}", args.temperature) };
    let figure =
        if exact { "mean log p of the rest given what is kept" } else { "mean log p of what is drawn, each value given those before it" };
    let mut note = String::new();
    if !exact && scales > 1 {
        note += "\nan approximation: pixels are drawn scale by scale, and what is kept off the grid of a coarser scale did not guide it";
    }
    if !in_raster_order {
        note += "\nan approximation: what is kept below or to the right of a pixel did not guide it";
    }
    let words = format!(
        "completed {count} images (kept {}), {figure}{under} {mean:.2} nats · {weights} · seed {seed} · {}{note}",
        args.keep,
        args.out.display()
    );
    let object = json!({
        "out": as_text(&args.out), "count": count, "keep": args.keep, "exact": exact, "mean_log_p": mean, "figure": figure, "weights": weights,
        "seed": seed, "temperature": args.temperature, "step": trained.progress.step, "log_p": args.log_p.as_deref().map(as_text),
    });
    output.result(&words, &object)
}

/// The level of a byte: bits are rounded, more levels are cut as they are in training.
pub fn level(byte: f32, levels: usize) -> f32 {
    if levels == 2 { (byte / 255.0).round() } else { (byte * levels as f32 / 256.0).floor() }
}

/// An image file at a model's size, in levels.
fn image_levels(path: &Path, [h, w, c]: [usize; 3], levels: usize) -> Result<Vec<f32>> {
    if !path.is_file() {
        return Err(Error::format(path, "is no file; name an image to complete"));
    }
    let picture = data::decode(path, data::Colour::default())?;
    if [picture.height() as usize, picture.width() as usize] != [h, w] {
        let reason = format!("is {}×{}, and the model draws {h}×{w}; scale it first", picture.height(), picture.width());
        return Err(Error::format(path, reason));
    }
    let bytes = if c == 1 { picture.to_luma8().into_raw() } else { picture.to_rgb8().into_raw() };
    Ok(bytes.into_iter().map(|b| level(f32::from(b), levels)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_before_everything_drawn_is_kept_exactly() -> Result<()> {
        for dims in [[4, 3, 1], [3, 4, 3], [1, 6, 1], [5, 1, 1]] {
            let [h, w, _] = dims;
            for (side, most) in [("top", h), ("bottom", h), ("left", w), ("right", w)] {
                for n in 0..=most {
                    let exact = is_exact(&kept(&format!("{side}:{n}"), dims)?);
                    // Nothing kept, everything kept, or the side that raster order begins with.
                    let right = n == 0 || n == most || side == "top" || side == "left" && h == 1;
                    assert_eq!(exact, right, "{side}:{n} of {dims:?}");
                }
            }
        }
        Ok(())
    }
}
