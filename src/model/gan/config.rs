//! Hyper-parameters of the adversarial models, what each model starts from, and which combinations make no sense.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Loss;
use crate::data::Kind;
use crate::error::{Error, Result};
use crate::keys;
use crate::model::DataSpec;
use crate::model::label_loss;
use crate::model::size::{DEEPEST, WIDEST};

/// Most discriminator steps a generator step: all of them are nodes of one graph.
const MOST_STEPS: usize = 100;

/// The adversarial models by their command-line names; they differ in their defaults alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Multilayer networks and a maxout discriminator (Goodfellow et al., 2014).
    Gan,
    /// Strided convolutions and batch normalisation (Radford, Metz and Chintala, 2016).
    Dcgan,
    /// A critic whose weights are clipped (Arjovsky, Chintala and Bottou, 2017).
    Wgan,
    /// A critic whose gradient is penalised (Gulrajani et al., 2017).
    WganGp,
}

impl Family {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gan => "gan",
            Self::Dcgan => "dcgan",
            Self::Wgan => "wgan",
            Self::WganGp => "wgan-gp",
        }
    }
}

/// What the two networks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Fully connected layers.
    Mlp,
    /// Strided and fractional-strided 4×4 convolutions.
    Conv,
}

/// What normalises the hidden layers of a convolutional discriminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation.
    Batch,
    /// Nothing: convolutions have biases instead.
    None,
}

/// Hyper-parameters; `--set` takes each of these keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the networks are made of.
    pub form: Form,
    /// The objective.
    pub loss: Loss,
    /// Discriminator steps a generator step.
    #[schemars(range(min = 1, max = MOST_STEPS))]
    pub k: usize,
    /// Length of z.
    #[schemars(range(min = 1, max = WIDEST))]
    pub latent: usize,
    /// Channels of the widest images inside the networks (conv).
    #[schemars(range(min = 1, max = WIDEST))]
    pub filters: usize,
    /// Units of each hidden layer of the generator (mlp).
    #[schemars(range(min = 1, max = WIDEST))]
    pub hidden: usize,
    /// Units of each hidden layer of the discriminator (mlp).
    #[schemars(range(min = 1, max = WIDEST))]
    pub judge: usize,
    /// Hidden layers (mlp).
    #[schemars(range(min = 1, max = DEEPEST))]
    pub layers: usize,
    /// Linear pieces of a maxout unit (Goodfellow et al., 2013); 1 takes leaky ReLUs instead (mlp).
    #[schemars(range(min = 1, max = WIDEST))]
    pub pieces: usize,
    /// Share of the discriminator's hidden units dropped in training (mlp).
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f64,
    /// Share of the discriminator's inputs dropped in training (mlp).
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub input_dropout: f64,
    /// How far below 1 the target of real data is (one-sided label smoothing; Salimans et al., 2016).
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub label_smoothing: f64,
    /// Bound of every weight of the critic; 0 does not clip.
    #[schemars(range(min = 0))]
    pub clip: f64,
    /// Weight of the gradient penalty; 0 takes none.
    #[schemars(range(min = 0))]
    pub penalty: f64,
    /// Weight γ of R₁, ½γ·‖∇ₓ logit‖² on real data alone (Mescheder et al., 2018, eq. 9); 0 takes none.
    #[schemars(range(min = 0))]
    pub r1: f64,
    /// What normalises the discriminator (conv).
    pub discriminator_norm: Norm,
    /// Whether both networks are given the class.
    pub conditional: bool,
}

impl Config {
    /// What a model starts from on some data.
    pub fn of(family: Family, data: &DataSpec) -> Self {
        let points = data.kind == Kind::Points;
        let form = if points || family == Family::Gan { Form::Mlp } else { Form::Conv };
        let paper = Self {
            form,
            loss: Loss::NonSaturating,
            k: 1,
            latent: 100,
            filters: 64,
            hidden: if points { 128 } else { 1200 },
            judge: if points { 128 } else { 240 },
            layers: if points { 3 } else { 2 },
            pieces: if points { 1 } else { 5 },
            dropout: if points { 0.0 } else { 0.5 },
            input_dropout: if points { 0.0 } else { 0.2 },
            label_smoothing: 0.0,
            clip: 0.0,
            penalty: 0.0,
            r1: 0.0,
            discriminator_norm: Norm::Batch,
            conditional: false,
        };
        let critic = Self { loss: Loss::Wasserstein, k: 5, pieces: 1, dropout: 0.0, input_dropout: 0.0, ..paper.clone() };
        let config = match family {
            Family::Gan | Family::Dcgan => paper,
            Family::Wgan => Self { clip: 0.01, judge: if points { 128 } else { 512 }, ..critic },
            // The weight of the penalty on images, and that of the paper's plane figures.
            Family::WganGp => Self {
                penalty: if points { 0.1 } else { 10.0 },
                judge: if points { 128 } else { 512 },
                discriminator_norm: Norm::None,
                ..critic
            },
        };
        if points { Self { latent: 8, ..config } } else { config }
    }

    /// The defaults with a user's values over them.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown key, a value of the wrong kind, or a combination that makes no sense.
    pub fn read(family: Family, hyper: &toml::Table, data: &DataSpec) -> Result<Self> {
        let name = family.name();
        label_loss::refuse(name, hyper)?;
        let refuse = |words: &str| Error::usage(format!("{name}: {words}"));
        let mut table = toml::Table::try_from(Self::of(family, data)).map_err(|e| refuse(&e.to_string()))?;
        for (key, value) in hyper {
            // Whole numbers stand for fractions where those are meant.
            let value = match (table.get(key), value) {
                (Some(toml::Value::Float(_)), toml::Value::Integer(i)) => toml::Value::Float(*i as f64),
                _ => value.clone(),
            };
            table.insert(key.clone(), value);
        }
        let config: Self = table.try_into().map_err(|e: toml::de::Error| refuse(&keys::in_words(e.message())))?;
        config.check(name, data)?;
        Ok(config)
    }

    fn check(&self, name: &str, data: &DataSpec) -> Result<()> {
        let refuse = |words: String| Err(Error::usage(format!("{name}: {words}")));
        if self.k == 0 {
            return refuse("k must be at least 1: the discriminator takes k steps for each of the generator's".into());
        }
        keys::check(name, self)?;
        if self.clip > 0.0 && self.penalty > 0.0 {
            return refuse("clip and penalty are two ways to the same end; set one of them to 0".into());
        }
        let sloped = [("penalty", self.penalty), ("r1", self.r1)].into_iter().find(|(_, weight)| *weight > 0.0);
        if let Some((key, _)) = sloped {
            if self.form == Form::Conv && self.discriminator_norm == Norm::Batch {
                let why = "a gradient penalty is one image's, and batch norm mixes the images of a batch";
                return refuse(format!("{why}; take discriminator_norm=none or {key}=0"));
            }
            if self.form == Form::Mlp && self.dropout + self.input_dropout > 0.0 {
                return refuse(format!("{key} needs the same critic for every image; take dropout=0 and input_dropout=0"));
            }
        }
        if self.label_smoothing > 0.0 && !self.loss.has_targets() {
            return refuse(format!("the {} loss has no targets to smooth; take label_smoothing=0", self.loss.name()));
        }
        if self.conditional && data.classes == 0 {
            return refuse("conditional=true needs labelled data; take a set with labels, or a folder with one sub-folder a class".into());
        }
        if self.form == Form::Conv && data.kind == Kind::Points {
            return refuse("there are no convolutions of points; take form=mlp".into());
        }
        Ok(())
    }
}
