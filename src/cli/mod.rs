//! Arguments in, words and files out.

mod args;
mod arithmetic;
mod bench;
mod demo;
mod devices;
mod eval;
mod latents;
mod neighbors;
mod outliers;
mod output;
mod quality;
mod sample;
mod theory;
mod train;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::Output;

use crate::error::Error;

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout and are no error.
            let code = if e.use_stderr() { 2 } else { 0 };
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    let level = match cli.common.verbose {
        0 => "off",
        1 => "kiln=info",
        _ => "kiln=debug,wgpu=info",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    let output = Output::new(&cli.common);
    let result = match &cli.command {
        Command::Devices => devices::run(&output),
        Command::Demo(args) => demo::run(args, &cli.common, &output),
        Command::Train(args) => train::run(args, &cli.common, &output),
        Command::Eval(args) => eval::eval(args, &cli.common, &output),
        Command::Score(args) => eval::score(args, &cli.common, &output),
        Command::Sample(args) => sample::sample(args, &cli.common, &output),
        Command::Complete(args) => sample::complete(args, &cli.common, &output),
        Command::Encode(args) => latents::encode(args, &cli.common, &output),
        Command::Interpolate(args) => latents::interpolate(args, &cli.common, &output),
        Command::Latents(args) => latents::latents(args, &cli.common, &output),
        Command::Outliers(args) => outliers::run(args, &cli.common, &output),
        Command::Export(args) => train::export(args, &cli.common, &output),
        Command::Arithmetic(args) => arithmetic::run(args, &cli.common, &output),
        Command::Neighbors(args) => neighbors::run(args, &cli.common, &output),
        Command::Theory(args) => theory::run(args, &cli.common, &output),
        Command::Bench(args) => bench::run(args, &cli.common, &output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that closed the pipe has seen what it wanted.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kiln: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
