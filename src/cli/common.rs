//! Arguments that every command takes.

use clap::Args;

/// Arguments of every command.
#[derive(Args, Clone)]
pub struct Common {
    /// auto (a real GPU, else the CPU), cpu, gpu, a part of an adapter's name, or a number of kiln devices
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
