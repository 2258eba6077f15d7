//! Mixtures of discretised logistics: a law of every value that sums to one, its tails, and its gradient.

mod support;

use kiln::Result;
use kiln::graph::{NodeId, Reaches, Shape, Unary};
use kiln::model::Law;
use kiln::op::Mixture;
use kiln::sample::raster::draw::{Chance, Pixel};
use support::{Bench, close, normals};

/// Parameters of some pixels: log scales about `scale`.
fn parameters(mixture: &Mixture, pixels: usize, scale: f64, stream: u32) -> Vec<f64> {
    let mut values = normals(pixels * mixture.parameters(), stream);
    for pixel in values.chunks_exact_mut(mixture.parameters()) {
        for colour in 0..mixture.colours {
            for k in 0..mixture.components {
                pixel[mixture.means(colour) + k] *= 0.6;
                pixel[mixture.scales(colour) + k] += scale;
            }
        }
    }
    values
}

/// −ln p of pixels whose levels are these.
fn bench(mixture: Mixture, parameters: Vec<f64>, levels: Vec<f64>) -> Result<(Bench, NodeId)> {
    let mut b = Bench::new();
    let pixels = levels.len() / mixture.colours;
    let parameters = b.leaf_of([1, 1, pixels, mixture.parameters()], parameters);
    let levels = b.leaf_of([1, 1, pixels, mixture.colours], levels.iter().map(|v| v + 0.5).collect());
    let levels = b.graph.map(&[levels], |e, v| e.unary(Unary::Floor, v[0]))?;
    let nll = b.graph.mixture_nll(parameters, levels, mixture)?;
    b.graph.output("nll", nll);
    Ok((b, nll))
}

fn nll<T: kiln::cpu::Number>(mixture: Mixture, parameters: Vec<f64>, levels: Vec<f64>) -> Result<Vec<f64>> {
    Ok(bench(mixture, parameters, levels)?.0.run::<T>(false, "nll"))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// p of the values of a pixel as the paper writes it, component by component.
fn as_defined(mixture: &Mixture, parameters: &[f64], levels: &[f64]) -> f64 {
    let k = mixture.components;
    let top = mixture.levels as f64 - 1.0;
    let whole: f64 = parameters[..k].iter().map(|l| l.exp()).sum();
    let place = |level: f64| 2.0 * level / top - 1.0;
    let component = |k: usize| {
        let of = |first: usize| parameters[first + k];
        let mut p = of(0).exp() / whole;
        for (colour, level) in levels.iter().enumerate() {
            let moved: f64 = (0..colour).map(|e| of(mixture.coefficients(colour, e)).tanh() * place(levels[e])).sum();
            let (mean, scale) = (of(mixture.means(colour)) + moved, of(mixture.scales(colour)).max(-7.0).exp());
            let below = |edge: f64| sigmoid((edge - mean) / scale);
            let upper = if *level == top { 1.0 } else { below(place(*level) + 1.0 / top) };
            let lower = if *level == 0.0 { 0.0 } else { below(place(*level) - 1.0 / top) };
            p *= upper - lower;
        }
        p
    };
    (0..k).map(component).sum()
}

#[test]
fn it_is_the_mixture_that_the_paper_defines() -> Result<()> {
    for (components, colours, levels) in [(1, 1, 2), (5, 1, 256), (3, 3, 256), (10, 3, 5), (2, 3, 2)] {
        let mixture = Mixture::new(components, colours, levels)?;
        let pixels = 37;
        let parameters = parameters(&mixture, pixels, -1.0, 3);
        let values: Vec<f64> = (0..pixels * colours).map(|i| (i * 7919 % levels) as f64).collect();
        let want = |pixel: usize| {
            let own = &parameters[pixel * mixture.parameters()..][..mixture.parameters()];
            -as_defined(&mixture, own, &values[pixel * colours..][..colours]).ln()
        };
        let want: Vec<f64> = (0..pixels).map(want).collect();
        let sums = |map: Vec<f64>| -> Vec<f64> { map.chunks_exact(colours).map(|p| p.iter().sum()).collect() };
        close(&sums(nll::<f64>(mixture, parameters.clone(), values.clone())?), &want, 1e-10, "f64");
        close(&sums(nll::<f32>(mixture, parameters.clone(), values.clone())?), &want, 1e-5, "f32");
    }
    Ok(())
}

#[test]
fn the_probabilities_of_all_levels_sum_to_one() -> Result<()> {
    for levels in [2, 3, 16, 256] {
        let mixture = Mixture::new(4, 1, levels)?;
        for scale in [-12.0, -7.0, -4.0, -1.0, 3.0, 40.0] {
            let one = parameters(&mixture, 1, scale, 5);
            let (parameters, values) = (one.repeat(levels), (0..levels).map(|v| v as f64).collect::<Vec<_>>());
            let total = |nll: Vec<f64>| nll.iter().map(|n| (-n).exp()).sum::<f64>();
            let whole = total(nll::<f64>(mixture, parameters.clone(), values.clone())?);
            assert!((whole - 1.0).abs() < 1e-12, "{levels} levels, log scale {scale}: {whole}");
            let whole = total(nll::<f32>(mixture, parameters, values)?);
            assert!((whole - 1.0).abs() < 1e-5, "{levels} levels, log scale {scale}: {whole} in f32");
        }
    }
    Ok(())
}

#[test]
fn the_probabilities_of_all_colours_sum_to_one() -> Result<()> {
    for levels in [2usize, 4] {
        let mixture = Mixture::new(3, 3, levels)?;
        let count = levels.pow(3);
        let values: Vec<f64> =
            (0..count).flat_map(|i| [i / (levels * levels), i / levels % levels, i % levels]).map(|v| v as f64).collect();
        for scale in [-4.0, -1.0, 1.0] {
            let parameters = parameters(&mixture, 1, scale, 6).repeat(count);
            let map = nll::<f64>(mixture, parameters, values.clone())?;
            let total: f64 = map.chunks_exact(3).map(|p| (-p.iter().sum::<f64>()).exp()).sum();
            assert!((total - 1.0).abs() < 1e-12, "{levels} levels: {total}");
            // So do those of a colour given the ones before it.
            for first in (0..count).step_by(levels) {
                let total: f64 = map[3 * first..3 * (first + levels)].chunks_exact(3).map(|p| (-p[2]).exp()).sum();
                assert!((total - 1.0).abs() < 1e-12, "{levels} levels, blue: {total}");
            }
        }
    }
    Ok(())
}

#[test]
fn tails_are_exact_however_far() -> Result<()> {
    // A component at −1, and levels ever further from it: ln p is that of the lower edge, and of what is left of a step.
    let mixture = Mixture::new(1, 1, 256)?;
    for log_scale in [-9.0, -7.0, -5.0] {
        let inverse = f64::min(-log_scale, 7.0).exp();
        let levels: Vec<f64> = vec![30.0, 100.0, 200.0, 254.0, 255.0];
        let want = |level: &f64| {
            let lower = (2.0 * level - 1.0) / 255.0 * inverse;
            let rest = if *level == 255.0 { 0.0 } else { (-(-2.0 / 255.0 * inverse).exp_m1()).ln() };
            lower - rest
        };
        let want: Vec<f64> = levels.iter().map(want).collect();
        let parameters = [0.3, -1.0, log_scale].repeat(levels.len());
        for (got, want) in nll::<f64>(mixture, parameters.clone(), levels.clone())?.iter().zip(&want) {
            assert!((got - want).abs() < 1e-9 * want, "{got} is not {want}");
        }
        for (got, want) in nll::<f32>(mixture, parameters, levels)?.iter().zip(&want) {
            assert!((got - want).abs() < 1e-6 * want, "{got} is not {want} in f32");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_differences() -> Result<()> {
    for (components, colours, levels, scale) in
        [(1, 1, 256, -3.0), (5, 1, 2, 0.0), (3, 3, 256, -2.0), (4, 3, 4, -1.0), (2, 3, 2, 0.5), (3, 1, 16, 6.0)]
    {
        let mixture = Mixture::new(components, colours, levels)?;
        let pixels = 18;
        let parameters = parameters(&mixture, pixels, scale, 8);
        // Both ends of the levels come about, and what is between.
        let values = (0..pixels * colours).map(|i| [0, levels - 1, i * 31 % levels][i % 3] as f64).collect();
        let (mut b, nll) = bench(mixture, parameters, values)?;
        b.check_gradients(nll, 1e-6);
    }
    Ok(())
}

#[test]
fn gradients_of_narrow_scales_are_finite_and_right() -> Result<()> {
    // At a scale under the least, that of the log scale is zero; far in the tail, that of the mean is one over the scale.
    let mixture = Mixture::new(1, 1, 256)?;
    let inverse = 7f64.exp();
    let cases = [(-1.0, -7.5, 200.0, [-inverse, 0.0]), (-1.0, -60.0, 255.0, [-inverse, 0.0]), (1.0, -7.5, 3.0, [inverse, 0.0])];
    for (mean, log_scale, level, want) in cases {
        let (mut b, nll) = bench(mixture, vec![0.5, mean, log_scale], vec![level])?;
        let loss = b.graph.sum_all(nll)?;
        let gradient = b.graph.gradients(loss, &[b.leaves[0].1])?[0];
        b.graph.output("gradient", gradient);
        for got in [b.run::<f64>(false, "gradient"), b.run::<f32>(true, "gradient")] {
            close(&got, &[0.0, want[0], want[1]], 1e-6, "gradient");
        }
    }
    // Narrower by its mean alone: the log scale's is the tail's length in scales.
    let (mut b, nll) = bench(mixture, vec![0.0, -1.0, -6.0], vec![255.0])?;
    let loss = b.graph.sum_all(nll)?;
    let gradient = b.graph.gradients(loss, &[b.leaves[0].1])?[0];
    b.graph.output("gradient", gradient);
    let length = (2.0 - 1.0 / 255.0) * 6f64.exp();
    close(&b.run::<f32>(true, "gradient"), &[0.0, -(6f64.exp()), -length], 1e-6, "gradient");
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let mixture = Mixture::new(2, 3, 4)?;
    let mut b = Bench::new();
    let mut refused = |parameters: &[usize], levels: &[usize]| {
        let (parameters, levels) = (b.leaf(Shape::new(parameters)), b.leaf(Shape::new(levels)));
        b.graph.mixture_nll(parameters, levels, mixture).is_err()
    };
    assert!(!refused(&[2, 3, 4, 20], &[2, 3, 4, 3]));
    assert!(refused(&[2, 3, 4, 6], &[2, 3, 4, 3]));
    assert!(refused(&[2, 3, 4, 20], &[2, 3, 4, 1]));
    assert!(refused(&[2, 3, 4, 20], &[2, 4, 3, 3]));
    Ok(())
}

/// Draws pixels one after another; how often each came, and ln p as the drawing says.
fn drawn(mixture: Mixture, parameters: &[f32], temperature: f32, count: usize) -> (Vec<f64>, Vec<f64>) {
    let cells = mixture.levels.pow(mixture.colours as u32);
    let (mut seen, mut told) = (vec![0.0; cells], vec![f64::NAN; cells]);
    for image in 0..count {
        let (mut values, mut log_p) = (Vec::new(), 0.0);
        for colour in 0..mixture.colours {
            let pixel = Pixel { outputs: parameters, colours: mixture.colours, earlier: &values };
            let chance = Chance { seed: 21, image: image as u32, place: colour as u32 };
            let (value, ln) = Law::Mixture(mixture).draw(&pixel, temperature, chance);
            values.push(value);
            log_p += ln;
        }
        let cell = values.iter().fold(0, |cell, value| cell * mixture.levels + *value as usize);
        seen[cell] += 1.0;
        told[cell] = log_p;
    }
    (seen, told)
}

#[test]
fn values_come_as_often_as_the_mixture_says_and_ln_p_is_theirs() -> Result<()> {
    let count = 40_000;
    for (components, colours, levels, scale) in [(3, 1, 16, -2.0), (5, 1, 256, -4.0), (1, 1, 3, 0.0), (4, 3, 4, -1.0), (2, 3, 5, -3.0)] {
        for temperature in [1.0f64, 0.5, 1.5] {
            let mixture = Mixture::new(components, colours, levels)?;
            let parameters = parameters(&mixture, 1, scale, 9);
            let narrow: Vec<f32> = parameters.iter().map(|v| *v as f32).collect();
            let (seen, told) = drawn(mixture, &narrow, temperature as f32, count);
            // At a temperature it is the mixture of other logits and scales.
            let mut tempered: Vec<f64> = narrow.iter().map(|v| f64::from(*v)).collect();
            tempered[..components].iter_mut().for_each(|logit| *logit /= temperature);
            for colour in 0..colours {
                let first = mixture.scales(colour);
                tempered[first..first + components].iter_mut().for_each(|scale| *scale += temperature.ln());
            }
            let values = |cell: usize| (0..colours).rev().map(|c| (cell / levels.pow(c as u32) % levels) as f64).collect::<Vec<_>>();
            let (mut chi, mut degrees, mut rest) = (0.0, -1.0, [0.0; 2]);
            for cell in 0..seen.len() {
                let p = as_defined(&mixture, &tempered, &values(cell));
                assert!(
                    told[cell].is_nan() || (told[cell] - p.ln()).abs() < 1e-6 * p.ln().abs().max(1.0),
                    "{} is not {}",
                    told[cell],
                    p.ln()
                );
                // Rare cells are one.
                let want = p * count as f64;
                if want < 8.0 {
                    rest = [rest[0] + seen[cell], rest[1] + want];
                } else {
                    chi += (seen[cell] - want).powi(2) / want;
                    degrees += 1.0;
                }
            }
            if rest[1] > 2.0 {
                chi += (rest[0] - rest[1]).powi(2) / rest[1];
                degrees += 1.0;
            }
            // Its mean is the degrees of freedom, and its deviation √(2·them).
            let most = degrees + 4.0 * (2.0f64 * degrees).sqrt() + 4.0;
            assert!(chi < most, "{mixture:?} at {temperature}: χ² = {chi} of {degrees}");
        }
    }
    Ok(())
}

#[test]
fn a_value_is_told_by_its_pixels_colours_up_to_itself() -> Result<()> {
    let mixture = Mixture::new(2, 3, 256)?;
    let mut b = Bench::new();
    let parameters = b.leaf([1, 2, 3, mixture.parameters()]);
    let x = b.graph.input("x", [1, 2, 3, 3]);
    let nll = b.graph.mixture_nll(parameters, x, mixture)?;
    // Parameters of green may read red, those of the components nothing.
    let own = b.graph.slice(x, 3, 0, 1)?;
    let all: Vec<NodeId> =
        (0..mixture.parameters()).map(|p| if mixture.colour(p) > 0 { Ok(own) } else { b.graph.scale(own, 0.0) }).collect::<Result<_>>()?;
    let mut moving = all[0];
    for part in &all[1..] {
        moving = b.graph.concat(moving, *part, 3)?;
    }
    let moved = b.graph.mixture_nll(moving, x, mixture)?;
    for nll in [nll, moved] {
        let reaches = Reaches::new(&b.graph, &b.spec, "x", nll);
        let reach = reaches.of(nll).expect("it reads the image");
        assert!((0..6).all(|pixel| (0..3).all(|colour| reach.at(pixel, colour) == (3 * pixel + colour) as u32 + 1)));
    }
    Ok(())
}
