//! `UNet2DModel` of diffusers: kiln's `diffusion` for images, where its `config.json` says nothing that kiln's U-Net is not.

use std::path::Path;

use serde_json::Value;

use super::family::{Family, Source, size};
use super::file::Weights;
use crate::error::{Error, Result};
use crate::model::diffusion;
use crate::train::Recipe;

/// The family.
pub const FAMILY: Family = Family {
    what: "the UNet2DModel of diffusers",
    models: &["diffusion"],
    is: |weights| weights.has("time_embedding.linear_1.weight") && weights.has("conv_in.weight") && weights.has("conv_norm_out.weight"),
    settings: |weights| {
        let mut settings = Network::read(weights)?.settings();
        settings.extend(schedule(weights)?);
        Ok(settings)
    },
    check: |weights, recipe| Network::read(weights)?.check(weights, recipe),
    source,
    beside: |_| false,
};

/// Keys of `config.json` that kiln's network has one value of.
const FIXED: [(&str, &[&str]); 15] = [
    ("_class_name", &["\"UNet2DModel\""]),
    ("act_fn", &["\"silu\"", "\"swish\""]),
    ("add_attention", &["true"]),
    ("center_input_sample", &["false"]),
    ("class_embed_type", &["null"]),
    ("num_class_embeds", &["null"]),
    ("downsample_padding", &["1"]),
    ("downsample_type", &["\"conv\""]),
    ("upsample_type", &["\"conv\""]),
    ("flip_sin_to_cos", &["true"]),
    ("freq_shift", &["0"]),
    ("mid_block_scale_factor", &["1", "1.0"]),
    ("mid_block_type", &["\"UNetMidBlock2D\""]),
    ("norm_eps", &["1e-5", "1e-05", "0.00001"]),
    ("time_embedding_type", &["\"positional\""]),
];

/// What a network's `config.json` says that kiln's has keys for.
struct Network {
    filters: usize,
    multipliers: Vec<usize>,
    blocks: usize,
    /// Whether attention follows the blocks of each size.
    attends: Vec<bool>,
    /// Height of the images, where it is said.
    height: Option<usize>,
    /// Channels of a head; one head where there is none.
    head_channels: Option<usize>,
    groups: usize,
    film: bool,
}

impl Network {
    /// Reads the `config.json` beside the weights.
    fn read(weights: &Weights) -> Result<Self> {
        let path = weights.path().with_file_name("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::format(
                &path,
                "is not there: what the UNet2DModel of diffusers normalises and attends in stands there alone; put it beside the weights",
            ),
            _ => Error::io(&path, e),
        })?;
        let json: Value = serde_json::from_str(&text).map_err(|e| Error::format(&path, format!("is no JSON ({e}); take a copy")))?;
        Self::of(&json).map_err(|reason| Error::format(&path, reason))
    }

    fn of(json: &Value) -> Result<Self, String> {
        for (key, allowed) in FIXED {
            let said = json.get(key).map(Value::to_string);
            // What is left out is as diffusers' own defaults are, which are these.
            if let Some(said) = said.filter(|said| !allowed.contains(&said.as_str())) {
                return Err(format!("says {key} is {said}, and kiln's U-Net has {}; such a network cannot be taken over", allowed[0]));
            }
        }
        let whole = |key: &str, default: Option<usize>| match json.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
                Some(value) => Ok(Some(value)),
                None => Err(format!("says {key} is {value}, which is no size")),
            },
        };
        let list =
            |key: &str| json[key].as_array().cloned().ok_or_else(|| format!("does not say {key}; take the one that diffusers wrote"));
        let channels: Vec<usize> = list("block_out_channels")?.iter().filter_map(|c| usize::try_from(c.as_u64()?).ok()).collect();
        let filters = *channels.first().filter(|c| **c > 0).ok_or("says no block_out_channels")?;
        if channels.iter().any(|c| !c.is_multiple_of(filters)) {
            return Err(format!("says block_out_channels are {channels:?}, and kiln's U-Net has multiples of the first alone"));
        }
        let attends = |key: &str, plain: &str, attending: &str| -> Result<Vec<bool>, String> {
            let each = |kind: &Value| match kind.as_str() {
                Some(kind) if kind == plain => Ok(false),
                Some(kind) if kind == attending => Ok(true),
                _ => Err(format!("says a block is {kind}, and kiln's U-Net has {plain} and {attending} alone")),
            };
            list(key)?.iter().map(each).collect()
        };
        let down = attends("down_block_types", "DownBlock2D", "AttnDownBlock2D")?;
        let up = attends("up_block_types", "UpBlock2D", "AttnUpBlock2D")?;
        if down.len() != channels.len() || !down.iter().eq(up.iter().rev()) {
            return Err("has attention at other sizes on the way up than on the way down, which kiln's U-Net has not".into());
        }
        if let Some(width) = whole("time_embedding_dim", None)?.filter(|width| *width != 4 * filters) {
            return Err(format!("says time_embedding_dim is {width}, and kiln's U-Net has four times the first channels"));
        }
        let groups = whole("norm_num_groups", Some(32))?.unwrap_or(32);
        let film = match json.get("resnet_time_scale_shift").and_then(Value::as_str) {
            None | Some("default") => false,
            Some("scale_shift") => true,
            Some(other) => return Err(format!("says resnet_time_scale_shift is {other}, which kiln's U-Net has not")),
        };
        let middle = whole("attn_norm_num_groups", None)?;
        if middle.is_some_and(|middle| middle != groups) || (middle.is_none() && film) {
            return Err("normalises the middle's attention otherwise than the rest, which kiln's U-Net does not".into());
        }
        let sample = &json["sample_size"];
        let height = sample.as_u64().or_else(|| sample.get(0)?.as_u64()).and_then(|height| usize::try_from(height).ok());
        Ok(Self {
            filters,
            multipliers: channels.iter().map(|c| c / filters).collect(),
            blocks: whole("layers_per_block", Some(2))?.unwrap_or(2),
            attends: down,
            height,
            // Null is said of one head; what is left out is 8.
            head_channels: if json.get("attention_head_dim").is_some_and(Value::is_null) {
                None
            } else {
                whole("attention_head_dim", Some(8))?
            },
            groups,
            film,
        })
    }

    /// Heights of the maps behind whose blocks attention stands, of images of this height.
    fn heights(&self, height: usize) -> Vec<usize> {
        let levels = self.attends.iter().enumerate().filter(|(_, attends)| **attends);
        levels.map(|(level, _)| height.checked_shr(level as u32).unwrap_or(0)).collect()
    }

    fn settings(&self) -> toml::Table {
        let sizes = |list: &[usize]| toml::Value::Array(list.iter().map(|v| size(*v)).collect());
        let mut settings = toml::Table::new();
        settings.insert("filters".into(), size(self.filters));
        settings.insert("multipliers".into(), sizes(&self.multipliers));
        settings.insert("blocks".into(), size(self.blocks));
        if let Some(height) = self.height {
            settings.insert("attention".into(), sizes(&self.heights(height)));
        } else if self.attends.iter().all(|attends| !attends) {
            settings.insert("attention".into(), sizes(&[]));
        }
        match self.head_channels {
            Some(width) => settings.insert("head_channels".into(), size(width)),
            None => settings.insert("heads".into(), size(1)),
        };
        settings.insert("groups".into(), size(self.groups));
        settings.insert("film".into(), toml::Value::Boolean(self.film));
        settings
    }

    /// Compares what the shapes of tensors do not show.
    fn check(&self, weights: &Weights, recipe: &Recipe) -> Result<()> {
        let read: Result<diffusion::Config, _> = recipe.hyper.clone().try_into();
        let config = read.map_err(|e: toml::de::Error| Error::usage(e.message().to_string()))?;
        let (own, _) = config.unet(recipe.data.dims[0])?;
        let own_heads = own.head_channels.map_or(format!("heads={}", own.heads), |width| format!("head_channels={width}"));
        let their_heads = self.head_channels.map_or("heads=1".to_string(), |width| format!("head_channels={width}"));
        let own_groups = own.groups.map_or("a quarter of the channels".to_string(), |groups| groups.to_string());
        let shown = weights.path().display();
        if let Some(key) = ["noise", "target"].into_iter().find(|key| !recipe.hyper.contains_key(*key)) {
            return Err(Error::usage(format!(
                "what noise {shown} was trained with stands in a scheduler_config.json, which is neither beside it nor in a folder scheduler beside its \
                 own; say {key}= by --set, as of diffusers' DDPMScheduler noise=linear and target=eps"
            )));
        }
        if own_heads != their_heads {
            return Err(Error::usage(format!("{shown} has attention of {their_heads}, not {own_heads}; take --set {their_heads}")));
        }
        if own.groups != Some(self.groups) {
            let groups = self.groups;
            return Err(Error::usage(format!("{shown} is normalised in {groups} groups, not {own_groups}; take --set groups={groups}")));
        }
        Ok(())
    }
}

/// What the scheduler's settings beside a network's say, if they are there: in its folder, or in `scheduler` beside that.
fn schedule(weights: &Weights) -> Result<toml::Table> {
    const NAME: &str = "scheduler_config.json";
    let folder = weights.path().parent().unwrap_or(Path::new(""));
    let places = [folder.join(NAME), folder.join("../scheduler").join(NAME)];
    let mut settings = toml::Table::new();
    let Some(path) = places.iter().find(|path| path.is_file()) else { return Ok(settings) };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| Error::format(path, format!("is no JSON ({e}); take a copy")))?;
    let refuse = |key: &str, said: &str, known: &str| {
        Err(Error::format(path, format!("says {key} is {said}, and kiln knows {known}; such a network cannot be taken over")))
    };
    let word = |key: &str, default: &'static str| json.get(key).and_then(Value::as_str).unwrap_or(default).to_string();
    let number = |key: &str, default: f64| json.get(key).and_then(Value::as_f64).unwrap_or(default);
    let (noise, steps) = (word("beta_schedule", "linear"), number("num_train_timesteps", 1000.0));
    let noise = match noise.as_str() {
        "linear" if (number("beta_start", 1e-4), number("beta_end", 0.02), steps) == (1e-4, 0.02, 1000.0) => "linear",
        "linear" => return refuse("beta_schedule", "linear", "that from 0.0001 to 0.02 in 1000 steps"),
        "squaredcos_cap_v2" => "cosine",
        other => return refuse("beta_schedule", other, "linear and squaredcos_cap_v2"),
    };
    let asked = word("prediction_type", "epsilon");
    let target = match asked.as_str() {
        "epsilon" => "eps",
        "v_prediction" => "v",
        "sample" => "x0",
        other => return refuse("prediction_type", other, "epsilon, v_prediction and sample"),
    };
    for (key, value) in [("noise", noise), ("target", target)] {
        settings.insert(key.into(), toml::Value::String(value.into()));
    }
    settings.insert("timesteps".into(), size(steps as usize));
    Ok(settings)
}

/// The blocks of one way, numbered through: each size's, and what halves it behind them.
fn walk(weights: &Weights, way: &str, halving: Option<&str>) -> Vec<String> {
    let mut places = Vec::new();
    for level in (0..).map(|level| format!("{way}.{level}")) {
        let blocks = (0..).take_while(|i| weights.has(&format!("{level}.resnets.{i}.conv1.weight"))).count();
        if blocks == 0 {
            return places;
        }
        places.extend((0..blocks).map(|i| format!("{level} {i}")));
        if let Some(halving) = halving.filter(|name| weights.has(&format!("{level}.{name}.weight"))) {
            places.push(format!("{level}.{halving}"));
        }
    }
    places
}

fn source(weights: &Weights, name: &str) -> Option<Source> {
    let (layer, part) = name.rsplit_once('.')?;
    let plain = |other: &str| Some(Source::of(format!("{other}.{part}")));
    match layer {
        "time.0" => return plain("time_embedding.linear_1"),
        "time.2" => return plain("time_embedding.linear_2"),
        "input" => return plain("conv_in"),
        "norm" => return plain("conv_norm_out"),
        "output" => return plain("conv_out"),
        _ => {}
    }
    let mut words = layer.splitn(3, '.');
    let (way, number, inner) = (words.next()?, words.next()?.parse::<usize>().ok()?, words.next()?);
    let place = match way {
        "middle" => format!("mid_block {number}"),
        "down" => walk(weights, "down_blocks", Some("downsamplers.0.conv")).get(number)?.clone(),
        "up" => walk(weights, "up_blocks", None).get(number)?.clone(),
        _ => return None,
    };
    match (inner, place.split_once(' ')) {
        ("downsample", None) => plain(&place),
        ("upsample", Some((level, _))) => plain(&format!("{level}.upsamplers.0.conv")),
        (_, Some((level, at))) => match inner.split_once('.')? {
            ("block", layer) => {
                let layer = match layer {
                    "embed" => "time_emb_proj",
                    "skip" => "conv_shortcut",
                    layer => layer,
                };
                plain(&format!("{level}.resnets.{at}.{layer}"))
            }
            ("attention", layer) => {
                let at = format!("{level}.attentions.{at}");
                // Files from before 2023 have other names.
                let old = weights.has(&format!("{at}.query.weight"));
                let layers: &[&str] = match (layer, old) {
                    ("norm", _) => &["group_norm"],
                    ("qkv", false) => &["to_q", "to_k", "to_v"],
                    ("qkv", true) => &["query", "key", "value"],
                    ("out", false) => &["to_out.0"],
                    ("out", true) => &["proj_attn"],
                    _ => return None,
                };
                let parts = layers.iter().map(|layer| format!("{at}.{layer}.{part}")).collect();
                Some(Source { parts, factor: 1.0, flat: true })
            }
            _ => None,
        },
        _ => None,
    }
}
