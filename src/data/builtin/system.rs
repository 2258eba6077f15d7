//! The built-in systems as what they are: states that actions lead from one to the next.

use super::{cartpole, pendulum};
use crate::random::Draws;

/// A system in some state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum System {
    /// `builtin:cartpole`: the action 1 pushes to the right, 0 to the left.
    Cartpole(cartpole::State),
    /// `builtin:pendulum`: the action is a torque, −2..2 N m.
    Pendulum(pendulum::State),
}

/// What an action brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The state that it led to.
    pub next: System,
    /// Its reward.
    pub reward: f64,
    /// Whether the attempt is over.
    pub ends: bool,
}

impl System {
    /// What SOURCE calls the systems.
    pub const NAMES: [&'static str; 2] = ["builtin:cartpole", "builtin:pendulum"];

    /// The system of a name as an attempt begins, if there is one.
    pub fn begin(name: &str, draws: &mut Draws) -> Option<Self> {
        match name {
            "builtin:cartpole" => Some(Self::Cartpole(cartpole::State::begin(draws))),
            "builtin:pendulum" => Some(Self::Pendulum(pendulum::State::begin(draws))),
            _ => None,
        }
    }

    /// What a series shows of the state, in its units: all channels before the action.
    pub fn observed(&self) -> Vec<f64> {
        match self {
            Self::Cartpole(state) => state.0.to_vec(),
            Self::Pendulum(state) => vec![state.angle.cos(), state.angle.sin(), state.speed],
        }
    }

    /// Takes an action, or the nearest that can be taken.
    pub fn act(&self, action: f64) -> Step {
        let action = self.allowed(action);
        match self {
            Self::Cartpole(state) => {
                let next = state.step(action == 1.0);
                let ends = next.is_over();
                Step { next: Self::Cartpole(next), reward: f64::from(u8::from(!ends)), ends }
            }
            Self::Pendulum(state) => {
                let (next, reward) = state.step(action);
                Step { next: Self::Pendulum(next), reward, ends: false }
            }
        }
    }

    /// The least and the greatest action.
    pub fn range(&self) -> [f64; 2] {
        match self {
            Self::Cartpole(_) => [0.0, 1.0],
            Self::Pendulum(_) => [-pendulum::TORQUE, pendulum::TORQUE],
        }
    }

    /// The nearest action that can be taken.
    pub fn allowed(&self, action: f64) -> f64 {
        let [least, most] = self.range();
        match self {
            Self::Cartpole(_) => f64::from(u8::from(action > 0.5)),
            Self::Pendulum(_) => action.clamp(least, most),
        }
    }

    /// An action as the system's series have them, at random.
    pub fn random(&self, draws: &mut Draws) -> f64 {
        match self {
            Self::Cartpole(_) => f64::from(u8::from(draws.below(2) == 1)),
            Self::Pendulum(_) => f64::from(draws.range(-1.0, 1.0)) * pendulum::TORQUE,
        }
    }

    /// Whether an attempt that brought such a reward is over.
    pub fn ends_with(&self, reward: f64) -> bool {
        matches!(self, Self::Cartpole(_)) && reward < 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OpenOptions, Split, open};

    #[test]
    fn steps_are_those_of_the_series() {
        for (name, channels) in [("builtin:cartpole", 6), ("builtin:pendulum", 5)] {
            let reading = crate::data::Reading {
                series: crate::data::series::Cut { quantize: crate::data::series::Quantize::None, ..Default::default() },
                ..Default::default()
            };
            let source = open(name, Split::Train, &OpenOptions { reading, ..OpenOptions::default() }).unwrap();
            let mut item = vec![0.0; 200 * channels];
            source.read(3, &mut item).unwrap();
            let series = source.series().unwrap().in_units(&item);
            let rows: Vec<&[f64]> = series.chunks(channels).collect();
            for pair in rows.windows(2) {
                let (state, [action, reward]) = (&pair[0][..channels - 2], [pair[0][channels - 2], pair[0][channels - 1]]);
                let system = match name {
                    "builtin:cartpole" => System::Cartpole(cartpole::State([state[0], state[1], state[2], state[3]])),
                    _ => System::Pendulum(pendulum::State { angle: state[1].atan2(state[0]), speed: state[2] }),
                };
                let step = system.act(action);
                assert!((step.reward - reward).abs() < 1e-4 && step.ends == system.ends_with(reward), "{step:?} and {reward}");
                let off = step.next.observed().iter().zip(pair[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(step.ends || off < 1e-4, "{name}: {:?} and {:?}", step.next, pair[1]);
            }
        }
    }
}
