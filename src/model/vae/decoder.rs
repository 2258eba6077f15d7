//! Latents to what the likelihood reads: the trunk's mirror image.

use crate::error::Result;
use crate::graph::{Graph, NodeId, StateSpec};
use crate::model::trunk::{Activation, Form, Sizes};
use crate::nn::{ConvTransposed2d, Linear, OneHot, Start};

enum Layers {
    Mlp(Vec<Linear>),
    Conv(Linear, Vec<ConvTransposed2d>),
}

/// `[N, latent]` to `[N, H, W, C]`, before the likelihood's own function: logits or means.
pub(super) struct Decoder {
    layers: Layers,
    /// The label's share of the first layer's sum: what concatenating it to the latent comes to.
    label: Option<OneHot>,
    activation: Activation,
    dims: [usize; 3],
    bottom: [usize; 3],
}

impl Decoder {
    /// Registers the tensors under `decoder.`; `sizes` are resolved.
    pub fn new(spec: &mut StateSpec, group: usize, latent: usize, dims: [usize; 3], sizes: &Sizes) -> Result<Self> {
        let [h, w, c] = dims;
        let start = Start::FanIn;
        let mut bottom = dims;
        let (layers, first) = match sizes.form {
            Form::Mlp => {
                let width = |i: usize| if i == 0 { latent } else { sizes.hidden };
                let mut layers: Vec<Linear> = (0..sizes.layers)
                    .map(|i| Linear::new(spec, group, &format!("decoder.{}", Sizes::hidden_name(i)), [width(i), sizes.hidden], start))
                    .collect();
                let ends = [None, Some(dims)];
                layers.push(Linear::between(spec, group, "decoder.logits", [width(sizes.layers), h * w * c], ends, start));
                let first = if sizes.layers == 0 { h * w * c } else { sizes.hidden };
                (Layers::Mlp(layers), first)
            }
            Form::Conv => {
                bottom = sizes.bottom(dims);
                let first: usize = bottom.iter().product();
                let project = Linear::between(spec, group, "decoder.project", [latent, first], [None, Some(bottom)], start);
                let mut deconvs = Vec::new();
                for i in 0..sizes.stages {
                    let up = sizes.stages - 1 - i;
                    let channels = [sizes.channels(up), if up == 0 { c } else { sizes.channels(up - 1) }];
                    let image = [h >> (up + 1), w >> (up + 1)];
                    let name = format!("decoder.deconv{}", i + 1);
                    deconvs.push(ConvTransposed2d::new(spec, group, &name, image, channels, (4, 2, 1), true, start)?);
                }
                (Layers::Conv(project, deconvs), first)
            }
        };
        let image = (sizes.form == Form::Conv).then_some(bottom);
        let label = (sizes.classes > 0).then(|| OneHot::of_image(spec, group, "decoder.label", [sizes.classes, first], image, start));
        Ok(Self { layers, label, activation: sizes.activation, dims, bottom })
    }

    /// Applies it to `z` `[N, …]` of `latent` values each; `labels` is `[N, classes]`, one-hot.
    pub fn apply(&self, g: &mut Graph, spec: &StateSpec, z: NodeId, labels: Option<NodeId>) -> Result<NodeId> {
        let batch = g.shape(z).dims().first().copied().unwrap_or(1);
        let first = match &self.layers {
            Layers::Mlp(layers) => &layers[0],
            Layers::Conv(project, _) => project,
        };
        let mut h = first.apply_wide(g, spec, z)?;
        if let (Some(label), Some(labels)) = (&self.label, labels) {
            h = label.add_to(g, spec, h, labels)?;
        }
        match &self.layers {
            Layers::Mlp(layers) => {
                for layer in &layers[1..] {
                    h = self.activation.apply(g, h)?;
                    h = layer.apply_wide(g, spec, h)?;
                }
            }
            Layers::Conv(_, deconvs) => {
                let [bh, bw, bc] = self.bottom;
                h = g.reshape(h, [batch, bh, bw, bc])?;
                for layer in deconvs {
                    h = self.activation.apply(g, h)?;
                    h = layer.apply(g, spec, h)?;
                }
            }
        }
        let [height, width, c] = self.dims;
        g.reshape(h, [batch, height, width, c])
    }
}
