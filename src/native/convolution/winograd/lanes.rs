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

/// Where results of a filter go, one by one as they come: an array of them would be filled with zeros first, and read again.
pub(super) trait Put {
    /// Takes result `k`.
    fn put(&mut self, k: usize, lane: &Lane);
}

/// Lanes that lie so far apart.
pub(super) struct Apart<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) first: usize,
    pub(super) apart: usize,
}

impl Put for Apart<'_> {
    #[inline(always)]
    fn put(&mut self, k: usize, lane: &Lane) {
        self.out[self.first + k * self.apart..][..LANES].copy_from_slice(lane);
    }
}

/// Lanes that have a place each, or none.
pub(super) struct Places<'a, const N: usize> {
    pub(super) out: &'a mut [f32],
    pub(super) places: &'a [Option<usize>; N],
    /// Beyond each place.
    pub(super) at: usize,
}

impl<const N: usize> Put for Places<'_, N> {
    #[inline(always)]
    fn put(&mut self, k: usize, lane: &Lane) {
        if let Some(place) = self.places[k] {
            self.out[place + self.at..][..LANES].copy_from_slice(lane);
        }
    }
}

/// Lanes at the same place of an array each.
pub(super) struct Each<'a, 'b, const N: usize> {
    pub(super) out: &'a mut [&'b mut [f32]; N],
    pub(super) at: usize,
}

impl<const N: usize> Put for Each<'_, '_, N> {
    #[inline(always)]
    fn put(&mut self, k: usize, lane: &Lane) {
        self.out[k][self.at..][..LANES].copy_from_slice(lane);
    }
}

#[cfg(test)]
impl<const N: usize> Put for [Lane; N] {
    fn put(&mut self, k: usize, lane: &Lane) {
        self[k] = *lane;
    }
}
