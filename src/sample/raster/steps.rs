//! What the cached sampler on the CPU keeps of some images that are drawn side by side, and the steps that make it.

use super::program::{Feature, Operand, RasterProgram, RasterStep, View, Work, extents};
use crate::graph::{Shape, Step};
use crate::native::simd::{self, MAX_ROWS, Tile};
use crate::native::{Evaluator, Operand as Columns};
use crate::native::{scan, scratch};
use crate::tensor::{GATES, Read, Walk};

/// A network ready to sample: its steps and what does not change with the image.
pub(super) struct Network {
    pub(super) program: RasterProgram,
    constants: Vec<(Shape, Vec<f32>)>,
    /// Those of each step.
    weights: Vec<Weights>,
    /// 0, 1, 2, …: the channels of one tap.
    channels: Vec<i32>,
}

/// A step's weights as its products read them.
enum Weights {
    /// It has none.
    None,
    /// Panels of tile width: `[block][tap, channel][column]`.
    Panels(Vec<f32>),
    /// Those of a recurrence.
    Cells(scan::Cells),
}

impl Network {
    /// Prepares a program, given the values of its constants.
    pub(super) fn new(program: RasterProgram, constants: Vec<(Shape, Vec<f32>)>) -> Self {
        let pack_step = |step: &RasterStep| match &step.work {
            Work::Conv { weights, transposed, .. } => {
                let (shape, values) = &constants[*weights];
                let &[taps, rows, columns] = shape.dims() else { return Weights::None };
                let size = if *transposed { [taps, columns, rows] } else { [taps, rows, columns] };
                Weights::Panels(pack(size, |t, c, d| {
                    let [row, column] = if *transposed { [d, c] } else { [c, d] };
                    values[(t * rows + row) * columns + column]
                }))
            }
            Work::Scan { weights, gating, .. } => {
                let (shape, values) = &constants[*weights];
                Weights::Cells(scan::Cells::new(values, shape.dims()[1], *gating))
            }
            Work::Map { .. } | Work::Halves { .. } | Work::Join(_) => Weights::None,
        };
        let weights = program.steps.iter().map(pack_step).collect();
        let most = program.features.iter().map(|f| f.channels).max().unwrap_or(0) as i32;
        Self { program, constants, weights, channels: (0..most).collect() }
    }

    /// Values of an image.
    pub(super) fn item(&self) -> usize {
        self.program.size[0] * self.program.size[1] * self.program.features[0].channels
    }
}

/// Panels of weights `[taps, C, D]`.
fn pack([taps, c, d]: [usize; 3], value: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let width = simd::columns(d);
    let depth = taps * c;
    let mut panels = vec![0.0; d.div_ceil(width) * depth * width];
    for (block, panel) in panels.chunks_exact_mut((depth * width).max(1)).enumerate() {
        let first = block * width;
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            row.iter_mut().take(d - first).enumerate().for_each(|(j, v)| *v = value(k / c, k % c, first + j));
        }
    }
    panels
}

/// Features of some images.
pub(super) struct Group<'a> {
    pub(super) network: &'a Network,
    pub(super) count: usize,
    /// For each feature, `[row of the ring, column, image, channel]`.
    pub(super) buffers: Vec<Vec<f32>>,
}

/// Where a step is carried out: some of a feature's columns in a row of the image.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) columns: usize,
    /// Columns of the image from one to the next.
    pub(super) stride: usize,
}

impl<'a> Group<'a> {
    pub(super) fn new(network: &'a Network, count: usize) -> Self {
        let width = network.program.size[1];
        let buffers = network.program.features.iter().map(|f| vec![0.0; count * f.channels * f.places(width)]).collect();
        Self { network, count, buffers }
    }

    /// The same images, one after another so many times: each goes on by itself.
    pub(super) fn repeated(&self, times: usize) -> Self {
        let repeat = |(buffer, feature): (&Vec<f32>, &Feature)| {
            let cells = buffer.chunks_exact(self.count * feature.channels);
            cells.flat_map(|cell| cell.repeat(times)).collect()
        };
        let buffers = self.buffers.iter().zip(&self.network.program.features).map(repeat).collect();
        Self { network: self.network, count: self.count * times, buffers }
    }

    /// Lays down what other inputs than the image give, of images from `first` on.
    pub(super) fn give(&mut self, first: usize, given: &[Vec<f32>]) {
        let program = &self.network.program;
        for ((feature, _), values) in program.given.iter().zip(given) {
            let (channels, places) = (program.features[*feature].channels, program.features[*feature].places(program.size[1]));
            for (at, cell) in self.buffers[*feature].chunks_exact_mut(channels).enumerate() {
                let (place, image) = (at / self.count, first + at % self.count);
                cell.copy_from_slice(&values[(image * places + place) * channels..][..channels]);
            }
        }
    }

    /// Where a feature of a position lies in its buffer.
    pub(super) fn at(&self, feature: usize, row: usize, column: usize) -> usize {
        let f = &self.network.program.features[feature];
        let columns = f.columns(self.network.program.size[1]);
        if f.wide { (row / f.stride % f.rows * columns + column / f.stride) * self.count * f.channels } else { 0 }
    }

    /// Carries out a step somewhere.
    pub(super) fn compute(&mut self, number: usize, place: Place) {
        let network = self.network;
        let (step, weights) = (&network.program.steps[number], &network.weights[number]);
        let Place { row, column, columns, .. } = place;
        let channels = network.program.features[step.output].channels;
        let shape = Shape::from([columns, self.count, 1, channels]);
        if let (Work::Scan { .. }, Weights::Cells(weights)) = (&step.work, weights) {
            return self.advance(number, weights, place);
        }
        let at = self.at(step.output, row, column);
        let len = columns * self.count * channels;
        let mut output = std::mem::take(&mut self.buffers[step.output]);
        let out = &mut output[at..at + len];
        match (&step.work, weights) {
            (Work::Conv { epilogue, operands, .. }, Weights::Panels(panels)) => {
                self.convolve(number, panels, place, channels, out);
                if let Some(expr) = epilogue {
                    let operands = self.operands(operands, &shape, place);
                    Evaluator::in_place(expr, &operands, &shape, &Step::default()).run(0, out);
                }
            }
            (Work::Map { expr, operands }, _) => {
                let operands = self.operands(operands, &shape, place);
                Evaluator::new(expr, &operands, &shape, &Step::default()).run(0, out);
            }
            (Work::Halves { exprs, source }, _) => {
                let half = Shape::from([columns, self.count, 1, source.channels]);
                let operand = self.operands(&[Operand::Feature(*source)], &half, place);
                scratch::with(half.len(), |values| {
                    for (expr, first) in exprs.iter().zip([0, source.channels]) {
                        Evaluator::new(expr, &operand, &half, &Step::default()).run(0, values);
                        for (cell, values) in out.chunks_exact_mut(channels).zip(values.chunks_exact(source.channels)) {
                            cell[first..first + source.channels].copy_from_slice(values);
                        }
                    }
                });
            }
            (Work::Join(parts), _) => {
                let mut from = 0;
                for part in parts {
                    let (values, stride) = self.cells(*part, place);
                    let repeats = values.len().div_ceil(stride);
                    for (i, cell) in out.chunks_exact_mut(channels).enumerate() {
                        cell[from..from + part.channels].copy_from_slice(&values[i % repeats * stride..][..part.channels]);
                    }
                    from += part.channels;
                }
            }
            // Each kind of work has weights of its kind.
            (Work::Conv { .. } | Work::Scan { .. }, _) => {}
        }
        self.buffers[step.output] = output;
    }

    /// What a view shows at some columns: the values from its first on, and from one image's to the next's. A feature that is kept for
    /// the position alone is the same in all columns, and shows itself once.
    fn cells(&self, view: View, place: Place) -> (&[f32], usize) {
        let f = &self.network.program.features[view.feature];
        let at = self.at(view.feature, place.row, place.column);
        let columns = if f.wide { place.columns } else { 1 };
        (&self.buffers[view.feature][at + view.first..at + columns * self.count * f.channels], f.channels)
    }

    fn operands(&self, operands: &[Operand], shape: &Shape, place: Place) -> Vec<Columns<'_, f32>> {
        let find = |operand: &Operand| match *operand {
            Operand::Constant(c) => {
                let (own, values) = &self.network.constants[c];
                let [rows, columns, channels] = extents(own);
                if rows * columns == 1 {
                    return Columns::new(values, own, shape);
                }
                let row = if rows == 1 { 0 } else { place.row / place.stride };
                let [first, shown] = if columns == 1 { [0, 1] } else { [place.column / place.stride, place.columns] };
                let values = &values[(row * columns + first) * channels..][..shown * channels];
                Columns::new(values, &Shape::from([shown, 1, 1, channels]), shape)
            }
            Operand::Feature(view) => {
                let (values, stride) = self.cells(view, place);
                Columns::cells(values, view.channels, stride, shape)
            }
        };
        operands.iter().map(find).collect()
    }

    /// The sums of a convolution, in the order the whole convolution takes them. Positions of all images side by side are the rows of
    /// one product.
    fn convolve(&self, number: usize, panels: &[f32], place: Place, d: usize, out: &mut [f32]) {
        let program = &self.network.program;
        let Work::Conv { source, taps, .. } = &program.steps[number].work else { return };
        let [height, width] = program.size.map(|side| side as i32);
        let from = &program.features[source.feature];
        let buffer = &self.buffers[source.feature];
        let wide = simd::columns(d);
        let depth = taps.len() * source.channels;
        let rows = place.columns * self.count;
        out.fill(0.0);
        let sums = out.as_mut_ptr();
        for block in 0..d.div_ceil(wide) {
            let first = block * wide;
            let used = wide.min(d - first);
            for start in (0..rows).step_by(simd::rows()) {
                let end = rows.min(start + simd::rows());
                for (t, [dy, dx]) in taps.iter().enumerate() {
                    let y = place.row as i32 + dy;
                    let (mut held, mut origins, mut targets) = (0, [std::ptr::null(); MAX_ROWS], [std::ptr::null_mut(); MAX_ROWS]);
                    let mut at = start;
                    while at < end {
                        let x = (place.column + at / self.count * place.stride) as i32 + dx;
                        let next = end.min((at / self.count + 1) * self.count);
                        // What is not there adds nothing.
                        if (0..height).contains(&y) && (0..width).contains(&x) && from.has([y, x]) {
                            let cell = self.at(source.feature, y as usize, x as usize) + source.first;
                            for row in at..next {
                                let features = &buffer[cell + row % self.count * from.channels..][..source.channels];
                                (origins[held], targets[held]) = (features.as_ptr(), sums.wrapping_add(row * d + first));
                                held += 1;
                            }
                        }
                        at = next;
                    }
                    if held == 0 {
                        continue;
                    }
                    let tile = Tile {
                        rows: &origins[..held],
                        offsets: &self.network.channels[..source.channels],
                        b: panels[(block * depth + t * source.channels) * wide..].as_ptr(),
                        stride: wide,
                        sums: &targets[..held],
                        used,
                        fresh: false,
                    };
                    // SAFETY: each row has `channels` readable elements, the panel `channels` more rows of `wide`, and `out` a row of
                    // `d` for each position and image.
                    unsafe { simd::multiply(&tile, wide) };
                }
            }
        }
    }

    /// Cells of a recurrence.
    fn advance(&mut self, number: usize, weights: &scan::Cells, place: Place) {
        let step = &self.network.program.steps[number];
        let Work::Scan { walk, gating, sums, initial, cells, .. } = step.work else { return };
        let n = self.network.program.features[step.output].channels;
        let len = place.columns * self.count * n;
        scratch::with((GATES + 2) * len, |room| {
            let (gates, states) = room.split_at_mut(GATES * len);
            let (cell_states, hidden) = states.split_at_mut(len);
            let (values, stride) = self.cells(sums, place);
            let repeats = values.len().div_ceil(stride);
            for (i, gates) in gates.chunks_exact_mut(GATES * n).enumerate() {
                gates.copy_from_slice(&values[i % repeats * stride..][..GATES * n]);
            }
            let taps = walk.taps();
            let mut neighbours = Vec::with_capacity(taps.len() * place.columns * self.count);
            for tap in taps {
                neighbours.extend(self.states(walk, step.output, [initial, 0], tap, place));
            }
            let carried = self.states(walk, cells, [initial, gating.carried()], walk.carry(), place);
            for (state, before) in cell_states.chunks_exact_mut(n).zip(carried) {
                match before {
                    Some(before) => state.copy_from_slice(before),
                    None => state.fill(0.0),
                }
            }
            weights.step(&neighbours, gates, cell_states, hidden);
            for (feature, values) in [(step.output, &*hidden), (cells, &*cell_states)] {
                let at = self.at(feature, place.row, place.column);
                self.buffers[feature][at..at + len].copy_from_slice(values);
            }
        });
    }

    /// What cells find at a tap, column by column, image by image: a state of an earlier cell, one of `initial` (which constant, and
    /// which of its rows), or nothing.
    fn states(&self, walk: Walk, feature: usize, initial: [usize; 2], tap: [i32; 2], place: Place) -> impl Iterator<Item = Option<&[f32]>> {
        let f = &self.network.program.features[feature];
        let size = self.network.program.size.map(|side| side.div_ceil(f.stride));
        let first = &self.network.constants[initial[0]].1[initial[1] * f.channels..][..f.channels];
        let cell = [place.row / f.stride, place.column / f.stride];
        (0..place.columns).flat_map(move |column| {
            let found = walk.read([cell[0], cell[1] + column], tap, size);
            (0..self.count).map(move |image| match found {
                Read::Cell([y, x]) => {
                    let at = self.at(feature, y * f.stride, x * f.stride) + image * f.channels;
                    Some(&self.buffers[feature][at..at + f.channels])
                }
                Read::Initial => Some(first),
                Read::Zero => None,
            })
        })
    }
}
