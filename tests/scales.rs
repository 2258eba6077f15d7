//! Several scales: that their likelihood is one, exact and of the parts it is said to be, that what is coarse may be seen everywhere and is
//! kept, and that samplers draw from it.

#[path = "support/pixels.rs"]
mod pixels;

use std::collections::BTreeSet;

use kiln::cpu::Arena;
use kiln::graph::Step;
use kiln::model::{Raster, need};
use kiln::runtime::{Program, Weights};
use kiln::sample::raster::{Drawn, Job, Method, RasterProgram, RasterSampler, order};
use kiln::wait::Wait;
use kiln::{Error, Result};
use pixels::{CLASSES, Net, data, domain, job, labels};

/// Small networks of each family that has scales.
const FAMILIES: [(&str, &str); 4] = [
    ("pixelcnn", "blocks = 2\nhidden = 6\nhead = 6\nfirst_kernel = 3"),
    ("gated-pixelcnn", "layers = 2\nhidden = 6\nhead = 6\nfirst_kernel = 3"),
    ("pixelrnn", "layer = 'row'\nlayers = 1\nhidden = 6\nhead = 6\nfirst_kernel = 3"),
    ("pixelrnn", "layer = 'diagonal'\nlayers = 1\nhidden = 6\nhead = 6\nfirst_kernel = 3"),
];

fn net((model, hyper): (&str, &str), dims: [usize; 3], levels: usize, more: &str) -> Result<Net> {
    Net::labelled(model, dims, levels, &format!("{hyper}\n{more}"))
}

/// Values of even rows and columns of images of these dims.
fn every_second(images: &[f32], [h, w, c]: [usize; 3]) -> Vec<f32> {
    let even = |at: &usize| (at / c / w % h).is_multiple_of(2) && (at / c % w).is_multiple_of(2);
    (0..images.len()).filter(even).map(|at| images[at]).collect()
}

fn part<'a>(scores: &'a kiln::eval::Scores, name: &str) -> &'a [f64] {
    &scores.parts.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn probabilities_of_every_image_sum_to_one() -> Result<()> {
    for family in FAMILIES {
        let mut net = net(family, [4, 4, 1], 2, "scales = 2")?;
        let scores = net.score(&domain(16, 2), 4096)?;
        assert_eq!(scores.nll.len(), 65_536);
        let total: f64 = scores.nll.iter().map(|nll| (-nll).exp()).sum();
        assert!((total - 1.0).abs() < 2e-5, "{family:?}: {total}");
        // The coarse image alone is a distribution too: each of its 16 comes with 4,096 finer ones.
        let coarse: f64 = part(&scores, "nats_2x2").iter().map(|nll| (-nll).exp()).sum::<f64>() / 4096.0;
        assert!((coarse - 1.0).abs() < 2e-5, "{family:?}: {coarse}");
    }
    Ok(())
}

#[test]
fn of_three_scales_too_what_is_told_of_a_value_depends_on_those_drawn_before_it_alone() -> Result<()> {
    for (family, dims, levels) in
        [(FAMILIES[0], [8, 8, 1], 2), (FAMILIES[1], [8, 8, 1], 2), (FAMILIES[3], [8, 8, 1], 2), (FAMILIES[1], [8, 8, 3], 4)]
    {
        let mut net = net(family, dims, levels, "scales = 3")?;
        let item = net.item();
        let order = order(dims, 3);
        let base = net.noise(1, 2);
        // The images with one value changed each, in the order of drawing.
        let mut images = base.clone();
        for place in &order {
            let mut changed = base.clone();
            changed[*place] = (changed[*place] + 1.0) % levels as f32;
            images.extend(changed);
        }
        let map = net.score(&images, 16)?.map;
        let mut seen = 0;
        for (at, _) in order.iter().enumerate() {
            for (later, place) in order.iter().enumerate() {
                let differs = map[(at + 1) * item + place].to_bits() != map[*place].to_bits();
                assert!(!differs || later >= at, "{family:?}: value {at} of those drawn changed what is told of value {later}");
                seen += usize::from(differs && later > at);
            }
        }
        assert!(seen > item, "{family:?}: only {seen} pairs depend on each other");
        // Given what comes before, the last twelve values that are drawn, those of the middle scale and those of the coarsest have
        // probabilities that sum to one.
        let quarter = item / 16;
        for free in [&order[item - 12 / (levels / 2)..], &order[quarter..quarter + 12 / (levels / 2)], &order[..4 / (levels / 2)]] {
            let worlds = domain(free.len(), levels);
            let mut images = Vec::new();
            for world in worlds.chunks(free.len()) {
                let mut image = base.clone();
                free.iter().zip(world).for_each(|(place, value)| image[*place] = *value);
                images.extend(image);
            }
            let map = net.score(&images, 256)?.map;
            let nll = |image: &[f32]| free.iter().map(|place| f64::from(image[*place])).sum::<f64>();
            let total: f64 = map.chunks(item).map(|image| (-nll(image)).exp()).sum();
            assert!((total - 1.0).abs() < 2e-5, "{family:?}: {total}");
        }
    }
    Ok(())
}

#[test]
fn a_coarse_pixel_tells_of_all_around_it_and_before_it() -> Result<()> {
    for family in FAMILIES {
        let mut net = net(family, [6, 6, 1], 2, "scales = 2")?;
        let mut told = BTreeSet::new();
        for stream in 0..3 {
            let base = net.noise(1, stream);
            let mut changed = base.clone();
            // Row 4, column 4: behind most of the image.
            changed[4 * 6 + 4] = 1.0 - changed[4 * 6 + 4];
            let map = net.score(&[base, changed].concat(), 2)?.map;
            told.extend((0..36).filter(|place| map[36 + place] != map[*place]));
        }
        for earlier in [7, 9, 11, 13, 21, 27] {
            assert!(told.contains(&earlier), "{family:?}: the law of pixel {earlier} does not see it; {told:?} do");
        }
        // Coarse pixels before it are told without it.
        assert!([0, 2, 4, 12, 14, 16, 24, 26].iter().all(|coarse| !told.contains(coarse)), "{family:?}: {told:?}");
    }
    Ok(())
}

/// Draws of the finer scale's law, straight from its logits: −ln p of the pixels off the grid, summed in `f64`.
fn conditional_alone(net: &mut Net, raster: &dyn Raster, images: &[f32], coarse: &[f32]) -> Result<Vec<f64>> {
    let item = net.item();
    let count = images.len() / item;
    let mut program = Program::new(&net.device, &raster.raster_graph(count)?, &net.state, Weights::Current).wait()?;
    program.write("x", images)?;
    program.write("coarse", coarse)?;
    program.run(&mut net.state, &Step::default()).wait()?;
    let logits = program.read(&net.state, "logits").wait()?;
    let per = net.per_value();
    let [_, w, c] = net.dims;
    let of_value = |at: usize| {
        let logits = logits[at * per..][..per].iter().map(|l| f64::from(*l));
        if per == 1 {
            let sign = 2.0 * f64::from(images[at]) - 1.0;
            return logits.map(|l| (1.0 + (-sign * l).exp()).ln()).sum::<f64>();
        }
        logits.clone().map(f64::exp).sum::<f64>().ln() - logits.clone().nth(images[at] as usize).unwrap_or(0.0)
    };
    let off_grid = |place: &usize| place / c / w % 2 == 1 || place / c % w % 2 == 1;
    Ok((0..count).map(|image| (0..item).filter(off_grid).map(|place| of_value(image * item + place)).sum()).collect())
}

#[test]
fn the_likelihood_is_that_of_the_coarse_image_and_that_of_the_rest_given_it() -> Result<()> {
    for (family, dims, levels) in
        [(FAMILIES[0], [4, 6, 1], 2), (FAMILIES[1], [6, 4, 3], 2), (FAMILIES[2], [4, 6, 3], 8), (FAMILIES[3], [6, 6, 1], 256)]
    {
        let mut whole = net(family, dims, levels, "scales = 2")?;
        let [h, w, c] = dims;
        let small = [h / 2, w / 2, c];
        // A model of the small images, with the same weights.
        let mut alone = net(family, small, levels, "")?;
        for id in alone.model.state().ids() {
            let name = format!("scales.0.{}", alone.model.state().spec(id).name);
            let spec = whole.model.state();
            let same = spec.ids().into_iter().find(|other| spec.spec(*other).name == name);
            let values = whole.state.read(same.unwrap_or_else(|| panic!("no {name}")), Arena::Value).wait()?;
            alone.state.write(id, Arena::Value, &values)?;
        }
        let images = whole.noise(5, 4);
        let coarse = every_second(&images, dims);
        let scores = whole.score(&images, 5)?;
        let of_coarse = alone.score(&coarse, 5)?;
        assert_eq!(part(&scores, &format!("nats_{}x{}", h / 2, w / 2)), of_coarse.nll, "{family:?}");
        let model = kiln::model::build(
            family.0,
            &toml::from_str(&format!("levels = {levels}\n{}\nscales = 2", family.1)).expect("TOML"),
            &data(dims, levels, CLASSES),
        )?;
        let rest = conditional_alone(&mut whole, need::raster(model.as_ref())?, &images, &coarse)?;
        for (image, rest) in rest.iter().enumerate() {
            let own = part(&scores, &format!("nats_{h}x{w}"))[image];
            assert!((own - rest).abs() < 1e-5 * rest, "{family:?}: {own} against {rest}");
            let sum = of_coarse.nll[image] + rest;
            assert!((scores.nll[image] - sum).abs() < 1e-5 * sum, "{family:?}: {} against {sum}", scores.nll[image]);
            let map: f64 = scores.map[image * whole.item()..][..whole.item()].iter().map(|v| f64::from(*v)).sum();
            assert!((scores.nll[image] - map).abs() < 1e-5 * map, "{family:?}: the map sums to {map}");
        }
        // The map has the coarse image's at the coarse places.
        assert_eq!(every_second(&scores.map, dims), of_coarse.map, "{family:?}");
    }
    Ok(())
}

#[test]
fn both_samplers_draw_the_same_and_know_its_log_p() -> Result<()> {
    for (family, dims, levels, more) in [
        (FAMILIES[0], [4, 6, 1], 2, "scales = 2"),
        (FAMILIES[0], [8, 4, 3], 5, "scales = 2\nconditional = true"),
        (FAMILIES[1], [8, 12, 1], 2, "scales = 3"),
        (FAMILIES[1], [4, 6, 3], 256, "scales = 2\nscale_channels = 9"),
        (FAMILIES[1], [6, 4, 1], 3, "scales = 2\nconditional = true"),
        (FAMILIES[2], [4, 4, 1], 2, "scales = 2\nconditional = true"),
        (FAMILIES[3], [8, 8, 1], 2, "scales = 3"),
    ] {
        let mut net = net(family, dims, levels, more)?;
        net.class = 2;
        // More images than are drawn side by side.
        let hot = labels(11, 2);
        let inputs = [("labels", &hot[..])];
        let order = Job { inputs: &inputs, ..job(11, 5) };
        let drawn = net.draw(Method::Cached, &order)?;
        assert_eq!(drawn, net.draw(Method::Naive, &order)?, "{family:?} {dims:?} {more}");
        assert!(drawn.images.iter().all(|v| v.fract() == 0.0 && (0.0..levels as f32).contains(v)));
        let scores = net.score(&drawn.images, 11)?;
        for (log_p, nll) in drawn.log_p.iter().zip(&scores.nll) {
            assert!((log_p + nll).abs() < 1e-5 * nll, "{family:?} {dims:?} {more}: {log_p} against {}", -nll);
        }
        // However a job is split.
        let last = net.draw(Method::Cached, &Job { inputs: &[("labels", &hot[..4 * CLASSES])], ..job(4, 12) })?;
        assert_eq!(last.images, drawn.images[7 * net.item()..]);
    }
    Ok(())
}

#[test]
fn a_cached_sampler_is_given_the_map_alone_and_not_what_each_layer_makes_of_it() -> Result<()> {
    for (family, more) in [(FAMILIES[0], ""), (FAMILIES[1], "conditional = true")] {
        let mut net = net(family, [6, 4, 1], 2, &format!("scales = 2\nscale_channels = 5\n{more}"))?;
        let program = RasterProgram::new(&need::raster(net.model.as_ref())?.raster_graph(1)?, net.model.state())?;
        let maps = program.given.iter().map(|(feature, _)| &program.features[*feature]).filter(|f| f.wide).collect::<Vec<_>>();
        assert!(maps.len() == 1 && maps[0].channels == 5, "{family:?}: {maps:?}");
        // Whole passes would have moved the image into them.
        let mut sampler = RasterSampler::new(&net.device, net.model.as_ref(), &net.state, Weights::Current, Method::Cached).wait()?;
        let hot = labels(2, 0);
        sampler.sample(net.model.as_ref(), &mut net.state, &Job { inputs: &[("labels", &hot)], ..job(2, 0) }).wait()?;
        assert_eq!(sampler.spent().transfers, 0.0, "{family:?} is drawn by whole passes");
    }
    Ok(())
}

#[test]
fn what_is_kept_and_what_is_coarse_stays_and_the_rest_is_drawn_around_it() -> Result<()> {
    for (family, dims, levels, scales) in
        [(FAMILIES[0], [4, 6, 3], 2, 2), (FAMILIES[1], [8, 8, 1], 4, 3), (FAMILIES[1], [4, 4, 1], 2, 2), (FAMILIES[3], [4, 4, 1], 2, 2)]
    {
        let mut net = net(family, dims, levels, &format!("scales = {scales}"))?;
        let (item, count) = (net.item(), 6);
        let given = net.noise(count, 8);
        for kept in [(0..item).map(|i| i < item / 2).collect::<Vec<_>>(), (0..item).map(|i| i * 7 % 5 < 2).collect()] {
            let order = Job { keep: Some((&given, &kept)), ..job(count, 0) };
            let drawn = net.draw(Method::Cached, &order)?;
            assert_eq!(drawn, net.draw(Method::Naive, &order)?, "{family:?} {dims:?}");
            for (i, value) in drawn.images.iter().enumerate().filter(|(i, _)| kept[i % item]) {
                assert_eq!(*value, given[i], "{family:?} {dims:?}: place {i} was given");
            }
            let map = net.score(&drawn.images, count)?.map;
            for (image, log_p) in drawn.log_p.iter().enumerate() {
                let rest: f64 = (0..item).filter(|&v| !kept[v]).map(|v| f64::from(map[image * item + v])).sum();
                assert!((log_p + rest).abs() <= 1e-5 * rest, "{family:?} {dims:?}: {log_p} against {}", -rest);
            }
        }
        // Around a coarse image that is given: it stays, and −ln p is that of the rest.
        let coarse = every_second(&given, dims);
        let inputs = [("coarse", &coarse[..])];
        let order = Job { inputs: &inputs, ..job(count, 0) };
        let drawn = net.draw(Method::Cached, &order)?;
        assert_eq!(drawn, net.draw(Method::Naive, &order)?, "{family:?} {dims:?}");
        assert_eq!(every_second(&drawn.images, dims), coarse, "{family:?} {dims:?}");
        let scores = net.score(&drawn.images, count)?;
        for (log_p, nll) in drawn.log_p.iter().zip(part(&scores, &format!("nats_{}x{}", dims[0], dims[1]))) {
            assert!((log_p + nll).abs() < 1e-5 * nll, "{family:?} {dims:?}: {log_p} against {}", -nll);
        }
        let Err(Error::Usage(said)) = net.draw(Method::Cached, &Job { inputs: &[("coarse", &coarse[1..])], ..job(count, 0) }) else {
            panic!("drawn around too few pixels")
        };
        assert!(said.contains("coarser"), "{said}");
    }
    Ok(())
}

#[test]
fn samples_come_as_often_as_the_model_says() -> Result<()> {
    for family in [FAMILIES[0], FAMILIES[1]] {
        let mut net = net(family, [4, 4, 1], 2, "scales = 2")?;
        let nll = net.score(&domain(16, 2), 4096)?.nll;
        // The four coarse pixels, and four others, of which two are drawn by the numbers that draw coarse ones in their own image.
        let told = [0, 2, 8, 10, 1, 3, 4, 15];
        let group = |image: &[f32]| told.iter().enumerate().map(|(bit, place)| (image[*place] as usize) << bit).sum::<usize>();
        let count = 30_000;
        let mut want = vec![0.0; 256];
        domain(16, 2).chunks(16).zip(&nll).for_each(|(image, nll)| want[group(image)] += (-nll).exp() * count as f64);
        let Drawn { images, .. } = net.draw(Method::Cached, &job(count, 0))?;
        let mut seen = vec![0.0f64; 256];
        images.chunks(16).for_each(|image| seen[group(image)] += 1.0);
        let chi: f64 = seen.iter().zip(want).map(|(seen, want)| (seen - want).powi(2) / want).sum();
        // 255 degrees of freedom: above 330.5 one time in a thousand.
        assert!(chi < 330.5, "{family:?}: χ² = {chi}");
    }
    Ok(())
}

#[test]
fn scales_that_do_not_fit_are_refused() {
    let refused = |model: &str, dims: [usize; 3], hyper: &str, words: &[&str]| {
        let error = Net::of(model, data(dims, 2, 0), 2, hyper).err().unwrap_or_else(|| panic!("{hyper} was accepted"));
        assert!(matches!(error, Error::Usage(_)), "{error:?}");
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)) && said.starts_with(model), "{said}");
    };
    for (model, _) in FAMILIES {
        refused(model, [8, 8, 1], "scales = 0", &["scales", "at least 1"]);
        refused(model, [6, 8, 1], "scales = 3", &["scales=3", "6×8", "scales=2", "resize="]);
        refused(model, [7, 8, 1], "scales = 2", &["scales=2", "7×8", "scales=1"]);
        refused(model, [8, 8, 1], "scales = 4", &["scales=4", "8×8", "scales=3"]);
        refused(model, [8, 8, 1], "scales = 100000000000", &["8×8", "scales=3"]);
        refused(model, [8, 8, 1], "scale_channels = 8", &["scale_channels", "scales=2"]);
        refused(model, [8, 8, 1], "scales = 2\nscale_channels = 0", &["scale_channels", "at least 1"]);
        refused(model, [8, 8, 1], "scales = 2\nscale_channels = 1000000", &["scale_channels", "at most 8192"]);
        assert!(Net::of(model, data([8, 8, 1], 2, 0), 2, "scales = 1").is_ok());
    }
}
