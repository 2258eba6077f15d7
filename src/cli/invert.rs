//! Images taken back to the noise that they come of.

use std::sync::Arc;

use super::common::Common;
use super::draw::{self, Order};
use super::measured::Measured;
use super::output::Output;
use super::progress::Progress;
use crate::data::{self, Kind};
use crate::error::{Error, Result};
use crate::eval::Codes;
use crate::model::need;
use crate::sample::diffusion::{Course, Drawer, Items, Settings, Solver};
use crate::wait::Wait;

/// Images that are taken back at a time, at most.
const CHUNK: usize = 256;
/// Images drawn again to tell how near they come.
const AGAIN: usize = 8;

/// Refuses settings by which latents alone do not settle an image.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_settled(command: &str, settings: &Settings) -> Result<()> {
    if settings.way.solver == Solver::Ddpm || settings.way.eta > 0.0 {
        return Err(Error::usage(format!(
            "{command} wants images that follow from their latents alone, and ddpm draws fresh noise in each step; take ddim, dpm, heun or euler"
        )));
    }
    Ok(())
}

/// Latents of the data that a command names, one a value of each image, with images in 0..1 (points as they are) and the labels that were told.
///
/// # Errors
/// [`Error::Usage`] where the model takes no noise away, or settings do not lead back; errors of the source and the device.
pub fn codes(measured: &mut Measured, settings: &Settings, common: &Common, output: &Output) -> Result<Codes> {
    measured.refuse_settings("a command that encodes images", "binarization=")?;
    let (weights, source, seed) = (measured.weights(), Arc::clone(&measured.source), common.seed.unwrap_or(measured.trained.recipe.seed));
    let trained = &mut measured.trained;
    let model = trained.model.as_ref();
    let len: usize = need::denoises(model)?.dims().iter().product();
    let most = CHUNK.min(source.len());
    let mut drawer = Drawer::along(Course::Back, &measured.device, (model, &trained.state, weights), settings, most).wait()?;
    let points = source.kind() == Kind::Points;
    let (conditional, scale) = (model.conditional(), model.scale());
    let mut progress = Progress::new(output, trained, source.len(), None);
    let mut codes = Codes { latent: len, ..Codes::default() };
    for part in data::sequential(source, drawer.chunk(), seed, measured.binarization, scale) {
        let part = part?;
        let labels: &[u32] = if conditional { &part.labels } else { &[] };
        let first = codes.mean.len() / len;
        let items = Items { given: &part.values, labels, seed, first, ..Items::default() };
        codes.mean.extend(drawer.go(&mut trained.state, &items, &mut progress).wait()?);
        codes.images.extend(part.values.iter().map(|v| if points { *v } else { (v + 1.0) / 2.0 }));
        codes.labels.extend(&part.labels);
    }
    progress.finish();
    Ok(codes)
}

/// How far the first images are, in the mean of their values, from what is drawn of their latents by the same settings; and how many these are.
///
/// # Errors
/// Errors of the device.
pub fn round_trip(measured: &mut Measured, settings: &Settings, codes: &Codes) -> Result<(f64, usize)> {
    let count = AGAIN.min(codes.mean.len() / codes.latent);
    let order = Order {
        z: Some(codes.mean[..count * codes.latent].to_vec()),
        labels: codes.labels.get(..count).map(<[u32]>::to_vec),
        denoising: Some(*settings),
        ..Order::plain(count, 0)
    };
    let again = draw::all(&mut measured.trained, &measured.device, &order)?;
    let away: f64 = again.iter().zip(&codes.images).map(|(a, b)| f64::from((a - b).abs())).sum();
    Ok((away / again.len() as f64, count))
}
