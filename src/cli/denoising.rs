//! How noise is taken away, as the command line says it.

use clap::Args;

use crate::error::{Error, Result};
use crate::model::{Denoises, Model};
use crate::sample::diffusion::{Settings, Solver, Threshold, Way};

/// Arguments of commands that draw by taking noise away.
#[derive(Args, Clone, Copy, Default)]
pub struct DenoisingArgs {
    /// Steps from noise to image (diffusion) [default: as suits the run and the sampler]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// ddpm, ddim, dpm (DPM-Solver++ 2M), heun or euler (diffusion)
    #[arg(long, value_name = "SAMPLER")]
    pub sampler: Option<Solver>,
    /// Fresh noise of ddim, 0 to 1 (diffusion) [default: 0, of kiln complete 1]
    #[arg(long, value_name = "ETA", allow_negative_numbers = true)]
    pub eta: Option<f64>,
    /// How much is made of the label: x̂₀ without it plus this times what it adds; 1 is p(x|y) itself, 0 is p(x) (diffusion)
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true)]
    pub guidance: Option<f64>,
    /// What becomes of x̂₀ beyond its range: none, static, or the quantile of a dynamic threshold, such as .995 (diffusion)
    #[arg(long, value_name = "THRESHOLD")]
    pub threshold: Option<Threshold>,
}

impl DenoisingArgs {
    /// The settings for a model that takes noise away; nothing for one that does not.
    ///
    /// # Errors
    /// [`Error::Usage`] where they say nothing of this model, or what it cannot do.
    pub fn settings(&self, model: &dyn Model) -> Result<Option<Settings>> {
        if let Some(network) = model.denoises() {
            return self.settings_of(network, None).map(Some);
        }
        let given = [
            ("--steps", self.steps.is_some()),
            ("--sampler", self.sampler.is_some()),
            ("--eta", self.eta.is_some()),
            ("--guidance", self.guidance.is_some()),
            ("--threshold", self.threshold.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => {
                Err(Error::usage(format!("{flag} is of diffusion models, and a {} takes no noise away; leave it out", model.name())))
            }
            None => Ok(None),
        }
    }

    /// The settings for a network, with the solver that the command takes unasked, where it has one, and the fresh noise of that.
    ///
    /// # Errors
    /// [`Error::Usage`] for what the network cannot do.
    pub fn settings_of(&self, network: &dyn Denoises, own: Option<(Solver, f64)>) -> Result<Settings> {
        let settings = self.unchecked(network, own);
        settings.check(network)?;
        Ok(settings)
    }

    /// The settings for a network that is given what it is shown of each image.
    ///
    /// # Errors
    /// As [`DenoisingArgs::settings_of`].
    pub fn settings_given(&self, network: &dyn Denoises) -> Result<Settings> {
        let settings = Settings { shown: true, ..self.unchecked(network, None) };
        settings.check(network)?;
        Ok(settings)
    }

    fn unchecked(&self, network: &dyn Denoises, own: Option<(Solver, f64)>) -> Settings {
        // Fresh noise is asked of the only sampler that takes it in doses.
        let solver = self.sampler.or(self.eta.map(|_| Solver::Ddim)).or(own.map(|(solver, _)| solver));
        let eta = own.filter(|(own, _)| solver == Some(*own)).map_or(0.0, |(_, eta)| eta);
        let plain = Settings::of(network, solver, self.steps);
        Settings {
            way: Way { eta: self.eta.unwrap_or(eta), ..plain.way },
            guidance: self.guidance.unwrap_or(plain.guidance),
            threshold: self.threshold.unwrap_or(plain.threshold),
            ..plain
        }
    }
}
