//! What a data set is known by again.

use super::{Source, streams};
use crate::random::Draws;
use crate::{Error, Result};
use sha2::{Digest as _, Sha256};

/// Bytes that are read for a digest; a larger set is known by its sizes and a seeded part of that many.
const BUDGET: u64 = 256 << 20;

/// A data set's content in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// What was read for it.
    pub of: String,
}

/// SHA-256 over a source's count, shape, kind, class names and labels, the stored size of every item, and the stored bytes of all items;
/// of a source of more than 256 MiB, the bytes of the first items of a seeded permutation that fill 256 MiB. A built-in set is known by
/// its name, seed and version.
///
/// # Errors
/// An item that cannot be read.
pub fn digest(source: &dyn Source) -> Result<Digest> {
    digest_within(source, BUDGET)
}

fn digest_within(source: &dyn Source, budget: u64) -> Result<Digest> {
    let mut hash = Sha256::new();
    let mut text = |words: &str| {
        hash.update((words.len() as u64).to_le_bytes());
        hash.update(words.as_bytes());
    };
    text("kiln data 1");
    if let Some(origin) = source.origin() {
        text(&origin);
        return Ok(Digest { hash: shown(hash), of: origin });
    }
    let len = source.len();
    text(&format!("{len} {:?} {:?}", source.dims(), source.kind()));
    source.class_names().iter().for_each(|name| text(name));
    let mut total = 0u64;
    for index in 0..len {
        let size = source.stored_size(index)?;
        hash.update(size.to_le_bytes());
        hash.update(source.label(index).unwrap_or(u32::MAX).to_le_bytes());
        total = total.saturating_add(size);
    }
    if total <= budget {
        for index in 0..len {
            hash.update(source.stored(index)?);
        }
        return Ok(Digest { hash: shown(hash), of: format!("all {len} items") });
    }
    let (mut left, mut taken) = (budget, 0);
    for index in Draws::new(0, streams::DIGEST, 0).order(len) {
        let size = source.stored_size(index as usize)?;
        if size > left {
            break;
        }
        left -= size;
        hash.update(index.to_le_bytes());
        hash.update(source.stored(index as usize)?);
        taken += 1;
    }
    Ok(Digest { hash: shown(hash), of: format!("the sizes of all {len} items and a seeded random {taken} of them") })
}

fn shown(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

/// Refuses data that is not what a run was started on.
///
/// # Errors
/// [`Error::Usage`] with what differs: classes, shape, count, or content.
pub fn check_same(source: &dyn Source, count: usize, class_names: &[String], recorded: &Digest) -> Result<()> {
    let name = source.name();
    let names = source.class_names();
    let way_out = "start another run for other data";
    if names != class_names {
        let shown = |names: &[String]| match names.len() {
            0 => "no classes".into(),
            n => format!("{n} classes ({})", super::classes::listed(names)),
        };
        let (now, then) = (shown(&names), shown(class_names));
        return Err(Error::usage(format!("{name} has {now}, and the run was started on {then}; {way_out}")));
    }
    if source.len() != count {
        let len = source.len();
        return Err(Error::usage(format!("{name} has {len} items, and the run was started on {count}; {way_out}")));
    }
    let now = digest(source)?;
    if now != *recorded {
        let of = &recorded.of;
        return Err(Error::usage(format!("{name} is not what the run was started on: its digest differs (of {of}); {way_out}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sorted;
    use super::super::{OpenOptions, Split, open};
    use super::*;

    #[test]
    fn a_digest_is_of_all_or_of_a_seeded_part() {
        let source = Sorted { each: vec![30, 10], named: true };
        let whole = digest(&source).unwrap();
        assert_eq!((whole.hash.len(), whole.of.as_str()), (7 + 64, "all 40 items"));
        assert_eq!(whole, digest(&Sorted { each: vec![30, 10], named: true }).unwrap());
        for other in [Sorted { each: vec![29, 11], named: true }, Sorted { each: vec![40], named: false }] {
            assert_ne!(whole.hash, digest(&other).unwrap().hash);
        }
        let part = digest_within(&source, 21).unwrap();
        assert_eq!(part.of, "the sizes of all 40 items and a seeded random 10 of them");
        assert_ne!(part.hash, whole.hash);
    }

    #[test]
    fn a_built_in_set_is_known_by_seed_and_split() {
        let of = |set: &str, split, seed| digest(&*open(set, split, &OpenOptions { seed, ..OpenOptions::default() }).unwrap()).unwrap();
        let first = of("builtin:digits", Split::Train, 1);
        assert!(first.of.contains("builtin:digits") && first.of.contains("seed 1"), "{}", first.of);
        assert_eq!(first, of("builtin:digits:all", Split::Train, 1));
        for other in [of("builtin:digits", Split::Train, 2), of("builtin:digits", Split::Test, 1), of("builtin:faces", Split::Train, 1)] {
            assert_ne!(first.hash, other.hash);
        }
    }
}
