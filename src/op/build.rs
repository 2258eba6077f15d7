//! The vocabulary models are written in: methods of [`Graph`] that add operations.

use std::sync::Arc;

use super::{
    Attention, BatchNorm, Concat, ConcatElu, Conv, ConvWeight, Gate, GatedResidual, Gating, Gaussians, GroupNorm, Grouping, Map, Mixture,
    MixtureNll, Product, Reduce, Reduction, Scan, Slice, Taps, Walk,
};
use crate::error::{Error, Result};
use crate::graph::{Binary, Distribution, Expr, Graph, NodeId, Shape, Unary};
use crate::tensor::LEAST_DEVIATION;

impl Default for Graph {
    fn default() -> Self {
        Self::with_pointwise(|expr, shape| Arc::new(Map::new(expr, shape)))
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    fn unary(&mut self, f: Unary, x: NodeId) -> Result<NodeId> {
        self.map(&[x], |b, v| b.unary(f, v[0]))
    }

    /// a − b
    pub fn sub(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.map(&[a, b], |e, v| e.sub(v[0], v[1]))
    }

    /// a · b, element by element
    pub fn mul(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.map(&[a, b], |e, v| e.mul(v[0], v[1]))
    }

    /// x scaled by a constant
    pub fn scale(&mut self, x: NodeId, factor: f64) -> Result<NodeId> {
        self.map(&[x], |b, v| b.scale(v[0], factor))
    }

    /// max(x, 0)
    pub fn relu(&mut self, x: NodeId) -> Result<NodeId> {
        self.unary(Unary::Relu, x)
    }

    /// x where positive, `slope`·x elsewhere
    pub fn leaky_relu(&mut self, x: NodeId, slope: f64) -> Result<NodeId> {
        self.map(&[x], |b, v| {
            let positive = b.unary(Unary::Step, v[0]);
            let small = b.scale(v[0], slope);
            b.select(positive, v[0], small)
        })
    }

    /// Hyperbolic tangent.
    pub fn tanh(&mut self, x: NodeId) -> Result<NodeId> {
        self.unary(Unary::Tanh, x)
    }

    /// 1 / (1 + e⁻ˣ)
    pub fn sigmoid(&mut self, x: NodeId) -> Result<NodeId> {
        self.unary(Unary::Sigmoid, x)
    }

    /// x·σ(x), the sigmoid linear unit (Elfwing, Uchibe and Doya, 2018).
    pub fn silu(&mut self, x: NodeId) -> Result<NodeId> {
        self.map(&[x], |b, v| {
            let open = b.unary(Unary::Sigmoid, v[0]);
            b.mul(v[0], open)
        })
    }

    /// The larger of the two, element by element.
    pub fn max(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.map(&[a, b], |e, v| e.binary(Binary::Max, v[0], v[1]))
    }

    /// Random draws of a stream: element i of the tensor is a function of (seed, stream, step, i) alone.
    pub fn random(&mut self, distribution: Distribution, stream: u32, shape: impl Into<Shape>) -> Result<NodeId> {
        self.program(Expr::build(|b| b.random(distribution, stream)), &[], shape)
    }

    /// Reduces adjacent axes to extent 1.
    pub fn reduce(&mut self, kind: Reduction, x: NodeId, axes: std::ops::Range<usize>) -> Result<NodeId> {
        let full = self.shape(x).clone();
        if full.dims()[axes.clone()].iter().all(|&d| d == 1) {
            return if kind == Reduction::Variance { self.scale(x, 0.0) } else { Ok(x) };
        }
        self.op(Reduce::new(kind, full, axes), &[x])
    }

    /// The sum of all elements, as a scalar.
    pub fn sum_all(&mut self, x: NodeId) -> Result<NodeId> {
        let rank = self.shape(x).rank();
        let sum = self.reduce(Reduction::Sum, x, 0..rank)?;
        self.reshape(sum, Shape::scalar())
    }

    /// The mean of all elements, as a scalar.
    pub fn mean_all(&mut self, x: NodeId) -> Result<NodeId> {
        let rank = self.shape(x).rank();
        let mean = self.reduce(Reduction::Mean, x, 0..rank)?;
        self.reshape(mean, Shape::scalar())
    }

    /// Sums each item (all axes but the first): `[N, …] → [N]`.
    pub fn sum_items(&mut self, x: NodeId) -> Result<NodeId> {
        let shape = self.shape(x).clone();
        let sum = self.reduce(Reduction::Sum, x, 1..shape.rank())?;
        self.reshape(sum, [shape.dims()[0]])
    }

    /// Sums the axes along which `target` stretches to x's shape: the adjoint of broadcasting.
    pub fn sum_to(&mut self, x: NodeId, target: &Shape) -> Result<NodeId> {
        let full = self.shape(x).clone();
        let missing = full.rank() - target.rank();
        let stretched: Vec<bool> =
            (0..full.rank()).map(|a| full.dims()[a] > 1 && (a < missing || target.dims()[a - missing] == 1)).collect();
        let mut sum = x;
        let mut axis = 0;
        while axis < full.rank() {
            let mut end = axis;
            while end < full.rank() && (stretched[end] || full.dims()[end] == 1) {
                end += 1;
            }
            if stretched[axis..end].contains(&true) {
                sum = self.reduce(Reduction::Sum, sum, axis..end)?;
            }
            axis = end.max(axis + 1);
        }
        self.reshape(sum, target.clone())
    }

    /// ln Σ eˣ over the innermost axis, which becomes 1.
    pub fn log_sum_exp(&mut self, x: NodeId) -> Result<NodeId> {
        let rank = self.shape(x).rank();
        self.reduce(Reduction::LogSumExp, x, rank - 1..rank)
    }

    /// eˣ / Σ eˣ over the innermost axis.
    pub fn softmax(&mut self, x: NodeId) -> Result<NodeId> {
        // Large numbers leave the differences few digits. A whole number near the largest is taken out first, which has no gradient.
        let rank = self.shape(x).rank();
        let top = self.reduce(Reduction::Max, x, rank - 1..rank)?;
        let near = self.map(&[x, top], |b, v| {
            let whole = b.unary(Unary::Floor, v[1]);
            b.sub(v[0], whole)
        })?;
        let total = self.log_sum_exp(near)?;
        self.map(&[near, total], |b, v| {
            let below = b.sub(v[0], v[1]);
            b.unary(Unary::Exp, below)
        })
    }

    /// Each pixel twice in a row and each row twice, nearest-neighbour upsampling: `[N, H, W, C] → [N, 2H, 2W, C]`.
    pub fn upsample(&mut self, x: NodeId) -> Result<NodeId> {
        let [n, h, w, c] = self.image(x)?;
        let rows = self.reshape(x, [n * h, 1, w * c])?;
        let rows = self.program(Expr::identity(), &[rows], [n * h, 2, w * c])?;
        let pixels = self.reshape(rows, [2 * n * h * w, 1, c])?;
        let pixels = self.program(Expr::identity(), &[pixels], [2 * n * h * w, 2, c])?;
        self.reshape(pixels, [n, 2 * h, 2 * w, c])
    }

    /// The means of squares of 2×2 pixels: `[N, 2H, 2W, C] → [N, H, W, C]`.
    pub fn average_pool(&mut self, x: NodeId) -> Result<NodeId> {
        let [n, h, w, c] = self.image(x)?;
        if h % 2 != 0 || w % 2 != 0 {
            return Err(Error::Shape(format!("squares of 2×2 pixels do not cover {}", self.shape(x))));
        }
        let (h, w) = (h / 2, w / 2);
        let rows = self.reshape(x, [n * h, 2, 2 * w * c])?;
        let rows = self.reduce(Reduction::Sum, rows, 1..2)?;
        let pixels = self.reshape(rows, [n * h * w, 2, c])?;
        let pixels = self.reduce(Reduction::Sum, pixels, 1..2)?;
        let pixels = self.scale(pixels, 0.25)?;
        self.reshape(pixels, [n, h, w, c])
    }

    fn image(&self, x: NodeId) -> Result<[usize; 4]> {
        <[usize; 4]>::try_from(self.shape(x).dims()).map_err(|_| Error::Shape(format!("images are N×H×W×C, not {}", self.shape(x))))
    }

    /// Elements `start..start + len` of an axis.
    pub fn slice(&mut self, x: NodeId, axis: usize, start: usize, len: usize) -> Result<NodeId> {
        if start == 0 && self.shape(x).dims().get(axis) == Some(&len) {
            return Ok(x);
        }
        self.op(Slice { axis, start, len }, &[x])
    }

    /// `a` followed by `b` along an axis.
    pub fn concat(&mut self, a: NodeId, b: NodeId, axis: usize) -> Result<NodeId> {
        self.op(Concat { axis }, &[a, b])
    }

    /// tanh of the first half of the channels times the logistic of the second: `[…, 2C] → […, C]`.
    pub fn gate(&mut self, x: NodeId) -> Result<NodeId> {
        self.op(Gate, &[x])
    }

    /// x plus the first half of the channels of `sums` times the logistic of the second: `[…, C], […, 2C] → […, C]`.
    pub fn gated_residual(&mut self, x: NodeId, sums: NodeId) -> Result<NodeId> {
        self.op(GatedResidual, &[x, sums])
    }

    /// x where positive, eˣ − 1 elsewhere.
    pub fn elu(&mut self, x: NodeId) -> Result<NodeId> {
        self.map(&[x], |b, v| {
            let zero = b.constant(0.0);
            // The exponential of what is positive would overflow, and its gradient with it.
            let low = b.binary(Binary::Min, v[0], zero);
            let power = b.unary(Unary::Exp, low);
            let curved = b.offset(power, -1.0);
            let high = b.unary(Unary::Relu, v[0]);
            b.add(high, curved)
        })
    }

    /// elu(x), then elu(−x), along the channels: `[…, C] → […, 2C]`.
    pub fn concat_elu(&mut self, x: NodeId) -> Result<NodeId> {
        self.op(ConcatElu, &[x])
    }

    /// x, of which each element is dropped with the probability that [`Graph::drops`] says, and the others scaled up so that the mean stays
    /// (Srivastava et al., 2014). Which are dropped is a function of (seed, step, element): the backward pass draws the same again.
    pub fn dropout(&mut self, x: NodeId) -> Result<NodeId> {
        let rate = self.drops();
        if rate == 0.0 {
            return Ok(x);
        }
        let stream = self.stream();
        self.map(&[x], |b, v| {
            let (draw, limit, zero) = (b.random(Distribution::Uniform, stream), b.constant(rate), b.constant(0.0));
            let dropped = b.binary(Binary::Greater, limit, draw);
            let kept = b.scale(v[0], 1.0 / (1.0 - rate));
            b.select(dropped, zero, kept)
        })
    }

    /// Attention among positions, given queries, keys and values `[N, …, 3·heads·w]`; see [`Attention`].
    pub fn attention(&mut self, qkv: NodeId, heads: usize) -> Result<NodeId> {
        self.op(Attention { heads }, &[qkv])
    }

    /// Group normalisation of `[N, H, W, C]` by a scale and a shift of `[C]` or `[N, 1, 1, C]`, and what follows it; see [`GroupNorm`].
    pub fn group_norm(&mut self, x: NodeId, scale: NodeId, shift: NodeId, grouping: Grouping) -> Result<NodeId> {
        self.op(GroupNorm(grouping), &[x, scale, shift])
    }

    /// Convolution of `[N, H, W, C]` by weights `[taps, C, D]`.
    pub fn conv(&mut self, x: NodeId, w: NodeId, taps: Taps) -> Result<NodeId> {
        self.op(Conv::new(taps), &[x, w])
    }

    /// Transposed convolution of `[N, H', W', D]` by weights `[taps, C, D]`: the adjoint of the convolution with these taps.
    pub fn conv_transposed(&mut self, x: NodeId, w: NodeId, taps: Taps) -> Result<NodeId> {
        self.op(Conv::adjoint(taps), &[x, w])
    }

    /// An LSTM or a GRU over an image; see [`Scan`].
    pub fn scan(&mut self, sums: NodeId, weights: NodeId, initial: NodeId, walk: Walk, gating: Gating) -> Result<NodeId> {
        self.op(Scan { walk, gating }, &[sums, weights, initial])
    }

    /// `[M, K] · [K, N] → [M, N]`
    pub fn matmul(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        let ([m, k], [_, n]) = (self.matrix(a)?, self.matrix(b)?);
        let a = self.reshape(a, [m, 1, 1, k])?;
        let b = self.reshape(b, [1, k, n])?;
        let product = self.conv(a, b, Taps::pointwise([1, 1]))?;
        self.reshape(product, [m, n])
    }

    /// `[K, M]ᵀ · [K, N] → [M, N]`
    pub fn matmul_transposed(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        let ([k, m], [_, n]) = (self.matrix(a)?, self.matrix(b)?);
        let a = self.reshape(a, [k, 1, 1, m])?;
        let b = self.reshape(b, [k, 1, 1, n])?;
        let product = self.op(ConvWeight::new(Taps::pointwise([1, 1])), &[a, b])?;
        self.reshape(product, [m, n])
    }

    /// `[B, M, K] · [B, K, N] → [B, M, N]`, pair by pair; see [`Product`].
    pub fn batched_matmul(&mut self, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.op(Product { turned: [false; 2] }, &[a, b])
    }

    fn matrix(&self, x: NodeId) -> Result<[usize; 2]> {
        match *self.shape(x).dims() {
            [rows, columns] => Ok([rows, columns]),
            _ => Err(Error::Shape(format!("a matrix product takes matrices, not {}", self.shape(x)))),
        }
    }

    /// −ln p(x) of Bernoulli pixels given logits, element by element: softplus(l) − x·l, stable for every logit.
    pub fn bernoulli_nll(&mut self, logits: NodeId, x: NodeId) -> Result<NodeId> {
        self.map(&[logits, x], |b, v| {
            let soft = b.unary(Unary::Softplus, v[0]);
            let hit = b.mul(v[1], v[0]);
            b.sub(soft, hit)
        })
    }

    /// −ln p(target) of a categorical over the innermost axis given logits `[…, L]`; `target` is `[…, 1]` with values 0..L.
    pub fn categorical_nll(&mut self, logits: NodeId, target: NodeId) -> Result<NodeId> {
        let lse = self.log_sum_exp(logits)?;
        let rank = self.shape(logits).rank();
        let picked = self.map(&[logits, target], |b, v| {
            let channel = b.channel();
            let hit = b.binary(Binary::Equal, channel, v[1]);
            b.mul(hit, v[0])
        })?;
        let picked = self.reduce(Reduction::Sum, picked, rank - 1..rank)?;
        self.sub(lse, picked)
    }

    /// −ln p of every value under a mixture of discretised logistics, given the colours of its pixel before it: of parameters
    /// `[N, H, W, parameters]` and levels from 0 `[N, H, W, C]`, a map `[N, H, W, C]` in nats. What the channels mean tells [`Mixture`].
    pub fn mixture_nll(&mut self, parameters: NodeId, levels: NodeId, mixture: Mixture) -> Result<NodeId> {
        self.op(MixtureNll { mixture }, &[parameters, levels])
    }

    /// −ln of the density of every value under a mixture of Gaussians of its own: of parameters `[N, H, W, C·3K]`, those of a channel side
    /// by side as [`Gaussians`] tells them, and values `[N, H, W, C]`, a map `[N, H, W, C]` in nats.
    pub fn gaussian_nll(&mut self, parameters: NodeId, values: NodeId, mixture: Gaussians) -> Result<NodeId> {
        let (k, [n, h, w, c]) = (mixture.components, self.image(values)?);
        let own = self.reshape(parameters, [n, h, w * c, mixture.parameters()])?;
        let x = self.reshape(values, [n, h, w * c, 1])?;
        let logits = self.slice(own, 3, 0, k)?;
        let means = self.slice(own, 3, k, k)?;
        let spreads = self.slice(own, 3, 2 * k, k)?;
        let joint = self.map(&[logits, means, spreads, x], |b, v| {
            // ln σ = ln(least + eˢ)
            let least = LEAST_DEVIATION.ln();
            let above = b.offset(v[2], -least);
            let soft = b.unary(Unary::Softplus, above);
            let ln_deviation = b.offset(soft, least);
            let shrinks = b.neg(ln_deviation);
            let inverse = b.unary(Unary::Exp, shrinks);
            let apart = b.sub(v[3], v[1]);
            let z = b.mul(apart, inverse);
            let square = b.mul(z, z);
            let fall = b.scale(square, -0.5);
            let density = b.sub(fall, ln_deviation);
            let density = b.offset(density, -0.5 * std::f64::consts::TAU.ln());
            b.add(v[0], density)
        })?;
        let joint = self.log_sum_exp(joint)?;
        let total = self.log_sum_exp(logits)?;
        let nll = self.sub(total, joint)?;
        self.reshape(nll, [n, h, w, c])
    }

    /// Mean and biased variance of each channel over all other axes, neither waiting for the other; each of shape `[1, …, 1, C]`.
    pub fn channel_moments(&mut self, x: NodeId) -> Result<[NodeId; 2]> {
        let axes = 0..self.shape(x).rank() - 1;
        Ok([self.reduce(Reduction::Mean, x, axes.clone())?, self.reduce(Reduction::Variance, x, axes)?])
    }

    /// Batch normalisation by given statistics of x itself; see [`BatchNorm`].
    pub fn batch_norm(&mut self, x: NodeId, moments: [NodeId; 2], gamma: NodeId, beta: NodeId, epsilon: f64) -> Result<NodeId> {
        let shape = self.shape(x).clone();
        self.op(BatchNorm::new(shape, epsilon), &[x, moments[0], moments[1], gamma, beta])
    }
}
