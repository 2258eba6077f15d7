//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::shader::Precision;

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

/// Arguments of every command.
#[derive(Args, Clone)]
pub struct Common {
    /// auto (a real GPU, else the CPU), cpu, gpu, or a part of an adapter's name
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Seed of everything random
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Print one JSON object on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for the device's own words
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// List adapters, and which one `auto` takes
    #[command(after_help = "Example: kiln devices --json")]
    Devices,
    /// Train a small model of each family on built-in data and write a page of what they make
    #[command(after_help = "Example: kiln demo --out demo")]
    Demo(DemoArgs),
    /// Train a model
    #[command(after_help = "Examples:
  kiln train pixelcnn --data builtin:digits --set preset=tiny --out runs/digits
  kiln train pixelcnn --data path/to/mnist --set binarization=dynamic --epochs 10
  kiln train --resume runs/digits --steps 20000")]
    Train(TrainArgs),
    /// Measure a trained model: its likelihood with standard error
    #[command(after_help = "Example: kiln eval runs/digits --data path/to/mnist:test")]
    Eval(EvalArgs),
    /// Write log p of each image to a .npy file, in nats
    #[command(after_help = "Example: kiln score runs/digits --data path/to/mnist:test --out scores.npy")]
    Score(ScoreArgs),
    /// Draw new images: a .png grid, a folder of .png, or .npy
    #[command(after_help = "Example: kiln sample runs/digits -n 64 --seed 1 --out digits.png")]
    Sample(SampleArgs),
    /// Draw the rest of occluded images (autoregressive models)
    #[command(after_help = "Examples:
  kiln complete runs/digits --data path/to/mnist:test -n 8 --keep top:14 --out rest.png
  kiln complete runs/digits --image half.png --keep left:14 -n 8 --out rest.png")]
    Complete(CompleteArgs),
    /// Write what the encoder makes of each image to .npy files: mean, log variance, labels
    #[command(after_help = "Example: kiln encode runs/vae --data path/to/mnist:test --out codes.npy")]
    Encode(EncodeArgs),
    /// Draw the way between latents, or between the codes of images
    #[command(after_help = "Examples:
  kiln interpolate runs/vae --data path/to/mnist:test -n 6 --path both --out ways.png
  kiln interpolate runs/dcgan -n 8 --out ways.png")]
    Interpolate(InterpolateArgs),
    /// Show what a latent space holds: reconstructions, traversals, the sheet of two dimensions, the KL of each
    #[command(after_help = "Example: kiln latents runs/vae --data path/to/mnist:test --out latents")]
    Latents(LatentsArgs),
    /// Tell other data from a model's own by its likelihood
    #[command(after_help = "Example: kiln outliers runs/vae --against path/to/fashion-mnist:test --out extremes.png")]
    Outliers(OutliersArgs),
    /// Write the weights alone, with PyTorch's names and layouts
    #[command(after_help = "Example: kiln export runs/digits --out digits.safetensors")]
    Export(ExportArgs),
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
    /// Measure kernels, training steps and sampling
    #[command(after_help = "Examples:
  kiln bench train --filter pixelcnn-28-b64
  kiln bench kernels --device gpu --json")]
    Bench(BenchArgs),
}

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Folder that the page and its runs go to
    #[arg(long, default_value = "kiln-demo")]
    pub out: PathBuf,
}

/// Arguments of `train`.
#[derive(Args, Default)]
pub struct TrainArgs {
    /// The model: pixelcnn, …
    #[arg(required_unless_present = "resume")]
    pub model: Option<String>,
    /// builtin:digits, builtin:faces, builtin:gaussians8, a folder or a file; :train, :valid or :test behind it picks the split
    #[arg(long, value_name = "SOURCE", required_unless_present = "resume")]
    pub data: Option<String>,
    /// Run folder [default: runs/MODEL]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with a run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "data", "out", "set", "batch", "limit"])]
    pub resume: Option<PathBuf>,
    /// Steps of the whole run
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<u64>,
    /// Epochs of the whole run
    #[arg(long, value_name = "N", conflicts_with = "steps", allow_negative_numbers = true)]
    pub epochs: Option<f64>,
    /// Items a step
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Any hyper-parameter, as key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Train on the first N items alone
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Start a classifier from the encoder of a trained vae or autoencoder; --set frozen=true keeps it as it is
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub encoder: Option<PathBuf>,
    /// Train on the first N items of each class alone
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    pub labels_per_class: Option<usize>,
    /// f32, or mixed: products of f16 through cooperative matrices, on adapters that have them
    #[arg(long, value_name = "PRECISION", conflicts_with = "resume")]
    pub precision: Option<Precision>,
}

/// Arguments of commands that score a run.
#[derive(Args)]
pub struct EvalArgs {
    /// Run folder
    pub run: PathBuf,
    /// What to measure on [default: the test split of the training data]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// The first N items alone
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Items at a time; no figure depends on it
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true)]
    pub batch: usize,
    /// binarization=…, or a setting of the evaluation; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Arguments of `score`.
#[derive(Args)]
pub struct ScoreArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The .npy file to write
    #[arg(long, value_name = "F.npy")]
    pub out: PathBuf,
    /// log p of every value of every image, [N, H, W, C]
    #[arg(long)]
    pub per_pixel: bool,
}

/// Arguments of `sample`.
#[derive(Args)]
pub struct SampleArgs {
    /// Run folder
    pub run: PathBuf,
    /// Number of images
    #[arg(short = 'n', long, default_value_t = 64, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// Where they go: a .png grid, .npy, or a folder of .png
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// Draw latents beyond ± this again: fewer surprises, less variety
    #[arg(long, value_name = "LIMIT")]
    pub truncation: Option<f32>,
    /// How autoregressive models are sampled
    #[arg(long, value_enum, default_value_t = MethodArg::Cached)]
    pub method: MethodArg,
    /// Class of the images, for conditional models [default: each in turn]
    #[arg(long, value_name = "CLASS")]
    pub class: Option<u32>,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// How autoregressive models are sampled.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum MethodArg {
    /// Each node once per position
    Cached,
    /// A whole forward pass for each value
    Naive,
}

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
    /// What is given: top:N, bottom:N, left:N or right:N rows or columns
    #[arg(long, value_name = "PART")]
    pub keep: String,
    /// Completions of the image, or images of the source
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N", allow_negative_numbers = true)]
    pub count: usize,
    /// The .png grid (or .npy) to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Below 1, likelier and less varied images
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub temperature: f32,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Arguments of `encode`.
#[derive(Args)]
pub struct EncodeArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The .npy file of means to write; log variances and labels go beside it
    #[arg(long, value_name = "F.npy")]
    pub out: PathBuf,
}

/// Arguments of `interpolate`.
#[derive(Args)]
pub struct InterpolateArgs {
    /// Run folder
    pub run: PathBuf,
    /// Walk between the codes of these images, in pairs [default: between random latents]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Number of ways
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N")]
    pub count: usize,
    /// Images of a way, both ends among them
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub steps: usize,
    /// How to go
    #[arg(long, value_enum, default_value_t = PathArg::Spherical)]
    pub path: PathArg,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// The way between two latents.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum PathArg {
    /// In a straight line
    Straight,
    /// Along the arc, which keeps to the length of a typical latent
    Spherical,
    /// A row of each
    Both,
}

/// Arguments of `latents`.
#[derive(Args)]
pub struct LatentsArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// Images set beside their reconstructions
    #[arg(short = 'n', long, default_value_t = 32, value_name = "N")]
    pub count: usize,
    /// The folder of pictures to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Arguments of `outliers`.
#[derive(Args)]
pub struct OutliersArgs {
    #[command(flatten)]
    pub eval: EvalArgs,
    /// The other data
    #[arg(long, value_name = "SOURCE")]
    pub against: String,
    /// A .png of the likeliest and unlikeliest images of both
    #[arg(long, value_name = "F.png")]
    pub out: Option<PathBuf>,
}

/// Arguments of `export`.
#[derive(Args)]
pub struct ExportArgs {
    /// Run folder
    pub run: PathBuf,
    /// The .safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The averaged weights, where the run keeps them
    #[arg(long)]
    pub average: bool,
    /// The checkpoint of the best validation score, not the newest
    #[arg(long)]
    pub best: bool,
}

/// Arguments of `arithmetic`.
#[derive(Args)]
pub struct ArithmeticArgs {
    /// Run folder
    pub run: PathBuf,
    /// Three samples of the first concept, by their numbers under --seed
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub from: Vec<usize>,
    /// Three samples of the concept that is taken away
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub minus: Vec<usize>,
    /// Three samples of the concept that is added
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub plus: Vec<usize>,
    /// On builtin:faces: samples with this attribute, less samples without … (picked by a classifier)
    #[arg(long, value_name = "NAME", requires = "on", conflicts_with_all = ["from", "minus", "plus"])]
    pub attribute: Option<String>,
    /// … plus samples without it but with this one
    #[arg(long, value_name = "NAME", requires = "attribute")]
    pub on: Option<String>,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
}

/// Arguments of `neighbors`.
#[derive(Args)]
pub struct NeighborsArgs {
    /// Run folder
    pub run: PathBuf,
    /// Number of samples
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub count: usize,
    /// Training images looked through
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub limit: usize,
    /// Steps of the classifier whose features are compared
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub classifier_steps: u64,
    /// The .png to write
    #[arg(long, value_name = "F.png")]
    pub out: PathBuf,
}

/// Arguments of `theory`.
#[derive(Args)]
pub struct TheoryArgs {
    /// The .png to draw
    #[arg(long, default_value = "theory.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Steps of each discriminator
    #[arg(long, default_value_t = 2000, value_name = "N")]
    pub steps: u32,
}

/// Arguments of `tune`.
#[derive(Args)]
pub struct TuneArgs {
    /// Run folder, to measure its training step [default: the workloads of kiln bench]
    pub run: Option<PathBuf>,
    /// Workloads whose name holds this
    #[arg(long, default_value = "", value_name = "TEXT", conflicts_with = "run")]
    pub filter: String,
    /// Items a step, instead of the workload's own
    #[arg(long, value_name = "N", conflicts_with = "run")]
    pub batch: Option<usize>,
    /// f32 or mixed, as of kiln train; a run has its own
    #[arg(long, value_name = "PRECISION", conflicts_with = "run")]
    pub precision: Option<Precision>,
    /// Measured runs of each variant; the fastest counts
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Write what is tuned for this adapter to a file, and measure nothing
    #[arg(long, value_name = "F.toml", conflicts_with = "run")]
    pub export: Option<PathBuf>,
    /// Take over a file written by --export on an equal adapter, and measure nothing
    #[arg(long, value_name = "F.toml", conflicts_with_all = ["run", "export"])]
    pub import: Option<PathBuf>,
}

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: BenchWhat,
    /// Workloads or kernels whose name holds this
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub filter: String,
    /// An earlier --json result of the same bench, to show ratios against
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,
    /// Items a step, instead of the workload's own
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Kernel variants to take wherever they can run, by the start of their names: tile, texture-8x8, … (on a GPU)
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// f32, or mixed: products of f16 through cooperative matrices, on adapters that have them
    #[arg(long, value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// Steps timed, after 3 untimed ones
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Write a timeline of train or kernels, for ui.perfetto.dev
    #[arg(long, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
    /// Draw the kernels under the device's ceilings (kernels only)
    #[arg(long, value_name = "FILE.png")]
    pub picture: Option<PathBuf>,
    /// Kernels of many sizes too, named sweep-conv-64-16x16 and the like (kernels only)
    #[arg(long)]
    pub sweep: bool,
}

/// What `bench` measures.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum BenchWhat {
    /// Single kernels beside the adapter's ceilings
    Kernels,
    /// Whole training steps
    Train,
    /// Sampling
    Sample,
}
