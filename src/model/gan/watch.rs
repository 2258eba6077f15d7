//! The known ways in which adversarial training fails, told from its metrics.

use super::{Config, Loss};

/// A sentence about the means of recent metrics, in the order of the model's [`metrics`](crate::model::Model::metrics).
pub fn warning(config: &Config, recent: &[f32]) -> Option<String> {
    let [_, _, d_real, d_fake, _, grad_g, spread] = *recent else { return None };
    if spread < 0.1 {
        return Some(
            "the generator has collapsed: its items hardly differ within a batch; try wgan-gp, a lower learning_rate or k=2".into(),
        );
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

    #[test]
    fn failures_are_named_and_health_is_silent() {
        let data = DataSpec { dims: [1, 1, 2], classes: 0, kind: Kind::Points, binarization: Binarization::None, mean: None };
        let config = Config::of(Family::Gan, &data);
        assert_eq!(warning(&config, &[1.3, 0.8, 0.55, 0.45, 0.3, 0.2, 0.95]), None);
        let said = |recent: &[f32]| warning(&config, recent).unwrap_or_default();
        assert!(said(&[1.3, 0.8, 0.55, 0.45, 0.3, 0.2, 0.01]).contains("collapsed"));
        assert!(said(&[0.0, 9.0, 0.999, 0.001, 0.0, 0.5, 0.9]).contains("D has won"));
    }
}
