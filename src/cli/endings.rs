//! The endings of files that commands write: one that says something else than what would be written is refused before any work is done.

use std::path::Path;

use crate::error::{Error, Result};

/// A path's ending in small letters; empty where there is none.
pub fn of(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

/// Refuses a path that ends in none of `endings`.
///
/// # Errors
/// [`Error::Usage`] with the endings that there are.
pub fn check(path: &Path, what: &str, endings: &[&str]) -> Result<()> {
    let found = of(path);
    if endings.contains(&found.as_str()) && path.file_stem().is_some_and(|stem| !stem.is_empty()) {
        return Ok(());
    }
    let known = endings.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
    let shown = path.display();
    Err(Error::usage(if found.is_empty() {
        format!("{what} go to a file that ends in {known}, and {shown} has no ending")
    } else {
        format!("{what} go to a file that ends in {known}, not to {shown}")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_those_of_what_is_written() {
        for good in ["a.png", "deep/a.PNG", "a.b.png"] {
            assert!(check(Path::new(good), "pictures", &["png"]).is_ok(), "{good}");
        }
        for bad in ["a.svg", "a", "a.png/", ".png", "png", "a.png.txt"] {
            let said = check(Path::new(bad), "pictures", &["png"]);
            // A trailing slash is no part of a path's last name.
            assert_eq!(said.is_ok(), bad == "a.png/", "{bad}");
        }
        assert!(check(Path::new("a.txt"), "terms", &["csv", "npy"]).unwrap_err().to_string().contains(".csv or .npy"));
    }
}
