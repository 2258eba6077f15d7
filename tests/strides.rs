//! Cached sampling through strided stages: what is drawn is what whole passes draw, bit for bit, at every size.

#[path = "support/ladder.rs"]
mod ladder;

use kiln::Result;
use kiln::data::{Binarization, Kind};
use kiln::model::{self, DataSpec, Model, need};
use kiln::random::Draws;
use kiln::runtime::{Device, State, Weights};
use kiln::sample::raster::{Job, Known, Method, RasterProgram, RasterSampler};
use kiln::wait::Wait;
use ladder::Ladder;

/// Draws both ways, whole images and rests of images.
fn same(model: &dyn Model, dims: [usize; 3], levels: usize, what: &str) -> Result<()> {
    let mut state = State::initial(&Device::CPU, model.state(), 3)?;
    let item: usize = dims.iter().product();
    let mut images = Vec::new();
    // One image, and more than are drawn side by side.
    for count in [1, 11] {
        let hot: Vec<f32> = (0..count * 3).map(|i| f32::from(u8::from(i % 3 == i / 3 % 3))).collect();
        let mut draws = Draws::new(23, 8, 0);
        let given: Vec<f32> = (0..count * item).map(|_| draws.below(levels) as f32).collect();
        let kept: Vec<bool> = (0..item).map(|i| i * 7 % 5 < 2).collect();
        for keep in [None, Some((&given[..], &kept[..]))] {
            let inputs: &[(&str, &[f32])] = if model.conditional() { &[("labels", &hot)] } else { &[] };
            let job = Job { count, seed: 17, first: 5, temperature: 0.9, keep, inputs };
            let mut draw = |method| {
                let mut sampler = RasterSampler::new(&Device::CPU, model, &state, Weights::Current, method).wait()?;
                sampler.sample(model, &mut state, &job).wait()
            };
            let cached = draw(Method::Cached)?;
            assert_eq!(cached, draw(Method::Naive)?, "{what}, {dims:?}, {levels} levels, {count} images, kept: {}", keep.is_some());
            images = cached.images;
        }
    }
    assert!(images.iter().any(|v| *v != images[0]), "{what}: all values are {}", images[0]);
    Ok(())
}

#[test]
fn cached_sampling_of_strided_stages_is_naive_sampling_bit_for_bit() -> Result<()> {
    for kind in [ladder::Kind::Streams, ladder::Kind::Recurrent, ladder::Kind::Late] {
        for (dims, levels) in [([8, 8, 1], 2), ([5, 7, 1], 2), ([7, 6, 2], 2), ([3, 10, 1], 5), ([2, 3, 3], 2), ([9, 1, 1], 3)] {
            same(&Ladder::new(kind, dims, levels)?, dims, levels, &format!("{kind:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn what_looks_up_alone_is_computed_by_rows_and_a_stage_keeps_few_of_them() -> Result<()> {
    let dims = [16, 16, 1];
    let model = Ladder::new(ladder::Kind::Streams, dims, 2)?;
    let program = RasterProgram::new(&need::raster(&model)?.raster_graph(1)?, model.state())?;
    for stride in [1, 2, 4] {
        let known = |known: Known| program.features.iter().filter(|f| f.stride == stride && f.known == known).count();
        assert!(known(Known::Row) > 0 && known(Known::Pixel) > 0, "stride {stride}: {} and {}", known(Known::Row), known(Known::Pixel));
    }
    assert!(program.features.iter().all(|f| f.rows <= 3), "{:?}", program.features);
    Ok(())
}

#[test]
fn a_model_of_two_streams_at_several_sizes_is_sampled_from_a_cache() -> Result<()> {
    for (dims, levels, hyper) in [
        ([8, 4, 1], 2, "filters = 3\nblocks = 1\nstages = 2"),
        ([4, 8, 2], 2, "filters = 2\nblocks = 2\nstages = 3\nconditional = true"),
        ([3, 5, 1], 2, "filters = 3\nblocks = 1\nstages = 1"),
    ] {
        let data = DataSpec { dims, classes: 3, kind: Kind::Binary, binarization: Binarization::Static, mean: None };
        let model = model::build("pixelcnn-pp", &toml::from_str(hyper).expect("hyper-parameters"), &data)?;
        same(model.as_ref(), dims, levels, hyper)?;
    }
    Ok(())
}
