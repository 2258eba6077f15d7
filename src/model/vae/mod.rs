//! Variational autoencoders (Kingma and Welling, 2014, "Auto-encoding variational Bayes"; Rezende et al., 2014), with labels (Sohn et al.,
//! 2015) and without, and the plain autoencoder beside them.

mod autoencoder;
mod bound;
mod coder;
mod decoder;
mod output;

pub use autoencoder::Autoencoder;
pub use coder::Config;
pub use output::{Likelihood, Variance};

use coder::Coder;

use super::{Bounds, DataSpec, Decodes, Defaults, Encodes, Model, Score, Scores};
use crate::data::Scale;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec, Update};

/// The random stream of the one latent an image has in training.
const TRAINING: u32 = 0x7661_6501;
/// The random stream of the one latent an image has in the bound that scores it.
const SCORING: u32 = 0x7661_6502;

/// A variational autoencoder; conditional where it was made as `cvae`.
pub struct Vae {
    name: &'static str,
    coder: Coder,
    beta: f64,
}

/// The two parts of a bound, each `[N]`, in nats.
struct Elbo {
    recon: NodeId,
    kl: NodeId,
}

impl Vae {
    /// A `vae` for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        Self::build("vae", config, data, 0)
    }

    /// A `cvae`: labels enter the encoder's and the decoder's first layer.
    ///
    /// # Errors
    /// As [`Vae::new`]; [`Error::Usage`] where the data has no labels.
    pub fn conditional(config: Config, data: &DataSpec) -> Result<Self> {
        if data.classes == 0 {
            return Err(Error::usage("cvae: this data has no labels to be conditioned on; take labelled data, or the model vae"));
        }
        if config.layers == 0 {
            return Err(Error::usage("cvae: layers must be at least 1, because labels enter the first hidden layer"));
        }
        Self::build("cvae", config, data, data.classes)
    }

    fn build(name: &'static str, config: Config, data: &DataSpec, classes: usize) -> Result<Self> {
        let beta = config.beta;
        Ok(Self { name, coder: Coder::new(name, &config, data, true, classes)?, beta })
    }

    /// Reconstruction term, from one latent, and KL term, in closed form.
    fn elbo(&self, g: &mut Graph, batch: usize, stream: u32) -> Result<Elbo> {
        let x = self.coder.image(g, batch);
        let labels = self.coder.labels(g, batch);
        let [mean, log_var] = self.coder.encode(g, x, labels)?;
        let z = bound::reparameterise(g, [mean, log_var], stream)?;
        let y = self.coder.decode(g, z, labels)?;
        let recon = self.coder.reconstruction(g, y, x)?;
        let kl = bound::kl(g, [mean, log_var])?;
        Ok(Elbo { recon, kl: g.sum_items(kl)? })
    }
}

/// The mean of `[N]`, with the factor inside the sum, so that it is one kernel and its gradient a constant.
fn mean(g: &mut Graph, items: NodeId) -> Result<NodeId> {
    let share = g.scale(items, 1.0 / g.shape(items).len() as f64)?;
    g.sum_all(share)
}

impl Model for Vae {
    fn name(&self) -> &'static str {
        self.name
    }

    fn state(&self) -> &StateSpec {
        &self.coder.spec
    }

    fn defaults(&self) -> Defaults {
        coder::defaults()
    }

    fn scale(&self) -> Scale {
        self.coder.output.data_scale()
    }

    fn conditional(&self) -> bool {
        self.coder.classes > 0
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        let elbo = self.elbo(&mut g, batch, TRAINING)?;
        let [recon, kl] = [mean(&mut g, elbo.recon)?, mean(&mut g, elbo.kl)?];
        let beta = self.beta;
        let loss = g.map(&[recon, kl], |b, v| {
            let weighed = b.scale(v[1], beta);
            b.add(v[0], weighed)
        })?;
        g.output("loss", loss);
        g.output("recon", recon);
        g.output("kl", kl);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.coder.spec, &update)?;
        g.update(&self.coder.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats"), ("recon", "nats"), ("kl", "nats")]
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    fn bounds(&self) -> Option<&dyn Bounds> {
        Some(self)
    }

    fn decodes(&self) -> Option<&dyn Decodes> {
        Some(self)
    }

    fn encodes(&self) -> Option<&dyn Encodes> {
        Some(self)
    }
}

impl Scores for Vae {
    fn score(&self) -> Score {
        Score::Bound
    }

    fn note(&self) -> Option<&'static str> {
        self.coder.output.note()
    }

    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let elbo = self.elbo(&mut g, batch, SCORING)?;
        // Whatever β it was trained with, the bound is the one with β = 1.
        let nll = g.add(elbo.recon, elbo.kl)?;
        g.output("nll", nll);
        g.output("recon", elbo.recon);
        g.output("kl", elbo.kl);
        Ok(g)
    }
}

impl Bounds for Vae {
    fn bound_graph(&self, batch: usize, samples: usize) -> Result<Graph> {
        bound::importance(&self.coder, batch, samples)
    }
}

impl Decodes for Vae {
    fn latent(&self) -> usize {
        self.coder.latent
    }

    fn has_prior(&self) -> bool {
        true
    }

    fn decode_graph(&self, batch: usize) -> Result<Graph> {
        self.coder.decode_graph(batch)
    }

    fn explain_graph(&self, batch: usize) -> Result<Option<Graph>> {
        self.coder.explain_graph(batch).map(Some)
    }
}

impl Encodes for Vae {
    fn latent(&self) -> usize {
        self.coder.latent
    }

    fn encode_graph(&self, batch: usize) -> Result<Graph> {
        self.coder.encode_graph(batch)
    }
}
