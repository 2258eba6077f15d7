//! What is kept between runs and spoiled there: compiled kernels, and tunings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln::gpu::Tuning;
use kiln::wait::Wait;

use crate::program::{Place, Ran};
use crate::trained;

fn kiln(place: &Place, words: &str) -> Ran {
    let mut command = place.command(&format!("{words} --device gpu"));
    command.env("KILN_CACHE", place.path("cache")).env_remove("KILN_VARIANT");
    Ran::of(&command.output().expect("kiln runs"))
}

/// A place with a run; `None` where there is no adapter. (Where one is required, a test of devices says so.)
fn with_adapter() -> Option<Place> {
    let place = trained();
    let devices = place.kiln("devices --json").json();
    devices["devices"].as_array().is_some_and(|list| list.len() > 1).then_some(place)
}

fn only_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let [file] = &files.collect::<Vec<_>>()[..] else { panic!("not one file in {}", folder.display()) };
    file.clone()
}

#[test]
fn spoiled_compiled_kernels_are_compiled_again() {
    let Some(place) = with_adapter() else { return };
    let score = "eval run --limit 8 --json -v";
    let first = kiln(&place, score).json();
    if !place.path("cache").exists() {
        return; // This adapter's driver keeps nothing.
    }
    let file = only_file(&place.path("cache"));
    let whole = std::fs::read(&file).expect("a cache");
    assert!(whole.len() > 60, "{} bytes", whole.len());
    assert!(!kiln(&place, score).ok().err.contains("compiled again"));
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    // The driver's own data, which an older kiln kept bare, is among them.
    let bare = whole[49..].to_vec();
    let spoiled =
        [flipped(0), flipped(50), flipped(whole.len() / 2), flipped(whole.len() - 1), whole[..whole.len() / 2].to_vec(), vec![], bare];
    for bytes in spoiled {
        std::fs::write(&file, &bytes).expect("written");
        let ran = kiln(&place, score).ok();
        assert!(ran.err.contains("compiled again"), "{}", ran.err);
        assert_eq!(ran.json(), first);
        assert!(!kiln(&place, score).ok().err.contains("compiled again"), "it was not replaced");
    }
    // Where nothing can be kept, nothing is.
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("a folder");
    assert_eq!(kiln(&place, score).json(), first);
}

#[test]
fn a_spoiled_tuning_is_left_out_and_replaced() {
    let Some(place) = with_adapter() else { return };
    // As a tuning of this adapter would lie there.
    let adapter = kiln::gpu::adapters().wait().swap_remove(0);
    let (name, driver) = (adapter.name, adapter.driver);
    let tuning = Tuning { adapter: name, driver, kernels: kiln::shader::kernels_digest(), variants: BTreeMap::new() };
    let name = tuning.file().expect("a place for caches");
    let file = place.path("cache/tuning").join(name.file_name().expect("a name"));
    tuning.write(&file).expect("written");
    let whole = String::from_utf8(std::fs::read(&file).expect("a tuning")).expect("UTF-8");
    let score = "eval run --limit 8 --json";
    assert!(!kiln(&place, score).ok().err.contains("tuning"));
    let spoiled = [
        whole.as_bytes()[..whole.len() / 2].to_vec(),
        vec![0xff, 0xfe, 0],
        b"another = true".to_vec(),
        whole.replace("adapter = \"", "adapter = \"another ").into_bytes(),
        format!("{}\n[variants]\n\"conv 1\" = \"none such\"\n", whole.replace("[variants]", "")).into_bytes(),
    ];
    for bytes in spoiled {
        std::fs::write(&file, &bytes).expect("written");
        let ran = kiln(&place, score).ok();
        assert!(ran.err.contains("the tuning is not used") && ran.err.contains("kiln tune") && ran.err.lines().count() == 1, "{}", ran.err);
        kiln(&place, "tune --export tuning.toml -q").refused(2, &["kiln tune"]);
        assert!(!place.path("tuning.toml").exists());
    }
    kiln(&place, "tune run --steps 1 --json").json();
    assert!(!kiln(&place, score).ok().err.contains("tuning"));
    kiln(&place, "tune --export tuning.toml -q").ok();
}
