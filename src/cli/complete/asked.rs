//! What `kiln complete` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::places;
use crate::cli::denoising::DenoisingArgs;
use crate::error::{Error, Result};

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
    /// What is given: top:N rows, which of series are steps; of models that draw around anything or with --teacher-forced also bottom:N, left:N or
    /// right:N; may be repeated, and then all that any of them names is given. A model of several scales draws coarse pixels first, which what is
    /// kept between them does not guide
    #[arg(long, value_name = "PART", required_unless_present = "mask")]
    pub keep: Vec<String>,
    /// What is given, anywhere: white in this picture of the images' size; what is black is drawn. With --keep, what either of them gives
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Draw each pixel given what stands before it alone, so that what is kept behind it does not guide it: an approximation
    #[arg(long)]
    pub teacher_forced: bool,
    /// Go each step so many times, with its noise put back in between, so that what is drawn comes to agree with what is kept (RePaint); 1 only
    /// puts in place what is kept (diffusion) [default: 4, or 1 where the sampler keeps its answers from step to step]
    #[arg(long, value_name = "TIMES", allow_negative_numbers = true)]
    pub resample: Option<usize>,
    #[command(flatten)]
    pub search: SearchArgs,
    #[command(flatten)]
    pub denoising: DenoisingArgs,
    /// Completions of the image, or images of the source
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// The .png grid (or .npy) to write; of series, a .png of lines, .npy, .csv or .wav
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write log p of each image's rest given what is kept, in nats (autoregressive models)
    #[arg(long, value_name = "F.npy or F.csv")]
    pub log_p: Option<PathBuf>,
    /// Below 1, likelier and less varied images (autoregressive models)
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Class of the images, for conditional models [default: of --data, its own; of --image, each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// How latents are found, of models that make images of them.
#[derive(Args)]
pub struct SearchArgs {
    /// How the latents of an image are found (models with latents) [default: search]
    #[arg(long, value_enum)]
    pub method: Option<SearchMethod>,
    /// Latents that each search begins from; the best of what they come to is shown (models with latents) [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub starts: Option<usize>,
    /// Steps of each search, and of each chain of --method mala (models with latents) [default: 300]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub walk: Option<usize>,
    /// How far kept pixels may lie from what the generator makes, as the deviation of a normal distribution; white is 1 (adversarial models, which
    /// do not say it themselves) [default: 0.1]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true)]
    pub width: Option<f64>,
}

/// How latents are found.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum SearchMethod {
    /// The likeliest found, by Adam from several beginnings
    Search,
    /// One of p(latent | kept): a chain of Langevin's steps from there, each accepted or refused
    Mala,
}

impl SearchArgs {
    /// Refuses them of a model that has no latents.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the first.
    pub fn refuse(&self, name: &str) -> Result<()> {
        let given = [
            ("--method", self.method.is_some()),
            ("--starts", self.starts.is_some()),
            ("--walk", self.walk.is_some()),
            ("--width", self.width.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Error::usage(format!("{flag} is of models with latents, and a {name} has none; leave it out"))),
            None => Ok(()),
        }
    }
}

impl CompleteArgs {
    /// The flags that say what is kept, as they were given.
    pub fn kept_flags(&self) -> String {
        let parts = self.keep.iter().map(|part| format!("--keep {part}"));
        parts.chain(self.mask.as_ref().map(|path| format!("--mask {}", path.display()))).collect::<Vec<_>>().join(" ")
    }

    /// Which places are kept, all that any flag names, and how that is said.
    ///
    /// # Errors
    /// Those of [`places::side`] and [`places::white`]; [`Error::Usage`] where nothing is kept, or all.
    pub fn kept(&self, dims: [usize; 3]) -> Result<(Vec<bool>, String)> {
        let mut mask = vec![false; dims.iter().product()];
        let mut add = |more: Vec<bool>| mask.iter_mut().zip(more).for_each(|(kept, more)| *kept |= more);
        for part in &self.keep {
            add(places::side(part, dims)?);
        }
        if let Some(path) = &self.mask {
            add(places::white(path, dims)?);
        }
        let flags = self.kept_flags();
        if !mask.contains(&true) {
            return Err(Error::usage(format!("{flags} keeps nothing, so there is nothing to complete; keep some, or take kiln sample")));
        }
        if !mask.contains(&false) {
            return Err(Error::usage(format!("{flags} keeps all, so there is nothing to draw; keep less")));
        }
        let white = self.mask.as_ref().map(|path| format!("what is white in {}", path.display()));
        Ok((mask, self.keep.iter().cloned().chain(white).collect::<Vec<_>>().join(" and ")))
    }
}
