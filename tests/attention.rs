//! Attention: its gradient, its definition, and what it does not depend on.

mod support;

use kiln::Result;
use kiln::op::Product;
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
fn products_of_matrices_pair_by_pair() -> Result<()> {
    for turned in [[false, false], [true, false], [false, true], [true, true]] {
        let mut b = Bench::new();
        let (x, z) = (b.leaf(if turned[0] { [2, 4, 3] } else { [2, 3, 4] }), b.leaf(if turned[1] { [2, 5, 4] } else { [2, 4, 5] }));
        let y = b.graph.op(Product { turned }, &[x, z])?;
        b.check_gradients(y, 1e-6);
    }
    // Every pair by itself is a product of matrices; sizes that fill no tile.
    let mut b = Bench::new();
    let (x, z) = (b.leaf([3, 19, 37]), b.leaf([3, 37, 45]));
    let y = b.graph.batched_matmul(x, z)?;
    b.graph.output("y", y);
    for pair in 0..3 {
        let (left, right) = (b.graph.slice(x, 0, pair, 1)?, b.graph.slice(z, 0, pair, 1)?);
        let (left, right) = (b.graph.reshape(left, [19, 37])?, b.graph.reshape(right, [37, 45])?);
        let own = b.graph.matmul(left, right)?;
        b.graph.output(&format!("y{pair}"), own);
    }
    b.check_executors(1e-5);
    let apart = (0..3).flat_map(|pair| b.run::<f64>(true, &format!("y{pair}"))).collect::<Vec<_>>();
    close(&b.run::<f64>(true, "y"), &apart, 1e-12, "pairs");
    for other in [vec![3, 45, 37], vec![2, 37, 45], vec![37, 45]] {
        let other = b.leaf(other.as_slice());
        assert!(b.graph.batched_matmul(x, other).is_err());
    }
    Ok(())
}

/// softmax(q·kᵀ/√w)·v, with all scores at hand.
#[test]
fn attention_is_a_softmax_between_two_products() -> Result<()> {
    let (n, length, width) = (2, 13, 8);
    let mut b = Bench::new();
    let x = b.leaf([n, length, 3 * width]);
    let whole = b.graph.attention(x, 1)?;
    let mut part = |k: usize| b.graph.slice(x, 2, k * width, width);
    let [q, k, v] = [part(0)?, part(1)?, part(2)?];
    let scores = b.graph.op(Product { turned: [false, true] }, &[q, k])?;
    let scores = b.graph.scale(scores, 1.0 / (width as f64).sqrt())?;
    let shares = b.graph.softmax(scores)?;
    let apart = b.graph.batched_matmul(shares, v)?;
    let upstream = b.leaf([n, length, width]);
    for (name, y) in [("whole", whole), ("apart", apart)] {
        let dot = b.graph.mul(y, upstream)?;
        let loss = b.graph.sum_all(dot)?;
        let gradient = b.graph.gradients(loss, &[x])?[0];
        b.graph.output(name, y);
        b.graph.output(&format!("{name}.x"), gradient);
    }
    close(&b.run::<f64>(true, "whole"), &b.run::<f64>(true, "apart"), 1e-10, "attention");
    close(&b.run::<f64>(true, "whole.x"), &b.run::<f64>(true, "apart.x"), 1e-10, "its gradient");
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
