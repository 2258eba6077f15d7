//! Attention as it is defined, in double precision, all scores at once.

use super::Heads;

/// Scores of a row turned into shares that sum to 1.
fn softmax(scores: &mut [f64]) {
    let top = scores.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
    scores.iter_mut().for_each(|v| *v = (*v - top).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|v| *v /= sum);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Calls `work` for each image, head and position with the image's q, k and v and the shares of the position.
fn each_row(h: Heads, read: &[f64], mut work: impl FnMut(usize, usize, usize, &[f64])) {
    let (inner, scale) = (h.heads * h.width, 1.0 / (h.width as f64).sqrt());
    for (n, image) in read.chunks_exact(h.length * 3 * inner).enumerate() {
        for head in 0..h.heads {
            for i in 0..h.length {
                let part = |position: usize, which: usize| &image[position * 3 * inner + which * inner + head * h.width..][..h.width];
                let mut scores: Vec<f64> = (0..h.length).map(|j| scale * dot(part(i, 0), part(j, 1))).collect();
                softmax(&mut scores);
                work(n, head, i, &scores);
            }
        }
    }
}

/// What `op::Attention` makes.
pub fn forward(h: Heads, read: &[f64], out: &mut [f64]) {
    let inner = h.heads * h.width;
    out.fill(0.0);
    each_row(h, read, |n, head, i, shares| {
        for (j, share) in shares.iter().enumerate() {
            for c in head * h.width..(head + 1) * h.width {
                out[(n * h.length + i) * inner + c] += share * read[(n * h.length + j) * 3 * inner + 2 * inner + c];
            }
        }
    });
}

/// What `op::AttentionGradient` makes.
pub fn gradient(h: Heads, read: &[f64], upstream: &[f64], out: &mut [f64]) {
    let (inner, scale) = (h.heads * h.width, 1.0 / (h.width as f64).sqrt());
    out.fill(0.0);
    each_row(h, read, |n, head, i, shares| {
        let at = |position: usize, which: usize| (n * h.length + position) * 3 * inner + which * inner + head * h.width;
        let up = &upstream[(n * h.length + i) * inner + head * h.width..][..h.width];
        let of_shares: Vec<f64> = (0..h.length).map(|j| dot(up, &read[at(j, 2)..][..h.width])).collect();
        let mean = dot(&of_shares, shares);
        for (j, share) in shares.iter().enumerate() {
            let of_score = scale * share * (of_shares[j] - mean);
            for c in 0..h.width {
                out[at(j, 2) + c] += share * up[c];
                out[at(i, 0) + c] += of_score * read[at(j, 1) + c];
                out[at(j, 1) + c] += of_score * read[at(i, 0) + c];
            }
        }
    });
}
