//! The real binary, run in a folder of its own, and files of every form it reads.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::Value;

/// Settings of a network that trains in no time.
pub const SMALL: [&str; 5] = ["blocks=1", "hidden=4", "head=4", "first_kernel=5", "valid_items=16"];

/// A folder that is the working directory of every command, and gone afterwards.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a command did.
pub struct Ran {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its results.
    pub out: String,
    /// Its other words.
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        // Which adapter a test meets is the machine's doing: what is said of a software driver is no part of what a command says.
        let own = |words: String| words.split_inclusive('\n').filter(|line| !line.contains(" is a software driver ")).collect::<String>();
        Self { code: output.status.code(), out: text(&output.stdout), err: own(text(&output.stderr)) }
    }

    /// Asserts that it worked.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Asserts that it worked and that its results hold some words.
    pub fn says(self, words: &str) {
        let ran = self.ok();
        assert!(ran.out.contains(words), "no `{words}` in: {}", ran.out);
    }

    /// Asserts that stdout is one JSON object, and returns it.
    pub fn json(self) -> Value {
        let ran = self.ok();
        let value: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
        assert!(value.is_object() && ran.out.trim_end().lines().count() == 1, "{}", ran.out);
        value
    }

    /// Asserts a refusal: the exit code, nothing on stdout (with --json the same sentence), one sentence on stderr that holds each of `words`,
    /// and no panic.
    pub fn refused(self, code: i32, words: &[&str]) {
        let said = self.err.trim_end();
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {said}", self.out);
        let object: Option<Value> = serde_json::from_str(&self.out).ok();
        let told =
            object.is_some_and(|object| object["exit_code"] == code && said.ends_with(object["error"].as_str().unwrap_or("nothing")));
        assert!(self.out.is_empty() || told, "stdout: {}", self.out);
        assert!(said.starts_with("kiln: ") && said.lines().count() == 1 && said.len() > 20, "{said}");
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` in: {said}");
        }
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of the real binary on the CPU executor, not yet run; words are split at spaces.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.folder.path()).args(words.split_whitespace()).env("RUST_BACKTRACE", "1");
        if !words.contains("--device") {
            // What is made for an adapter may well be reused; what is made of data belongs to the test.
            command.args(["--device", "cpu"]).env("KILN_CACHE", self.path("cache"));
        }
        command
    }

    pub fn kiln(&self, words: &str) -> Ran {
        Ran::of(&self.command(words).output().expect("the binary runs"))
    }

    /// Trains a small PixelCNN quietly on built-in digits, with further words.
    pub fn train(&self, out: &str, words: &str) -> Ran {
        self.kiln(&self.train_words(out, words))
    }

    pub fn train_words(&self, out: &str, words: &str) -> String {
        let data = if words.contains("--data") { "" } else { "--data builtin:digits --limit 64" };
        let set: String = SMALL.iter().map(|s| format!(" --set {s}")).collect();
        format!("train pixelcnn {data} --out {out} -q --batch 8{set} {words}")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, bytes).expect("written");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Every file below a folder with its bytes.
    pub fn files(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(path).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.insert(path.clone(), std::fs::read(&path).expect("a file"));
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.path(name), &mut files);
        files
    }

    /// Tensors of a safetensors file: name to shape and bytes.
    pub fn tensors(&self, name: &str) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
        let bytes = self.read(name);
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec()))).collect()
    }

    /// The step that a checkpoint says it is of.
    pub fn step(&self, name: &str) -> u64 {
        let bytes = self.read(name);
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        header.metadata().as_ref().expect("metadata")["step"].parse().expect("a step")
    }

    /// Values of a `float64` array.
    pub fn doubles(&self, name: &str) -> Vec<f64> {
        npyz::NpyFile::new(&self.read(name)[..]).expect("npy").into_vec().expect("float64")
    }

    /// Shape and values of a `float32` array.
    pub fn array(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let bytes = self.read(name);
        let array = npyz::NpyFile::new(&bytes[..]).expect("npy");
        (array.shape().iter().map(|&s| s as usize).collect(), array.into_vec().expect("float32"))
    }
}

/// A `.npy` file of bytes.
pub fn npy(shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|s| format!("{s}, ")).collect();
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sizes})}}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(bytes);
    file
}

/// An IDX file of bytes.
pub fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|s| file.extend(s.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Pseudo-random bytes below `top`.
pub fn noise(count: usize, top: u32) -> Vec<u8> {
    let mut draws = kiln::random::Draws::new(77, top, 0);
    (0..count).map(|_| draws.below(top as usize) as u8).collect()
}

/// A grey PNG.
pub fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_fn(width, height, |x, y| image::Luma([shade.wrapping_add((x * 31 + y * 17) as u8)]));
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}
