//! Convolutions of images that are doubled first.

use super::Start;
use crate::error::Result;
use crate::graph::{Graph, Init, Layout, NodeId, StateId, StateSpec};
use crate::op::Taps;

/// Rows and columns of the kernel, and of the transposed one that it is carried out as.
const KERNEL: usize = 3;
const MERGED: usize = 4;

/// Nearest-neighbour upsampling by two, then a 3×3 convolution with padding 1 and a bias: `[N, H, W, C] → [N, 2H, 2W, D]`.
///
/// The doubled image is never made. A position of it sees two rows and two columns of the small one, and the pair of layers is a transposed
/// convolution of 4×4 taps and stride 2 whose weights are sums of the kernel's: along an axis `[w₂, w₁ + w₂, w₀ + w₁, w₀]`.
#[derive(Clone, Debug)]
pub struct UpsampledConv2d {
    taps: Taps,
    channels: [usize; 2],
    weight: StateId,
    bias: StateId,
    /// `[16, 9]`: which of the kernel's weights each tap is the sum of.
    sums: StateId,
}

impl UpsampledConv2d {
    /// Registers `name.weight`, the 3×3 kernel, and `name.bias`; `image` is the height and width of the small image.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where the image is empty.
    pub fn new(
        spec: &mut StateSpec,
        group: usize,
        name: &str,
        image: [usize; 2],
        channels @ [c, d]: [usize; 2],
        start: Start,
    ) -> Result<Self> {
        let taps = Taps::dense([MERGED, MERGED], 2, 1, image.map(|n| 2 * n))?;
        let cells = KERNEL * KERNEL;
        let fan_in = c * cells;
        let layout = Layout::ConvOfAdjoint { kernel: [KERNEL, KERNEL] };
        let weight = spec.tensor(group, &format!("{name}.weight"), [cells, d, c], start.weight(fan_in), layout, true);
        let bias = spec.tensor(group, &format!("{name}.bias"), [d], start.bias(fan_in), Layout::Plain, true);
        let shape = [MERGED * MERGED, cells];
        let sums = spec.tensor(group, &format!("{name}.sums"), shape, Init::Values(sums()), Layout::Derived, false);
        Ok(Self { taps, channels, weight, bias, sums })
    }

    /// Applies the layer.
    pub fn apply(&self, graph: &mut Graph, spec: &StateSpec, x: NodeId) -> Result<NodeId> {
        let [c, d] = self.channels;
        let [weight, sums] = [self.weight, self.sums].map(|id| graph.state(spec, id));
        let rows = graph.reshape(weight, [KERNEL * KERNEL, d * c])?;
        let merged = graph.matmul(sums, rows)?;
        let merged = graph.reshape(merged, [MERGED * MERGED, d, c])?;
        let y = graph.conv_transposed(x, merged, self.taps.clone())?;
        let bias = graph.state(spec, self.bias);
        graph.add(y, bias)
    }
}

/// `[16, 9]`: 1 where a tap's weight counts the kernel's.
fn sums() -> Vec<f32> {
    // Along an axis.
    let counts = |tap: usize, cell: usize| [&[2][..], &[1, 2], &[0, 1], &[0]][tap].contains(&cell);
    let both = |tap: usize, cell: usize| counts(tap / MERGED, cell / KERNEL) && counts(tap % MERGED, cell % KERNEL);
    let row = |tap: usize| (0..KERNEL * KERNEL).map(move |cell| f32::from(both(tap, cell)));
    (0..MERGED * MERGED).flat_map(row).collect()
}
