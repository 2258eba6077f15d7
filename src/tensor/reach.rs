//! How far into an image the elements of a tensor read.
//!
//! The values of an image are numbered in raster order: by rows, in a row from left to right, in a pixel colour by colour. Of all values
//! that an element may depend on, the last one says whether it looks ahead; so one number an element is enough, and joining what two
//! elements read is taking the larger. Channels that read the same form a class: a map of hundreds of channels costs as many numbers a
//! position as an image has colours.

use std::collections::HashMap;
use std::hash::Hash;

use super::Shape;

/// For each element of a tensor, one more than the number of the last value of the image that it may depend on; 0 where it depends on none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The class of each channel (of the innermost axis).
    class: Vec<usize>,
    classes: usize,
    /// `[positions, classes]`, where positions are all axes but the innermost.
    last: Vec<u32>,
}

impl Reach {
    /// That of the image itself: every value reads itself. Images of a batch are numbered apart.
    pub fn image(shape: &Shape) -> Self {
        let channels = shape.channels();
        let item = shape.dims().iter().skip(1).product::<usize>().max(1);
        let last = (0..shape.len()).map(|i| (i % item) as u32 + 1).collect();
        Self { class: (0..channels).collect(), classes: channels, last }
    }

    /// That of a tensor whose every element reads as far as `last`.
    pub fn whole(shape: &Shape, last: u32) -> Self {
        let channels = shape.channels();
        Self { class: vec![0; channels], classes: 1, last: vec![last; shape.len() / channels.max(1)] }
    }

    /// From one number for each element.
    pub fn from_elements(shape: &Shape, elements: &[u32]) -> Self {
        let channels = shape.channels();
        let positions = elements.len() / channels.max(1);
        let column = |c: usize| (0..positions).map(|p| elements[p * channels + c]).collect::<Vec<u32>>();
        let (class, keys) = classify((0..channels).map(column));
        let last = (0..positions).flat_map(|p| keys.iter().map(move |column| column[p])).collect();
        Self { class, classes: keys.len(), last }
    }

    /// From classes of channels and a function of position and class.
    pub fn from_classes(class: Vec<usize>, classes: usize, positions: usize, last: impl Fn(usize, usize) -> u32) -> Self {
        let last = (0..positions).flat_map(|p| (0..classes).map(move |c| (p, c))).map(|(p, c)| last(p, c)).collect();
        Self { class, classes, last }
    }

    /// The class of each channel.
    pub fn class(&self) -> &[usize] {
        &self.class
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.last.len() / self.classes.max(1)
    }

    /// What a class of channels reads at a position.
    pub fn of_class(&self, position: usize, class: usize) -> u32 {
        self.last[position * self.classes + class]
    }

    /// What an element reads.
    pub fn at(&self, position: usize, channel: usize) -> u32 {
        self.of_class(position, self.class[channel])
    }

    /// The last value that any element reads.
    pub fn latest(&self) -> u32 {
        self.last.iter().copied().max().unwrap_or(0)
    }

    /// The same tensor of which only some elements, `(position, class)`, read anything.
    pub fn only(&self, kept: &[(usize, usize)]) -> Self {
        let mut last = vec![0; self.last.len()];
        for (position, class) in kept {
            last[position * self.classes + class] = self.of_class(*position, *class);
        }
        Self { last, ..self.clone() }
    }

    /// Where exactly `last` is read: `(position, class)`.
    pub fn places(&self, last: u32) -> Vec<(usize, usize)> {
        let places = self.last.iter().enumerate().filter(|(_, v)| **v == last);
        places.map(|(i, _)| (i / self.classes, i % self.classes)).collect()
    }

    /// The same elements under another shape.
    pub fn reshaped(&self, from: &Shape, to: &Shape) -> Self {
        if from.channels() == to.channels() {
            return self.clone();
        }
        let channels = from.channels();
        let elements: Vec<u32> = (0..from.len()).map(|i| self.at(i / channels, i % channels)).collect();
        Self::from_elements(to, &elements)
    }

    /// The larger of several tensors that broadcast to a shape.
    pub fn join(parts: &[(&Shape, &Reach)], shape: &Shape) -> Self {
        let channels = shape.channels();
        let key = |channel: usize| parts.iter().map(|(s, r)| r.class[if s.channels() == 1 { 0 } else { channel }]).collect::<Vec<usize>>();
        let (class, keys) = classify((0..channels).map(key));
        let rows = leading(shape);
        let strides: Vec<Vec<usize>> = parts.iter().map(|(s, _)| leading(s).strides_in(&rows)).collect();
        let mut last = Vec::with_capacity(rows.len() * keys.len());
        for at in coordinates(&rows) {
            let places: Vec<usize> = strides.iter().map(|s| s.iter().zip(&at).map(|(stride, i)| stride * i).sum()).collect();
            last.extend(keys.iter().map(|key| {
                let read = parts.iter().zip(&places).zip(key).map(|(((_, reach), place), class)| reach.of_class(*place, *class));
                read.max().unwrap_or(0)
            }));
        }
        Self { class, classes: keys.len(), last }
    }

    /// A reduction of `axes` of a tensor of shape `full` to extent 1.
    pub fn reduced(&self, full: &Shape, axes: std::ops::Range<usize>) -> Self {
        let inner = axes.end == full.rank();
        let (class, classes) = if inner { (vec![0], 1) } else { (self.class.clone(), self.classes) };
        let rows = leading(full);
        let mut kept = rows.dims().to_vec();
        for axis in axes.start..axes.end.min(kept.len()) {
            kept[axis] = 1;
        }
        let kept = Shape::new(&kept);
        let strides = kept.strides_in(&rows);
        let mut last = vec![0; kept.len() * classes];
        for (position, at) in coordinates(&rows).enumerate() {
            let to: usize = strides.iter().zip(&at).map(|(stride, i)| stride * i).sum();
            for from in 0..self.classes {
                let cell = &mut last[to * classes + if inner { 0 } else { from }];
                *cell = (*cell).max(self.of_class(position, from));
            }
        }
        Self { class, classes, last }
    }
}

/// All axes but the innermost.
fn leading(shape: &Shape) -> Shape {
    let dims = shape.dims();
    Shape::new(&dims[..dims.len().saturating_sub(1)])
}

/// Every place of a shape, in order.
fn coordinates(shape: &Shape) -> impl Iterator<Item = Vec<usize>> + use<> {
    let dims = shape.dims().to_vec();
    (0..shape.len()).map(move |mut i| {
        let mut at = vec![0; dims.len()];
        for (cell, extent) in at.iter_mut().zip(&dims).rev() {
            *cell = i % extent;
            i /= extent;
        }
        at
    })
}

/// Numbers equal keys alike: the number of each, and the keys by number.
pub(crate) fn classify<K: Hash + Eq + Clone>(keys: impl Iterator<Item = K>) -> (Vec<usize>, Vec<K>) {
    let (mut known, mut list) = (HashMap::new(), Vec::new());
    let class = keys.map(|key| {
        *known.entry(key.clone()).or_insert_with(|| {
            list.push(key);
            list.len() - 1
        })
    });
    (class.collect(), list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broadcasts_is_joined_by_the_larger() {
        let image = Shape::from([1, 2, 2, 2]);
        let own = Reach::image(&image);
        assert_eq!((own.at(0, 0), own.at(3, 1), own.latest()), (1, 8, 8));
        let bias = Shape::from([2]);
        let flat = Reach::from_elements(&bias, &[0, 5]);
        let both = Reach::join(&[(&image, &own), (&bias, &flat)], &image);
        assert_eq!((0..4).map(|p| both.at(p, 0)).collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!((0..4).map(|p| both.at(p, 1)).collect::<Vec<_>>(), [5, 5, 6, 8]);
        let column = Shape::from([1, 2, 1, 1]);
        let rows = Reach::from_elements(&column, &[3, 0]);
        let joined = Reach::join(&[(&image, &own), (&column, &rows)], &image);
        assert_eq!((0..4).map(|p| joined.at(p, 0)).collect::<Vec<_>>(), [3, 3, 5, 7]);
    }

    #[test]
    fn reductions_and_reshapes_keep_the_last() {
        let image = Shape::from([1, 2, 3, 2]);
        let own = Reach::image(&image);
        let rows = own.reduced(&image, 2..3);
        assert_eq!([rows.at(0, 0), rows.at(0, 1), rows.at(1, 0), rows.at(1, 1)], [5, 6, 11, 12]);
        let pixels = own.reduced(&image, 3..4);
        assert_eq!((pixels.classes(), pixels.at(0, 0), pixels.at(5, 0)), (1, 2, 12));
        let flat = own.reshaped(&image, &Shape::from([1, 12]));
        assert_eq!((0..12).map(|c| flat.at(0, c)).collect::<Vec<_>>(), (1..=12).collect::<Vec<u32>>());
    }
}
