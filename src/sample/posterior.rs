//! Latents of images of which a part is known: p(z | kept) ∝ p(kept | z) N(z; 0, 1), with p(kept | z) as the model has it, or a normal
//! distribution of a stated width around G(z) (Bora et al., 2017, "Compressed sensing using generative models").

use super::target::Target;
use crate::data::one_hot;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId, Step};
use crate::model::{Decodes, Model, need};
use crate::runtime::{Device, Program, State, Weights};

/// Latents that are looked at together.
const CHUNK: usize = 256;

/// Images of which a part is known.
pub struct Kept<'a> {
    /// In 0..1, `[N, H, W, C]`.
    pub images: &'a [f32],
    /// Whether each value of an image is known, `[H, W, C]`.
    pub mask: &'a [bool],
    /// N labels, of so many classes, where the model takes them.
    pub labels: (&'a [u32], usize),
}

/// A decoder on a device that tells how well its images agree with others.
pub struct Posterior {
    program: Program,
    chunk: usize,
    latent: usize,
    conditional: bool,
}

/// The graph: `z`, `given` and `mask` (and `labels`) to `x`, and to `value` = ln p(kept | z) + ln N(z; 0, 1) up to a constant, with its `slope`.
fn graph(decoder: &dyn Decodes, items: usize, width: f64) -> Result<Graph> {
    let output = |g: &Graph, name: &str| g.outputs().iter().find(|(n, _)| n == name).map(|(_, id)| *id);
    let (mut g, known) = match decoder.explain_graph(items)? {
        Some(graph) => (graph, true),
        None => (decoder.decode_graph(items)?, false),
    };
    let (Some(x), Some(z)) = (output(&g, "x"), g.inputs().get("z").copied()) else {
        return Err(Error::Shape("a decoder makes x of z".into()));
    };
    let shape = g.shape(x).clone();
    let nll: NodeId = match output(&g, "nll").filter(|_| known) {
        Some(nll) => nll,
        None => {
            let given = g.input("given", shape.clone());
            g.map(&[x, given], |b, v| {
                let away = b.sub(v[0], v[1]);
                let square = b.mul(away, away);
                b.scale(square, 0.5 / (width * width))
            })?
        }
    };
    let mask = g.input("mask", shape);
    let kept = g.mul(nll, mask)?;
    let kept = g.sum_items(kept)?;
    let squares = g.mul(z, z)?;
    let squares = g.sum_items(squares)?;
    let value = g.map(&[kept, squares], |b, v| {
        let half = b.scale(v[1], 0.5);
        let sum = b.add(v[0], half);
        b.neg(sum)
    })?;
    let total = g.sum_all(value)?;
    let slope = g.gradients(total, &[z])?;
    g.output("value", value);
    g.output("slope", slope[0]);
    g.keep_outputs(&["x", "value", "slope"]);
    Ok(g)
}

impl Posterior {
    /// Prepares a decoder for up to `most` latents at a time; `width`, in shares of the range of values, is that of the normal distribution
    /// where the model has none of its own.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model makes no images of latents with a prior; errors of the device.
    pub async fn new(device: &Device, (model, state, weights): (&dyn Model, &State, Weights), width: f64, most: usize) -> Result<Self> {
        let decoder = need::prior(model)?;
        let latent = decoder.latent();
        let (program, _, chunk) = Program::of_items(device, state, weights, CHUNK.min(most), |items| graph(decoder, items, width)).await?;
        Ok(Self { program, chunk, latent, conditional: model.conditional() })
    }

    /// Latents that are looked at together.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// The density for some images, each of which has `each` latents, one after another.
    pub fn along<'a>(&'a mut self, state: &'a mut State, kept: &'a Kept<'a>, each: usize) -> Along<'a> {
        Along { own: self, state, kept, each, loaded: None }
    }
}

/// A [`Posterior`] of certain images.
pub struct Along<'a> {
    own: &'a mut Posterior,
    state: &'a mut State,
    kept: &'a Kept<'a>,
    each: usize,
    /// The latents whose images the device has: number of the first, and how many.
    loaded: Option<[usize; 2]>,
}

impl Along<'_> {
    /// Images `[N, H, W, C]` in 0..1 of latents, one of each image that is known in part.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn images(&mut self, z: &[f32]) -> Result<Vec<f32>> {
        let mut images = Vec::with_capacity(self.kept.images.len());
        for (part, z) in z.chunks(self.own.chunk * self.own.latent).enumerate() {
            self.run(part * self.own.chunk, z).await?;
            let made = self.own.program.read(self.state, "x").await?;
            images.extend_from_slice(&made[..z.len() / self.own.latent * self.kept.mask.len()]);
        }
        Ok(images)
    }

    async fn run(&mut self, first: usize, z: &[f32]) -> Result<()> {
        let Posterior { program, chunk, latent, conditional } = &mut *self.own;
        let (item, here) = (self.kept.mask.len(), z.len() / *latent);
        if self.loaded != Some([first, here]) {
            let number = |i: usize| (first + i.min(here - 1)) / self.each;
            let given: Vec<f32> = (0..*chunk).flat_map(|i| &self.kept.images[number(i) * item..][..item]).copied().collect();
            program.write("given", &given)?;
            let mask: Vec<f32> = self.kept.mask.iter().map(|kept| f32::from(u8::from(*kept))).collect();
            program.write("mask", &mask.repeat(*chunk))?;
            if *conditional {
                let labels: Vec<u32> = (0..*chunk).filter_map(|i| self.kept.labels.0.get(number(i))).copied().collect();
                program.write("labels", &one_hot(&labels, self.kept.labels.1, *chunk))?;
            }
            self.loaded = Some([first, here]);
        }
        let mut filled = z.to_vec();
        filled.resize(*chunk * *latent, 0.0);
        program.write("z", &filled)?;
        program.run(self.state, &Step::default()).await
    }
}

impl Target for Along<'_> {
    fn latent(&self) -> usize {
        self.own.latent
    }

    fn chunk(&self) -> usize {
        self.own.chunk
    }

    async fn of(&mut self, first: usize, z: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        self.run(first, z).await?;
        let value = self.own.program.read(self.state, "value").await?;
        let mut slope = self.own.program.read(self.state, "slope").await?;
        slope.truncate(z.len());
        Ok((value[..z.len() / self.own.latent].iter().map(|v| f64::from(*v)).collect(), slope))
    }
}
