//! What every autoregressive network makes a model: training, exact likelihood and raster order. What differs is a [`Network`].

use super::levels::Levels;
use super::{Defaults, Law, Model, Raster, Score, Scores, Starts};
use crate::data::Scale;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec, Update};

/// What a network is given besides the values before the one that it tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// One-hot labels `[N, classes]`, where it is conditional.
    pub labels: Option<NodeId>,
}

/// A network whose logits of a value depend on the values before it alone.
pub trait Network: Send + Sync {
    /// Its name on the command line.
    const NAME: &'static str;

    /// Whether first weights are set from a batch, by [`Network::start`].
    const STARTS: bool = false;

    /// Its persistent tensors, in one group.
    fn tensors(&self) -> &StateSpec;

    /// The pixels it is made for.
    fn pixels(&self) -> &Levels;

    /// Classes that it tells apart; 0 where it is not conditional.
    fn classes(&self) -> usize;

    /// Probability that [`Graph::dropout`] drops an element while it is trained.
    fn dropout(&self) -> f64 {
        0.0
    }

    /// How it prefers to be trained.
    fn preferences(&self) -> Defaults;

    /// Logits `[N, H, W, C·L]` of every value given those before it and what it is `given`, from values `x` `[N, H, W, C]` as
    /// [`Levels::shown`] shows them.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId>;

    /// The same, setting first weights on the way, where they are set from a batch.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn start(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.logits(g, x, given)
    }
}

/// A probability to drop elements with, if it is one.
///
/// # Errors
/// [`Error::Usage`] in the words of `model`.
pub fn check_dropout(model: &str, rate: f64) -> Result<f64> {
    if (0.0..1.0).contains(&rate) {
        return Ok(rate);
    }
    Err(Error::usage(format!("{model}: dropout must be at least 0 and below 1, not {rate}")))
}

/// Labels of a batch, where the network is conditional.
fn labels_of<N: Network>(network: &N, g: &mut Graph, batch: usize) -> Option<NodeId> {
    (network.classes() > 0).then(|| g.input("labels", [batch, network.classes()]))
}

/// Logits of levels `x`.
fn logits_of<N: Network>(network: &N, g: &mut Graph, x: NodeId) -> Result<NodeId> {
    let batch = g.shape(x).dims()[0];
    let labels = labels_of(network, g, batch);
    let shown = network.pixels().shown(g, x)?;
    network.logits(g, shown, Given { labels })
}

/// −ln p of every value, `[N, H, W, C]`.
fn nll_map<N: Network>(network: &N, g: &mut Graph, batch: usize) -> Result<NodeId> {
    let x = network.pixels().input(g, batch)?;
    let logits = logits_of(network, g, x)?;
    network.pixels().nll_map(g, logits, x)
}

impl<N: Network> Model for N {
    fn name(&self) -> &'static str {
        N::NAME
    }

    fn state(&self) -> &StateSpec {
        self.tensors()
    }

    fn defaults(&self) -> Defaults {
        self.preferences()
    }

    fn scale(&self) -> Scale {
        self.pixels().scale()
    }

    fn conditional(&self) -> bool {
        self.classes() > 0
    }

    fn train_graph(&self, batch: usize, update: &dyn Fn(usize) -> Update) -> Result<Graph> {
        let mut g = Graph::new();
        g.let_drop(self.dropout());
        let nll = nll_map(self, &mut g, batch)?;
        let total = g.sum_all(nll)?;
        let loss = g.scale(total, 1.0 / batch as f64)?;
        g.output("loss", loss);
        let update = update(0);
        let gradients = g.group_gradients(loss, self.tensors(), &update)?;
        g.update(self.tensors(), update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        vec![("loss", "nats")]
    }

    fn starts(&self) -> Option<&dyn Starts> {
        N::STARTS.then_some(self)
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    fn raster(&self) -> Option<&dyn Raster> {
        Some(self)
    }
}

impl<N: Network> Starts for N {
    fn start_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        g.let_drop(self.dropout());
        let x = self.pixels().input(&mut g, batch)?;
        let labels = labels_of(self, &mut g, batch);
        let shown = self.pixels().shown(&mut g, x)?;
        let logits = self.start(&mut g, shown, Given { labels })?;
        g.output("logits", logits);
        Ok(g)
    }
}

impl<N: Network> Scores for N {
    fn score(&self) -> Score {
        Score::Exact
    }

    fn likelihood_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let map = nll_map(self, &mut g, batch)?;
        let nll = g.sum_items(map)?;
        g.output("nll", nll);
        g.output("nll_map", map);
        Ok(g)
    }
}

impl<N: Network> Raster for N {
    fn law(&self) -> Law {
        self.pixels().law
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [h, w, c] = self.pixels().dims;
        let x = g.input("x", [batch, h, w, c]);
        let logits = logits_of(self, &mut g, x)?;
        g.output("logits", logits);
        Ok(g)
    }
}
