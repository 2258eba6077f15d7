// One step of a scan (shaders/scan.wgsl) for all images, states in buffers: for more units than workgroup memory and registers hold, and
// for adapters that are CPUs, where barriers cost much and loops may only be so long.
// Dispatch: one invocation a cell of the step and unit, workgroups in rows of GRID_X.
//!include shared/functions
//!include shared/scan
//!include shared/scan_gating

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + thread;
    let step = at_step[0];
    let count = cells_in(step);
    if id >= COUNT * count {
        return;
    }
    let unit = id % UNITS;
    let lane = first_lane(step) + id / UNITS % count;
    let image = id / (UNITS * count);
    let cell = image * CELLS + place(step, lane);
    var z = vec4<f32>(sums[cell * GATES + unit], sums[cell * GATES + UNITS + unit], sums[cell * GATES + 2u * UNITS + unit], sums[cell * GATES + 3u * UNITS + unit]);
    for (var tap = 0u; tap < TAPS; tap++) {
        let other = read_place(step, lane, tap);
        if other <= CELLS {
            for (var k = 0u; k < UNITS; k++) {
                var h = initial[k];
                if other < CELLS {
                    h = output[(image * CELLS + other) * UNITS + k];
                }
                let row = (tap * UNITS + k) * ENTERED + unit;
//!if GRU
                z = fma(vec4<f32>(h), vec4<f32>(weights[row], weights[row + UNITS], weights[row + 2u * UNITS], 0.0), z);
//!else
                z = fma(vec4<f32>(h), vec4<f32>(weights[row], weights[row + UNITS], weights[row + 2u * UNITS], weights[row + 3u * UNITS]), z);
//!end
            }
        }
    }
    var c = initial[CARRIED + unit];
    if step > 0u && is_cell(step - 1u, lane) {
        c = cells[(image * CELLS + place(step - 1u, lane)) * UNITS + unit];
    }
    z = vec4<f32>(gate_value(z.x, 0u), gate_value(z.y, UNITS), gate_value(z.z, 2u * UNITS), gate_value(z.w, 3u * UNITS));
    c = next_state(z, c);
    cells[cell * UNITS + unit] = c;
    output[cell * UNITS + unit] = hidden_state(z, c);
}
