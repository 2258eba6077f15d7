//! What the host does before and beside the kernels: building graphs, planning them, and reading data.
//!
//! `cargo bench --bench host -- --quick`

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kiln::data::{self, Augment, Binarization, Loader, LoaderOptions, OpenOptions, Scale, Split};
use kiln::graph::Plan;
use kiln::train::TrainRecipe;
use models::CASES;

#[path = "support/models.rs"]
mod models;

/// Images of the generated file.
const IMAGES: usize = 2000;
/// Items of a batch read from it.
const BATCH: usize = 64;

/// The graph of a training step, and the plan of it.
fn graphs(c: &mut Criterion) {
    for case in &CASES {
        let (name, batch, model) = (case.name, case.batch, case.build());
        let recipe = TrainRecipe::new(&model.defaults());
        let update = |group| recipe.update(group);
        c.bench_function(&format!("graph/{name}"), |b| b.iter(|| model.train_graph(black_box(batch), &update).expect("a graph")));
        let graph = model.train_graph(batch, &update).expect("a graph");
        c.bench_function(&format!("plan/{name}"), |b| b.iter(|| Plan::new(black_box(&graph), model.state(), true)));
    }
}

/// An IDX file of grey 28×28 images.
fn write_images(path: &Path) {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [IMAGES as u32, 28, 28] {
        bytes.extend(size.to_be_bytes());
    }
    let pixel = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 8) % 256) as u8;
    bytes.extend((0..IMAGES * 28 * 28).map(pixel));
    std::fs::write(path, bytes).expect("written");
}

/// Decoding a file, and the batches made of it.
fn reading(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("train-images-idx3-ubyte");
    write_images(&path);
    let place = path.to_str().expect("UTF-8");
    let open = || data::open(place, Split::Train, &OpenOptions::default()).expect("images");

    let mut group = c.benchmark_group("data");
    group.throughput(Throughput::Elements(IMAGES as u64));
    group.bench_function("idx", |b| b.iter(open));
    let source = open();
    let options = |binarization, start_step| LoaderOptions {
        batch: BATCH,
        seed: 1,
        start_step,
        binarization,
        scale: Scale::Unit,
        augment: Augment::default(),
        prefetch: 1,
    };
    group.throughput(Throughput::Elements(BATCH as u64));
    for binarization in [Binarization::None, Binarization::Threshold, Binarization::Dynamic] {
        // A batch by itself, on this thread: what reading ahead must keep up with.
        group.bench_function(format!("batch/{binarization}"), |b| {
            let next = || data::sequential(Arc::clone(&source), BATCH, 1, binarization, Scale::Unit);
            b.iter_batched(next, |mut batches| batches.next().expect("a batch").expect("data"), BatchSize::SmallInput);
        });
    }
    let mut loader = Loader::new(Arc::clone(&source), options(Binarization::Dynamic, 0)).expect("a loader");
    group.bench_function("loader/dynamic", |b| b.iter(|| loader.next().expect("data")));
    group.finish();
}

/// Sides of a photograph, pixels.
const PHOTO: (u32, u32) = (1600, 1200);
/// Photographs of a folder.
const PHOTOS: usize = 8;

/// Decoding photographs, by pixels; and what a batch of them costs when each was decoded once.
fn pictures(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = image::RgbImage::from_fn(PHOTO.0, PHOTO.1, |x, y| {
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 27;
        image::Rgb([(x / 8 + grain) as u8, (y / 6 + grain) as u8, ((x + y) / 14 + grain) as u8])
    });
    let mut group = c.benchmark_group("pictures");
    group.throughput(Throughput::Elements(u64::from(PHOTO.0) * u64::from(PHOTO.1)));
    for ending in ["jpg", "png", "webp", "bmp"] {
        let path = folder.path().join(format!("photo.{ending}"));
        photo.save(&path).expect("written");
        group.bench_function(format!("decode/{ending}"), |b| b.iter(|| data::decode(&path, data::Colour::default()).expect("a photo")));
    }
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).expect("a folder");
    (0..PHOTOS).for_each(|n| photo.save(photos.join(format!("{n}.jpg"))).expect("written"));
    let reading = data::Reading { size: Some([64, 64]), ..data::Reading::default() };
    let options = OpenOptions { reading, valid_fraction: 0.0, ..OpenOptions::default() };
    let open = || data::open(photos.to_str().expect("UTF-8"), Split::Train, &options).expect("photos");
    group.throughput(Throughput::Elements(PHOTOS as u64));
    group.bench_function("folder/first", |b| b.iter(open));
    let source = open();
    group.bench_function("folder/again", |b| {
        let next = || data::sequential(Arc::clone(&source), PHOTOS, 1, Binarization::None, Scale::Unit);
        b.iter_batched(next, |mut batches| batches.next().expect("a batch").expect("data"), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(host, graphs, reading, pictures);
criterion_main!(host);
