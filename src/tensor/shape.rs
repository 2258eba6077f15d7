//! Tensor shapes: up to four extents, channels last (`[N, H, W, C]`).

use std::fmt;

/// Extents of a dense row-major tensor, outermost first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape from its extents, outermost first.
    pub fn new(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }

    /// The shape of a single number.
    pub fn scalar() -> Self {
        Self(Vec::new())
    }

    /// Extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements; the largest number where that is beyond counting.
    pub fn len(&self) -> usize {
        self.0.iter().fold(1, |product: usize, extent| product.saturating_mul(*extent))
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The extent of the innermost axis, 1 for a scalar.
    pub fn channels(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// The smallest shape both operands broadcast to (right-aligned, extent 1 stretches), or `None` where they disagree.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let dims: Option<Vec<usize>> = (0..rank)
            .map(|axis| {
                let (a, b) = (self.aligned(axis, rank), other.aligned(axis, rank));
                match (a, b) {
                    _ if a == b => Some(a),
                    (1, _) => Some(b),
                    (_, 1) => Some(a),
                    _ => None,
                }
            })
            .collect();
        dims.map(Shape)
    }

    /// Whether this shape stretches to `target` without changing `target`.
    pub fn broadcasts_to(&self, target: &Shape) -> bool {
        self.broadcast(target).as_ref() == Some(target)
    }

    /// Element strides of this shape when read as `target`, innermost last: 0 along stretched axes.
    pub fn strides_in(&self, target: &Shape) -> Vec<usize> {
        let rank = target.rank();
        let mut strides = vec![0; rank];
        let mut step = 1;
        for axis in (0..rank).rev() {
            let extent = self.aligned(axis, rank);
            if extent > 1 {
                strides[axis] = step;
                step *= extent;
            }
        }
        strides
    }

    fn aligned(&self, axis: usize, rank: usize) -> usize {
        let missing = rank - self.rank();
        if axis < missing { 1 } else { self.0[axis - missing] }
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("scalar");
        }
        let words: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&words.join("×"))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_is_right_aligned() {
        let image = Shape::from([8, 28, 28, 3]);
        assert_eq!(image.broadcast(&Shape::from([3])), Some(image.clone()));
        assert_eq!(Shape::from([8, 1]).broadcast(&Shape::from([1, 5])), Some(Shape::from([8, 5])));
        assert_eq!(image.broadcast(&Shape::from([28])), None);
        assert!(Shape::scalar().broadcasts_to(&image));
        assert!(!image.broadcasts_to(&Shape::from([3])));
    }

    #[test]
    fn stretched_axes_have_stride_zero() {
        let target = Shape::from([2, 3, 4]);
        assert_eq!(Shape::from([3, 1]).strides_in(&target), [0, 1, 0]);
        assert_eq!(target.strides_in(&target), [12, 4, 1]);
        assert_eq!(Shape::from([2, 1, 4]).strides_in(&target), [4, 0, 1]);
    }
}
