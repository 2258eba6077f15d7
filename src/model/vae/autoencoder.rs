//! The plain, deterministic autoencoder: a bottleneck, and no distribution over it.

use super::coder::{self, Coder, Config};
use crate::data::Scale;
use crate::error::{Error, Result};
use crate::graph::{Graph, StateSpec, Update};
use crate::model::{DataSpec, Decodes, Defaults, Encodes, Model};

/// An encoder and a decoder trained to give the input back.
pub struct Autoencoder {
    coder: Coder,
}

impl Autoencoder {
    /// A model for images of `data.dims`.
    ///
    /// # Errors
    /// [`Error::Usage`] where hyper-parameters and data do not fit.
    pub fn new(config: Config, data: &DataSpec) -> Result<Self> {
        if config.beta != Config::default().beta {
            return Err(Error::usage("autoencoder: beta weighs the KL term, which only a vae or cvae has"));
        }
        Ok(Self { coder: Coder::new("autoencoder", &config, data, false, 0)? })
    }
}

impl Model for Autoencoder {
    fn name(&self) -> &'static str {
        "autoencoder"
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

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        let x = self.coder.image(&mut g, batch);
        let [code, _] = self.coder.encode(&mut g, x, None)?;
        let y = self.coder.decode(&mut g, code, None)?;
        let items = self.coder.reconstruction(&mut g, y, x)?;
        let loss = g.mean_all(items)?;
        g.output("loss", loss);
        let update = update(0);
        let gradients = g.group_gradients(loss, &self.coder.spec, &update)?;
        g.update(&self.coder.spec, update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats")]
    }

    fn decodes(&self) -> Option<&dyn Decodes> {
        Some(self)
    }

    fn encodes(&self) -> Option<&dyn Encodes> {
        Some(self)
    }
}

impl Decodes for Autoencoder {
    fn latent(&self) -> usize {
        self.coder.latent
    }

    fn has_prior(&self) -> bool {
        false
    }

    fn decode_graph(&self, batch: usize) -> Result<Graph> {
        self.coder.decode_graph(batch)
    }
}

impl Encodes for Autoencoder {
    fn latent(&self) -> usize {
        self.coder.latent
    }

    fn encode_graph(&self, batch: usize) -> Result<Graph> {
        self.coder.encode_graph(batch)
    }
}
