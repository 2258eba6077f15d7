//! The demo's variational autoencoder.

use std::path::Path;

use super::{Lesson, Made, fresh};
use crate::cli::common::Common;
use crate::cli::draw::{self, Order};
use crate::cli::latents;
use crate::cli::output::Output;
use crate::data::{self, OpenOptions, Split};
use crate::error::Result;
use crate::eval::{self, LikelihoodOptions};
use crate::report::{self, Page};
use crate::runtime::{Device, Weights};
use crate::sample::latent;

/// Steps of a way between two digits.
const STEPS: usize = 10;
/// Ways shown.
const WAYS: usize = 4;

/// Trains one and shows what it draws, gives back and finds between digits.
pub fn run(out: &Path, common: &Common, device: &Device, output: &Output, page: &mut Page, made: &mut Made) -> Result<()> {
    output.say("VAE: digits through ten numbers and back");
    let folder = out.join("vae");
    let lesson = Lesson { model: "vae", steps: 1_500, set: &["latent=10", "valid_every=500", "sample_every=500"] };
    let mut trained = fresh(&folder, &lesson, common, device, output)?;
    let dims = trained.recipe.data.dims;
    let seed = common.seed.unwrap_or(1);

    let drawn = out.join("vae-samples.png");
    let images = draw::all(&mut trained, device, &Order::plain(64, seed))?;
    let samples = report::grid(&images, dims, 8);
    report::save_png(&drawn, &samples)?;

    let options = OpenOptions { seed: trained.recipe.seed, ..OpenOptions::default() };
    let test = data::subset(data::open("builtin:digits", Split::Test, &options)?, 500)?;
    let binarization = trained.recipe.data.binarization;
    let scoring = LikelihoodOptions { batch: 100, seed, binarization, weights: Weights::Current, per_pixel: false, steps: None };
    let codes = eval::encode(device, trained.model.as_ref(), &mut trained.state, test, &scoring, true, |_| {})?;
    let kl = codes.kl_by_dimension();
    let back = latents::reconstructions(&mut trained, device, &codes, 16)?;
    let reconstructed = out.join("vae-reconstructions.png");
    report::save_png(&reconstructed, &back)?;

    let code = |i: usize| &codes.mean[i * codes.latent..(i + 1) * codes.latent];
    let at = |step: usize| step as f64 / (STEPS - 1) as f64;
    let along =
        |way: usize| (0..STEPS).flat_map(move |s| latent::between(latent::Path::Spherical, code(2 * way), code(2 * way + 1), at(s)));
    let z: Vec<f32> = (0..WAYS).flat_map(along).collect();
    let between = latent::decode(device, trained.model.as_ref(), &mut trained.state, Weights::Current, &z, (&[], 0))?;
    let ways = report::grid(&between, dims, STEPS);
    let walked = out.join("vae-ways.png");
    report::save_png(&walked, &ways)?;

    page.section("Variational autoencoder");
    page.text(&format!(
        "{} parameters, {} steps. An encoder turns each image into ten numbers, a decoder turns numbers into images; {:.1} nats a digit \
         pass through, over {} of the ten.",
        trained.model.state().parameters(true),
        trained.progress.step,
        kl.iter().sum::<f64>(),
        kl.iter().filter(|k| **k > latents::IN_USE).count(),
    ));
    page.image("New digits, from random numbers", &samples)?;
    page.image("Test digits, and what comes back of them", &back)?;
    page.image("Ways from one test digit to another", &ways)?;
    page.image_link("Training", "vae/curves.png");
    page.code(
        "kiln train vae --data builtin:digits --set latent=10 --steps 1500 --out runs/vae\n\
         kiln sample runs/vae -n 64 --out digits.png\n\
         kiln latents runs/vae --out latents\n\
         kiln interpolate runs/vae --data builtin:digits:test -n 4 --out ways.png",
    );
    made.push(("digits from a latent space".into(), drawn));
    made.push(("digits given back".into(), reconstructed));
    made.push(("ways between digits".into(), walked));
    Ok(())
}
