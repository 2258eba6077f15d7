//! Class names: their order, how a sentence lists them, and how a word finds one.

use crate::{Error, Result};
use std::cmp::Ordering;

/// Names shown of a long list.
const SHOWN: usize = 20;

/// Sorts names with numbers as numbers: all of them where every name is one (`2` before `10`, `0.25` before `0.5`), else runs of digits
/// within them (`class2` before `class10`).
pub fn sort_names<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    let numbers = items.iter().all(|item| number(name(item)).is_some());
    items.sort_by(|a, b| {
        let (a, b) = (name(a), name(b));
        let by_value = match (number(a), number(b)) {
            (Some(a), Some(b)) if numbers => a.total_cmp(&b),
            _ => Ordering::Equal,
        };
        by_value.then_with(|| by_runs(a, b)).then_with(|| a.cmp(b))
    });
}

fn number(name: &str) -> Option<f64> {
    let plain = name.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    if plain { name.parse().ok() } else { None }
}

/// Compares runs of digits by their value and everything else as text.
fn by_runs(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a, b) {
            ([], _) | (_, []) => return a.len().cmp(&b.len()),
            ([x, ..], [y, ..]) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (left, right) = (digits(&mut a), digits(&mut b));
                let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
                if order != Ordering::Equal {
                    return order;
                }
            }
            ([x, ..], [y, ..]) if x != y => return x.cmp(y),
            _ => (a, b) = (&a[1..], &b[1..]),
        }
    }
}

/// Takes the digits off the front, and returns them without leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    &run[run.iter().position(|b| *b != b'0').unwrap_or(run.len())..]
}

/// Names as a sentence lists them: all of a few, the first of many.
pub fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

/// The label of a class by its name, as `--class` takes it.
///
/// # Errors
/// [`Error::Usage`] with the names there are.
pub fn find_class(names: &[String], word: &str) -> Result<u32> {
    if names.is_empty() {
        return Err(Error::usage("the run was trained without labels, so --class chooses nothing; leave it out"));
    }
    let unknown = || Error::usage(format!("there is no class {word}; the classes are {}", listed(names)));
    names.iter().position(|name| name == word).map(|label| label as u32).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(words: &str) -> String {
        let mut names: Vec<String> = words.split(' ').map(String::from).collect();
        sort_names(&mut names, |name| name);
        names.join(" ")
    }

    #[test]
    fn numbers_sort_as_numbers() {
        assert_eq!(sorted("10 9 11 0 1"), "0 1 9 10 11");
        assert_eq!(sorted("1.5 -2 1.25 10"), "-2 1.25 1.5 10");
        assert_eq!(sorted("01 1 007 2"), "01 1 2 007");
        assert_eq!(sorted("n10 n9 m11 n9b n"), "m11 n n9 n9b n10");
        assert_eq!(sorted("cat bear 3 apple"), "3 apple bear cat");
        assert_eq!(sorted("36893488147419103233 36893488147419103232"), "36893488147419103232 36893488147419103233");
    }

    #[test]
    fn a_class_goes_by_its_name_and_a_wrong_one_lists_them() {
        let names: Vec<String> = ["1", "3", "bear"].map(String::from).to_vec();
        assert_eq!(find_class(&names, "3").unwrap(), 1);
        assert_eq!(find_class(&names, "bear").unwrap(), 2);
        let said = find_class(&names, "2").unwrap_err().to_string();
        assert!(said.contains("class 2") && said.contains("1, 3, bear"), "{said}");
        assert!(find_class(&[], "1").is_err());
        let many: Vec<String> = (0..50).map(|i| i.to_string()).collect();
        assert!(listed(&many).ends_with("19 and 30 more"));
    }
}
