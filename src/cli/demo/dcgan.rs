//! The DCGAN of the demo.

use std::path::Path;

use super::{Lesson, Made, fresh};
use crate::cli::common::Common;
use crate::cli::output::Output;
use crate::error::Result;
use crate::model::need;
use crate::report::{self, Page};
use crate::runtime::{Device, Weights};
use crate::sample::latent as latents;
use crate::sample::latents as sample_latents;

/// Trains one on drawn digits and shows what it draws.
pub fn run(out: &Path, common: &Common, device: &Device, output: &Output, page: &mut Page, made: &mut Made) -> Result<()> {
    output.say("DCGAN: a generator and a discriminator, on drawn digits");
    let folder = out.join("dcgan");
    let lesson = Lesson { model: "dcgan", steps: 600, set: &["filters=32", "sample_every=150", "ema=0.99"] };
    let mut trained = fresh(&folder, &lesson, common, device, output)?;
    let dims = trained.recipe.data.dims;
    let latent = need::decodes(trained.model.as_ref())?.latent();
    let grid = out.join("dcgan-samples.png");
    let classes = trained.recipe.data.classes;
    let mut decode = |z: &[f32]| {
        let labels = vec![0; z.len() / latent.max(1)];
        latents::decode(device, trained.model.as_ref(), &mut trained.state, Weights::Average, z, (&labels, classes))
    };
    let seed = common.seed.unwrap_or(1);
    let samples = report::grid(&decode(&sample_latents(seed, 0, 64, latent))?, dims, 8);
    report::save_png(&grid, &samples)?;
    // Six ways from one image to another, along the arc between their latents.
    let ends = sample_latents(seed, 100, 12, latent);
    let ways = ends.chunks(2 * latent).flat_map(|pair| {
        let (a, b) = pair.split_at(latent);
        (0..10).flat_map(|i| latents::between(latents::Path::Spherical, a, b, f64::from(i) / 9.0)).collect::<Vec<f32>>()
    });
    let ways: Vec<f32> = ways.collect();
    let strip = report::grid(&decode(&ways)?, dims, 10);
    page.section("DCGAN");
    page.text("A generator that never sees an image learns from a discriminator that tells its images from drawn ones.");
    page.image("New digits", &samples)?;
    page.image("Between digits: latents along an arc", &strip)?;
    page.image_link("Training", "dcgan/curves.png");
    page.code("kiln train dcgan --data builtin:digits --set filters=32 --out runs/gan\nkiln interpolate runs/gan --out ways.png");
    made.push(("digits of a GAN".into(), grid));
    Ok(())
}
