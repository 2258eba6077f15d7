//! SOURCE of the command line, as text, to a [`Source`].

use super::cache::Cached;
use super::digest::{Digest, digest};
use super::folder::{Folder, entries, holds_images};
use super::frame::Framed;
use super::picture::has_ending;
use super::series::{self, Cut, Scaling, Windows};
use super::subset::{part, subset};
use super::{Kind, OpenOptions, Reading, Source, Split, VALID_FRACTION, builtin, cifar, idx, npy, npz};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most items held out by the default share: a likelihood over 5,000 images is known well enough.
const MOST_HELD_OUT: f64 = 5000.0;

/// Opens SOURCE of the command line.
///
/// `source` is one of the built-in sets such as `builtin:digits`, a folder (IDX files, CIFAR-10 binary files, or images, flat or
/// with one sub-folder a class, or with `train`, `valid` and `test` folders of those), an `.npy` file, an IDX images file, or series in a
/// `.csv`, a `.wav` or an `.npy` (of shape `[T]`, or where `reading` asks for series); then, where wanted, `:train`, `:valid`, `:test` or `:all`. `default` is the split where none is named. A data set without a validation
/// split has a seeded random part of its training data held out for it, the same in every run. A file by itself is training data, whatever
/// it is called; only within a folder of IDX files do names tell splits. Series are split in time.
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
        let path = Path::new(self.base);
        if path.is_dir() {
            self.open_folder(path)
        } else if path.is_file() {
            self.open_file(path)
        } else {
            Err(self.missing())
        }
    }

    /// The splits that lie by themselves.
    fn parts(&self) -> Vec<Split> {
        let folder = Path::new(self.base);
        let Ok(paths) = entries(folder) else { return Vec::new() };
        let told = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let holds = path.is_dir() || idx::is_images_name(&name);
            if holds { split_of(&name) } else { None }
        };
        [Split::Train, Split::Valid, Split::Test].into_iter().filter(|split| paths.iter().any(|path| told(path) == Some(*split))).collect()
    }

    fn missing(&self) -> Error {
        if let Some((base, word)) = self.base.rsplit_once(':')
            && Path::new(base).exists()
        {
            return Error::usage(format!("{base} has no split `{word}`; the splits are train, valid, test and all"));
        }
        let sources = "a folder of images, IDX or CIFAR-10 files, an .npy, .npz, .csv, .wav or IDX file, a picture";
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
            Arc::new(idx::Idx::open(path, title)?)
        } else if has_ending(path) {
            Arc::new(Folder::single(path, reading, title)?)
        } else {
            let reason = "is no file of a known form; an .npy, .npz, .csv or .wav file, IDX images (…-images-idx3-ubyte[.gz]) and a picture are read";
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

    fn open_folder(&self, folder: &Path) -> Result<Arc<dyn Source>> {
        let paths = entries(folder)?;
        let names: Vec<String> =
            paths.iter().filter(|path| path.is_file()).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        if names.iter().any(|name| idx::is_images_name(name)) {
            return self.open_idx(folder, &names);
        }
        let (train, test) = cifar::batches(folder, &names);
        if !train.is_empty() || test.is_some() {
            let files = if self.split == Split::Test { test.into_iter().collect() } else { train };
            let whole = Arc::new(cifar::Cifar::open(&files, self.name())?);
            return if self.split == Split::Test { Ok(whole) } else { self.part_of(whole) };
        }
        self.open_images(folder)
    }

    fn open_idx(&self, folder: &Path, names: &[String]) -> Result<Arc<dyn Source>> {
        let find = |split| -> Result<Option<PathBuf>> {
            let of_split = |name: &&String| idx::is_images_name(name) && split_of(name).unwrap_or(Split::Train) == split;
            let mut found: Vec<&String> = names.iter().filter(of_split).collect();
            // The plain file sorts before its gzipped twin.
            found.dedup_by(|later, first| later.strip_suffix(".gz") == Some(first.as_str()));
            match found[..] {
                [] => Ok(None),
                [name] => Ok(Some(folder.join(name))),
                [a, b, ..] => Err(Error::usage(format!("{} has {a} and {b} for {split}; name the file itself", self.base))),
            }
        };
        let wanted = if self.split == Split::All { Split::Train } else { self.split };
        if let Some(path) = find(wanted)? {
            let whole = Arc::new(idx::Idx::open(&path, self.name())?);
            let alone = self.split == Split::Train && find(Split::Valid)?.is_none();
            return if alone { self.part_of(whole) } else { Ok(whole) };
        }
        match (self.split, find(Split::Train)?) {
            (Split::Valid, Some(path)) => self.part_of(Arc::new(idx::Idx::open(&path, self.name())?)),
            (Split::Test, _) => Err(self.no_test()),
            (split, _) => Err(Error::usage(format!("{} has no IDX images for {split}", self.base))),
        }
    }

    fn open_images(&self, folder: &Path) -> Result<Arc<dyn Source>> {
        let sub = |words: &[&str]| words.iter().map(|word| folder.join(word)).find(|path| path.is_dir());
        let (train, valid, test) = (sub(&["train"]), sub(&["valid", "val"]), sub(&["test"]));
        let open = |root: &Path| -> Result<Arc<dyn Source>> {
            let mut opened = Folder::open(root, &self.options.reading, self.name())?;
            if root != folder && holds_images(folder)? {
                opened.note(format!("{}: passed over the images beside the folders of splits", folder.display()));
            }
            Ok(Arc::new(opened))
        };
        let Some(train) = train else { return self.part_of(open(folder)?) };
        match (self.split, valid, test) {
            (Split::All, ..) | (Split::Train, Some(_), _) => open(&train),
            (Split::Valid, Some(valid), _) => open(&valid),
            (Split::Test, _, Some(test)) => open(&test),
            (Split::Test, ..) => Err(self.no_test()),
            (Split::Train | Split::Valid, ..) => self.part_of(open(&train)?),
        }
    }
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
