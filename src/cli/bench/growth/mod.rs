//! `kiln bench sweep`: how time and memory grow with each size, and whether what ought to be linear is.

mod eval;
mod families;
mod line;
mod train;

use std::path::Path;

use serde_json::json;

use super::args::{BenchArgs, Swept};
use super::earlier::Earlier;
use crate::cli::output::Output;
use crate::error::{Error, Result};
use crate::report::{ChartOptions, chart, save_png};
use crate::runtime::Device;
use line::Line;

/// `kiln bench sweep`
pub fn run(args: &BenchArgs, swept: Swept, device: &Device, output: &Output) -> Result<()> {
    let old = Earlier::asked(args)?;
    let folder = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), e))?;
    let lines = match swept {
        Swept::Train => of_training(args, device, folder.path(), output)?,
        Swept::Eval => of_judging(args, device, folder.path(), output)?,
    };
    let mut words = match swept {
        Swept::Train => Line::head("operations", "numbers of the graph or parameters"),
        Swept::Eval => Line::head("what is to be done", "n"),
    };
    let (mut rows, mut slopes) = (Vec::new(), Vec::new());
    for line in &lines {
        let own = line.rows(&device.name());
        let ratio = own.last().map_or_else(String::new, |last| old.ratio(last, &["subject", "axis", "n"], "seconds"));
        words += &format!("{}{ratio}\n", line.words());
        rows.extend(own);
        slopes.push(line.json());
    }
    if let Some(path) = &args.picture {
        save_png(path, &picture(&lines))?;
    }
    output.result(&words, &json!({"rows": rows, "slopes": slopes}))
}

fn of_training(args: &BenchArgs, device: &Device, folder: &Path, output: &Output) -> Result<Vec<Line>> {
    let planned = train::planned(&args.filter)?;
    let sizes = planned.iter().map(|(family, axis)| family.sizes(*axis).len()).sum::<usize>();
    let bar = output.bar(sizes as u64, "sizes");
    let lines = planned.into_iter().map(|line| train::measure(line, args, device, folder, &mut || bar.inc(1))).collect();
    bar.finish_and_clear();
    lines
}

fn of_judging(args: &BenchArgs, device: &Device, folder: &Path, output: &Output) -> Result<Vec<Line>> {
    let planned = eval::planned(&args.filter)?;
    let bar = output.bar(planned.iter().map(|job| job.sizes().len()).sum::<usize>() as u64, "sizes");
    let lines = planned.into_iter().map(|job| eval::measure(job, args, device, folder, &mut || bar.inc(1))).collect();
    bar.finish_and_clear();
    lines
}

/// A chart for each axis, below one another: seconds against n, both logarithmic, a line for each subject with its slope.
fn picture(lines: &[Line]) -> image::RgbImage {
    let mut axes: Vec<&str> = Vec::new();
    for line in lines {
        if !axes.contains(&line.axis) {
            axes.push(line.axis);
        }
    }
    let options = ChartOptions { log_x: true, log_y: true, smooth: Some(0), ..ChartOptions::default() };
    let charts: Vec<image::RgbImage> = axes
        .iter()
        .map(|axis| {
            let series: Vec<_> = lines.iter().filter(|line| line.axis == *axis).map(Line::series).collect();
            chart(&format!("Against {axis}, with the slope of the upper points"), axis, "seconds", &series, &options)
        })
        .collect();
    let mut whole = image::RgbImage::new(options.width, charts.iter().map(image::RgbImage::height).sum());
    let mut top = 0;
    for chart in &charts {
        image::imageops::replace(&mut whole, chart, 0, top);
        top += i64::from(chart.height());
    }
    whole
}
