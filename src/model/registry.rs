//! Every model there is: its name, what it is, its keys, and how it is made.

use super::autoregressive::Network;
use super::label_loss::LabelKeys;
use super::{
    Autoencoder, Classifier, DataSpec, Diffusion, Gan, GatedPixelCnn, Model, PixelCnn, PixelCnnPp, PixelRnn, Rnn, Vae, WaveNet, causal,
    classifier, diffusion, gan, gated, label_loss, labelled, pixelcnn, pixelcnn_pp, pixelrnn, rnn, size, vae, wavenet,
};
use crate::data::{Binarization, Kind};
use crate::error::{Error, Result};
use crate::keys::{self, Key};
use crate::nearest;

/// Makes a model from its hyper-parameters and what it must know of the data.
type Make = fn(&'static str, &toml::Table, &DataSpec) -> Result<Box<dyn Model>>;

/// A model on the command line.
pub(super) struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it is, and whose.
    about: &'static str,
    keys: fn() -> Vec<Key>,
    /// Makes it.
    pub make: Make,
}

/// Every model, in alphabetical order.
pub(super) const MODELS: [Entry; 15] = [
    Entry {
        name: "autoencoder",
        about: "an encoder to a small vector and a decoder back, with no prior (Hinton and Salakhutdinov, 2006)",
        keys: keys::of::<vae::Config>,
        make: |name, hyper, data| Ok(Box::new(Autoencoder::new(parse(name, hyper)?, data)?)),
    },
    Entry {
        name: "classifier",
        about: "p(y|x): the supervised model that features are judged by, and whose features judge samples",
        keys: keys::of::<classifier::Config>,
        make: classifier,
    },
    Entry {
        name: "cvae",
        about: "a variational autoencoder whose encoder and decoder are given the class (Sohn, Lee and Yan, 2015)",
        keys: keys::of::<vae::Config>,
        make: |name, hyper, data| Ok(Box::new(Vae::conditional(parse(name, hyper)?, data)?)),
    },
    Entry {
        name: "dcgan",
        about: "an adversarial pair of strided and fractional-strided convolutions (Radford, Metz and Chintala, 2016)",
        keys: || gan_keys(gan::Family::Dcgan),
        make: |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Dcgan, hyper, data)?)),
    },
    Entry {
        name: "diffusion",
        about: "a U-Net with attention that takes noise away, step by step (Ho, Jain and Abbeel, 2020; Karras et al., 2022; Lipman et al., 2022)",
        keys: keys::of::<diffusion::Config>,
        make: |name, hyper, data| Ok(Box::new(Diffusion::new(parse(name, hyper)?, data)?)),
    },
    Entry {
        name: "gan",
        about: "fully connected networks, the discriminator of maxout units (Goodfellow et al., 2014)",
        keys: || gan_keys(gan::Family::Gan),
        make: |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Gan, hyper, data)?)),
    },
    Entry {
        name: "gated-pixelcnn",
        about: "two stacks of masked convolutions with gates and no blind spot (van den Oord et al., 2016, \"Conditional image generation with PixelCNN decoders\")",
        keys: || with_label_keys(keys::of::<gated::Config>()),
        make: |name, hyper, data| {
            beside_preset(name, hyper, &BESIDE)?;
            with_labels(hyper, |hyper| GatedPixelCnn::new(parse(name, hyper)?, data))
        },
    },
    Entry {
        name: "pixelcnn",
        about: "masked convolutions with short-cuts, each pixel given those before it (van den Oord et al., 2016, \"Pixel recurrent neural networks\")",
        keys: || with_label_keys(keys::of::<pixelcnn::Config>()),
        make: |name, hyper, data| {
            beside_preset(name, hyper, &BESIDE)?;
            with_labels(hyper, |hyper| PixelCnn::new(parse(name, hyper)?, data))
        },
    },
    Entry {
        name: "pixelcnn-pp",
        about: "PixelCNN++: strided streams of shifted convolutions and a mixture of discretised logistics (Salimans et al., 2017)",
        keys: || with_label_keys(keys::of::<pixelcnn_pp::Config>()),
        make: |name, hyper, data| with_labels(hyper, |hyper| PixelCnnPp::new(parse(name, hyper)?, data)),
    },
    Entry {
        name: "pixelrnn",
        about: "Row LSTM or Diagonal BiLSTM layers over the image (van den Oord et al., 2016, \"Pixel recurrent neural networks\")",
        keys: || with_label_keys(keys::of::<pixelrnn::Config>()),
        make: |name, hyper, data| {
            beside_preset(name, hyper, &[&BESIDE[..], &["layer", "first_kernel", "kernel"]].concat())?;
            with_labels(hyper, |hyper| PixelRnn::new(parse(name, hyper)?, data))
        },
    },
    Entry {
        name: "rnn",
        about: "stacked GRU or LSTM layers over series (Cho et al., 2014; Hochreiter and Schmidhuber, 1997)",
        keys: || with_label_keys(keys::of::<rnn::Config>()),
        make: |name, hyper, data| with_labels(hyper, |hyper| Rnn::new(parse(name, hyper)?, data)),
    },
    Entry {
        name: "vae",
        about: "a variational autoencoder: ELBO, reparameterised (Kingma and Welling, 2014)",
        keys: keys::of::<vae::Config>,
        make: |name, hyper, data| Ok(Box::new(Vae::new(parse(name, hyper)?, data)?)),
    },
    Entry {
        name: "wavenet",
        about: "dilated causal convolutions with gates over series (van den Oord et al., 2016, \"WaveNet\")",
        keys: || with_label_keys(keys::of::<wavenet::Config>()),
        make: |name, hyper, data| with_labels(hyper, |hyper| WaveNet::new(parse(name, hyper)?, data)),
    },
    Entry {
        name: "wgan",
        about: "a critic whose weights are clipped, towards the Wasserstein distance (Arjovsky, Chintala and Bottou, 2017)",
        keys: || gan_keys(gan::Family::Wgan),
        make: |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::Wgan, hyper, data)?)),
    },
    Entry {
        name: "wgan-gp",
        about: "a critic whose gradient is penalised, towards the Wasserstein distance (Gulrajani et al., 2017)",
        keys: || gan_keys(gan::Family::WganGp),
        make: |_, hyper, data| Ok(Box::new(Gan::new(gan::Family::WganGp, hyper, data)?)),
    },
];

/// A classifier, and the network of another run that it reads images by, where there is one.
fn classifier(name: &'static str, hyper: &toml::Table, data: &DataSpec) -> Result<Box<dyn Model>> {
    let config: classifier::Config = parse(name, hyper)?;
    let learnt = config.body.as_ref().map(|body| build(&body.model, &body.hyper, &body.data(hyper, data)?)).transpose()?;
    Ok(Box::new(Classifier::new(config, data, learnt)?))
}

/// Names of all models.
pub fn names() -> [&'static str; MODELS.len()] {
    MODELS.map(|entry| entry.name)
}

/// Makes a model for some data from its hyper-parameters.
///
/// # Errors
/// [`Error::Usage`] for an unknown model, an unknown key, a value that does not fit, or a model that draws in raster order and looks ahead.
pub fn build(name: &str, hyper: &toml::Table, data: &DataSpec) -> Result<Box<dyn Model>> {
    let Entry { name, make, .. } = known(name)?;
    size::check_data(data)?;
    let model = make(name, hyper, data)?;
    size::check(model.as_ref())?;
    causal::check(model.as_ref())?;
    Ok(model)
}

/// Refuses a name that no model has.
///
/// # Errors
/// [`Error::Usage`], naming those that there are.
pub fn check_name(name: &str) -> Result<()> {
    known(name).map(|_| ())
}

/// What a model is, and whose.
///
/// # Errors
/// As of [`check_name`].
pub fn about(name: &str) -> Result<&'static str> {
    known(name).map(|entry| entry.about)
}

/// The keys of `--set` that are a model's own; of an adversarial one with its defaults on 28×28 grey images.
///
/// # Errors
/// As of [`check_name`].
pub fn keys(name: &str) -> Result<Vec<Key>> {
    known(name).map(|entry| (entry.keys)())
}

fn known(name: &str) -> Result<Entry> {
    let unknown = || Error::usage(format!("there is no model {name}{}; there are {}", nearest::hint(name, names()), names().join(", ")));
    MODELS.into_iter().find(|entry| entry.name == name).ok_or_else(unknown)
}

fn gan_keys(family: gan::Family) -> Vec<Key> {
    let data = DataSpec { dims: [28, 28, 1], classes: 10, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
    keys::with_defaults::<gan::Config>(&gan::Config::of(family, &data))
}

fn with_label_keys(own: Vec<Key>) -> Vec<Key> {
    [own, keys::of::<LabelKeys>()].concat()
}

/// Keys of autoregressive models that no named size is about.
const BESIDE: [&str; 10] =
    ["dropout", "levels", "likelihood", "mixtures", "conditional", "scales", "scale_channels", "task", "label_weight", "label_others"];

/// Refuses keys that a named size would override: only those of `free` are not a part of it.
fn beside_preset(model: &str, hyper: &toml::Table, free: &[&str]) -> Result<()> {
    let Some(preset) = hyper.get("preset").and_then(toml::Value::as_str).filter(|preset| *preset != "custom") else { return Ok(()) };
    match hyper.keys().find(|key| *key != "preset" && !free.contains(&key.as_str())) {
        Some(key) => Err(Error::usage(format!("{model}: preset={preset} sets {key} itself; leave one of them out"))),
        None => Ok(()),
    }
}

/// A network, with p(y|x) in its loss where the keys say so; `make` makes it of its own keys.
fn with_labels<N: Network + 'static>(hyper: &toml::Table, make: impl FnOnce(&toml::Table) -> Result<N>) -> Result<Box<dyn Model>> {
    let mut own = hyper.clone();
    let taken = label_loss::KEYS.into_iter().filter_map(|key| own.remove_entry(key)).collect();
    labelled::with_labels(make(&own)?, &read(N::NAME, &taken)?)
}

/// Reads the hyper-parameters of a model that has none of [`LabelKeys`], or whose others these are.
fn parse<T: serde::de::DeserializeOwned>(model: &str, hyper: &toml::Table) -> Result<T> {
    label_loss::refuse(model, hyper)?;
    read(model, hyper)
}

/// Reads settings of a type.
fn read<T: serde::de::DeserializeOwned>(model: &str, hyper: &toml::Table) -> Result<T> {
    hyper.clone().try_into().map_err(|e: toml::de::Error| {
        let reason = keys::in_words(e.message());
        // The reason alone does not say where it lies: the key that is refused by itself does.
        let alone =
            |(key, value): &(&String, &toml::Value)| toml::Table::from_iter([((*key).clone(), (*value).clone())]).try_into::<T>().is_err();
        match hyper.iter().find(alone) {
            Some((key, value)) => Error::usage(format!("{model}: {key}={}: {reason}", value.to_string().trim_matches('"'))),
            None => Error::usage(format!("{model}: {reason}")),
        }
    })
}
