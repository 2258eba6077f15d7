//! Evaluations, scores and samples shared by ranks: the files and figures of one process, byte for byte.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::mpirun::{Ended, Launcher, launchers};

/// Runs of each way to draw, a classifier and a run of series.
const RUNS: [(&str, &str); 6] = [
    ("pixels", "gated-pixelcnn --set layers=2 --set hidden=4 --set head=4 --set conditional=true"),
    ("plain", "pixelcnn --set blocks=1 --set hidden=4 --set head=4 --set first_kernel=3 --set binarization=dynamic"),
    ("codes", "cvae --set hidden=8 --set latent=2"),
    ("noise", "diffusion --set preset=tiny --set timesteps=20"),
    ("judge", "classifier --set hidden=8 --set binarization=dynamic"),
    ("series", "wavenet --set residual=4 --set skip=4 --set head=4 --set depth=2 --set stacks=1 --set window=16"),
];

/// Commands, and the files that they write.
const COMMANDS: [(&str, &[&str]); 16] = [
    ("eval pixels --limit 21 --json", &[]),
    ("eval judge --limit 21 --json", &[]),
    ("eval codes --limit 21 --batch 8 --set iw=20 --json", &[]),
    ("eval noise --limit 21 --set steps=3 --set terms=terms.csv --json", &["terms.csv"]),
    ("eval noise --limit 5 --set ode=4 --json", &[]),
    ("eval pixels --limit 12 --set quality=true --set samples=13 --set classifier_steps=5 --json", &[]),
    ("score pixels --limit 21 --per-pixel --out map.npy --json", &["map.npy"]),
    ("score codes --limit 21 --set iw=20 --parts parts.csv --out iw.npy --json", &["parts.csv", "iw.npy"]),
    ("score series --per-step --limit 7 --out steps.npy --picture steps.png --json", &["steps.npy", "steps.png"]),
    ("sample pixels -n 21 --temperature 0.8 --log-p log_p.npy --out pixels.npy", &["pixels.npy", "pixels.labels.npy", "log_p.npy"]),
    ("sample codes -n 21 --save-z z.npy --out codes.png", &["codes.png", "z.npy"]),
    ("sample noise -n 5 --steps 3 --out noise.npy", &["noise.npy"]),
    ("sample noise -n 5 --steps 3 --trajectory way.png --out way.npy", &["way.png", "way.npy"]),
    ("sample plain -n 3 --method naive --out naive.png", &["naive.png"]),
    ("sample plain -n 2 --guide judge --class 3 --method importance --draws 6 --out guided.npy", &["guided.npy"]),
    ("sample series -n 3 --out drawn.csv", &["drawn.csv"]),
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with the runs.
fn trained() -> TempDir {
    let place = tempfile::tempdir().expect("a folder");
    for (name, of) in RUNS {
        let data = if name == "series" { "builtin:waves" } else { "builtin:digits --set resize=16" };
        let line = format!("train {of} --data {data} --limit 64 --batch 16 --steps 2 --device cpu --out {name} -q");
        let ended = alone(place.path(), &format!("{line} --set valid_every=0 --set sample_every=0"));
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
    }
    place
}

/// What one process makes of a command.
fn alone(place: &Path, line: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    let output = command.args(words(line)).current_dir(place).env("KILN_CACHE", place.join("cache")).output().expect("kiln");
    Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn together(launcher: &Launcher, place: &Path, ranks: usize, line: &str) -> Ended {
    let cache = place.join("cache");
    launcher.kiln_in(place, ranks, &words(line), &[("KILN_CACHE", &cache.to_string_lossy())])
}

/// The objects that a command prints, without what differs from call to call.
fn objects(ended: &Ended) -> Vec<Value> {
    let mut objects: Vec<Value> = ended.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    objects.iter_mut().filter_map(|object| object.get_mut("judge")).for_each(|judge| judge["reused"] = Value::Null);
    objects
}

#[test]
fn ranks_write_and_tell_what_one_process_does() {
    let launchers = launchers();
    if launchers.is_empty() {
        return;
    }
    let place = trained();
    for (line, files) in COMMANDS {
        let line = format!("{line} --device cpu -q");
        let one = alone(place.path(), &line);
        assert_eq!(one.code, Some(0), "{line}: {one:?}");
        let taken = || -> Vec<Vec<u8>> {
            let take = |name: &&str| {
                let path = place.path().join(name);
                let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{line}: {name}: {e}"));
                std::fs::remove_file(path).expect("removed");
                bytes
            };
            files.iter().map(take).collect()
        };
        let written = taken();
        for (number, launcher) in launchers.iter().enumerate() {
            for ranks in if number == 0 { &[2, 4][..] } else { &[2] } {
                let several = together(launcher, place.path(), *ranks, &line);
                assert_eq!(several.code, Some(0), "{launcher:?} {ranks} {line}: {several:?}");
                assert_eq!(objects(&several), objects(&one), "{launcher:?} {ranks} {line}");
                assert_eq!(several.stdout.lines().count(), one.stdout.lines().count(), "{launcher:?} {ranks} {line}: {several:?}");
                assert!(taken() == written, "{launcher:?} {ranks} {line}: other files");
            }
        }
    }
}

#[test]
fn what_ranks_cannot_do_is_said_once() {
    let launchers = launchers();
    if launchers.is_empty() {
        return;
    }
    let place = trained();
    std::fs::create_dir(place.path().join("mine")).expect("a folder");
    std::fs::write(place.path().join("mine/thesis.txt"), "precious").expect("a file");
    let cases = [
        ("sample pixels -n 4 --temperature 0 --out x.png", "--temperature must be above 0"),
        ("sample pixels -n 4 --out mine", "mine holds thesis.txt"),
        ("sample noise -n 4 --out x.npy --log-p x.csv", "without knowing their log p"),
        ("sample plain -n 4 --guide judge --out x.npy", "--class"),
        ("eval pixels --set colour=1", "takes no setting colour"),
        ("eval pixels --set quality=true --set samples=1", "samples is a number of at least 2"),
        ("eval codes --data nowhere", "nowhere"),
        ("score pixels --out x.txt", ".txt"),
        ("score pixels --out mine/thesis.txt/x.npy --limit 4", "mine/thesis.txt"),
    ];
    let said = |ended: &Ended| ended.stderr.lines().filter(|line| line.starts_with("kiln: ")).map(String::from).collect::<Vec<_>>();
    for (line, wanted) in cases {
        let line = format!("{line} --device cpu -q");
        let one = alone(place.path(), &line);
        assert!(one.code != Some(0) && said(&one).len() == 1 && said(&one)[0].contains(wanted), "{line}: {one:?}");
        for launcher in launchers {
            let ended = together(launcher, place.path(), 2, &line);
            assert_eq!((ended.code, said(&ended)), (one.code, said(&one)), "{launcher:?} {line}: {ended:?}");
        }
    }
    assert_eq!(std::fs::read_to_string(place.path().join("mine/thesis.txt")).expect("kept"), "precious");
}
