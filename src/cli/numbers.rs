//! Whole numbers in arguments as people write them: `10_000`, `1e3`, `2^14`.

use std::any::TypeId;

use clap::Command;
use clap::builder::ValueParser;

use crate::train::whole_number;

/// The same command, whose arguments that are whole numbers may be written so.
pub fn as_written(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let parser = arg.get_value_parser().type_id();
        if parser == TypeId::of::<usize>() {
            arg.value_parser(ValueParser::new(|text: &str| read(text).and_then(|n| usize::try_from(n).map_err(|e| e.to_string()))))
        } else if parser == TypeId::of::<u64>() {
            arg.value_parser(ValueParser::new(read))
        } else {
            arg
        }
    });
    command.mut_subcommands(as_written)
}

fn read(text: &str) -> Result<u64, String> {
    whole_number(text).ok_or_else(|| "it must be a whole number from 0, such as 2000, 10_000, 1e3 or 2^14".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command as Asked};
    use clap::{CommandFactory, FromArgMatches};

    #[test]
    fn steps_may_be_written_as_a_power() {
        let read = |steps: &str| {
            let words = ["kiln", "train", "vae", "--data", "d", "--steps", steps];
            as_written(Cli::command()).try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches))
        };
        for (written, steps) in [("1e3", 1000), ("10_000", 10_000), ("2^14", 16_384), ("7", 7)] {
            let cli = read(written).expect(written);
            assert!(matches!(cli.command, Asked::Train(args) if args.steps == Some(steps)), "{written}");
        }
        for wrong in ["-3", "1.5", "many"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
