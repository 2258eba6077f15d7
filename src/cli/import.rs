//! `kiln import`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::output::{Output, as_text};
use super::train::{TrainArgs, make_recipe};
use crate::error::{Error, Result};
use crate::model;
use crate::runtime::Device;
use crate::train::{Import, RunFolder, parse_settings};
use crate::wait::Wait;

/// Arguments of `import`.
#[derive(Args)]
pub struct ImportArgs {
    /// Files of weights, .safetensors or .pt/.pth, and behind them the model, unless --like names a run: of a dcgan one file a network
    #[arg(value_name = "FILE|MODEL", required = true)]
    pub words: Vec<PathBuf>,
    /// A run whose model, settings and data these weights have
    #[arg(long, value_name = "DIR")]
    pub like: Option<PathBuf>,
    /// The data that the run is to be scored and trained on, as of kiln train
    #[arg(long, value_name = "SOURCE", required_unless_present = "like")]
    pub data: Option<String>,
    /// Run folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Any hyper-parameter, as key=value; may be repeated. Sizes that the file tells need not be said
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Of a file that holds several dictionaries of tensors, the one that is meant
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// Leave first values in tensors whose names begin so, such as discriminator; may be repeated
    #[arg(long, value_name = "NAME")]
    pub fresh: Vec<String>,
}

/// `kiln import`
pub fn run(args: &ImportArgs, common: &Common, output: &Output) -> Result<()> {
    let mut files = args.words.clone();
    let last = files.last().and_then(|word| word.to_str()).filter(|word| model::check_name(word).is_ok()).map(String::from);
    let name = match (last, &args.like) {
        (Some(_), Some(_)) => return Err(Error::usage("--like says which model it is; leave the model out")),
        (Some(name), None) => {
            files.pop();
            Some(name)
        }
        (None, Some(_)) => None,
        (None, None) => {
            let models = "kiln models lists them";
            return Err(Error::usage(format!("name the model behind the files ({models}), or a run by --like")));
        }
    };
    if files.is_empty() {
        return Err(Error::usage("name the files of weights, then the model: kiln import weights.pt vae --data SOURCE --out DIR"));
    }
    let import = Import::open(&files, args.part.as_deref())?;
    let given = parse_settings(&args.set)?;
    let mut set = args.set.clone();
    // What a run has settled is not asked of the file.
    if let Some(name) = &name {
        let told = import.settings(name)?;
        // A preset settles sizes, too.
        if !given.contains_key("preset") {
            set.extend(told.iter().filter(|(key, _)| !given.contains_key(*key)).map(|(key, value)| format!("{key}={value}")));
        }
    }
    let folder = RunFolder::create(&args.out)?;
    let device = Device::open(&common.device).wait()?;
    let wanted = TrainArgs {
        model: name,
        data: args.data.clone(),
        from: args.like.clone(),
        set,
        out: Some(args.out.clone()),
        ..TrainArgs::default()
    };
    let mut recipe = make_recipe(&wanted, common, &device)?;
    recipe.from = None;
    recipe.imported = files.iter().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone())).collect();
    let imported = import.start(&device, &recipe, folder, &args.fresh).wait()?;
    let (families, shown) = (import.families().join(" and "), args.out.display());
    let fresh = if imported.fresh == 0 { String::new() } else { format!(", {} left as drawn", imported.fresh) };
    let words = format!(
        "took {} tensors ({families} names{fresh}) over into {shown}, a {} of {} parameters; go on with kiln info {shown}",
        imported.tensors, recipe.model, imported.parameters
    );
    output.result(
        &words,
        &json!({
            "run": as_text(&args.out), "model": recipe.model, "tensors": imported.tensors, "fresh": imported.fresh,
            "parameters": imported.parameters, "names": import.families(),
        }),
    )
}
