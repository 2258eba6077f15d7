// A scan (shaders/scan.wgsl) of more units than registers hold the weights of, and of few lanes: an invocation has a unit of a lane, reads
// weights as it goes and all its gates at once. A workgroup goes through an image, the hidden states of two steps in workgroup memory.
// Dispatch: one workgroup an image, in rows of GRID_X.
//!include shared/functions
//!include shared/scan
//!include shared/scan_walk
//!include shared/scan_gating

{{BINDINGS}}
const IMAGES: u32 = {{IMAGES}}u;
// No fewer than lanes have units.
const THREADS: u32 = {{THREADS}}u;

var<workgroup> states: array<f32, {{STATES}}>;

fn walk(image: u32, thread: u32) {
    let lane = thread / UNITS;
    let unit = thread % UNITS;
    var c = initial[CARRIED + unit];
    for (var at = thread; at < 2u * SPAN * UNITS; at += THREADS) {
        let among = at / UNITS % SPAN;
        let inside = among >= MARGIN && among < MARGIN + LANES;
        states[at] = select(0.0, initial[at % UNITS], inside);
    }
    workgroupBarrier();
    for (var step = 0u; step < STEPS; step++) {
        if lane < LANES && is_cell(step, lane) {
            let cell = image * CELLS + place(step, lane);
            var z = vec4<f32>(sums[cell * GATES + unit], sums[cell * GATES + UNITS + unit], sums[cell * GATES + 2u * UNITS + unit], sums[cell * GATES + 3u * UNITS + unit]);
            for (var tap = 0u; tap < TAPS; tap++) {
                let origin = ((step + 1u) % 2u * SPAN + read_lane(lane, tap)) * UNITS;
                for (var k = 0u; k < UNITS; k++) {
                    let h = vec4<f32>(states[origin + k]);
                    let row = (tap * UNITS + k) * ENTERED + unit;
//!if GRU
                    z = fma(h, vec4<f32>(weights[row], weights[row + UNITS], weights[row + 2u * UNITS], 0.0), z);
//!else
                    z = fma(h, vec4<f32>(weights[row], weights[row + UNITS], weights[row + 2u * UNITS], weights[row + 3u * UNITS]), z);
//!end
                }
            }
            z = vec4<f32>(gate_value(z.x, 0u), gate_value(z.y, UNITS), gate_value(z.z, 2u * UNITS), gate_value(z.w, 3u * UNITS));
            c = next_state(z, c);
            let h = hidden_state(z, c);
            states[(step % 2u * SPAN + MARGIN + lane) * UNITS + unit] = h;
            output[cell * UNITS + unit] = h;
        }
        workgroupBarrier();
    }
}
