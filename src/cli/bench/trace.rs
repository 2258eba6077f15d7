//! A timeline in the JSON of Chrome's trace viewer, which Perfetto (ui.perfetto.dev) opens.
//!
//! One process a workload; one track for what the host does and one for the kernels of profiled runs, microseconds since the beginning.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::error::Result;
use crate::report::write_atomically;
use crate::runtime::{Clock, Device, StageTime};

/// Tracks of a process.
const HOST: u32 = 1;
const KERNELS: u32 = 2;

/// A process of the timeline.
#[derive(Clone, Copy, Debug)]
pub struct Process(usize);

/// A timeline being gathered.
pub struct Trace {
    device: String,
    begun: Instant,
    events: Vec<Value>,
    clocks: Vec<&'static str>,
    processes: usize,
}

impl Trace {
    /// An empty timeline that begins now.
    pub fn new(device: &Device) -> Self {
        Self { device: device.name(), begun: Instant::now(), events: Vec::new(), clocks: Vec::new(), processes: 0 }
    }

    /// Opens a process with its two tracks.
    pub fn process(&mut self, name: &str) -> Process {
        self.processes += 1;
        let pid = self.processes;
        self.events.push(json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}));
        for (tid, track) in [(HOST, "host"), (KERNELS, "kernels of profiled runs")] {
            self.events.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": track}}));
        }
        Process(pid)
    }

    /// Something the host did, `after` seconds after `start` and for `seconds`.
    pub fn host(&mut self, process: Process, name: &str, start: Instant, after: f64, seconds: f64) {
        let at = (start - self.begun).as_secs_f64() + after;
        self.push(process, HOST, (name, "host"), at, seconds, json!({}));
    }

    /// A profiled run that began at `start` and ended now: one event of the host over it, and one a kernel.
    pub fn profiled(&mut self, process: Process, start: Instant, stages: &[StageTime]) {
        self.host(process, "profiled run", start, 0.0, start.elapsed().as_secs_f64());
        let zero = (start - self.begun).as_secs_f64();
        let mut end = 0.0f64;
        for stage in stages {
            // The format has no place for events of a track that overlap in part, as neighbours' timestamps may by a tick.
            let at = (zero + stage.start).max(end);
            end = (zero + stage.start + stage.seconds).max(at);
            let gflops = if stage.seconds > 0.0 { Some(stage.flops as f64 / stage.seconds * 1e-9) } else { None };
            let args = json!({
                "kernel": stage.kernel, "flops": stage.flops, "bytes": stage.bytes, "gflops_per_s": gflops, "clock": stage.clock.as_str(),
            });
            self.push(process, KERNELS, (stage.name, stage.kernel), at, end - at, args);
            if !self.clocks.contains(&stage.clock.as_str()) {
                self.clocks.push(stage.clock.as_str());
            }
        }
    }

    fn push(&mut self, process: Process, track: u32, (name, category): (&str, &str), at: f64, seconds: f64, args: Value) {
        self.events.push(json!({
            "ph": "X", "name": name, "cat": category, "pid": process.0, "tid": track, "ts": 1e6 * at, "dur": 1e6 * seconds, "args": args,
        }));
    }

    /// Writes the timeline.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let means = [
            (Clock::Timestamps, "the device's timestamps, the first of each batch laid on the host's clock at its submit"),
            (Clock::Submits, "the host's clock around a submit and the wait for it, one kernel after the other"),
            (Clock::Calls, "the host's clock around each operation, one after the other and not in bands as a step runs them"),
        ];
        let clocks: serde_json::Map<String, Value> =
            means.iter().filter(|(c, _)| self.clocks.contains(&c.as_str())).map(|(c, words)| (c.as_str().into(), json!(words))).collect();
        let whole = json!({
            "displayTimeUnit": "ms", "traceEvents": self.events,
            "otherData": {"program": "kiln bench", "device": self.device, "kernel_clocks": clocks},
        });
        write_atomically(path, |out| writeln!(out, "{whole}"))
    }
}
