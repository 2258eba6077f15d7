//! Where a convolution reads and writes: tables of offsets into a zero-padded copy of one image.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use crate::native::{Evaluator, Operand};
use crate::tensor::Gather;
use crate::tensor::{Expr, Shape, Step};

/// Geometries a thread keeps.
const KEPT: usize = 256;

type Known = (Gather, [usize; 2], Rc<Geometry>);

thread_local! {
    /// Bands ask for the same few again and again.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// One image's layout for a gather: the window of source positions it touches, and its tables.
pub struct Geometry {
    /// First row and column of the window in the source; negative where padding is read.
    pub first: [i32; 2],
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Tables of each phase.
    pub phases: Vec<PhaseTables>,
}

/// Offsets of one phase, in elements.
pub struct PhaseTables {
    /// Origin of each position in the window.
    pub origins: Vec<i32>,
    /// Offset of each (tap, channel) from an origin.
    pub offsets: Vec<i32>,
    /// Where each position's output goes within an image.
    pub targets: Vec<u32>,
    /// Weight tap of each tap.
    pub taps: Vec<usize>,
}

impl Geometry {
    /// Tables for images of `channels` = [source, destination] channels.
    pub fn of(gather: &Gather, channels: [usize; 2]) -> Rc<Self> {
        KNOWN.with_borrow_mut(|known| {
            if let Some((.., geometry)) = known.iter().find(|(g, c, _)| *c == channels && g == gather) {
                return Rc::clone(geometry);
            }
            if known.len() == KEPT {
                known.clear();
            }
            let geometry = Rc::new(Self::new(gather, channels));
            known.push((gather.clone(), channels, Rc::clone(&geometry)));
            geometry
        })
    }

    fn new(gather: &Gather, channels: [usize; 2]) -> Self {
        let (mut low, mut high) = ([0i32; 2], [1i32; 2]);
        let mut seen = false;
        for phase in &gather.phases {
            for (offset, _) in &phase.taps {
                for a in 0..2 {
                    let last = offset[a] + (gather.step_source * (phase.extent[a] - 1)) as i32;
                    low[a] = if seen { low[a].min(offset[a]) } else { offset[a] };
                    high[a] = if seen { high[a].max(last + 1) } else { last + 1 };
                }
                seen = true;
            }
        }
        let window = [0, 1].map(|a| (high[a] - low[a]) as usize);
        let [cs, cd] = channels;
        let place = |row: i32, column: i32| (row * window[1] as i32 + column) * cs as i32;
        let phases = gather
            .phases
            .iter()
            .map(|phase| {
                let positions = || (0..phase.extent[0]).flat_map(|y| (0..phase.extent[1]).map(move |x| [y, x]));
                let s = gather.step_source;
                let origins = positions().map(|[y, x]| place((s * y) as i32 - low[0], (s * x) as i32 - low[1])).collect();
                let target = |[y, x]: [usize; 2]| {
                    let [row, column] = [phase.origin[0] + gather.step_dest * y, phase.origin[1] + gather.step_dest * x];
                    ((row * gather.dest[1] + column) * cd) as u32
                };
                let channel = |offset: [i32; 2]| (0..cs as i32).map(move |c| place(offset[0], offset[1]) + c);
                PhaseTables {
                    origins,
                    offsets: phase.taps.iter().flat_map(|(offset, _)| channel(*offset)).collect(),
                    targets: positions().map(target).collect(),
                    taps: phase.taps.iter().map(|(_, t)| *t).collect(),
                }
            })
            .collect();
        Self { first: low, window, phases }
    }

    /// Elements of the window.
    pub fn len(&self, channels: usize) -> usize {
        self.window[0] * self.window[1] * channels
    }

    /// Copies one source image into the window through `read`, zeros around it.
    pub fn fill(&self, image: &[f32], size: [usize; 2], channels: usize, read: Reader<'_>, window: &mut [f32]) {
        self.fill_rows(0..self.window[0], image, size, channels, read, window);
    }

    /// Copies what some rows of the window take of a source image.
    pub fn fill_rows(
        &self,
        rows: Range<usize>,
        image: &[f32],
        [height, width]: [usize; 2],
        channels: usize,
        read: Reader<'_>,
        window: &mut [f32],
    ) {
        let row = self.window[1] * channels;
        let left = (-self.first[1]).max(0) as usize;
        let skipped = self.first[1].max(0) as usize;
        let count = self.window[1].saturating_sub(left).min(width.saturating_sub(skipped)) * channels;
        let left = left * channels;
        read.with(image, |read| {
            for (y, target) in window.chunks_exact_mut(row).enumerate().take(rows.end.min(self.window[0])).skip(rows.start) {
                let from = y as i32 + self.first[0];
                if from < 0 || from >= height as i32 || count == 0 {
                    target.fill(0.0);
                    continue;
                }
                target[..left].fill(0.0);
                read((from as usize * width + skipped) * channels, &mut target[left..left + count]);
                target[left + count..].fill(0.0);
            }
        });
    }
}

/// What source values are read through: a program, or nothing.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Its input 0 is the value.
    pub prologue: Option<&'a Expr>,
    /// The step's seed and counters.
    pub step: &'a Step,
}

impl Reader<'_> {
    /// Copies all of `source` to `target`.
    pub fn copy(self, source: &[f32], target: &mut [f32]) {
        self.with(source, |read| read(0, target));
    }

    /// Hands `work` a function that copies elements from a place of `source` on.
    fn with(self, source: &[f32], work: impl FnOnce(&dyn Fn(usize, &mut [f32]))) {
        match self.prologue {
            None => work(&|start, target| target.copy_from_slice(&source[start..start + target.len()])),
            Some(expr) => {
                let shape = Shape::from([source.len()]);
                let operands = [Operand::new(source, &shape, &shape)];
                let evaluator = Evaluator::new(expr, &operands, &shape, self.step);
                work(&|start, target| evaluator.run(start, target));
            }
        }
    }
}
