//! What the device can do at most, measured in the same call as what it does.

use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::Result;
use crate::gpu::{Gpu, Standalone};
use crate::native::simd::{self, MAX_COLUMNS, MAX_ROWS, Tile};
use crate::runtime::Device;
use crate::shader::{Access, expand};

/// A device's ceilings.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Multiply-adds in registers, two operations each, in GFLOP/s.
    pub gflops: f64,
    /// Bytes read and written by a copy, in GB/s.
    pub gbps: f64,
    /// Seconds of an empty dispatch, submitted and waited for.
    pub dispatch: f64,
}

impl Ceilings {
    /// Measures a device.
    pub fn measure(device: &Device) -> Result<Self> {
        match device {
            Device::Cpu => Ok(cpu()),
            Device::Gpu(gpu) => gpu_ceilings(gpu),
        }
    }

    /// As `--json` shows them.
    pub fn json(&self) -> Value {
        json!({"gflops": self.gflops, "gbps": self.gbps, "dispatch_s": self.dispatch})
    }
}

/// The best of a few runs.
fn best(mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..4 {
        least = least.min(run()?);
    }
    Ok(least)
}

fn cpu() -> Ceilings {
    const DEPTH: usize = 256;
    const TILES: usize = 4000;
    let threads = rayon::current_num_threads();
    let offsets: Vec<i32> = (0..DEPTH as i32).collect();
    let (rows, columns) = (simd::rows(), simd::columns(MAX_COLUMNS));
    let seconds = best(|| {
        let start = Instant::now();
        (0..threads).into_par_iter().for_each(|_| {
            let a = vec![1.0f32; DEPTH];
            let b = vec![1e-3f32; DEPTH * columns];
            let mut acc = [0.0f32; MAX_ROWS * MAX_COLUMNS];
            for _ in 0..TILES {
                let (a, base) = ([a.as_ptr(); MAX_ROWS], acc.as_mut_ptr());
                let sums: [*mut f32; MAX_ROWS] = std::array::from_fn(|i| base.wrapping_add(i * columns));
                let tile = Tile {
                    rows: &a[..rows],
                    offsets: &offsets,
                    b: b.as_ptr(),
                    stride: columns,
                    sums: &sums[..rows],
                    used: columns,
                    fresh: false,
                };
                // SAFETY: each row has `DEPTH` elements, `b` as many rows of `columns`, and `acc` the largest tile.
                unsafe { simd::multiply(&tile, columns) };
            }
            std::hint::black_box(&acc);
        });
        Ok(start.elapsed().as_secs_f64())
    });
    let flops = (2 * threads * TILES * DEPTH * rows * columns) as f64;
    const COPIED: usize = 64 << 20;
    let source = vec![1u8; COPIED];
    let mut target = vec![0u8; COPIED];
    let copy = best(|| {
        let start = Instant::now();
        let part = COPIED.div_ceil(threads);
        target.par_chunks_mut(part).zip(source.par_chunks(part)).for_each(|(t, s)| t.copy_from_slice(s));
        Ok(start.elapsed().as_secs_f64())
    });
    let (seconds, copy) = (seconds.unwrap_or(f64::NAN), copy.unwrap_or(f64::NAN));
    Ceilings { gflops: flops / seconds * 1e-9, gbps: (2 * COPIED) as f64 / copy * 1e-9, dispatch: 0.0 }
}

fn gpu_ceilings(gpu: &Gpu) -> Result<Ceilings> {
    let slow = gpu.target().is_cpu();
    // Enough to fill a large GPU for some milliseconds; a software driver gets less.
    let (groups, rounds) = if slow { (64u32, 64) } else { (4096, 2048) };
    let threads = 128u32;
    // Copies must not fit any cache, and outlast what launching them costs: some 128 MiB each way, several times.
    let (copied, copies) =
        if slow { (groups, 1) } else { (65_535.min((gpu.description().max_binding / u64::from(threads * 16)) as u32), 16) };
    let make = |fma: bool| {
        let elements = (if fma { groups } else { copied } * threads * 4) as usize;
        let defines = vec![
            ("THREADS", threads.to_string()),
            ("ROUNDS", rounds.to_string()),
            ("FMA", if fma { "1".to_string() } else { String::new() }),
        ];
        Standalone::new(gpu, "ceiling", expand("ceiling", &defines)?, &[(Access::Read, elements), (Access::ReadWrite, elements)])
    };
    let timed = |kernel: &Standalone, groups: u32, times: usize| {
        kernel.finish()?;
        let start = Instant::now();
        kernel.repeat([groups, 1, 1], times);
        kernel.finish()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let (fma, copy) = (make(true)?, make(false)?);
    let dispatch = best(|| timed(&copy, 1, 1))?;
    let took = |seconds: f64| (seconds - dispatch).max(1e-9);
    let flops = f64::from(groups * threads) * 4.0 * 8.0 * 2.0 * f64::from(rounds);
    Ok(Ceilings {
        gflops: flops / took(best(|| timed(&fma, groups, 1))?) * 1e-9,
        gbps: f64::from(copied) * f64::from(threads) * 32.0 * copies as f64 / took(best(|| timed(&copy, copied, copies))?) * 1e-9,
        dispatch,
    })
}
