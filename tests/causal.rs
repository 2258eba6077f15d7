//! That no PixelCNN looks ahead, over the whole space of its hyper-parameters.

#[path = "support/pixels.rs"]
mod pixels;

use std::time::{Duration, Instant};

use kiln::Result;
use pixels::{Net, domain};
use proptest::prelude::*;

/// What a PixelCNN can be made of, on images of a few pixels.
#[derive(Clone, Debug)]
struct Case {
    size: [usize; 2],
    colours: usize,
    levels: usize,
    blocks: usize,
    widths: [usize; 2],
    kernels: [usize; 2],
}

fn cases(most: usize) -> impl Strategy<Value = Case> {
    let odd = prop::sample::select(vec![1usize, 1, 3, 5, 7]);
    let sizes = (1..=most, 1..=most, prop::sample::select(vec![1usize, 3]), 2..=4usize);
    (sizes, 1..=3usize, [1..=4usize, 1..=4usize], [odd.clone(), odd]).prop_map(|((h, w, colours, levels), blocks, widths, kernels)| Case {
        size: [h, w],
        colours,
        levels,
        blocks,
        widths: widths.map(|part| part * colours),
        kernels,
    })
}

impl Case {
    fn net(&self) -> Result<Net> {
        let Self { size: [h, w], colours, levels, blocks, widths: [hidden, head], kernels: [first, kernel] } = *self;
        let hyper = format!("blocks = {blocks}\nhidden = {hidden}\nhead = {head}\nfirst_kernel = {first}\nkernel = {kernel}");
        Net::new([h, w, colours], levels, &hyper)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn later_values_change_no_earlier_logit(case in cases(4)) {
        let mut net = case.net()?;
        let base = net.noise(1, 1);
        for (j, changed) in net.influence(&base)?.iter().enumerate() {
            let early: Vec<_> = changed.range(..=j).collect();
            prop_assert!(early.is_empty(), "value {} changed the logits of {:?}", j, early);
        }
    }

    #[test]
    fn probabilities_sum_to_one(case in cases(3).prop_filter("a domain that can be enumerated", |case| {
        let values = case.size[0] * case.size[1] * case.colours;
        (case.levels as f64).powi(values as i32) <= 2048.0
    })) {
        let mut net = case.net()?;
        let images = domain(net.item(), net.levels);
        let total: f64 = net.score(&images, 256)?.nll.iter().map(|nll| (-nll).exp()).sum();
        prop_assert!((total - 1.0).abs() < 2e-5, "{}", total);
    }
}

#[test]
fn a_first_kernel_of_one_pixel_sees_nothing_of_a_grey_one() -> Result<()> {
    let mut net = Net::new([2, 3, 1], 2, "blocks = 1\nhidden = 4\nhead = 4\nfirst_kernel = 1\nkernel = 1")?;
    let base = net.noise(1, 1);
    assert!(net.influence(&base)?.iter().all(|changed| changed.is_empty()));
    Ok(())
}

#[test]
fn the_proof_takes_a_fraction_of_a_second_at_any_depth() -> Result<()> {
    let begun = Instant::now();
    Net::new([28, 28, 1], 2, "preset = 'paper'")?;
    Net::new([32, 32, 3], 256, "blocks = 60\nhidden = 48\nhead = 48")?;
    // Weights are drawn in this time too.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    Ok(())
}
