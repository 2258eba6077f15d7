//! Labels as models take them.

/// `[count, classes]` with a one at each label; zeros where there is none.
pub fn one_hot(labels: &[u32], classes: usize, count: usize) -> Vec<f32> {
    let mut hot = vec![0.0; count * classes];
    for (row, label) in hot.chunks_mut(classes.max(1)).zip(labels) {
        if let Some(cell) = row.get_mut(*label as usize) {
            *cell = 1.0;
        }
    }
    hot
}
