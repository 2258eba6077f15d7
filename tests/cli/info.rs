//! `kiln info`, and trainings that begin from a file.

use crate::program::Place;
use crate::trained;

#[test]
fn a_run_is_told_on_one_screen_with_commands_that_run() {
    let place = trained();
    let told = place.kiln("info run").ok().out;
    assert!(told.lines().count() <= 30 && told.lines().all(|line| line.chars().count() <= 110), "{told}");
    for words in ["pixelcnn", "builtin:digits", "to step 2, its last", "ema=0.5", "checkpoint.safetensors", "kiln eval run"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let object = place.kiln("info run --json").ok().json();
    assert_eq!((object["step"].as_u64(), object["model"].as_str()), (Some(2), Some("pixelcnn")));
    let commands: Vec<String> =
        object["commands"].as_array().expect("commands").iter().map(|c| c.as_str().expect("words").into()).collect();
    assert!(commands.len() >= 4);
    for command in commands {
        // Small enough to wait for.
        let small = command.replace("-n 64", "-n 2").replace("-n 8", "-n 2").replace("kiln eval run", "kiln eval run --limit 8");
        place.kiln(&format!("{} --device cpu", small.strip_prefix("kiln ").expect("a command of kiln's"))).ok();
    }
    place.kiln("info nowhere").refused(1, &["nowhere", "no run folder"]);
}

#[test]
fn a_recipe_trains_the_same_again_and_settings_go_before_it() {
    let place = Place::new();
    place.train("run", "--set valid_items=2^3 --steps 3 --seed 5 --set flip=horizontal").ok();
    place.kiln("train --config run/recipe.toml --out again --device cpu").ok();
    assert_eq!(place.read("run/recipe.toml"), place.read("again/recipe.toml"));
    assert_eq!(place.read("run/checkpoint.safetensors"), place.read("again/checkpoint.safetensors"));
    place.kiln("train --config run/recipe.toml --out other --device cpu --set batch=4 --steps 1e0 --seed 6").ok();
    let recipe = String::from_utf8(place.read("other/recipe.toml")).expect("text");
    assert!(recipe.contains("batch = 4") && recipe.contains("steps = 1\n") && recipe.contains("seed = 6"), "{recipe}");
    place.write("few.toml", b"model = \"vae\"\ndata = \"builtin:digits\"\n[set]\nlatent = 3\nsteps = 1\nbatch = 4\n");
    place.kiln("train --config few.toml --out few --device cpu").ok();
    assert!(String::from_utf8(place.read("few/recipe.toml")).expect("text").contains("latent = 3"));
}

#[test]
fn a_file_that_is_no_config_is_refused_by_its_place() {
    let place = Place::new();
    for (text, said) in [
        ("modle = 'vae'", "did you mean model?"),
        ("model = 'vae'\nsteps : 3", "line 2"),
        ("model = 'vae'", "--data"),
        ("seed = 'x'\nmodel = 'vae'", "seed"),
    ] {
        place.write("c.toml", text.as_bytes());
        let ran = place.kiln("train --config c.toml --out run --device cpu");
        assert!(ran.code != Some(0) && ran.err.contains(said), "{text}: {}", ran.err);
    }
    place.kiln("train --config none.toml --out run").refused(1, &["none.toml"]);
    place.kiln("train --config c.toml --resume run").refused(2, &["--resume"]);
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let place = Place::new();
    place.train("run", "--steps 3 --set ema=0.5").ok();
    place.kiln("train --from run --data builtin:digits --limit 32 --steps 0 --out next --device cpu").ok();
    let (first, next) = (place.tensors("run/checkpoint.safetensors"), place.tensors("next/checkpoint.safetensors"));
    // Of a run that keeps averages the averages are taken.
    for (name, tensor) in next.iter().filter(|(name, _)| !name.starts_with("optimizer.")) {
        let own = if name.starts_with("ema.") { name.clone() } else { format!("ema.{name}") };
        assert_eq!(first.get(&own), Some(tensor), "{name}");
    }
    place.kiln("train --from run --steps 2 --out more --seed 4 --set learning_rate=0.0001 --device cpu").ok();
    assert_eq!(place.step("more/checkpoint.safetensors"), 2);
    // It goes on like any run, though what it started from is gone.
    std::fs::remove_dir_all(place.path("run")).expect("removed");
    place.kiln("train --resume more --steps 3 --device cpu").ok();
    place.kiln("train --from more --set hidden=6 --steps 1 --out other --device cpu").refused(2, &["another network", "there and", "keys"]);
    place.kiln("train vae --from more --steps 1 --out other --device cpu").refused(2, &["pixelcnn", "vae"]);
    place.kiln("train --from nowhere --out other --device cpu").refused(1, &["nowhere"]);
}

#[test]
fn what_a_newcomer_met_is_answered() {
    let place = Place::new();
    // Of a file's settings and an argument the argument goes before; of two arguments neither does.
    place.train("run", "--steps 2").ok();
    place.kiln("train --config run --steps 1 --batch 4 --out again --device cpu").ok();
    assert_eq!(place.step("again/checkpoint.safetensors"), 1);
    place.kiln("train --config run --steps 1 --set steps=2 --out other --device cpu").refused(2, &["--steps 1", "steps=2"]);
    // A key is looked at before pictures are.
    place.write("photos/a.png", &crate::program::png(12, 8, 5));
    place.write("photos/b.png", &crate::program::png(8, 8, 5));
    place.kiln("train dcgan --data photos --set sise=32 --out other").refused(2, &["sise", "did you mean size?"]);
    place.kiln("train dcgan --data photos --out other").refused(1, &["8×12", "height × width", "size=HxW"]);
    // Pictures of several sizes are brought to the run's.
    place.kiln("eval run --data photos:all --set binarization=threshold").ok();
    // What a model cannot do is said before its data are looked for.
    place.kiln("train gan --data photos:all --set size=8x8 --set hidden=4 --set judge=4 --steps 1 --batch 2 --out gan").ok();
    place.kiln("encode gan --out z.npy").refused(2, &["encode"]);
    place.kiln("dcgan").refused(2, &["kiln train dcgan"]);
    place.kiln("train dcgan --data photos/a.png photos/b.png").refused(2, &["quotes", "photos/b.png"]);
    place.kiln("train vae --data builtin:digits --set beta=high --out other").refused(2, &["beta", "expected a number"]);
}
