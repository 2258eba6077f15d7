//! Runs: that they repeat, resume and stop as if nothing had happened, and that nothing a user has is damaged when they fail.
//! Everything goes through the real binary, as a user would.

#[path = "support/program.rs"]
mod program;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kiln::runtime::Device;
use kiln::train::{Files, Observer, Order, RunFolder, Trainer, parse_settings};
use kiln::wait::Wait;
use program::{Place, Ran, noise, npy};
use serde_json::Value;

const CHECKPOINT: &str = "run/checkpoint.safetensors";

/// Lines of a run's metrics.
fn metrics(place: &Place, run: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_resumed_run_is_the_run_that_never_stopped() {
    let optimisers = [
        "--set ema=0.9 --set warmup=7",
        "--set optimiser=sgd --set beta1=0.8 --set learning_rate=0.003 --set ema=0.95 --set clip_norm=1",
        "--set optimiser=rmsprop --set rate_decay=0.9 --set binarization=threshold",
    ];
    for settings in optimisers {
        let place = Place::new();
        // Eight steps are an epoch, so that the second part meets a new order and a new binarization.
        place.train("whole", &format!("--steps 11 {settings}")).ok();
        place.train("parts", &format!("--steps 4 {settings}")).ok();
        assert_ne!(place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
        place.kiln("train --resume parts --steps 9 -q").ok();
        place.kiln("train --resume parts --steps 11 -q").ok();
        assert_eq!(place.step("parts/checkpoint.safetensors"), 11);
        let (whole, parts) = (place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
        assert!(whole.keys().any(|k| k.starts_with("ema.")) && whole.keys().any(|k| k.starts_with("optimizer.first.")));
        assert_eq!(whole, parts, "{settings}");
        let steps = |run| metrics(&place, run).iter().filter_map(|m| m["step"].as_u64()).max();
        assert_eq!(steps("parts"), steps("whole"));
    }
}

/// Counts the steps that it hears of, and asks for a stop after some.
struct Counter<'a> {
    steps: usize,
    pictures: usize,
    last: u64,
    stop: &'a AtomicBool,
}

impl Observer for Counter<'_> {
    fn step(&mut self, step: u64) {
        self.steps += 1;
        self.stop.store(step == self.last, Ordering::Relaxed);
    }

    fn drawn(&mut self, _step: u64, items: &[f32]) {
        assert!(items.len() == 16 * 784 && items.iter().all(|v| (0.0..=1.0).contains(v)));
        self.pictures += 1;
    }
}

#[test]
fn a_run_in_memory_is_the_run_on_disk() -> kiln::Result<()> {
    let place = Place::new();
    let keys = "--set blocks=1 --set hidden=4 --set head=4 --set first_kernel=5 --set sample_every=3 --set log_every=1 --set valid_items=8";
    place.kiln(&format!("train pixelcnn --data builtin:digits --limit 64 --out run -q --steps 6 --batch 8 --device cpu {keys}")).ok();
    let settings: Vec<String> = keys.split(" --set ").map(|key| key.trim_start_matches("--set ").to_string()).collect();
    let order = Order {
        model: "pixelcnn".into(),
        source: "builtin:digits".into(),
        seed: 1,
        settings: parse_settings(&settings)?,
        batch: Some(8),
        steps: Some(6),
        limit: Some(64),
        ..Order::default()
    };
    let mut trainer = Trainer::start(&Device::CPU, order.recipe(&Device::CPU)?, RunFolder::in_memory(Files::new())).wait()?;
    let stop = AtomicBool::new(false);
    let mut counter = Counter { steps: 0, pictures: 0, last: 4, stop: &stop };
    let first = trainer.run(&stop, &mut counter).wait()?;
    assert!(first.stopped && first.step == 4 && trainer.folder().saved_step() == Some(4));
    counter.last = 0;
    stop.store(false, Ordering::Relaxed);
    let rest = trainer.run(&stop, &mut counter).wait()?;
    assert!(!rest.stopped && rest.step == 6 && (counter.steps, counter.pictures) == (6, 2));
    // What tells of times is left out, and what only a disk has.
    let files = trainer.folder().files();
    for name in ["recipe.toml", "checkpoint.safetensors", "samples/000003.png", "samples/000006.png"] {
        assert!(files[name] == place.read(&format!("run/{name}")), "{name}");
    }
    assert_eq!(files["metrics.jsonl"].iter().filter(|byte| **byte == b'\n').count(), metrics(&place, "run").len());
    Ok(())
}

#[test]
fn first_weights_are_set_by_the_first_batch_and_never_again() {
    let place = Place::new();
    let sizes = "--set filters=2 --set blocks=1 --set stages=2 --set dropout=0.3 --set accumulate=2 --set log_every=1";
    let train = |out: &str, steps: usize, words: &str| {
        let data = "--data builtin:digits --limit 32 --batch 4 --set binarization=dynamic --set resize=8";
        place.kiln(&format!("train pixelcnn-pp {data} {sizes} --steps {steps} --out {out} {words} -q")).ok();
        place.tensors(&format!("{out}/checkpoint.safetensors"))
    };
    let (first, whole, part) = (train("first", 1, "--set learning_rate=0"), train("whole", 5, ""), train("parts", 2, ""));
    place.kiln("train --resume parts --steps 5 -q").ok();
    assert_ne!(whole, part);
    assert_eq!(whole, place.tensors("parts/checkpoint.safetensors"));
    let numbers = |name: &str| first[name].1.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>();
    let (gains, averages) = (numbers("up_u.0.c1.g"), numbers("ema.up_u.0.c1.g"));
    assert!(gains.iter().all(|gain| *gain != 1.0), "{gains:?}");
    assert!(gains.iter().zip(&averages).all(|(g, a)| (g - a).abs() <= 1e-6 * g.abs()), "{gains:?}, and on average {averages:?}");
    assert_eq!(first, train("again", 1, "--set learning_rate=0"));
    assert_ne!(first, train("other", 1, "--set learning_rate=0 --seed 2"));
    // More items than there are make no batch to start from.
    place
        .kiln(&format!("train pixelcnn-pp --data builtin:digits --limit 3 --batch 4 {sizes} --out none"))
        .refused(2, &["takes 8 items", "has 3"]);
    place.kiln("sample whole -n 2 --out x.png").ok();
}

#[test]
fn metrics_after_a_lost_checkpoint_are_dropped_when_a_run_goes_on() {
    let place = Place::new();
    place.train("run", "--steps 4 --set log_every=1").ok();
    let old = place.read(CHECKPOINT);
    place.kiln("train --resume run --steps 8 -q").ok();
    // As after a power cut between steps 4 and 8.
    place.write(CHECKPOINT, &old);
    place.kiln("train --resume run --steps 6 -q").ok();
    let losses: Vec<u64> = metrics(&place, "run").iter().filter(|m| m["loss"].is_f64()).filter_map(|m| m["step"].as_u64()).collect();
    assert_eq!(losses, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let place = Place::new();
    place.train("a", "--steps 3 --seed 5").ok();
    place.train("b", "--steps 3 --seed 5").ok();
    place.train("c", "--steps 3 --seed 6").ok();
    let [a, b, c] = ["a", "b", "c"].map(|run| place.tensors(&format!("{run}/checkpoint.safetensors")));
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(place.read("a/samples/000003.png"), place.read("b/samples/000003.png"));
    let draw = |run: &str, seed: u32, out: &str| {
        place.kiln(&format!("sample {run} -n 3 --seed {seed} --out {out}")).ok();
        place.array(out)
    };
    assert_eq!(draw("a", 1, "a.npy"), draw("b", 1, "b.npy"));
    assert_ne!(draw("a", 1, "a.npy"), draw("a", 2, "c.npy"));
}

#[test]
fn no_figure_depends_on_the_batch_it_was_measured_in() {
    let place = Place::new();
    place.train("run", "--steps 3").ok();
    let figure = |batch: u32| {
        let mut figure = place.kiln(&format!("eval run --limit 11 --batch {batch} --json")).json();
        let shown = (figure["nats"].as_f64(), figure["standard_error"].as_f64(), figure["bits_per_dim"].as_f64());
        assert_eq!(figure["images"].take(), 11);
        assert_eq!(figure["binarization"].take(), "dynamic");
        shown
    };
    let scores = |batch: u32, more: &str| {
        place.kiln(&format!("score run --limit 11 --batch {batch} --out s.npy {more}")).ok();
        place.array("s.npy")
    };
    let (one, alone, map) = (figure(1), scores(1, ""), scores(1, "--per-pixel"));
    assert!(one.0.is_some_and(|nats| nats > 0.0));
    for batch in [2, 4, 64] {
        assert_eq!(figure(batch), one, "batch {batch}");
        assert_eq!(scores(batch, ""), alone, "batch {batch}");
        assert_eq!(scores(batch, "--per-pixel"), map, "batch {batch}");
    }
    assert_eq!((alone.0, map.0), (vec![11], vec![11, 28, 28, 1]));
    for (image, score) in map.1.chunks(784).zip(&alone.1) {
        let sum: f64 = image.iter().map(|v| f64::from(*v)).sum();
        assert!((sum - f64::from(*score)).abs() < 1e-5 * sum.abs(), "{sum} against {score}");
    }
    let mean = -alone.1.iter().map(|v| f64::from(*v)).sum::<f64>() / 11.0;
    assert!((mean - one.0.unwrap_or_default()).abs() < 1e-4, "{mean} against {one:?}");
}

#[test]
fn the_best_checkpoint_is_that_of_the_least_validation_score() {
    let place = Place::new();
    // So high a rate makes the score rise and fall.
    place.train("run", "--steps 12 --set valid_every=2 --set learning_rate=0.3").ok();
    let scored: Vec<(f64, u64)> = metrics(&place, "run").iter().filter_map(|m| Some((m["valid"].as_f64()?, m["step"].as_u64()?))).collect();
    assert_eq!(scored.iter().map(|s| s.1).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12]);
    let best = scored.iter().min_by(|a, b| a.0.total_cmp(&b.0)).expect("scores").1;
    assert_eq!(place.step("run/best.safetensors"), best);
    let measured = |words: &str| place.kiln(&format!("eval run --data builtin:digits:valid --limit 16 --json {words}")).json();
    let (best_nats, last_nats) = (measured("--best")["nats"].as_f64(), measured("")["nats"].as_f64());
    assert!(best_nats <= last_nats);
    assert_eq!(best_nats, scored.iter().map(|s| s.0).min_by(f64::total_cmp));
}

/// Asserts that every command that reads a run refuses it with the same reason and changes nothing.
fn refused_everywhere(place: &Place, code: i32, words: &[&str]) {
    let before = place.files("run");
    for command in ["eval run", "sample run -n 1 --out x.png", "export run --out x.safetensors", "train --resume run --steps 99 -q"] {
        place.kiln(command).refused(code, words);
        assert_eq!(place.files("run"), before, "{command} changed the run");
    }
    assert!(!place.path("x.png").exists() && !place.path("x.safetensors").exists());
}

#[test]
fn checkpoints_that_are_torn_or_foreign_are_refused_with_their_reason() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    place.kiln("export run --out other.safetensors").ok();
    let whole = place.read(CHECKPOINT);
    let replaced = |from: &str, to: &str| {
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the header");
        let mut bytes = whole.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let mut long = whole.clone();
    long.extend([0; 8]);
    let cases: [(Vec<u8>, &[&str]); 8] = [
        (Vec::new(), &["checkpoint.safetensors", "not a whole kiln checkpoint"]),
        (whole[..7].to_vec(), &["not a whole kiln checkpoint"]),
        (whole[..whole.len() / 2].to_vec(), &["not a whole kiln checkpoint"]),
        (long, &["not a whole kiln checkpoint"]),
        (b"PK\x03\x04 something else entirely, and long enough to be read".to_vec(), &["not a whole kiln checkpoint"]),
        (place.read("other.safetensors"), &["no kiln checkpoint"]),
        (replaced("kiln-2", "kiln-9"), &["kiln-9", "kiln-2", "the kiln that made it"]),
        (replaced("pixelcnn", "pixelrnn"), &["is damaged", "header"]),
    ];
    for (bytes, words) in cases {
        place.write(CHECKPOINT, &bytes);
        refused_everywhere(&place, 1, words);
    }
    std::fs::remove_file(place.path(CHECKPOINT)).expect("removed");
    refused_everywhere(&place, 1, &["run", "no checkpoint"]);
}

#[test]
fn recipes_that_are_torn_or_foreign_are_refused_with_their_reason() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    let whole = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    let cases: [(String, i32, &[&str]); 8] = [
        (String::new(), 1, &["recipe.toml", "not a kiln recipe"]),
        (whole[..whole.len() / 3].to_string() + "\n[", 1, &["recipe.toml"]),
        (whole.replace("format = 2", "format = 9"), 1, &["recipe.toml", "format 9", "the kiln that made it"]),
        ("[package]\nname = \"else\"\n".into(), 1, &["recipe.toml", "not a kiln recipe"]),
        (whole.replace("model = \"pixelcnn\"", "model = \"pixelfoo\""), 2, &["pixelfoo", "pixelcnn"]),
        (whole.replace("hidden = 4", "hidden = 8"), 1, &["checkpoint.safetensors", "other hyper-parameters"]),
        (whole.replace("hidden = 4", "hiden = 4"), 2, &["hiden", "hidden"]),
        (whole.replace("seed = 1", "seed = 1\nsalt = 2"), 1, &["recipe.toml", "salt"]),
    ];
    for (text, code, words) in cases {
        assert_ne!(text, whole, "{words:?}");
        place.write("run/recipe.toml", text.as_bytes());
        refused_everywhere(&place, code, words);
    }
    std::fs::remove_file(place.path("run/recipe.toml")).expect("removed");
    refused_everywhere(&place, 1, &["run", "recipe.toml"]);
    place.kiln("eval nowhere").refused(1, &["nowhere", "no run folder"]);
    place.kiln("train --resume nowhere").refused(1, &["nowhere", "no run folder"]);
    assert!(!place.path("nowhere").exists());
}

/// Runs a command under a shell's resource limits.
#[cfg(unix)]
fn limited(place: &Place, limits: &str, words: &str) -> Ran {
    let inner = place.command(words);
    let mut shell = Command::new("sh");
    shell.current_dir(place.path("")).arg("-c").arg(format!("{limits}; exec \"$@\"")).arg("sh");
    shell.arg(inner.get_program()).args(inner.get_args());
    Ran::of(&shell.output().expect("sh runs"))
}

#[cfg(unix)]
#[test]
fn a_save_that_fails_leaves_the_old_checkpoint_whole() {
    let place = Place::new();
    place.train("run", "--steps 3 --set sample_every=0 --set valid_every=0").ok();
    let before = place.read(CHECKPOINT);
    assert!(before.len() > 4096);
    // No file may grow beyond 4 blocks of 512 (or 1024) bytes: as a full disk, the write of the checkpoint fails in its middle.
    limited(&place, "trap '' XFSZ; ulimit -f 4", "train --resume run --steps 5 -q").refused(1, &["checkpoint.safetensors", "make room"]);
    assert_eq!(place.read(CHECKPOINT), before);
    let half = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "tmp");
    assert!(!place.files("run").keys().any(half), "half a file was left behind");
    // With room again, the run goes on.
    place.kiln("train --resume run --steps 5 -q").ok();
    assert_eq!(place.step(CHECKPOINT), 5);
    let seen = place.files("run");
    limited(&place, "trap '' XFSZ; ulimit -f 4", "export run --out run/weights.safetensors -q").refused(1, &["weights.safetensors"]);
    assert_eq!(place.files("run"), seen);
}

#[cfg(unix)]
#[test]
fn folders_that_cannot_be_written_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("file", b"precious");
    place.train("file", "--steps 1").refused(1, &["file"]);
    place.train("file/run", "--steps 1").refused(1, &["file/run"]);
    assert_eq!(place.read("file"), b"precious");
    std::fs::create_dir(place.path("locked")).expect("a folder");
    std::fs::set_permissions(place.path("locked"), std::fs::Permissions::from_mode(0o555)).expect("permissions");
    // Root writes where it likes.
    if std::fs::write(place.path("locked/probe"), b"").is_err() {
        place.train("locked/run", "--steps 1").refused(1, &["locked/run", "permissions"]);
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_last_good_checkpoint() {
    let place = Place::new();
    let wild = "--set learning_rate=1e30 --steps 60";
    place.train("run", wild).refused(1, &["at step ", "nothing was saved yet", "learning_rate"]);
    assert!(!place.path(CHECKPOINT).exists() && !place.path("run/best.safetensors").exists());
    // Nothing was saved, so the folder is free for another try.
    place.train("run", "--steps 3").ok();
    assert!(metrics(&place, "run").iter().all(|m| m["step"].as_u64() <= Some(3)));
    let good = place.read(CHECKPOINT);
    let recipe = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    let rate = recipe.lines().position(|l| l.starts_with("learning_rate")).expect("a rate");
    let mut lines: Vec<&str> = recipe.lines().collect();
    let end = (rate..).find(|&l| lines[l].ends_with(']')).expect("the end of the rates");
    lines.splice(rate..=end, ["learning_rate = [1e30]"]);
    place.write("run/recipe.toml", (lines.join("\n") + "\n").as_bytes());
    place.kiln("train --resume run --steps 60 -q").refused(1, &["at step ", CHECKPOINT, "of step 3", "learning_rate"]);
    assert_eq!(place.read(CHECKPOINT), good);
    place.kiln("eval run --limit 4").ok();
}

#[test]
fn what_is_no_number_is_never_saved() {
    let place = Place::new();
    place.train("run", "--set learning_rate=1e39 --steps 60 --set save_every=1").refused(2, &["learning_rate"]);
    let ran = place.train("run", "--set learning_rate=1e38 --set optimiser=sgd --steps 60 --set save_every=1 --set valid_every=1");
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for name in ["checkpoint.safetensors", "best.safetensors"] {
        let path = format!("run/{name}");
        if place.path(&path).exists() {
            for (tensor, (_, bytes)) in place.tensors(&path).iter().filter(|(t, _)| !t.starts_with("optimizer.")) {
                let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                assert!(values.all(f32::is_finite), "{name} holds {tensor}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_first_and_the_run_goes_on_from_there() {
    let place = Place::new();
    let words = place.train_words("run", "--steps 1000000 --set log_every=1");
    let mut command = place.command(&words);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let start = Instant::now();
    let logged = || std::fs::read_to_string(place.path("run/metrics.jsonl")).is_ok_and(|text| text.lines().count() >= 5);
    while !logged() {
        assert!(start.elapsed() < Duration::from_secs(120), "no step was taken");
        std::thread::sleep(Duration::from_millis(10));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let ran = Ran::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, Some(130));
    assert!(ran.out.contains("stopped at step") && ran.err.is_empty(), "{}{}", ran.out, ran.err);
    let step = place.step(CHECKPOINT);
    assert!(step >= 5 && ran.out.contains(&step.to_string()), "{}", ran.out);
    let end = step + 3;
    place.kiln(&format!("train --resume run --steps {end} -q")).ok();
    place.train("whole", &format!("--steps {end}")).ok();
    assert_eq!(place.tensors(CHECKPOINT), place.tensors("whole/checkpoint.safetensors"));
}

#[test]
fn a_run_resumes_from_any_folder_and_a_finished_one_says_so() {
    let place = Place::new();
    place.write("data/images.npy", &npy(&[40, 9, 8], &noise(40 * 72, 256)));
    place.train("run", "--data data/images.npy --steps 2").ok();
    std::fs::create_dir(place.path("elsewhere")).expect("a folder");
    let run = place.path("run").display().to_string();
    let words = format!("train --resume {run} --steps 4 -q");
    let output = place.command(&words).current_dir(place.path("elsewhere")).output().expect("the binary runs");
    Ran::of(&output).ok();
    assert_eq!(place.step(CHECKPOINT), 4);
    let before = place.files("run");
    place.kiln("train --resume run -q").refused(2, &["run", "4 of 4 steps", "--steps"]);
    place.kiln("train --resume run --steps 3 -q").refused(2, &["at step 4", "3 are asked for", "--steps"]);
    place.kiln("train --resume run --epochs -1 -q").refused(2, &["--epochs"]);
    place.kiln("train --resume run --seed 9 --steps 8 -q").refused(2, &["seed"]);
    place.kiln("train --resume run --batch 4 -q").refused(2, &["--batch"]);
    std::fs::rename(place.path("data"), place.path("moved")).expect("moved");
    place.kiln("train --resume run --steps 9 -q").refused(2, &["images.npy"]);
    assert_eq!(place.files("run"), before);
}

/// A set of 16 GB is trained on within 3 GB of address space: items are read as they are wanted.
#[cfg(target_os = "linux")]
#[test]
fn data_larger_than_memory_trains() {
    let place = Place::new();
    let count = 20_000_000usize;
    let start = npy(&[count, 28, 28], &[200; 784]);
    place.write("big.npy", &start);
    let file = std::fs::OpenOptions::new().write(true).open(place.path("big.npy")).expect("a file");
    // A file of holes takes no room.
    file.set_len((start.len() + (count - 1) * 784) as u64).expect("a sparse file");
    let words = place.train_words("run", "--data big.npy --steps 2");
    let words = words.replace("-q", "-q --set sample_every=0");
    limited(&place, "ulimit -v 3000000", &words).ok();
    assert_eq!(place.step(CHECKPOINT), 2);
}
