//! The numbers of training that are functions of the step: learning rates, and the weight of averages.

use super::{Schedule, TrainRecipe};

impl TrainRecipe {
    /// Learning rates at a step, counted from 1.
    pub fn rates(&self, step: u64) -> [f32; 4] {
        let rise = if step < self.warmup { step as f64 / self.warmup as f64 } else { 1.0 };
        let factor = rise * self.fall(step);
        let rate = |group: usize| self.learning_rate.get(group).or(self.learning_rate.last()).copied().unwrap_or(0.0);
        std::array::from_fn(|group| (f64::from(rate(group)) * factor) as f32)
    }

    /// The schedule's factor on the learning rate. A cosine or line begins where the warm-up ends, and would be at zero one step after
    /// its last.
    fn fall(&self, step: u64) -> f64 {
        let (begin, end) = (self.warmup.max(1), self.decay_end());
        let part = || (step.saturating_sub(begin) as f64 / (end + 1).saturating_sub(begin).max(1) as f64).min(1.0);
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Exponential => self.rate_decay.powf(step.saturating_sub(1) as f64),
            Schedule::Cosine => 0.5 + 0.5 * (std::f64::consts::PI * part()).cos(),
            Schedule::Linear => 1.0 - part(),
        }
    }

    /// The step at which a cosine or linear schedule ends.
    pub fn decay_end(&self) -> u64 {
        if self.decay_steps > 0 { self.decay_steps } else { self.steps }
    }

    /// Weight of the old average in the moving average of the weights at a step. It rises from 2/11, so that the first values are soon
    /// forgotten.
    pub fn ema_decay(&self, step: u64) -> f32 {
        self.ema.min(((step as f32) + 1.0) / ((step as f32) + 10.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_decay_and_warm_up() {
        let mut t = TrainRecipe::example();
        assert_eq!(t.rates(1)[0], 0.1);
        assert_eq!(t.rates(2)[0], 0.05);
        t.warmup = 10;
        assert!((t.rates(1)[0] - 0.01).abs() < 1e-8);
    }

    #[test]
    fn schedules_begin_at_the_whole_rate_and_reach_zero_a_step_after_their_last() {
        for (schedule, middle) in [(Schedule::Cosine, 0.05), (Schedule::Linear, 0.05)] {
            let mut t = TrainRecipe { schedule, rate_decay: 1.0, steps: 8, ..TrainRecipe::example() };
            assert_eq!((t.rates(1)[0], t.rates(9)[0]), (0.1, 0.0));
            assert!((t.rates(5)[0] - middle).abs() < 1e-7, "{:?}", t.rates(5));
            assert!(t.rates(8)[0] > 0.0 && (1..9).all(|s| t.rates(s)[0] > t.rates(s + 1)[0]));
            (t.warmup, t.decay_steps) = (4, 6);
            assert_eq!((t.rates(2)[0], t.rates(4)[0], t.rates(7)[0], t.rates(8)[0]), (0.05, 0.1, 0.0, 0.0));
            assert!(t.check().is_ok());
        }
    }
}
