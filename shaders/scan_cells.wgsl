// The cell states of an LSTM's scan (shaders/scan.wgsl) again from its gates, c = f·c₋ + i·g: [image, y, x, unit].
// Dispatch: one invocation a lane and unit, workgroups in rows of GRID_X.
//!include shared/scan

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + thread;
    if id >= COUNT {
        return;
    }
    let unit = id % UNITS;
    let lane = id / UNITS % LANES;
    let image = id / (UNITS * LANES);
    var c = initial[CARRIED + unit];
    for (var step = 0u; step < STEPS; step++) {
        if is_cell(step, lane) {
            let cell = image * CELLS + place(step, lane);
            let g = cell * GATES + unit;
            c = gates[g + UNITS] * c + gates[g] * gates[g + 2u * UNITS];
            cells[cell * UNITS + unit] = c;
        }
    }
}
