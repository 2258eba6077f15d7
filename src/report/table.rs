//! Tables of numbers and words.

use super::write_atomically;
use crate::{Error, Result};
use std::path::Path;

/// A column of a table.
pub enum Column {
    /// Numbers.
    Numbers(Vec<f64>),
    /// Words, such as dates.
    Words(Vec<String>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Words(words) => words.len(),
        }
    }

    fn field(&self, row: usize) -> String {
        match self {
            Self::Numbers(values) => values[row].to_string(),
            Self::Words(words) => words[row].clone(),
        }
    }
}

/// Writes named columns of one length as a `.csv` with a line of names; what holds commas or quotes is quoted.
///
/// # Errors
/// Columns of different lengths, or a file that cannot be written.
pub fn write_csv(path: &Path, columns: &[(String, Column)]) -> Result<()> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    if let Some((name, column)) = columns.iter().find(|(_, column)| column.len() != rows) {
        return Err(Error::Shape(format!("the column {name} has {} rows, and the first has {rows}", column.len())));
    }
    write_atomically(path, |out| {
        let mut table = csv::Writer::from_writer(out);
        table.write_record(columns.iter().map(|(name, _)| name))?;
        (0..rows).try_for_each(|row| table.write_record(columns.iter().map(|(_, column)| column.field(row))))?;
        table.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_stand_side_by_side_and_what_needs_quotes_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let words = |words: [&str; 2]| Column::Words(words.map(String::from).to_vec());
        let columns = [("date".to_string(), words(["2020-01-01", ""])), ("a,b".to_string(), Column::Numbers(vec![0.5, -2.0]))];
        write_csv(&path, &columns).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "date,\"a,b\"\n2020-01-01,0.5\n,-2\n");
        let uneven = [("a".to_string(), words(["x", "y"])), ("b".to_string(), Column::Numbers(vec![1.0]))];
        assert!(write_csv(&path, &uneven).is_err());
    }
}
