//! Scans in `f32`: a few images side by side, all steps of them, states and weights in cache; nothing waits for another task.
//!
//! Of the forward pass only hidden states are kept. Its adjoint makes the gates again from them, all at once, since by then no gate
//! waits for another.

mod adjoint;
mod cell;
mod forward;
pub(crate) mod oracle;
mod side;

pub use adjoint::adjoint;
pub use forward::forward;
pub use side::Cells;

use crate::native::simd::{self, MAX_ROWS, Tile};
use crate::tensor::{Gating, Walk};

/// A recurrence over images; see `op::Scan`.
pub struct ScanJob<'a, T> {
    /// The order of the cells.
    pub walk: Walk,
    /// The cell.
    pub gating: Gating,
    /// Height and width.
    pub size: [usize; 2],
    /// Hidden units, h.
    pub hidden: usize,
    /// What the input adds to the gates, `[N, H, W, 4h]`.
    pub sums: &'a [T],
    /// `[taps, h, 4h]`, of a GRU `[taps, h, 3h]`.
    pub weights: &'a [T],
    /// Hidden and cell state before the first cells, `[2, h]`, of a GRU `[1, h]`.
    pub initial: &'a [T],
}

impl<T> ScanJob<'_, T> {
    /// Cells of an image.
    pub fn cells(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Columns of the weights: gates that hidden states enter.
    fn entered(&self) -> usize {
        self.gating.entered() * self.hidden
    }

    /// Elements that the adjoint makes of an image.
    pub fn adjoint_len(&self) -> usize {
        self.walk.adjoint_len([self.size[0], self.size[1], self.hidden])
    }
}

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

    /// Offsets that a product over the first `used` of `channels` channels of each tap gathers; `sign` −1 goes the other way.
    fn offsets(&self, [used, channels]: [usize; 2], sign: i32) -> Vec<i32> {
        let of = |tap: &[i32; 2]| {
            let base = sign * self.jump(*tap) * channels as i32;
            (0..used as i32).map(move |k| base + k)
        };
        self.taps.iter().flat_map(of).collect()
    }

    /// Zeros, and the states of a row of the initial ones before the first cells.
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
        wanted.min(count.div_ceil(crate::parallel::current_num_threads())).max(1)
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
