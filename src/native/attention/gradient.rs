//! The gradient: shares are computed again, of some queries with all keys.

use crate::parallel::prelude::*;

use super::pack::{Columns, Rows, offsets, product, rows_len, turned_len};
use super::softmax::{Scores, Shares};
use super::{Heads, KEYS, QUERIES, deal};
use crate::native::{scratch, simd};

/// What `op::AttentionGradient` makes of what the attention read, what it made and the gradient of that: `[N, length, 3·heads·width]`.
pub fn gradient(h: Heads, [read, made, upstream]: [&[f32]; 3], out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    let tables = Tables { along: offsets(h.width.max(KEYS), 1), down: offsets(QUERIES, KEYS) };
    let item = h.length * h.inner();
    scratch::with(out.len(), |apart| {
        apart.par_chunks_mut(3 * h.length * h.width).enumerate().for_each(|(at, own)| {
            let n = at / h.heads;
            let parts = [(&made[n * item..][..item]), &upstream[n * item..][..item]];
            head(h, at % h.heads, &read[n * 3 * item..][..3 * item], parts, &tables, own);
        });
        deal(h, 3, apart, out);
    });
}

/// Offsets of a row's numbers: one after the other, and down the rows of a block of scores.
struct Tables {
    along: Vec<i32>,
    down: Vec<i32>,
}

/// One head of one image, to `[3, length, width]`.
fn head(h: Heads, head: usize, read: &[f32], [made, upstream]: [&[f32]; 2], tables: &Tables, own: &mut [f32]) {
    let [q, k, v] =
        [0, 1, 2].map(|which| Rows { data: &read[h.part(head, which)..], stride: 3 * h.inner(), count: h.length, width: h.width });
    let [made, up] =
        [made, upstream].map(|data| Rows { data: &data[head * h.width..], stride: h.inner(), count: h.length, width: h.width });
    let scale = 1.0 / (h.width as f32).sqrt();
    let wide = q.padded();
    let [turned, straight] = [turned_len(h), rows_len(h)];
    let blocks = h.length.div_ceil(KEYS);
    scratch::with(2 * turned + 6 * straight + (blocks + 1) * QUERIES * KEYS + (blocks + 3) * QUERIES, |room| {
        let mut room = room;
        let mut take = |len: usize| -> &mut [f32] {
            let (part, rest) = std::mem::take(&mut room).split_at_mut(len);
            room = rest;
            part
        };
        let (k_turned, v_turned) = (Columns::turned(k, take(turned)), Columns::turned(v, take(turned)));
        let [q_rows, k_rows, up_rows] = [q, k, up].map(|rows| Columns::straight(rows, take(straight)));
        let [dq, dk, dv] = [(); 3].map(|()| take(straight));
        let (shares, gradients) = (take(blocks * QUERIES * KEYS), take(QUERIES * KEYS));
        let (seen, [top, total, mean]) = (take(blocks * QUERIES), [(); 3].map(|()| take(QUERIES)));
        [&mut *dq, &mut *dk, &mut *dv].into_iter().for_each(|d| d.fill(0.0));
        let along = &tables.along;
        for first in (0..h.length).step_by(QUERIES) {
            let count = QUERIES.min(h.length - first);
            let (queries, ups) = (q.from(first, count), up.from(first, count));
            top.fill(f32::NEG_INFINITY);
            total.fill(0.0);
            let parts = (0..h.length).step_by(KEYS).map(|begin| (begin, KEYS.min(h.length - begin)));
            let blocks = parts.clone().zip(shares.chunks_exact_mut(QUERIES * KEYS).zip(seen.chunks_exact_mut(QUERIES)));
            for ((begin, met), (scores, seen)) in blocks {
                product(queries, &along[..h.width], k_turned.block(begin, met), (&mut *scores, KEYS), true);
                simd::dispatch(Shares { scores, met, count, scale, top, total, seen });
            }
            for (i, mean) in mean.iter_mut().enumerate().take(count) {
                *mean = ups.row(i).iter().zip(made.row(first + i)).map(|(a, b)| a * b).sum();
            }
            for ((begin, met), (shares, seen)) in parts.zip(shares.chunks_exact_mut(QUERIES * KEYS).zip(seen.chunks_exact(QUERIES))) {
                product(ups, &along[..h.width], v_turned.block(begin, met), (&mut *gradients, KEYS), true);
                simd::dispatch(Scores { shares, gradients, met, scale, top, seen, total, mean: &mean[..count] });
                let of_keys = begin * wide..(begin + met) * wide;
                let shares = Rows { data: shares, stride: 1, count: met, width: count };
                product(shares, &tables.down[..count], up_rows.after(first), (&mut dv[of_keys.clone()], wide), false);
                let of_scores = Rows { data: gradients, stride: 1, count: met, width: count };
                product(of_scores, &tables.down[..count], q_rows.after(first), (&mut dk[of_keys], wide), false);
                let of_scores = Rows { data: gradients, stride: KEYS, count, width: met };
                product(of_scores, &along[..met], k_rows.after(begin), (&mut dq[first * wide..(first + count) * wide], wide), false);
            }
        }
        for (own, sums) in own.chunks_exact_mut(h.length * h.width).zip([dq, dk, dv]) {
            for (own, sums) in own.chunks_exact_mut(h.width).zip(sums.chunks_exact(wide)) {
                own.copy_from_slice(&sums[..h.width]);
            }
        }
    });
}
