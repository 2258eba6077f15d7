//! Attention: its gradient, its definition, and what it does not depend on.

mod support;

use kiln::Result;
use support::{Bench, close, normals};

#[test]
fn its_gradients_are_differences() -> Result<()> {
    for (dims, heads) in [([2usize, 1, 1, 12], 1usize), ([2, 3, 3, 24], 2), ([1, 5, 2, 48], 1), ([1, 3, 1, 36], 3)] {
        let mut b = Bench::new();
        let x = b.leaf(dims);
        let y = b.graph.attention(x, heads)?;
        b.check_gradients(y, 1e-6);
    }
    Ok(())
}

#[test]
fn blocks_of_every_size_come_to_the_same() -> Result<()> {
    // Fewer and more queries and keys than a block has, and scores of a size that only the largest's removal survives.
    for (length, width, size) in [(1, 4, 1.0), (7, 4, 1.0), (64, 32, 1.0), (127, 8, 20.0), (129, 64, 1.0), (257, 12, 1.0), (300, 36, 6.0)] {
        let heads = 2;
        let mut b = Bench::new();
        let dims = [2, length, 3 * heads * width];
        let count = dims.iter().product();
        let x = b.leaf_of(dims, normals(count, 3).iter().map(|v| v * size).collect());
        let y = b.graph.attention(x, heads)?;
        let upstream = b.leaf([2, length, heads * width]);
        let dot = b.graph.mul(y, upstream)?;
        let loss = b.graph.sum_all(dot)?;
        let gradient = b.graph.gradients(loss, &[x])?[0];
        b.graph.output("y", y);
        b.graph.output("gradient", gradient);
        b.check_executors(2e-4 * size);
    }
    Ok(())
}

#[test]
fn positions_may_be_in_any_order() -> Result<()> {
    let (length, channels, heads) = (11, 24, 2);
    let values = normals(length * channels, 5);
    let order: Vec<usize> = (0..length).map(|i| i * 4 % length).collect();
    let permuted =
        |values: &[f64], channels: usize| order.iter().flat_map(|i| values[i * channels..][..channels].to_vec()).collect::<Vec<_>>();
    let run = |values: Vec<f64>| -> Result<Vec<f64>> {
        let mut b = Bench::new();
        let x = b.leaf_of([1, length, channels], values);
        let y = b.graph.attention(x, heads)?;
        b.graph.output("y", y);
        Ok(b.run::<f32>(true, "y"))
    };
    close(&run(permuted(&values, channels))?, &permuted(&run(values)?, channels / 3), 1e-6, "permuted");
    Ok(())
}

#[test]
fn one_position_reads_itself() -> Result<()> {
    let mut b = Bench::new();
    let values = normals(2 * 12, 7);
    let x = b.leaf_of([2, 1, 12], values.clone());
    let y = b.graph.attention(x, 1)?;
    b.graph.output("y", y);
    let own: Vec<f64> = values.chunks(12).flat_map(|row| row[8..].to_vec()).collect();
    close(&b.run::<f32>(true, "y"), &own, 1e-6, "the values themselves");
    Ok(())
}

#[test]
fn softmax_and_silu() -> Result<()> {
    let mut b = Bench::new();
    let x = b.leaf([3, 2, 5]);
    let y = b.graph.softmax(x)?;
    let y = b.graph.silu(y)?;
    b.check_gradients(y, 1e-6);
    // Shares sum to 1, and are no others where all numbers are larger by as much.
    let mut b = Bench::new();
    let x = b.leaf_of([2, 3], vec![1.0, 2.0, 3.0, 1001.0, 1002.0, 1003.0]);
    let y = b.graph.softmax(x)?;
    b.graph.output("y", y);
    let weights = [1.0f64, 2.0, 3.0].map(f64::exp);
    let want = weights.map(|w| w / weights.iter().sum::<f64>());
    close(&b.run::<f32>(true, "y"), &[want, want].concat(), 1e-6, "shares");
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut b = Bench::new();
    let (x, flat) = (b.leaf([2, 5, 24]), b.leaf([2, 24]));
    for heads in [0, 3, 4] {
        assert!(b.graph.attention(x, heads).is_err(), "{heads} heads");
    }
    assert!(b.graph.attention(flat, 1).is_err());
}
