//! `kiln bench sweep train`: a training step's time and memory against batch, width, depth, side and size of the data.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::RngExt;

use super::families::{Axis, FAMILIES, Family, Size};
use super::line::{Line, Point};
use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::spread;
use crate::cli::bench::workloads::{Prepared, Workload};
use crate::data::{Augment, Binarization, Loader, LoaderOptions, OpenOptions, Split, open};
use crate::error::{Error, Result};
use crate::heap;
use crate::random::Draws;
use crate::report::write_npy_u8;
use crate::runtime::{Device, Program, Weights};
use crate::wait::Wait;

/// Steps are timed until as many as asked for have taken this long together, in seconds, …
const LEAST: f64 = 0.25;
/// … or two of them as long as this.
const ENOUGH: f64 = 1.0;
const FEWEST: usize = 2;

/// What is measured of `filter`: families and their axes.
///
/// # Errors
/// [`Error::Usage`] for a filter that no line's name holds.
pub fn planned(filter: &str) -> Result<Vec<(&'static Family, Axis)>> {
    let all: Vec<(&Family, Axis)> = FAMILIES.iter().flat_map(|family| Axis::ALL.map(|axis| (family, axis))).collect();
    let there = || all.iter().filter(|(family, axis)| !family.sizes(*axis).is_empty());
    let name = |(family, axis): &(&Family, Axis)| format!("{}-{}", family.name, axis.name());
    let chosen: Vec<_> = there().filter(|line| name(line).contains(filter)).copied().collect();
    let refused = || {
        let [families, axes] = [FAMILIES.map(|f| f.name).join(", "), Axis::ALL.map(Axis::name).join(", ")];
        Error::usage(format!("no line's name holds {filter}; lines are FAMILY-AXIS: of {families}, and {axes}"))
    };
    if chosen.is_empty() { Err(refused()) } else { Ok(chosen) }
}

/// Measures one family along one axis; `progress` hears of each size.
///
/// # Errors
/// Those of the model, the device, and of files that cannot be written.
pub fn measure(
    (family, axis): (&'static Family, Axis),
    args: &BenchArgs,
    device: &Device,
    folder: &Path,
    progress: &mut dyn FnMut(),
) -> Result<Line> {
    let mut points = Vec::new();
    for size in family.sizes(axis) {
        let point = point(family, &size, args, device, folder)?;
        points.push(Point { n: size.along(axis), ..point });
        progress();
    }
    Ok(Line { subject: family.name.into(), axis: axis.name(), points })
}

fn point(family: &Family, size: &Size, args: &BenchArgs, device: &Device, folder: &Path) -> Result<Point> {
    let hyper = (family.hyper)(size);
    let dims = (family.dims)(size.side);
    let workload = Workload { name: family.name, model: family.model, hyper: &hyper, batch: size.batch, dims, binary: family.binary };
    let file = if size.data > 0 { Some(write_items(family.binary, dims, size.data, folder)?) } else { None };
    let before = heap::watch();
    let (prepared, mut state, graph) = workload.prepare(size.batch, device)?;
    let mut program = Program::new(device, &graph, &state, Weights::Current).wait()?;
    prepared.write(&mut program)?;
    let mut loader = file.map(|file| load(&file, &prepared)).transpose()?;
    let (mut times, mut spent, mut at) = (Vec::new(), 0.0, 1);
    while (times.len() < args.steps || spent < LEAST) && (times.len() < FEWEST || spent < ENOUGH) {
        let start = Instant::now();
        if let Some(loader) = &mut loader {
            program.write("x", &loader.next()?.values)?;
        }
        program.run(&mut state, &prepared.step(at)).wait()?;
        // Reading the loss waits for the device.
        program.read(&state, "loss").wait()?;
        // The first step warms up.
        if at > 1 {
            times.push(start.elapsed().as_secs_f64());
            spent += start.elapsed().as_secs_f64();
        }
        at += 1;
    }
    let bytes = match device {
        Device::Cpu(_) => heap::most().saturating_sub(before),
        Device::Gpu(_) => program.bytes(),
    };
    let [_, seconds, _] = spread(times);
    let numbers = graph.nodes().iter().map(|node| node.shape.len()).sum::<usize>() as f64;
    let parameters = prepared.model.state().parameters(true) as f64;
    let of_data = size.data > 0;
    Ok(Point {
        n: 0,
        seconds,
        work: (!of_data).then_some(graph.flops() as f64),
        bytes: Some(bytes as u64),
        room: if of_data { [size.data as f64, 1.0] } else { [numbers, parameters] },
    })
}

/// Writes a data set of so many random items, and tells where.
///
/// # Errors
/// Those of a file that cannot be written.
pub fn write_items(binary: bool, dims: [usize; 3], count: usize, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("items.npy");
    let levels = if binary { 2.0 } else { 256.0 };
    let values: Vec<u8> =
        Draws::new(1, 0, 0).random_iter().take(count * dims.iter().product::<usize>()).map(|u: f32| (u * levels) as u8).collect();
    write_npy_u8(&path, &[count, dims[0], dims[1], dims[2]], &values)?;
    Ok(path)
}

/// Reads it as a training run does.
fn load(file: &Path, prepared: &Prepared) -> Result<Loader> {
    let source = open(&file.to_string_lossy(), Split::Train, &OpenOptions { valid_fraction: 0.0, ..OpenOptions::default() })?;
    let options = LoaderOptions {
        batch: prepared.batch * prepared.model.batches(),
        seed: 1,
        start_step: 0,
        binarization: Binarization::None,
        scale: prepared.model.scale(),
        augment: Augment::default(),
        prefetch: 2,
    };
    Loader::new(source, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_of_every_family_is_a_model() {
        for (family, axis) in planned("").expect("lines") {
            let sizes = family.sizes(axis);
            // The others lie between.
            for size in [&sizes[0], &sizes[sizes.len() - 1]] {
                let hyper = (family.hyper)(size);
                let dims = (family.dims)(size.side);
                let workload = Workload { name: family.name, model: family.model, hyper: &hyper, batch: 1, dims, binary: family.binary };
                workload.build().unwrap_or_else(|e| panic!("{} {}: {e}", family.name, axis.name()));
            }
        }
    }

    #[test]
    fn a_filter_names_families_axes_or_both() {
        assert_eq!(planned("pixelcnn-pp").expect("a family").len(), 5);
        assert_eq!(planned("vae-mlp-depth").expect("a line").len(), 1);
        let refused = planned("vae-mlp-length").err().expect("no line").to_string();
        assert!(refused.contains("vae-mlp-length") && refused.contains("cvae-conv") && refused.contains("depth"), "{refused}");
    }
}
