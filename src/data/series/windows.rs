//! Series cut into windows.

use super::{Cut, Dates, Quantize, Raw, Scaling, byte};
use crate::data::{Kind, Source, Split, check_read};
use crate::{Error, Result};
use std::ops::Range;

/// Windows of series, one after another: items `[T, 1, C]`.
pub struct Windows {
    /// Values as items show them, `[series · steps, C]`.
    values: Vec<f32>,
    /// The first row of each window.
    starts: Vec<usize>,
    window: usize,
    /// Series that lie apart, and the rows of each.
    series: usize,
    steps: usize,
    kind: Kind,
    /// As it was settled.
    cut: Cut,
    /// What the rows are called.
    dates: Option<Dates>,
    notes: Vec<String>,
    name: String,
}

impl Windows {
    /// The windows of a split. One series is split in time: the last `test_share` of its steps are the test, those before it validation.
    /// Several lie apart, and are split in their order. In training a window begins `window − overlap` steps after the one before it; in
    /// validation and test, where each step is counted once, a window after it. Steps that fill no window are left out.
    ///
    /// Where no scale is settled it is `scale` for every channel, or else that of the values of the training part (of all steps for
    /// [`Split::All`]). Levels beyond a scale are its last. `title` is what reports call the split.
    ///
    /// # Errors
    /// [`Error::Usage`] where a part is shorter than a window, a channel never changes, or a settled scale is of other channels.
    pub fn new(raw: Raw, mut cut: Cut, scale: Option<Scaling>, split: Split, title: String) -> Result<Self> {
        let parts = Parts::new(&raw, &cut)?;
        let Raw { name, values, channels: names, rate, dates, mut notes, series, steps } = raw;
        let (channels, levels) = (names.len(), cut.levels());
        cut.roles(&names).map_err(|e| Error::usage(format!("{name}: {e}")))?;
        let scaling = match (cut.scaling.len(), scale) {
            (0, Some(scale)) => vec![scale; channels],
            (0, None) => {
                let measured = parts.rows(if split == Split::All { Split::All } else { Split::Train });
                scales(&name, &values[measured.start * channels..measured.end * channels], &names, cut.quantize)?
            }
            (n, _) if n == channels => cut.scaling,
            (n, _) => {
                let shown = names.join(", ");
                return Err(Error::usage(format!(
                    "{name} has {channels} channels ({shown}), and this run was made for {n}; take such data"
                )));
            }
        };
        let starts = parts.starts(&name, split, cut.overlap)?;
        let own = parts.rows(split);
        let beyond = values[own.start * channels..own.end * channels].iter().enumerate();
        let beyond = beyond.filter(|(at, v)| scaling[at % channels].scaled(**v).abs() > 1.0 + 1e-9).count();
        let kind = match (cut.quantize, levels) {
            (Quantize::None, _) => Kind::Points,
            (_, 2) => Kind::Binary,
            _ => Kind::Pixels,
        };
        let how = match cut.quantize {
            Quantize::Linear => format!("{levels} levels"),
            Quantize::Mulaw => format!("{levels} levels by the μ-law"),
            Quantize::None => "continuous".into(),
        };
        let (count, window, shown) = (starts.len(), parts.window, names.join(", "));
        notes.push(format!("{name}: {count} windows of {window} steps of {shown}, one every {}, {how}", parts.stride(split, cut.overlap)));
        if beyond > 0 && kind != Kind::Points {
            notes.push(format!("{name}: {beyond} of {} values lie beyond the scale and are taken for its ends", own.len() * channels));
        }
        let item = |(at, value): (usize, &f64)| {
            let scale: Scaling = scaling[at % channels];
            match cut.quantize {
                Quantize::None => scale.scaled(*value) as f32,
                how => byte(scale.level(*value, how, levels), levels),
            }
        };
        let values = values.iter().enumerate().map(item).collect();
        cut = Cut { window: Some(window), names, rate: cut.rate.or(rate), scaling, ..cut };
        Ok(Self { values, starts, window, series, steps, kind, cut, dates, notes, name: title })
    }
}

/// Which rows belong to which split.
struct Parts {
    series: usize,
    steps: usize,
    window: usize,
    /// Where validation and test begin: a step of the one series, or a series of several.
    bounds: [usize; 2],
}

impl Parts {
    fn new(raw: &Raw, cut: &Cut) -> Result<Self> {
        let Raw { name, series, steps, .. } = raw;
        let (series, steps) = (*series, *steps);
        let (window, levels) = (cut.window(series, steps), cut.levels());
        if cut.overlap >= window {
            return Err(Error::usage(format!("overlap={} is not below the {window} steps of a window; take fewer", cut.overlap)));
        }
        if !(2..=256).contains(&levels) {
            return Err(Error::usage(format!("{name}: levels must be 2 to 256, not {levels}")));
        }
        let all = if series > 1 { series } else { steps };
        let share = |share: f64| (all as f64 * share).round() as usize;
        let test = all - share(cut.test_share).min(all);
        Ok(Self { series, steps, window, bounds: [test - share(cut.valid_share).min(test), test] })
    }

    /// Series or steps of a split.
    fn range(&self, split: Split) -> Range<usize> {
        let [valid, test] = self.bounds;
        let all = if self.series > 1 { self.series } else { self.steps };
        match split {
            Split::Train => 0..valid,
            Split::Valid => valid..test,
            Split::Test => test..all,
            Split::All => 0..all,
        }
    }

    fn rows(&self, split: Split) -> Range<usize> {
        let Range { start, end } = self.range(split);
        let each = if self.series > 1 { self.steps } else { 1 };
        start * each..end * each
    }

    /// Steps from one window to the next.
    fn stride(&self, split: Split, overlap: usize) -> usize {
        if matches!(split, Split::Train | Split::All) { self.window - overlap } else { self.window }
    }

    /// The first row of each window.
    fn starts(&self, name: &str, split: Split, overlap: usize) -> Result<Vec<usize>> {
        let (Self { series, steps, window, .. }, rows) = (self, self.rows(split));
        let length = if *series > 1 { *steps } else { rows.len() };
        let stride = self.stride(split, overlap);
        let within = |first: usize| (first..(first + length + 1).saturating_sub(*window)).step_by(stride);
        let starts: Vec<usize> = rows.clone().step_by(length.max(1)).flat_map(within).collect();
        if !starts.is_empty() {
            return Ok(starts);
        }
        if rows.is_empty() {
            return Err(Error::usage(format!("{name} has no {split} split: its share of the {} steps is 0; take another split", steps)));
        }
        let of = if *series > 1 { String::new() } else { format!(" that are its {split} split (of {steps} in all)") };
        Err(Error::usage(format!(
            "{name}: a window of {window} steps is longer than the {length} steps{of}; take --set window={length} or less"
        )))
    }
}

/// The scale of each channel over some rows.
fn scales(name: &str, values: &[f64], names: &[String], how: Quantize) -> Result<Vec<Scaling>> {
    let of = |(at, channel): (usize, &String)| {
        let own = values.iter().skip(at).step_by(names.len()).copied();
        Scaling::of(own, how).ok_or_else(|| {
            let words = "is one and the same value over the training part, or too far apart to be scaled; leave it out, or take --set range=LOW..HIGH";
            Error::usage(format!("{name}: column {channel} {words}"))
        })
    };
    names.iter().enumerate().map(of).collect()
}

impl Source for Windows {
    fn len(&self) -> usize {
        self.starts.len()
    }
    fn dims(&self) -> [usize; 3] {
        [self.window, 1, self.cut.names.len()]
    }
    fn kind(&self) -> Kind {
        self.kind
    }
    fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_read(self, index, out)?;
        let first = self.starts[index] * self.cut.names.len();
        out.copy_from_slice(&self.values[first..first + out.len()]);
        Ok(())
    }
    fn name(&self) -> String {
        self.name.clone()
    }
    fn knows_white(&self) -> bool {
        true
    }
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
    fn series(&self) -> Option<&Cut> {
        Some(&self.cut)
    }
    fn dates(&self, index: usize) -> Option<(&str, &[Box<str>])> {
        let first = *self.starts.get(index)?;
        let dates = self.dates.as_ref()?;
        Some((&dates.title, dates.rows.get(first..first + self.window)?))
    }
    fn follows(&self, index: usize) -> bool {
        let Some(before) = index.checked_sub(1).and_then(|before| self.starts.get(before)) else { return false };
        // Series that lie apart follow no other.
        let own = self.starts.get(index).is_some_and(|start| *start == before + self.window);
        own && (self.series == 1 || !self.starts[index].is_multiple_of(self.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Between;
    use super::*;
    use std::sync::Arc;

    /// Step t of series s holds 100 s + t and its negative.
    fn raw(series: usize, steps: usize) -> Raw {
        let values = (0..series).flat_map(|s| (0..steps).flat_map(move |t| [(100 * s + t) as f64, -((100 * s + t) as f64)])).collect();
        let channels = ["up", "down"].map(String::from).to_vec();
        Raw { name: "made up".into(), values, series, steps, channels, rate: None, dates: None, notes: Vec::new() }
    }

    fn windows(series: usize, steps: usize, cut: &Cut, split: Split) -> Result<Windows> {
        Windows::new(raw(series, steps), cut.clone(), None, split, split.to_string())
    }

    /// The first value of each window, in its own units.
    fn firsts(w: &Windows) -> Vec<f64> {
        let mut item = vec![0.0; w.window * 2];
        let first = |index| {
            w.read(index, &mut item).unwrap();
            w.cut.scaling[0].value(f64::from(item[0]), w.cut.quantize, w.cut.levels()).round()
        };
        (0..w.len()).map(first).collect()
    }

    #[test]
    fn a_series_is_split_in_time_and_only_training_windows_overlap() {
        let cut = Cut { window: Some(10), overlap: 5, quantize: Quantize::None, ..Cut::default() };
        let all = Split::All;
        let of = |split| windows(1, 100, &cut, split).unwrap();
        assert_eq!(firsts(&of(Split::Train)), (0..15).map(|k| 5.0 * f64::from(k)).collect::<Vec<_>>());
        assert_eq!((firsts(&of(Split::Valid)), firsts(&of(Split::Test))), (vec![80.0], vec![90.0]));
        assert_eq!((of(all).len(), of(all).dims(), of(all).kind()), (19, [10, 1, 2], Kind::Points));
        // The scale is that of training alone, whichever split is opened.
        assert_eq!(of(Split::Test).cut.scaling, of(Split::Train).cut.scaling);
        assert_ne!(of(Split::Test).cut.scaling, of(all).cut.scaling);
    }

    #[test]
    fn several_series_are_windows_of_their_own_and_split_in_their_order() {
        let cut = Cut { quantize: Quantize::None, test_share: 0.25, valid_share: 0.25, ..Cut::default() };
        let of = |split| windows(4, 6, &cut, split).unwrap();
        assert_eq!(firsts(&of(Split::Train)), [0.0, 100.0]);
        assert_eq!((firsts(&of(Split::Valid)), firsts(&of(Split::Test))), (vec![200.0], vec![300.0]));
        let short = Cut { window: Some(4), overlap: 2, ..cut.clone() };
        assert_eq!(firsts(&windows(4, 7, &short, Split::Train).unwrap()), [0.0, 2.0, 100.0, 102.0]);
    }

    #[test]
    fn windows_that_follow_one_another_have_others_between_them() {
        let cut = Cut { window: Some(4), quantize: Quantize::None, test_share: 0.0, valid_share: 0.0, ..Cut::default() };
        let between = |series, cut: &Cut| Between::new(Arc::new(windows(series, 9, cut, Split::All).unwrap()));
        let one = between(1, &cut).unwrap();
        assert_eq!((one.len(), one.firsts()), (1, &[0][..]));
        let mut item = [0.0; 8];
        one.read(0, &mut item).unwrap();
        let (steps, cut_of) = (item.iter().step_by(2), one.series().unwrap());
        let units: Vec<f64> = steps.map(|v| cut_of.scaling[0].value(f64::from(*v), Quantize::None, 256).round()).collect();
        assert_eq!(units, [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(between(3, &cut).unwrap().firsts(), [0, 2, 4]);
        // Whole series lie apart, and overlapping windows do not follow.
        assert!(between(3, &Cut { window: Some(9), ..cut.clone() }).is_none());
        assert!(between(1, &Cut { overlap: 2, ..cut }).is_none());
    }

    #[test]
    fn levels_are_bytes_that_a_model_cuts_to_the_same_levels() {
        for (levels, kind) in [(2, Kind::Binary), (10, Kind::Pixels), (256, Kind::Pixels)] {
            let cut = Cut { window: Some(8), levels: Some(levels), ..Cut::default() };
            let w = windows(1, 100, &cut, Split::Train).unwrap();
            assert_eq!(w.kind(), kind);
            let mut item = [0.0; 16];
            w.read(9, &mut item).unwrap();
            let level = ((72.0 / 79.0) * (levels as f32 - 1.0) + 0.5).floor();
            assert_eq!(item[0], byte(level as usize, levels));
        }
    }

    #[test]
    fn what_cannot_be_cut_is_said_with_what_can() {
        let said = |series, steps, cut: Cut, split| windows(series, steps, &cut, split).err().expect("a refusal").to_string();
        let cut = Cut { window: Some(11), ..Cut::default() };
        assert!(said(1, 100, cut.clone(), Split::Test).contains("10 steps that are its test split (of 100 in all)"));
        assert!(said(3, 10, cut.clone(), Split::All).contains("the 10 steps; take --set window=10"));
        assert!(said(1, 100, Cut { test_share: 0.0, ..cut.clone() }, Split::Test).contains("no test split"));
        assert!(said(1, 100, Cut { levels: Some(300), ..cut.clone() }, Split::All).contains("2 to 256"));
        assert!(said(2, 6, Cut { overlap: 6, ..Cut::default() }, Split::All).contains("overlap=6"));
        let other = Cut { scaling: vec![Scaling { low: 0.0, high: 1.0 }], ..cut };
        assert!(said(1, 100, other, Split::All).contains("2 channels (up, down)"));
    }
}
