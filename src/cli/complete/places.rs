//! Which places of an image are kept.

use std::path::Path;

use crate::cli::given::bytes_of;
use crate::error::{Error, Result};

/// Which places of an image `top:N`, `bottom:N`, `left:N` or `right:N` gives.
///
/// # Errors
/// [`Error::Usage`] for another word, or more than there is.
pub fn side(part: &str, [h, w, c]: [usize; 3]) -> Result<Vec<bool>> {
    let bad = || {
        Error::usage(format!("--keep takes top:N, bottom:N, left:N or right:N with N up to the size of the image ({h}×{w}), not {part}"))
    };
    let (side, count) = part.split_once(':').ok_or_else(bad)?;
    let count: usize = count.parse().map_err(|_| bad())?;
    let most = if matches!(side, "top" | "bottom") { h } else { w };
    if count > most {
        return Err(bad());
    }
    let inside: fn(usize, usize, usize, usize, usize) -> bool = match side {
        "top" => |y, _, n, _, _| y < n,
        "bottom" => |y, _, n, h, _| y + n >= h,
        "left" => |_, x, n, _, _| x < n,
        "right" => |_, x, n, _, w| x + n >= w,
        _ => return Err(bad()),
    };
    Ok((0..h * w * c).map(|i| inside(i / c / w, i / c % w, count, h, w)).collect())
}

/// The places that are white in a picture.
///
/// # Errors
/// A file that is missing, no image, or of another size.
pub fn white(path: &Path, [h, w, c]: [usize; 3]) -> Result<Vec<bool>> {
    let bytes = bytes_of(path, [h, w, 1])?;
    Ok((0..h * w * c).map(|i| bytes[i / c] >= 128.0).collect())
}

/// Whether, in the order of drawing, everything kept stands before everything drawn, so that what is drawn follows p(rest | kept) exactly. A kept value behind a
/// drawn one would have to guide it, for which a model that draws in order has no conditional: the sum over all that could be drawn in between.
pub fn is_exact(mask: &[bool]) -> bool {
    mask.iter().skip_while(|kept| **kept).all(|kept| !kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_before_everything_drawn_is_kept_exactly() -> Result<()> {
        for dims in [[4, 3, 1], [3, 4, 3], [1, 6, 1], [5, 1, 1]] {
            let [h, w, _] = dims;
            for (name, most) in [("top", h), ("bottom", h), ("left", w), ("right", w)] {
                for n in 0..=most {
                    let exact = is_exact(&side(&format!("{name}:{n}"), dims)?);
                    // Nothing kept, everything kept, or the side that raster order begins with.
                    let right = n == 0 || n == most || name == "top" || name == "left" && h == 1;
                    assert_eq!(exact, right, "{name}:{n} of {dims:?}");
                }
            }
        }
        Ok(())
    }
}
