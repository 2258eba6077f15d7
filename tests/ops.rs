//! Every operation: executors agree, and gradients (first and second) equal central differences, with the operation in mid-graph.

mod support;

use kiln::Result;
use kiln::graph::{Binary, Distribution, Unary};
use kiln::op::{Gaussians, Reduction, Taps};
use support::Bench;

#[test]
fn pointwise_functions() -> Result<()> {
    use Unary::{Abs, Exp, Log, Neg, Recip, Relu, Sigmoid, Softplus, Sqrt, Tanh};
    for f in [Neg, Abs, Relu, Exp, Softplus, Sigmoid, Tanh, Log, Sqrt, Recip] {
        let mut b = Bench::new();
        let x = b.leaf([3, 5]);
        let y = b.graph.map(&[x], |e, v| {
            let positive = if matches!(f, Log | Sqrt | Recip) {
                let square = e.mul(v[0], v[0]);
                e.offset(square, 0.5)
            } else {
                v[0]
            };
            e.unary(f, positive)
        })?;
        b.check_gradients(y, 1e-6);
    }
    Ok(())
}

#[test]
fn pointwise_pairs_broadcast() -> Result<()> {
    use Binary::{Add, Div, Max, Min, Mul, Sub};
    let shapes: [(&[usize], &[usize]); 5] =
        [(&[2, 3, 3, 4], &[4]), (&[2, 3, 3, 4], &[2, 1, 1, 1]), (&[5, 1], &[1, 7]), (&[3, 1, 2, 1], &[1, 4, 1, 3]), (&[1], &[6])];
    for (left, right) in shapes {
        for f in [Add, Sub, Mul, Div, Max, Min] {
            let mut b = Bench::new();
            let (x, z) = (b.leaf(left), b.leaf(right));
            let y = b.graph.map(&[x, z], |e, v| {
                let square = e.mul(v[1], v[1]);
                let away = e.offset(square, 1.0);
                e.binary(f, v[0], if f == Div { away } else { v[1] })
            })?;
            b.check_gradients(y, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn reductions() -> Result<()> {
    for kind in [Reduction::Sum, Reduction::Mean, Reduction::Variance, Reduction::LogSumExp, Reduction::Max] {
        for (shape, axes) in
            [([4, 3, 5], 0..1), ([4, 3, 5], 1..2), ([4, 3, 5], 2..3), ([4, 3, 5], 0..2), ([4, 3, 5], 0..3), ([1, 40, 1], 1..2)]
        {
            let mut b = Bench::new();
            let x = b.leaf(shape);
            let y = b.graph.reduce(kind, x, axes)?;
            b.check_gradients(y, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn long_reductions_are_chunked() -> Result<()> {
    for (shape, axes) in [([3, 40_000, 1], 1..2), ([1, 3_000, 33], 1..2), ([70_000, 1, 1], 0..1)] {
        for kind in [Reduction::Sum, Reduction::Mean, Reduction::Variance] {
            let mut b = Bench::new();
            let x = b.leaf(shape);
            let y = b.graph.reduce(kind, x, axes.clone())?;
            b.graph.output("y", y);
            b.check_executors(1e-5);
        }
    }
    Ok(())
}

#[test]
fn a_variance_is_right_far_from_zero() -> Result<()> {
    for (shape, axes) in [([1, 3_000, 33], 1..2), ([40_000, 1, 1], 0..1), ([2, 50, 70], 1..2)] {
        let mut b = Bench::new();
        let x = b.leaf(shape);
        let x = b.graph.map(&[x], |e, v| e.offset(v[0], 1000.0))?;
        let y = b.graph.reduce(Reduction::Variance, x, axes)?;
        b.graph.output("y", y);
        b.check_executors(1e-4);
    }
    Ok(())
}

fn geometries() -> Vec<(Taps, usize, usize)> {
    let dense = |k, s, p, h, w| Taps::dense([k, k], s, p, [h, w]).expect("kernel fits");
    vec![
        (Taps::causal(7, false, [9, 8]), 1, 5),
        (Taps::causal(3, true, [5, 7]), 4, 3),
        (Taps::pointwise([3, 4]), 5, 35),
        (Taps::pointwise([1, 1]), 9, 2),
        (dense(3, 1, 1, 6, 5), 3, 17),
        (dense(4, 2, 1, 8, 8), 2, 6),
        (dense(5, 3, 2, 7, 10), 3, 2),
        (dense(4, 1, 0, 4, 4), 6, 1),
        (dense(2, 2, 0, 5, 4), 1, 1),
    ]
}

#[test]
fn convolutions_and_their_adjoints() -> Result<()> {
    for (taps, c, d) in geometries() {
        let mut b = Bench::new();
        let x = b.leaf([2, taps.input[0], taps.input[1], c]);
        let w = b.leaf([taps.offsets.len(), c, d]);
        let y = b.graph.conv(x, w, taps.clone())?;
        b.check_gradients(y, 1e-6);

        let mut b = Bench::new();
        let g = b.leaf([2, taps.output[0], taps.output[1], d]);
        let w = b.leaf([taps.offsets.len(), c, d]);
        let y = b.graph.conv_transposed(g, w, taps)?;
        b.check_gradients(y, 1e-6);
    }
    Ok(())
}

#[test]
fn convolution_blocks_fuse_without_changing_results() -> Result<()> {
    let mut b = Bench::new();
    let taps = Taps::causal(3, true, [6, 6]);
    let (x, w1, bias1) = (b.leaf([3, 6, 6, 8]), b.leaf([5, 8, 20]), b.leaf([20]));
    let (w2, bias2) = (b.leaf([1, 20, 8]), b.leaf([8]));
    let mut h = b.graph.relu(x)?;
    h = b.graph.conv(h, w1, taps)?;
    h = b.graph.add(h, bias1)?;
    h = b.graph.leaky_relu(h, 0.2)?;
    h = b.graph.conv(h, w2, Taps::pointwise([6, 6]))?;
    h = b.graph.add(h, bias2)?;
    h = b.graph.add(h, x)?;
    b.check_gradients(h, 1e-6);
    Ok(())
}

#[test]
fn large_weight_gradients_are_cut_by_rows() -> Result<()> {
    let mut b = Bench::new();
    let taps = Taps::dense([3, 3], 1, 1, [4, 4])?;
    let (x, g) = (b.leaf([3, 4, 4, 96]), b.leaf([3, 4, 4, 90]));
    let w = b.leaf([9, 96, 90]);
    let y = b.graph.conv(x, w, taps)?;
    let dot = b.graph.mul(y, g)?;
    let loss = b.graph.sum_all(dot)?;
    let dw = b.graph.gradients(loss, &[w])?[0];
    b.graph.output("dw", dw);
    b.graph.output("y", y);
    b.check_executors(1e-5);
    Ok(())
}

/// A convolution between a relu and a bias, and its gradients, against the oracle.
fn agrees_with_the_oracle(images: usize, taps: Taps, channels: [usize; 2]) -> Result<()> {
    Bench::convolution(images, &taps, channels)?.check_executors(1e-5);
    Ok(())
}

#[test]
fn convolutions_of_2x2_parts_agree_with_the_oracle() -> Result<()> {
    // Images that fill no group, sums longer than a panel, more images than a weight gradient holds at a time, and tiles that are cut.
    for (images, side, c, d) in [(1, 4, 16, 32), (19, 8, 96, 64), (24, 32, 32, 32), (3, 28, 32, 32), (20, 14, 16, 64), (2, 22, 288, 32)] {
        agrees_with_the_oracle(images, Taps::dense([4, 4], 2, 1, [side, side])?, [c, d])?;
    }
    Ok(())
}

#[test]
fn convolutions_of_3x3_taps_agree_with_the_oracle() -> Result<()> {
    // Tiles that are cut on one side, on both, and that fill no group; sums longer than a panel, images of several spans of tiles.
    for (images, size, c, d) in
        [(2, [1, 1], 16, 32), (1, [4, 6], 32, 32), (3, [5, 8], 64, 32), (19, [7, 7], 32, 64), (2, [8, 3], 288, 32), (5, [28, 27], 32, 32)]
    {
        agrees_with_the_oracle(images, Taps::dense([3, 3], 1, 1, size)?, [c, d])?;
    }
    Ok(())
}

#[test]
fn second_derivatives() -> Result<()> {
    // The gradient penalty of a small critic: d/dw of ‖∂D/∂x‖².
    let mut b = Bench::new();
    let taps = Taps::dense([4, 4], 2, 1, [6, 6])?;
    let (x, w1, w2) = (b.leaf([2, 6, 6, 2]), b.leaf([16, 2, 5]), b.leaf([1, 45, 1]));
    let h = b.graph.conv(x, w1, taps)?;
    let h = b.graph.tanh(h)?;
    let h = b.graph.reshape(h, [2, 1, 1, 45])?;
    let score = b.graph.conv(h, w2, Taps::pointwise([1, 1]))?;
    let total = b.graph.sum_all(score)?;
    let gx = b.graph.gradients(total, &[x])?[0];
    let squares = b.graph.mul(gx, gx)?;
    let norms = b.graph.sum_items(squares)?;
    let penalty = b.graph.map(&[norms], |e, v| {
        let norm = e.unary(Unary::Sqrt, v[0]);
        let away = e.offset(norm, -1.0);
        e.mul(away, away)
    })?;
    let loss = b.graph.sum_all(penalty)?;
    b.check_loss(loss, 1e-5);
    Ok(())
}

#[test]
fn batch_norm_and_its_second_derivative() -> Result<()> {
    let build = |b: &mut Bench| -> Result<_> {
        let (x, gamma, beta) = (b.leaf([3, 2, 2, 4]), b.leaf([4]), b.leaf([4]));
        let moments = b.graph.channel_moments(x)?;
        let y = b.graph.batch_norm(x, moments, gamma, beta, 1e-5)?;
        let y = b.graph.relu(y)?;
        Ok((x, y))
    };
    let mut b = Bench::new();
    let (_, y) = build(&mut b)?;
    b.check_gradients(y, 1e-5);

    let mut b = Bench::new();
    let (x, y) = build(&mut b)?;
    let squashed = b.graph.tanh(y)?;
    let total = b.graph.sum_all(squashed)?;
    let gx = b.graph.gradients(total, &[x])?[0];
    let squares = b.graph.mul(gx, gx)?;
    let loss = b.graph.sum_all(squares)?;
    b.check_loss(loss, 1e-4);
    Ok(())
}

#[test]
fn slices_and_concatenations() -> Result<()> {
    for axis in 0..3 {
        let mut b = Bench::new();
        let (x, z) = (b.leaf([4, 4, 4]), b.leaf([4, 4, 4]));
        let part = b.graph.slice(x, axis, 1, 2)?;
        let y = b.graph.concat(part, z, axis)?;
        b.check_gradients(y, 1e-6);
    }
    Ok(())
}

#[test]
fn gates() -> Result<()> {
    for shape in [[2, 3, 2, 8], [3, 1, 1, 2], [1, 5, 2, 34]] {
        let mut b = Bench::new();
        let x = b.leaf(shape);
        let y = b.graph.gate(x)?;
        b.check_gradients(y, 1e-6);

        // It is what slices and a program come to.
        let mut b = Bench::new();
        let x = b.leaf(shape);
        let y = b.graph.gate(x)?;
        let half = shape[3] / 2;
        let (left, right) = (b.graph.slice(x, 3, 0, half)?, b.graph.slice(x, 3, half, half)?);
        let (t, s) = (b.graph.tanh(left)?, b.graph.sigmoid(right)?);
        let written_out = b.graph.mul(t, s)?;
        let difference = b.graph.sub(y, written_out)?;
        b.graph.output("difference", difference);
        support::close(&b.run::<f64>(true, "difference"), &vec![0.0; shape.iter().product::<usize>() / 2], 1e-12, "gate");
    }
    let mut b = Bench::new();
    let odd = b.leaf([2, 3]);
    assert!(b.graph.gate(odd).is_err());
    Ok(())
}

#[test]
fn gated_residuals() -> Result<()> {
    for shape in [[2, 3, 2, 8], [3, 1, 1, 1], [1, 5, 2, 17]] {
        let wide = [shape[0], shape[1], shape[2], 2 * shape[3]];
        let mut b = Bench::new();
        let (x, sums) = (b.leaf(shape), b.leaf(wide));
        let y = b.graph.gated_residual(x, sums)?;
        b.check_gradients(y, 1e-6);

        let mut b = Bench::new();
        let (x, sums) = (b.leaf(shape), b.leaf(wide));
        let y = b.graph.gated_residual(x, sums)?;
        let (a, c) = (b.graph.slice(sums, 3, 0, shape[3])?, b.graph.slice(sums, 3, shape[3], shape[3])?);
        let open = b.graph.sigmoid(c)?;
        let gated = b.graph.mul(a, open)?;
        let written_out = b.graph.add(x, gated)?;
        let difference = b.graph.sub(y, written_out)?;
        b.graph.output("difference", difference);
        support::close(&b.run::<f64>(true, "difference"), &vec![0.0; shape.iter().product()], 1e-12, "gated residual");
    }
    let mut b = Bench::new();
    let (x, sums) = (b.leaf([2, 3]), b.leaf([2, 5]));
    assert!(b.graph.gated_residual(x, sums).is_err());
    Ok(())
}

#[test]
fn exponential_linear_units() -> Result<()> {
    for shape in [[2, 3, 2, 8], [3, 1, 1, 1], [1, 5, 2, 17]] {
        let mut b = Bench::new();
        let x = b.leaf(shape);
        let y = b.graph.elu(x)?;
        b.check_gradients(y, 1e-6);
        let mut b = Bench::new();
        let x = b.leaf(shape);
        let y = b.graph.concat_elu(x)?;
        b.check_gradients(y, 1e-6);

        let mut b = Bench::new();
        let x = b.leaf(shape);
        let y = b.graph.concat_elu(x)?;
        let minus = b.graph.scale(x, -1.0)?;
        let both = b.graph.concat(x, minus, 3)?;
        let written_out = b.graph.elu(both)?;
        let difference = b.graph.sub(y, written_out)?;
        b.graph.output("difference", difference);
        support::close(&b.run::<f64>(true, "difference"), &vec![0.0; 2 * shape.iter().product::<usize>()], 1e-12, "concatenated ELU");
    }
    // Far out nothing overflows, neither the value nor the slope.
    let mut b = Bench::new();
    let x = b.leaf_of([4], vec![-1e4, -1e-30, 0.0, 1e4]);
    let y = b.graph.elu(x)?;
    let sum = b.graph.sum_all(y)?;
    let slope = b.graph.gradients(sum, &[x])?[0];
    b.graph.output("y", y);
    b.graph.output("slope", slope);
    support::close(&b.run::<f64>(true, "y"), &[-1.0, 0.0, 0.0, 1e4], 1e-12, "elu");
    support::close(&b.run::<f64>(true, "slope"), &[0.0, 1.0, 1.0, 1.0], 1e-12, "slope of elu");
    Ok(())
}

#[test]
fn dropout_drops_its_share_and_the_backward_pass_drops_the_same() -> Result<()> {
    let rate = 0.3;
    let mut b = Bench::new();
    let x = b.leaf_of([40, 50], vec![1.0; 2000]);
    assert_eq!(b.graph.dropout(x)?, x, "a graph that was not told to drops nothing");
    b.graph.let_drop(rate);
    let y = b.graph.dropout(x)?;
    let other = b.graph.dropout(x)?;
    let sum = b.graph.sum_all(y)?;
    let slope = b.graph.gradients(sum, &[x])?[0];
    for (name, node) in [("y", y), ("slope", slope), ("other", other)] {
        b.graph.output(name, node);
    }
    let (y, slope, other) = (b.run::<f64>(true, "y"), b.run::<f64>(true, "slope"), b.run::<f64>(true, "other"));
    assert_eq!(y, slope);
    assert_ne!(y, other, "each layer draws from a stream of its own");
    assert!(y.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-12));
    let kept = y.iter().filter(|v| **v > 0.0).count() as f64 / 2000.0;
    assert!((kept - 0.7).abs() < 4.0 * (0.21f64 / 2000.0).sqrt(), "{kept}");

    let mut b = Bench::new();
    let x = b.leaf([3, 2, 5]);
    b.graph.let_drop(rate);
    let y = b.graph.dropout(x)?;
    b.check_gradients(y, 1e-6);
    Ok(())
}

#[test]
fn losses_from_logits() -> Result<()> {
    let mut b = Bench::new();
    let (logits, x) = (b.leaf([3, 7]), b.leaf_of([3, 7], (0..21).map(|i| f64::from(i % 2)).collect()));
    let nll = b.graph.bernoulli_nll(logits, x)?;
    b.check_gradients(nll, 1e-6);

    let mut b = Bench::new();
    let logits = b.leaf([4, 3, 6]);
    let target = b.graph.program(kiln::graph::Expr::build(|e| e.constant(2.0)), &[], [4, 3, 1])?;
    let nll = b.graph.categorical_nll(logits, target)?;
    b.check_gradients(nll, 1e-6);
    Ok(())
}

#[test]
fn losses_stay_finite_for_huge_logits() -> Result<()> {
    let mut b = Bench::new();
    let logits = b.leaf_of([1, 4], vec![1e4, -1e4, 88.0, -104.0]);
    let x = b.leaf_of([1, 4], vec![1.0, 0.0, 0.0, 1.0]);
    let nll = b.graph.bernoulli_nll(logits, x)?;
    let loss = b.graph.sum_all(nll)?;
    let g = b.graph.gradients(loss, &[logits])?[0];
    b.graph.output("nll", nll);
    b.graph.output("g", g);
    support::close(&b.run::<f32>(true, "nll"), &[0.0, 0.0, 88.0, 104.0], 1e-6, "nll");
    support::close(&b.run::<f32>(true, "g"), &[0.0, 0.0, 1.0, -1.0], 1e-6, "gradient");
    Ok(())
}

#[test]
fn noise_is_the_same_where_it_is_drawn_again() -> Result<()> {
    // z = μ + e^{lv/2}·ε: the gradient by lv needs the same ε as the forward pass.
    let mut b = Bench::new();
    let (mean, log_var) = (b.leaf([6, 5]), b.leaf([6, 5]));
    let stream = b.graph.stream();
    let z = b.graph.map(&[mean, log_var], |e, v| {
        let noise = e.random(Distribution::Normal, stream);
        let half = e.scale(v[1], 0.5);
        let sigma = e.unary(Unary::Exp, half);
        let away = e.mul(sigma, noise);
        e.add(v[0], away)
    })?;
    b.check_gradients(z, 1e-6);
    Ok(())
}

#[test]
fn matrix_products() -> Result<()> {
    let mut b = Bench::new();
    let (x, y, z) = (b.leaf([5, 7]), b.leaf([7, 3]), b.leaf([5, 2]));
    let product = b.graph.matmul(x, y)?;
    let other = b.graph.matmul_transposed(product, z)?;
    b.check_gradients(other, 1e-6);
    Ok(())
}

/// Runs the other tests of this file again with each vector width the machine has: a process uses one.
#[test]
fn every_vector_width() {
    let again = |level: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().expect("this program"));
        command.args(["--skip", "every_vector_width"]).env("KILN_SIMD", level).output().expect("it runs")
    };
    let levels = kiln::cpu::vector_widths();
    assert_eq!(levels[0], "portable");
    for level in levels {
        let output = again(level);
        assert!(output.status.success(), "{level}: {}", String::from_utf8_lossy(&output.stdout));
    }
    // A width that is none is refused where a device is opened.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"));
    let output = command.args(["bench", "train", "--device", "cpu"]).env("KILN_SIMD", "avx9000").output().expect("kiln runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("KILN_SIMD=avx9000") && said.contains("portable"), "{said}");
}

#[test]
fn mixtures_of_gaussians() -> Result<()> {
    for (components, channels) in [(1, 1), (3, 2)] {
        let mut b = Bench::new();
        let mixture = Gaussians::new(components)?;
        let parameters = b.leaf([2, 3, 1, channels * mixture.parameters()]);
        let values = b.leaf([2, 3, 1, channels]);
        let y = b.graph.gaussian_nll(parameters, values, mixture)?;
        b.check_gradients(y, 1e-5);
    }
    // By hand: weights of 1/4 and 3/4, N(1; 0, 2) and N(1; 1.5, 0.5); then a component at its floor, whose mean is met and missed.
    let mixture = Gaussians::new(2)?;
    let of = |parameters: [f64; 6], value: f64| -> Result<[f64; 2]> {
        let mut b = Bench::new();
        let parameters = b.leaf_of([1, 1, 1, 6], parameters.to_vec());
        let value = b.leaf_of([1, 1, 1, 1], vec![value]);
        let nll = b.graph.gaussian_nll(parameters, value, mixture)?;
        b.graph.output("nll", nll);
        Ok([b.run::<f64>(false, "nll")[0], b.run::<f32>(false, "nll")[0]])
    };
    let normal = |z: f64, s: f64| (-0.5 * z * z).exp() / s / std::f64::consts::TAU.sqrt();
    let want = -(0.25 * normal(0.5, 2.0) + 0.75 * normal(-1.0, 0.5)).ln();
    let floor = -normal(0.0, 1e-3).ln();
    let (wide, narrow) = ((2.0f64 - 1e-3).ln(), (0.5f64 - 1e-3).ln());
    let far = 0.5 * 3e4f64.powi(2) + floor;
    let cases = [
        ([0.0, 3f64.ln(), 0.0, 1.5, wide, narrow], 1.0, want),
        ([50.0, -50.0, 0.25, 0.0, -90.0, 0.0], 0.25, floor),
        ([50.0, -1e4, 0.0, 0.0, -90.0, -90.0], 30.0, far),
    ];
    for (parameters, value, want) in cases {
        let [double, single] = of(parameters, value)?;
        assert!((double - want).abs() < 1e-9 * want.abs().max(1.0), "{double} and {want}");
        assert!((single - want).abs() < 1e-5 * want.abs().max(1.0), "{single} and {want}");
    }
    Ok(())
}
