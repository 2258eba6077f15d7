//! Devices.

use crate::program::Place;
use crate::trained;
use kiln::wait::Wait;

#[test]
fn devices_are_listed_and_the_cpu_is_always_one() {
    let place = Place::new();
    let list = place.kiln("devices --json").json();
    let names: Vec<&str> = list["devices"].as_array().expect("a list").iter().filter_map(|d| d["name"].as_str()).collect();
    assert!(names.contains(&"cpu"), "{names:?}");
    assert!(list["auto"].as_str().is_some_and(|auto| names.contains(&auto)));
    assert!(place.kiln("devices").ok().out.contains("auto takes"));
}

#[test]
fn devices_that_are_not_there_are_refused_with_those_that_are() {
    let place = Place::new();
    place.kiln("train pixelcnn --data builtin:digits --device nonesuch").refused(2, &["nonesuch", "cpu"]);
}

#[test]
fn devices_have_numbers_that_choose_them() {
    let place = trained();
    let list = place.kiln("devices --json").json()["devices"].as_array().expect("a list").clone();
    let words = place.kiln("devices").ok().out;
    for (number, device) in list.iter().enumerate() {
        assert_eq!(device["index"], number);
        let name = device["name"].as_str().expect("a name");
        assert!(words.contains(&format!("{number:>2}  {name}\n")), "{words}");
        let ran = place.kiln(&format!("train vae --data builtin:digits --limit 64 --batch 8 --steps 1 --out by{number} --set form=mlp --set hidden=8 --set valid_every=0 --set sample_every=0 --device {number}")).ok();
        assert!(ran.err.contains(&format!("device {name}")), "{}", ran.err);
        let recipe = String::from_utf8(place.read(&format!("by{number}/recipe.toml"))).expect("UTF-8");
        assert!(recipe.contains(&format!("device = {:?}", name)), "{recipe}");
    }
    assert!(list.iter().filter(|device| device["auto"] == true).count() == 1);
    let last = list.len() - 1;
    let missing = [list.len().to_string(), "99".into()];
    for number in missing {
        place.kiln(&format!("eval run --device {number}")).refused(2, &[&format!("no device {number}"), &format!("{last} `cpu`")]);
    }
}

/// On an adapter, where there is one (`KILN_REQUIRE_GPU=1`: there must be): the same commands, and the same likelihoods.
#[test]
fn a_gpu_trains_resumes_scores_and_samples() {
    let place = trained();
    let devices = place.kiln("devices --json").json();
    if devices["devices"].as_array().is_some_and(|list| list.len() < 2) {
        assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none_or(|v| v != "1"), "KILN_REQUIRE_GPU is set and there is no adapter");
        return;
    }
    let eval = |device: &str| place.kiln(&format!("eval run --limit 8 --json --device {device}")).json()["nats"].as_f64().expect("nats");
    let (cpu, gpu) = (eval("cpu"), eval("gpu"));
    assert!((cpu - gpu).abs() < 1e-4 * cpu, "{cpu} on the CPU, {gpu} on the GPU");
    place.train("whole", "--steps 3 --device gpu").ok();
    place.train("parts", "--steps 1 --device gpu").ok();
    place.kiln("train --resume parts --steps 3 -q --device gpu").ok();
    assert_eq!(place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
    place.kiln("sample whole -n 2 --out g.npy --device gpu").ok();
    assert!(place.array("g.npy").1.iter().all(|v| *v == 0.0 || *v == 1.0));
}

/// A hidden layer of 200 000 units takes 196 MiB for 256 items: software adapters bind 128.
#[test]
fn what_an_adapter_cannot_hold_at_once_is_done_in_parts() {
    let place = trained();
    if place.kiln("devices --json").json()["devices"].as_array().is_some_and(|list| list.len() < 2) {
        return; // The test above says so where a GPU is required.
    }
    let set = "--set form=mlp --set hidden=200000 --set latent=1 --set sample_every=0 --set valid_every=0";
    place.kiln(&format!("train vae --data builtin:gaussians8 --limit 300 --batch 1 --steps 1 {set} --out wide -q")).ok();
    for device in ["cpu", "gpu"] {
        let kiln = |words: &str| place.kiln(&format!("{words} --device {device}")).ok();
        kiln(&format!("sample wide -n 256 --out drawn-{device}.npy"));
        let data = "--data builtin:gaussians8 --limit 256 --batch 256";
        kiln(&format!("score wide {data} --out score-{device}.npy"));
        kiln(&format!("encode wide {data} --out codes-{device}.npy"));
    }
    let near = |name: &str, a: &[f64], b: &[f64]| {
        assert!(a.len() >= 256 && a.len() == b.len(), "{name}: {} and {}", a.len(), b.len());
        let far = a.iter().zip(b).find(|(a, b)| (**a - **b).abs() > 1e-3 * (1.0 + a.abs()));
        assert!(far.is_none(), "{name}: {far:?}");
    };
    for name in ["score", "drawn", "codes"] {
        let values = |device: &str| place.array(&format!("{name}-{device}.npy")).1.into_iter().map(f64::from).collect::<Vec<_>>();
        near(name, &values("cpu"), &values("gpu"));
    }
}

#[test]
fn models_are_listed_with_what_they_can_do() {
    let place = Place::new();
    let said = place.kiln("models --json").json();
    let models = said["models"].as_array().expect("models");
    let of = |name: &str| models.iter().find(|model| model["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let can = |name: &str, what: &str| of(name)["can"].as_array().expect("abilities").iter().any(|word| word == what);
    assert!(models.iter().all(|model| model["parameters"].as_u64().is_some_and(|n| n > 0)), "{said}");
    assert!(can("pixelcnn", "exact log p") && can("vae", "a bound of log p") && !can("dcgan", "exact log p") && can("dcgan", "sample"));
    assert!(
        can("cvae", "conditional") && can("classifier", "tell labels") && can("diffusion", "complete") && !can("autoencoder", "sample")
    );
    let words = place.kiln("models").ok().out;
    assert_eq!(words.lines().count(), models.len() + 2);
}

#[test]
fn a_misspelt_word_is_answered_with_the_one_that_was_meant() {
    let place = Place::new();
    for (words, meant) in [
        ("train pixlecnn --data builtin:digits --out x", "did you mean pixelcnn?"),
        ("train pixelcnn --data builtin:digits --set hiden=4 --out x", "did you mean hidden?"),
        ("train pixelcnn --data builtin:digits --set lr=1e-3 --out x", "did you mean learning_rate?"),
        ("train pixelcnn --data builtin:digits --lr 1e-3 --out x", "take --set learning_rate="),
    ] {
        place.kiln(words).refused(2, &[meant]);
    }
    assert!(!place.path("x").exists());
}

#[test]
fn a_software_driver_is_told_from_a_gpu() {
    let adapters = kiln::gpu::adapters().wait();
    if adapters.is_empty() || adapters.iter().any(|adapter| !adapter.is_cpu) {
        return;
    }
    let place = trained();
    let said = |words: &str| {
        let output = place.command(&format!("eval run --limit 2 --device gpu {words}")).output().expect("kiln runs");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(said("").contains("is a software driver on the CPU; --device cpu"));
    assert_eq!(said("-q"), "");
}
