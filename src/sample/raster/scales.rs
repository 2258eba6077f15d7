//! Images drawn in several scales: the pixels of even rows and columns first, as an image of their own; the rest is then drawn around them.

use super::Job;
use crate::model::Raster;
use crate::random::word;

/// The random stream of the seeds of coarser scales.
const STREAM: u32 = 0x7363_616c;

/// Scales that an image is drawn in.
pub fn scales(raster: &dyn Raster) -> usize {
    1 + raster.coarser().map_or(0, |coarser| scales(coarser.as_ref()))
}

/// Places of the values of even rows and columns, in order.
fn grid([h, w, c]: [usize; 3]) -> impl Iterator<Item = usize> {
    (0..h).step_by(2).flat_map(move |y| (0..w).step_by(2).flat_map(move |x| (0..c).map(move |colour| (y * w + x) * c + colour)))
}

/// Places of an image's values in the order in which so many scales draw them: values before a value are what it may depend on.
pub fn order(dims @ [h, w, c]: [usize; 3], scales: usize) -> Vec<usize> {
    if scales <= 1 {
        return (0..h * w * c).collect();
    }
    let coarse: Vec<usize> = grid(dims).collect();
    let first: Vec<usize> = order([h / 2, w / 2, c], scales - 1).into_iter().map(|place| coarse[place]).collect();
    let mut known = vec![false; h * w * c];
    first.iter().for_each(|place| known[*place] = true);
    first.into_iter().chain((0..h * w * c).filter(|place| !known[*place])).collect()
}

/// What is kept of an image: values `[count, H, W, C]`, and for each place whether it is.
pub(super) struct Kept {
    pub(super) values: Vec<f32>,
    pub(super) places: Vec<bool>,
}

/// The seed by which the next coarser scale is drawn: a place of it must not share its draws with the same place of the finer.
pub(super) fn coarser_seed(seed: u64) -> u64 {
    u64::from(word(seed, STREAM, 0, 0)) | u64::from(word(seed, STREAM, 0, 1)) << 32
}

/// What the next coarser scale keeps of what is kept of images of these dims.
pub(super) fn coarser_kept(job: &Job<'_>, dims: [usize; 3]) -> Option<Kept> {
    let (values, kept) = job.keep?;
    let each = |image: &[f32]| grid(dims).map(|place| image[place]).collect::<Vec<_>>();
    Some(Kept { values: values.chunks_exact(kept.len()).flat_map(each).collect(), places: grid(dims).map(|place| kept[place]).collect() })
}

/// What a scale keeps: the values of the next coarser one, and what the job keeps besides.
pub(super) fn kept_with(job: &Job<'_>, coarse: &[f32], dims: [usize; 3]) -> Kept {
    let item: usize = dims.iter().product();
    let (mut values, mut places) = match job.keep {
        Some((values, kept)) => (values.to_vec(), kept.to_vec()),
        None => (vec![0.0; job.count * item], vec![false; item]),
    };
    grid(dims).for_each(|place| places[place] = true);
    for (image, coarse) in values.chunks_exact_mut(item).zip(coarse.chunks_exact(item / 4)) {
        grid(dims).zip(coarse).for_each(|(place, value)| image[place] = *value);
    }
    Kept { values, places }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_comes_once_and_coarser_ones_first() {
        assert_eq!(order([2, 4, 1], 2), [0, 2, 1, 3, 4, 5, 6, 7]);
        assert_eq!(order([2, 2, 2], 2), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order([4, 4, 1], 3)[..6], [0, 2, 8, 10, 1, 3]);
        assert_eq!(order([3, 2, 1], 1), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn seeds_of_scales_differ() {
        let seeds: std::collections::BTreeSet<u64> = (0..100).flat_map(|s| [s, coarser_seed(s), coarser_seed(coarser_seed(s))]).collect();
        assert_eq!(seeds.len(), 300);
    }
}
