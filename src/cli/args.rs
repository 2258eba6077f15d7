//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Write the weights alone, with PyTorch's names and layouts
    #[command(after_help = "Example: kiln export runs/digits --out digits.safetensors")]
    Export(ExportArgs),
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
#[derive(Args)]
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

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: BenchWhat,
    /// Workloads or kernels whose name holds this
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub filter: String,
    /// Steps timed, after 3 untimed ones
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
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
