//! `kiln completions` and `kiln man`: what shells and man pages know of the program, from the definitions of its arguments.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;
use serde_json::json;

use super::output::{Output, as_text};
use crate::error::{Error, Result};

/// Arguments of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Args)]
pub struct ManArgs {
    /// The folder that the pages go to, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `kiln completions`, of the whole program's `command`
pub fn completions(args: &CompletionsArgs, mut command: Command, output: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "kiln", &mut script);
    let script = String::from_utf8_lossy(&script);
    output.result(&script, &json!({ "shell": args.shell.to_string(), "script": script }))
}

/// `kiln man`, of the whole program's `command`
pub fn man(args: &ManArgs, command: Command, output: &Output) -> Result<()> {
    let failed = |e| Error::io(&args.out, e);
    std::fs::create_dir_all(&args.out).map_err(failed)?;
    clap_mangen::generate_to(command, &args.out).map_err(failed)?;
    output.result(&format!("man pages of kiln and its commands, in {}", args.out.display()), &json!({ "out": as_text(&args.out) }))
}
