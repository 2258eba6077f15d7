//! Settings as the command line gives them.

use super::TrainRecipe;
use crate::error::{Error, Result};
use crate::keys::in_words;

/// `--set key=value` pairs, read as TOML values (bare words are strings).
pub fn parse_settings(pairs: &[String]) -> Result<toml::Table> {
    let mut table = toml::Table::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::usage(format!("--set takes key=value, not {pair}")));
        };
        let (key, value) = (key.trim(), value.trim());
        let parsed: Option<toml::Table> = toml::from_str(&format!("value = {value}")).ok();
        let value = match parsed.and_then(|mut t| t.remove("value")) {
            // A whole number with an exponent may stand where a whole number must; where a fraction may, it serves too.
            None | Some(toml::Value::Float(_)) => bare(value),
            Some(parsed) => parsed,
        };
        table.insert(key.to_string(), value);
    }
    Ok(table)
}

/// A whole number as people write it: `2000`, `10_000`, `2e3`, `2^14`.
pub fn whole_number(text: &str) -> Option<u64> {
    let plain = text.replace('_', "");
    if let Some((base, power)) = plain.split_once('^') {
        return base.parse::<u64>().ok()?.checked_pow(power.parse().ok()?);
    }
    let float = |text: &str| text.parse::<f64>().ok().filter(|v| v.fract() == 0.0 && (0.0..9e15).contains(v)).map(|v| v as u64);
    let has_digits = plain.starts_with(|c: char| c.is_ascii_digit());
    plain.parse().ok().or_else(|| float(&plain).filter(|_| has_digits && plain.contains(['e', 'E'])))
}

/// What TOML does not know: `.001`, `1.` and `2^14` are numbers all the same, and the rest are words.
fn bare(value: &str) -> toml::Value {
    if let Some(whole) = whole_number(value).and_then(|whole| i64::try_from(whole).ok()) {
        return toml::Value::Integer(whole);
    }
    // A list without its brackets.
    if value.contains(',') && value.split(',').all(|part| part.trim().parse::<f64>().is_ok()) {
        return toml::Value::Array(value.split(',').map(|part| bare(part.trim())).collect());
    }
    let number = value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    match value.parse() {
        Ok(parsed) if number => toml::Value::Float(parsed),
        _ => toml::Value::String(value.to_string()),
    }
}

/// Moves the settings that belong to training out of `settings` into `train`; what is left belongs to the model.
pub fn apply_settings(train: &mut TrainRecipe, settings: &mut toml::Table) -> Result<()> {
    let mut table = toml::Table::try_from(&*train).map_err(|e| Error::usage(e.to_string()))?;
    let asked = |key: &str| settings.contains_key(key);
    // A schedule and the factor of another one are not both wanted, and a model's own factor gives way.
    let schedule = match (asked("schedule"), asked("rate_decay")) {
        (true, false) if settings["schedule"].as_str() != Some("exponential") => Some(("rate_decay", toml::Value::Float(1.0))),
        (false, true) => {
            let stays = settings["rate_decay"].as_float() == Some(1.0) || settings["rate_decay"].as_integer() == Some(1);
            Some(("schedule", toml::Value::String(if stays { "constant" } else { "exponential" }.into())))
        }
        _ => None,
    };
    if let Some((key, value)) = schedule {
        settings.insert(key.into(), value);
    }
    for key in TrainRecipe::KEYS {
        let Some(mut value) = settings.remove(key) else { continue };
        if key == "learning_rate" && !value.is_array() {
            value = toml::Value::Array(vec![value]);
        }
        // Whole numbers stand for fractions where those are meant.
        if let (Some(toml::Value::Float(_)), toml::Value::Integer(i)) = (table.get(key), &value) {
            value = toml::Value::Float(*i as f64);
        }
        let shown = value.to_string();
        table.insert(key.to_string(), value);
        *train = table
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| Error::usage(format!("--set {key}={shown}: {}", in_words(e.message()))))?;
    }
    train.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Schedule;

    #[test]
    fn settings_go_to_training_or_stay_for_the_model() -> Result<()> {
        let pairs = ["batch=7", "learning_rate=0.01", "clip_norm=1", "blocks=3", "preset=tiny"].map(String::from);
        let mut settings = parse_settings(&pairs)?;
        let mut t = TrainRecipe::example();
        apply_settings(&mut t, &mut settings)?;
        assert_eq!((t.batch, t.learning_rate.clone(), t.clip_norm), (7, vec![0.01], 1.0));
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["blocks", "preset"]);
        Ok(())
    }

    #[test]
    fn wrong_values_are_named() {
        let mut settings = parse_settings(&["batch=many".to_string()]).expect("parses");
        let said = apply_settings(&mut TrainRecipe::example(), &mut settings).expect_err("refused").to_string();
        assert!(said.contains("batch"), "{said}");
        assert!(parse_settings(&["batch".to_string()]).is_err());
        let mut settings = parse_settings(&["batch=0".to_string()]).expect("parses");
        assert!(apply_settings(&mut TrainRecipe::example(), &mut settings).is_err());
    }

    #[test]
    fn numbers_that_toml_does_not_know_are_numbers() {
        let pairs = ["a=.5", "b=2.", "c=nonsense", "d=-.25", "e=infinite"].map(String::from);
        let table = parse_settings(&pairs).expect("parses");
        assert_eq!([&table["a"], &table["b"], &table["d"]].map(|v| v.as_float()), [Some(0.5), Some(2.0), Some(-0.25)]);
        assert!(table["c"].is_str() && table["e"].is_str());
        let lists = parse_settings(&["learning_rate=0.002,1e-3", "columns=a,b"].map(String::from)).expect("parses");
        assert!(lists["learning_rate"].as_array().is_some_and(|rates| rates.len() == 2) && lists["columns"].is_str());
    }

    #[test]
    fn whole_numbers_are_taken_as_people_write_them() {
        let read = ["2000", "10_000", "2e3", "1E3", "2^14", "0"].map(whole_number);
        assert_eq!(read, [Some(2000), Some(10_000), Some(2000), Some(1000), Some(16_384), Some(0)]);
        assert_eq!(["-1", "1.5", "1e-3", "2^99", "many", "", "1e300", "inf"].map(whole_number), [None; 8]);
        let table = parse_settings(&["batch=2^5", "steps=1e3", "rate=1e-3"].map(String::from)).expect("parses");
        assert_eq!(
            (table["batch"].as_integer(), table["steps"].as_integer(), table["rate"].as_float()),
            (Some(32), Some(1000), Some(1e-3))
        );
    }

    #[test]
    fn a_schedule_and_its_factor_go_together() -> Result<()> {
        let applied = |pairs: &[&str]| {
            let mut settings = parse_settings(&pairs.iter().map(|p| p.to_string()).collect::<Vec<_>>())?;
            let mut t = TrainRecipe::example();
            apply_settings(&mut t, &mut settings).map(|()| (t.schedule, t.rate_decay))
        };
        assert_eq!(applied(&["schedule=cosine"])?, (Schedule::Cosine, 1.0));
        assert_eq!(applied(&["rate_decay=0.9"])?, (Schedule::Exponential, 0.9));
        assert_eq!(applied(&["rate_decay=1"])?, (Schedule::Constant, 1.0));
        assert!(applied(&["rate_decay=0.9", "schedule=linear"]).is_err());
        assert!(applied(&["schedule=sudden"]).is_err());
        Ok(())
    }
}
