// Draws a level from its logits by the inverse of its distribution function, for raster.wgsl; outputs of the pixel stand at `at`. Its ln p
// is added to the image's.
const LEVELS: u32 = {{LEVELS}}u;

fn draw(image: u32, place: u32, colour: u32, at: u32) -> f32 {
    let own = at + colour * LEVELS;
    var top = features[own];
    for (var l = 1u; l < LEVELS; l++) {
        top = max(top, features[own + l]);
    }
    var total = 0.0;
    for (var l = 0u; l < LEVELS; l++) {
        total += exp((features[own + l] - top) * job.sharpness);
    }
    var left = random_unit(chance(image, place, 0u)) * total;
    // The last value that can be takes what rounding leaves.
    var chosen = 0u;
    for (var l = 0u; l < LEVELS; l++) {
        let weight = exp((features[own + l] - top) * job.sharpness);
        left -= weight;
        if weight > 0.0 {
            chosen = l;
        }
        if left < 0.0 {
            break;
        }
    }
    log_p[image] += (features[own + chosen] - top) * job.sharpness - log(total);
    return f32(chosen);
}
