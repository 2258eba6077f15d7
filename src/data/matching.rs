//! Files by a pattern of names, such as `photos/*.jpg`.

use super::entry::Entry;
use crate::{Error, Result};
use glob::{MatchOptions, glob_with};

/// Whether a source that is no file by its own name is a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What a pattern matches, sorted; hidden names only where it names the dot.
///
/// # Errors
/// A pattern that is none or matches nothing; a folder that cannot be read.
pub fn matching(pattern: &str) -> Result<Vec<Entry>> {
    let options = MatchOptions { require_literal_separator: true, require_literal_leading_dot: true, ..MatchOptions::new() };
    let found = glob_with(pattern, options)
        .map_err(|e| Error::usage(format!("`{pattern}` is no pattern of names ({}, at {}); write it otherwise", e.msg, e.pos)))?;
    let mut paths = Vec::new();
    for path in found {
        paths.push(path.map_err(|e| Error::io(e.path().to_path_buf(), e.into()))?);
    }
    if paths.is_empty() {
        return Err(Error::usage(format!("nothing matches `{pattern}`; * stands for any part of a name, ** for folders on the way")));
    }
    paths.sort();
    Ok(paths.iter().map(|path| Entry::on_disk(path)).collect())
}
