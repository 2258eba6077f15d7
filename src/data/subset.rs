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
    let mut indices = drawn(&*source, streams::SUBSET, 0.0);
    indices.truncate(count);
    Ok(Arc::new(Subset { inner: source, indices, name }))
}

/// A source without its held-out `held` items, or with `back` those alone; both in the source's order.
///
/// # Errors
/// [`Error::Usage`] where nothing would be left.
pub fn part(source: Arc<dyn Source>, held: usize, back: bool, name: String) -> Result<Arc<dyn Source>> {
    // A class's last item comes after everything, so that no class is held out whole.
    let mut indices = drawn(&*source, streams::HOLD_OUT, 1.0);
    let kept = indices.split_off(held.min(indices.len()));
    let mut indices = if back { indices } else { kept };
    if indices.is_empty() {
        return Err(Error::usage(format!("{name} would hold no items: there are {} to take them from", source.len())));
    }
    indices.sort_unstable();
    Ok(Arc::new(Subset { inner: source, indices, name }))
}

/// Every class's items in a seeded order; one list where there are no labels.
fn by_class(source: &dyn Source, stream: u32) -> Vec<Vec<u32>> {
    let mut classes = vec![Vec::new(); source.classes().max(1)];
    for index in 0..source.len() {
        let label = source.label(index).unwrap_or(0) as usize;
        if label >= classes.len() {
            classes.resize(label + 1, Vec::new());
        }
        classes[label].push(index as u32);
    }
    for (class, items) in classes.iter_mut().enumerate() {
        // Step 2c is the order of a class, step 2c + 1 its offset.
        let order = Draws::new(0, stream, 2 * class as u32).permutation(items.len());
        *items = order.into_iter().map(|at| items[at as usize]).collect();
    }
    classes
}

/// All items in the order of their keys, `last` added to that of each class's last.
fn drawn(source: &dyn Source, stream: u32, last: f64) -> Vec<u32> {
    let mut classes = by_class(source, stream);
    if classes.len() == 1 {
        // The keys of one class are in order, and there may be many items.
        return classes.swap_remove(0);
    }
    let mut keys: Vec<(f64, u32)> = Vec::with_capacity(source.len());
    for (class, items) in classes.into_iter().enumerate() {
        let offset = f64::from(Draws::new(0, stream, 2 * class as u32 + 1).unit());
        let count = items.len();
        let key = |rank: usize| (rank as f64 + offset) / count as f64 + if rank + 1 == count { last } else { 0.0 };
        keys.extend(items.into_iter().enumerate().map(|(rank, index)| (key(rank), index)));
    }
    keys.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    keys.into_iter().map(|(_, index)| index).collect()
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
    for (class, items) in by_class(&*inner, streams::SUBSET).into_iter().enumerate() {
        let Some(chosen) = items.get(..per_class) else {
            let (class, count) = (inner.class_names().get(class).cloned().unwrap_or_default(), items.len());
            return Err(Error::usage(format!("{name} has {count} items of class {class}, fewer than {per_class} a class")));
        };
        indices.extend_from_slice(chosen);
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
        let (kept, held) = (part(sorted.clone(), 8, false, "k".into()).unwrap(), part(sorted.clone(), 8, true, "h".into()).unwrap());
        assert_eq!((kept.len(), held.len(), labels(&held, 2)), (88, 8, vec![5, 3]));
        let mut all: Vec<f32> = first_values(&kept).into_iter().chain(first_values(&held)).collect();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..96).map(|i| i as f32).collect::<Vec<_>>());
        let rare: Arc<dyn Source> = Arc::new(Sorted { each: vec![1, 1, 1, 1, 2], named: true });
        assert_eq!(labels(&part(rare, 1, true, "h".into()).unwrap(), 5), [0, 0, 0, 0, 1]);
        assert!(part(sorted.clone(), 0, true, "h".into()).is_err());
        assert!(part(sorted, 96, false, "k".into()).is_err());
    }
}
