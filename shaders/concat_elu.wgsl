// out = elu(x), elu(-x) side by side in the channels, or (GRADIENT) the gradient of x given that of both. Of each pair one half is linear,
// the other e^-|x| - 1. Lengths are in units of T. Dispatch: one invocation for a unit of the narrower side, workgroups in rows of GRID_X.
{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;
const CHANNELS: u32 = {{CHANNELS}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i >= COUNT {
        return;
    }
    let up = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
    let x = input_x[i];
    let positive = x > {{T}}(0.0);
    let slope = exp(-abs(x));
//!if GRADIENT
    let upper = input_upstream[up] * select(slope, {{T}}(1.0), positive);
    let lower = input_upstream[up + CHANNELS] * select({{T}}(1.0), slope, positive);
    output[i] = upper - lower;
//!else
    let curved = slope - {{T}}(1.0);
    output[up] = select(curved, x, positive);
    output[up + CHANNELS] = select(-x, curved, positive);
//!end
}
