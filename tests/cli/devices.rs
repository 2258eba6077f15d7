//! Devices.

use crate::program::Place;
use crate::trained;

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
