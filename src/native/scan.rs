//! Scans in `f32`: a few images side by side, all steps of them, states and weights in cache; nothing waits for another task.
//!
//! Of the forward pass only hidden states are kept. Its adjoint makes the gates again from them, all at once, since by then no gate
//! waits for another.

use rayon::prelude::*;

use super::simd::{self, MAX_ROWS, Tile};
use super::{math, scratch};
use crate::tensor::{Read, Walk};

/// A recurrence over images; see `op::Scan`.
pub struct ScanJob<'a, T> {
    /// The order of the cells.
    pub walk: Walk,
    /// Height and width.
    pub size: [usize; 2],
    /// Hidden units, h.
    pub hidden: usize,
    /// What the input adds to the gates, `[N, H, W, 4h]`.
    pub sums: &'a [T],
    /// `[taps, h, 4h]`.
    pub weights: &'a [T],
    /// Hidden and cell state before the first cells, `[2, h]`.
    pub initial: &'a [T],
}

impl<T> ScanJob<'_, T> {
    /// Cells of an image.
    pub fn cells(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Elements that the adjoint makes of an image.
    pub fn adjoint_len(&self) -> usize {
        self.walk.adjoint_len([self.size[0], self.size[1], self.hidden])
    }
}

/// Elements of a vector; the last of a row may be fewer.
const LANES: usize = 16;
/// Rows of a step's product that are worth a task of their own.
const ROWS: usize = 16;

/// A cell: its place in the image, its place in a window with a margin around the image, and its lane.
#[derive(Clone, Copy)]
struct Cell {
    image: usize,
    window: usize,
    lane: usize,
}

/// What all images share.
struct Plan<'a> {
    job: &'a ScanJob<'a, f32>,
    taps: Vec<[i32; 2]>,
    /// Cells from one row of a window to the next, and of a window.
    stride: usize,
    len: usize,
    cells: Vec<Cell>,
    /// Where each step begins in `cells`, and the end.
    steps: Vec<usize>,
}

impl<'a> Plan<'a> {
    fn new(job: &'a ScanJob<'a, f32>) -> Self {
        let (walk, size @ [h, w]) = (job.walk, job.size);
        let margin = walk.margin();
        let stride = w + 2 * margin;
        let mut cells = Vec::with_capacity(h * w);
        let mut steps = vec![0];
        for step in 0..walk.steps(size) {
            cells.extend(walk.cells(step, size).map(|[y, x]| Cell {
                image: y * w + x,
                window: (y + 1) * stride + margin + x,
                lane: walk.lane([y, x]),
            }));
            steps.push(cells.len());
        }
        Self { job, taps: walk.taps(), stride, len: (h + 2) * stride, cells, steps }
    }

    /// Cells between a cell's place in a window and that at an offset.
    fn jump(&self, [dy, dx]: [i32; 2]) -> i32 {
        dy * self.stride as i32 + dx
    }

    /// Offsets that a product over `channels` channels of each tap gathers; `sign` −1 goes the other way.
    fn offsets(&self, channels: usize, sign: i32) -> Vec<i32> {
        let of = |tap: &[i32; 2]| {
            let base = sign * self.jump(*tap) * channels as i32;
            (0..channels as i32).map(move |k| base + k)
        };
        self.taps.iter().flat_map(of).collect()
    }

    /// Zeros, and states `which` (0 hidden, 1 cell) that were before the first cells.
    fn begin(&self, window: &mut [f32], which: usize) {
        let n = self.job.hidden;
        window.fill(0.0);
        let margin = self.job.walk.margin() as i32;
        for lane in 0..self.job.walk.lanes(self.job.size) {
            let [y, x] = self.job.walk.before(lane, self.job.size);
            let at = ((y + 1) * self.stride as i32 + margin + x) as usize * n;
            window[at..at + n].copy_from_slice(&self.job.initial[which * n..][..n]);
        }
    }

    /// Images that are worked at side by side, of `count`.
    fn group(&self, count: usize) -> usize {
        let wanted = ROWS.div_ceil(self.job.walk.widest(self.job.size).max(1));
        wanted.min(count.div_ceil(rayon::current_num_threads())).max(1)
    }
}

/// A product's second factor in panels of tile width.
struct Panels {
    data: Vec<f32>,
    depth: usize,
    columns: usize,
    width: usize,
}

impl Panels {
    fn new(depth: usize, columns: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let width = simd::columns(columns);
        let mut data = vec![0.0; columns.div_ceil(width) * depth * width];
        for (block, panel) in data.chunks_exact_mut((depth * width).max(1)).enumerate() {
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                for (j, v) in row.iter_mut().enumerate().take(columns - block * width) {
                    *v = value(k, block * width + j);
                }
            }
        }
        Self { data, depth, columns, width }
    }

    /// `sums[i] += Σ_k rows[i][offsets[k]] · panel[k]`
    ///
    /// # Safety
    /// Every row's offsets must be readable and every sum writable, and no row may lie in a sum.
    #[inline(always)]
    unsafe fn multiply(&self, rows: &[*const f32], sums: &[*mut f32], offsets: &[i32]) {
        assert!(offsets.len() == self.depth && rows.len() == sums.len());
        let each = simd::rows();
        for (rows, sums) in rows.chunks(each).zip(sums.chunks(each)) {
            for (block, panel) in self.data.chunks_exact(self.depth * self.width).enumerate() {
                let first = block * self.width;
                let mut shifted = [std::ptr::null_mut(); MAX_ROWS];
                for (to, from) in shifted.iter_mut().zip(sums) {
                    *to = from.wrapping_add(first);
                }
                let used = self.width.min(self.columns - first);
                let sums = &shifted[..rows.len()];
                let tile = Tile { rows, offsets, b: panel.as_ptr(), stride: self.width, sums, used, fresh: false };
                // SAFETY: the caller's promise; a panel holds a row of `width` for each offset.
                unsafe { simd::multiply(&tile, self.width) };
            }
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + math::exp(-x))
}

/// Applies a function to every element, in vectors of known length.
#[inline(always)]
fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        for v in block {
            *v = f(*v);
        }
    }
    for v in rest {
        *v = f(*v);
    }
}

/// Sums of the gates i, f, g, o of a cell to their values.
#[inline(always)]
fn activate(gates: &mut [f32], n: usize) {
    let (before, rest) = gates.split_at_mut(2 * n);
    let (candidate, output) = rest.split_at_mut(n);
    each(before, sigmoid);
    each(candidate, math::tanh);
    each(output, sigmoid);
}

/// Calls `$work` with the range of each vector of `0..$n`, whose length is known where it is a whole one.
macro_rules! in_vectors {
    ($n:expr, |$range:ident| $work:expr) => {
        let whole = $n - $n % LANES;
        for first in (0..whole).step_by(LANES) {
            let $range = first..first + LANES;
            $work
        }
        if whole < $n {
            let $range = whole..$n;
            $work
        }
    };
}

/// c ← f·c + i·g, h = o·tanh c
#[inline(always)]
fn advance(gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    let n = cell.len();
    let (i, rest) = gates.split_at(n);
    let (f, rest) = rest.split_at(n);
    let (g, o) = rest.split_at(n);
    in_vectors!(n, |range| {
        let (i, f, g, o) = (&i[range.clone()], &f[range.clone()], &g[range.clone()], &o[range.clone()]);
        let (cell, hidden) = (&mut cell[range.clone()], &mut hidden[range]);
        for k in 0..cell.len() {
            let c = f[k] * cell[k] + i[k] * g[k];
            cell[k] = c;
            hidden[k] = o[k] * math::tanh(c);
        }
    });
}

/// The gates' values to the gradients of their sums; `d_cell`, the gradient of c that later cells ask for, to that of c₋.
#[inline(always)]
fn retreat(gates: &mut [f32], cell: &[f32], before: &[f32], d_hidden: &[f32], d_cell: &mut [f32]) {
    let n = cell.len();
    let (i, rest) = gates.split_at_mut(n);
    let (f, rest) = rest.split_at_mut(n);
    let (g, o) = rest.split_at_mut(n);
    in_vectors!(n, |range| {
        let (i, f) = (&mut i[range.clone()], &mut f[range.clone()]);
        let (g, o) = (&mut g[range.clone()], &mut o[range.clone()]);
        let (cell, before) = (&cell[range.clone()], &before[range.clone()]);
        let (d_hidden, d_cell) = (&d_hidden[range.clone()], &mut d_cell[range]);
        for k in 0..cell.len() {
            let squashed = math::tanh(cell[k]);
            let dh = d_hidden[k];
            let dc = d_cell[k] + dh * o[k] * (1.0 - squashed * squashed);
            let (di, df, dg) = (dc * g[k], dc * before[k], dc * i[k]);
            d_cell[k] = dc * f[k];
            i[k] = di * i[k] * (1.0 - i[k]);
            f[k] = df * f[k] * (1.0 - f[k]);
            g[k] = dg * (1.0 - g[k] * g[k]);
            o[k] = dh * squashed * o[k] * (1.0 - o[k]);
        }
    });
}

/// Hidden states.
pub fn forward(job: &ScanJob<'_, f32>, output: &mut [f32]) {
    let n = job.hidden;
    let size = job.cells() * n;
    if output.is_empty() {
        return;
    }
    let plan = Plan::new(job);
    let panels = Panels::new(plan.taps.len() * n, 4 * n, |k, j| job.weights[k * 4 * n + j]);
    let offsets = plan.offsets(n, 1);
    let group = plan.group(output.len() / size);
    let rows = group * job.walk.widest(job.size);
    let chains = job.walk.lanes(job.size) * n;
    let parts = output.par_chunks_mut(group * size).zip(job.sums.par_chunks(4 * group * size));
    parts.for_each(|(output, sums)| {
        scratch::with(group * (plan.len * n + chains) + rows * 4 * n, |room| {
            let (windows, rest) = room.split_at_mut(group * plan.len * n);
            let (chains, gates) = rest.split_at_mut(group * chains);
            simd::dispatch(Forward { plan: &plan, panels: &panels, offsets: &offsets, output, sums, windows, chains, gates });
        });
    });
}

struct Forward<'a> {
    plan: &'a Plan<'a>,
    panels: &'a Panels,
    offsets: &'a [i32],
    output: &'a mut [f32],
    sums: &'a [f32],
    /// For each image hidden states with a margin around them.
    windows: &'a mut [f32],
    /// For each image and lane the cell state.
    chains: &'a mut [f32],
    gates: &'a mut [f32],
}

impl simd::Job for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { plan, panels, offsets, output, sums, windows, chains, gates } = self;
        let n = plan.job.hidden;
        let (size, window) = (plan.job.cells() * n, plan.len * n);
        let images = output.len() / size;
        let chain = chains.len() / (windows.len() / window);
        for w in windows.chunks_exact_mut(window).take(images) {
            plan.begin(w, 0);
        }
        for state in chains.chunks_exact_mut(n) {
            state.copy_from_slice(&plan.job.initial[n..]);
        }
        let mut origins: Vec<*const f32> = Vec::with_capacity(gates.len() / (4 * n));
        let mut targets: Vec<*mut f32> = Vec::with_capacity(gates.len() / (4 * n));
        for step in plan.steps.windows(2) {
            let cells = &plan.cells[step[0]..step[1]];
            origins.clear();
            targets.clear();
            for image in 0..images {
                for cell in cells {
                    let row = targets.len();
                    let own = &mut gates[row * 4 * n..(row + 1) * 4 * n];
                    own.copy_from_slice(&sums[4 * (image * size + cell.image * n)..][..4 * n]);
                    targets.push(own.as_mut_ptr());
                    origins.push(windows[image * window + cell.window * n..].as_ptr());
                }
            }
            // SAFETY: a cell's neighbours lie within the window's margin; sums lie in another buffer.
            unsafe { panels.multiply(&origins, &targets, offsets) };
            let mut rows = gates.chunks_exact_mut(4 * n);
            for image in 0..images {
                for (cell, gates) in cells.iter().zip(&mut rows) {
                    let at = image * size + cell.image * n;
                    let own = &mut output[at..at + n];
                    activate(gates, n);
                    advance(gates, &mut chains[image * chain + cell.lane * n..][..n], own);
                    windows[image * window + cell.window * n..][..n].copy_from_slice(own);
                }
            }
        }
    }
}

/// What `op::ScanAdjoint` makes.
pub fn adjoint(job: &ScanJob<'_, f32>, upstream: &[f32], hidden: &[f32], output: &mut [f32]) {
    let n = job.hidden;
    let size = job.cells() * n;
    if upstream.is_empty() {
        return output.fill(0.0);
    }
    let plan = Plan::new(job);
    let depth = plan.taps.len();
    let forward = Panels::new(depth * n, 4 * n, |k, j| job.weights[k * 4 * n + j]);
    let back = Panels::new(depth * 4 * n, n, |k, unit| job.weights[(k / (4 * n) * n + unit) * 4 * n + k % (4 * n)]);
    let offsets = [plan.offsets(n, 1), plan.offsets(4 * n, -1)];
    let group = plan.group(upstream.len() / size);
    let rows = group * job.walk.widest(job.size);
    let chains = job.walk.lanes(job.size) * n;
    let len = job.adjoint_len();
    let inputs = job.sums.par_chunks(4 * group * size).zip(upstream.par_chunks(group * size)).zip(hidden.par_chunks(group * size));
    output.par_chunks_mut(group * len).zip(inputs).for_each(|(output, ((sums, upstream), hidden))| {
        scratch::with(group * (6 * plan.len * n + chains) + rows * n, |room| {
            let (windows, rest) = room.split_at_mut(group * 6 * plan.len * n);
            let (chains, d_hidden) = rest.split_at_mut(group * chains);
            let panels = [&forward, &back];
            simd::dispatch(Adjoint { plan: &plan, panels, offsets: &offsets, output, sums, upstream, hidden, windows, chains, d_hidden });
        });
    });
}

struct Adjoint<'a> {
    plan: &'a Plan<'a>,
    panels: [&'a Panels; 2],
    offsets: &'a [Vec<i32>; 2],
    output: &'a mut [f32],
    sums: &'a [f32],
    upstream: &'a [f32],
    hidden: &'a [f32],
    /// For each image with a margin around them: gates, hidden states, cell states.
    windows: &'a mut [f32],
    /// For each image and lane the gradient of the cell state.
    chains: &'a mut [f32],
    d_hidden: &'a mut [f32],
}

impl simd::Job for Adjoint<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { plan, panels, offsets, output, sums, upstream, hidden, windows, chains, d_hidden } = self;
        let n = plan.job.hidden;
        let size = plan.job.cells() * n;
        let images = upstream.len() / size;
        let window = plan.len * n;
        let chain = chains.len() / (windows.len() / (6 * window));
        let mut origins: Vec<*const f32> = Vec::with_capacity(plan.cells.len());
        let mut targets: Vec<*mut f32> = Vec::with_capacity(plan.cells.len());
        for image in 0..images {
            let own = &mut windows[image * 6 * window..(image + 1) * 6 * window];
            let (gates, states) = own.split_at_mut(4 * window);
            let (hiddens, cell_states) = states.split_at_mut(window);
            gates.fill(0.0);
            plan.begin(hiddens, 0);
            plan.begin(cell_states, 1);
            origins.clear();
            targets.clear();
            for cell in &plan.cells {
                let from = image * size + cell.image * n;
                hiddens[cell.window * n..][..n].copy_from_slice(&hidden[from..from + n]);
                gates[cell.window * 4 * n..][..4 * n].copy_from_slice(&sums[4 * from..4 * (from + n)]);
            }
            for cell in &plan.cells {
                origins.push(hiddens[cell.window * n..].as_ptr());
                targets.push(gates[cell.window * 4 * n..].as_mut_ptr());
            }
            // SAFETY: a cell's neighbours lie within the window's margin; sums lie in another buffer.
            unsafe { panels[0].multiply(&origins, &targets, &offsets[0]) };
            let carry = plan.jump(plan.job.walk.carry());
            for cell in &plan.cells {
                let gates = &mut gates[cell.window * 4 * n..][..4 * n];
                activate(gates, n);
                let (own, before) = (cell.window * n, (cell.window as i32 + carry) as usize * n);
                for k in 0..n {
                    cell_states[own + k] = gates[n + k] * cell_states[before + k] + gates[k] * gates[2 * n + k];
                }
            }
        }
        chains.fill(0.0);
        for step in plan.steps.windows(2).rev() {
            let cells = &plan.cells[step[0]..step[1]];
            origins.clear();
            targets.clear();
            for image in 0..images {
                for cell in cells {
                    let row = targets.len();
                    let own = &mut d_hidden[row * n..(row + 1) * n];
                    own.copy_from_slice(&upstream[image * size + cell.image * n..][..n]);
                    targets.push(own.as_mut_ptr());
                    origins.push(windows[image * 6 * window + cell.window * 4 * n..].as_ptr());
                }
            }
            // SAFETY: as above; what a later cell gave back stands where its gates were, and the margin holds zeros.
            unsafe { panels[1].multiply(&origins, &targets, &offsets[1]) };
            let carry = plan.jump(plan.job.walk.carry());
            let mut rows = d_hidden.chunks_exact(n);
            for image in 0..images {
                let own = &mut windows[image * 6 * window..(image + 1) * 6 * window];
                let (gates, states) = own.split_at_mut(4 * window);
                let cell_states = &states[window..];
                for (cell, d_hidden) in cells.iter().zip(&mut rows) {
                    let before = (cell.window as i32 + carry) as usize * n;
                    retreat(
                        &mut gates[cell.window * 4 * n..][..4 * n],
                        &cell_states[cell.window * n..][..n],
                        &cell_states[before..before + n],
                        d_hidden,
                        &mut chains[image * chain + cell.lane * n..][..n],
                    );
                }
            }
        }
        for (image, out) in output.chunks_exact_mut(plan.job.adjoint_len()).enumerate() {
            let gates = &windows[image * 6 * window..][..4 * window];
            collect(plan, gates, &chains[image * chain..(image + 1) * chain], out);
        }
    }
}

/// Gathers an image's gradients.
fn collect(plan: &Plan<'_>, gates: &[f32], chains: &[f32], out: &mut [f32]) {
    let (n, walk, size) = (plan.job.hidden, plan.job.walk, plan.job.size);
    let (dz, rest) = out.split_at_mut(plan.job.cells() * 4 * n);
    let (met, d_cell) = rest.split_at_mut(plan.taps.len() * 4 * n);
    for cell in &plan.cells {
        dz[cell.image * 4 * n..][..4 * n].copy_from_slice(&gates[cell.window * 4 * n..][..4 * n]);
    }
    met.fill(0.0);
    for (tap, met) in plan.taps.iter().zip(met.chunks_exact_mut(4 * n)) {
        for cell in &plan.cells {
            if walk.read([cell.image / size[1], cell.image % size[1]], *tap, size) == Read::Initial {
                let own = &gates[cell.window * 4 * n..][..4 * n];
                met.iter_mut().zip(own).for_each(|(m, d)| *m += d);
            }
        }
    }
    d_cell.fill(0.0);
    for chain in chains.chunks_exact(n) {
        d_cell.iter_mut().zip(chain).for_each(|(d, c)| *d += c);
    }
}
