// out[i] = program(inputs at i), inputs broadcast to the output; shapes and strides are baked into the program.
// Dispatch: one invocation for WIDTH adjacent elements, workgroups in rows of GRID_X (a dimension holds 65535 at most).
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;
const WIDTH: u32 = {{WIDTH}}u;

{{PROGRAM}}
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i < COUNT {
        output[i] = program(i * WIDTH);
    }
}
