//! Training under launchers: one run by any number of ranks, and ranks that do not agree.

use std::path::Path;

use crate::mpirun::{Ended, Launcher, launchers};

/// A discriminator and a generator, with statistics of batches and averages, in four lanes.
const TRAIN: &str = "train dcgan --data builtin:digits --limit 64 --batch 16 --device cpu -q --set resize=16 --set filters=2 --set latent=4 \
                     --set ema=0.9 --set lanes=4 --set sample_every=0 --set save_every=2";

fn kiln(launcher: &Launcher, folder: &Path, ranks: usize, line: &str) -> Ended {
    launcher.kiln_in(folder, ranks, &line.split_whitespace().collect::<Vec<_>>(), &[])
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn a_run_is_the_same_for_any_number_of_ranks_and_goes_on_with_another() {
    for launcher in launchers() {
        let place = tempfile::tempdir().expect("a folder");
        for (ranks, steps) in [(1, 4), (2, 4), (4, 2)] {
            let ended = kiln(launcher, place.path(), ranks, &format!("{TRAIN} --steps {steps} --out by{ranks}"));
            assert_eq!(ended.code, Some(0), "{launcher:?} {ranks}: {ended:?}");
            assert_eq!(ended.stdout.lines().count(), 1, "one rank speaks: {ended:?}");
        }
        // What four began two end.
        let ended = kiln(launcher, place.path(), 2, "train --resume by4 --steps 4 --device cpu -q");
        assert_eq!(ended.code, Some(0), "{launcher:?}: {ended:?}");
        for name in ["by2", "by4"] {
            let same = read(place.path(), &format!("{name}/checkpoint.safetensors")) == read(place.path(), "by1/checkpoint.safetensors");
            assert!(same, "{launcher:?}: {name}");
        }
        assert!(read(place.path(), "by1/recipe.toml") == read(place.path(), "by2/recipe.toml"), "{launcher:?}");
        let ended = kiln(launcher, place.path(), 4, "train --resume by1 --steps 6 --device cpu -q --set lanes=2");
        assert!(ended.code == Some(2) && ended.stderr.contains("lanes stays as it was"), "{launcher:?}: {ended:?}");
    }
}

#[test]
fn ranks_that_do_not_agree_say_so_and_leave_nothing() {
    let program = env!("CARGO_BIN_EXE_kiln");
    for launcher in launchers() {
        let place = tempfile::tempdir().expect("a folder");
        let said = |ended: &Ended| ended.stderr.lines().filter(|line| line.starts_with("kiln: ")).map(String::from).collect::<Vec<_>>();
        let cases = [
            (format!("{TRAIN} --steps 2 --out run : -n 1 {program} {TRAIN} --steps 3 --out run"), "what is asked of rank 0"),
            // One that ends before it meets the other.
            (format!("{TRAIN} --steps 2 --out run : -n 1 {program} models"), "rank 1: kiln models is done by one process"),
            (format!("{TRAIN} --steps 2 --out run : -n 1 {program} train --nonsense"), "rank 1: unexpected argument"),
        ];
        for (line, wanted) in cases {
            let ended = kiln(launcher, place.path(), 1, &line);
            let said = said(&ended);
            assert!(ended.code == Some(2) && said.len() == 1 && said[0].contains(wanted), "{launcher:?} {line}: {ended:?}");
            assert!(!place.path().join("run").exists(), "{launcher:?} {line}");
        }
        // A run, and two folders of one name with other data.
        let train =
            "train vae --data builtin:digits --limit 64 --batch 16 --steps 1 --device cpu -q --set hidden=8 --set latent=2 --out run";
        assert_eq!(kiln(launcher, place.path(), 1, train).code, Some(0));
        for (folder, seed) in [("here", 1), ("there", 2)] {
            let folder = place.path().join(folder);
            std::fs::create_dir(&folder).expect("a folder");
            let drawn = kiln(launcher, &folder, 1, &format!("sample ../run -n 8 --seed {seed} --out data.npy --device cpu -q"));
            assert_eq!(drawn.code, Some(0), "{launcher:?}: {drawn:?}");
        }
        let run = place.path().join("run");
        let eval = format!("eval {} --data data.npy:all --device cpu", run.display());
        let there = place.path().join("there");
        let ended = kiln(launcher, &place.path().join("here"), 1, &format!("{eval} : -n 1 -wdir {} {program} {eval}", there.display()));
        assert!(ended.code == Some(2) && said(&ended)[0].contains("the data of rank 0"), "{launcher:?}: {ended:?}");
    }
}
