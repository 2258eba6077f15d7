//! The commands, each with the arguments that stand in its own file.

use clap::{Parser, Subcommand};

use super::arithmetic::ArithmeticArgs;
use super::bench::BenchArgs;
use super::classify::ClassifyArgs;
use super::common::Common;
use super::compare::CompareArgs;
use super::complete::CompleteArgs;
use super::demo::DemoArgs;
use super::encode::EncodeArgs;
use super::export::ExportArgs;
use super::forecast::ForecastArgs;
use super::help::HelpArgs;
use super::import::ImportArgs;
use super::info::InfoArgs;
use super::interpolate::InterpolateArgs;
use super::latents::LatentsArgs;
use super::measured::EvalArgs;
use super::neighbors::NeighborsArgs;
use super::outliers::OutliersArgs;
use super::page::PageArgs;
use super::plan::PlanArgs;
use super::restore::RestoreArgs;
use super::sample::SampleArgs;
use super::score::ScoreArgs;
use super::shell::{CompletionsArgs, ManArgs};
use super::simulate::SimulateArgs;
use super::theory::TheoryArgs;
use super::train::TrainArgs;
use super::tune::TuneArgs;

/// Train, score and sample deep generative models on any GPU, or on none.
#[derive(Parser)]
#[command(name = "kiln", version, about, disable_help_subcommand = true, after_help = "Start with: kiln demo")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// List adapters, and which one `auto` takes
    #[command(after_help = "Example: kiln devices --json")]
    Devices,
    /// List the models: parameters at their defaults, and what each can do
    #[command(after_help = "Example: kiln models")]
    Models,
    /// Tell all of a command, a model, a key of --set, or of training, data or eval
    #[command(after_help = "Examples:
  kiln help wavenet
  kiln help training
  kiln help clip_norm
  kiln help sample")]
    Help(HelpArgs),
    /// Train a PixelRNN, a VAE and a DCGAN on built-in digits and write a page of what they make
    #[command(after_help = "Example: kiln demo --out demo")]
    Demo(DemoArgs),
    /// Train a model
    #[command(after_help = "Examples:
  kiln train pixelcnn --data builtin:digits --set preset=tiny --out runs/digits
  kiln train pixelcnn --data path/to/mnist --set binarization=dynamic --epochs 10
  kiln train gated-pixelcnn --data path/to/mnist --set preset=tiny --set scales=2
  kiln train --resume runs/digits --steps 20000")]
    Train(TrainArgs),
    /// Tell what a run is, how far it is and what can be done with it, on one screen
    #[command(after_help = "Example: kiln info runs/digits")]
    Info(InfoArgs),
    /// Measure a trained model: log p, its bounds or the quality of samples, each with what it is
    #[command(after_help = "Example: kiln eval runs/digits --data path/to/mnist:test")]
    Eval(EvalArgs),
    /// Write each image's log p (of models that only bound it: the ELBO) to a .npy file, in nats
    #[command(after_help = "Examples:
  kiln score runs/digits --data path/to/mnist:test --out scores.npy
  kiln score runs/vae --data path/to/mnist:test --set iw=100 --out bounds.npy --parts terms.csv")]
    Score(ScoreArgs),
    /// Draw new images: a .png grid, a folder of .png, or .npy
    #[command(after_help = "Examples:
  kiln sample runs/digits -n 64 --seed 1 --out digits.png
  kiln sample runs/digits -n 100000 --out digits.npy --log-p log_p.npy
  kiln sample runs/vae --z latents.npy --out faces.png
  kiln sample runs/digits --guide runs/judge --class 7 --out sevens.png
  kiln sample runs/noise --class 7 --guidance 3 --out sevens.png --trajectory sevens.gif
  kiln sample runs/noise --from sketch.png --strength 0.6 -n 16 --out digits.png")]
    Sample(SampleArgs),
    /// Draw the rest of occluded images
    #[command(after_help = "Examples:
  kiln complete runs/digits --data path/to/mnist:test -n 8 --keep top:14 --out rest.png
  kiln complete runs/digits --image half.png --keep top:14 -n 8 --out rest.png
  kiln complete runs/noise --image photo.png --mask mask.png --resample 8 --out rest.png
  kiln complete runs/vae --data path/to/mnist:test --keep left:10 --keep bottom:10 --out rest.png")]
    Complete(CompleteArgs),
    /// Draw colours for grey images, by a run that was trained with task=colorize
    #[command(after_help = "Examples:
  kiln train diffusion --data path/to/cifar10 --set task=colorize --out runs/colours
  kiln train gated-pixelcnn --data path/to/cifar10 --set task=colorize --out runs/exact-colours
  kiln colorize runs/colours --image grey.png -k 5 --out coloured.png
  kiln colorize runs/colours --data path/to/cifar10:test -n 8 --out beside-the-truth.png")]
    Colorize(RestoreArgs),
    /// Draw large images of small ones, by a run that was trained with task=upscale, or an autoregressive one of several scales
    #[command(after_help = "Examples:
  kiln train diffusion --data path/to/cifar10 --set task=upscale --set factor=4 --out runs/large
  kiln upscale runs/large --image small.png -k 5 --out large.png
  kiln upscale runs/digits --data path/to/mnist:test -n 8 --out beside-the-truth.png   # a gated-pixelcnn with scales=2")]
    Upscale(RestoreArgs),
    /// Set runs of any families on the same data side by side: likelihood, quality, cost, latent code and samples, as a table and a page
    #[command(after_help = "Examples:
  kiln compare runs/gated runs/vae runs/dcgan --data path/to/mnist:test --out compare
  kiln compare --suite runs/suite --data path/to/mnist --budget 2e13")]
    Compare(CompareArgs),
    /// Forecast series by many futures drawn behind a beginning: a fan chart, and how good it is beside naive forecasts
    #[command(after_help = "Examples:
  kiln forecast runs/ecg --steps 90 -n 200 --limit 20 --out fan.png
  kiln forecast runs/sun --data sunspots.csv --from 309 --steps 11 --out next.png")]
    Forecast(ForecastArgs),
    /// Draw futures of a series whose channels are states, actions and rewards, under actions that are given
    #[command(after_help = "Examples:
  kiln simulate runs/cart --given series.csv --from 20 -n 100 --out futures.npy
  kiln simulate runs/cart --given series.csv --from 20 --channel angle --out fan.png")]
    Simulate(SimulateArgs),
    /// Control a built-in system by planning in a model of it: returns beside those of random actions and of plans in the true equations
    #[command(after_help = "Example: kiln plan runs/cart --trials 10 --out returns.png")]
    Plan(PlanArgs),
    /// Write what the encoder makes of each image to .npy files: mean, log variance, labels; of diffusion models, the noise that it comes of
    #[command(after_help = "Examples:
  kiln encode runs/vae --data path/to/mnist:test --out codes.npy
  kiln encode runs/noise --data path/to/mnist:test --limit 8 --steps 100 --out z.npy")]
    Encode(EncodeArgs),
    /// Draw the way between latents, or between the codes of images
    #[command(after_help = "Examples:
  kiln interpolate runs/vae --data path/to/mnist:test -n 6 --path both --out ways.png
  kiln interpolate runs/dcgan -n 8 --out ways.png
  kiln interpolate runs/noise -n 8 --noise-steps 100 --out ways.png")]
    Interpolate(InterpolateArgs),
    /// Show what a latent space holds: reconstructions, traversals, the sheet of two dimensions, the KL of each
    #[command(after_help = "Example: kiln latents runs/vae --data path/to/mnist:test --out latents")]
    Latents(LatentsArgs),
    /// Tell other data from a model's own by log p, or by the ELBO where a model only bounds it
    #[command(after_help = "Examples:
  kiln outliers runs/vae --against path/to/fashion-mnist:test --out extremes.png
  kiln outliers runs/digits --against path/to/fashion-mnist:test --score complexity")]
    Outliers(OutliersArgs),
    /// Tell labels by Bayes' rule from a model with p(x|y), with the calibration, and refuse what is unlike its own data
    #[command(after_help = "Examples:
  kiln classify runs/named --data path/to/mnist:test --out confusion.png
  kiln classify runs/named --reject 0.01 --against path/to/fashion-mnist:test
  kiln classify runs/named --reject 0.01 --score background --background runs/noisy --against path/to/fashion-mnist:test
  kiln classify runs/named --data scans --prior 5,1,1,1,1,1,1,1,1,1 --predictions labels.csv")]
    Classify(ClassifyArgs),
    /// Write the weights alone, with PyTorch's names and layouts
    #[command(after_help = "Example: kiln export runs/digits --out digits.safetensors")]
    Export(ExportArgs),
    /// Make a run of weights that another program wrote: PyTorch's or kiln's names, .safetensors or .pt
    #[command(after_help = "Examples:
  kiln import vae.pt vae --data path/to/mnist --out runs/vae
  kiln import netG.pth netD.pth dcgan --data path/to/images --set size=64 --out runs/gan
  kiln import saved-again.safetensors --like runs/digits --out runs/again")]
    Import(ImportArgs),
    /// Put trained runs beside a page that scripts/page built, to be sampled in a browser
    #[command(after_help = "Example: kiln page runs/digits runs/vae --out site")]
    Page(PageArgs),
    /// Add and subtract what latents mean, from the means of three samples a concept (Radford et al., 2016, figure 7)
    #[command(after_help = "Examples:
  kiln arithmetic runs/faces --attribute glasses --on moustache --out sum.png
  kiln arithmetic runs/dcgan --from 3,17,41 --minus 1,2,9 --plus 5,6,30 --out sum.png")]
    Arithmetic(ArithmeticArgs),
    /// Set each sample beside the nearest training images, in pixels and in a classifier's features
    #[command(after_help = "Example: kiln neighbors runs/dcgan -n 10 --out neighbors.png")]
    Neighbors(NeighborsArgs),
    /// Show what is known of adversarial training beside what the engine does: a picture and a table
    #[command(after_help = "Example: kiln theory --out theory.png")]
    Theory(TheoryArgs),
    /// Measure the kernel variants on an adapter and keep the fastest for later runs
    #[command(after_help = "Examples:
  kiln tune --device gpu
  kiln tune runs/digits
  kiln tune --export tuning.toml")]
    Tune(TuneArgs),
    /// Print what a shell needs to complete kiln's words
    #[command(after_help = "Example: kiln completions bash > ~/.local/share/bash-completion/completions/kiln")]
    Completions(CompletionsArgs),
    /// Write man pages
    #[command(after_help = "Example: kiln man --out ~/.local/share/man/man1")]
    Man(ManArgs),
    /// Measure kernels, training steps and sampling
    #[command(after_help = "Examples:
  kiln bench train --filter pixelcnn-28-b64
  kiln bench kernels --device gpu --json")]
    Bench(BenchArgs),
}
