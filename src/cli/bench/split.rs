//! Where the time of a step goes.

use std::time::Instant;

use serde_json::{Value, json};

use super::trace::{Process, Trace};
use super::workloads::Compiled;
use crate::error::Result;
use crate::graph::Step;
use crate::runtime::{Clock, Device, Program, Spent, StageTime};
use crate::wait::Wait;

/// Profiled runs, of which the median counts.
const PROFILED: usize = 3;

/// The parts of a step or job, in seconds; together they are the whole, and none is negative.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    whole: f64,
    kernels: f64,
    /// The device's idle moments between kernels; `None` where they are in the kernels' time and cannot be told from it.
    gaps: Option<f64>,
    host: f64,
    transfers: f64,
    /// What the kernels took where each was timed by itself, and by which clock.
    profiled: Option<(f64, Clock)>,
}

/// One step that was waited for at every turn.
struct Phases {
    start: Instant,
    write: f64,
    ran: Spent,
    read: f64,
}

impl Phases {
    fn whole(&self) -> f64 {
        self.write + self.ran.host + self.ran.kernels + self.read
    }

    fn measure(compiled: &mut Compiled, step: &Step) -> Result<Self> {
        let start = Instant::now();
        compiled.write()?;
        let write = start.elapsed().as_secs_f64();
        let ran = compiled.program.run_timed(&mut compiled.state, step).wait()?;
        let reading = Instant::now();
        compiled.program.read(&compiled.state, "loss").wait()?;
        Ok(Self { start, write, ran, read: reading.elapsed().as_secs_f64() })
    }

    fn draw(&self, trace: &mut Trace, process: Process, on_gpu: bool) {
        let parts: &[(&str, f64)] = if on_gpu {
            &[
                ("write inputs", self.write),
                ("record and submit", self.ran.host),
                ("wait for the device", self.ran.kernels),
                ("read loss", self.read),
            ]
        } else {
            &[("write inputs", self.write), ("run", self.ran.host + self.ran.kernels), ("read loss", self.read)]
        };
        let mut after = 0.0;
        for (name, seconds) in parts {
            trace.host(process, name, self.start, after, *seconds);
            after += seconds;
        }
    }
}

impl Split {
    /// Takes `steps` further steps apart, from number `done + 1` on, and draws them. On a GPU each part is waited for before the next
    /// begins, so such a step takes a little longer than one that is not watched.
    ///
    /// # Errors
    /// Those of the device.
    pub fn measure(compiled: &mut Compiled, steps: usize, done: u64, trace: &mut Trace, process: Process) -> Result<Self> {
        let on_gpu = matches!(compiled.program, Program::Gpu(_));
        let mut taken = Vec::with_capacity(steps);
        for at in 1..=steps as u64 {
            let step = compiled.prepared.step(done + at);
            let phases = Phases::measure(compiled, &step)?;
            phases.draw(trace, process, on_gpu);
            taken.push(phases);
        }
        let mut runs = Vec::with_capacity(PROFILED);
        for at in 1..=steps.min(PROFILED) as u64 {
            let step = compiled.prepared.step(done + steps as u64 + at);
            let start = Instant::now();
            let stages = compiled.program.profile(&mut compiled.state, &step).wait()?;
            trace.profiled(process, start, &stages);
            runs.push(profiled(&stages));
        }
        taken.sort_by(|a, b| a.whole().total_cmp(&b.whole()));
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let phases = &taken[taken.len() / 2];
        // The CPU executor's kernels are timed within the step itself; a GPU's are only known from the profiled runs.
        // Drivers may work while the host still records or inside the submit, so the host's part is what the kernels leave of it.
        let run = phases.ran.host + phases.ran.kernels;
        let kernels = if on_gpu { runs[runs.len() / 2].0.min(run) } else { phases.ran.kernels };
        let host = phases.ran.host.min(run - kernels);
        Ok(Self {
            whole: phases.whole(),
            kernels,
            gaps: Some(run - kernels - host),
            host,
            transfers: phases.write + phases.read,
            profiled: on_gpu.then(|| runs[runs.len() / 2]),
        })
    }

    /// The parts of a job of `whole` seconds; what is in no part counts as the host's.
    pub fn of_job(whole: f64, spent: Spent, device: &Device) -> Self {
        let rest = (whole - spent.kernels - spent.host - spent.transfers).max(0.0);
        // Where kernels are only waited for, the gaps between them are in their time.
        let on_gpu = matches!(device, Device::Gpu(_));
        let profiled = on_gpu.then_some((spent.kernels, Clock::Submits));
        let gaps = if on_gpu { None } else { Some(0.0) };
        Self { whole, kernels: spent.kernels, gaps, host: spent.host + rest, transfers: spent.transfers, profiled }
    }

    /// One line under a row.
    pub fn words(&self) -> String {
        let part = |seconds: f64| 100.0 * seconds / self.whole.max(1e-12);
        let how = match self.profiled {
            None => "",
            Some((_, Clock::Timestamps)) => " by timestamps",
            Some(_) => " by the clock, launches included",
        };
        let gaps = self.gaps.map_or_else(|| " with the gaps between them".into(), |gaps| format!(" · gaps {:.1}%", part(gaps)));
        format!(
            "  {:.5} s taken apart: kernels {:.1}%{how}{gaps} · host {:.1}% · transfers {:.1}%\n",
            self.whole,
            part(self.kernels),
            part(self.host),
            part(self.transfers)
        )
    }

    /// As `--json` shows it.
    pub fn json(&self) -> Value {
        let (profiled, clock) = self.profiled.map(|(seconds, clock)| (seconds, clock.as_str())).unzip();
        json!({
            "step_s": self.whole, "kernels_s": self.kernels, "gaps_s": self.gaps, "host_s": self.host, "transfers_s": self.transfers,
            "profiled_kernels_s": profiled, "profiled_by": clock,
        })
    }
}

/// The sum of a profiled run, and the coarsest of its clocks.
fn profiled(stages: &[StageTime]) -> (f64, Clock) {
    let clock = stages.iter().map(|s| s.clock).find(|clock| *clock != Clock::Timestamps).unwrap_or(Clock::Timestamps);
    (stages.iter().map(|s| s.seconds).sum(), clock)
}
