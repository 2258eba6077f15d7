//! Items of a model from latents: what `sample`, and everything that measures or shows samples, asks for.

use super::{Course, DiffusionSampler, Job, Move, Options, Push, Region, Solver, Threshold, Watch, Way};
use crate::error::Result;
use crate::model::noise::{Level, Schedule};
use crate::model::{Denoises, Model, Shown, need};
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
    /// Whether what the network is shown of each item is given.
    pub shown: bool,
}

impl Settings {
    /// Steps where nobody says how many.
    const STEPS: usize = 50;

    /// What suits a network, with the solver and the steps that are asked for.
    pub fn of(network: &dyn Denoises, solver: Option<Solver>, steps: Option<usize>) -> Self {
        let process = network.process();
        let own = match process.schedule() {
            Schedule::Linear | Schedule::Cosine => Solver::Dpm,
            Schedule::Edm | Schedule::Flow => Solver::Heun,
        };
        let solver = solver.unwrap_or(own);
        let enough = match process.schedule() {
            Schedule::Linear | Schedule::Cosine => Self::STEPS.min(process.steps()),
            // Asked twice a step.
            Schedule::Edm if solver == Solver::Heun => 18,
            Schedule::Flow if solver == Solver::Heun => Self::STEPS / 2,
            Schedule::Edm | Schedule::Flow => Self::STEPS,
        };
        // What was learnt with fresh noise in each step needs each of them.
        let enough = if solver == Solver::Ddpm { process.steps() } else { enough };
        let way = Way { solver, steps: steps.unwrap_or(enough), eta: 0.0 };
        Self { way, guidance: 1.0, threshold: Threshold::Static, shown: false }
    }

    /// Refuses what cannot be asked of a network.
    ///
    /// # Errors
    /// [`crate::Error::Usage`].
    pub fn check(&self, network: &dyn Denoises) -> Result<()> {
        if let (Some(shown), false) = (network.shown(), self.shown) {
            return Err(crate::Error::usage(match shown {
                Shown::Luma => "this run was trained with task=colorize and draws colours for given images alone; take kiln colorize",
                Shown::Small { .. } => {
                    "this run was trained with task=upscale and draws large images of given small ones alone; take kiln upscale"
                }
            }));
        }
        self.way.check(network.process())?;
        self.options().check(network)
    }

    fn options(&self) -> Options {
        Options { guidance: self.guidance, threshold: self.threshold, region: false, pushed: false }
    }
}

/// A network on a device, prepared to draw items by given settings.
pub struct Drawer {
    sampler: DiffusionSampler,
    course: Course,
    start: Level,
    moves: Vec<Move>,
    bounded: bool,
}

/// Items to draw, N of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Items<'a> {
    /// Latents of a standard normal, `[N, H, W, C]`; nothing on the way back.
    pub z: &'a [f32],
    /// Given items as the network reads them, `[N, H, W, C]`; nothing from all noise.
    pub given: &'a [f32],
    /// 1 where a value of `given` is kept, else 0, `[N, H, W, C]`; nothing where none are.
    pub mask: &'a [f32],
    /// Labels, where the model takes them.
    pub labels: &'a [u32],
    /// What the network is shown of each item, as it reads it; nothing where it is shown nothing.
    pub shown: &'a [f32],
    /// Seed of fresh noise.
    pub seed: u64,
    /// Number of the first item in the whole job.
    pub first: usize,
}

impl Drawer {
    /// Prepares to draw up to `most` items at a time, from all noise.
    ///
    /// # Errors
    /// As [`Settings::check`] and [`DiffusionSampler::new`].
    pub async fn new(
        device: &Device,
        model: &dyn Model,
        state: &State,
        weights: Weights,
        settings: &Settings,
        most: usize,
    ) -> Result<Self> {
        Self::along(Course::Whole, device, (model, state, weights), settings, most).await
    }

    /// Prepares to go a course with up to `most` items at a time.
    ///
    /// # Errors
    /// As [`Drawer::new`]; [`crate::Error::Usage`] for a course that cannot be gone by these settings.
    pub async fn along(
        course: Course,
        device: &Device,
        from: (&dyn Model, &State, Weights),
        settings: &Settings,
        most: usize,
    ) -> Result<Self> {
        Self::prepared(course, device, from, (settings, false), most).await
    }

    /// Prepares to draw up to `most` items at a time from all noise, with x̂₀ moved from outside, by [`Drawer::go_pushed`].
    ///
    /// # Errors
    /// As [`Drawer::new`].
    pub async fn pushed(device: &Device, from: (&dyn Model, &State, Weights), settings: &Settings, most: usize) -> Result<Self> {
        Self::prepared(Course::Whole, device, from, (settings, true), most).await
    }

    async fn prepared(
        course: Course,
        device: &Device,
        (model, state, weights): (&dyn Model, &State, Weights),
        (settings, pushed): (&Settings, bool),
        most: usize,
    ) -> Result<Self> {
        let network = need::denoises(model)?;
        settings.check(network)?;
        course.check(&settings.way)?;
        let (start, moves) = course.route(network, &settings.way);
        let options = Options { region: matches!(course, Course::Around(_)), pushed, ..settings.options() };
        let sampler = DiffusionSampler::new(device, model, state, weights, &options, most).await?;
        Ok(Self { sampler, course, start, moves, bounded: network.value_levels().is_some() })
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
    pub async fn draw(
        &mut self,
        state: &mut State,
        z: &[f32],
        labels: &[u32],
        (seed, first): (u64, usize),
        watch: &mut dyn Watch,
    ) -> Result<Vec<f32>> {
        self.go(state, &Items { z, labels, seed, first, ..Items::default() }, watch).await
    }

    /// Goes the course: items as [`Drawer::draw`] gives them, or on the way back the latents that they come of.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where what the course begins with is missing; errors of the device.
    pub async fn go(&mut self, state: &mut State, items: &Items<'_>, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        self.go_pushed(state, items, watch, None).await
    }

    /// As [`Drawer::go`], with x̂₀ moved by `push` in each move, of a drawer that is prepared for it.
    ///
    /// # Errors
    /// As [`Drawer::go`]; those of `push`.
    pub async fn go_pushed(
        &mut self,
        state: &mut State,
        items: &Items<'_>,
        watch: &mut dyn Watch,
        push: Option<&mut dyn Push>,
    ) -> Result<Vec<f32>> {
        let [alpha, sigma] = [self.start.alpha, self.start.sigma].map(|v| v as f32);
        let start: Vec<f32> = match self.course {
            Course::Whole | Course::Around(_) => items.z.iter().map(|v| v * sigma).collect(),
            Course::Part(_) => items.given.iter().zip(items.z).map(|(item, z)| alpha * item + sigma * z).collect(),
            Course::Back => items.given.to_vec(),
        };
        let region = matches!(self.course, Course::Around(_)).then_some(Region { mask: items.mask, given: items.given });
        let job = Job {
            start: &start,
            moves: &self.moves,
            labels: items.labels,
            shown: items.shown,
            seed: items.seed,
            first: items.first,
            region,
        };
        let points = self.sampler.draw_pushed(state, &job, watch, push).await?;
        if self.course == Course::Back {
            let most = self.moves.last().map_or(1.0, |m| m.to.sigma) as f32;
            return Ok(points.into_iter().map(|v| v / most).collect());
        }
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
