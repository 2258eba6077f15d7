//! A few labelled items of another source: so many of each class.

use super::{Kind, Source, check_read};
use crate::{Error, Result};
use std::sync::Arc;

/// The first `per_class` items of each class of a source, in its order.
///
/// # Errors
/// [`Error::Usage`] where the source has no labels, or a class has fewer items.
pub fn labelled(inner: Arc<dyn Source>, per_class: usize) -> Result<Arc<dyn Source>> {
    let (name, classes) = (inner.name(), inner.classes());
    if classes == 0 {
        return Err(Error::usage(format!("{name} has no labels to take some of; leave --labels-per-class out")));
    }
    if per_class == 0 {
        return Err(Error::usage("--labels-per-class must be at least 1"));
    }
    let mut counts = vec![0; classes];
    let mut indices = Vec::with_capacity(classes * per_class);
    for index in 0..inner.len() {
        if let Some(count) = inner.label(index).and_then(|label| counts.get_mut(label as usize))
            && *count < per_class
        {
            *count += 1;
            indices.push(index);
        }
    }
    if let Some(short) = counts.iter().position(|&c| c < per_class) {
        let class = inner.class_names().get(short).cloned().unwrap_or_default();
        return Err(Error::usage(format!("{name} has {} items of class {class}, fewer than {per_class} a class", counts[short])));
    }
    let name = format!("{name} ({per_class} a class)");
    Ok(Arc::new(Subset { inner, indices, name }))
}

struct Subset {
    inner: Arc<dyn Source>,
    indices: Vec<usize>,
    name: String,
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn dims(&self) -> [usize; 3] {
        self.inner.dims()
    }
    fn kind(&self) -> Kind {
        self.inner.kind()
    }
    fn classes(&self) -> usize {
        self.inner.classes()
    }
    fn class_names(&self) -> Vec<String> {
        self.inner.class_names()
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        self.inner.read(self.indices[index], out)
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.indices.get(index).and_then(|&i| self.inner.label(i))
    }
    fn attributes(&self, index: usize) -> Vec<(&'static str, f32)> {
        self.indices.get(index).map(|&i| self.inner.attributes(i)).unwrap_or_default()
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn costly(&self) -> bool {
        self.inner.costly()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OpenOptions, Split, open};
    use super::*;

    #[test]
    fn every_class_has_its_share_and_no_more() {
        let digits = open("builtin:digits", Split::Train, &OpenOptions { limit: Some(300), ..OpenOptions::default() }).unwrap();
        let few = labelled(digits.clone(), 3).unwrap();
        let mut labels: Vec<u32> = (0..few.len()).filter_map(|i| few.label(i)).collect();
        labels.sort_unstable();
        assert_eq!(labels, (0..10).flat_map(|c| [c; 3]).collect::<Vec<u32>>());
        let (mut ours, mut theirs) = (vec![0.0; 784], vec![0.0; 784]);
        few.read(4, &mut ours).unwrap();
        let at = (0..300).find(|&i| digits.read(i, &mut theirs).is_ok() && ours == theirs).unwrap();
        assert_eq!(digits.label(at), few.label(4));
        assert!(labelled(digits.clone(), 0).is_err());
        assert!(labelled(digits, 200).err().unwrap().to_string().contains("fewer than 200"));
    }
}
