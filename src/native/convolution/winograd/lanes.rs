//! Sixteen channels of a tile side by side.

#![allow(clippy::needless_range_loop)] // indices name lanes here

/// Channels transformed at a time.
pub(super) const LANES: usize = 16;

pub(super) type Lane = [f32; LANES];

/// Where nothing is.
pub(super) const NOTHING: Lane = [0.0; LANES];

#[inline(always)]
pub(super) fn lane(data: &[f32], at: usize) -> &Lane {
    data[at..at + LANES].first_chunk().expect("as long as the range")
}

/// A function of so many numbers, channel by channel.
#[inline(always)]
pub(super) fn across<const N: usize, const M: usize>(from: [&Lane; N], f: impl Fn([f32; N]) -> [f32; M]) -> [Lane; M] {
    let mut out = [NOTHING; M];
    for c in 0..LANES {
        let mut numbers = [0.0; N];
        for k in 0..N {
            numbers[k] = from[k][c];
        }
        let results = f(numbers);
        for k in 0..M {
            out[k][c] = results[k];
        }
    }
    out
}

/// Elements from one array of `len` to the next: arrays a power of two apart would share few sets of the first cache.
pub(super) const fn stride(len: usize) -> usize {
    len + LANES
}

/// Puts lanes one after the other.
#[inline(always)]
pub(super) fn put(lanes: &[Lane], out: &mut [f32]) {
    for (out, lane) in out.as_chunks_mut().0.iter_mut().zip(lanes) {
        *out = *lane;
    }
}
