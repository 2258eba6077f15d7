//! Items of a model from latents: what `sample`, and everything that measures or shows samples, asks for.

use super::{DiffusionSampler, Job, Move, Options, Solver, Threshold, Watch, Way};
use crate::error::Result;
use crate::model::noise::Schedule;
use crate::model::{Denoises, Model, need};
use crate::runtime::{Device, State, Weights};

/// How items are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The solver and its steps.
    pub way: Way,
    /// How much is made of labels; see [`Options::guidance`].
    pub guidance: f64,
    /// What becomes of x̂₀ beyond −1..1.
    pub threshold: Threshold,
}

impl Settings {
    /// Steps where nobody says how many.
    const STEPS: usize = 50;

    /// What suits a network, with the solver and the steps that are asked for.
    pub fn of(network: &dyn Denoises, solver: Option<Solver>, steps: Option<usize>) -> Self {
        let process = network.process();
        let (own, enough) = match process.schedule() {
            Schedule::Linear | Schedule::Cosine => (Solver::Dpm, Self::STEPS.min(process.steps())),
            // Asked twice a step.
            Schedule::Edm => (Solver::Heun, 18),
            Schedule::Flow => (Solver::Heun, Self::STEPS / 2),
        };
        let solver = solver.unwrap_or(own);
        // What was learnt with fresh noise in each step needs each of them.
        let enough = if solver == Solver::Ddpm { process.steps() } else { enough };
        let way = Way { solver, steps: steps.unwrap_or(enough), eta: 0.0 };
        Self { way, guidance: 1.0, threshold: Threshold::Static }
    }

    /// Refuses what cannot be asked of a network.
    ///
    /// # Errors
    /// [`crate::Error::Usage`].
    pub fn check(&self, network: &dyn Denoises) -> Result<()> {
        self.way.check(network.process())?;
        self.options().check(network)
    }

    fn options(&self) -> Options {
        Options { guidance: self.guidance, threshold: self.threshold, region: false }
    }
}

/// A network on a device, prepared to draw items by given settings.
pub struct Drawer {
    sampler: DiffusionSampler,
    moves: Vec<Move>,
    bounded: bool,
}

impl Drawer {
    /// Prepares to draw up to `most` items at a time.
    ///
    /// # Errors
    /// As [`Settings::check`] and [`DiffusionSampler::new`].
    pub fn new(device: &Device, model: &dyn Model, state: &State, weights: Weights, settings: &Settings, most: usize) -> Result<Self> {
        let network = need::denoises(model)?;
        settings.check(network)?;
        let moves = settings.way.moves(network.process(), network.variance());
        let sampler = DiffusionSampler::new(device, model, state, weights, &settings.options(), most)?;
        Ok(Self { sampler, moves, bounded: network.value_levels().is_some() })
    }

    /// Items drawn at a time.
    pub fn chunk(&self) -> usize {
        self.sampler.chunk()
    }

    /// Questions to the network for an item.
    pub fn moves(&self) -> usize {
        self.moves.len()
    }

    /// Items `[N, H, W, C]`, in 0..1 where values are pixels, of latents `z` `[N, H, W, C]` of a standard normal: those from number `first` on.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn draw(
        &mut self,
        state: &mut State,
        z: &[f32],
        labels: &[u32],
        (seed, first): (u64, usize),
        watch: &mut dyn Watch,
    ) -> Result<Vec<f32>> {
        let sigma = self.moves.first().map_or(1.0, |m| m.level.sigma) as f32;
        let start: Vec<f32> = z.iter().map(|v| v * sigma).collect();
        let job = Job { start: &start, moves: &self.moves, labels, seed, first, region: None };
        let points = self.sampler.draw(state, &job, watch)?;
        Ok(shown(points, self.bounded))
    }
}

/// Points as pictures hold them.
fn shown(mut points: Vec<f32>, bounded: bool) -> Vec<f32> {
    if bounded {
        points.iter_mut().for_each(|v| *v = ((*v + 1.0) / 2.0).clamp(0.0, 1.0));
    }
    points
}
