//! An earlier result of the same bench, which a new one is set beside.

use serde_json::Value;

use super::args::BenchArgs;
use crate::error::{Error, Result};

/// Rows of an earlier `--json` result; none where none was asked for.
pub struct Earlier {
    rows: Vec<Value>,
}

impl Earlier {
    /// What `--compare` names.
    ///
    /// # Errors
    /// [`Error::Io`] where there is no such file; [`Error::Format`] where it is no such result.
    pub fn asked(args: &BenchArgs) -> Result<Self> {
        let Some(path) = &args.compare else { return Ok(Self { rows: Vec::new() }) };
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let parsed: Value = serde_json::from_str(&text).map_err(|e| Error::format(path, format!("is not JSON: {e}")))?;
        let rows = parsed["rows"].as_array().cloned();
        Ok(Self { rows: rows.ok_or_else(|| Error::format(path, "is no result of kiln bench --json (it has no rows)"))? })
    }

    /// How much faster a row is than the one that agrees with it in `keys`, by its seconds `time`; empty where there is none.
    pub fn ratio(&self, row: &Value, keys: &[&str], time: &str) -> String {
        let same = |other: &&Value| keys.iter().all(|key| other[*key] == row[*key]);
        match (self.rows.iter().find(same).and_then(|old| old[time].as_f64()), row[time].as_f64()) {
            (Some(before), Some(now)) => format!("  {:.2}× as fast", before / now),
            (None, _) if !self.rows.is_empty() => "  not measured before".into(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_is_set_beside_its_like() {
        let earlier = Earlier { rows: vec![json!({"workload": "a", "batch": 8, "step_s": 3.0})] };
        let told = |row: Value| earlier.ratio(&row, &["workload", "batch"], "step_s");
        assert_eq!(told(json!({"workload": "a", "batch": 8, "step_s": 1.5})), "  2.00× as fast");
        assert_eq!(told(json!({"workload": "a", "batch": 16, "step_s": 1.5})), "  not measured before");
        assert_eq!(Earlier { rows: Vec::new() }.ratio(&json!({}), &[], "step_s"), "");
    }
}
