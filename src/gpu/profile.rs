//! How long each kernel of a program takes.

use web_time::Instant;

use super::dispatch::Dispatch;
use super::program::GpuProgram;
use crate::error::Result;
use crate::graph::Step;
use crate::timing::{Clock, StageTime};

/// Dispatches timed by one query set (sets hold 4096 queries at most, and some drivers fewer).
const BATCH: usize = 512;
/// Device time beyond wall time by which timestamps are taken to be wrong.
const PLAUSIBLE: f64 = 1.25;

impl GpuProgram {
    /// Runs the plan once and times each dispatch: by timestamps where the adapter has them and they make sense beside the wall clock,
    /// else by submitting and waiting (which adds the cost of a submit, tens of microseconds, to each).
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device was lost or refused a command.
    pub async fn profile(&mut self, step: &Step) -> Result<Vec<StageTime>> {
        self.gpu.check()?;
        let begun = Instant::now();
        self.write_step(step);
        // Software drivers stamp a command when its threads are set to work, so that one dispatch's time falls to the next.
        let stamps = self.gpu.inner().device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let stamped = stamps && !self.gpu.description().is_cpu;
        let mut times = Vec::with_capacity(self.dispatches.len());
        for batch in self.dispatches.chunks(BATCH) {
            let (clock, spans) = match if stamped { self.stamp(batch, begun).await? } else { None } {
                Some(spans) => (Clock::Timestamps, spans),
                None => (Clock::Submits, self.clock(batch, begun).await?),
            };
            times.extend(batch.iter().zip(spans).map(|(d, [start, seconds])| StageTime {
                name: d.name,
                kernel: d.kernel,
                start,
                seconds,
                clock,
                flops: d.flops,
                bytes: d.bytes,
                choice: d.choice.clone(),
            }));
        }
        Ok(times)
    }

    /// Start and length of each dispatch: one pass each, with a timestamp at either end; `None` where they make no sense.
    async fn stamp(&self, batch: &[Dispatch], begun: Instant) -> Result<Option<Vec<[f64; 2]>>> {
        let inner = self.gpu.inner();
        let count = 2 * batch.len() as u32;
        let set = inner.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count });
        let bytes = 8 * u64::from(count);
        let resolved = self.gpu.buffer("timestamps", bytes, wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC)?;
        let staging = self.gpu.staging(2 * count as usize)?;
        let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
        for (at, dispatch) in (0u32..).zip(batch) {
            let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(2 * at),
                end_of_pass_write_index: Some(2 * at + 1),
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some(dispatch.name), timestamp_writes });
            record(&mut pass, dispatch);
        }
        encoder.resolve_query_set(&set, 0..count, &resolved, 0);
        let start = Instant::now();
        let submitted = begun.elapsed().as_secs_f64();
        inner.queue.submit([encoder.finish()]);
        let copied = self.gpu.stage(&resolved, 0, &staging, bytes);
        let ticks: Vec<u64> = self.gpu.collect(&staging, bytes, copied).await?;
        let wall = start.elapsed().as_secs_f64();
        let period = f64::from(inner.queue.get_timestamp_period()) * 1e-9;
        let between = |from: u64, to: u64| to.saturating_sub(from) as f64 * period;
        let spans: Vec<[f64; 2]> = ticks.chunks(2).map(|t| [submitted + between(ticks[0], t[0]), between(t[0], t[1])]).collect();
        let total: f64 = spans.iter().map(|s| s[1]).sum();
        Ok((total > 0.0 && total <= PLAUSIBLE * wall).then_some(spans))
    }

    async fn clock(&self, batch: &[Dispatch], begun: Instant) -> Result<Vec<[f64; 2]>> {
        let inner = self.gpu.inner();
        self.gpu.finish().await?;
        let mut spans = Vec::with_capacity(batch.len());
        for dispatch in batch {
            let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            record(&mut pass, dispatch);
            drop(pass);
            let start = begun.elapsed().as_secs_f64();
            let submission = inner.queue.submit([encoder.finish()]);
            self.gpu.wait(Some(submission)).await?;
            spans.push([start, begun.elapsed().as_secs_f64() - start]);
        }
        Ok(spans)
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch) {
    pass.set_pipeline(&dispatch.pipeline);
    pass.set_bind_group(0, &dispatch.bind_group, &[]);
    let [x, y, z] = dispatch.groups;
    pass.dispatch_workgroups(x, y, z);
}
