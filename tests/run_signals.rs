//! Stopping: whatever ends a training, and whatever else fails meanwhile, what was trained is saved. Through the real binary.
#![cfg(unix)]

#[path = "support/program.rs"]
mod program;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use program::{Place, Ran, noise, npy};

const CHECKPOINT: &str = "run/checkpoint.safetensors";
/// A run that nobody waits for.
const LONG: &str = "--steps 1000000 --set log_every=1 --set valid_every=0 --set sample_every=0 --set save_every=1000000";

fn wait_for(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(300), "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a command, and waits until its run has taken some steps.
fn started(place: &Place, words: &str, out: Stdio, err: Stdio) -> Child {
    let child = place.command(words).stdout(out).stderr(err).spawn().expect("the binary runs");
    wait_for("five steps", || std::fs::read_to_string(place.path("run/metrics.jsonl")).is_ok_and(|text| text.lines().count() >= 5));
    child
}

fn kill(child: &Child, signals: &[&str]) {
    for signal in signals {
        assert!(Command::new("kill").args([*signal, &child.id().to_string()]).status().expect("kill").success());
    }
}

fn ended(child: Child) -> Ran {
    Ran::of(&child.wait_with_output().expect("it ends"))
}

/// Asserts that a run was saved after at least `least` steps, can be measured, and goes on; no temporary file and no lock is left.
fn saved(place: &Place, least: u64) {
    let step = place.step(CHECKPOINT);
    assert!(step >= least, "step {step}");
    let left = |path: &std::path::PathBuf| path.ends_with("lock") || path.to_string_lossy().contains(".kiln-");
    assert!(!place.files("run").keys().any(left), "{:?}", place.files("run").keys());
    place.kiln(&format!("train --resume run --steps {} -q", step + 1)).ok();
    assert_eq!(place.step(CHECKPOINT), step + 1);
}

#[test]
fn signals_save_and_several_at_once_are_one() {
    // A closed terminal hangs up twice; `timeout` ends the process and then its group; an impatient finger is no second thought.
    for signals in [["-HUP", "-HUP"], ["-TERM", "-TERM"], ["-INT", "-INT"]] {
        let place = Place::new();
        let child = started(&place, &place.train_words("run", LONG), Stdio::piped(), Stdio::piped());
        kill(&child, &signals);
        let ran = ended(child);
        assert_eq!(ran.code, Some(130), "{signals:?}: {}", ran.err);
        assert!(ran.out.contains("stopped at step") && ran.err.is_empty(), "{signals:?}: {}{}", ran.out, ran.err);
        saved(&place, 5);
    }
}

#[test]
fn a_picture_that_takes_minutes_is_given_up() {
    let place = Place::new();
    // A picture is of many images, a step of one.
    let words = "--set layer=diagonal --set hidden=256 --set head=256 --set layers=4 --set valid_every=0 --set sample_every=1 --steps 9";
    let words = format!("train pixelrnn --data builtin:digits --limit 100 --batch 1 --set log_every=1 {words} --out run");
    let child = place.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    wait_for("a step", || std::fs::read_to_string(place.path("run/metrics.jsonl")).is_ok_and(|text| !text.is_empty()));
    kill(&child, &["-TERM"]);
    let ran = ended(child);
    assert_eq!(ran.code, Some(130), "{}{}", ran.out, ran.err);
    assert!(!place.path("run/samples/000001.png").exists());
    assert!(place.step(CHECKPOINT) >= 1);
}

#[test]
fn a_second_interrupt_hurries_and_leaves_the_last_checkpoint_whole() {
    let place = Place::new();
    // A step of so many passes takes seconds: the first Ctrl-C alone would wait for its end.
    let words = place.train_words("run", "--steps 0 --data builtin:digits --limit 10000 --set accumulate=10000 --batch 1");
    place.kiln(&words.replace("--batch 8 ", "")).ok();
    let before = place.read(CHECKPOINT);
    let mut child =
        place.command("train --resume run --steps 9 -q").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    wait_for("the loop", || std::fs::read_to_string(place.path("run/recipe.toml")).is_ok_and(|text| text.contains("[[history]]")));
    // The recipe is written just before the first step begins, which lasts for seconds.
    std::thread::sleep(Duration::from_millis(400));
    kill(&child, &["-INT"]);
    std::thread::sleep(Duration::from_millis(600));
    assert!(child.try_wait().expect("a status").is_none(), "it did not finish its step");
    kill(&child, &["-INT"]);
    assert_eq!(ended(child).code, Some(130));
    assert_eq!(place.read(CHECKPOINT), before);
    place.kiln("eval run --limit 4").ok();
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_before_the_first_step_saves_too() {
    let place = Place::new();
    let words = place.train_words("run", LONG);
    let child = place.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let status = format!("/proc/{}/status", child.id());
    // As soon as the program listens at all: before it has opened its data.
    let listens = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|l| l.strip_prefix("SigCgt:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask & (1 << 14) != 0)
    };
    wait_for("a program that listens", listens);
    kill(&child, &["-TERM"]);
    let ran = ended(child);
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    saved(&place, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_training_outlives_whoever_listened_to_it() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("/dev/full"));
    let loud = |words: &str| words.replace(" -q", "");
    // Nobody can hear it: the result is missed, and nothing else.
    let place = Place::new();
    let words = loud(&place.train_words("run", "--steps 6 --set save_every=1000"));
    let child = place.command(&words).stdout(full()).stderr(full()).spawn().expect("the binary runs");
    assert_eq!(ended(child).code, Some(1));
    saved(&place, 6);
    // The reader has gone.
    let place = Place::new();
    let words = loud(&place.train_words("run", LONG));
    let mut child = started(&place, &words, Stdio::piped(), Stdio::piped());
    drop((child.stdout.take(), child.stderr.take()));
    kill(&child, &["-HUP", "-HUP"]);
    assert_eq!(ended(child).code, Some(130));
    saved(&place, 5);
    // Both at once.
    let place = Place::new();
    let child = started(&place, &loud(&place.train_words("run", LONG)), full(), full());
    kill(&child, &["-TERM"]);
    assert_eq!(ended(child).code, Some(130));
    saved(&place, 5);
}

#[test]
fn a_picture_that_cannot_be_written_costs_no_step() {
    let place = Place::new();
    place.train("run", "--steps 2 --set save_every=1000 --set sample_every=5").ok();
    std::fs::remove_dir_all(place.path("run/samples")).expect("removed");
    place.write("run/samples", b"in the way");
    place.kiln("train --resume run --steps 9 -q").refused(1, &["run/samples"]);
    assert_eq!(place.step(CHECKPOINT), 5);
    assert_eq!(place.read("run/samples"), b"in the way");
    std::fs::remove_file(place.path("run/samples")).expect("removed");
    saved(&place, 5);
}

#[test]
fn data_that_disappear_cost_no_step() {
    let place = Place::new();
    place.write("data.npy", &npy(&[64, 9, 8], &noise(64 * 72, 256)));
    let words = place.train_words("run", &format!("--data data.npy {LONG}"));
    let child = started(&place, &words, Stdio::piped(), Stdio::piped());
    let file = File::options().write(true).open(place.path("data.npy")).expect("a file");
    file.set_len(200).expect("cut");
    ended(child).refused(1, &["data.npy"]);
    place.write("data.npy", &npy(&[64, 9, 8], &noise(64 * 72, 256)));
    saved(&place, 5);
}

#[test]
fn a_limit_on_file_sizes_is_a_sentence_and_leaves_nothing_behind() {
    let place = Place::new();
    place.train("run", "--steps 3 --set sample_every=0 --set valid_every=0").ok();
    let before = place.files("run");
    for words in ["train --resume run --steps 5 -q", "export run --out run/w.safetensors", "sample run -n 64 --out big.npy"] {
        let inner = place.command(words);
        let mut shell = Command::new("sh");
        shell.current_dir(place.path("")).arg("-c").arg("ulimit -f 4; exec \"$@\"").arg("sh");
        shell.arg(inner.get_program()).args(inner.get_args());
        Ran::of(&shell.output().expect("sh runs")).refused(1, &["make room"]);
        assert!(!place.path("big.npy").exists());
        let after = place.files("run");
        assert!(before.keys().eq(after.keys()), "{words}: {:?}", after.keys());
        assert_eq!(place.read(CHECKPOINT), before[&place.path(CHECKPOINT)], "{words}");
    }
    saved(&place, 3);
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_again() {
    let place = Place::new();
    let words = place.train_words("run", &LONG.replace("valid_every=0", "valid_every=1"));
    let child = started(&place, &words, Stdio::null(), Stdio::null());
    wait_for("the best so far", || place.path("run/best.safetensors").exists());
    kill(&child, &["-KILL"]);
    ended(child);
    assert!(!place.path(CHECKPOINT).exists());
    place.write("run/.kiln-aB3.tmp", b"half a file");
    place.kiln("train --resume run -q").refused(1, &["no checkpoint", "start it again"]);
    place.train("run", "--steps 3").ok();
    place.train("fresh", "--steps 3").ok();
    // Times, and the folder's name, stand in these and nowhere else.
    let told = ["metrics.jsonl", "events.out.tfevents.kiln", "index.html"];
    let kept = |run: &str| -> Vec<_> {
        let folder = place.path(run);
        let named = |(path, bytes): (std::path::PathBuf, Vec<u8>)| (path.strip_prefix(&folder).expect("inside").to_path_buf(), bytes);
        place.files(run).into_iter().map(named).filter(|(name, _)| !told.iter().any(|t| name.ends_with(t))).collect()
    };
    let differ: Vec<_> = kept("run").into_iter().zip(kept("fresh")).filter(|(a, b)| a != b).map(|(a, b)| (a.0, b.0)).collect();
    assert!(differ.is_empty() && kept("run").len() == kept("fresh").len(), "{differ:?}");
}

#[test]
fn a_second_run_in_a_folder_is_refused_and_a_dead_one_is_not_in_the_way() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    let child = started(&place, &format!("train --resume run -q {LONG}"), Stdio::null(), Stdio::null());
    let pid = child.id().to_string();
    place.kiln("train --resume run --steps 1000001 -q").refused(2, &["run", "is being trained by process", &pid, " on "]);
    place.train("run", "--steps 3").refused(2, &["run"]);
    // Those who only read are not kept out.
    place.kiln("eval run --limit 4").ok();
    kill(&child, &["-KILL"]);
    ended(child);
    assert!(place.path("run/lock").exists());
    place.kiln("train --resume run --steps 3 -q").ok();
    assert!(!place.path("run/lock").exists());
}
