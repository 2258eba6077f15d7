//! `kiln tune`.

use crate::program::Ran;
use crate::trained;

#[test]
fn a_tuning_is_kept_exported_recorded_and_refused_elsewhere() {
    let place = trained();
    let devices = place.kiln("devices --json").json();
    if devices["devices"].as_array().is_some_and(|list| list.len() < 2) {
        return; // The test above says so where a GPU is required.
    }
    // A variant forced on the whole suite would stand above any tuning.
    let kiln = |words: &str| {
        let mut command = place.command(words);
        command.env("XDG_CACHE_HOME", place.path("cache")).env_remove("KILN_CACHE").env_remove("KILN_VARIANT");
        Ran::of(&command.output().expect("kiln runs"))
    };
    kiln("tune --device gpu --export early.toml").refused(2, &["kiln tune"]);
    let tuned = kiln("tune run --device gpu --steps 1 --json").json();
    let variants = tuned["variants"].as_object().expect("variants").clone();
    assert!(variants.keys().any(|problem| problem.starts_with("conv_weight ")), "{variants:?}");
    for row in tuned["rows"].as_array().expect("rows") {
        let least = row["measured"].as_object().expect("times").values().filter_map(|s| s.as_f64()).fold(f64::INFINITY, f64::min);
        assert!(least > 0.0 && row["seconds"].as_f64().expect("seconds") <= 1.03 * least, "{row}");
    }
    kiln("tune --device gpu --export tuning.toml -q").ok();
    let text = String::from_utf8(place.read("tuning.toml")).expect("UTF-8");
    place.write("foreign.toml", text.replace("driver = \"", "driver = \"another ").as_bytes());
    kiln("tune --device gpu --import foreign.toml").refused(2, &["driver", "kiln tune"]);
    kiln("tune --device gpu --import tuning.toml -q").ok();
    // What a run computed with is in its recipe.
    kiln(&place.train_words("tuned", "--steps 1 --device gpu")).ok();
    let recipe: toml::Table = toml::from_str(&String::from_utf8(place.read("tuned/recipe.toml")).expect("UTF-8")).expect("TOML");
    let kernels = recipe["kernels"].as_table().expect("kernels");
    for (problem, variant) in kernels {
        assert_eq!(variants.get(problem).and_then(|v| v.as_str()), variant.as_str(), "{problem}");
    }
    assert!(!kernels.is_empty());
}
