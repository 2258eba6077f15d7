//! What loads cost on an adapter that is a CPU: measured at start-up in some milliseconds, not looked up by name.

use web_time::Instant;

use super::{Gpu, Standalone};
use crate::error::Result;
use crate::shader::{Access, expand};

const THREADS: u32 = 64;
const GROUPS: u32 = 4;
const ROUNDS: u32 = 4096;
const TEXELS: usize = 4096;
/// Loads from textures must be so many times cheaper to be worth packing operands for.
const CHEAPER: f64 = 2.0;

/// Dispatches of either kind, of which the shortest counts.
const TRIALS: usize = 5;

/// Whether loads from storage textures are much cheaper than from storage buffers.
pub(super) async fn textures_are_cheaper(gpu: &Gpu) -> Result<bool> {
    let kernels = [probe(gpu, false)?, probe(gpu, true)?];
    let mut least = [f64::INFINITY; 2];
    // In turns, so that what else the machine does hits both alike; the first dispatch of each compiles.
    for trial in 0..=TRIALS {
        for (kernel, least) in kernels.iter().zip(&mut least) {
            let start = Instant::now();
            kernel.dispatch([GROUPS, 1, 1]);
            kernel.finish().await?;
            if trial > 0 {
                *least = least.min(start.elapsed().as_secs_f64());
            }
        }
    }
    let [buffer, texture] = least;
    log::info!("loads: {:.1} µs from buffers, {:.1} µs from textures", buffer * 1e6, texture * 1e6);
    Ok(texture * CHEAPER <= buffer)
}

fn probe(gpu: &Gpu, texture: bool) -> Result<Standalone> {
    let defines = vec![
        ("TEXTURE", u32::from(texture).to_string()),
        ("THREADS", THREADS.to_string()),
        ("ROUNDS", ROUNDS.to_string()),
        ("TEXELS", TEXELS.to_string()),
    ];
    let source = if texture { (Access::TextureRead, TEXELS) } else { (Access::Read, 4 * TEXELS) };
    let sums = (Access::ReadWrite, (4 * THREADS * GROUPS) as usize);
    Standalone::new(gpu, "probe", expand("probe", &defines)?, &[source, sums])
}
