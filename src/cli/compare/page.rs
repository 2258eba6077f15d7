//! The table and the page of a comparison.

use std::fmt::Write as _;

use image::RgbImage;
use serde_json::Value;

use super::row::{Row, SHOWN};
use crate::error::Result;
use crate::report::{self, GridOptions, Page};

/// What is shown.
pub struct Comparison<'a> {
    /// The runs, in the order they were named.
    pub rows: &'a [Row],
    /// What they were measured on.
    pub data: &'a str,
    /// Samples of each whose quality was measured.
    pub samples: usize,
    /// The device everything was measured on.
    pub device: String,
}

/// A line of the table: its name, and a run's cell.
type Line = (&'static str, fn(&Value) -> Option<String>);

/// A part of the table: its title, its lines, and how to read them.
struct Part {
    title: &'static str,
    lines: &'static [Line],
    note: &'static str,
}

const PARTS: [Part; 5] = [
    Part {
        title: "Training",
        lines: &[
            ("model", |o| o["model"].as_str().map(String::from)),
            ("parameters", |o| o["parameters"].as_u64().map(grouped)),
            ("steps", |o| o["steps"].as_u64().map(grouped)),
            ("items seen", |o| o["items_seen"].as_f64().map(|v| grouped(v as u64))),
            ("operations, 10¹²", |o| o["train_flops"].as_f64().map(|v| fixed(v * 1e-12, 2))),
            ("seconds", |o| o["train_seconds"].as_f64().map(|v| fixed(v, 0))),
        ],
        note: "Operations are floating-point operations of all steps together, forward and backward, without the optimiser's own; seconds are those of the device that each run was trained on.",
    },
    Part {
        title: LIKELIHOOD,
        lines: &[
            ("of", |o| (!o["likelihood"].is_null()).then(|| o["values"].as_str().unwrap_or_default().into())),
            ("what it is", |o| {
                let figure = o["likelihood"]["figure"].as_str()?;
                if is_no_likelihood(o) {
                    return Some("no likelihood".into());
                }
                Some(match o["likelihood"]["steps"].as_u64() {
                    _ if figure.starts_with("-log p") => "exact".into(),
                    Some(steps) => format!("bound, {steps} steps"),
                    None => "bound".into(),
                })
            }),
            ("−log p, nats", |o| with_error(&o["likelihood"], "nats", 2)),
            ("bits a value", |o| o["likelihood"]["bits_per_dim"].as_f64().filter(|_| !is_no_likelihood(o)).map(|v| fixed(v, 4))),
            ("of 1% of it and 99% noise, nats", |o| o["mixed_with_noise_nats"].as_f64().map(|v| fixed(v, 2))),
        ],
        note: "A bound lies above the −log p that it bounds; likelihoods of bits and of levels are of different data. A run without one has none: an \
               adversarial model gives images no probability. The last line is the same model in one draw of a hundred and evenly drawn values in the \
               others: it loses at most ln 100 = 4.61 nats, and 99 of 100 of its samples are noise (Theis et al., 2016). So the likelihood says \
               little of the samples, and the next part little of the likelihood.",
    },
    Part {
        title: "Quality of samples",
        lines: &[
            ("Fréchet distance, in features", |o| o["quality"]["frechet"].as_f64().map(|v| fixed(v, 3))),
            ("kernel distance, in features", |o| o["quality"]["kernel"].as_f64().map(|v| fixed(v, 3))),
            ("precision", |o| o["quality"]["precision"].as_f64().map(|v| fixed(v, 3))),
            ("recall", |o| o["quality"]["recall"].as_f64().map(|v| fixed(v, 3))),
            ("1-NN error, made of samples", |o| o["quality"]["one_nn_error"].as_f64().map(|v| fixed(v, 4))),
            ("two-sample accuracy, in features", |o| o["quality"]["two_sample_accuracy_features"].as_f64().map(|v| fixed(v, 3))),
            ("classes covered", |o| o["quality"]["classes_covered"].as_f64().map(|v| fixed(v, 0))),
            ("distance to nearest training item", |o| o["quality"]["nearest_training"].as_f64().map(|v| fixed(v, 3))),
            ("sharpness, the data's is 1", |o| o["quality"]["sharpness"].as_f64().map(|v| fixed(v, 3))),
        ],
        note: "Features are those of kiln's own classifier of this data: these are no FID or KID. Distances: 0 is best. Two-sample accuracy: ½ is best. The 1-NN \
               classifier is made of conditional samples and tried on the data.",
    },
    Part {
        title: "Drawing",
        lines: &[
            ("steps one after another", |o| o["sampling"]["sequential_steps"].as_u64().map(grouped)),
            ("operations an image, 10⁶", |o| o["sampling"]["flops"].as_f64().map(|v| fixed(v * 1e-6, 1))),
            ("ms an image, one at a time", |o| o["sampling"]["ms_of_1"].as_f64().map(|v| fixed(v, 2))),
            ("ms an image, 64 together", |o| o["sampling"]["ms_of_64"].as_f64().map(|v| fixed(v, 2))),
        ],
        note: "An autoregressive model draws from a cache: one pass's operations, spread over all values in turn.",
    },
    Part {
        title: "Latent code",
        lines: &[
            ("numbers", |o| o["latent"]["size"].as_u64().map(grouped)),
            ("linear classifier of it", |o| o["latent"]["linear_accuracy"].as_f64().map(|v| fixed(v, 4))),
            ("linear classifier of D's features", |o| o["quality"]["linear_accuracy"].as_f64().map(|v| fixed(v, 4))),
        ],
        note: "Accuracies on the data measured, of classifiers fitted on training items.",
    },
];

/// The part whose figures some models have something to say of.
const LIKELIHOOD: &str = "Likelihood";
/// Whether a score is a cross-entropy or a density, as its note says, and stands beside no −log p of levels.
fn is_no_likelihood(object: &Value) -> bool {
    !object["likelihood"]["note"].is_null()
}

/// What stands where a run has no such figure.
const NONE: &str = "–";

impl Comparison<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.rows.iter().map(|row| row.object["run"].as_str().unwrap_or_default());
        let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string();
        let short: Vec<String> = names.clone().map(last).collect();
        let differ = short.iter().enumerate().all(|(i, name)| !short[..i].contains(name));
        if differ { short } else { names.map(String::from).collect() }
    }

    /// The lines of a part that some run has a figure for.
    fn lines(&self, part: &Part) -> Vec<(&'static str, Vec<String>)> {
        let cells = |cell: fn(&Value) -> Option<String>| self.rows.iter().map(move |row| cell(&row.object)).collect::<Vec<_>>();
        let lines = part.lines.iter().map(|(name, cell)| (*name, cells(*cell)));
        let some = lines.filter(|(_, cells)| cells.iter().any(Option::is_some));
        some.map(|(name, cells)| (name, cells.into_iter().map(|cell| cell.unwrap_or_else(|| NONE.into())).collect())).collect()
    }

    /// The table in words, a column a run.
    pub fn words(&self) -> String {
        let names = self.names();
        let parts: Vec<_> = PARTS.iter().map(|part| (part.title, self.lines(part))).filter(|(_, lines)| !lines.is_empty()).collect();
        let length = |text: &str| text.chars().count();
        let first = parts.iter().flat_map(|(_, lines)| lines.iter().map(|(name, _)| length(name) + 2)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len())
            .map(|k| {
                parts
                    .iter()
                    .flat_map(|(_, lines)| lines.iter().map(move |(_, cells)| length(&cells[k])))
                    .chain([length(&names[k])])
                    .max()
                    .unwrap_or(0)
                    + 2
            })
            .collect();
        let set = |text: &str, width: usize| format!("{}{text}", " ".repeat(width.saturating_sub(length(text))));
        let row = |cells: &[String]| cells.iter().zip(&widths).map(|(cell, width)| set(cell, *width)).collect::<String>();
        let mut words =
            format!("{} samples of each run beside {}, on {}\n{}{}", self.samples, self.data, self.device, " ".repeat(first), row(&names));
        for (title, lines) in &parts {
            let _ = write!(words, "\n{title}");
            for (name, cells) in lines {
                let _ = write!(words, "\n  {name}{}{}", " ".repeat(first - 2 - length(name)), row(cells));
            }
        }
        for (row, name) in self.rows.iter().zip(&names) {
            if let Some(note) = row.object["likelihood"]["note"].as_str() {
                let _ = write!(words, "\n{name}: {note}");
            }
        }
        words
    }

    /// The page.
    ///
    /// # Errors
    /// A picture that cannot be written.
    pub fn page(&self) -> Result<Page> {
        let names = self.names();
        let mut page = Page::new("Models beside one another");
        page.text(&format!(
            "Runs on the same data, measured in the same way on {}: {}, {} samples of each. A dash stands where a family has no such figure.",
            self.device, self.data, self.samples
        ));
        page.section("Samples");
        page.text(&format!("The first {SHOWN} of seed 1, not chosen; conditional runs draw their classes in turn."));
        for (row, name) in self.rows.iter().zip(&names) {
            if row.images.is_empty() {
                page.text(&format!("{name} draws no images."));
            } else {
                page.image(name, &report::grid(&row.images, row.dims, 10))?;
            }
        }
        let head: Vec<&str> = std::iter::once("figure").chain(names.iter().map(String::as_str)).collect();
        for part in &PARTS {
            let lines = self.lines(part);
            if lines.is_empty() {
                continue;
            }
            page.section(part.title);
            let table: Vec<Vec<String>> =
                lines.into_iter().map(|(name, cells)| std::iter::once(name.to_string()).chain(cells).collect()).collect();
            page.table(&head, &table);
            page.text(part.note);
            for (row, name) in self.rows.iter().zip(&names).filter(|_| part.title == LIKELIHOOD) {
                if let Some(note) = row.object["likelihood"]["note"].as_str() {
                    page.text(&format!("{name}: {note}"));
                }
            }
        }
        let runs: Vec<&str> = self.rows.iter().filter_map(|row| row.object["run"].as_str()).collect();
        page.section("Again");
        page.code(&format!("kiln compare {} --data {} --samples {}", runs.join(" "), self.data, self.samples));
        Ok(page)
    }

    /// Samples of all runs, ten of each in a row.
    pub fn picture(&self) -> RgbImage {
        let shown: Vec<(&Row, String)> = self.rows.iter().zip(self.names()).filter(|(row, _)| !row.images.is_empty()).collect();
        let Some(dims) = shown.first().map(|(row, _)| row.dims) else { return RgbImage::new(1, 1) };
        let row_len = 10 * dims.iter().product::<usize>();
        let images: Vec<f32> = shown.iter().flat_map(|(row, _)| row.images[..row_len].iter().copied()).collect();
        let row_captions = shown.into_iter().map(|(_, name)| name).collect();
        report::grid_with(&images, dims, &GridOptions { columns: 10, row_captions, ..GridOptions::default() })
    }
}

fn fixed(value: f64, places: usize) -> String {
    format!("{value:.places$}").replace('-', "−")
}

/// A whole number in groups of three.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn with_error(object: &Value, key: &str, places: usize) -> Option<String> {
    let value = object[key].as_f64()?;
    Some(match object["standard_error"].as_f64() {
        Some(error) => format!("{} ± {}", fixed(value, places), fixed(error, places)),
        None => fixed(value, places),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_without_a_likelihood_has_a_dash_there_and_lines_of_nobody_are_left_out() {
        let exact = json!({ "run": "runs/a", "model": "pixelcnn", "parameters": 53_569, "values": "bits",
            "likelihood": { "figure": "-log p, exact", "nats": 91.954, "standard_error": 0.21, "bits_per_dim": 0.169 }, "mixed_with_noise_nats": 96.56 });
        let none = json!({ "run": "runs/b", "model": "dcgan", "parameters": 1_000_000 });
        let rows = [exact, none].map(|object| Row { object, images: vec![0.5; SHOWN * 4], dims: [2, 2, 1] });
        let comparison = Comparison { rows: &rows, data: "digits:test", samples: 10, device: "cpu".into() };
        let words = comparison.words();
        assert!(words.contains("91.95 ± 0.21") && words.contains("53,569") && words.contains("1,000,000"), "{words}");
        let line = |name: &str| words.lines().find(|line| line.trim_start().starts_with(name)).map(str::to_string);
        assert!(line("−log p, nats").expect("a line").trim_end().ends_with(NONE), "{words}");
        assert!(line("Fréchet").is_none() && !words.contains("Quality"), "{words}");
        let html = comparison.page().unwrap().to_html();
        assert_eq!((html.matches("<img").count(), html.contains("kiln compare runs/a runs/b")), (2, true));
        assert!(comparison.picture().width() > 500);
        // Folders of one name are told by their paths.
        let twice = [json!({ "run": "x/a" }), json!({ "run": "y/a" })].map(|object| Row { object, images: Vec::new(), dims: [2, 2, 1] });
        assert_eq!(Comparison { rows: &twice, ..comparison }.names(), ["x/a", "y/a"]);
    }
}
