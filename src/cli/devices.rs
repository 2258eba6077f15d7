//! `kiln devices`.

use serde_json::json;

use super::output::Output;
use crate::error::Result;
use crate::runtime::{Device, Listed};
use crate::wait::Wait;

/// Lists what can run plans.
pub fn run(output: &Output) -> Result<()> {
    let adapters = Device::list().wait();
    let taken = Device::open("auto").wait().map(|d| d.name()).unwrap_or_else(|_| "cpu".into());
    // Of equal cards the first.
    let auto = adapters.iter().position(|adapter| adapter.name == taken);
    let mut words = String::new();
    for (number, adapter) in adapters.iter().enumerate() {
        let mark = if auto == Some(number) { "→" } else { " " };
        words += &format!("{mark} {number:>2}  {}\n       {}\n", adapter.name, adapter.details);
    }
    words += &format!("auto takes {taken}; --device takes a number or a part of a name");
    let row = |(number, a): (usize, &Listed)| json!({"index": number, "name": a.name, "details": a.details, "auto": auto == Some(number)});
    let rows: Vec<_> = adapters.iter().enumerate().map(row).collect();
    output.result(&words, &json!({"devices": rows, "auto": taken}))
}
