//! Run folders whose files were spoiled: a recipe is a model or a sentence, a checkpoint is the one that was written or a sentence. Never
//! a panic, never memory that only a number in the file asked for. Few inputs in the tests, as many as `scripts/fuzz` asks for.

#[path = "support/program.rs"]
mod program;
#[path = "fuzz/series.rs"]
mod series;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;

use kiln::model::{self, Model};
use kiln::runtime::{Device, State};
use kiln::train::checkpoint::{self, Progress, Snapshot};
use kiln::train::{Recipe, RunFolder};
use kiln::wait::Wait;
use program::{Place, idx, noise};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sha2::{Digest, Sha256};

/// Most bytes that reading a small file may ask for at once.
const SMALL: usize = 16 << 20;

thread_local! {
    /// The largest request of this thread since it was last set to 0.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which remembers the largest request of each thread.
struct Watched;

fn note(bytes: usize) {
    // No destructor and no lazy value: it can be reached as long as the thread runs.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call goes to the system's allocator as it is, and `note` neither allocates nor unwinds.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static WATCHED: Watched = Watched;

/// What `f` returns, and the largest piece of memory that it asked for at once.
fn watched<T>(f: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let made = f();
    (made, LARGEST.get())
}

fn inputs() -> ProptestConfig {
    let cases = std::env::var("KILN_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

/// What a tiny run of each model is trained with.
const RUNS: [(&str, &str); 15] = [
    ("autoencoder", "--set form=mlp --set hidden=4 --set latent=2"),
    ("classifier", "--set form=mlp --set hidden=4 --set shift=1"),
    ("cvae", "--set form=mlp --set hidden=4 --set latent=2 --set binarization=dynamic"),
    ("dcgan", "--set filters=2 --set latent=3 --set clip_norm=1"),
    (
        "diffusion",
        "--set filters=4 --set multipliers=[1,1] --set blocks=1 --set heads=1 --set variance=learnt --set importance=true --set timesteps=9",
    ),
    ("gan", "--set form=mlp --set hidden=4 --set judge=4 --set latent=3 --set flip=horizontal"),
    ("gated-pixelcnn", "--set hidden=4 --set layers=2 --set head=4 --set dilations=[1,2]"),
    ("pixelcnn", "--set blocks=1 --set hidden=4 --set head=4"),
    ("pixelcnn-pp", "--set blocks=1 --set stages=2 --set filters=2 --set dropout=0.2 --set binarization=dynamic"),
    ("pixelrnn", "--set layers=1 --set hidden=4 --set head=4 --set schedule=cosine"),
    ("rnn", "--data builtin:waves --limit 9 --set window=12 --set levels=8 --set hidden=4 --set layers=2"),
    ("vae", "--set form=conv --set filters=2 --set latent=2 --set accumulate=2"),
    ("wavenet", "--data builtin:cartpole --limit 9 --set window=6 --set levels=4 --set residual=6 --set skip=6 --set head=6 --set depth=2"),
    ("wgan", "--set form=mlp --set hidden=4 --set judge=4 --set latent=3"),
    ("wgan-gp", "--set form=mlp --set hidden=4 --set judge=4 --set latent=3"),
];

/// Runs of the real program, made once.
fn runs() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Place::new();
        place.write("d/train-images-idx3-ubyte", &idx(&[40, 16, 16], &noise(40 * 256, 256)));
        place.write("d/train-labels-idx1-ubyte", &idx(&[40], &(0..40).map(|n| n % 2).collect::<Vec<u8>>()));
        for (name, words) in RUNS {
            let data = if words.contains("--data") { "" } else { "--data d" };
            place.kiln(&format!("train {name} {data} {words} --batch 2 --steps 1 --set sample_every=0 --out {name} -q")).ok();
        }
        place
    })
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Byte(Index, u8),
    Value(Index, &'static str),
    Drop(Index),
    Twice(Index),
    Swap(Index, Index),
    Cut(Index),
}

/// What a value is replaced with.
const VALUES: [&str; 26] = [
    "-1",
    "0",
    "1",
    "2",
    "3",
    "7",
    "255",
    "1048577",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "0.5",
    "-0.0",
    "1e300",
    "1e-300",
    "nan",
    "inf",
    "true",
    "''",
    "'none'",
    "'é\\n'",
    "[]",
    "[0, 0, 0]",
    "[4294967296, 4294967296, 3]",
    "{ a = 1 }",
];

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        2 => (at(), select(b"0123456789.-\"'[]{}=\n".to_vec())).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        8 => (at(), select(VALUES.to_vec())).prop_map(|(at, value)| Edit::Value(at, value)),
        1 => at().prop_map(Edit::Drop),
        1 => at().prop_map(Edit::Twice),
        1 => (at(), at()).prop_map(|(a, b)| Edit::Swap(a, b)),
        1 => at().prop_map(Edit::Cut),
    ]
}

fn edited(text: &[u8], edit: &Edit) -> Vec<u8> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<Vec<u8>> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    match edit {
        Edit::Byte(at, byte) => {
            let mut bytes = text.to_vec();
            bytes[at.index(text.len())] = *byte;
            return bytes;
        }
        Edit::Cut(at) => return text[..at.index(text.len())].to_vec(),
        Edit::Value(at, value) => {
            let keys: Vec<usize> = (0..lines.len()).filter(|&line| lines[line].contains(&b'=')).collect();
            if keys.is_empty() {
                return text.to_vec();
            }
            let line = &mut lines[keys[at.index(keys.len())]];
            let equals = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
            line.truncate(equals);
            line.extend(format!("= {value}").bytes());
        }
        Edit::Drop(at) => drop(lines.remove(at.index(lines.len()))),
        Edit::Twice(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
        }
        Edit::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
    }
    lines.join(&b'\n')
}

/// A run's recipe as kiln wrote it, with every key on a line of its own.
fn recipe(name: &str) -> Vec<u8> {
    let text = String::from_utf8(runs().read(&format!("{name}/recipe.toml"))).expect("UTF-8");
    let table: toml::Table = toml::from_str(&text).expect("TOML");
    toml::to_string(&table).expect("TOML").into_bytes()
}

/// Opens a run folder and makes its model, as every command does.
fn opened(folder: &Path) -> kiln::Result<(Recipe, Box<dyn Model>)> {
    let (_, recipe) = RunFolder::open(folder)?;
    let model = model::build(&recipe.model, &recipe.hyper, &recipe.data.spec())?;
    // What any command reads of them before it allocates.
    let _ = (recipe.fixed(), recipe.on(&Device::CPU), recipe.train.items(model.batches()));
    let _ = (recipe.train.state(model.state()), recipe.train.rates(1), recipe.train.rates(recipe.train.steps));
    Ok((recipe, model))
}

fn is_sentence(said: &str) -> bool {
    !said.trim().is_empty() && said.lines().count() == 1
}

proptest! {
    #![proptest_config(inputs())]

    #[test]
    fn mutated_recipes_never_panic((name, _) in select(RUNS.to_vec()), edits in prop::collection::vec(edit(), 1..4)) {
        let text = edits.iter().fold(recipe(name), |text, change| edited(&text, change));
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("recipe.toml"), &text).expect("written");
        let (made, largest) = watched(|| opened(folder.path()));
        match made {
            Ok((_, model)) => {
                // A mask or a mean beside each weight, in numbers of 8 bytes at most, twice while it grows.
                let allowed = SMALL + 16 * model.state().elements();
                prop_assert!(largest <= allowed, "{} bytes for {} weights", largest, model.state().elements());
            }
            Err(error) => {
                prop_assert!(is_sentence(&error.to_string()), "{}", error);
                prop_assert!(largest <= SMALL, "{} bytes before {}", largest, error);
            }
        }
    }
}

/// A run's recipe, an empty state of its model, and its checkpoint.
struct Run {
    recipe: Recipe,
    model: Box<dyn Model>,
    bytes: Vec<u8>,
}

impl Run {
    fn new() -> Self {
        let (recipe, model) = opened(&runs().path("autoencoder")).expect("a run");
        Self { recipe, model, bytes: runs().read("autoencoder/checkpoint.safetensors") }
    }

    fn load(&self, path: &Path) -> kiln::Result<(State, Progress)> {
        let mut state = State::initial(&Device::CPU, &self.recipe.train.state(self.model.state()).0, 99)?;
        let progress = checkpoint::load((path, &std::fs::read(path).expect("read")), &mut state, &self.recipe)?;
        Ok((state, progress))
    }

    /// What spoiled bytes are read as: a sentence, or the bytes that what was loaded makes when it is saved again.
    fn again(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint.safetensors");
        std::fs::write(&path, bytes).expect("written");
        let (loaded, largest) = watched(|| self.load(&path));
        assert!(largest <= SMALL, "{largest} bytes at once");
        let (state, progress) = loaded.map_err(|error| error.to_string())?;
        Snapshot::take(&state).wait().and_then(|whole| whole.encode(&path, &progress, &self.recipe)?.write(&path)).expect("saved");
        Ok(std::fs::read(&path).expect("read"))
    }
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(Run::new)
}

/// One change of a file: bytes set, a bit flipped, a piece copied over another, an end cut off or added.
#[derive(Clone, Debug)]
enum Spoil {
    Set(Index, u8),
    Flip(Index, u8),
    Copy(Index, Index, usize),
    Length(u64),
    Cut(Index),
    Tail(Vec<u8>),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Spoil::Set(at, byte)),
        3 => (at(), 0..8u8).prop_map(|(at, bit)| Spoil::Flip(at, bit)),
        2 => (at(), at(), 1..64usize).prop_map(|(from, to, bytes)| Spoil::Copy(from, to, bytes)),
        1 => prop_oneof![any::<u64>(), 0..20_000u64].prop_map(Spoil::Length),
        1 => at().prop_map(Spoil::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..9).prop_map(Spoil::Tail),
    ]
}

fn spoiled(bytes: &mut Vec<u8>, spoil: &Spoil) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match spoil {
        Spoil::Set(at, byte) => bytes[at.index(len)] = *byte,
        Spoil::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Spoil::Copy(from, to, count) => {
            let (from, to) = (from.index(len), to.index(len));
            let count = (*count).min(len - from).min(len - to);
            bytes.copy_within(from..from + count, to);
        }
        Spoil::Length(length) if len >= 8 => bytes[..8].copy_from_slice(&length.to_le_bytes()),
        Spoil::Length(_) => {}
        Spoil::Cut(at) => bytes.truncate(at.index(len)),
        Spoil::Tail(tail) => bytes.extend(tail),
    }
}

/// The header's text replaced, with the digest that belongs to it: what a program that knows the digests could write.
fn sealed(header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    let mark = b"\"digest\":\"";
    if let Some(at) = header.windows(mark.len()).position(|w| w == mark).map(|at| at + mark.len()).filter(|at| at + 64 <= header.len()) {
        header[at..at + 64].fill(b'0');
        let digest: String = Sha256::digest(&header).iter().map(|byte| format!("{byte:02x}")).collect();
        header[at..at + 64].copy_from_slice(digest.as_bytes());
    }
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

proptest! {
    #![proptest_config(inputs())]

    #[test]
    fn mutated_checkpoints_are_refused_or_unchanged(spoils in prop::collection::vec(spoil(), 1..4)) {
        let whole = &run().bytes;
        let mut bytes = whole.clone();
        spoils.iter().for_each(|change| spoiled(&mut bytes, change));
        match run().again(&bytes) {
            Ok(again) => prop_assert!(again == *whole, "a changed file was taken for another checkpoint"),
            Err(said) => prop_assert!(is_sentence(&said), "{}", said),
        }
    }

    #[test]
    fn mutated_headers_with_a_right_digest_never_panic(spoils in prop::collection::vec(spoil(), 1..4)) {
        let whole = &run().bytes;
        let length = u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
        let mut header = whole[8..8 + length].to_vec();
        spoils.iter().filter(|change| !matches!(change, Spoil::Length(_))).for_each(|change| spoiled(&mut header, change));
        if let Err(said) = run().again(&sealed(&header, &whole[8 + length..])) {
            prop_assert!(is_sentence(&said), "{}", said);
        }
    }
}

#[test]
fn what_was_not_spoiled_loads_and_saves_as_it_was() {
    let whole = &run().bytes;
    assert!(run().again(whole).expect("loads") == *whole);
    let length = u64::from_le_bytes(*whole.first_chunk().expect("a length")) as usize;
    assert!(sealed(&whole[8..8 + length], &whole[8 + length..]) == *whole, "the digest is taken as kiln takes it");
    for (name, _) in RUNS {
        let (recipe, model) = opened(&runs().path(name)).expect("opens");
        assert_eq!((recipe.model.as_str(), model.name()), (name, name));
    }
    let names: Vec<&str> = RUNS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, model::names(), "every model has a run here");
}

#[test]
fn a_large_request_is_seen() {
    let ((), largest) = watched(|| drop(std::hint::black_box(vec![1u8; SMALL + 1])));
    assert!(largest > SMALL);
}
