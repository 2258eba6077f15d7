//! Persistent tensors: weights, running statistics and what the optimiser keeps beside them.
//!
//! A group's tensors lie in one flat arena, so that one kernel updates, averages or clips all of them. Groups are what an optimiser
//! owns: a generator and a discriminator are two.

use std::ops::Range;

use super::Shape;

/// How a tensor is first filled.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Uniform in [−bound, bound).
    Uniform(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Normal with mean 1 and this standard deviation.
    NearOne(f32),
    /// Uniform in [−bound, bound) where the mask is 1, zero elsewhere.
    UniformMasked(f32, Vec<f32>),
    /// Uniform within the bound around given values.
    UniformAround(f32, Vec<f32>),
    /// Given values.
    Values(Vec<f32>),
}

/// How a tensor is laid out in a checkpoint, where PyTorch's layout differs from kiln's.
#[derive(Clone, Debug, PartialEq)]
pub enum Layout {
    /// As it stands.
    Plain,
    /// Not in checkpoints: made anew from its first values (masks).
    Derived,
    /// `[taps, in, out]` here, `[out, in, kh, kw]` there; zeros where no tap is.
    Conv {
        /// Kernel height and width.
        kernel: [usize; 2],
        /// Row and column of each tap within the kernel.
        taps: Vec<[usize; 2]>,
    },
    /// `[taps, out, in]` here (the adjoint of a convolution), `[in, out, kh, kw]` there.
    ConvTransposed {
        /// Kernel height and width.
        kernel: [usize; 2],
    },
    /// `[taps, out, in]` here, of a convolution that is carried out as an adjoint, `[out, in, kh, kw]` there.
    ConvOfAdjoint {
        /// Kernel height and width.
        kernel: [usize; 2],
    },
    /// `[1, in, out]` here, `[out, in]` there. Where the input is a flattened image, its channels-last order `[h, w, c]` here is
    /// channels-first there, and features that follow the image stay where they are; likewise for the output.
    Linear {
        /// The image the input features are, if they are one.
        input_image: Option<[usize; 3]>,
        /// The image the output features are, if they are one.
        output_image: Option<[usize; 3]>,
    },
    /// A vector over a flattened image, or one a row: `[h, w, c]` here, `[c, h, w]` there.
    ImageVector([usize; 3]),
}

/// One persistent tensor.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    /// Its name in checkpoints.
    pub name: String,
    /// Its shape on the device.
    pub shape: Shape,
    /// Where it starts in its group's arena, in elements.
    pub offset: usize,
    /// Its first values.
    pub init: Init,
    /// Its layout in checkpoints.
    pub layout: Layout,
    /// Whether an optimiser changes it (running statistics are kept but not trained).
    pub trained: bool,
    /// Whether a moving average of it is kept where one is kept of the weights: of trained tensors and of running
    /// statistics, so that averaged weights go with statistics averaged alike.
    pub averaged: bool,
}

/// Tensors that share an arena and an optimiser.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name, the first part of its tensors' names in checkpoints if not empty.
    pub name: String,
    /// Its tensors, in arena order.
    pub tensors: Vec<TensorSpec>,
    /// Length of the arena in elements, padding included.
    pub len: usize,
}

/// Handle of a persistent tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId {
    /// Its group.
    pub group: usize,
    /// Its place in the group.
    pub index: usize,
}

/// One of a group's flat arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arena {
    /// The tensors themselves.
    Value,
    /// Gradients of the trained ones.
    Gradient,
    /// The optimiser's first moment or velocity.
    First,
    /// The optimiser's second moment.
    Second,
    /// The exponential moving average of the weights.
    Average,
}

/// Elements in a row of one arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The group.
    pub group: usize,
    /// Which of its arenas.
    pub arena: Arena,
    /// Where in it.
    pub range: Range<usize>,
}

/// All persistent tensors of a model.
#[derive(Clone, Debug, Default)]
pub struct StateSpec {
    /// Groups in order of creation.
    pub groups: Vec<Group>,
}

/// Arena offsets are multiples of this many elements (256 bytes, the largest storage-offset alignment an adapter may ask for).
pub const ALIGNMENT: usize = 64;

impl StateSpec {
    /// Opens a group.
    pub fn group(&mut self, name: &str) -> usize {
        self.groups.push(Group { name: name.to_string(), tensors: Vec::new(), len: 0 });
        self.groups.len() - 1
    }

    /// Adds a tensor to a group.
    pub fn tensor(&mut self, group: usize, name: &str, shape: impl Into<Shape>, init: Init, layout: Layout, trained: bool) -> StateId {
        let owner = &mut self.groups[group];
        let shape = shape.into();
        let name = if owner.name.is_empty() { name.to_string() } else { format!("{}.{name}", owner.name) };
        let offset = owner.len;
        let room = shape.len().max(1).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        owner.len = owner.len.saturating_add(room);
        owner.tensors.push(TensorSpec { name, shape, offset, init, layout, trained, averaged: trained });
        StateId { group, index: owner.tensors.len() - 1 }
    }

    /// Keeps a moving average of a tensor that is not trained, where one is kept of its group.
    pub fn average(&mut self, id: StateId) {
        self.groups[id.group].tensors[id.index].averaged = true;
    }

    /// Elements of all arenas together, one for each kind of arena; the largest number where that is beyond counting.
    pub fn elements(&self) -> usize {
        self.groups.iter().fold(0, |sum, group| sum.saturating_add(group.len))
    }

    /// The tensor behind a handle.
    pub fn spec(&self, id: StateId) -> &TensorSpec {
        &self.groups[id.group].tensors[id.index]
    }

    /// Handles of every tensor, in order.
    pub fn ids(&self) -> Vec<StateId> {
        let of = |(group, g): (usize, &Group)| (0..g.tensors.len()).map(move |index| StateId { group, index }).collect::<Vec<_>>();
        self.groups.iter().enumerate().flat_map(of).collect()
    }

    /// Handles of a group's trained tensors, in order.
    pub fn trained(&self, group: usize) -> Vec<StateId> {
        let tensors = self.groups[group].tensors.iter().enumerate();
        tensors.filter(|(_, t)| t.trained).map(|(index, _)| StateId { group, index }).collect()
    }

    /// Where tensors lie in an arena of their groups: one stretch for those that follow each other there, the padding between them included.
    pub fn stretches(&self, ids: &[StateId], arena: Arena) -> Vec<Stretch> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        let mut stretches: Vec<Stretch> = Vec::new();
        for id in ids {
            let spec = self.spec(id);
            let range = spec.offset..spec.offset + spec.shape.len();
            match stretches.last_mut() {
                Some(last) if last.group == id.group && range.start == last.range.end.next_multiple_of(ALIGNMENT) => {
                    last.range.end = range.end
                }
                _ => stretches.push(Stretch { group: id.group, arena, range }),
            }
        }
        stretches
    }

    /// Number of trained parameters, as a paper counts them (tensors whose layout has masked zeros count their taps alone only where
    /// `with_masked` is false).
    pub fn parameters(&self, with_masked: bool) -> usize {
        let count = |t: &TensorSpec| match &t.layout {
            Layout::Conv { kernel, taps } if with_masked => t.shape.len() / taps.len() * kernel[0] * kernel[1],
            _ => t.shape.len(),
        };
        self.groups.iter().flat_map(|g| &g.tensors).filter(|t| t.trained).map(count).sum()
    }
}
