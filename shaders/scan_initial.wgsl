// What a scan's adjoint (shaders/scan_adjoint.wgsl) gives the initial state, behind dz in each image's output: for each tap the sum of dz
// of the cells that read it there [tap, 4·unit], and what first cells ask of the cell state before them [unit].
// Dispatch: one invocation a sum, workgroups in rows of GRID_X.
//!include shared/scan

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;
const SUMS: u32 = TAPS * GATES + UNITS;
// Elements of the output that belong to an image.
const LENGTH: u32 = {{LENGTH}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + thread;
    if id >= COUNT {
        return;
    }
    let image = id / SUMS;
    let at = id % SUMS;
    var sum = 0.0;
    for (var lane = 0u; lane < LANES; lane++) {
        if at >= TAPS * GATES {
            sum += asked[(image * LANES + lane) * UNITS + at - TAPS * GATES];
        } else if reads_initial(lane, at / GATES) {
            sum += output[image * LENGTH + first_place(lane) * GATES + at % GATES];
        }
    }
    output[image * LENGTH + CELLS * GATES + at] = sum;
}
