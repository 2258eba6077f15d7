// Draws a bit from its logit, for raster.wgsl; outputs of the pixel stand at `at`. Its ln p is added to the image's.
fn draw(image: u32, place: u32, colour: u32, at: u32) -> f32 {
    let logit = features[at + colour] * job.sharpness;
    let one = random_unit(chance(image, place, 0u)) < sigmoid(logit);
    log_p[image] -= softplus(select(logit, -logit, one));
    return select(0.0, 1.0, one);
}
