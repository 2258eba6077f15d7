//! Series that are made step by step.

use super::{draws, origin, split_len};
use crate::data::series::{Cut, Quantize, Scaling, byte};
use crate::data::{Kind, Source, Split, check_read};
use crate::random::Draws;
use crate::{Error, Result};

/// A process whose series are drawn.
pub trait Process: Send + Sync {
    const NAME: &'static str;
    /// Tells the streams of the sets apart.
    const SET: u32;
    /// Steps of a series where nothing is said.
    const STEPS: usize;
    /// What it has no series of, where it lacks a way of telling values.
    fn check(&self, _name: &str, _cut: &Cut) -> Result<()> {
        Ok(())
    }
    /// The channels, and the values between which they lie.
    fn channels(&self) -> Vec<(&'static str, Scaling)>;
    /// The channels that are actions.
    fn actions(&self) -> &'static [&'static str] {
        &[]
    }
    /// The channel that is what actions bring, if there is one.
    fn reward(&self) -> Option<&'static str> {
        None
    }
    /// A series `[steps, C]`.
    fn draw(&self, draws: Draws, steps: usize) -> Vec<f64>;
}

/// Series of a process, each drawn by itself.
pub struct Series<P> {
    process: P,
    split: Split,
    seed: u64,
    cut: Cut,
}

impl<P: Process> Series<P> {
    /// # Errors
    /// [`Error::Usage`] for settings of files, and those that the process has no series of.
    pub fn new(process: P, split: Split, seed: u64, cut: &Cut) -> Result<Self> {
        let name = format!("builtin:{}", P::NAME);
        let own = Cut { window: cut.window, quantize: cut.quantize, levels: cut.levels, ..Cut::default() };
        let actions: Vec<String> = process.actions().iter().map(ToString::to_string).collect();
        let reward = process.reward().map(String::from);
        let unsettled = Cut { scaling: Vec::new(), names: Vec::new(), actions: Vec::new(), reward: None, ..cut.clone() };
        let roles = (cut.actions.is_empty() || cut.actions == actions) && (cut.reward.is_none() || cut.reward == reward);
        if own != unsettled || !roles {
            let words = "each of its series is drawn by itself, and takes window, quantize and levels alone";
            return Err(Error::usage(format!("{name}: {words}; leave the other settings of series out")));
        }
        if !(2..=256).contains(&own.levels()) {
            return Err(Error::usage(format!("{name}: levels must be 2 to 256, not {}", own.levels())));
        }
        process.check(&name, &own)?;
        let (names, scaling) = process.channels().into_iter().map(|(name, scale)| (name.to_string(), scale)).unzip();
        let window = Some(own.window.unwrap_or(P::STEPS));
        Ok(Self { process, split, seed, cut: Cut { window, names, scaling, actions, reward, ..own } })
    }

    fn steps(&self) -> usize {
        self.cut.window.unwrap_or(P::STEPS)
    }
}

impl<P: Process> Source for Series<P> {
    fn len(&self) -> usize {
        split_len(self.split)
    }
    fn dims(&self) -> [usize; 3] {
        [self.steps(), 1, self.cut.names.len()]
    }
    fn kind(&self) -> Kind {
        match (self.cut.quantize, self.cut.levels()) {
            (Quantize::None, _) => Kind::Points,
            (_, 2) => Kind::Binary,
            _ => Kind::Pixels,
        }
    }
    fn origin(&self) -> Option<String> {
        let (how, levels) = (self.cut.quantize, self.cut.levels());
        Some(format!("{}, {} steps, {how:?}, {levels} levels", origin(P::NAME, self.split, self.seed), self.steps()))
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let (how, levels) = (self.cut.quantize, self.cut.levels());
        let made = self.process.draw(draws(self.seed, P::SET, self.split, index), self.steps());
        for ((out, value), scale) in out.iter_mut().zip(made).zip(self.cut.scaling.iter().cycle()) {
            *out = if how == Quantize::None { scale.scaled(value) as f32 } else { byte(scale.level(value, how, levels), levels) };
        }
        Ok(())
    }
    fn knows_white(&self) -> bool {
        true
    }
    fn name(&self) -> String {
        format!("builtin:{}:{}", P::NAME, self.split)
    }
    fn series(&self) -> Option<&Cut> {
        Some(&self.cut)
    }
}
