// The steps of a scan's adjoint in reverse (shaders/scan.wgsl): dh = upstream + Σ over taps of the readers' dz · weights, and from it the
// cell's dz, [y, x, 4·unit] of the first part of each image's output. The dz of two steps lie in workgroup memory, what cells ask of the
// states before them in registers, and at the end in `asked`.
// Dispatch: one workgroup an image, in rows of GRID_X.
//!include shared/functions
//!include shared/scan
//!include shared/scan_walk

{{BINDINGS}}
//!include shared/scan_cell_adjoint
const IMAGES: u32 = {{IMAGES}}u;
const THREADS: u32 = {{THREADS}}u;
// Lanes and units that an invocation goes along.
const OWN: u32 = (LANES * UNITS + THREADS - 1u) / THREADS;
// Elements of the output that belong to an image.
const LENGTH: u32 = {{LENGTH}}u;

var<workgroup> states: array<f32, {{STATES}}>;

fn walk(image: u32, thread: u32) {
    var d_cell: array<f32, OWN>;
    for (var own = 0u; own < OWN; own++) {
        d_cell[own] = 0.0;
    }
    for (var at = thread; at < 2u * SPAN * GATES; at += THREADS) {
        states[at] = 0.0;
    }
    workgroupBarrier();
    for (var back = 0u; back < STEPS; back++) {
        let step = STEPS - 1u - back;
        let later = (step + 1u) % 2u * SPAN;
        let now = step % 2u * SPAN;
        for (var own = 0u; own < OWN; own++) {
            let at = thread + own * THREADS;
            let lane = at / UNITS;
            let unit = at % UNITS;
            if lane < LANES {
                var dz = vec4<f32>(0.0);
                if is_cell(step, lane) {
                    var dh = upstream[(image * CELLS + place(step, lane)) * UNITS + unit];
                    for (var tap = 0u; tap < TAPS; tap++) {
                        let origin = (later + reader_lane(lane, tap)) * GATES;
                        let row = (tap * UNITS + unit) * ENTERED;
                        for (var k = 0u; k < ENTERED; k++) {
                            dh = fma(states[origin + k], weights[row + k], dh);
                        }
                    }
                    let given = cell_adjoint(image, step, lane, unit, dh, d_cell[own]);
                    dz = given.dz;
                    d_cell[own] = given.d_before;
                    let to = image * LENGTH + place(step, lane) * GATES + unit;
                    for (var gate = 0u; gate < 4u; gate++) {
                        output[to + gate * UNITS] = dz[gate];
                    }
                }
                let to = (now + MARGIN + lane) * GATES + unit;
                for (var gate = 0u; gate < 4u; gate++) {
                    states[to + gate * UNITS] = dz[gate];
                }
            }
        }
        workgroupBarrier();
    }
    for (var own = 0u; own < OWN; own++) {
        let at = thread + own * THREADS;
        if at < LANES * UNITS {
            asked[image * LANES * UNITS + at] = d_cell[own];
        }
    }
}
