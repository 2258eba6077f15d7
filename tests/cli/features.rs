//! A classifier upon what runs of other families learnt without labels.

use crate::program::Place;

const QUICK: &str = "--data builtin:digits --limit 64 --batch 8 -q --set valid_every=0 --set sample_every=0";

/// A place with a run in `run`.
fn run(words: &str) -> Place {
    let place = Place::new();
    place.kiln(&format!("train {words} {QUICK} --steps 2 --out run")).ok();
    place
}

#[test]
fn every_family_lends_the_features_it_has_learnt() {
    for (words, averaged) in [
        ("pixelcnn --set blocks=2 --set hidden=4 --set head=4 --set first_kernel=3 --set levels=8", false),
        ("gated-pixelcnn --set layers=2 --set hidden=4 --set head=4 --set scales=2 --set binarization=threshold", false),
        ("pixelrnn --set layers=2 --set hidden=4 --set head=4 --set binarization=dynamic --set ema=0.5", true),
        ("pixelcnn-pp --set stages=2 --set blocks=1 --set filters=4", true),
        ("diffusion --set preset=tiny --set timesteps=50", true),
        ("diffusion --set preset=tiny --set noise=edm --set conditional=true --set ema=0", false),
        ("dcgan --set filters=4 --set latent=4", false),
        ("gan --set hidden=8 --set judge=8 --set latent=4", false),
    ] {
        let place = run(words);
        let said = place.kiln(&format!("train classifier {QUICK} --encoder run --steps 3 --labels-per-class 2 --out top --json")).json();
        assert!(said["metrics"]["accuracy"].is_number(), "{words}: {said}");
        let recipe = std::fs::read_to_string(place.path("top/recipe.toml")).expect("a recipe");
        let name = words.split(' ').next().expect("a name");
        assert!(
            recipe.contains("[hyper.body]") && recipe.contains(&format!("model = \"{name}\"")) && recipe.contains("frozen = true"),
            "{recipe}"
        );
        let (own, lent) = (place.tensors("run/checkpoint.safetensors"), place.tensors("top/checkpoint.safetensors"));
        let prefix = if averaged { "ema." } else { "" };
        let kept = own.iter().filter(|(name, _)| lent.contains_key(&format!("encoder.{name}")));
        let mut compared = 0;
        for (name, _) in kept {
            let from = own.get(&format!("{prefix}{name}")).or(own.get(name)).expect("a tensor");
            assert_eq!(&lent[&format!("encoder.{name}")], from, "{words}: {name}");
            compared += 1;
        }
        assert!(compared > 4, "{words}: {compared} tensors are the run's");
        // The other run is not needed any longer, and what is left goes on and is measured.
        std::fs::remove_dir_all(place.path("run")).expect("gone");
        place.kiln("train --resume top --steps 4 -q").ok();
        let accuracy = place.kiln("eval top --data builtin:digits:test --limit 40 --json").json()["accuracy"].as_f64();
        assert!(accuracy.is_some_and(|share| (0.0..=1.0).contains(&share)), "{words}");
    }
}

#[test]
fn what_cannot_be_lent_is_refused() {
    let place = run("pixelcnn --set blocks=1 --set hidden=4 --set head=4 --set first_kernel=3");
    let top = |words: &str| place.kiln(&format!("train classifier {QUICK} --steps 2 --out no {words}"));
    top("--encoder run --set frozen=false").refused(2, &["frozen=true"]);
    let said = place.kiln(&format!("train classifier {} --steps 1 --encoder run --out top", QUICK.replace("-q ", "")));
    assert!(said.err.contains("features of run: a layer in the middle of the network"), "{}", said.err);
    top("--encoder run --set form=mlp").refused(2, &["form", "pixelcnn", "leave it out"]);
    top("--encoder run --set binarization=none").refused(2, &["pixelcnn", "bits", "grey"]);
    top("--encoder run --set noised=true").refused(2, &["noised=true", "frozen=true"]);
    let others = [
        ("cvae --set hidden=8 --set latent=2", "a cvae has no features learnt of images alone; autoencoder, "),
        (
            "pixelcnn --set blocks=1 --set hidden=4 --set head=4 --set first_kernel=3 --set conditional=true",
            "this pixelcnn makes no features",
        ),
        ("gan --set hidden=8 --set judge=8 --set conditional=true", "this gan makes no features"),
        ("diffusion --set preset=tiny --set task=upscale", "this diffusion makes no features"),
    ];
    for (words, reason) in others {
        let place = run(words);
        place.kiln(&format!("train classifier {QUICK} --steps 2 --encoder run --out no")).refused(2, &["run: ", reason]);
    }
    assert!(!place.path("no").exists());
}
