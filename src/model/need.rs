//! How a command asks for what a model can do: the ability, or one sentence that names the models which have it.

use super::ability::{Bounds, Decodes, Denoises, Encodes, Features, Judges, Raster, Represents, Scores};
use super::registry::{Entry, MODELS};
use super::{DataSpec, Model, Shown};
use crate::data::{Binarization, Kind};
use crate::error::{Error, Result};

/// How images are drawn.
pub enum Draws<'a> {
    /// Value by value.
    Raster(&'a dyn Raster),
    /// From latents of the standard normal.
    Latents(&'a dyn Decodes),
    /// By taking noise away.
    Noise(&'a dyn Denoises),
}

impl<'a> Draws<'a> {
    /// How a model draws, if it does.
    pub fn of(model: &'a dyn Model) -> Option<Self> {
        let latents = || model.decodes().filter(|d| d.has_prior()).map(Self::Latents);
        model
            .raster()
            .map(Self::Raster)
            .or_else(latents)
            .or_else(|| model.denoises().filter(|network| network.shown().is_none()).map(Self::Noise))
    }
}

/// −ln p(x), or a bound of it.
///
/// # Errors
/// [`Error::Usage`] where the model has none, as of all functions here.
pub fn scores(model: &dyn Model) -> Result<&dyn Scores> {
    model.scores().ok_or_else(|| lacking(model, "likelihood", |m| m.scores().is_some()))
}

/// −ln p(x|y), or a bound of it.
///
/// # Errors
/// [`Error::Usage`] where the model has none, or was made without labels.
pub fn class_scores(model: &dyn Model) -> Result<&dyn Scores> {
    fn found(model: &dyn Model) -> Option<&dyn Scores> {
        model.scores().filter(|_| model.conditional())
    }
    match found(model) {
        Some(scores) => Ok(scores),
        None if able(|m| found(m).is_some()).contains(&model.name()) => {
            let name = model.name();
            Err(Error::usage(format!("this {name} was trained without labels and has no p(x|y); train one with --set conditional=true")))
        }
        None => Err(lacking(model, "p(x|y) to tell labels by", |m| found(m).is_some())),
    }
}

/// A bound by importance sampling.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn bounds(model: &dyn Model) -> Result<&dyn Bounds> {
    model.bounds().ok_or_else(|| lacking(model, "importance-weighted bound", |m| m.bounds().is_some()))
}

/// Raster order.
///
/// # Errors
/// [`Error::Usage`] where the model is not autoregressive.
pub fn raster(model: &dyn Model) -> Result<&dyn Raster> {
    model.raster().ok_or_else(|| lacking(model, "order to draw pixels in", |m| m.raster().is_some()))
}

/// What is drawn value by value: images, or the colours of given ones.
///
/// # Errors
/// [`Error::Usage`] where the model is not autoregressive.
pub fn in_order(model: &dyn Model) -> Result<&dyn Raster> {
    model.colours().map_or_else(|| raster(model), Ok)
}

/// What a model is given of each image beforehand, where it is: its likelihood is that of the image given that.
pub fn shown(model: &dyn Model) -> Option<Shown> {
    let of_noise = model.denoises().and_then(Denoises::shown);
    of_noise.or_else(|| model.colours().map(|_| Shown::Luma))
}

/// A network that takes noise away.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn denoises(model: &dyn Model) -> Result<&dyn Denoises> {
    model.denoises().ok_or_else(|| lacking(model, "way to take noise away", |m| m.denoises().is_some()))
}

/// A decoder.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn decodes(model: &dyn Model) -> Result<&dyn Decodes> {
    model.decodes().ok_or_else(|| lacking(model, "latent to make images of", |m| m.decodes().is_some()))
}

/// A decoder, and a distribution of its latents.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn prior(model: &dyn Model) -> Result<&dyn Decodes> {
    fn found(model: &dyn Model) -> Option<&dyn Decodes> {
        model.decodes().filter(|d| d.has_prior())
    }
    found(model).ok_or_else(|| lacking(model, "distribution of latents to draw from", |m| found(m).is_some()))
}

/// An encoder.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn encodes(model: &dyn Model) -> Result<&dyn Encodes> {
    model.encodes().ok_or_else(|| lacking(model, "encoder", |m| m.encodes().is_some()))
}

/// Labels told from images.
///
/// # Errors
/// [`Error::Usage`] where the model is no classifier.
pub fn judges(model: &dyn Model) -> Result<&dyn Judges> {
    model.judges().ok_or_else(|| lacking(model, "accuracy", |m| m.judges().is_some()))
}

/// Features of images, learnt without labels.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn represents(model: &dyn Model) -> Result<&dyn Represents> {
    // Encoders of these are taken by other names: they can be trained further.
    let encodes = |m: &dyn Model| m.encodes().is_some() && !m.conditional();
    let can = |m: &dyn Model| m.represents().is_some() || encodes(m);
    model.represents().ok_or_else(|| {
        if able(can).contains(&model.name()) {
            let words = "take a run without labels, of images, and without a task";
            return Error::usage(format!("this {} makes no features of images alone; {words}", model.name()));
        }
        lacking(model, "features learnt of images alone", can)
    })
}

/// Features of images.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn features(model: &dyn Model) -> Result<&dyn Features> {
    model.features().ok_or_else(|| lacking(model, "feature network to compare images by", |m| m.features().is_some()))
}

/// A way to draw images.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn draws(model: &dyn Model) -> Result<Draws<'_>> {
    match Draws::of(model) {
        Some(draws) => Ok(draws),
        None if model.decodes().is_some() => prior(model).map(Draws::Latents),
        None if model.denoises().is_some() => Err(given_alone(model)),
        None => Err(lacking(model, "way to draw images", |m| Draws::of(m).is_some())),
    }
}

/// How the rest of an image is drawn given a part of it.
pub enum Completes<'a> {
    /// Value by value, given what stands before.
    Raster(&'a dyn Raster),
    /// By taking noise away around what is given.
    Noise(&'a dyn Denoises),
    /// By a search for latents whose images agree with what is given.
    Latents(&'a dyn Decodes),
}

impl<'a> Completes<'a> {
    fn of(model: &'a dyn Model) -> Option<Self> {
        let latents = || model.decodes().filter(|d| d.has_prior()).map(Self::Latents);
        model.raster().map(Self::Raster).or_else(|| model.denoises().map(Self::Noise)).or_else(latents)
    }
}

/// A way to complete images.
///
/// # Errors
/// [`Error::Usage`] where the model has none.
pub fn completes(model: &dyn Model) -> Result<Completes<'_>> {
    Completes::of(model).ok_or_else(|| lacking(model, "way to complete images", |m| Completes::of(m).is_some()))
}

/// Models that complete images whatever part of them is given, in words.
pub fn complete_any_part() -> String {
    let searched = able(|m| m.decodes().is_some_and(|d| d.has_prior()));
    format!("{}, or, by a search among latents, {}", able(|m| m.denoises().is_some()).join(" or "), searched.join(", "))
}

/// Models that can do something, as they are by default on plain images or else on series, or with labels: they are asked themselves, so that a
/// sentence cannot grow old.
fn able(can: impl Fn(&dyn Model) -> bool) -> Vec<&'static str> {
    let data = |dims| DataSpec { dims, classes: 10, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
    let plain = [data([32, 32, 1]), data([32, 1, 1])];
    let labelled = toml::Table::from_iter([("conditional".to_string(), true.into())]);
    let can = |Entry { name, make, .. }: &&Entry| {
        let mut made =
            [toml::Table::new(), labelled.clone()].into_iter().flat_map(|hyper| plain.iter().map(move |data| (hyper.clone(), data)));
        made.any(|(hyper, data)| make(name, &hyper, data).is_ok_and(|model| can(model.as_ref())))
    };
    MODELS.iter().filter(can).map(|entry| entry.name).collect()
}

/// That a run was trained for given images.
fn given_alone(model: &dyn Model) -> Error {
    let command = if model.colours().is_some() { "kiln colorize" } else { "kiln colorize or kiln upscale" };
    Error::usage(format!("this {} was trained with a task and draws given images alone; take {command}", model.name()))
}

/// "a dcgan has no likelihood; cvae, diffusion, gated-pixelcnn, pixelcnn, pixelcnn-pp, pixelrnn, rnn, vae and wavenet have one".
fn lacking(model: &dyn Model, what: &str, can: impl Fn(&dyn Model) -> bool) -> Error {
    let name = model.name();
    if model.colours().is_some() {
        return given_alone(model);
    }
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    let able: Vec<&str> = able(can).into_iter().filter(|other| *other != name).collect();
    let others = match able.as_slice() {
        [] => "no model has one by default".to_string(),
        [one] => format!("{one} has one"),
        [most @ .., last] => format!("{} and {last} have one", most.join(", ")),
    };
    Error::usage(format!("{article} {name} has no {what}; {others}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Box<dyn Model> {
        let dims = if ["rnn", "wavenet"].contains(&name) { [16, 1, 1] } else { [16, 16, 1] };
        let data = DataSpec { dims, classes: 3, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
        super::super::build(name, &toml::Table::new(), &data).expect("a model")
    }

    #[test]
    fn what_is_lacking_is_said_with_the_models_that_have_it() {
        let said = |error: Option<Error>| {
            let error = error.expect("a refusal");
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        assert_eq!(
            said(scores(plain("dcgan").as_ref()).err()),
            "a dcgan has no likelihood; cvae, diffusion, gated-pixelcnn, pixelcnn, pixelcnn-pp, pixelrnn, rnn, vae and wavenet have one"
        );
        assert_eq!(said(judges(plain("autoencoder").as_ref()).err()), "an autoencoder has no accuracy; classifier has one");
        let words = said(draws(plain("classifier").as_ref()).err());
        assert!(
            words.starts_with(
                "a classifier has no way to draw images; cvae, dcgan, diffusion, gan, gated-pixelcnn, pixelcnn, pixelcnn-pp, pixelrnn, rnn, vae, wavenet, wgan and"
            ),
            "{words}"
        );
        let words = "an autoencoder has no distribution of latents to draw from; cvae, dcgan, gan, vae, wgan and wgan-gp have one";
        assert_eq!(said(draws(plain("autoencoder").as_ref()).err()), words);
        assert!(raster(plain("pixelcnn").as_ref()).is_ok() && encodes(plain("vae").as_ref()).is_ok());
        let models = "cvae, diffusion, gated-pixelcnn, pixelcnn, pixelcnn-pp, pixelrnn, rnn and wavenet have one";
        assert_eq!(said(class_scores(plain("vae").as_ref()).err()), format!("a vae has no p(x|y) to tell labels by; {models}"));
        assert!(said(class_scores(plain("pixelrnn").as_ref()).err()).contains("trained without labels"));
    }

    #[test]
    fn every_model_is_known_by_its_own_name_and_can_do_something() {
        for name in super::super::names() {
            let model = plain(name);
            assert_eq!(model.name(), name);
            assert!(Draws::of(model.as_ref()).is_some() || model.encodes().is_some() || model.judges().is_some());
        }
    }
}
