//! Keys of `--set`: what they mean, what they take and what they are unasked, read from the types that parse them.
//!
//! A key is a field, its meaning the field's doc comment, its range an attribute; so help, the page of all models and refusals say the same.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// What it means, with its unit and source where it has them.
    pub meaning: String,
    /// Its value where nothing is said; `None` where that depends on other keys or on the data.
    pub default: Option<String>,
    /// What it takes, in words.
    pub takes: String,
    /// The words it takes, each with its meaning; empty where it takes no words.
    pub words: Vec<(String, String)>,
}

/// The keys that a type of settings parses, in the order of its fields.
pub fn of<T: JsonSchema>() -> Vec<Key> {
    let schema = schema::<T>();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.iter().map(|(name, field)| key(name, field)).collect()
}

/// A key whose values are a type's.
pub fn named<T: JsonSchema>(name: &str, meaning: &str) -> Key {
    let (takes, words) = takes(&Value::Object(schema::<T>()));
    Key { name: name.into(), meaning: meaning.into(), default: None, takes, words }
}

/// The keys that [`of`] gives, with the values of `defaults` in place of the type's own.
pub fn with_defaults<T: JsonSchema>(defaults: &impl Serialize) -> Vec<Key> {
    let values = serde_json::to_value(defaults).unwrap_or_default();
    let own = |key: Key| Key { default: values.get(&key.name).and_then(shown), ..key };
    of::<T>().into_iter().map(own).collect()
}

/// Refuses settings with a number outside of its key's range; `of` begins the sentence.
///
/// # Errors
/// [`Error::Usage`] with the key and its range.
pub fn check<T: JsonSchema + Serialize>(of: &str, settings: &T) -> Result<()> {
    let (schema, values) = (schema::<T>(), serde_json::to_value(settings).unwrap_or_default());
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, field) in &properties {
        let range = Range::of(field);
        let value = values.get(name);
        // JSON has no sign for what is no finite number.
        if value.is_some_and(Value::is_null) && field.get("type").and_then(Value::as_str) == Some("number") {
            return Err(Error::usage(format!("{of}: {name} must be a finite number")));
        }
        let numbers = value.and_then(Value::as_array).map_or_else(|| value.into_iter().collect::<Vec<_>>(), |list| list.iter().collect());
        if let Some(wrong) = numbers.into_iter().filter_map(Value::as_f64).find(|number| !range.holds(*number)) {
            return Err(Error::usage(format!("{of}: {name} must be {}, not {wrong}", range.without(wrong))));
        }
    }
    Ok(())
}

fn schema<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let root = SchemaGenerator::new(settings).into_root_schema_for::<T>();
    root.as_object().cloned().unwrap_or_default()
}

/// Where a number may lie.
#[derive(Default)]
struct Range {
    least: Option<f64>,
    above: Option<f64>,
    most: Option<f64>,
    below: Option<f64>,
}

impl Range {
    /// The range that a field's schema states, of a list that of its items.
    fn of(field: &Value) -> Self {
        let bound = |name: &str| field.get(name).or_else(|| field.get("items")?.get(name)).and_then(Value::as_f64);
        Self { least: bound("minimum"), above: bound("exclusiveMinimum"), most: bound("maximum"), below: bound("exclusiveMaximum") }
    }

    /// The bounds that a number does not keep to.
    fn without(&self, number: f64) -> Self {
        Self {
            least: self.least.filter(|bound| number < *bound),
            above: self.above.filter(|bound| number <= *bound),
            most: self.most.filter(|bound| number > *bound),
            below: self.below.filter(|bound| number >= *bound),
        }
    }

    fn holds(&self, number: f64) -> bool {
        self.least.is_none_or(|bound| number >= bound)
            && self.above.is_none_or(|bound| number > bound)
            && self.most.is_none_or(|bound| number <= bound)
            && self.below.is_none_or(|bound| number < bound)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |words: &str, bound: Option<f64>| bound.map(|bound| format!("{words} {bound}"));
        let bounds = [said("at least", self.least), said("above", self.above), said("at most", self.most), said("below", self.below)];
        f.write_str(&bounds.into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}

fn key(name: &str, field: &Value) -> Key {
    let (takes, words) = takes(field);
    let meaning = field.get("description").and_then(Value::as_str).unwrap_or_default();
    Key { name: name.into(), meaning: one_line(meaning), default: field.get("default").and_then(shown), takes, words }
}

/// A value as `--set` takes it; none for what is unsaid.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(word) => Some(word.clone()),
        Value::Array(list) => Some(format!("[{}]", list.iter().filter_map(shown).collect::<Vec<_>>().join(","))),
        Value::Number(number) if number.is_f64() => number.as_f64().map(short),
        other => Some(other.to_string()),
    }
}

/// The first line of what a reader of settings says, with types in words.
pub fn in_words(reason: &str) -> String {
    let types = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list, [a,b]"),
        ("invalid type: ", "not "),
        ("invalid value: ", "not "),
        ("floating point ", "the fraction "),
        ("unknown variant ", "there is no "),
    ];
    let line = reason.lines().next().unwrap_or_default().to_string();
    types.iter().fold(line, |line, (theirs, ours)| line.replace(theirs, ours))
}

/// A fraction as people write it: with the digits of an f32, not of the f64 that a file's reader made of it.
pub fn short(number: f64) -> String {
    let number = number as f32;
    if number != 0.0 && number.abs() < 1e-4 { format!("{number:e}") } else { number.to_string() }
}

/// What a field takes: in words, and the words themselves where it takes some.
fn takes(field: &Value) -> (String, Vec<(String, String)>) {
    // A field that may be left out is its type or null.
    let options = ["oneOf", "anyOf"].into_iter().find_map(|key| field.get(key)).and_then(Value::as_array);
    if let Some(options) = options {
        let real: Vec<&Value> = options.iter().filter(|option| option.get("type").and_then(Value::as_str) != Some("null")).collect();
        let words: Vec<_> = real.iter().filter_map(|option| word(option)).collect();
        return match (words.is_empty(), real.first()) {
            (true, Some(only)) => takes(only),
            _ => (words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(", "), words),
        };
    }
    let range = Range::of(field).to_string();
    let bounded = |noun: &str| if range.is_empty() { noun.to_string() } else { format!("{noun}, {range}") };
    let named = |kind: &str| match field.get("type") {
        Some(Value::String(own)) => own == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|own| own == kind),
        _ => false,
    };
    let words = if named("boolean") {
        "true or false".into()
    } else if named("integer") {
        bounded("a whole number")
    } else if named("number") {
        bounded("a number")
    } else if named("array") {
        let (each, words) = field.get("items").map(takes).unwrap_or_default();
        return (format!("a list, each {each}"), words);
    } else {
        "text".into()
    };
    (words, Vec::new())
}

/// A word and its meaning.
fn word(option: &Value) -> Option<(String, String)> {
    let meaning = option.get("description").and_then(Value::as_str).unwrap_or_default();
    Some((option.get("const")?.as_str()?.to_string(), one_line(meaning)))
}

/// A doc comment's paragraph on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How fast.
    #[derive(Serialize, serde::Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Pace {
        /// At a
        /// walk.
        Walk,
        /// Faster.
        FlatOut,
    }

    /// Settings.
    #[derive(Serialize, serde::Deserialize, JsonSchema)]
    #[serde(default)]
    struct Settings {
        /// Legs, of a table.
        #[schemars(range(min = 1, max = 100))]
        legs: usize,
        /// Length, m.
        #[schemars(extend("exclusiveMinimum" = 0))]
        length: f32,
        /// The pace.
        pace: Pace,
        /// Another.
        other: Option<Pace>,
        /// Sizes.
        #[schemars(inner(range(min = 1)))]
        sizes: Option<Vec<usize>>,
        /// Whether.
        yes: bool,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { legs: 4, length: 0.1, pace: Pace::FlatOut, other: None, sizes: None, yes: false }
        }
    }

    #[test]
    fn keys_are_what_the_type_says() {
        let keys = of::<Settings>();
        let told: Vec<_> = keys.iter().map(|k| (k.name.as_str(), k.default.as_deref(), k.takes.as_str(), k.words.len())).collect();
        assert_eq!(
            told,
            [
                ("legs", Some("4"), "a whole number, at least 1 and at most 100", 0),
                ("length", Some("0.1"), "a number, above 0", 0),
                ("pace", Some("flat_out"), "walk, flat_out", 2),
                ("other", None, "walk, flat_out", 2),
                ("sizes", None, "a list, each a whole number, at least 1", 0),
                ("yes", Some("false"), "true or false", 0),
            ]
        );
        assert_eq!((keys[0].meaning.as_str(), keys[2].words[0].1.as_str()), ("Legs, of a table.", "At a walk."));
        let other = with_defaults::<Settings>(&Settings { sizes: Some(vec![2, 3]), ..Settings::default() });
        assert_eq!(other[4].default.as_deref(), Some("[2,3]"));
    }

    #[test]
    fn numbers_outside_of_their_range_are_refused_by_key() {
        let said = |settings: Settings| check("chair", &settings).map_err(|e| e.to_string());
        assert_eq!(said(Settings::default()), Ok(()));
        assert_eq!(said(Settings { legs: 0, ..Settings::default() }), Err("chair: legs must be at least 1, not 0".into()));
        assert_eq!(said(Settings { length: 0.0, ..Settings::default() }), Err("chair: length must be above 0, not 0".into()));
        assert!(said(Settings { sizes: Some(vec![1, 0]), ..Settings::default() }).is_err());
    }
}
