//! A pendulum that is to be swung up and held.

use super::process::Process;
use crate::data::series::Scaling;
use crate::random::Draws;
use std::f64::consts::{PI, TAU};

/// Seconds of a step.
const SECONDS: f64 = 0.05;
/// Gravity, m/s².
const GRAVITY: f64 = 10.0;
/// Mass, kg.
const MASS: f64 = 1.0;
/// Length, m.
const LENGTH: f64 = 1.0;
/// Greatest torque, N m.
pub(super) const TORQUE: f64 = 2.0;
/// Greatest angular velocity, rad/s.
const SPEED: f64 = 8.0;

/// A rod of mass m and length l on a pivot, driven by a torque u of at most 2 N m: `θ̈ = 3g/(2l) sin θ + 3u/(m l²)` with θ = 0 upright,
/// g = 10, m = l = 1, by steps of 0.05 s: first the velocity, kept within ±8 rad/s, then the angle by the new velocity. The reward of a step
/// is `−(θ² + 0.1 θ̇² + 0.001 u²)` of the state in which u is taken, θ in −π..π. It begins with θ in −π..π and θ̇ in −1..1, both uniform,
/// and goes on under torques that are uniform in −2..2. A step is cos θ, sin θ, θ̇, u and the reward.
pub struct Pendulum;

/// Angle, rad, and angular velocity, rad/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// rad, 0 upright.
    pub angle: f64,
    /// rad/s.
    pub speed: f64,
}

impl State {
    /// As an attempt begins.
    pub(super) fn begin(draws: &mut Draws) -> Self {
        let mut uniform = |most: f64| f64::from(draws.range(-1.0, 1.0)) * most;
        Self { angle: uniform(PI), speed: uniform(1.0) }
    }

    /// The state after a torque, and the reward of taking it here.
    pub(super) fn step(self, torque: f64) -> (Self, f64) {
        let torque = torque.clamp(-TORQUE, TORQUE);
        let wrapped = (self.angle + PI).rem_euclid(TAU) - PI;
        let reward = -(wrapped * wrapped + 0.1 * self.speed * self.speed + 0.001 * torque * torque);
        let pull = 3.0 * GRAVITY / (2.0 * LENGTH) * self.angle.sin() + 3.0 * torque / (MASS * LENGTH * LENGTH);
        let speed = (self.speed + pull * SECONDS).clamp(-SPEED, SPEED);
        (Self { angle: self.angle + speed * SECONDS, speed }, reward)
    }
}

impl Process for Pendulum {
    const NAME: &'static str = "pendulum";
    const SET: u32 = 4;
    const STEPS: usize = 200;

    fn channels(&self) -> Vec<(&'static str, Scaling)> {
        let within = |most: f64| Scaling { low: -most, high: most };
        let worst = PI * PI + 0.1 * SPEED * SPEED + 0.001 * TORQUE * TORQUE;
        let reward = Scaling { low: -worst, high: 0.0 };
        vec![("cos", within(1.0)), ("sin", within(1.0)), ("speed", within(SPEED)), ("action", within(TORQUE)), ("reward", reward)]
    }

    fn actions(&self) -> &'static [&'static str] {
        &["action"]
    }

    fn reward(&self) -> Option<&'static str> {
        Some("reward")
    }

    fn draw(&self, mut draws: Draws, steps: usize) -> Vec<f64> {
        let mut state = State::begin(&mut draws);
        let mut series = Vec::with_capacity(5 * steps);
        for _ in 0..steps {
            let torque = f64::from(draws.range(-1.0, 1.0)) * TORQUE;
            let (next, reward) = state.step(torque);
            series.extend([state.angle.cos(), state.angle.sin(), state.speed, torque, reward]);
            state = next;
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
    fn it_falls_as_its_energy_says() {
        // Without a torque, ½ (ml²/3) θ̇² + ½ m g l cos θ is kept but for the error of the steps.
        let energy = |s: State| MASS * LENGTH * LENGTH / 6.0 * s.speed * s.speed + MASS * GRAVITY * LENGTH / 2.0 * s.angle.cos();
        let mut state = State { angle: PI - 0.3, speed: 0.0 };
        let begun = energy(state);
        for _ in 0..400 {
            state = state.step(0.0).0;
            assert!((energy(state) - begun).abs() < 0.1, "{state:?}");
        }
        // A step worked out by hand: θ = π/2, u = 2: θ̈ = 15 + 6, θ̇ = 1.05, θ = π/2 + 0.0525.
        let (next, reward) = State { angle: PI / 2.0, speed: 0.0 }.step(5.0);
        assert!((next.speed - 1.05).abs() < 1e-12 && (next.angle - PI / 2.0 - 0.0525).abs() < 1e-12);
        assert!((reward + PI * PI / 4.0 + 0.004).abs() < 1e-12);
    }

    #[test]
    fn every_value_lies_within_its_scale() {
        let made = Pendulum.draw(draws(1, Pendulum::SET, Split::Train, 3), 2000);
        for (at, value) in made.iter().enumerate() {
            let (name, scale) = Pendulum.channels()[at % 5];
            assert!(scale.scaled(*value).abs() <= 1.0, "{name}: {value}");
        }
    }
}
