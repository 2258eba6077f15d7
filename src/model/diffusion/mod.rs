//! Diffusion models.

mod block;
mod unet;

pub use unet::{UNet, UNetPreset, UNetSize};
