//! Group normalisation: its gradient, its definition, and what it does not depend on.

mod support;

use kiln::Result;
use kiln::op::Grouping;
use support::{Bench, close, normals};

#[test]
fn its_gradients_are_differences() -> Result<()> {
    for silu in [false, true] {
        for (dims, groups) in [([2usize, 3, 4, 6], 3usize), ([3, 1, 1, 8], 2), ([1, 5, 2, 20], 1), ([2, 2, 2, 4], 4)] {
            let [n, _, _, c] = dims;
            for own in [false, true] {
                let mut b = Bench::new();
                let x = b.leaf(dims);
                let shape = if own { vec![n, 1, 1, c] } else { vec![c] };
                let (scale, shift) = (b.leaf(shape.as_slice()), b.leaf(shape.as_slice()));
                let y = b.graph.group_norm(x, scale, shift, Grouping { groups, epsilon: 1e-2, silu })?;
                b.check_gradients(y, 1e-6);
            }
        }
    }
    Ok(())
}

/// One group of an image, by its definition.
fn defined(x: &[f64], epsilon: f64) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    x.iter().map(|v| (v - mean) / (var + epsilon).sqrt()).collect()
}

#[test]
fn each_group_has_mean_0_and_variance_1() -> Result<()> {
    let ([n, h, w, c], groups) = ([2, 3, 5, 12], 4);
    let mut b = Bench::new();
    // A mean that is large beside the spread costs no digits.
    let values: Vec<f64> = normals(n * h * w * c, 9).iter().map(|v| v + 1000.0).collect();
    let x = b.leaf_of([n, h, w, c], values.clone());
    let (one, zero) = (b.leaf_of([c], vec![1.0; c]), b.leaf_of([c], vec![0.0; c]));
    let y = b.graph.group_norm(x, one, zero, Grouping { groups, epsilon: 1e-5, silu: false })?;
    b.graph.output("y", y);
    let (double, single) = (b.run::<f64>(true, "y"), b.run::<f32>(true, "y"));
    let size = c / groups;
    for image in 0..n {
        for group in 0..groups {
            let places: Vec<usize> = (0..h * w).flat_map(|p| (0..size).map(move |k| (image * h * w + p) * c + group * size + k)).collect();
            let of = |from: &[f64]| places.iter().map(|p| from[*p]).collect::<Vec<_>>();
            close(&of(&double), &defined(&of(&values), 1e-5), 1e-9, "f64");
            // The numbers themselves are given to 1 part in 10⁷ of 1000.
            let given: Vec<f64> = of(&values).iter().map(|v| f64::from(*v as f32)).collect();
            close(&of(&single), &defined(&given, 1e-5), 2e-4, "f32");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut b = Bench::new();
    let (x, scale, flat) = (b.leaf([2, 3, 3, 6]), b.leaf([6]), b.leaf([2, 6]));
    for groups in [0, 4, 7] {
        assert!(b.graph.group_norm(x, scale, scale, Grouping { groups, epsilon: 1e-5, silu: true }).is_err());
    }
    let two = Grouping { groups: 2, epsilon: 1e-5, silu: true };
    assert!(b.graph.group_norm(x, scale, flat, two).is_err());
    assert!(b.graph.group_norm(flat, scale, scale, two).is_err());
}
