//! What the system does not allow: memory and threads.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::program::{Place, Ran};
use crate::trained;

/// A command behind `ulimit`.
fn limited(place: &Place, limit: &str, words: &str) -> Ran {
    let mut command = Command::new("sh");
    let kiln = place.command(words);
    command.current_dir(place.path("")).args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    command.arg(kiln.get_program()).args(kiln.get_args());
    command.envs(kiln.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Ran::of(&command.output().expect("sh runs"))
}

#[test]
fn what_does_not_fit_the_address_space_is_refused_before_anything_is_written() {
    let place = Place::new();
    // A batch that does not fit, and a model that does not.
    let long = "train pixelcnn --data builtin:digits --limit 1024 --batch 512 --set blocks=1 --set hidden=256";
    let wide = "train vae --data builtin:digits --limit 64 --batch 8 --set form=mlp --set hidden=200000";
    for (words, code) in [(long, 1), (wide, 2)] {
        limited(&place, "-v 1048576", &format!("{words} --out run -q")).refused(code, &["GiB", "ulimit -v", "smaller"]);
        assert!(!place.path("run").exists());
    }
}

#[test]
fn a_small_address_space_trains_what_fits() {
    let place = Place::new();
    limited(&place, "-v 1048576", &place.train_words("run", "--steps 2")).ok();
    assert_eq!(place.step("run/checkpoint.safetensors"), 2);
}

#[test]
fn refused_threads_are_fewer_threads_or_a_sentence() {
    let place = trained();
    let eval = "eval run --limit 8 --json";
    let whole = place.kiln(eval).json();
    // A stack that no address space holds.
    let none = place.command(eval).env("RUST_MIN_STACK", (1u64 << 46).to_string()).output().expect("kiln runs");
    Ran::of(&none).refused(1, &["threads", "ulimit -u"]);
    // Stacks of which two fit, where more are wanted.
    let few = limited(&place, "-v 2621440 && export RUST_MIN_STACK=1073741824 RAYON_NUM_THREADS=6", eval);
    assert!(few.err.contains("2 more threads"), "{}", few.err);
    assert_eq!(few.json(), whole);
}
