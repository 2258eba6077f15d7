//! `kiln bench sweep eval`: what judging costs against how much is judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::line::{Line, Point};
use super::train::write_items;
use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::spread;
use crate::cli::bench::workloads::{WORKLOADS, Workload, no_such};
use crate::data::{Binarization, OpenOptions, Scale, Source, Split, open, sequential};
use crate::error::{Error, Result};
use crate::eval::quality::{Rows, nearest, precision_recall};
use crate::eval::{LikelihoodOptions, importance_bound, score};
use crate::heap;
use crate::model::Model;
use crate::random::Draws;
use crate::runtime::{Device, State};
use crate::wait::Wait;

/// Generated items that are set beside data.
const GENERATED: usize = 10_000;
/// Numbers of an item: the judge's features.
const FEATURES: usize = 128;
/// Images whose bounds are taken.
const BOUNDED: usize = 256;
/// Width and height of a JPEG file.
const PICTURE: [u32; 2] = [32, 32];
/// A run longer than this, in seconds, needs no other to be believed.
const LONG: f64 = 1.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Nearest,
    PrecisionRecall,
    Score,
    PerPixel,
    Bound,
    Jpeg,
}

impl Job {
    const ALL: [Self; 6] = [Self::Nearest, Self::PrecisionRecall, Self::Score, Self::PerPixel, Self::Bound, Self::Jpeg];

    fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::PrecisionRecall => "precision-recall",
            Self::Score => "score",
            Self::PerPixel => "score-per-pixel",
            Self::Bound => "importance-bound",
            Self::Jpeg => "jpeg",
        }
    }

    /// What grows.
    fn axis(self) -> &'static str {
        match self {
            Self::Nearest | Self::PrecisionRecall => "data",
            Self::Score | Self::PerPixel => "images",
            Self::Bound => "samples",
            Self::Jpeg => "files",
        }
    }

    /// How many of it.
    pub fn sizes(self) -> Vec<usize> {
        match self {
            Self::Nearest | Self::PrecisionRecall | Self::Score | Self::PerPixel => vec![7_500, 15_000, 30_000, 60_000],
            Self::Bound => vec![64, 256, 1024, 4096],
            Self::Jpeg => vec![12_500, 25_000, 50_000, 100_000],
        }
    }

    /// What the seconds ought to be linear in.
    fn work(self, n: usize) -> f64 {
        let (n, generated) = (n as f64, GENERATED as f64);
        match self {
            Self::Nearest => n * generated,
            // Pairs of each set with itself and of each with the other.
            Self::PrecisionRecall => n * n + generated * generated + 2.0 * n * generated,
            Self::Score | Self::PerPixel | Self::Bound | Self::Jpeg => n,
        }
    }
}

/// What is measured of `filter`.
///
/// # Errors
/// [`Error::Usage`] for a filter that no line's name holds.
pub fn planned(filter: &str) -> Result<Vec<Job>> {
    let name = |job: &Job| format!("{}-{}", job.name(), job.axis());
    let chosen: Vec<Job> = Job::ALL.into_iter().filter(|job| name(job).contains(filter)).collect();
    if chosen.is_empty() { Err(no_such(filter, &Job::ALL.map(|job| name(&job)))) } else { Ok(chosen) }
}

/// Measures one job at every size; `progress` hears of each.
///
/// # Errors
/// Those of the device, and of files that cannot be written or read.
pub fn measure(job: Job, args: &BenchArgs, device: &Device, folder: &Path, progress: &mut dyn FnMut()) -> Result<Line> {
    let files = args.files.as_ref().filter(|_| job == Job::Jpeg);
    let sizes = if files.is_some() { vec![0] } else { job.sizes() };
    let mut points = Vec::new();
    for n in sizes {
        let mut work = prepared(job, n, device, folder, files)?;
        let (mut times, mut bytes, mut count) = (Vec::new(), 0, n);
        for _ in 0..args.steps {
            let before = heap::watch();
            let begun = Instant::now();
            count = work()?;
            times.push(begun.elapsed().as_secs_f64());
            bytes = bytes.max(heap::most().saturating_sub(before));
            if times[0] > LONG {
                break;
            }
        }
        let [_, seconds, _] = spread(times);
        points.push(Point { n: count, seconds, work: Some(job.work(count)), bytes: Some(bytes as u64), room: [count as f64, 1.0] });
        progress();
    }
    Ok(Line { subject: job.name().into(), axis: job.axis(), points })
}

/// Work that is timed; it tells of how many things it was.
type Work<'a> = Box<dyn FnMut() -> Result<usize> + 'a>;

fn prepared<'a>(job: Job, n: usize, device: &'a Device, folder: &Path, files: Option<&PathBuf>) -> Result<Work<'a>> {
    match job {
        Job::Nearest | Job::PrecisionRecall => {
            let [data, generated] = [(1, n), (2, GENERATED)].map(|(seed, rows)| normals(seed, rows * FEATURES));
            Ok(Box::new(move || {
                let [data, generated] = [&data, &generated].map(|values| Rows::new(values, FEATURES));
                if job == Job::Nearest {
                    nearest(generated, data);
                } else {
                    precision_recall(data, generated);
                }
                Ok(n)
            }))
        }
        Job::Score | Job::PerPixel => {
            let (model, mut state) = built(&WORKLOADS[0], device)?;
            let source = bits(n, folder)?;
            let options = LikelihoodOptions { per_pixel: job == Job::PerPixel, ..LikelihoodOptions::default() };
            Ok(Box::new(move || {
                score(device, model.as_ref(), &mut state, Arc::clone(&source), &options, |_| {}).wait()?;
                Ok(n)
            }))
        }
        Job::Bound => {
            let (model, mut state) = built(&WORKLOADS[4], device)?;
            let source = bits(BOUNDED, folder)?;
            Ok(Box::new(move || {
                let options = LikelihoodOptions::default();
                importance_bound(device, model.as_ref(), &mut state, Arc::clone(&source), &options, n, |_| {}).wait()?;
                Ok(n)
            }))
        }
        Job::Jpeg => {
            let files = match files {
                Some(files) => files.clone(),
                None => write_pictures(n, folder)?,
            };
            Ok(Box::new(move || {
                let source = opened(&files)?;
                for batch in sequential(Arc::clone(&source), 64, 1, Binarization::None, Scale::Unit) {
                    batch?;
                }
                Ok(source.len())
            }))
        }
    }
}

fn built(workload: &Workload<'_>, device: &Device) -> Result<(Box<dyn Model>, State)> {
    let model = workload.build()?;
    let state = State::initial(device, model.state(), 1)?;
    Ok((model, state))
}

fn normals(seed: u64, count: usize) -> Vec<f32> {
    let mut draws = Draws::new(seed, 0, 0);
    (0..count).map(|_| draws.normal()).collect()
}

/// A data set of random bits, 28×28.
fn bits(count: usize, folder: &Path) -> Result<Arc<dyn Source>> {
    opened(&write_items(true, [28, 28, 1], count, folder)?)
}

fn opened(path: &Path) -> Result<Arc<dyn Source>> {
    open(&path.to_string_lossy(), Split::Train, &OpenOptions { valid_fraction: 0.0, ..OpenOptions::default() })
}

/// Writes so many JPEG files of waves in colour, in a folder of their own.
fn write_pictures(count: usize, folder: &Path) -> Result<PathBuf> {
    let own = folder.join(format!("pictures-{count}"));
    std::fs::create_dir_all(&own).map_err(|e| Error::io(&own, e))?;
    let [width, height] = PICTURE;
    for at in 0..count {
        let wave = |x: u32, y: u32, c: u32| 128.0 + 100.0 * ((x * (c + 1)) as f32 * 0.3 + y as f32 * 0.2 + at as f32).sin();
        let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| wave(x, y, c) as u8)));
        let path = own.join(format!("{at:06}.jpg"));
        picture.save(&path).map_err(|e| Error::format(&path, e.to_string()))?;
    }
    Ok(own)
}
