//! The raster sampler on the GPU: the steps of rows and positions as one kernel, compiled from the network's own graph.

use std::ops::Range;
use web_time::Instant;

use super::kernel::{ALONE, Compiled, kernel};
use super::parts::{Part, Parts};
use super::program::RasterProgram;
use super::{Drawn, Job, Watch};
use crate::error::Result;
use crate::gpu::{Gpu, Standalone};
use crate::graph::Shape;
use crate::model::Law;
use crate::runtime::Spent;
use crate::shader::Access;

/// Longest a dispatch should run, in seconds.
const LONGEST: f64 = 0.05;
/// Images that one set of buffers draws.
const MOST_IMAGES: usize = 1024;

/// Buffers of the kernel, in binding order.
#[derive(Clone, Copy)]
enum Buffer {
    Step,
    Job,
    Constants,
    Kept,
    Table,
    Features,
    Images,
    LogP,
}

/// A network ready to sample on an adapter.
pub struct DeviceSampler {
    gpu: Gpu,
    text: String,
    table: Vec<u32>,
    alone: bool,
    parts: Parts,
    constants: Vec<u32>,
    /// Elements of one image, and of one image's features.
    item: usize,
    features: usize,
    positions: usize,
    /// Positions of a row.
    width: usize,
    /// For each feature that is given: its first element within an image's features, and how many there are.
    given: Vec<[usize; 2]>,
    /// The kernel with buffers for so many images.
    kernel: Option<(usize, Standalone)>,
}

impl DeviceSampler {
    /// Prepares a program, given the values of its constants. `grouped`: a workgroup draws an image, even if the adapter is a CPU.
    ///
    /// # Errors
    /// As [`kernel`].
    pub fn new(gpu: &Gpu, program: &RasterProgram, law: &Law, constants: &[(Shape, Vec<f32>)], grouped: bool) -> Result<Self> {
        let alone = gpu.target().is_cpu() && !grouped;
        let Compiled { text, features, feature_at, table, constants } = kernel(program, law, constants, gpu.target(), alone)?;
        Ok(Self {
            gpu: gpu.clone(),
            text,
            table,
            alone,
            parts: if alone { Parts::alone(program, law) } else { Parts::whole() },
            constants,
            item: program.size[0] * program.size[1] * program.features[0].channels,
            features,
            positions: program.size[0] * program.size[1],
            width: program.size[1],
            given: program
                .given
                .iter()
                .map(|(f, _)| [feature_at[*f], program.features[*f].channels * program.features[*f].places(program.size[1])])
                .collect(),
            kernel: None,
        })
    }

    /// Draws (or completes) images, or none once `watch` ends it; nothing is read back before they are done, but for what it wants. Adds to `spent` where the time went. `given` holds the
    /// values of [`RasterProgram::given`] for all of them, in that order.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device was lost or the images do not fit.
    pub async fn sample(&mut self, job: &Job<'_>, given: &[Vec<f32>], spent: &mut Spent, watch: &dyn Watch) -> Result<Option<Drawn>> {
        let mut drawn = Drawn { images: Vec::new(), log_p: Vec::new() };
        for start in (0..job.count).step_by(MOST_IMAGES) {
            let count = MOST_IMAGES.min(job.count - start);
            match self.part(job, given, start..start + count, spent, watch).await? {
                Some(part) => {
                    drawn.images.extend(part.images);
                    drawn.log_p.extend(part.log_p);
                }
                None => return Ok(None),
            }
        }
        Ok(Some(drawn))
    }

    /// Elements of some images' features before the first is drawn: zeros, and what is given.
    fn first_features(&self, given: &[Vec<f32>], start: usize, count: usize) -> Vec<u32> {
        let mut words = vec![0; count * self.features];
        for ([at, len], values) in self.given.iter().zip(given) {
            for (image, words) in words.chunks_exact_mut(self.features).enumerate() {
                let values = &values[(start + image) * len..][..*len];
                words[*at..at + len].iter_mut().zip(values).for_each(|(word, value)| *word = value.to_bits());
            }
        }
        words
    }

    /// What is dispatched for the positions from `at` up to `last`: positions, and the part of what is done at each.
    fn dispatches(&self, at: usize, last: usize) -> Vec<(usize, usize, Part)> {
        let Parts { row, pixel, most } = &self.parts;
        let mut found = Vec::new();
        let mut at = at;
        while at < last {
            let begins = at.is_multiple_of(self.width);
            found.extend(row.iter().filter(|_| begins).map(|part| (at, at + 1, *part)));
            let end = at.saturating_add(*most).min(last);
            // What is done before a row is a part of its own: positions of one row at a time.
            let end = if row.is_empty() { end } else { end.min((at / self.width + 1) * self.width) };
            found.extend(pixel.iter().map(|part| (at, end, *part)));
            at = end;
        }
        found
    }

    async fn part(
        &mut self,
        job: &Job<'_>,
        given: &[Vec<f32>],
        part: Range<usize>,
        spent: &mut Spent,
        watch: &dyn Watch,
    ) -> Result<Option<Drawn>> {
        let (start, count) = (part.start, part.len());
        if self.kernel.as_ref().is_none_or(|(made, _)| *made != count) {
            let sizes = [
                (Access::Read, 12),
                (Access::Read, 14),
                (Access::Read, self.constants.len()),
                (Access::Read, self.item),
                (Access::Read, self.table.len()),
                (Access::ReadWrite, count * self.features),
                (Access::ReadWrite, count * self.item),
                (Access::ReadWrite, count),
            ];
            let kernel = Standalone::new(&self.gpu, "raster", self.text.clone(), &sizes)?;
            kernel.upload(Buffer::Constants as usize, &self.constants);
            kernel.upload(Buffer::Table as usize, &self.table);
            self.kernel = Some((count, kernel));
        }
        let Some((_, kernel)) = &self.kernel else { return Ok(None) };
        let begun = Instant::now();
        kernel.upload(Buffer::Step as usize, &[job.seed as u32, (job.seed >> 32) as u32, 0, (job.first + start) as u32]);
        kernel.upload(Buffer::Features as usize, &self.first_features(given, start, count));
        kernel.upload(Buffer::LogP as usize, &vec![0; count]);
        if let Some((values, kept)) = job.keep {
            let given = &values[start * self.item..(start + count) * self.item];
            kernel.upload(Buffer::Images as usize, &given.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            kernel.upload(Buffer::Kept as usize, &kept.iter().map(|k| u32::from(*k)).collect::<Vec<_>>());
        }
        spent.transfers += begun.elapsed().as_secs_f64();
        // Short dispatches first; as long as the budget allows once it is known what a position takes.
        let groups = if self.alone { (count as u32).div_ceil(ALONE) } else { count as u32 };
        let mut at = 0;
        let mut each = 1;
        while at < self.positions {
            if watch.stops() {
                return Ok(None);
            }
            let last = (at + each).min(self.positions);
            let begun = Instant::now();
            for (from, to, part) in self.dispatches(at, last) {
                let words = [from as u32, to as u32, (1.0 / job.temperature).to_bits(), u32::from(job.keep.is_some()), count as u32];
                kernel.upload(Buffer::Job as usize, &[&words[..], &part.words()].concat());
                kernel.dispatch([groups, 1, 1]);
            }
            let host = begun.elapsed().as_secs_f64();
            kernel.finish().await?;
            let took = begun.elapsed().as_secs_f64();
            spent.host += host;
            spent.kernels += took - host;
            if each < self.positions {
                // The first dispatch may compile the kernel, so it says little; growth is bounded for the same reason.
                let room = (LONGEST / took.max(1e-6) * each as f64) as usize;
                each = room.clamp(1, each * 4);
            }
            at = last;
            if watch.wants() && at < self.positions {
                watch.drawn(start, self.item, &kernel.read(Buffer::Images as usize, count * self.item).await?, at);
            }
        }
        let begun = Instant::now();
        let images = kernel.read(Buffer::Images as usize, count * self.item).await?;
        let log_p = kernel.read(Buffer::LogP as usize, count).await?.into_iter().map(f64::from).collect();
        spent.transfers += begun.elapsed().as_secs_f64();
        Ok(Some(Drawn { images, log_p }))
    }
}
