//! The scan: its meaning against a skewed reference, its executors against each other, its gradient against differences, and what
//! follows from what it is.

mod support;

use kiln::Result;
use kiln::graph::NodeId;
use kiln::op::{Gating, Taps, Walk};
use support::{Bench, close, normals};

const WALKS: [Walk; 5] = [Walk::Rows { kernel: 1 }, Walk::Rows { kernel: 3 }, Walk::Rows { kernel: 5 }, Walk::Rightward, Walk::Leftward];

/// A scan of random leaves: sums, weights, initial states.
fn scan(b: &mut Bench, walk: Walk, gating: Gating, [n, height, width, h]: [usize; 4]) -> Result<NodeId> {
    let sums = b.leaf([n, height, width, 4 * h]);
    let weights = b.leaf([walk.taps().len(), h, gating.entered() * h]);
    let initial = b.leaf([gating.states(), h]);
    let small = b.graph.scale(weights, 0.4)?;
    b.graph.scan(sums, small, initial, walk, gating)
}

/// Every walk of every cell.
fn all() -> impl Iterator<Item = (Walk, Gating)> {
    WALKS.into_iter().flat_map(|walk| [Gating::Lstm, Gating::Gru].map(|gating| (walk, gating)))
}

#[test]
fn gradients_in_mid_graph_equal_differences() -> Result<()> {
    for (walk, gating) in all() {
        for dims in [[2, 5, 7, 3], [1, 7, 4, 5], [3, 1, 6, 2], [2, 6, 1, 2], [1, 1, 1, 4]] {
            let mut b = Bench::new();
            let [n, height, width, h] = dims;
            // The sums come from a convolution, which the adjoint computes again.
            let x = b.leaf([n, height, width, 2]);
            let (into, bias) = (b.leaf([1, 2, 4 * h]), b.leaf([4 * h]));
            let sums = b.graph.conv(x, into, Taps::pointwise([height, width]))?;
            let sums = b.graph.add(sums, bias)?;
            let weights = b.leaf([walk.taps().len(), h, gating.entered() * h]);
            let initial = b.leaf([gating.states(), h]);
            let y = b.graph.scan(sums, weights, initial, walk, gating)?;
            b.check_gradients(y, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn executors_agree_over_awkward_widths() -> Result<()> {
    for (walk, gating) in all() {
        for dims in [[5, 9, 11, 16], [2, 12, 10, 17], [3, 10, 9, 33], [1, 2, 30, 8], [9, 40, 1, 12]] {
            let mut b = Bench::new();
            let y = scan(&mut b, walk, gating, dims)?;
            let weights = b.leaf(dims);
            let dot = b.graph.mul(y, weights)?;
            let loss = b.graph.sum_all(dot)?;
            let wrt: Vec<NodeId> = b.leaves.iter().map(|l| l.1).collect();
            for (k, gradient) in b.graph.gradients(loss, &wrt)?.into_iter().enumerate() {
                b.graph.output(&format!("grad{k}"), gradient);
            }
            b.graph.output("y", y);
            b.check_executors(2e-5);
        }
    }
    Ok(())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The Diagonal LSTM as the paper has it, on a skewed map: row r is shifted r columns to the right, and each column reads the one
/// before it and that shifted down a row.
fn skewed(sums: &[f64], weights: &[f64], initial: &[f64], [height, width, h]: [usize; 3]) -> Vec<f64> {
    let columns = height + width - 1;
    let mut map = vec![None; height * columns];
    for r in 0..height {
        for c in 0..width {
            map[r * columns + r + c] = Some(&sums[(r * width + c) * 4 * h..][..4 * h]);
        }
    }
    let mut hidden = vec![initial[..h].to_vec(); height];
    let mut cells = vec![initial[h..].to_vec(); height];
    let mut skew = vec![vec![0.0; h]; height * columns];
    for d in 0..columns {
        let before = hidden.clone();
        for r in 0..height {
            let Some(sums) = map[r * columns + d] else { continue };
            let zero = vec![0.0; h];
            let above = if r > 0 { &before[r - 1] } else { &zero };
            let z: Vec<f64> = (0..4 * h)
                .map(|j| {
                    let product = |row: &[f64], t: usize| (0..h).map(|k| row[k] * weights[(t * h + k) * 4 * h + j]).sum::<f64>();
                    sums[j] + product(above, 0) + product(&before[r], 1)
                })
                .collect();
            for k in 0..h {
                let c = sigmoid(z[h + k]) * cells[r][k] + sigmoid(z[k]) * z[2 * h + k].tanh();
                cells[r][k] = c;
                hidden[r][k] = sigmoid(z[3 * h + k]) * c.tanh();
            }
            skew[r * columns + d] = hidden[r].clone();
        }
    }
    (0..height).flat_map(|r| (0..width).flat_map(move |c| [r * columns + r + c])).flat_map(|at| skew[at].clone()).collect()
}

/// Each row of `[H, W, C]` from right to left.
fn flipped(values: &[f64], width: usize, channels: usize) -> Vec<f64> {
    values.chunks(width * channels).flat_map(|row| row.chunks(channels).rev().flatten().copied().collect::<Vec<_>>()).collect()
}

#[test]
fn diagonals_are_the_columns_of_the_skewed_map() -> Result<()> {
    for [height, width, h] in [[5, 7, 3], [7, 3, 2], [1, 4, 2], [4, 1, 2], [6, 6, 1]] {
        let (sums, weights, initial) = (normals(height * width * 4 * h, 1), normals(8 * h * h, 2), normals(2 * h, 3));
        let run = |walk| -> Result<Vec<f64>> {
            let mut b = Bench::new();
            let nodes = [
                b.leaf_of([1, height, width, 4 * h], sums.clone()),
                b.leaf_of([2, h, 4 * h], weights.clone()),
                b.leaf_of([2, h], initial.clone()),
            ];
            let y = b.graph.scan(nodes[0], nodes[1], nodes[2], walk, Gating::Lstm)?;
            b.graph.output("y", y);
            Ok(b.run::<f64>(false, "y"))
        };
        close(&run(Walk::Rightward)?, &skewed(&sums, &weights, &initial, [height, width, h]), 1e-12, "rightward");
        // Leftward flips the columns before skewing, and back after it.
        let mirrored = skewed(&flipped(&sums, width, 4 * h), &weights, &initial, [height, width, h]);
        close(&run(Walk::Leftward)?, &flipped(&mirrored, width, h), 1e-12, "leftward");
    }
    Ok(())
}

#[test]
fn rows_with_a_kernel_of_one_are_sequences_side_by_side() -> Result<()> {
    let (height, width, h) = (6, 4, 3);
    let mut b = Bench::new();
    let sums = b.leaf([1, height, width, 4 * h]);
    let (weights, initial) = (b.leaf([1, h, 4 * h]), b.leaf([2, h]));
    let whole = b.graph.scan(sums, weights, initial, Walk::Rows { kernel: 1 }, Gating::Lstm)?;
    b.graph.output("whole", whole);
    for column in 0..width {
        let one = b.graph.slice(sums, 2, column, 1)?;
        let one = b.graph.scan(one, weights, initial, Walk::Rows { kernel: 1 }, Gating::Lstm)?;
        let same = b.graph.slice(whole, 2, column, 1)?;
        b.graph.output(&format!("one{column}"), one);
        b.graph.output(&format!("same{column}"), same);
    }
    for column in 0..width {
        let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        let same = |fusion| (bits(b.run::<f32>(fusion, &format!("one{column}"))), bits(b.run::<f32>(fusion, &format!("same{column}"))));
        let (one, part) = same(true);
        assert_eq!(one, part, "column {column}");
    }
    Ok(())
}

/// PyTorch's GRU over one sequence: `r = σ(a_r + W_r h)`, `z = σ(a_z + W_z h)`, `n = tanh(a_n + r ∘ (W_n h + b))`, `h' = (1 − z) n + z h`.
fn gru([sums, weights, initial]: [&[f64]; 3], [steps, h]: [usize; 2]) -> Vec<f64> {
    let mut state = initial.to_vec();
    let mut all = Vec::new();
    for t in 0..steps {
        let own = &sums[t * 4 * h..][..4 * h];
        let product = |column: usize| (0..h).map(|k| state[k] * weights[k * 3 * h + column]).sum::<f64>();
        let next: Vec<f64> = (0..h)
            .map(|j| {
                let (r, z) = (sigmoid(own[j] + product(j)), sigmoid(own[h + j] + product(h + j)));
                let n = (own[3 * h + j] + r * (own[2 * h + j] + product(2 * h + j))).tanh();
                (1.0 - z) * n + z * state[j]
            })
            .collect();
        state = next;
        all.extend(&state);
    }
    all
}

#[test]
fn a_gru_is_that_of_pytorch() -> Result<()> {
    for [steps, h] in [[7, 3], [1, 5], [30, 16]] {
        let (sums, weights, initial) = (normals(steps * 4 * h, 1), normals(3 * h * h, 2), normals(h, 3));
        let mut b = Bench::new();
        let nodes =
            [b.leaf_of([1, steps, 1, 4 * h], sums.clone()), b.leaf_of([1, h, 3 * h], weights.clone()), b.leaf_of([1, h], initial.clone())];
        let y = b.graph.scan(nodes[0], nodes[1], nodes[2], Walk::Rows { kernel: 1 }, Gating::Gru)?;
        b.graph.output("y", y);
        let want = gru([&sums, &weights, &initial], [steps, h]);
        close(&b.run::<f64>(false, "y"), &want, 1e-12, "f64");
        close(&b.run::<f32>(true, "y"), &want, 2e-5, "f32");
    }
    Ok(())
}

#[test]
fn an_open_forget_gate_and_a_shut_input_gate_keep_the_cell_state() -> Result<()> {
    for walk in WALKS {
        let (height, width, h) = (4, 5, 2);
        let mut b = Bench::new();
        let gates = |unit: usize| [-1e3, 1e3, 0.7, 1e3][unit / h];
        let sums = b.leaf_of([1, height, width, 4 * h], (0..height * width * 4 * h).map(|at| gates(at % (4 * h))).collect());
        let weights = b.leaf([walk.taps().len(), h, 4 * h]);
        let initial = b.leaf_of([2, h], vec![0.0, 0.0, 0.3, -1.2]);
        let y = b.graph.scan(sums, weights, initial, walk, Gating::Lstm)?;
        b.graph.output("y", y);
        let want: Vec<f64> = (0..height * width * h).map(|at| [0.3f64, -1.2][at % h].tanh()).collect();
        close(&b.run::<f64>(false, "y"), &want, 1e-12, "f64");
        close(&b.run::<f32>(true, "y"), &want, 1e-6, "f32");
    }
    Ok(())
}

#[test]
fn what_one_image_gives_does_not_depend_on_the_others() -> Result<()> {
    for (walk, gating) in all() {
        let (n, height, width, h) = (7, 3, 9, 16);
        let mut b = Bench::new();
        let y = scan(&mut b, walk, gating, [n, height, width, h])?;
        b.graph.output("y", y);
        let all = b.run::<f32>(false, "y");
        let (sums, weights, initial) = (
            normals(n * height * width * 4 * h, 1),
            normals(walk.taps().len() * gating.entered() * h * h, 2),
            normals(gating.states() * h, 3),
        );
        for image in 0..n {
            let mut b = Bench::new();
            let size = height * width * 4 * h;
            let own = b.leaf_of([1, height, width, 4 * h], sums[image * size..(image + 1) * size].to_vec());
            let weights = b.leaf_of([walk.taps().len(), h, gating.entered() * h], weights.clone());
            let initial = b.leaf_of([gating.states(), h], initial.clone());
            let small = b.graph.scale(weights, 0.4)?;
            let y = b.graph.scan(own, small, initial, walk, gating)?;
            b.graph.output("y", y);
            assert_eq!(b.run::<f32>(false, "y"), all[image * size / 4..(image + 1) * size / 4], "{walk:?}, image {image}");
        }
    }
    Ok(())
}

#[test]
fn a_scan_has_no_second_derivative_and_says_so() -> Result<()> {
    let mut b = Bench::new();
    let y = scan(&mut b, Walk::Rightward, Gating::Lstm, [1, 2, 2, 1])?;
    let loss = b.graph.sum_all(y)?;
    let x = b.leaves[0].1;
    let gradient = b.graph.gradients(loss, &[x])?[0];
    let loss = b.graph.sum_all(gradient)?;
    let error = b.graph.gradients(loss, &[x]).expect_err("a refusal").to_string();
    assert!(error.contains("second derivative"), "{error}");
    Ok(())
}
