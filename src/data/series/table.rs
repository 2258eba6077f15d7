//! Tables: `.csv` files.

use super::{Cut, Dates, Gaps, Raw, numbered, room};
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

/// Names of columns that hold times, in small letters; a column beside named ones that has no name counts rows.
const TIMES: [&str; 11] = ["", "date", "time", "datetime", "timestamp", "year", "month", "day", "t", "ds", "index"];
/// Words that stand for a value that is lacking.
const LACKING: [&str; 4] = ["", "NA", "N/A", "null"];

/// A row: the line it begins on, and its fields.
type Row = (u64, Vec<String>);

/// Reads a table of numbers, separated by commas, semicolons or tabs, with or without names above them. A column of times is recognised by
/// its name or by what it holds, and orders the rows; it is no channel unless it is chosen.
pub fn read(path: &Path, name: String, cut: &Cut) -> Result<Raw> {
    let rows = rows(path, &name)?;
    let Some((_, first)) = rows.first() else {
        return Err(Error::usage(format!("{name} is empty; take a table of some rows")));
    };
    let headed = first.iter().any(|field| !is_lacking(field) && number(field).is_none() && !is_time(field));
    let names = if headed { first.clone() } else { numbered(first.len()) };
    let body = &rows[usize::from(headed)..];
    let time = time_column(&names, body);
    // Numbers of columns are those of the table that the run was trained on.
    let asked = if is_own(&names) && cut.is_settled() { &cut.names } else { &cut.columns };
    let chosen = chosen(&name, &names, time, asked)?;
    room(&name, body.len().saturating_mul(chosen.len()))?;
    let apart = if chosen.contains(&0) { Vec::new() } else { own_series(&names, body) };
    if let Some(column) = time {
        let mut rest = body;
        for len in apart.iter().copied().chain([body.len() - apart.iter().sum::<usize>()]) {
            let (own, others) = rest.split_at(len);
            check_order(&name, own, column, &names[column])?;
            rest = others;
        }
    }
    let mut values = Vec::with_capacity(body.len() * chosen.len());
    let (mut lacking, mut dropped) = (0, 0);
    let title = |column: usize| if headed && !names[column].is_empty() { names[column].clone() } else { "time".into() };
    let mut dates = time.map(|column| Dates { title: title(column), rows: Vec::with_capacity(body.len()) });
    for (line, fields) in body {
        let begun = values.len();
        for &column in &chosen {
            let (field, title) = (&fields[column], &names[column]);
            let place = || format!("{name}: row {line}, column {title}");
            let value = match number(field) {
                Some(value) if value.is_finite() => value,
                Some(value) => return Err(Error::usage(format!("{} holds {value}; repair it, or leave it empty", place()))),
                None if !is_lacking(field) => {
                    let words = "which is no number; repair it, or name the columns of numbers with --set columns=NAME";
                    return Err(Error::usage(format!("{} holds `{field}`, {words}", place())));
                }
                None if cut.gaps == Gaps::Refuse => {
                    let words = "fill it with --set gaps=linear or last, or leave such rows out with gaps=drop";
                    return Err(Error::usage(format!("{} is empty; {words}", place())));
                }
                None => f64::NAN,
            };
            values.push(value);
        }
        let gaps = values[begun..].iter().filter(|v| v.is_nan()).count();
        if gaps > 0 && cut.gaps == Gaps::Drop {
            values.truncate(begun);
            dropped += 1;
            continue;
        }
        lacking += gaps;
        if let (Some(dates), Some(column)) = (&mut dates, time) {
            dates.rows.push(fields[column].as_str().into());
        }
    }
    let channels: Vec<String> = chosen.iter().map(|&column| names[column].clone()).collect();
    for (at, channel) in channels.iter().enumerate() {
        if !values.is_empty() && !fill(&mut values[at..], channels.len(), cut.gaps) {
            return Err(Error::usage(format!("{name}: column {channel} holds no numbers; leave it out with --set columns=NAME")));
        }
    }
    let mut notes = Vec::new();
    if let (Some(column), Some((_, from)), Some((_, to))) = (time, body.first(), body.last()) {
        notes.push(format!("{name}: {} from {} to {}, read as times", names[column], from[column], to[column]));
    }
    if lacking > 0 {
        let how = if cut.gaps == Gaps::Last { "by the value before" } else { "along the line between their neighbours" };
        notes.push(format!("{name}: {lacking} empty fields were filled {how}"));
    }
    if dropped > 0 {
        notes.push(format!("{name}: {dropped} rows with empty fields were left out"));
    }
    let rows = values.len() / channels.len().max(1);
    let series = match apart[..] {
        [first, ..] if dropped == 0 && apart.iter().all(|len| *len == first) => apart.len(),
        _ => 1,
    };
    Ok(Raw { name, values, series, steps: rows / series, channels, rate: None, dates, notes })
}

/// What stands first in the tables that the program writes.
const OWN: [&str; 2] = ["series", "step"];

/// Whether a table is one of those, with channels beside.
fn is_own(names: &[String]) -> bool {
    names.len() > OWN.len() && names.iter().zip(OWN).all(|(name, own)| name == own)
}

/// The rows of each series of a table that the program wrote itself; none of another table.
fn own_series(names: &[String], body: &[Row]) -> Vec<usize> {
    if is_own(names) { body.chunk_by(|(_, a), (_, b)| a[0] == b[0]).map(<[Row]>::len).collect() } else { Vec::new() }
}

/// The columns of a table that have these names, `[rows, names]`, and the lines that the rows stand on: NaN where a field is empty, or no
/// column has the name.
///
/// # Errors
/// [`Error::Usage`] for a table without any of the names, or a field that is no number.
pub fn partial(path: &Path, name: &str, names: &[String]) -> Result<(Vec<f64>, Vec<u64>)> {
    let rows = rows(path, name)?;
    let (titles, body) = rows.split_first().map_or((&[][..], &[][..]), |((_, titles), body)| (titles.as_slice(), body));
    let columns: Vec<Option<usize>> = names.iter().map(|name| titles.iter().position(|title| title == name)).collect();
    if columns.iter().all(Option::is_none) {
        let known = names.join(", ");
        return Err(Error::usage(format!("{name} has none of the columns {known}; write their names above it")));
    }
    room(name, body.len().saturating_mul(names.len()))?;
    let mut values = Vec::with_capacity(body.len() * names.len());
    for (line, fields) in body {
        for (title, column) in names.iter().zip(&columns) {
            let field = column.map_or("", |column| fields[column].as_str());
            values.push(match number(field) {
                Some(value) => value,
                None if is_lacking(field) => f64::NAN,
                None => {
                    let words = format!("row {line}, column {title} holds `{field}`, which is no number; repair it, or leave it empty");
                    return Err(Error::usage(format!("{name}: {words}")));
                }
            });
        }
    }
    Ok((values, body.iter().map(|(line, _)| *line).collect()))
}

/// All rows of a table, each as long as the first.
fn rows(path: &Path, name: &str) -> Result<Vec<Row>> {
    let mut file = BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?);
    // What the first line holds most often of what separates fields.
    let head = file.fill_buf().map_err(|e| Error::io(path, e))?;
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let held = |mark: u8| line.iter().filter(|byte| **byte == mark).count();
    let delimiter = [b';', b'\t'].into_iter().fold(b',', |best, mark| if held(mark) > held(best) { mark } else { best });
    file.rewind().map_err(|e| Error::io(path, e))?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(delimiter).from_reader(file);
    let mut rows: Vec<Row> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(rows.len() as u64 + 1, csv::Position::line);
            match error.into_kind() {
                csv::ErrorKind::Io(e) => Error::io(path, e),
                csv::ErrorKind::Utf8 { err, .. } => {
                    Error::usage(format!("{name}: row {line}, column {} is no text; write the table as UTF-8", err.field() + 1))
                }
                other => Error::usage(format!("{name}: row {line} cannot be read ({other:?}); write it again")),
            }
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        // Some programs begin a text with a mark of its encoding.
        let fields: Vec<String> = record.iter().map(|field| field.trim_start_matches('\u{feff}').to_string()).collect();
        if let Some((_, first)) = rows.first()
            && fields.len() != first.len()
        {
            let (wanted, found) = (first.len(), fields.len());
            let column = wanted.min(found) + 1;
            return Err(Error::usage(format!(
                "{name}: row {line} has {found} columns and the first row {wanted}, so they differ from column {column} on; make rows equally long"
            )));
        }
        rows.push((line, fields));
    }
    Ok(rows)
}

fn is_lacking(field: &str) -> bool {
    LACKING.contains(&field)
}

fn number(field: &str) -> Option<f64> {
    field.parse().ok()
}

/// Whether a field that is no number is written as a date or a time of day: digits in groups.
fn is_time(field: &str) -> bool {
    let groups = field.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).count();
    let marks = |c: char| c.is_ascii_digit() || "-/:.+ TZ".contains(c);
    groups >= 2 && number(field).is_none() && field.starts_with(|c: char| c.is_ascii_digit()) && field.chars().all(marks)
}

/// The column of times, by its name or by what the first row holds.
fn time_column(names: &[String], body: &[Row]) -> Option<usize> {
    let named = names.iter().position(|name| TIMES.contains(&name.to_lowercase().as_str()));
    named.or_else(|| body.first()?.1.iter().position(|field| is_time(field))).filter(|_| names.len() > 1)
}

/// The columns of the channels: those asked for, or all but that of times.
fn chosen(name: &str, names: &[String], time: Option<usize>, asked: &[String]) -> Result<Vec<usize>> {
    if asked.is_empty() {
        let own = if is_own(names) { OWN.len() } else { 0 };
        return Ok((own..names.len()).filter(|column| Some(*column) != time).collect());
    }
    let find = |word: &String| {
        let numbered = || word.parse().ok().filter(|n| (1..=names.len()).contains(n)).map(|n: usize| n - 1);
        names
            .iter()
            .position(|name| name == word)
            .or_else(numbered)
            .ok_or_else(|| Error::usage(format!("{name} has no column {word}; there are {}", names.join(", "))))
    };
    let found: Vec<usize> = asked.iter().map(find).collect::<Result<_>>()?;
    match (1..found.len()).find(|at| found[..*at].contains(&found[*at])) {
        Some(at) => Err(Error::usage(format!("columns name {} of {name} twice; name it once", names[found[at]]))),
        None => Ok(found),
    }
}

/// Refuses rows whose times go back: numbers as numbers, others in the order of their letters, which for dates from year to day is theirs.
fn check_order(name: &str, body: &[Row], column: usize, title: &str) -> Result<()> {
    for pair in body.windows(2) {
        let ((_, before), (line, after)) = (&pair[0], &pair[1]);
        let (before, after) = (&before[column], &after[column]);
        let back = match (number(before), number(after)) {
            (Some(before), Some(after)) => after < before,
            // Days or months that come first are in no such order.
            _ => starts_with_year(before) && starts_with_year(after) && after < before,
        };
        if back {
            return Err(Error::usage(format!(
                "{name}: row {line}, column {title} goes back from {before} to {after}; sort the rows by time"
            )));
        }
    }
    Ok(())
}

fn starts_with_year(field: &str) -> bool {
    field.len() > 4 && field.bytes().take(4).all(|b| b.is_ascii_digit()) && !field.as_bytes()[4].is_ascii_digit()
}

/// Fills what a channel lacks; `false` where it holds nothing at all.
fn fill(values: &mut [f64], every: usize, how: Gaps) -> bool {
    let known: Vec<usize> = (0..values.len()).step_by(every).filter(|at| !values[*at].is_nan()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return values.is_empty() };
    for at in (0..first).step_by(every) {
        values[at] = values[first];
    }
    for pair in known.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        for at in (from + every..to).step_by(every) {
            let share = if how == Gaps::Last { 0.0 } else { (at - from) as f64 / (to - from) as f64 };
            values[at] = values[from] + share * (values[to] - values[from]);
        }
    }
    for at in (last + every..values.len()).step_by(every) {
        values[at] = values[last];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_by_their_rule() {
        let gap = f64::NAN;
        let filled = |how| {
            let mut values = [gap, 0.0, 1.0, gap, gap, gap, gap, 6.0, 4.0, gap];
            assert!(fill(&mut values, 2, how) && fill(&mut values[1..], 2, how));
            values
        };
        assert_eq!(filled(Gaps::Linear), [1.0, 0.0, 1.0, 2.0, 2.0, 4.0, 3.0, 6.0, 4.0, 6.0]);
        assert_eq!(filled(Gaps::Last), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 6.0, 4.0, 6.0]);
        assert!(!fill(&mut [gap, gap], 1, Gaps::Linear));
    }

    #[test]
    fn times_are_told_from_numbers_and_words() {
        for time in ["2020-01-31", "31/12/1999", "12:30", "2020-01-31T12:00:00Z", "31.12.99"] {
            assert!(is_time(time), "{time}");
        }
        for other in ["3.5", "-3", "1e9", "20200131", "x-1", "", "NA", "1 apple"] {
            assert!(!is_time(other), "{other}");
        }
    }
}
