// Draws a value from a mixture of Gaussians, for raster.wgsl: a component by one random word, then the value by another. Outputs of the
// pixel stand at `at`: logits, means and spreads of its first colour, then of the next. Its ln p is added to the image's.
const COMPONENTS: u32 = {{COMPONENTS}}u;
const HALF_LN_TAU: f32 = 0.9189385332046727;

fn deviation(spread: f32) -> f32 {
    // Beyond any value, and yet a number.
    return ({{LEAST}} + exp(min(spread, 60.0))) * inverseSqrt(job.sharpness);
}

fn draw(image: u32, place: u32, colour: u32, at: u32) -> f32 {
    let logits = at + colour * 3u * COMPONENTS;
    let means = logits + COMPONENTS;
    let spreads = means + COMPONENTS;
    // What rounding leaves goes to the likeliest.
    var chosen = 0u;
    for (var k = 1u; k < COMPONENTS; k++) {
        chosen = select(chosen, k, features[logits + k] > features[logits + chosen]);
    }
    let top = features[logits + chosen];
    var total = 0.0;
    for (var k = 0u; k < COMPONENTS; k++) {
        total += exp((features[logits + k] - top) * job.sharpness);
    }
    var left = random_unit(chance(image, place, 0u)) * total;
    for (var k = 0u; k < COMPONENTS; k++) {
        left -= exp((features[logits + k] - top) * job.sharpness);
        if left < 0.0 {
            chosen = k;
            break;
        }
    }
    let value = features[means + chosen] + deviation(features[spreads + chosen]) * random_normal(chance(image, place, 1u));
    // ln Σ e^(logit + ln density), the sum carried on relative to the largest term so far.
    var most = -1e30;
    var sum = 0.0;
    for (var k = 0u; k < COMPONENTS; k++) {
        let wide = deviation(features[spreads + k]);
        let z = (value - features[means + k]) / wide;
        let term = (features[logits + k] - top) * job.sharpness - 0.5 * z * z - log(wide);
        let next = max(most, term);
        sum = sum * exp(most - next) + exp(term - next);
        most = next;
    }
    log_p[image] += most + log(sum) - log(total) - HALF_LN_TAU;
    return value;
}
