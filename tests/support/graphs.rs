//! Graphs that between them use every kernel with every switch: the GPU tests run them, the portability gates compile them.
#![allow(dead_code)] // each test binary uses its part

use kiln::Result;
use kiln::graph::{Binary, Distribution, NodeId, Rule, Unary, Update};
use kiln::op::{
    ConcatEluGradient, ConvWeight, Embed, GateGradient, GatedResidualGradient, Gating, Gaussians, Grouping, Mixture, MixtureNllGradient,
    Product, Reduction, Taps, Walk,
};

use crate::Bench;

/// A named graph with its outputs declared.
pub type Case = (String, Bench);

fn case(name: impl Into<String>, build: impl FnOnce(&mut Bench) -> Result<Vec<NodeId>>) -> Result<Case> {
    let mut b = Bench::new();
    for (k, id) in build(&mut b)?.into_iter().enumerate() {
        b.graph.output(&format!("out{k}"), id);
    }
    Ok((name.into(), b))
}

/// Pointwise programs over awkward shapes.
pub fn maps() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    use Unary::{Abs, Exp, Floor, Log, Neg, Recip, Relu, Sigmoid, Sign, Softplus, Sqrt, Step, Tanh};
    for shape in [[3usize, 5].as_slice(), &[4, 8]] {
        cases.push(case(format!("unary functions of {shape:?}"), |b| {
            let x = b.leaf(shape);
            let mut all = Vec::new();
            for f in [Neg, Abs, Sign, Step, Relu, Exp, Softplus, Sigmoid, Tanh, Floor] {
                all.push(b.graph.map(&[x], |e, v| e.unary(f, v[0]))?);
            }
            for f in [Log, Sqrt, Recip] {
                all.push(b.graph.map(&[x], |e, v| {
                    let square = e.mul(v[0], v[0]);
                    let positive = e.offset(square, 0.01);
                    e.unary(f, positive)
                })?);
            }
            Ok(all)
        })?);
    }
    use Binary::{Add, Div, Equal, Greater, Max, Min, Mul, Sub};
    let pairs: [(&[usize], &[usize]); 8] = [
        (&[2, 3, 3, 4], &[4]),
        (&[2, 3, 3, 5], &[5]),
        (&[2, 3, 3, 4], &[2, 1, 1, 1]),
        (&[5, 1], &[1, 7]),
        (&[3, 1, 2, 1], &[1, 4, 1, 8]),
        (&[1], &[6]),
        (&[1], &[1]),
        (&[2, 4, 8], &[4, 1]),
    ];
    for (left, right) in pairs {
        cases.push(case(format!("pairs of {left:?} and {right:?}"), |b| {
            let (x, z) = (b.leaf(left), b.leaf(right));
            let mut all = Vec::new();
            for f in [Add, Sub, Mul, Div, Max, Min, Greater, Equal] {
                all.push(b.graph.map(&[x, z], |e, v| {
                    let square = e.mul(v[1], v[1]);
                    let away = e.offset(square, 1.0);
                    e.binary(f, v[0], if f == Div { away } else { v[1] })
                })?);
            }
            all.push(b.graph.leaky_relu(x, 0.2)?);
            Ok(all)
        })?);
    }
    for shape in [[2usize, 3, 8].as_slice(), &[3, 2, 5], &[12], &[2, 6]] {
        cases.push(case(format!("channels of {shape:?}"), |b| {
            let x = b.leaf(shape);
            Ok(vec![b.graph.map(&[x], |e, v| {
                let channel = e.channel();
                e.add(v[0], channel)
            })?])
        })?);
    }
    cases.push(case("extreme constants", |b| {
        let x = b.leaf([3, 4]);
        [f64::from(f32::MAX), f64::from(f32::MIN), 1e-30, -0.0, 16_777_217.0]
            .into_iter()
            .map(|c| {
                b.graph.map(&[x], |e, v| {
                    let constant = e.constant(c);
                    let least = e.binary(Min, v[0], constant);
                    let most = e.binary(Max, v[0], constant);
                    let zero = e.constant(0.0);
                    let negative = e.binary(Greater, zero, constant);
                    e.select(negative, most, least)
                })
            })
            .collect()
    })?);
    cases.push(case("extreme arguments", |b| {
        let values = [-1e30, -200.0, -88.0, -20.0, -1e-4, 0.0, 1e-6, 0.2499, 0.2501, 20.0, 88.0, 1e30];
        let x = b.leaf_of([3, 4], values.to_vec());
        let mut all = Vec::new();
        for f in [Softplus, Sigmoid, Tanh] {
            all.push(b.graph.map(&[x], |e, v| e.unary(f, v[0]))?);
        }
        Ok(all)
    })?);
    Ok(cases)
}

/// Random leaves over the given shape.
pub fn draws(shape: &[usize]) -> Result<Case> {
    case(format!("draws of {shape:?}"), |b| {
        let uniform = b.graph.random(Distribution::Uniform, 7, shape)?;
        let normal = b.graph.random(Distribution::Normal, 9, shape)?;
        Ok(vec![uniform, normal])
    })
}

/// Reductions of every kind and form.
pub fn reductions() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for kind in [Reduction::Sum, Reduction::LogSumExp, Reduction::Max] {
        for (shape, axes) in [
            ([4, 3, 5], 0..1),
            ([4, 3, 5], 1..2),
            ([4, 3, 5], 2..3),
            ([4, 3, 5], 0..3),
            ([3, 700, 1], 1..2),
            ([1, 3000, 3], 1..2),
            ([1, 300, 70], 1..2),
            ([9000, 1, 1], 0..1),
            ([1, 1, 10], 2..3),
        ] {
            cases.push(case(format!("{kind:?} of {shape:?} over {axes:?}"), |b| {
                let x = b.leaf(shape);
                let bias = b.leaf([shape[2]]);
                let y = b.graph.mul(x, bias)?;
                Ok(vec![b.graph.reduce(kind, y, axes)?])
            })?);
        }
    }
    cases.push(case("sum of draws", |b| {
        let u = b.graph.random(Distribution::Uniform, 3, [5, 90])?;
        Ok(vec![b.graph.sum_items(u)?])
    })?);
    Ok(cases)
}

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

/// Fused blocks: prologues and epilogues with further inputs, positions and draws.
pub fn fused() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (c, d) in [(8, 20), (3, 5), (6, 16)] {
        cases.push(case(format!("fused block {c}→{d}"), |b| {
            let taps = Taps::causal(3, true, [6, 5]);
            let (x, w1, bias1) = (b.leaf([3, 6, 5, c]), b.leaf([5, c, d]), b.leaf([d]));
            let (w2, bias2) = (b.leaf([1, d, c]), b.leaf([c]));
            let mut h = b.graph.relu(x)?;
            h = b.graph.conv(h, w1, taps)?;
            h = b.graph.add(h, bias1)?;
            h = b.graph.leaky_relu(h, 0.2)?;
            h = b.graph.conv(h, w2, Taps::pointwise([6, 5]))?;
            h = b.graph.add(h, bias2)?;
            let noise = b.graph.random(Distribution::Uniform, 4, [3, 6, 5, c])?;
            h = b.graph.add(h, noise)?;
            let y = b.graph.add(h, x)?;
            let loss = b.graph.mean_all(y)?;
            let wrt: Vec<NodeId> = b.leaves.iter().map(|l| l.1).collect();
            let mut all = b.graph.gradients(loss, &wrt)?;
            all.push(y);
            Ok(all)
        })?);
    }
    Ok(cases)
}

/// Units over halves of the channels and their gradients, four channels at a time and one; with dropout behind one of them.
pub fn gates() -> Result<Vec<Case>> {
    let build = |[n, h, c]: [usize; 3]| {
        case(format!("gate {n}×{h}×{c}"), |b| {
            let (x, u) = (b.leaf([n, h, 2 * c]), b.leaf([n, h, c]));
            let g = &mut b.graph;
            g.let_drop(0.3);
            let both = g.concat_elu(u)?;
            Ok(vec![
                g.gate(x)?,
                g.op(GateGradient, &[x, u])?,
                g.gated_residual(u, x)?,
                g.op(GatedResidualGradient, &[x, u])?,
                g.dropout(both)?,
                g.op(ConcatEluGradient, &[u, x])?,
                g.elu(x)?,
            ])
        })
    };
    [[2, 5, 8], [3, 7, 5], [1, 1, 1], [40, 30, 12]].into_iter().map(build).collect()
}

/// Mixtures of logistics and their gradients, of one colour and three, with levels at both ends.
pub fn mixtures() -> Result<Vec<Case>> {
    let build = |(n, components, colours, levels): (usize, usize, usize, usize)| {
        case(format!("{n} pixels of {components} logistics for {colours} colours of {levels} levels"), |b| {
            let mixture = Mixture::new(components, colours, levels)?;
            let (parameters, shown, u) = (b.leaf([n, 3, mixture.parameters()]), b.leaf([n, 3, colours]), b.leaf([n, 3, colours]));
            let top = levels as f64 - 1.0;
            let levels = b.graph.map(&[shown], |e, v| {
                let spread = e.scale(v[0], 0.5 * top);
                let spread = e.offset(spread, 0.5 * top);
                let whole = e.unary(Unary::Floor, spread);
                let (zero, top) = (e.constant(0.0), e.constant(top));
                let whole = e.binary(Binary::Max, whole, zero);
                e.binary(Binary::Min, whole, top)
            })?;
            let gradient = b.graph.op(MixtureNllGradient { mixture }, &[parameters, levels, u])?;
            Ok(vec![b.graph.mixture_nll(parameters, levels, mixture)?, gradient])
        })
    };
    [(5, 3, 1, 256), (7, 10, 3, 256), (1, 1, 3, 2), (90, 2, 1, 5)].into_iter().map(build).collect()
}

/// Mixtures of Gaussians over values of some channels.
pub fn gaussians() -> Result<Vec<Case>> {
    let build = |(n, components, channels): (usize, usize, usize)| {
        case(format!("{n} steps of {components} Gaussians for {channels} channels"), |b| {
            let mixture = Gaussians::new(components)?;
            let (parameters, values) = (b.leaf([2, n, 1, channels * mixture.parameters()]), b.leaf([2, n, 1, channels]));
            Ok(vec![b.graph.gaussian_nll(parameters, values, mixture)?])
        })
    };
    [(5, 3, 1), (7, 5, 6), (1, 1, 2)].into_iter().map(build).collect()
}

/// Group normalisations and their gradients: four channels at a time and one, columns of more than a workgroup, scales of an image and of all.
pub fn group_norms() -> Result<Vec<Case>> {
    let sizes = [
        ([2usize, 5, 3, 8], 2usize, true),
        ([3, 1, 4, 6], 2, false),
        ([1, 2, 2, 600], 2, true),
        ([2, 3, 3, 1100], 1, false),
        ([9, 7, 7, 5], 5, true),
    ];
    let build = |(dims, groups, silu): ([usize; 4], usize, bool)| {
        case(format!("{groups} groups of {dims:?}"), |b| {
            let [n, _, _, c] = dims;
            let x = b.leaf(dims);
            let apart = b.graph.map(&[x], |e, v| e.offset(v[0], 3.0))?;
            let (scale, shift) = if silu { (b.leaf([n, 1, 1, c]), b.leaf([c])) } else { (b.leaf([c]), b.leaf([n, 1, 1, c])) };
            let y = b.graph.group_norm(apart, scale, shift, Grouping { groups, epsilon: 1e-5, silu })?;
            let upstream = b.leaf(dims);
            let dot = b.graph.mul(y, upstream)?;
            let loss = b.graph.sum_all(dot)?;
            let mut all = b.graph.gradients(loss, &[x, scale, shift])?;
            all.push(y);
            Ok(all)
        })
    };
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

/// Data movement.
pub fn movement() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (shape, axis, start, len, total) in [([2, 3, 8], 2, 4, 4, 16), ([2, 5, 3], 1, 1, 3, 7), ([4, 2, 3], 0, 2, 1, 7)] {
        cases.push(case(format!("slice, embed and concat {shape:?} along {axis}"), |b| {
            let (x, z) = (b.leaf(shape), b.leaf(shape));
            let slice = b.graph.slice(x, axis, start, len)?;
            let embed = b.graph.op(Embed { axis, start, total }, &[x])?;
            let joined = b.graph.concat(slice, z, axis)?;
            Ok(vec![slice, embed, joined])
        })?);
    }
    for shape in [[2usize, 2, 4, 3], [1, 6, 2, 8]] {
        cases.push(case(format!("{shape:?} doubled, halved and as shares"), |b| {
            let x = b.leaf(shape);
            Ok(vec![b.graph.upsample(x)?, b.graph.average_pool(x)?, b.graph.softmax(x)?])
        })?);
    }
    Ok(cases)
}

/// Scans and their adjoints: states that fit workgroup memory and such that do not, weights that are held in registers and not.
pub fn scans() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let sizes = [
        (Walk::Rows { kernel: 1 }, [1, 6, 1, 33]),
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

/// One step of a rule on a small least-squares problem with a running statistic; leaf 0 is trained.
pub fn update(name: &str, update: Update) -> Result<Case> {
    case(format!("update by {name}"), |b| {
        let w = b.leaf([3, 37]);
        let v = b.leaf([2, 40]);
        let square = b.graph.mul(w, w)?;
        let a = b.graph.sum_all(square)?;
        let quartic = b.graph.map(&[v], |e, x| {
            let s = e.mul(x[0], x[0]);
            e.mul(s, s)
        })?;
        let c = b.graph.mean_all(quartic)?;
        let loss = b.graph.add(a, c)?;
        let gradients = b.graph.gradients(loss, &[w, v])?;
        b.graph.update(&b.spec, Update { average: true, ..update.clone() }, &gradients)?;
        Ok(vec![loss])
    })
}

/// Every update.
pub fn updates() -> Result<Vec<Case>> {
    let adam = Update::new(0, Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    let rmsprop = Update::new(0, Rule::RmsProp { decay: 0.99, epsilon: 1e-8 });
    let momentum = Update::new(0, Rule::Sgd { momentum: 0.9 });
    Ok(vec![
        update("Adam", adam.clone())?,
        update("Adam, clipped", Update { clip_norm: Some(0.5), ..adam.clone() })?,
        update("Adam, each element clipped", Update { clip_norm: Some(50.0), clip_value: Some(0.7), ..adam.clone() })?,
        update("AdamW", Update { weight_decay: 0.3, ..adam })?,
        update("RMSprop, clamped", Update { clamp: Some(0.3), ..rmsprop.clone() })?,
        update("RMSprop, decayed", Update { weight_decay: 0.1, clip_value: Some(1.0), ..rmsprop })?,
        update("momentum", Update { clip_norm: Some(100.0), ..momentum.clone() })?,
        update("momentum, decayed", Update { weight_decay: 2.0, ..momentum })?,
    ])
}

/// All cases.
pub fn all() -> Result<Vec<Case>> {
    let mut cases = maps()?;
    cases.extend([draws(&[3, 5])?, draws(&[2, 8])?, draws(&[12])?]);
    cases.extend(reductions()?);
    cases.extend(convolutions()?);
    cases.extend(matrices()?);
    cases.extend(fused()?);
    cases.extend(gates()?);
    cases.extend(mixtures()?);
    cases.extend(gaussians()?);
    cases.extend(attentions()?);
    cases.extend(group_norms()?);
    cases.extend(products()?);
    cases.extend(movement()?);
    cases.extend(scans()?);
    cases.extend(updates()?);
    Ok(cases)
}
