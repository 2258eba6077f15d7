//! Some items of another source: a seeded part of it, so many of each class, or all but a held-out part.
//!
//! Which items a part takes depends on the source's count, labels and their order alone, never on a run's seed: every run on a data set
//! holds out the same items. Within a class the order is a permutation under seed 0; over classes, item r of a class of n has the key
//! (r + u) / n, u a uniform draw of the class, and the part of k items is the k smallest keys. So every class has its share to within
//! one item, and a smaller part is the start of a larger one.

use super::layer::Layer;
use super::{Source, streams};
use crate::random::Draws;
use crate::{Error, Result};
use std::sync::Arc;

/// A seeded random `count` of a source, stratified by class where labels are known; the source itself where it has no more.
///
/// The same on every call, whatever the run's seed. Items come in the order drawn, classes mixed: fewer are the start of more.
///
/// # Errors
/// [`Error::Usage`] where `count` is 0.
pub fn subset(source: Arc<dyn Source>, count: usize) -> Result<Arc<dyn Source>> {
    if count == 0 {
        return Err(Error::usage("a limit of 0 images leaves nothing; ask for at least 1"));
    }
    if count >= source.len() {
        return Ok(source);
    }
    let name = format!("a seeded random {count} of {}", source.name());
    let indices = drawn(&*source, streams::SUBSET, count, 0.0);
    Ok(Arc::new(Subset { inner: source, indices, name }))
}

/// The held-out `held` items of a source, or with `kept` all others; both in the source's order.
///
/// # Errors
/// [`Error::Usage`] where nothing would be left.
pub fn part(source: Arc<dyn Source>, held: usize, kept: bool, name: String) -> Result<Arc<dyn Source>> {
    let left = if kept { source.len().saturating_sub(held) } else { held };
    if left == 0 {
        return Err(Error::usage(format!("{name} would hold no items: there are {} to take them from", source.len())));
    }
    // A class's last item comes after everything, so that no class is held out whole.
    let mut indices = drawn(&*source, streams::HOLD_OUT, held, 1.0);
    indices.sort_unstable();
    Ok(if kept { Arc::new(Kept { inner: source, held: indices, name }) } else { Arc::new(Subset { inner: source, indices, name }) })
}

/// The items of each class, in the source's order.
fn by_class(source: &dyn Source) -> Vec<Vec<u32>> {
    let mut classes = vec![Vec::new(); source.classes()];
    for index in 0..source.len() {
        if let Some(items) = source.label(index).and_then(|label| classes.get_mut(label as usize)) {
            items.push(index as u32);
        }
    }
    classes
}

/// The first `count` of `items` items of a class in its order.
fn order(stream: u32, class: usize, items: usize, count: usize) -> impl Iterator<Item = usize> {
    // Step 2c is the order of a class, step 2c + 1 its offset.
    Draws::new(0, stream, 2 * class as u32).order(items).take(count).map(|at| at as usize)
}

/// The first `count` items by their keys, `last` added to that of each class's last.
fn drawn(source: &dyn Source, stream: u32, count: usize, last: f64) -> Vec<u32> {
    if source.classes() < 2 {
        // The keys of one class are in its order, and there may be many items.
        return order(stream, 0, source.len(), count).map(|at| at as u32).collect();
    }
    let mut keys: Vec<(f64, u32)> = Vec::new();
    for (class, items) in by_class(source).into_iter().enumerate() {
        let offset = f64::from(Draws::new(0, stream, 2 * class as u32 + 1).unit());
        let n = items.len();
        let key = |rank: usize| (rank as f64 + offset) / n as f64 + if rank + 1 == n { last } else { 0.0 };
        keys.extend(order(stream, class, n, count).enumerate().map(|(rank, at)| (key(rank), items[at])));
    }
    keys.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keys.into_iter().take(count).map(|(_, index)| index).collect()
}

/// A seeded random `per_class` items of each class of a source, in its order.
///
/// # Errors
/// [`Error::Usage`] where the source has no labels, or a class has fewer items.
pub fn labelled(inner: Arc<dyn Source>, per_class: usize) -> Result<Arc<dyn Source>> {
    let name = inner.name();
    if inner.classes() == 0 {
        return Err(Error::usage(format!("{name} has no labels to take some of; leave --labels-per-class out")));
    }
    if per_class == 0 {
        return Err(Error::usage("--labels-per-class must be at least 1"));
    }
    let mut indices = Vec::new();
    for (class, items) in by_class(&*inner).into_iter().enumerate() {
        if items.len() < per_class {
            let (class, count) = (inner.class_names().get(class).cloned().unwrap_or_default(), items.len());
            return Err(Error::usage(format!("{name} has {count} items of class {class}, fewer than {per_class} a class")));
        }
        indices.extend(order(streams::SUBSET, class, items.len(), per_class).map(|at| items[at]));
    }
    indices.sort_unstable();
    let name = format!("a seeded random {per_class} of each class of {name}");
    Ok(Arc::new(Subset { inner, indices, name }))
}

struct Subset {
    inner: Arc<dyn Source>,
    indices: Vec<u32>,
    name: String,
}

impl Layer for Subset {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn count(&self) -> usize {
        self.indices.len()
    }
    fn below(&self, index: usize) -> usize {
        self.indices[index] as usize
    }
    fn title(&self) -> String {
        self.name.clone()
    }
}

/// All items of another source but some.
struct Kept {
    inner: Arc<dyn Source>,
    /// Ascending.
    held: Vec<u32>,
    name: String,
}

impl Layer for Kept {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn count(&self) -> usize {
        self.inner.len() - self.held.len()
    }
    fn below(&self, index: usize) -> usize {
        // Of the held-out items, the k-th (from 0) comes before kept item `index` where no more than `index` kept items come before it.
        let (mut low, mut high) = (0, self.held.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.held[middle] as usize - middle <= index { low = middle + 1 } else { high = middle }
        }
        index + low
    }
    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sorted;
    use super::super::{OpenOptions, Split, open};
    use super::*;

    fn labels(source: &Arc<dyn Source>, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        (0..source.len()).for_each(|i| counts[source.label(i).unwrap() as usize] += 1);
        counts
    }

    fn first_values(source: &Arc<dyn Source>) -> Vec<f32> {
        let mut out = [0.0; 2];
        (0..source.len())
            .map(|i| {
                source.read(i, &mut out).unwrap();
                out[0]
            })
            .collect()
    }

    #[test]
    fn every_class_has_its_share_and_no_more() {
        let digits = open("builtin:digits", Split::Train, &OpenOptions { limit: Some(300), ..OpenOptions::default() }).unwrap();
        let few = labelled(digits.clone(), 3).unwrap();
        assert_eq!(labels(&few, 10), [3; 10]);
        let (mut ours, mut theirs) = (vec![0.0; 784], vec![0.0; 784]);
        few.read(4, &mut ours).unwrap();
        let at = (0..300).find(|&i| digits.read(i, &mut theirs).is_ok() && ours == theirs).unwrap();
        assert_eq!(digits.label(at), few.label(4));
        assert!(labelled(digits.clone(), 0).is_err());
        assert!(labelled(digits, 200).err().unwrap().to_string().contains("fewer than 200"));
    }

    #[test]
    fn parts_of_a_sorted_set_hold_all_classes_and_smaller_ones_begin_larger_ones() {
        let sorted: Arc<dyn Source> = Arc::new(Sorted { each: [500, 300, 200].to_vec(), named: true });
        let part = subset(sorted.clone(), 100).unwrap();
        for (found, right) in labels(&part, 3).iter().zip([50, 30, 20]) {
            assert!(found.abs_diff(right) <= 1, "{found} beside {right}");
        }
        assert_eq!(part.name(), "a seeded random 100 of sorted");
        let (small, large) = (first_values(&subset(sorted.clone(), 40).unwrap()), first_values(&part));
        assert_eq!(small, large[..40]);
        assert_eq!(subset(sorted.clone(), 1000).unwrap().name(), "sorted");
        assert!(subset(sorted, 0).is_err());
    }

    #[test]
    fn a_part_without_labels_is_spread_over_the_whole_source() {
        let plain: Arc<dyn Source> = Arc::new(Sorted { each: vec![1000], named: false });
        let part = first_values(&subset(plain, 200).unwrap());
        for tenth in 0..10 {
            let inside = part.iter().filter(|v| (**v as usize) / 100 == tenth).count();
            assert!((8..40).contains(&inside), "{inside} of 200 from tenth {tenth}");
        }
    }

    #[test]
    fn held_out_and_kept_items_make_up_the_whole() {
        let sorted: Arc<dyn Source> = Arc::new(Sorted { each: vec![60, 36], named: true });
        let (kept, held) = (part(sorted.clone(), 8, true, "k".into()).unwrap(), part(sorted.clone(), 8, false, "h".into()).unwrap());
        assert_eq!((kept.len(), held.len(), labels(&held, 2)), (88, 8, vec![5, 3]));
        let mut all: Vec<f32> = first_values(&kept).into_iter().chain(first_values(&held)).collect();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..96).map(|i| i as f32).collect::<Vec<_>>());
        let rare: Arc<dyn Source> = Arc::new(Sorted { each: vec![1, 1, 1, 1, 2], named: true });
        assert_eq!(labels(&part(rare, 1, false, "h".into()).unwrap(), 5), [0, 0, 0, 0, 1]);
        assert!(part(sorted.clone(), 0, false, "h".into()).is_err());
        assert!(part(sorted, 96, true, "k".into()).is_err());
    }
}
