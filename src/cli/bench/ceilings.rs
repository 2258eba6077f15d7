//! What the device can do at most, measured in the same call as what it does.

use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::Result;
use crate::gpu::{Gpu, Standalone};
use crate::native::simd::{self, MAX_COLUMNS, MOST_ROWS, Packing, Tile};
use crate::runtime::Device;
use crate::shader::{Access, expand};
use crate::tensor::Precision;
use crate::wait::Wait;

/// A device's ceilings.
#[derive(Clone, Debug)]
pub struct Ceilings {
    /// Multiply-adds in registers, two operations each, in GFLOP/s.
    pub gflops: f64,
    /// Bytes read and written in memory beyond every cache, in GB/s.
    pub gbps: f64,
    /// The same of fewer bytes, which caches hold: bytes and GB/s, in order; empty where only the one above is known.
    memory: Vec<(u64, f64)>,
    /// Seconds of an empty dispatch, submitted and waited for.
    pub dispatch: f64,
}

impl Ceilings {
    /// Measures a device.
    pub fn measure(device: &Device) -> Result<Self> {
        match device {
            Device::Cpu(precision) => Ok(cpu(*precision)),
            Device::Gpu(gpu) => gpu_ceilings(gpu),
        }
    }

    /// The ceiling of multiply-adds alone, in GFLOP/s.
    ///
    /// # Errors
    /// Those of the device.
    pub fn multiply_adds(device: &Device) -> Result<f64> {
        match device {
            Device::Cpu(precision) => Ok(cpu_multiply_adds(*precision)),
            Device::Gpu(gpu) => gpu_ceilings(gpu).map(|ceilings| ceilings.gflops),
        }
    }

    /// GB/s of what goes through so many bytes.
    pub fn gbps_of(&self, bytes: u64) -> f64 {
        self.memory.iter().find(|(size, _)| bytes <= *size).map_or(self.gbps, |(_, gbps)| *gbps)
    }

    /// As `--json` shows them.
    pub fn json(&self) -> Value {
        let memory: Vec<Value> = self.memory.iter().map(|(bytes, gbps)| json!({ "bytes": bytes, "gbps": gbps })).collect();
        json!({"gflops": self.gflops, "gbps": self.gbps, "memory": memory, "dispatch_s": self.dispatch})
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

fn cpu(precision: Precision) -> Ceilings {
    let threads = rayon::current_num_threads();
    let memory: Vec<(u64, f64)> = SIZES.map(|bytes| (bytes as u64, host_memory(bytes, threads))).to_vec();
    let gbps = memory.last().map_or(f64::NAN, |(_, gbps)| *gbps);
    Ceilings { gflops: cpu_multiply_adds(precision), gbps, memory, dispatch: 0.0 }
}

/// GFLOP/s of the register tile, its operands in the nearest cache, on all threads.
fn cpu_multiply_adds(precision: Precision) -> f64 {
    const DEPTH: usize = 256;
    // A tenth of a second: in bursts of a few milliseconds threads may not yet have a core each.
    const TILES: usize = 80_000;
    let threads = rayon::current_num_threads();
    // Both factors' room is that of `f32`: of bf16 numbers it holds twice as many.
    let packing = if precision == Precision::Mixed { Packing::Stacked } else { Packing::Single };
    let (rows, columns) = (packing.height(), simd::columns(MAX_COLUMNS));
    // One row of the first factor again and again, that the second has the nearest cache.
    let offsets = [0; DEPTH];
    let seconds = best(|| {
        let start = Instant::now();
        (0..threads).into_par_iter().for_each(|_| {
            let a = [1.0f32; MOST_ROWS];
            let mut b = vec![1e-3f32; DEPTH * columns];
            packing.lay(&mut b, DEPTH, columns);
            let mut acc = [0.0f32; MOST_ROWS * MAX_COLUMNS];
            for _ in 0..TILES {
                let base = acc.as_mut_ptr();
                let a: [*const f32; MOST_ROWS] = std::array::from_fn(|i| &raw const a[i]);
                let sums: [*mut f32; MOST_ROWS] = std::array::from_fn(|i| base.wrapping_add(i * columns));
                let tile = Tile {
                    rows: &a[..rows],
                    offsets: &offsets,
                    b: b.as_ptr(),
                    stride: columns,
                    sums: &sums[..rows],
                    used: columns,
                    fresh: false,
                };
                // SAFETY: each row has the one element that is read, `b` as many rows of `columns`, and `acc` the largest tile; a
                // device that computes in pairs was proven to.
                unsafe { packing.multiply(&tile, columns, 0) };
            }
            std::hint::black_box(&acc);
        });
        Ok(start.elapsed().as_secs_f64())
    });
    let flops = (2 * threads * TILES * DEPTH * packing.depth() * rows * columns) as f64;
    flops / seconds.unwrap_or(f64::NAN) * 1e-9
}

/// Bytes that a kernel of the host may go through, from those that the nearest cache holds to those that none does.
const SIZES: [usize; 7] = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20];

/// GB/s at which all threads go through so many bytes again and again, each its share: the better of reading and copying.
fn host_memory(bytes: usize, threads: usize) -> f64 {
    let words = bytes / 8;
    let share = words.div_ceil(threads);
    let rounds = ((64 << 20) / bytes).max(1);
    let mut all = vec![1u64; words];
    let timed = |run: &mut dyn FnMut()| {
        let mut least = f64::INFINITY;
        for _ in 0..4 {
            let start = Instant::now();
            run();
            least = least.min(start.elapsed().as_secs_f64());
        }
        (rounds * bytes) as f64 / least * 1e-9
    };
    let read = timed(&mut || {
        all.par_chunks(share).for_each(|part| {
            for _ in 0..rounds {
                std::hint::black_box(std::hint::black_box(part).iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
            }
        });
    });
    let copied = timed(&mut || {
        all.par_chunks_mut(share).for_each(|part| {
            let (from, to) = part.split_at_mut(part.len() / 2);
            for _ in 0..rounds {
                let half = from.len();
                std::hint::black_box(&mut *to)[..half].copy_from_slice(std::hint::black_box(from));
            }
        });
    });
    read.max(copied)
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
        kernel.finish().wait()?;
        let start = Instant::now();
        kernel.repeat([groups, 1, 1], times);
        kernel.finish().wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let (fma, copy) = (make(true)?, make(false)?);
    let dispatch = best(|| timed(&copy, 1, 1))?;
    let took = |seconds: f64| (seconds - dispatch).max(1e-9);
    let flops = f64::from(groups * threads) * 4.0 * 8.0 * 2.0 * f64::from(rounds);
    Ok(Ceilings {
        gflops: flops / took(best(|| timed(&fma, groups, 1))?) * 1e-9,
        gbps: f64::from(copied) * f64::from(threads) * 32.0 * copies as f64 / took(best(|| timed(&copy, copied, copies))?) * 1e-9,
        memory: Vec::new(),
        dispatch,
    })
}
