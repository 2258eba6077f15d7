//! The command line: every command once through the real binary, and everything it refuses. (`kiln demo` trains for minutes: `.ci/run`
//! runs it.)

#[path = "../support/program.rs"]
mod program;

mod bench;
mod complete;
mod data;
mod devices;
mod eval;
mod export;
mod sample;
mod score;
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
