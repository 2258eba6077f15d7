//! Finding one's way: `kiln help`, `kiln models`, and the page that is written from them.

use crate::program::Place;

#[test]
fn help_tells_commands_models_topics_and_keys() {
    let place = Place::new();
    assert_eq!(place.kiln("help").ok().out, place.kiln("--help").ok().out);
    assert_eq!(place.kiln("help sample").ok().out, place.kiln("sample --help").ok().out);
    let told = place.kiln("help wavenet").ok().out;
    for words in ["van den Oord", "dilated causal", "depth = 8", "stacks = 2", "exact log p", "batch="] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(place.kiln("help training").ok().out.contains("clip_norm  (a number, at least 0)"));
    assert!(place.kiln("help data").ok().out.contains("binarization"));
    assert!(place.kiln("help series").ok().out.contains("overlap"));
    let told = place.kiln("help k").ok().out;
    assert!(told.contains("wgan") && told.contains("Discriminator steps a generator step"), "{told}");
    assert!(place.kiln("help iw").ok().out.contains("importance samples"));
    let object = place.kiln("help vae --json").ok().json();
    let keys = object["keys"].as_array().expect("keys");
    let latent = keys.iter().find(|key| key["key"] == "latent").expect("latent");
    assert_eq!((latent["default"].as_str(), object["name"].as_str()), (Some("20"), Some("vae")));
    place.kiln("help learning_rat").refused(2, &["learning_rat", "did you mean learning_rate?"]);
    place.kiln("help transformer").refused(2, &["transformer", "kiln models"]);
    let settings = place.kiln("eval --help").ok().out;
    for key in ["iw=", "quality=", "classifier_steps=", "ode="] {
        assert!(settings.contains(key), "{key}: {settings}");
    }
}

#[test]
fn the_page_of_models_is_what_help_writes() {
    let written = include_str!("../../docs/models.md");
    let now = Place::new().kiln("help --markdown").ok().out;
    assert!(now.trim_end() == written.trim_end(), "docs/models.md is not current: kiln help --markdown > docs/models.md");
    let names = Place::new().kiln("models --json").ok().json();
    let names = names["models"].as_array().expect("models").clone();
    assert!(names.iter().all(|model| written.contains(&format!("\n## {}\n", model["name"].as_str().expect("a name")))));
}

#[test]
fn numbers_outside_of_a_keys_range_are_refused_with_it() {
    let place = Place::new();
    for (model, set, said) in [
        ("wavenet", "depth=17", "wavenet: depth must be at most 16, not 17"),
        ("rnn", "layers=0", "rnn: layers must be at least 1, not 0"),
        ("vae", "beta=-1", "vae: beta must be at least 0, not -1"),
        ("diffusion", "timesteps=1", "diffusion: timesteps must be at least 2, not 1"),
        ("dcgan", "label_smoothing=1", "dcgan: label_smoothing must be below 1, not 1"),
        ("pixelcnn", "blocks=0", "pixelcnn: blocks must be at least 1, not 0"),
        ("pixelcnn-pp", "filters=0", "pixelcnn-pp: filters must be at least 1, not 0"),
        ("classifier", "features=0", "classifier: features must be at least 1, not 0"),
        ("vae", "clip_norm=-1", "clip_norm must be a finite number, not below 0"),
    ] {
        let data = if ["wavenet", "rnn"].contains(&model) { "builtin:waves" } else { "builtin:digits" };
        place.kiln(&format!("train {model} --data {data} --set {set} --out run --device cpu")).refused(2, &[said]);
    }
}

#[test]
fn errors_are_objects_too_where_objects_are_asked_for() {
    let place = Place::new();
    for (command, code, words) in [
        ("eval nowhere --json", 1, "nowhere"),
        ("train vae --data builtin:digits --lr 3 --json", 2, "learning_rate"),
        ("help nothing --json", 2, "nothing"),
    ] {
        let ran = place.kiln(command);
        let object: serde_json::Value = serde_json::from_str(&ran.out).expect("one object");
        assert_eq!((object["exit_code"].as_i64(), ran.code), (Some(code), Some(code as i32)), "{command}");
        assert!(object["error"].as_str().expect("words").contains(words), "{object}");
    }
}

#[test]
fn shells_and_man_pages_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.kiln(&format!("completions {shell}")).ok().out;
        assert!(["train", "interpolate", "labels-per-class"].iter().all(|word| script.contains(word)), "{shell}");
    }
    place.kiln("completions csh").refused(2, &["csh", "bash"]);
    place.kiln("man --out man").ok();
    let pages = place.files("man");
    let train = String::from_utf8(place.read("man/kiln-train.1")).expect("text");
    assert!(pages.len() > 25 && train.contains(".TH") && train.contains("labels") && train.contains("kiln train pixelcnn"), "{train}");
}
