//! The command line: every command once through the real binary, and everything it refuses. (`kiln demo` trains for minutes:
//! tests/demo.rs runs it.)

#[path = "../support/program.rs"]
mod program;

mod archives;
mod bench;
mod caches;
mod classify;
mod compare;
mod complete;
mod conditional;
mod data;
mod dates;
mod denoised;
mod devices;
mod eval;
mod export;
mod features;
mod help;
mod info;
mod latents;
mod limits;
mod mixture;
mod page;
mod paths;
mod quality;
mod restore;
mod sample;
mod score;
mod series;
mod surprise;
mod train;
mod tune;
mod words;

use program::Place;

/// A place with a trained run of built-in digits in `run`.
fn trained() -> Place {
    let place = Place::new();
    place.train("run", "--steps 2 --set ema=0.5").ok();
    place
}

/// A place with a small trained VAE of built-in digits in `vae`.
fn vae() -> Place {
    let place = Place::new();
    let set = "--set form=mlp --set hidden=16 --set latent=3 --set valid_every=0 --set sample_every=0";
    place.kiln(&format!("train vae --data builtin:digits --limit 64 --batch 16 --steps 6 --out vae -q {set}")).ok();
    place
}

/// A place with a small diffusion run of built-in digits in `noise`, trained for so many steps, with further words.
fn denoiser(steps: usize, words: &str) -> Place {
    let place = Place::new();
    let set = "--set preset=tiny --set timesteps=50 --set ema=0 --set valid_every=0 --set sample_every=0";
    place.kiln(&format!("train diffusion --data builtin:digits --limit 64 --batch 8 --steps {steps} --out noise -q {set} {words}")).ok();
    place
}
