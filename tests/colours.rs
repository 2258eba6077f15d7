//! Colours told of a luma: that their probabilities are those of images, that nothing is read too early, that samplers draw from them, and
//! that images keep their luma.

#[path = "support/pixels.rs"]
mod pixels;

use kiln::graph::Step;
use kiln::model::{chroma, need};
use kiln::random::Draws;
use kiln::runtime::{Device, Program, Weights};
use kiln::sample::raster::{Drawn, Job, Method, RasterSampler};
use kiln::wait::Wait;
use kiln::{Error, Result};
use pixels::{CLASSES, Net, data, job, labels};

const SMALL: &str = "task = 'colorize'\nlayers = 2\nhidden = 6\nhead = 6\nfirst_kernel = 3";

/// A small network of colours, whose levels are those of the data: bytes.
fn net(dims: [usize; 3], more: &str) -> Result<Net> {
    let mut net = Net::of("gated-pixelcnn", data(dims, 256, CLASSES), 0, &format!("{SMALL}\n{more}"))?;
    net.levels = 256;
    Ok(net)
}

/// Luma and levels of chroma of images in bytes.
fn apart(images: &[f32]) -> [Vec<f32>; 2] {
    let pixels: Vec<_> = images.chunks(3).map(|pixel| chroma::of_pixel([0, 1, 2].map(|k| pixel[k] as i32))).collect();
    [
        pixels.iter().map(|(luma, _)| *luma as f32).collect(),
        pixels.iter().flat_map(|(_, chroma)| chroma.map(|v| (v + 255) as f32)).collect(),
    ]
}

/// Images of lumas and levels of chroma.
fn together(lumas: &[f32], levels: &[f32]) -> Vec<f32> {
    let pixel = |(luma, levels): (&f32, &[f32])| chroma::to_pixel(*luma as i32, [0, 1].map(|k| levels[k] as i32 - 255));
    lumas.iter().zip(levels.chunks(2)).flat_map(pixel).map(|v| v as f32).collect()
}

/// Draws colours for the luma of images.
fn draw(net: &mut Net, method: Method, lumas: &[f32], job: &Job<'_>) -> Result<Drawn> {
    let hot = labels(job.count, net.class);
    let job = Job { inputs: &[("luma", lumas), ("labels", &hot)], ..job.clone() };
    net.draw(method, &job)
}

#[test]
fn probabilities_of_all_images_of_a_luma_sum_to_one() -> Result<()> {
    let mut net = net([1, 2, 3], "")?;
    let mut draws = Draws::new(7, 1, 0);
    let first: Vec<f32> = (0..3).map(|_| draws.below(256) as f32).collect();
    // A pixel that is dark has few colours; the one before it is given.
    for luma in [0, 1, 9, 250, 255] {
        let all = (0..1 << 24).map(|code: i32| [code & 255, code >> 8 & 255, code >> 16]);
        let pixels: Vec<[i32; 3]> = all.filter(|pixel| chroma::of_pixel(*pixel).0 == luma).collect();
        let images: Vec<f32> = pixels.iter().flat_map(|pixel| first.iter().copied().chain(pixel.map(|v| v as f32))).collect();
        let scores = net.score(&images, 512)?;
        let last = |image: &[f32]| f64::from(image[3] + image[4] + image[5]);
        let total: f64 = scores.map.chunks(6).map(|image| (-last(image)).exp()).sum();
        assert!((total - 1.0).abs() < 1e-4, "luma {luma}, {} images: {total}", pixels.len());
        // Of each pixel the luma costs nothing, and the rest is the image's.
        for (image, nll) in scores.map.chunks(6).zip(&scores.nll) {
            assert!(image[0] == 0.0 && image[3] == 0.0);
            assert!((f64::from(image.iter().sum::<f32>()) - nll).abs() < 1e-3);
        }
    }
    Ok(())
}

#[test]
fn a_chroma_is_told_by_those_before_it_and_by_all_of_the_luma() -> Result<()> {
    let mut net = net([4, 5, 3], "")?;
    let images = net.noise(1, 1);
    let [lumas, levels] = apart(&images);
    let graph = need::in_order(net.model.as_ref())?.raster_graph(1)?;
    let mut program = Program::new(&net.device, &graph, &net.state, Weights::Current).wait()?;
    let mut logits = |lumas: &[f32], levels: &[f32]| -> Result<Vec<f32>> {
        program.write("x", levels)?;
        program.write("luma", lumas)?;
        program.run(&mut net.state, &Step::default()).wait()?;
        program.read(&net.state, "logits").wait()
    };
    let base = logits(&lumas, &levels)?;
    let differs = |other: &[f32], value: usize| base[value * 511..][..511] != other[value * 511..][..511];
    for place in 0..40 {
        let mut changed = levels.clone();
        changed[place] = (changed[place] + 255.0) % 511.0;
        let other = logits(&lumas, &changed)?;
        assert!((0..=place).all(|value| !differs(&other, value)), "the value at {place} is read too early");
        assert!(place % 2 == 1 || differs(&other, place + 1), "Co of place {place} does not read its Cg");
    }
    // The last luma is read by the first colour.
    let mut changed = lumas.clone();
    changed[19] = 255.0 - changed[19];
    assert!(differs(&logits(&changed, &levels)?, 0));
    Ok(())
}

#[test]
fn samplers_draw_the_same_and_what_they_draw_has_its_luma_and_its_likelihood() -> Result<()> {
    for more in ["", "conditional = true", "dilations = [2]"] {
        let mut net = net([5, 4, 3], more)?;
        net.class = 1;
        let [lumas, _] = apart(&net.noise(6, 2));
        let naive = draw(&mut net, Method::Naive, &lumas, &job(6, 0))?;
        let cached = draw(&mut net, Method::Cached, &lumas, &job(6, 0))?;
        assert_eq!(naive.images, cached.images, "{more}");
        // The same images by halves.
        let half = draw(&mut net, Method::Cached, &lumas[3 * 20..], &job(3, 3))?;
        assert_eq!(cached.images[3 * 40..], half.images);
        let images = together(&lumas, &cached.images);
        assert!(images.iter().all(|v| (0.0..=255.0).contains(v)), "a colour that no pixel has");
        assert_eq!(apart(&images)[0], lumas);
        let scores = net.score(&images, 4)?;
        for (drawn, nll) in cached.log_p.iter().zip(&scores.nll) {
            assert!((drawn + nll).abs() < 1e-3 * nll, "{drawn} {nll}");
        }
    }
    Ok(())
}

#[test]
fn what_needs_whole_images_is_refused_and_a_sampler_wants_the_luma() -> Result<()> {
    let mut net = net([4, 4, 3], "")?;
    let refused = |error: Option<Error>| error.map(|e| e.to_string()).unwrap_or_default();
    let model = net.model.as_ref();
    for said in [refused(need::draws(model).err()), refused(need::raster(model).err()), refused(need::completes(model).err())] {
        assert!(said.ends_with("was trained with a task and draws given images alone; take kiln colorize"), "{said}");
    }
    let mut sampler = RasterSampler::new(&Device::CPU, model, &net.state, Weights::Current, Method::Cached).wait()?;
    let said = refused(sampler.sample(net.model.as_ref(), &mut net.state, &job(2, 0)).wait().err());
    assert_eq!(said, "the model's images depend on luma, which were not given for each image");
    Ok(())
}
