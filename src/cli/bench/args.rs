//! Arguments of `kiln bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::tensor::Precision;

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: BenchWhat,
    /// What grows (sweep only)
    #[arg(value_enum)]
    pub swept: Option<Swept>,
    /// Workloads, kernels or lines of a sweep whose name holds this
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
    /// f32, or mixed: products of f16 on adapters with cooperative matrices, of bf16 on CPUs with AVX512-BF16 or FEAT_BF16
    #[arg(long, value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// Steps timed, after 3 untimed ones (sweep: after one, and more where they are short)
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true)]
    pub steps: usize,
    /// Write a timeline of train or kernels, for ui.perfetto.dev
    #[arg(long, value_name = "FILE.json")]
    pub trace: Option<PathBuf>,
    /// Draw the kernels under the device's ceilings, or a sweep's times against sizes (kernels and sweep)
    #[arg(long, value_name = "FILE.png")]
    pub picture: Option<PathBuf>,
    /// Lanes of a step (ranks only) [default: the number of ranks]
    #[arg(long, value_name = "N")]
    pub lanes: Option<usize>,
    /// A folder of pictures to read in place of waves that are made up (sweep eval only)
    #[arg(long, value_name = "FOLDER")]
    pub files: Option<PathBuf>,
    /// Kernels of many sizes too, named sweep-conv-64-16x16 and the like (kernels only)
    #[arg(long)]
    pub sweep: bool,
}

/// What `bench` measures.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum BenchWhat {
    /// Single kernels beside the adapter's ceilings
    Kernels,
    /// Whole training steps; --device noop has all recorded and nothing computed, which leaves the host's part
    Train,
    /// Sampling
    Sample,
    /// Training steps in lanes, shared by the processes that mpirun started: step, exchange and efficiency
    Ranks,
    /// How time and memory grow with each size, and the slopes: of training steps (train) or of judging (eval)
    Sweep,
}

/// What `bench sweep` lets grow.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq)]
pub enum Swept {
    /// Training steps of each family: batch, width, depth, side and size of the data
    Train,
    /// Nearest neighbours, precision and recall, scores, bounds, and reading JPEG files
    Eval,
}
