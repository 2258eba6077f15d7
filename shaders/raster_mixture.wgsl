// Draws a level from a mixture of logistics, for raster.wgsl: a component given the pixel's colours so far by one random word, then the
// logistic by another. Parameters of the pixel stand at `at`. Its ln p is added to the image's.
const COMPONENTS: u32 = {{COMPONENTS}}u;
// Channels of a colour: means, log scales and, where there are several colours, coefficients.
const COLOUR: u32 = {{COLOUR}}u;
const TOP: f32 = {{TOP}};
//!include shared/mixture

// The mean of a colour in a component, of a pixel whose levels stand from `values` on.
fn mean_of(at: u32, values: u32, colour: u32, k: u32) -> f32 {
    let first = at + COMPONENTS + k;
    var mean = features[first + colour * COLOUR];
    for (var earlier = 0u; earlier < colour; earlier++) {
        let place = colour * (colour - 1u) / 2u + earlier;
        mean += tanh_stable(features[first + place * COLOUR + 2u * COMPONENTS]) * level_place(images[values + earlier]);
    }
    return mean;
}

fn log_scale_of(at: u32, colour: u32, k: u32) -> f32 {
    return features[at + 2u * COMPONENTS + colour * COLOUR + k];
}

// The weights of the components given one colour more; returns its ln p.
fn told(at: u32, values: u32, colour: u32, level: f32) -> f32 {
    for (var k = 0u; k < COMPONENTS; k++) {
        let inverse = inverse_scale(log_scale_of(at, colour, k)) * job.sharpness;
        weights[k] += level_ln_p(level, mean_of(at, values, colour, k), inverse);
    }
    return normalise();
}

fn draw(image: u32, place: u32, colour: u32, at: u32) -> f32 {
    let values = image * ITEM + place - colour;
    for (var k = 0u; k < COMPONENTS; k++) {
        weights[k] = features[at + k] * job.sharpness;
    }
    var ln_p = normalise();
    for (var earlier = 0u; earlier < colour; earlier++) {
        ln_p = told(at, values, earlier, images[values + earlier]);
    }
    var left = random_unit(chance(image, place, 0u));
    // What rounding leaves goes to the likeliest: the last may be next to impossible.
    var chosen = 0u;
    for (var k = 1u; k < COMPONENTS; k++) {
        chosen = select(chosen, k, weights[k] > weights[chosen]);
    }
    for (var k = 0u; k < COMPONENTS; k++) {
        left -= exp(weights[k]);
        if left < 0.0 {
            chosen = k;
            break;
        }
    }
    // The middle of one of 2^23 cells, so that neither logarithm is of zero.
    let odd = f32((chance(image, place, 1u) >> 9u) * 2u + 1u);
    let log_odds = log_poly(odd * 5.9604644775390625e-8) - log_poly((16777216.0 - odd) * 5.9604644775390625e-8);
    // No scale is so large that it cannot be multiplied.
    let scale = exp(clamp(log_scale_of(at, colour, chosen), {{LEAST}}, 60.0)) / job.sharpness;
    let level = floor((mean_of(at, values, colour, chosen) + log_odds * scale + 1.0) * 0.5 * TOP + 0.5);
    let value = clamp(level, 0.0, TOP);
    log_p[image] += told(at, values, colour, value);
    return value;
}
