//! Arguments, help, and what stands in the way.

use crate::program::{Place, Ran};
use crate::trained;

#[test]
fn help_has_an_example_under_each_command() {
    let place = Place::new();
    assert!(place.kiln("--help").ok().out.contains("kiln demo"));
    assert!(place.kiln("--version").ok().out.starts_with("kiln "));
    for command in ["devices", "demo", "train", "eval", "score", "sample", "complete", "export", "bench"] {
        let help = place.kiln(&format!("{command} --help")).ok().out;
        assert!(help.contains(&format!("kiln {command}")) && help.contains("Example"), "{help}");
    }
}

#[test]
fn arguments_that_do_not_parse_are_refused_in_one_sentence() {
    let place = Place::new();
    place.kiln("trian").refused(2, &["trian", "train"]);
    place.kiln("train").refused(2, &["--data"]);
    place.kiln("train pixelcnn").refused(2, &["--data"]);
    place.kiln("train pixelcnn --data builtin:digits --stpes 3").refused(2, &["--stpes", "--steps"]);
    place.kiln("train pixelcnn --data builtin:digits --steps many").refused(2, &["--steps", "many"]);
    place.kiln("train pixelcnn --data builtin:digits --steps 3 --epochs 3").refused(2, &["--steps", "--epochs"]);
    place.kiln("sample run").refused(2, &["--out"]);
    place.kiln("sample run --out x.png --method slow").refused(2, &["slow", "cached", "naive"]);
    place.kiln("bench everything").refused(2, &["everything", "kernels"]);
    place.kiln("bench kernels --device cpu --variant tile").refused(2, &["--variant", "--device"]);
    place.kiln("tune --device cpu").refused(2, &["CPU", "--device"]);
}

#[test]
fn what_stands_in_the_way_is_left_alone() {
    let place = trained();
    let before = place.files("run");
    place.train("run", "--steps 2").refused(2, &["run", "--resume", "--out"]);
    assert_eq!(place.files("run"), before);
    place.write("demo/pixelrnn/thesis.txt", b"precious");
    place.kiln("demo --out demo -q").refused(2, &["pixelrnn", "--out"]);
    assert_eq!(place.read("demo/pixelrnn/thesis.txt"), b"precious");
    place.write("file", b"precious");
    for command in [
        "demo -q --out file",
        "sample run -n 1 --out file/x.png",
        "score run --limit 1 --out file/x.npy",
        "export run --out file/w.safetensors",
    ] {
        place.kiln(command).refused(1, &["file"]);
    }
    assert_eq!(place.read("file"), b"precious");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    let binary = env!("CARGO_BIN_EXE_kiln");
    let shell = format!("{binary} devices --device cpu; echo $? >&2");
    let output = std::process::Command::new("sh").current_dir(place.path("")).args(["-c", &format!("({shell}) | true")]).output();
    let ran = Ran::of(&output.expect("sh runs"));
    assert_eq!(ran.err.trim(), "0", "{}", ran.err);
}
