//! Products of bf16 on the CPU: what they round and what they do not, where this machine has them.

mod support;

use kiln::Result;
use kiln::cpu::{Arena, CpuProgram};
use kiln::graph::Plan;
use kiln::op::Taps;
use kiln::runtime::Device;
use kiln::tensor::Precision;
use kiln::wait::Wait;
use support::{Bench, step};

/// Whether this machine has them; it says so where it has not.
fn has_pairs() -> bool {
    match Device::CPU.with_precision(Precision::Mixed).wait() {
        Ok(device) => device.precision() == Precision::Mixed,
        Err(e) => {
            let said = e.to_string();
            assert!(said.contains("AVX512-BF16") && said.contains("precision f32"), "{said}");
            eprintln!("refused: {said}");
            false
        }
    }
}

/// The largest error of each of its outputs, of the output's largest value, against the oracle; with operands that bf16 holds, or with any.
fn errors(bench: &Bench, held: bool, precision: Precision) -> Result<Vec<f64>> {
    let mut state = bench.state::<f32>();
    let mut exact = bench.state::<f64>();
    if held {
        let values = state.arena_mut(0, Arena::Value);
        values.iter_mut().for_each(|v| *v = half::bf16::from_f32(*v).to_f32());
        exact.arena_mut(0, Arena::Value).iter_mut().zip(&*values).for_each(|(e, v)| *e = f64::from(*v));
    }
    let plan = Plan::new(&bench.graph, &bench.spec, true);
    let mut oracle = CpuProgram::<f64>::new(plan.clone(), Arena::Value);
    oracle.run(&mut exact, &step());
    let mut program = CpuProgram::<f32>::new(plan, Arena::Value).with_precision(precision);
    program.run(&mut state, &step());
    let error = |name: &str| -> Result<f64> {
        let (got, want) = (program.read(&state, name)?, oracle.read(&exact, name)?);
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        Ok(got.iter().zip(want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max) / largest)
    };
    ["y", "dx", "dw"].into_iter().map(error).collect()
}

#[test]
fn operands_of_products_are_rounded_and_nothing_else() -> Result<()> {
    if !has_pairs() {
        return Ok(());
    }
    let causal = |k, size| Taps::causal(k, true, size);
    let dense = |k, stride, pad, size| Taps::dense([k, k], stride, pad, size);
    // Masked kernels, products of matrices of few and of many rows, images of odd sides, one column wide, and as large as their kernel; sums
    // in several panels, columns that fill no tile, odd channels, which stay in f32, weight gradients cut by rows, and places that no tap reaches.
    let cases = [
        (3, causal(3, [6, 6]), [8, 20]),
        (2, causal(5, [9, 7]), [16, 33]),
        (5, Taps::pointwise([1, 1]), [300, 70]),
        (9, Taps::pointwise([7, 7]), [24, 5]),
        (300, Taps::pointwise([1, 1]), [34, 32]),
        (512, Taps::pointwise([1, 1]), [400, 200]),
        (3, dense(4, 2, 1, [10, 6])?, [6, 40]),
        (4, dense(4, 2, 1, [14, 14])?, [30, 48]),
        (2, Taps::dense([3, 1], 1, 1, [40, 1])?, [12, 10]),
        (6, dense(4, 1, 0, [4, 4])?, [64, 10]),
        (7, dense(3, 1, 1, [5, 5])?, [1, 16]),
        (3, dense(3, 1, 1, [4, 4])?, [96, 90]),
        (2, dense(2, 3, 0, [11, 8])?, [6, 40]),
    ];
    for (images, taps, channels) in cases {
        let bench = Bench::convolution(images, &taps, channels)?;
        let what = format!("{images} images of {:?}, {channels:?} channels", taps.input);
        for error in errors(&bench, true, Precision::Mixed)? {
            assert!(error < 1e-5, "{what}: {error}, of numbers that bf16 holds");
        }
        let [rounded, single] = [Precision::Mixed, Precision::F32].map(|precision| errors(&bench, false, precision));
        // What is summed over an odd number of channels stays in f32; weights are always summed over positions.
        let (rounded, single) = (rounded?, single?);
        assert!(rounded.iter().all(|e| *e < 2e-2) && rounded[2] > 20.0 * single[2], "{what}: {rounded:?}, {single:?}");
    }
    Ok(())
}

#[test]
fn filtered_kernels_round_what_they_multiply() -> Result<()> {
    if !has_pairs() {
        return Ok(());
    }
    let strided = [(1, 4, 16, 32), (19, 8, 96, 64), (24, 32, 32, 32), (5, 20, 16, 32)];
    let strided = strided.into_iter().map(|(images, side, c, d)| (images, Taps::dense([4, 4], 2, 1, [side, side]), [c, d]));
    let around =
        [(2, [1, 1], 16, 32), (1, [4, 6], 32, 32), (3, [5, 8], 64, 32), (19, [7, 7], 32, 64), (2, [8, 3], 288, 32), (5, [28, 27], 32, 32)];
    let around = around.into_iter().map(|(images, size, c, d)| (images, Taps::dense([3, 3], 1, 1, size), [c, d]));
    for (images, taps, channels) in strided.chain(around) {
        let taps = taps?;
        let bench = Bench::convolution(images, &taps, channels)?;
        let what = format!("{images} images of {:?}, {channels:?} channels", taps.input);
        let [rounded, single] = [Precision::Mixed, Precision::F32].map(|precision| errors(&bench, false, precision));
        let (rounded, single) = (rounded?, single?);
        assert!(rounded.iter().zip(&single).all(|(r, s)| *r < 3e-2 && *r > 20.0 * s), "{what}: {rounded:?}, {single:?}");
    }
    Ok(())
}
