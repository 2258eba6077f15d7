// out = tanh(a) · sigmoid(b) for the halves a, b of the channels, or (GRADIENT) the gradients of a and b given that of out:
// da = u · s · (1 - t²), db = u · s · t · (1 - s), with t = tanh(a) and s = sigmoid(b). RESIDUAL: out = x + a · sigmoid(b), so t = a and
// da = u · s. Lengths are in units of T.
// Dispatch: one invocation for a unit of the narrower side, workgroups in rows of GRID_X.
//!include shared/functions

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;
const CHANNELS: u32 = {{CHANNELS}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i >= COUNT {
        return;
    }
    let a = i / CHANNELS * 2u * CHANNELS + i % CHANNELS;
//!if RESIDUAL
    let t = input_x[a];
//!else
    let t = tanh_stable{{WIDE}}(input_x[a]);
//!end
    let s = sigmoid{{WIDE}}(input_x[a + CHANNELS]);
//!if GRADIENT
    let us = input_upstream[i] * s;
//!if RESIDUAL
    output[a] = us;
//!else
    output[a] = us * ({{T}}(1.0) - t * t);
//!end
    output[a + CHANNELS] = us * t * ({{T}}(1.0) - s);
//!else
//!if RESIDUAL
    output[i] = input_residual[i] + t * s;
//!else
    output[i] = t * s;
//!end
//!end
}
