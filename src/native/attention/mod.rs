//! Attention on the CPU: blocks of queries meet blocks of keys in the first cache, through the register tile of all products.

mod gradient;
pub mod oracle;
mod pack;
mod softmax;

pub use gradient::gradient;

use crate::parallel::prelude::*;

use super::{scratch, simd};
use pack::{Columns, Rows, offsets, product, rows_len, turned_len};
use softmax::{Finish, Online};

/// Queries that are carried through together …
const QUERIES: usize = 32;
/// … and keys that they meet at a time: a block of scores takes 16 KiB.
const KEYS: usize = 128;

/// The heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Positions that attend to each other.
    pub length: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
}

impl Heads {
    /// Channels of all heads.
    pub fn inner(self) -> usize {
        self.heads * self.width
    }

    /// Where q (0), k (1) or v (2) of a head begins in what is read of an image.
    fn part(self, head: usize, which: usize) -> usize {
        which * self.inner() + head * self.width
    }
}

/// What `op::Attention` makes, `[N, length, heads·width]`.
pub fn forward(h: Heads, read: &[f32], out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let (each, item) = (h.length * h.width, h.length * 3 * h.inner());
    let table = offsets(h.width.max(KEYS), 1);
    // Heads are computed apart, and dealt to the channels afterwards.
    scratch::with(out.len(), |apart| {
        apart.par_chunks_mut(each).enumerate().for_each(|(at, own)| {
            let image = &read[at / h.heads * item..][..item];
            head(h, at % h.heads, image, &table, own);
        });
        deal(h, 1, apart, out);
    });
}

/// Deals heads that were computed apart, `[N, heads, parts, length, width]`, to `[N, length, parts, heads, width]`.
fn deal(h: Heads, parts: usize, apart: &[f32], out: &mut [f32]) {
    let item = h.length * parts * h.inner();
    out.par_chunks_mut(item).zip(apart.par_chunks(item)).for_each(|(out, apart)| {
        for (at, block) in apart.chunks_exact(h.length * h.width).enumerate() {
            let (head, part) = (at / parts, at % parts);
            for (position, row) in block.chunks_exact(h.width).enumerate() {
                out[(position * parts + part) * h.inner() + head * h.width..][..h.width].copy_from_slice(row);
            }
        }
    });
}

/// One head of one image.
fn head(h: Heads, head: usize, image: &[f32], table: &[i32], own: &mut [f32]) {
    let row = 3 * h.inner();
    let [q, k, v] = [0, 1, 2].map(|which| Rows { data: &image[h.part(head, which)..], stride: row, count: h.length, width: h.width });
    let scale = 1.0 / (h.width as f32).sqrt();
    let wide = v.padded();
    let [turned, straight] = [turned_len(h), rows_len(h)];
    scratch::with(turned + straight + QUERIES * (KEYS + wide + 2), |room| {
        let (turned, rest) = room.split_at_mut(turned);
        let (straight, rest) = rest.split_at_mut(straight);
        let (scores, rest) = rest.split_at_mut(QUERIES * KEYS);
        let (sums, state) = rest.split_at_mut(QUERIES * wide);
        let keys = Columns::turned(k, turned);
        let values = Columns::straight(v, straight);
        for first in (0..h.length).step_by(QUERIES) {
            let count = QUERIES.min(h.length - first);
            sums.fill(0.0);
            let (top, total) = state.split_at_mut(QUERIES);
            top.fill(f32::NEG_INFINITY);
            total.fill(0.0);
            for begin in (0..h.length).step_by(KEYS) {
                let met = KEYS.min(h.length - begin);
                product(q.from(first, count), &table[..h.width], keys.block(begin, met), (&mut *scores, KEYS), true);
                simd::dispatch(Online { scores, met, count, scale, top, total, sums, wide });
                let shares = Rows { data: scores, stride: KEYS, count, width: met };
                product(shares, &table[..met], values.after(begin), (&mut *sums, wide), false);
            }
            simd::dispatch(Finish { sums, wide, total, out: &mut own[first * h.width..(first + count) * h.width], width: h.width });
        }
    });
}
