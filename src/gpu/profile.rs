//! How long each kernel of a program takes.

use std::sync::Arc;
use std::time::Instant;

use super::program::{Dispatch, GpuProgram};
use crate::error::Result;
use crate::graph::Step;
use crate::shader::Choice;

/// One dispatch's time.
#[derive(Clone, Debug)]
pub struct StageTime {
    /// The operation.
    pub name: &'static str,
    /// The kernel file.
    pub kernel: &'static str,
    /// Seconds on the device.
    pub seconds: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must move at least.
    pub bytes: u64,
    /// The variant taken for the launch it belongs to, on an adapter.
    pub choice: Option<Arc<Choice>>,
}

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
    pub fn profile(&mut self, step: &Step) -> Result<Vec<StageTime>> {
        self.gpu.check()?;
        self.write_step(step);
        let stamped = self.gpu.inner().device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let mut times = Vec::with_capacity(self.dispatches.len());
        for batch in self.dispatches.chunks(BATCH) {
            let seconds = match if stamped { self.stamp(batch)? } else { None } {
                Some(seconds) => seconds,
                None => self.clock(batch)?,
            };
            times.extend(batch.iter().zip(seconds).map(|(d, seconds)| StageTime {
                name: d.name,
                kernel: d.kernel,
                seconds,
                flops: d.flops,
                bytes: d.bytes,
                choice: d.choice.clone(),
            }));
        }
        Ok(times)
    }

    /// One pass a dispatch, with a timestamp at either end; `None` where they make no sense.
    fn stamp(&self, batch: &[Dispatch]) -> Result<Option<Vec<f64>>> {
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
        inner.queue.submit([encoder.finish()]);
        let copied = self.gpu.stage(&resolved, 0, &staging, bytes);
        let ticks: Vec<u64> = self.gpu.collect(&staging, bytes, copied)?;
        let wall = start.elapsed().as_secs_f64();
        let period = f64::from(inner.queue.get_timestamp_period()) * 1e-9;
        let seconds: Vec<f64> = ticks.chunks(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period).collect();
        let total: f64 = seconds.iter().sum();
        Ok((total > 0.0 && total <= PLAUSIBLE * wall).then_some(seconds))
    }

    fn clock(&self, batch: &[Dispatch]) -> Result<Vec<f64>> {
        let inner = self.gpu.inner();
        self.gpu.finish()?;
        batch
            .iter()
            .map(|dispatch| {
                let mut encoder = inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                record(&mut pass, dispatch);
                drop(pass);
                let start = Instant::now();
                let submission = inner.queue.submit([encoder.finish()]);
                self.gpu.wait(Some(submission))?;
                Ok(start.elapsed().as_secs_f64())
            })
            .collect()
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch) {
    pass.set_pipeline(&dispatch.pipeline);
    pass.set_bind_group(0, &dispatch.bind_group, &[]);
    let [x, y, z] = dispatch.groups;
    pass.dispatch_workgroups(x, y, z);
}
