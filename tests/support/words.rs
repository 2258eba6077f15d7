//! Commands of the real binary in words.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::process::{Command, Output};

/// Runs the real binary on the CPU executor in a folder; words are split at spaces.
pub fn kiln(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command
        .current_dir(folder)
        .env("KILN_CACHE", folder.join("cache"))
        .args(words.split_whitespace())
        .args(["--device", "cpu"])
        .output()
        .expect("kiln runs")
}

/// What a command that works answers with `--json`.
pub fn json(folder: &Path, words: &str) -> serde_json::Value {
    let output = kiln(folder, &format!("{words} --json"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kiln {words}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("kiln {words}: {e}: {out}"))
}

/// Asserts that a command is refused with this exit code, in one sentence that names a word.
pub fn refused(folder: &Path, words: &str, code: i32, named: &str) {
    let output = kiln(folder, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "kiln {words}: {said}");
    assert!(said.contains(named) && said.trim_end().lines().count() == 1, "kiln {words}: {said}");
}
