//! Batch normalisation layers.

use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, Rule, StateId, StateSpec, Unary, Update};

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation over all but the channel axis (Ioffe and Szegedy, 2015), with running statistics for use outside training.
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: StateId,
    bias: StateId,
    running_mean: StateId,
    running_var: StateId,
}

impl BatchNorm2d {
    /// Registers a layer's tensors; scales start normal around 1 with the given deviation (the DCGAN paper's .02) or at 1.
    pub fn new(spec: &mut StateSpec, group: usize, name: &str, channels: usize, deviation: Option<f32>) -> Self {
        Self::apart(spec, [group, group], name, channels, deviation)
    }

    /// A layer whose running statistics lie in a group of their own (of the same name), out of reach of what an optimiser does to a
    /// whole group: clamping the weights of a Wasserstein critic must not clamp variances. Averages are made by a group's
    /// updates: [`BatchNorm2d::average`] is that of statistics.
    pub fn apart(spec: &mut StateSpec, [group, statistics]: [usize; 2], name: &str, channels: usize, deviation: Option<f32>) -> Self {
        let scale = deviation.map_or(Init::Constant(1.0), Init::NearOne);
        let mut tensor = |part: &str, init: Init, trained: bool| {
            let group = if trained { group } else { statistics };
            spec.tensor(group, &format!("{name}.{part}"), [channels], init, Layout::Plain, trained)
        };
        let layer = Self {
            weight: tensor("weight", scale, true),
            bias: tensor("bias", Init::Constant(0.0), true),
            running_mean: tensor("running_mean", Init::Constant(0.0), false),
            running_var: tensor("running_var", Init::Constant(1.0), false),
        };
        spec.average(layer.running_mean);
        spec.average(layer.running_var);
        layer
    }

    /// Normalises by the batch's own statistics; with `track`, the running ones move towards them.
    pub fn train(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId, track: bool) -> Result<NodeId> {
        let (y, moments) = self.normalise(graph, spec, x)?;
        if track {
            moments.track(graph, spec)?;
        }
        Ok(y)
    }

    /// Normalises by the batch's own statistics, and hands those back: tracking them at the end of a graph rather than here lets
    /// what follows fuse, for nothing fuses across a change of a persistent tensor.
    pub fn normalise(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<(NodeId, BatchMoments)> {
        let channels = graph.shape(x).channels();
        let count = (graph.shape(x).len() / channels) as f64;
        let moments = graph.channel_moments(x)?;
        let gamma = graph.state(spec, self.weight);
        let beta = graph.state(spec, self.bias);
        let y = graph.batch_norm(x, moments, gamma, beta, EPSILON)?;
        Ok((y, BatchMoments { layer: self.clone(), moments, count, channels }))
    }

    /// Averages a group of running statistics as `update` averages the weights, so that averaged weights have statistics of their own. To
    /// follow what tracks them.
    pub fn average(graph: &mut Graph, spec: &StateSpec, statistics: usize, update: &Update) -> Result<()> {
        let last = update.accumulate.as_ref().is_none_or(|passes| passes.last);
        if !update.average || !last || spec.groups[statistics].tensors.is_empty() {
            return Ok(());
        }
        // Nothing of the group is trained, so that a step of any rule is the average alone.
        graph.update(spec, Update { average: true, ..Update::new(statistics, Rule::Sgd { momentum: 0.0 }) }, &[])
    }

    /// Normalises by the running statistics.
    pub fn infer(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let inputs = [x, graph.state(spec, self.running_mean), graph.state(spec, self.running_var)];
        let [gamma, beta] = [graph.state(spec, self.weight), graph.state(spec, self.bias)];
        graph.map(&[inputs[0], inputs[1], inputs[2], gamma, beta], |b, v| {
            let centred = b.sub(v[0], v[1]);
            let var = b.offset(v[2], EPSILON);
            let sigma = b.unary(Unary::Sqrt, var);
            let slope = b.div(v[3], sigma);
            let scaled = b.mul(centred, slope);
            b.add(scaled, v[4])
        })
    }
}

/// A batch's mean and variance, on their way to a layer's running statistics.
#[derive(Clone, Debug)]
pub struct BatchMoments {
    layer: BatchNorm2d,
    moments: [NodeId; 2],
    count: f64,
    channels: usize,
}

impl BatchMoments {
    /// Moves the running statistics towards these by a tenth; the running variance is the unbiased one.
    pub fn track(&self, graph: &mut Graph, spec: &StateSpec) -> Result<()> {
        let unbiased = self.count / (self.count - 1.0).max(1.0);
        let BatchNorm2d { running_mean, running_var, .. } = self.layer;
        for (id, moment, factor) in [(running_mean, self.moments[0], 1.0), (running_var, self.moments[1], unbiased)] {
            let old = graph.state(spec, id);
            let moment = graph.reshape(moment, [self.channels])?;
            let new = graph.map(&[old, moment], |b, v| {
                let kept = b.scale(v[0], 1.0 - MOMENTUM);
                let fresh = b.scale(v[1], MOMENTUM * factor);
                b.add(kept, fresh)
            })?;
            graph.assign(spec, id, new)?;
        }
        Ok(())
    }
}
