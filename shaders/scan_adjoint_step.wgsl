// One step of a scan's adjoint (shaders/scan_adjoint.wgsl) for all images, all states in buffers; where shaders/scan_step.wgsl is taken.
// Dispatch: one invocation a cell of the step and unit, workgroups in rows of GRID_X.
//!include shared/functions
//!include shared/scan

{{BINDINGS}}
//!include shared/scan_cell_adjoint
const COUNT: u32 = {{COUNT}}u;
// Elements of the output that belong to an image.
const LENGTH: u32 = {{LENGTH}}u;

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
    var dh = upstream[(image * CELLS + place(step, lane)) * UNITS + unit];
    for (var tap = 0u; tap < TAPS; tap++) {
        // The margin is none of the lanes.
        let reader = reader_lane(lane, tap) - MARGIN;
        if step + 1u < STEPS && is_cell(step + 1u, reader) {
            let origin = image * LENGTH + place(step + 1u, reader) * GATES;
            let row = (tap * UNITS + unit) * ENTERED;
            for (var k = 0u; k < ENTERED; k++) {
                dh = fma(output[origin + k], weights[row + k], dh);
            }
        }
    }
    var wanted = 0.0;
    let at = (image * LANES + lane) * UNITS + unit;
    if step + 1u < STEPS && is_cell(step + 1u, lane) {
        wanted = asked[at];
    }
    let given = cell_adjoint(image, step, lane, unit, dh, wanted);
    asked[at] = given.d_before;
    let to = image * LENGTH + place(step, lane) * GATES + unit;
    for (var gate = 0u; gate < 4u; gate++) {
        output[to + gate * UNITS] = given.dz[gate];
    }
}
