//! The known ways in which adversarial training fails, told from its metrics.

use super::{Config, Form, Loss};

/// Share of the data's spread below which a generator counts as collapsed. Measured (`docs/benchmarks.md`): collapsed runs lie between
/// .02 and .49, sound ones above .83 once their start is over.
const COLLAPSED: f32 = 0.6;
/// Times metrics are logged before a small spread means anything: generators start from nearly equal items, and sound ones have taken up
/// to 600 steps to spread them; against a critic (whose rates are low) over 1,000.
const START: usize = 100;
const START_OF_CRITICS: usize = 300;

/// A sentence about the means of recent metrics, in the order of the model's [`metrics`](crate::model::Model::metrics), the last of
/// them being the `heard`-th logged.
pub fn warning(config: &Config, heard: usize, recent: &[f32]) -> Option<String> {
    let [_, _, d_real, d_fake, _, grad_g, spread] = *recent else { return None };
    let start = if config.loss == Loss::Wasserstein { START_OF_CRITICS } else { START };
    if heard >= start && spread < COLLAPSED {
        let way = if config.form == Form::Conv && config.penalty == 0.0 && config.r1 == 0.0 {
            "discriminator_norm=none with r1=0.05, or another --seed"
        } else {
            "wgan-gp, or a lower rate for D"
        };
        return Some(format!("the generator has collapsed: its items differ much less within a batch than data do; try {way}"));
    }
    let won = config.loss.is_probability() && d_real > 0.99 && d_fake < 0.01;
    if won && (config.loss == Loss::Minimax || grad_g < 1e-4) {
        let way = if config.loss == Loss::Minimax { "loss=non-saturating" } else { "label_smoothing=0.1" };
        return Some(format!(
            "D has won: it tells all items apart, and the generator's gradient has vanished; try {way} or a lower rate for D"
        ));
    }
    if won {
        return Some("D has won: it tells all items apart; try label_smoothing=0.1, or learning_rate=[2e-4,5e-5] to slow it down".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Binarization, Kind};
    use crate::model::{DataSpec, gan::Family};

    fn config(family: Family, dims: [usize; 3], kind: Kind) -> Config {
        Config::of(family, &DataSpec { dims, classes: 0, kind, binarization: Binarization::None, mean: None })
    }

    #[test]
    fn failures_are_named_and_health_is_silent() {
        let config = config(Family::Gan, [1, 1, 2], Kind::Points);
        assert_eq!(warning(&config, 500, &[1.3, 0.8, 0.55, 0.45, 0.3, 0.2, 0.95]), None);
        let said = |recent: &[f32]| warning(&config, 500, recent).unwrap_or_default();
        assert!(said(&[1.3, 0.8, 0.55, 0.45, 0.3, 0.2, 0.01]).contains("collapsed"));
        assert!(said(&[0.0, 9.0, 0.999, 0.001, 0.0, 0.5, 0.9]).contains("D has won"));
    }

    #[test]
    fn spreads_that_real_runs_had_are_told_apart() {
        let heard = |config: &Config, times: usize, spread: f32| warning(config, times, &[1.0, 1.0, 0.7, 0.2, 1.0, 1.0, spread]);
        let points = config(Family::Gan, [1, 1, 2], Kind::Points);
        // One cloud between two modes; one pattern, and a handful, of dense networks; grey images.
        for spread in [0.257, 0.207, 0.471, 0.017] {
            assert!(heard(&points, 100, spread).is_some(), "{spread}");
        }
        // The least of sound runs; and one in its 190th step, which was at .97 after 1,500.
        assert_eq!(heard(&points, 101, 0.838), None);
        assert_eq!(heard(&points, 19, 0.138), None);
        let images = config(Family::Dcgan, [32, 32, 1], Kind::Pixels);
        assert!(heard(&images, 100, 0.1).unwrap_or_default().contains("r1"));
        let critic = config(Family::WganGp, [32, 32, 1], Kind::Pixels);
        assert_eq!(heard(&critic, 100, 0.54), None);
        assert!(heard(&critic, 300, 0.1).is_some());
    }
}
