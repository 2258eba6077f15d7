//! `kiln devices`.

use serde_json::json;

use super::output::Output;
use crate::error::Result;
use crate::runtime::Device;

/// Lists what can run plans.
pub fn run(output: &Output) -> Result<()> {
    let adapters = Device::list();
    let taken = Device::open("auto").map(|d| d.name()).unwrap_or_else(|_| "cpu".into());
    let mut words = String::new();
    for adapter in &adapters {
        let mark = if adapter.name == taken { "→" } else { " " };
        words += &format!("{mark} {}\n    {}\n", adapter.name, adapter.details);
    }
    words += &format!("auto takes {taken}");
    let rows: Vec<_> = adapters.iter().map(|a| json!({"name": a.name, "details": a.details, "auto": a.name == taken})).collect();
    output.result(&words, &json!({"devices": rows, "auto": taken}))
}
