//! Sixteen channels of a tile side by side.

/// Channels transformed at a time.
pub(super) const LANES: usize = 16;

pub(super) type Lane = [f32; LANES];

/// Where nothing is.
pub(super) const NOTHING: Lane = [0.0; LANES];

#[inline(always)]
pub(super) fn lane(data: &[f32], at: usize) -> &Lane {
    data[at..at + LANES].first_chunk().expect("as long as the range")
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
