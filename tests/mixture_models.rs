//! Autoregressive networks that tell pixels by a mixture of logistics.

#[path = "support/pixels.rs"]
mod pixels;

use kiln::data::{Binarization, Kind};
use kiln::model::{self, DataSpec, Law};
use kiln::sample::raster::{Drawn, Job, Method};
use kiln::tensor::Arena;
use kiln::wait::Wait;
use kiln::{Error, Result};

use pixels::{Net, domain, job};

/// Networks, and what makes them small.
const NETS: [(&str, &str); 3] = [
    ("pixelcnn", "blocks = 2\nhidden = 5\nhead = 7\nfirst_kernel = 5"),
    ("gated-pixelcnn", "layers = 2\nhidden = 5\nhead = 4\nfirst_kernel = 3"),
    ("pixelrnn", "layers = 1\nhidden = 7\nhead = 25\nfirst_kernel = 3"),
];

/// A network whose mixtures differ from pixel to pixel and from component to component.
fn net(name: &str, dims: [usize; 3], levels: usize, hyper: &str) -> Result<Net> {
    let mut net = Net::of(name, pixels::data(dims, levels, 0), levels, &format!("{hyper}\nlikelihood = 'mixture'\nmixtures = 3"))?;
    let spec = net.model.state().clone();
    for id in spec.ids().into_iter().filter(|id| spec.spec(*id).name.starts_with("head.")) {
        let stronger: Vec<f32> = net.state.read(id, Arena::Value).wait()?.iter().map(|v| 2.5 * v).collect();
        net.state.write(id, Arena::Value, &stronger)?;
    }
    Ok(net)
}

#[test]
fn probabilities_of_every_image_sum_to_one() -> Result<()> {
    for (name, hyper) in NETS {
        for (dims, levels) in [([2, 2, 1], 5), ([2, 2, 3], 3)] {
            // Of twelve values, the last pixel's alone.
            let mut net = net(name, dims, levels, hyper)?;
            let item = net.item();
            let free = item.min(4);
            let ends = domain(free, levels);
            let start = net.noise(1, 4);
            let images: Vec<f32> = ends.chunks(free).flat_map(|end| [&start[..item - free], end].concat()).collect();
            let scores = net.score(&images, 128)?;
            let of = |image: usize| scores.map[(image + 1) * item - free..(image + 1) * item].iter().map(|v| f64::from(*v)).sum::<f64>();
            let total: f64 = (0..scores.nll.len()).map(|image| (-of(image)).exp()).sum();
            assert_eq!(scores.nll.len(), levels.pow(free as u32));
            assert!((total - 1.0).abs() < 2e-5, "{name}, {dims:?}, {levels} levels: {total}");
        }
    }
    Ok(())
}

#[test]
fn cached_sampling_is_naive_sampling_bit_for_bit_and_its_log_p_the_scorers() -> Result<()> {
    for (name, hyper) in NETS {
        for (dims, levels, more) in [([4, 5, 1], 256, ""), ([3, 4, 3], 256, ""), ([3, 3, 3], 6, ""), ([4, 6, 3], 256, "\nscales = 2")] {
            let mut net = net(name, dims, levels, &format!("{hyper}{more}"))?;
            for temperature in [1.0, 0.6] {
                let job = Job { temperature, ..job(11, 5) };
                let cached = net.draw(Method::Cached, &job)?;
                assert_eq!(cached, net.draw(Method::Naive, &job)?, "{name}, {dims:?}, {levels} levels, temperature {temperature}");
                assert!(cached.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels as f32).contains(v)));
            }
            let drawn = net.draw(Method::Cached, &job(9, 0))?;
            let scores = net.score(&drawn.images, 4)?;
            for (image, (log_p, nll)) in drawn.log_p.iter().zip(&scores.nll).enumerate() {
                assert!((log_p + nll).abs() <= 5e-6 * nll, "{name}, {dims:?}, image {image}: {log_p} against {}", -nll);
            }
        }
    }
    Ok(())
}

#[test]
fn no_parameter_sees_its_own_pixel_or_a_later_one() -> Result<()> {
    for (name, hyper) in NETS {
        let (dims, levels) = ([3, 3, 3], 8);
        let mut net = net(name, dims, levels, hyper)?;
        let (item, each) = (net.item(), Law::outputs(&net.model.raster().expect("it draws").law(), 3));
        let base = net.noise(1, 1);
        let mut images = base.clone();
        for j in 0..item {
            let mut changed = base.clone();
            changed[j] = (changed[j] + 4.0) % 8.0;
            images.extend(changed);
        }
        let outputs = net.logits(&images)?;
        let pixel = |image: usize, p: usize| &outputs[(image * item / 3 + p) * each..][..each];
        for j in 0..item {
            let seen: Vec<usize> = (0..item / 3).filter(|p| pixel(j + 1, *p) != pixel(0, *p)).collect();
            assert!(seen.iter().all(|p| *p > j / 3), "{name}: value {j} changed {seen:?}");
            assert!(j / 3 == item / 3 - 1 || !seen.is_empty(), "{name}: value {j} changed nothing");
        }
    }
    Ok(())
}

#[test]
fn completion_keeps_what_is_given_be_it_colours_of_a_pixel() -> Result<()> {
    let (name, hyper) = NETS[0];
    let mut net = net(name, [3, 4, 3], 256, hyper)?;
    let (item, count) = (net.item(), 6);
    let given = net.noise(count, 8);
    // Red is given, and green and blue are drawn; and some pixels are given whole.
    for kept in [(0..item).map(|i| i % 3 == 0).collect::<Vec<bool>>(), (0..item).map(|i| i / 3 % 2 == 0).collect()] {
        let job = Job { keep: Some((&given, &kept)), ..job(count, 0) };
        let drawn = net.draw(Method::Cached, &job)?;
        assert_eq!(drawn, net.draw(Method::Naive, &job)?);
        assert!(drawn.images.iter().zip(&given).enumerate().all(|(i, (drawn, given))| !kept[i % item] || drawn == given));
        let map = net.score(&drawn.images, count)?.map;
        for (image, log_p) in drawn.log_p.iter().enumerate() {
            let rest: f64 = (0..item).filter(|&v| !kept[v]).map(|v| f64::from(map[image * item + v])).sum();
            assert!((log_p + rest).abs() <= 1e-5 * rest, "image {image}: {log_p} against {}", -rest);
        }
    }
    Ok(())
}

#[test]
fn images_do_not_depend_on_how_a_job_is_split() -> Result<()> {
    let (name, hyper) = NETS[1];
    let mut net = net(name, [3, 3, 3], 256, hyper)?;
    let whole = net.draw(Method::Cached, &job(23, 0))?;
    let mut parts = Drawn { images: Vec::new(), log_p: Vec::new() };
    for (first, count) in [(0, 1), (1, 9), (10, 13)] {
        let part = net.draw(Method::Cached, &job(count, first))?;
        parts.images.extend(part.images);
        parts.log_p.extend(part.log_p);
    }
    assert_eq!(whole, parts);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |binary: bool, hyper: &str, words: &[&str]| {
        let (kind, colours) = if binary { (Kind::Binary, 1) } else { (Kind::Pixels, 3) };
        let data = DataSpec { dims: [4, 4, colours], classes: 0, kind, binarization: Binarization::None, mean: None };
        for (name, _) in NETS {
            let error =
                model::build(name, &toml::from_str(hyper).expect("TOML"), &data).err().unwrap_or_else(|| panic!("{hyper} was accepted"));
            assert!(matches!(error, Error::Usage(_)), "{error:?}");
            let said = error.to_string();
            assert!(words.iter().chain([&name]).all(|word| said.contains(word)), "{said}");
        }
    };
    refused(true, "likelihood = 'mixture'", &["bits", "binarization=none", "likelihood=logits"]);
    refused(false, "likelihood = 'mixture'\nlevels = 2", &["levels=2", "binary"]);
    refused(false, "mixtures = 5", &["mixtures", "likelihood=mixture"]);
    refused(false, "likelihood = 'mixture'\nmixtures = 0", &["1 to 64", "0"]);
    refused(false, "likelihood = 'poisson'", &["poisson", "gaussian", "mixture", "logits"]);
    refused(false, "likelihood = 'gaussian'", &["Gaussians", "continuous", "quantize=none"]);
}
