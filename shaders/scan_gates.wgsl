// The gates of all cells of a scan (shaders/scan.wgsl), made again at once from the hidden states: [image, y, x, 4·unit].
// Dispatch: one invocation a gate, workgroups in rows of GRID_X.
//!include shared/functions
//!include shared/scan
//!include shared/scan_gating

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + thread;
    if id >= COUNT {
        return;
    }
    let gate = id % GATES;
    let image = id / (GATES * CELLS);
    let cell = id / GATES % CELLS;
    var sum = sums[id];
    for (var tap = 0u; tap < TAPS; tap++) {
        let other = read_place(step_of(cell), lane_of(cell), tap);
        if other <= CELLS && gate < ENTERED {
            for (var k = 0u; k < UNITS; k++) {
                var h = initial[k];
                if other < CELLS {
                    h = hidden[(image * CELLS + other) * UNITS + k];
                }
                sum = fma(h, weights[(tap * UNITS + k) * ENTERED + gate], sum);
            }
        }
    }
    gates[id] = gate_value(sum, gate);
}
