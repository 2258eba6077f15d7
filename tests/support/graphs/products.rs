//! Products: convolutions, matrices, attention, and recurrences.

use kiln::Result;
use kiln::op::{ConvWeight, Gating, Product, Taps, Walk};

use super::{Case, case};

fn geometries() -> Result<Vec<(Taps, usize, usize, usize)>> {
    let dense = |k, s, p, h, w| Taps::dense([k, k], s, p, [h, w]);
    Ok(vec![
        (Taps::causal(7, false, [9, 8]), 2, 1, 5),
        (Taps::causal(3, true, [5, 7]), 3, 4, 3),
        (Taps::causal(3, true, [6, 6]), 2, 8, 32),
        (Taps::pointwise([3, 4]), 2, 5, 35),
        (Taps::pointwise([1, 1]), 70, 20, 68),
        (Taps::pointwise([1, 1]), 1, 9, 2),
        (dense(3, 1, 1, 6, 5)?, 2, 3, 17),
        (dense(4, 2, 1, 8, 8)?, 2, 8, 16),
        (dense(4, 2, 1, 7, 9)?, 1, 2, 12),
        (dense(5, 3, 2, 7, 10)?, 1, 3, 2),
        (dense(4, 1, 0, 4, 4)?, 3, 6, 1),
        (dense(2, 2, 0, 5, 4)?, 1, 1, 1),
        // Few long sums.
        (dense(4, 1, 0, 4, 4)?, 3, 20, 1),
        (dense(4, 1, 0, 4, 4)?, 2, 18, 5),
        (Taps::pointwise([1, 1]), 5, 3, 300),
    ])
}

/// Convolutions, their adjoints and weight gradients.
pub fn convolutions() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (taps, n, c, d) in geometries()? {
        let name = format!("conv {:?}→{:?} ×{}, {} taps, {n}×{c}→{d}", taps.input, taps.output, taps.stride, taps.offsets.len());
        cases.push(case(name, |b| {
            let x = b.leaf([n, taps.input[0], taps.input[1], c]);
            let g = b.leaf([n, taps.output[0], taps.output[1], d]);
            let w = b.leaf([taps.offsets.len(), c, d]);
            let y = b.graph.conv(x, w, taps.clone())?;
            let dx = b.graph.conv_transposed(g, w, taps.clone())?;
            let dw = b.graph.op(ConvWeight::new(taps), &[x, g])?;
            Ok(vec![y, dx, dw])
        })?);
    }
    // Enough positions that the weight gradient is split and that larger tiles are chosen.
    cases.push(case("split weight gradient", |b| {
        let taps = Taps::causal(3, true, [16, 16]);
        let (x, g) = (b.leaf([4, 16, 16, 3]), b.leaf([4, 16, 16, 4]));
        Ok(vec![b.graph.op(ConvWeight::new(taps), &[x, g])?])
    })?);
    Ok(cases)
}

/// Products large enough for cooperative matrices, whose operands are leaves (the first through a relu, the sums through a bias), so that
/// rounding those rounds all there is.
pub fn matrices() -> Result<Vec<Case>> {
    let dense = |k, s, p, h, w| Taps::dense([k, k], s, p, [h, w]);
    let all = [
        (dense(4, 2, 1, 8, 8)?, 2, 8, 16),
        (Taps::causal(3, true, [6, 6]), 2, 20, 36),
        (Taps::pointwise([1, 1]), 70, 20, 68),
        (dense(3, 1, 1, 6, 5)?, 3, 7, 17),
    ];
    let mut cases = Vec::new();
    for (taps, n, c, d) in all {
        let name = format!("product {:?}→{:?}, {} taps, {n}×{c}→{d}", taps.input, taps.output, taps.offsets.len());
        cases.push(case(name, |b| {
            let x = b.leaf([n, taps.input[0], taps.input[1], c]);
            let g = b.leaf([n, taps.output[0], taps.output[1], d]);
            let w = b.leaf([taps.offsets.len(), c, d]);
            let bias = b.leaf([d]);
            let positive = b.graph.relu(x)?;
            let product = b.graph.conv(positive, w, taps.clone())?;
            let y = b.graph.add(product, bias)?;
            let dx = b.graph.conv_transposed(g, w, taps.clone())?;
            let dw = b.graph.op(ConvWeight::new(taps), &[positive, g])?;
            Ok(vec![y, dx, dw])
        })?);
    }
    Ok(cases)
}

/// Products of matrices pair by pair, either factor turned.
pub fn products() -> Result<Vec<Case>> {
    let build = |([batch, m, k, n], turned): ([usize; 4], [bool; 2])| {
        case(format!("{batch} products of {m}×{k} and {k}×{n}, turned {turned:?}"), |b| {
            let a = b.leaf(if turned[0] { [batch, k, m] } else { [batch, m, k] });
            let c = b.leaf(if turned[1] { [batch, n, k] } else { [batch, k, n] });
            Ok(vec![b.graph.op(Product { turned }, &[a, c])?])
        })
    };
    let sizes =
        [([3, 5, 7, 4], [false, false]), ([2, 9, 3, 70], [true, false]), ([1, 1, 40, 33], [false, true]), ([5, 20, 1, 17], [true, true])];
    sizes.into_iter().map(build).collect()
}

/// Attention and its gradient: fewer and more positions than a workgroup and a tile have, one head and several, wide and narrow.
pub fn attentions() -> Result<Vec<Case>> {
    let sizes = [
        ([2usize, 1, 1, 12], 1usize),
        ([1, 7, 1, 24], 2),
        ([2, 5, 7, 48], 4),
        ([1, 11, 7, 96], 1),
        ([1, 70, 1, 36], 3),
        ([1, 6, 6, 192], 1),
    ];
    let build = |(dims, heads): ([usize; 4], usize)| {
        case(format!("attention of {heads} heads over {dims:?}"), |b| {
            let x = b.leaf(dims);
            let y = b.graph.attention(x, heads)?;
            let upstream = b.leaf([dims[0], dims[1], dims[2], dims[3] / 3]);
            let dot = b.graph.mul(y, upstream)?;
            let loss = b.graph.sum_all(dot)?;
            let mut all = b.graph.gradients(loss, &[x])?;
            all.push(y);
            Ok(all)
        })
    };
    sizes.into_iter().map(build).collect()
}

/// Scans and their adjoints: states that fit workgroup memory and such that do not, weights that are held in registers and not.
pub fn scans() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let sizes = [
        (Walk::Rows { kernel: 1 }, [1, 6, 1, 33]),
        (Walk::Rows { kernel: 3 }, [2, 4, 3, 34]),
        (Walk::Rows { kernel: 1 }, [1, 2, 9, 40]),
        (Walk::Leftward, [2, 3, 2, 35]),
        (Walk::Rows { kernel: 3 }, [2, 5, 7, 3]),
        (Walk::Rows { kernel: 5 }, [1, 3, 4, 16]),
        (Walk::Rightward, [2, 3, 7, 3]),
        (Walk::Rightward, [1, 30, 3, 20]),
        (Walk::Leftward, [3, 6, 4, 16]),
        (Walk::Leftward, [1, 1, 5, 4]),
    ];
    for (gating, (walk, dims)) in [Gating::Lstm, Gating::Gru].into_iter().flat_map(|gating| sizes.map(|size| (gating, size))) {
        cases.push(case(format!("scan {gating:?} {walk:?} of {dims:?}"), |b| {
            let [n, height, width, h] = dims;
            let sums = b.leaf([n, height, width, 4 * h]);
            let weights = b.leaf([walk.taps().len(), h, gating.entered() * h]);
            let initial = b.leaf([gating.states(), h]);
            let small = b.graph.scale(weights, 0.3)?;
            let y = b.graph.scan(sums, small, initial, walk, gating)?;
            let upstream = b.leaf(dims);
            let dot = b.graph.mul(y, upstream)?;
            let loss = b.graph.sum_all(dot)?;
            let mut all = b.graph.gradients(loss, &[sums, weights, initial])?;
            all.push(y);
            Ok(all)
        })?);
    }
    Ok(cases)
}
