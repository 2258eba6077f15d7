//! SOURCE of the command line, as text, to a [`Source`].

use super::amat::{self, Amat};
use super::archive::is_archive;
use super::cache::Cached;
use super::digest::{Digest, digest};
use super::entry::Entry;
use super::folder::{Folder, holds_images};
use super::frame::Framed;
use super::matching::{is_pattern, matching};
use super::picture::has_ending;
use super::series::{self, Cut, Scaling, Windows};
use super::subset::{part, subset};
use super::{Kind, OpenOptions, Reading, Source, Split, VALID_FRACTION, builtin, cifar, idx, npy, npz};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Most items held out by the default share: a likelihood over 5,000 images is known well enough.
const MOST_HELD_OUT: f64 = 5000.0;

/// Opens SOURCE of the command line.
///
/// `source` is one of the built-in sets such as `builtin:digits`, a folder (IDX or `.amat` files, CIFAR-10 binary files, or images, flat or
/// with one sub-folder a class, or with `train`, `valid` and `test` folders of those), a `.zip` or `.tar` archive of what such a folder
/// holds, a pattern of names of images, an `.npy`, `.npz`, IDX images or `.amat` file, a picture, or series in a `.csv`, a `.wav` or an `.npy`
/// (of shape `[T]`, or where `reading` asks for series); then, where wanted, `:train`, `:valid`, `:test` or `:all`. `default` is the split
/// where none is named. A data set without a validation split has a seeded random part of its training data held out for it, the same in
/// every run. A file by itself is training data, whatever it is called; only within a folder of IDX or `.amat` files do names tell splits.
/// Series are split in time.
///
/// # Errors
/// A source or a split that does not exist, or a file that its reader refuses.
pub fn open(source: &str, default: Split, options: &OpenOptions) -> Result<Arc<dyn Source>> {
    if !(0.0..1.0).contains(&options.valid_fraction) {
        return Err(Error::usage(format!("the share of items held out for validation lies in 0..1, not {}", options.valid_fraction)));
    }
    let (base, named) = split_suffix(source);
    let request = Request { base, split: named.unwrap_or(default), options };
    options.reading.check()?;
    let opened = request.open()?;
    if opened.series().is_none() && options.reading.series.is_asked() {
        let keys = Cut::KEYS.join(", ");
        return Err(Error::usage(format!("{} holds no series, and {keys} are settings of series; leave them out", opened.name())));
    }
    let opened = Cached::over(Framed::over(opened, &options.reading)?)?;
    options.limit.map_or(Ok(opened.clone()), |limit| subset(opened, limit))
}

/// A data set as a run is started on it.
pub struct Settled {
    /// The training data as it lies, without a limit.
    pub source: Arc<dyn Source>,
    /// `[H, W, C]`: in colour where any split is.
    pub dims: [usize; 3],
    /// What the values are: bits where every split holds nothing else.
    pub kind: Kind,
    /// What the training data is known by again.
    pub digest: Digest,
    /// How it was read, with what was settled of series.
    pub reading: Reading,
}

/// Opens SOURCE to train on it (`options.limit` aside) and settles what its data are, over all splits that lie by themselves.
///
/// # Errors
/// As [`open`], for the training data; a split that cannot be opened is left out, and refused when it is asked for.
pub fn settle(source: &str, options: &OpenOptions) -> Result<Settled> {
    let options = OpenOptions { limit: None, ..options.clone() };
    let opened = open(source, Split::Train, &options)?;
    let (mut dims, mut kind) = (opened.dims(), opened.kind());
    let base = split_suffix(source).0;
    for split in (Request { base, split: Split::Train, options: &options }).parts() {
        let Ok(other) = open(base, split, &options) else { continue };
        if other.name() != opened.name() && other.dims()[..2] == dims[..2] {
            dims[2] = dims[2].max(other.dims()[2]);
            kind = if kind == Kind::Binary { other.kind() } else { kind };
        }
    }
    let digest = digest(&*opened)?;
    let reading = Reading { series: opened.series().cloned().unwrap_or_default(), ..options.reading };
    Ok(Settled { source: opened, dims, kind, digest, reading })
}

/// Whether something lies where SOURCE says.
pub fn is_there(source: &str) -> bool {
    let base = split_suffix(source).0;
    base.starts_with("builtin:") || Path::new(base).exists() || (is_pattern(base) && matching(base).is_ok())
}

/// The split that SOURCE names.
pub fn named_split(source: &str) -> Option<Split> {
    split_suffix(source).1
}

/// SOURCE with another split, or none, in place of the one it names.
pub fn with_split(source: &str, split: Option<Split>) -> String {
    let base = split_suffix(source).0;
    split.map_or_else(|| base.into(), |split| format!("{base}:{split}"))
}

/// Takes a split's word off the end.
fn split_suffix(source: &str) -> (&str, Option<Split>) {
    match source.rsplit_once(':') {
        Some((base, word)) if !base.is_empty() => Split::parse(word).map_or((source, None), |split| (base, Some(split))),
        _ => (source, None),
    }
}

/// The share of `total` items that is held out: the one asked for, but for the default no more than 5,000 items.
pub fn share_of(total: usize, share: f32) -> f64 {
    let share = f64::from(share);
    if share == f64::from(VALID_FRACTION) { share.min(MOST_HELD_OUT / total.max(1) as f64) } else { share }
}

/// How many of `len` items a share holds out: at least one where any are asked for, never all.
pub fn held_out(len: usize, share: f64) -> usize {
    if share <= 0.0 {
        return 0;
    }
    ((len as f64 * share).round() as usize).max(1).min(len.saturating_sub(1))
}

/// Whether there are files to open. A page has none, and so need not load what would read them.
const HAS_FILES: bool = cfg!(not(target_family = "wasm"));

struct Request<'a> {
    base: &'a str,
    split: Split,
    options: &'a OpenOptions,
}

impl Request<'_> {
    fn name(&self) -> String {
        format!("{}:{}", self.base, self.split)
    }

    fn open(&self) -> Result<Arc<dyn Source>> {
        if let Some(set) = self.base.strip_prefix("builtin:") {
            return builtin::open(set, self.split, self.options.seed, &self.options.reading.series);
        }
        if !HAS_FILES {
            return Err(Error::usage(format!("a page reads no files, so not `{}`; take one of {}", self.base, builtin::NAMES.join(", "))));
        }
        let path = Path::new(self.base);
        match folder_at(path)? {
            Some(folder) => self.open_folder(&folder),
            None if path.is_file() => self.open_file(path),
            None if is_pattern(self.base) => self.open_matching(),
            None => Err(self.missing()),
        }
    }

    /// The splits that lie by themselves.
    fn parts(&self) -> Vec<Split> {
        if !HAS_FILES {
            return Vec::new();
        }
        let Some(entries) = folder_at(Path::new(self.base)).ok().flatten().and_then(|folder| folder.entries().ok()) else {
            return Vec::new();
        };
        let told = |entry: &Entry| {
            let name = entry.name();
            let holds = entry.is_dir() || idx::is_images_name(&name) || amat::has_name(&name);
            if holds { split_of(&name) } else { None }
        };
        [Split::Train, Split::Valid, Split::Test].into_iter().filter(|split| entries.iter().any(|e| told(e) == Some(*split))).collect()
    }

    fn missing(&self) -> Error {
        if let Some((base, word)) = self.base.rsplit_once(':')
            && Path::new(base).exists()
        {
            return Error::usage(format!("{base} has no split `{word}`; the splits are train, valid, test and all"));
        }
        let sources = "a folder, .zip or .tar of images, IDX or CIFAR-10 files, an .npy, .npz, .amat, .csv, .wav or IDX file, a picture, a \
                       pattern of pictures such as 'photos/*.jpg'";
        Error::usage(format!("there is no `{}`; --data takes {sources}, or one of {}", self.base, builtin::NAMES.join(", ")))
    }

    fn open_file(&self, path: &Path) -> Result<Arc<dyn Source>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let title = self.name();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let reading = &self.options.reading;
        if series::is_series(path) || (ending == "npy" && (reading.series.is_asked() || npy::shape(path).is_some_and(|s| s.len() == 1))) {
            let scale = reading.range.map(|range| Scaling { low: range.low, high: range.high });
            let raw = series::read(path, &reading.series)?;
            return Ok(Arc::new(Windows::new(raw, reading.series.clone(), scale, self.split, title)?));
        }
        let whole: Arc<dyn Source> = if ending == "npy" {
            Arc::new(npy::Npy::open(path, reading, title)?)
        } else if ending == "npz" {
            let (array, apart) = npz::open(path, self.split, reading, title)?;
            if apart {
                return Ok(Arc::new(array));
            }
            Arc::new(array)
        } else if name.ends_with("-ubyte") || name.ends_with("-ubyte.gz") {
            Arc::new(idx::Idx::open(&Entry::on_disk(path), title)?)
        } else if amat::has_name(&name) {
            Arc::new(Amat::open(&Entry::on_disk(path), reading, title)?)
        } else if has_ending(path) {
            Arc::new(Folder::single(path, reading, title)?)
        } else {
            let reason = "is no file of a known form; an .npy, .npz, .amat, .csv or .wav file, IDX images (…-images-idx3-ubyte[.gz]), a \
                          picture, a .zip and a .tar[.gz] are read";
            return Err(Error::format(path, reason));
        };
        self.part_of(whole)
    }

    /// The part of the training data that the split names.
    fn part_of(&self, whole: Arc<dyn Source>) -> Result<Arc<dyn Source>> {
        let (len, base) = (whole.len(), self.base);
        let held = held_out(len, share_of(len, self.options.valid_fraction));
        match self.split {
            Split::All => Ok(whole),
            Split::Train => part(whole, held, true, self.name()),
            Split::Valid if held > 0 => part(whole, held, false, self.name()),
            Split::Valid => Err(Error::usage(format!("{base} has {len} images and none held out; name {base}:all for all of them"))),
            Split::Test => Err(self.no_test()),
        }
    }

    fn no_test(&self) -> Error {
        let base = self.base;
        Error::usage(format!("{base} has no test split; name {base}:valid for the images held out, or {base}:all for all of them"))
    }

    fn open_folder(&self, folder: &Entry) -> Result<Arc<dyn Source>> {
        let entries = folder.entries()?;
        let files: Vec<Entry> = entries.iter().filter(|entry| entry.is_file()).cloned().collect();
        let reading = &self.options.reading;
        if files.iter().any(|file| idx::is_images_name(&file.name())) {
            return self.open_by_split(&files, idx::is_images_name, |file| Ok(Arc::new(idx::Idx::open(file, self.name())?)));
        }
        if files.iter().any(|file| amat::has_name(&file.name())) {
            return self.open_by_split(&files, amat::has_name, |file| Ok(Arc::new(Amat::open(file, reading, self.name())?)));
        }
        let (train, test) = cifar::batches(&files);
        if !train.is_empty() || test.is_some() {
            let files = if self.split == Split::Test { test.into_iter().collect() } else { train };
            let whole = Arc::new(cifar::Cifar::open(&files, self.name())?);
            return if self.split == Split::Test { Ok(whole) } else { self.part_of(whole) };
        }
        self.open_images(folder, &entries)
    }

    /// Files of one form whose names tell their splits.
    fn open_by_split(
        &self,
        files: &[Entry],
        is_one: impl Fn(&str) -> bool,
        open: impl Fn(&Entry) -> Result<Arc<dyn Source>>,
    ) -> Result<Arc<dyn Source>> {
        let find = |split| -> Result<Option<&Entry>> {
            let of_split = |file: &&Entry| is_one(&file.name()) && split_of(&file.name()).unwrap_or(Split::Train) == split;
            let mut found: Vec<&Entry> = files.iter().filter(of_split).collect();
            // The plain file sorts before its gzipped twin.
            found.dedup_by(|later, first| later.name().strip_suffix(".gz") == Some(first.name().as_str()));
            match found[..] {
                [] => Ok(None),
                [file] => Ok(Some(file)),
                [a, b, ..] => {
                    let (base, a, b) = (self.base, a.name(), b.name());
                    Err(Error::usage(format!("{base} has {a} and {b} for {split}; name the file itself")))
                }
            }
        };
        let wanted = if self.split == Split::All { Split::Train } else { self.split };
        if let Some(file) = find(wanted)? {
            let whole = open(file)?;
            let alone = self.split == Split::Train && find(Split::Valid)?.is_none();
            return if alone { self.part_of(whole) } else { Ok(whole) };
        }
        match (self.split, find(Split::Train)?) {
            (Split::Valid, Some(file)) => self.part_of(open(file)?),
            (Split::Test, _) => Err(self.no_test()),
            (split, _) => Err(Error::usage(format!("{} has no images for {split}; name another split", self.base))),
        }
    }

    fn open_images(&self, folder: &Entry, entries: &[Entry]) -> Result<Arc<dyn Source>> {
        let sub = |words: &[&str]| {
            let named = |word: &&str| entries.iter().find(|entry| entry.is_dir() && entry.name() == **word);
            words.iter().find_map(named)
        };
        let (train, valid, test) = (sub(&["train"]), sub(&["valid", "val"]), sub(&["test"]));
        let open = |root: &Entry| -> Result<Arc<dyn Source>> {
            let mut opened = Folder::open(root, &self.options.reading, self.name())?;
            if root.path() != folder.path() && holds_images(folder)? {
                opened.note(format!("{}: passed over the images beside the folders of splits", folder.path().display()));
            }
            Ok(Arc::new(opened))
        };
        let Some(train) = train else { return self.part_of(open(folder)?) };
        match (self.split, valid, test) {
            (Split::All, ..) | (Split::Train, Some(_), _) => open(train),
            (Split::Valid, Some(valid), _) => open(valid),
            (Split::Test, _, Some(test)) => open(test),
            (Split::Test, ..) => Err(self.no_test()),
            (Split::Train | Split::Valid, ..) => self.part_of(open(train)?),
        }
    }

    /// Images by a pattern, or whatever the one thing is that it matches.
    fn open_matching(&self) -> Result<Arc<dyn Source>> {
        let found = matching(self.base)?;
        match &found[..] {
            [only] => match folder_at(only.path())? {
                Some(folder) => self.open_folder(&folder),
                None => self.open_file(only.path()),
            },
            _ => self.part_of(Arc::new(Folder::matched(self.base, found, &self.options.reading, self.name())?)),
        }
    }
}

/// The folder at a path, or what lies in the archive there.
fn folder_at(path: &Path) -> Result<Option<Entry>> {
    if path.is_dir() {
        return Ok(Some(Entry::on_disk(path)));
    }
    let is_split = |name: &str| split_of(name).is_some();
    if path.is_file() && is_archive(path) { Entry::top_of(path, is_split).map(Some) } else { Ok(None) }
}

/// The split that a word of a file's name tells: `t10k-images…`, `b_test-images…`, but not `latest-images…`.
fn split_of(name: &str) -> Option<Split> {
    let name = name.to_ascii_lowercase();
    let holds = |words: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word));
    if holds(&["t10k", "test"]) {
        Some(Split::Test)
    } else if holds(&["valid", "val", "validation"]) {
        Some(Split::Valid)
    } else if holds(&["train"]) {
        Some(Split::Train)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_share_holds_out_a_twelfth_but_never_more_than_5000() {
        let held = |len, share| held_out(len, share_of(len, share));
        for (len, expected) in [(1, 0), (2, 1), (24, 2), (60_000, 5000), (50_000, 4167), (1_000_000, 5000)] {
            assert_eq!(held(len, VALID_FRACTION), expected, "of {len}");
        }
        assert_eq!(held(1_000_000, 0.5), 500_000, "a share that was asked for is kept");
        assert_eq!(held(10, 0.0), 0);
    }
}
