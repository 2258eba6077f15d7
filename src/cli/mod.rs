//! Arguments in, words and files out.

mod args;
mod arithmetic;
mod bench;
mod classify;
mod common;
mod compare;
mod complete;
mod config;
mod demo;
mod denoising;
mod devices;
mod draw;
mod encode;
mod endings;
mod eval;
mod export;
mod forecast;
mod given;
mod guided;
mod help;
#[cfg(test)]
mod hints;
mod import;
mod info;
mod interpolate;
mod invert;
mod judged;
mod latents;
mod lines;
mod measured;
mod models;
mod neighbors;
mod numbers;
mod oddness;
mod outliers;
mod output;
mod page;
mod part;
mod pictures;
mod plan;
mod progress;
mod quality;
mod restore;
mod sample;
mod score;
mod sequences;
mod shell;
mod signals;
mod simulate;
mod surprise;
mod theory;
mod threads;
mod train;
mod trajectory;
mod tune;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use args::{Cli, Command};
use common::Common;
use output::Output;

use crate::error::{Error, Result};
use crate::model;
use crate::nearest::nearest;
use crate::ranks::{Launcher, Ranks};
use crate::train::TrainRecipe;

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    signals::outlive_limits();
    let launcher = Launcher::here();
    // Of several processes that are all refused, or all help, one says so.
    let speaks = launcher.is_none_or(|launcher| launcher.is_first());
    let parsed = numbers::as_written(Cli::command()).try_get_matches().and_then(|matches| {
        let name = matches.subcommand_name().unwrap_or_default().to_string();
        Cli::from_arg_matches(&matches).map(|cli| (cli, name))
    });
    let (mut cli, name) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            // Help and version go to stdout and are no error.
            if !e.use_stderr() || e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                if speaks {
                    let _ = e.print();
                } else if e.use_stderr() {
                    std::thread::sleep(FIRST_WORD);
                }
                return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
            }
            // Whether an object is wanted cannot be known from arguments that were not understood.
            return refuse(launcher, &sentence(&e.render().to_string()), 2, std::env::args_os().any(|word| word == "--json"));
        }
    };
    listen(&cli.common);
    threads::share_heap();
    match join(launcher, &cli.command, &name) {
        Ok(ranks) => cli.common.ranks = ranks,
        Err(error) => return refuse(launcher, &error.to_string(), error.exit_code(), cli.common.json),
    }
    let ranks = &cli.common.ranks;
    if !ranks.is_first() {
        log::set_max_level(log::LevelFilter::Off);
    }
    let output = Output::new(&cli.common);
    let result = threads::start(ranks).and_then(|()| perform(&cli.command, &cli.common, &output));
    let code = match result {
        Ok(()) => return ExitCode::SUCCESS,
        // A reader that closed the pipe has seen what it wanted.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => 0,
        // All ranks stop behind the same step.
        Err(error @ Error::Interrupted) => return ExitCode::from(error.exit_code()),
        Err(error) => {
            say_of(ranks, &error, cli.common.json);
            error.exit_code()
        }
    };
    ranks.fail(code);
    ExitCode::from(code)
}

/// The ranks that do a command: those that a launcher started, where it is one that several can do.
fn join(launcher: Option<Launcher>, command: &Command, name: &str) -> Result<Ranks> {
    if is_for_several(command) {
        return Ranks::launched();
    }
    match launcher.filter(Launcher::is_of_several) {
        Some(launcher) => Err(Error::usage(format!("kiln {name} is done by one process; start it without {}", launcher.kind.name()))),
        None => Ok(Ranks::alone()),
    }
}

/// Whether several ranks can do a command together.
fn is_for_several(command: &Command) -> bool {
    matches!(command, Command::Train(_) | Command::Eval(_) | Command::Score(_) | Command::Sample(_) | Command::Bench(_))
}

/// How long the first rank has the first word: what it ends with too, which ends the others, it says alone.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// How long a launcher has to pass on what a rank said last.
const PASSING_ON: Duration = Duration::from_millis(300);

/// Ends with a refusal before ranks have met. Where all are refused the first says so for all, and ends them; a rank that is still there a while
/// later was refused alone.
fn refuse(launcher: Option<Launcher>, words: &str, code: u8, json: bool) -> ExitCode {
    let launcher = launcher.filter(Launcher::is_of_several);
    match launcher.and_then(|launcher| launcher.rank).filter(|rank| *rank > 0) {
        None => complain(words, code, json),
        Some(rank) => {
            std::thread::sleep(FIRST_WORD);
            complain(&format!("rank {rank}: {words}"), code, json);
        }
    }
    if let Some(launcher) = launcher {
        // What was said has to be passed on before.
        std::thread::sleep(PASSING_ON);
        launcher.end_all(code);
    }
    ExitCode::from(code)
}

/// Says a failure, once for all ranks that know of it.
fn say_of(ranks: &Ranks, error: &Error, json: bool) {
    if ranks.is_first() {
        complain(&error.to_string(), error.exit_code(), json);
    } else if !ranks.is_known() {
        std::thread::sleep(FIRST_WORD);
        complain(&format!("rank {}: {error}", ranks.rank()), error.exit_code(), json);
    }
}

/// Carries out a command.
fn perform(command: &Command, common: &Common, output: &Output) -> Result<()> {
    match command {
        Command::Devices => devices::run(output),
        Command::Models => models::run(output),
        Command::Help(args) => help::run(args, Cli::command(), output),
        Command::Demo(args) => demo::run(args, common, output, &|words| {
            let said = |e: clap::Error| Error::usage(sentence(&e.render().to_string()));
            let cli = Cli::try_parse_from(words).map_err(said)?;
            let output = output.heard();
            perform(&cli.command, &cli.common, &output)?;
            Ok(output.told())
        }),
        Command::Train(args) => train::run(args, common, output),
        Command::Completions(args) => shell::completions(args, Cli::command(), output),
        Command::Man(args) => shell::man(args, Cli::command(), output),
        Command::Info(args) => info::run(args, output),
        Command::Eval(args) => eval::run(args, common, output),
        Command::Score(args) => score::run(args, common, output),
        Command::Sample(args) => sample::run(args, common, output),
        Command::Classify(args) => classify::run(args, common, output),
        Command::Colorize(args) => restore::colorize(args, common, output),
        Command::Upscale(args) => restore::upscale(args, common, output),
        Command::Compare(args) => compare::run(args, common, output),
        Command::Complete(args) => complete::run(args, common, output),
        Command::Forecast(args) => forecast::run(args, common, output),
        Command::Simulate(args) => simulate::run(args, common, output),
        Command::Plan(args) => plan::run(args, common, output),
        Command::Encode(args) => encode::run(args, common, output),
        Command::Interpolate(args) => interpolate::run(args, common, output),
        Command::Latents(args) => latents::run(args, common, output),
        Command::Outliers(args) => outliers::run(args, common, output),
        Command::Export(args) => export::run(args, common, output),
        Command::Import(args) => import::run(args, common, output),
        Command::Page(args) => page::run(args, output),
        Command::Arithmetic(args) => arithmetic::run(args, common, output),
        Command::Neighbors(args) => neighbors::run(args, common, output),
        Command::Theory(args) => theory::run(args, common, output),
        Command::Tune(args) => tune::run(args, common, output),
        Command::Bench(args) => bench::run(args, common, output),
    }
}

/// Has warnings said as errors are, unless they are not wanted; and more where it is, with when and where it was found.
fn listen(common: &Common) {
    let level = match common.verbose {
        0 if common.quiet => "off",
        0 => "kiln=warn",
        1 => "kiln=info",
        _ => "kiln=debug,wgpu=info",
    };
    let mut logger = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level));
    if common.verbose == 0 {
        logger.format(|to, record| writeln!(to, "kiln: {}", record.args()));
    }
    logger.init();
}

/// An error's sentence on stderr, where there is one to hear it; with --json an object on stdout too.
fn complain(words: &str, exit_code: u8, json: bool) {
    let _ = writeln!(std::io::stderr(), "kiln: {words}");
    if json {
        let _ = writeln!(std::io::stdout(), "{}", serde_json::json!({ "error": words, "exit_code": exit_code }));
    }
}

/// The setting that an unknown flag may have meant: many things are keys of `--set` here that are flags elsewhere.
fn as_setting(said: &str) -> Option<String> {
    let flag = said.strip_prefix("unexpected argument '--")?.split(['\'', '=', ' ']).next()?;
    let keys = TrainRecipe::KEYS.into_iter().filter(|key| !["batch", "steps"].contains(key));
    nearest(flag, keys).map(|key| format!("take --set {key}=…"))
}

/// What a word that has no place may have been: a model, or a file of a pattern that the shell put in.
fn as_argument(said: &str) -> Option<String> {
    let word = |before: &str| said.strip_prefix(before)?.split('\'').next().map(String::from);
    if let Some(model) = word("unrecognized subcommand '").filter(|word| model::check_name(word).is_ok()) {
        return Some(format!("take kiln train {model} --data SOURCE"));
    }
    let file = word("unexpected argument '").filter(|word| !word.starts_with('-') && std::path::Path::new(word).exists())?;
    Some(format!("where a pattern stands for several files such as {file}, put it in quotes: --data 'photos/*.png'"))
}

/// What the parser of arguments says in a paragraph and a tip, in one sentence.
fn sentence(rendered: &str) -> String {
    let body = rendered.strip_prefix("error: ").unwrap_or(rendered);
    let said: Vec<&str> = body.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let tip = body.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    // Behind a colon come the arguments that are missing, one a line.
    let (head, rest) = said.split_first().map_or(("", &[][..]), |(head, rest)| (*head, rest));
    let list = if rest.is_empty() { String::new() } else { format!(" {}", rest.join(", ")) };
    let setting = as_setting(head).or_else(|| as_argument(head));
    format!("{head}{list}; {}", setting.as_deref().or(tip).unwrap_or("--help shows what there is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_says_is_one_sentence() {
        let said = |arguments: &[&str]| sentence(&Cli::try_parse_from(arguments).err().expect("refused").render().to_string());
        let missing = said(&["kiln", "train"]);
        assert!(missing.contains("--data <SOURCE>") && missing.contains("[MODEL]") || missing.contains("<MODEL>"), "{missing}");
        assert!(said(&["kiln", "sample", "run", "--oout", "f"]).contains("--out"));
        assert!(said(&["kiln", "sample", "run", "-n", "many", "--out", "f"]).contains("many"));
        assert!(said(&["kiln", "train", "vae", "--data", "d", "--lr", "1e-3"]).ends_with("take --set learning_rate=…"));
        assert!(said(&["kiln", "train", "vae", "--data", "d", "--weight-decay", "1"]).ends_with("take --set weight_decay=…"));
        for words in [missing, said(&["kiln", "trian"]), said(&["kiln", "sample", "run", "--method", "slow", "--out", "f"])] {
            assert!(!words.contains('\n') && !words.is_empty(), "{words}");
        }
    }
}
