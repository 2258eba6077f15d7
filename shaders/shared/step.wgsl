// The numbers that change from run to run; written by the executor before each run.
struct Step {
    seed: vec2<u32>,
    // Counter of every draw, and number of the first item of this batch in the whole job.
    step: u32,
    first_item: u32,
    // Weight of the old average in the moving average of the weights, and of the new weights.
    ema_decay: f32,
    ema_fresh: f32,
    reserved: vec2<u32>,
    // For each update of the plan: learning rate over the first bias correction, root of the second, what decay leaves of a weight.
    updates: array<vec4<f32>>,
}
