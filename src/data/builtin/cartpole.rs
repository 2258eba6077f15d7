//! A pole that is to be balanced on a cart.

use super::process::Process;
use crate::data::series::Scaling;
use crate::random::Draws;

/// Seconds of a step.
const SECONDS: f64 = 0.02;
/// Gravity, m/s².
const GRAVITY: f64 = 9.8;
/// Mass of the cart and of the pole, kg.
const CART: f64 = 1.0;
const POLE: f64 = 0.1;
/// Half of the pole's length, m.
const HALF: f64 = 0.5;
/// The push to either side, N.
const PUSH: f64 = 10.0;
/// The place, m, and the angle, rad (12°), beyond which an attempt is over.
const EDGE: f64 = 2.4;
const FALLEN: f64 = 12.0 * std::f64::consts::PI / 180.0;
/// Velocities of the scales, m/s and rad/s.
const SPEEDS: [f64; 2] = [4.0, 4.0];

/// Barto, Sutton and Anderson's cart and pole (1983, "Neuronlike adaptive elements that can solve difficult learning control problems",
/// without friction): with M the mass of both, m and l those of the pole and half its length, F = ±10 N by the action 1 or 0,
/// `θ̈ = (g sin θ − cos θ a) / (l (4/3 − m cos² θ / M))`, `ẍ = a − m l θ̈ cos θ / M`, `a = (F + m l θ̇² sin θ) / M`, by Euler's steps of
/// 0.02 s. Where a step leads beyond |x| = 2.4 m or |θ| = 12° its reward is 0 and the next step begins anew, else it is 1; each of
/// x, ẋ, θ, θ̇ begins uniform in −0.05..0.05. Actions are drawn evenly. A step is x, ẋ, θ, θ̇, the action and the reward.
pub struct Cartpole;

/// Place, m, velocity, m/s, angle, rad, 0 upright, and angular velocity, rad/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State(pub [f64; 4]);

impl State {
    /// As an attempt begins.
    pub(super) fn begin(draws: &mut Draws) -> Self {
        Self([0; 4].map(|_| f64::from(draws.range(-0.05, 0.05))))
    }

    /// The state after a push.
    pub(super) fn step(self, right: bool) -> Self {
        let Self([x, speed, angle, turn]) = self;
        let (sin, cos) = angle.sin_cos();
        let force = if right { PUSH } else { -PUSH };
        let push = (force + POLE * HALF * turn * turn * sin) / (CART + POLE);
        let turning = (GRAVITY * sin - cos * push) / (HALF * (4.0 / 3.0 - POLE * cos * cos / (CART + POLE)));
        let pull = push - POLE * HALF * turning * cos / (CART + POLE);
        Self([x + SECONDS * speed, speed + SECONDS * pull, angle + SECONDS * turn, turn + SECONDS * turning])
    }

    /// Whether the pole has fallen, or the cart has left its track.
    pub(super) fn is_over(self) -> bool {
        self.0[0].abs() > EDGE || self.0[2].abs() > FALLEN
    }
}

impl Process for Cartpole {
    const NAME: &'static str = "cartpole";
    const SET: u32 = 5;
    const STEPS: usize = 200;

    fn channels(&self) -> Vec<(&'static str, Scaling)> {
        let within = |most: f64| Scaling { low: -most, high: most };
        let unit = Scaling { low: 0.0, high: 1.0 };
        let [speed, turn] = SPEEDS.map(within);
        vec![("x", within(EDGE)), ("speed", speed), ("angle", within(FALLEN)), ("turn", turn), ("action", unit), ("reward", unit)]
    }

    fn actions(&self) -> &'static [&'static str] {
        &["action"]
    }

    fn reward(&self) -> Option<&'static str> {
        Some("reward")
    }

    fn draw(&self, mut draws: Draws, steps: usize) -> Vec<f64> {
        let mut state = State::begin(&mut draws);
        let mut series = Vec::with_capacity(6 * steps);
        for _ in 0..steps {
            let right = draws.below(2) == 1;
            let next = state.step(right);
            let over = next.is_over();
            series.extend(state.0.into_iter().chain([f64::from(u8::from(right)), f64::from(u8::from(!over))]));
            state = if over { State::begin(&mut draws) } else { next };
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::builtin::draws;

    #[test]
    fn a_step_is_the_one_worked_out_by_hand() {
        // Upright and at rest: a = 10/1.1, θ̈ = −a/(0.5 (4/3 − 1/11)), ẍ = a − 0.05 θ̈/1.1.
        let push = 10.0 / 1.1;
        let turning = -push / (0.5 * (4.0 / 3.0 - 0.1 / 1.1));
        let State([x, speed, angle, turn]) = State([0.0; 4]).step(true);
        assert_eq!((x, angle), (0.0, 0.0));
        assert!((turn - 0.02 * turning).abs() < 1e-12 && (speed - 0.02 * (push - 0.05 * turning / 1.1)).abs() < 1e-12);
        let State(left) = State([0.0; 4]).step(false);
        assert_eq!(left, [0.0, -speed, 0.0, -turn]);
    }

    #[test]
    fn a_pole_under_random_pushes_falls_after_some_twenty_steps_and_begins_anew() {
        let made = Cartpole.draw(draws(1, Cartpole::SET, Split::Train, 0), 5000);
        let falls = made.chunks(6).filter(|step| step[5] == 0.0).count();
        assert!((150..400).contains(&falls), "{falls} falls of 5000 steps");
        for step in made.chunks(6).collect::<Vec<_>>().windows(2) {
            let begins = step[1][..4].iter().all(|v| v.abs() <= 0.05);
            assert!(step[0][5] == 1.0 || begins, "{step:?}");
        }
        for (at, value) in made.iter().enumerate() {
            let (name, scale) = Cartpole.channels()[at % 6];
            assert!(scale.scaled(*value).abs() <= 1.0, "{name}: {value}");
        }
    }
}
