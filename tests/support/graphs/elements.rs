//! What goes element by element or sums over elements: maps, draws, reductions, gates, likelihoods, norms, and movement.

use kiln::Result;
use kiln::graph::{Binary, Distribution, NodeId, Unary};
use kiln::op::{
    ConcatEluGradient, Embed, GateGradient, GatedResidualGradient, Gaussians, Grouping, Mixture, MixtureNllGradient, Reduction, Taps,
};

use super::{Case, case};

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
    for kind in [Reduction::Sum, Reduction::Mean, Reduction::Variance, Reduction::LogSumExp, Reduction::Max] {
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
    for (shape, axes) in [([1, 3000, 3], 1..2), ([2, 50, 70], 1..2), ([5, 3, 9], 0..2)] {
        cases.push(case(format!("variance of numbers near a thousand, {shape:?} over {axes:?}"), |b| {
            let x = b.leaf(shape);
            let x = b.graph.map(&[x], |e, v| e.offset(v[0], 1000.0))?;
            Ok(vec![b.graph.reduce(Reduction::Variance, x, axes)?])
        })?);
    }
    cases.push(case("sum of draws", |b| {
        let u = b.graph.random(Distribution::Uniform, 3, [5, 90])?;
        Ok(vec![b.graph.sum_items(u)?])
    })?);
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
