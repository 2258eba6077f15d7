//! What every autoregressive network makes a model: training, exact likelihood and raster order. What differs is a [`Network`].

use super::dropout::Dropout;
use super::label_loss::LabelLoss;
use super::levels::Levels;
pub use super::scales::Given;
use super::scales::{every_second, halved, put_together, the_rest};
use super::{Defaults, Law, Model, Raster, Represents, Score, Scores, Starts, chroma};
use crate::data::Scale;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, StateSpec, Update};

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

    /// What it drops while it is trained.
    fn dropout(&self) -> Dropout;

    /// Scales it draws an image in, each of every second pixel of the next.
    fn scales(&self) -> usize {
        1
    }

    /// Whether its images are the chroma of colour images whose luma it is given.
    fn colours(&self) -> bool {
        false
    }

    /// How much p(y|x) weighs in its loss, where it does.
    fn label_loss(&self) -> Option<LabelLoss> {
        None
    }

    /// How it prefers to be trained.
    fn preferences(&self) -> Defaults;

    /// Logits `[N, H, W, C·L]` of every value given those before it and what it is `given`, from values `x` `[N, H, W, C]` as
    /// [`Levels::shown`] shows them.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId>;

    /// A map `[N, H', W', F]` in the middle of the way to the logits, behind a nonlinearity.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn middle(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId>;

    /// The logits, setting first weights on the way, where they are set from a batch.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the graph cannot be built.
    fn start(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        self.logits(g, x, given)
    }
}

/// Labels of a batch, where the network is conditional.
fn labels_of<N: Network>(network: &N, g: &mut Graph, batch: usize) -> Option<NodeId> {
    (network.classes() > 0).then(|| g.input("labels", [batch, network.classes()]))
}

/// The images of a batch as data has them, in levels.
fn images<N: Network>(network: &N, g: &mut Graph, batch: usize) -> Result<NodeId> {
    let pixels = network.pixels();
    if network.colours() {
        let [h, w, _] = pixels.dims;
        return Ok(g.input("x", [batch, h, w, 3]));
    }
    pixels.input(g, batch)
}

/// The network of one scale of a model.
struct At<'a, N>(&'a N, usize);

impl<'a, N: Network> At<'a, N> {
    /// The network of the next coarser scale.
    fn coarser(&self) -> Option<Box<dyn Raster + 'a>> {
        self.1.checked_sub(1).map(|scale| Box::new(At(self.0, scale)) as Box<dyn Raster + 'a>)
    }

    /// The pixels of its images.
    fn pixels(&self) -> Levels {
        let pixels = self.0.pixels();
        Levels { dims: halved(pixels.dims, self.0.scales() - 1 - self.1), ..pixels.clone() }
    }

    /// Logits of levels `x`, given labels, the levels of the next coarser scale and a luma.
    fn logits(&self, g: &mut Graph, x: NodeId, given: Given) -> Result<NodeId> {
        let Self(network, scale) = *self;
        let pixels = network.pixels();
        let shown = pixels.shown(g, x)?;
        let coarse = given.coarse.map(|coarse| pixels.shown(g, coarse)).transpose()?;
        let logits = network.logits(g, shown, Given { scale, coarse, ..given })?;
        match given.luma {
            Some(luma) => chroma::possible(g, logits, luma, x),
            None => Ok(logits),
        }
    }
}

/// −ln p of the values of a batch.
struct Nll {
    /// Of every value, each at its own place, `[N, H, W, C]`.
    map: NodeId,
    /// Of those that each scale adds, from coarse to fine, in pieces.
    scales: Vec<Vec<NodeId>>,
}

impl Nll {
    fn new<N: Network>(network: &N, g: &mut Graph, batch: usize) -> Result<Self> {
        let x = images(network, g, batch)?;
        let labels = labels_of(network, g, batch);
        Self::of(network, g, x, labels)
    }

    /// Of images `x` `[N, H, W, C]` in levels, given labels.
    fn of<N: Network>(network: &N, g: &mut Graph, x: NodeId, labels: Option<NodeId>) -> Result<Self> {
        if network.colours() {
            let [luma, x] = chroma::of_images(g, x)?;
            let logits = At(network, 0).logits(g, x, Given { labels, luma: Some(luma), ..Given::default() })?;
            let map = network.pixels().nll_map(g, logits, x)?;
            return Ok(Self { map, scales: vec![vec![map]] });
        }
        let mut images = vec![x];
        for at in 1..network.scales() {
            let half = every_second(g, images[at - 1])?;
            images.push(half);
        }
        images.reverse();
        let mut found: Option<Self> = None;
        for (scale, &x) in images.iter().enumerate() {
            let at = At(network, scale);
            let coarse = scale.checked_sub(1).map(|coarser| images[coarser]);
            let logits = at.logits(g, x, Given { labels, coarse, ..Given::default() })?;
            let map = at.pixels().nll_map(g, logits, x)?;
            found = Some(match found {
                None => Self { map, scales: vec![vec![map]] },
                Some(Self { map: known, mut scales }) => {
                    let rest = the_rest(g, map)?;
                    scales.push(rest.to_vec());
                    Self { map: put_together(g, known, rest)?, scales }
                }
            });
        }
        found.ok_or_else(|| Error::Shape("a model has one scale at least".into()))
    }
}

/// What values of chroma cost, behind what the luma does, which is given: nothing. `[N, H, W, 2] → [N, H, W, 3]`.
fn with_luma(g: &mut Graph, map: NodeId) -> Result<NodeId> {
    let mut dims = g.shape(map).dims().to_vec();
    if let Some(channels) = dims.last_mut() {
        *channels = 1;
    }
    let nothing = g.fill(dims.as_slice(), 0.0)?;
    g.concat(nothing, map, 3)
}

/// The sum of several sums.
fn sum(g: &mut Graph, nodes: &[NodeId], each: impl Fn(&mut Graph, NodeId) -> Result<NodeId>) -> Result<NodeId> {
    let mut total = None;
    for &node in nodes {
        let part = each(g, node)?;
        total = Some(match total {
            None => part,
            Some(sum) => g.add(sum, part)?,
        });
    }
    total.ok_or_else(|| Error::Shape("nothing to sum".into()))
}

/// Mean −ln p(x|y) − λ ln p(y|x); the outputs `nll` and `label_nll` are its terms.
fn hybrid_loss<N: Network>(network: &N, g: &mut Graph, batch: usize, part: LabelLoss) -> Result<NodeId> {
    let x = images(network, g, batch)?;
    let labels = g.input("labels", [batch, network.classes()]);
    let [images, labels] = part.spread(g, x, labels)?;
    let nll = Nll::of(network, g, images, Some(labels))?;
    let nll = sum(g, &nll.scales.concat(), Graph::sum_items)?;
    let [own, label] = part.split(g, nll)?;
    let (own, label) = (g.mean_all(own)?, g.mean_all(label)?);
    g.output("nll", own);
    g.output("label_nll", label);
    g.map(&[own, label], |b, v| {
        let weighed = b.scale(v[1], part.weight);
        b.add(v[0], weighed)
    })
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
        g.let_drop(self.dropout().into());
        let loss = match self.label_loss() {
            None => {
                let nll = Nll::new(self, &mut g, batch)?;
                let total = sum(&mut g, &nll.scales.concat(), Graph::sum_all)?;
                g.scale(total, 1.0 / batch as f64)?
            }
            Some(labels) => hybrid_loss(self, &mut g, batch, labels)?,
        };
        g.output("loss", loss);
        let update = update(0);
        let gradients = g.group_gradients(loss, self.tensors(), &update)?;
        g.update(self.tensors(), update, &gradients)?;
        Ok(g)
    }

    fn metrics(&self) -> Vec<(&'static str, &'static str)> {
        match self.label_loss() {
            None => vec![("loss", "nats")],
            Some(_) => vec![("loss", "nats"), ("nll", "nats"), ("label_nll", "nats")],
        }
    }

    fn starts(&self) -> Option<&dyn Starts> {
        N::STARTS.then_some(self)
    }

    fn scores(&self) -> Option<&dyn Scores> {
        Some(self)
    }

    fn raster(&self) -> Option<&dyn Raster> {
        (!Network::colours(self)).then_some(self)
    }

    fn colours(&self) -> Option<&dyn Raster> {
        Network::colours(self).then_some(self)
    }

    /// A conditional network wants to be told the label that a classifier looks for; continuous values are not in 0..1.
    fn represents(&self) -> Option<&dyn Represents> {
        (self.classes() == 0 && self.pixels().levels() > 0 && !Network::colours(self)).then_some(self)
    }
}

impl<N: Network> Represents for N {
    fn whence(&self) -> &'static str {
        "a layer in the middle of the network"
    }

    fn represent(&self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        let pixels = self.pixels();
        let x = pixels.of_shares(g, x)?;
        let coarse = (self.scales() > 1).then(|| every_second(g, x)).transpose()?;
        let coarse = coarse.map(|coarse| pixels.shown(g, coarse)).transpose()?;
        let shown = pixels.shown(g, x)?;
        self.middle(g, shown, Given { scale: self.scales() - 1, coarse, ..Given::default() })
    }
}

impl<N: Network> Starts for N {
    fn start_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        g.let_drop(self.dropout().into());
        let x = images(self, &mut g, batch)?;
        let labels = labels_of(self, &mut g, batch);
        let shown = self.pixels().shown(&mut g, x)?;
        let logits = self.start(&mut g, shown, Given { labels, ..Given::default() })?;
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
        let nll = Nll::new(self, &mut g, batch)?;
        let total = sum(&mut g, &nll.scales.concat(), Graph::sum_items)?;
        g.output("nll", total);
        let map = if Network::colours(self) { with_luma(&mut g, nll.map)? } else { nll.map };
        g.output("nll_map", map);
        if self.scales() > 1 {
            for (scale, pieces) in nll.scales.iter().enumerate() {
                let [h, w, _] = At(self, scale).pixels().dims;
                let share = sum(&mut g, pieces, Graph::sum_items)?;
                g.output(&format!("nats_{h}x{w}"), share);
            }
        }
        Ok(g)
    }
}

impl<N: Network> Raster for N {
    fn law(&self) -> Law {
        self.pixels().law
    }

    fn coarser(&self) -> Option<Box<dyn Raster + '_>> {
        At(self, self.scales() - 1).coarser()
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        At(self, self.scales() - 1).raster_graph(batch)
    }
}

impl<N: Network> Raster for At<'_, N> {
    fn law(&self) -> Law {
        self.0.law()
    }

    fn coarser(&self) -> Option<Box<dyn Raster + '_>> {
        self.coarser()
    }

    fn raster_graph(&self, batch: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let [h, w, c] = self.pixels().dims;
        let x = g.input("x", [batch, h, w, c]);
        let coarse = (self.1 > 0).then(|| g.input("coarse", [batch, h / 2, w / 2, c]));
        let luma = self.0.colours().then(|| g.input("luma", [batch, h, w, 1]));
        let labels = labels_of(self.0, &mut g, batch);
        let logits = self.logits(&mut g, x, Given { labels, coarse, luma, ..Given::default() })?;
        g.output("logits", logits);
        Ok(g)
    }
}
