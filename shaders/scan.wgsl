// LSTM or GRU over the cells of an image, step by step (rows or diagonals; van den Oord et al., 2016; src/tensor/gating.rs). The gates' sums
// are what the input adds, [image, y, x, 4·unit], plus the hidden states of the lanes read in the step before times weights
// [tap, unit, 4·unit], of a GRU [tap, unit, 3·unit]. A workgroup goes through an image, the states of two steps in workgroup memory; an invocation always
// has the same gate, whose weights it holds in registers, and the same lanes and units, whose cell states it holds.
// Dispatch: one workgroup an image, in rows of GRID_X.
//!include shared/functions
//!include shared/scan
//!include shared/scan_walk
//!include shared/scan_gating

{{BINDINGS}}
const IMAGES: u32 = {{IMAGES}}u;
// A multiple of GATES.
const THREADS: u32 = {{THREADS}}u;
// Cells whose gates are known at a time.
const CHUNK: u32 = {{CHUNK}}u;
// Lanes and units that an invocation keeps the cell state of.
const OWN: u32 = (LANES * UNITS + THREADS - 1u) / THREADS;

var<workgroup> gates: array<f32, {{CHUNK_GATES}}>;
var<workgroup> states: array<f32, {{STATES}}>;

fn walk(image: u32, thread: u32) {
    var cell_states: array<f32, OWN>;
    for (var own = 0u; own < OWN; own++) {
        cell_states[own] = initial[CARRIED + (thread + own * THREADS) % UNITS];
    }
    for (var at = thread; at < 2u * SPAN * UNITS; at += THREADS) {
        let lane = at / UNITS % SPAN;
        let inside = lane >= MARGIN && lane < MARGIN + LANES;
        states[at] = select(0.0, initial[at % UNITS], inside);
    }
    let gate = thread % GATES;
//!if GRU
    // What no hidden state enters has no weights.
    let column = min(gate, ENTERED - 1u);
//!else
    let column = gate;
//!end
    var held: array<f32, {{DEPTH}}>;
//!for K in 0..{{DEPTH}}
    held[{{K}}u] = weights[{{K}}u * ENTERED + column];
//!end
    workgroupBarrier();
    for (var step = 0u; step < STEPS; step++) {
        let first = first_lane(step);
        let count = cells_in(step);
        let before = (step + 1u) % 2u * SPAN;
        let after = step % 2u * SPAN;
        for (var start = 0u; start < count; start += CHUNK) {
            let cells = min(CHUNK, count - start);
            for (var at = thread; at < cells * GATES; at += THREADS) {
                let lane = first + start + at / GATES;
                var sum = sums[(image * CELLS + place(step, lane)) * GATES + gate];
                var origin = 0u;
//!if GRU
                if gate < ENTERED {
//!end
//!for TAP in 0..{{TAPS}}
                origin = (before + read_lane(lane, {{TAP}}u)) * UNITS;
//!for U in 0..{{UNITS}}
                sum = fma(states[origin + {{U}}u], held[{{TAP}}u * UNITS + {{U}}u], sum);
//!end
//!end
//!if GRU
                }
//!end
                gates[at] = gate_value(sum, gate);
            }
            workgroupBarrier();
            for (var own = 0u; own < OWN; own++) {
                let at = thread + own * THREADS;
                let lane = at / UNITS;
                if lane >= first + start && lane < first + start + cells {
                    let unit = at % UNITS;
                    let g = (lane - first - start) * GATES + unit;
                    let own_gates = vec4<f32>(gates[g], gates[g + UNITS], gates[g + 2u * UNITS], gates[g + 3u * UNITS]);
                    let c = next_state(own_gates, cell_states[own]);
                    let h = hidden_state(own_gates, c);
                    cell_states[own] = c;
                    states[(after + MARGIN + lane) * UNITS + unit] = h;
                    output[(image * CELLS + place(step, lane)) * UNITS + unit] = h;
                }
            }
            workgroupBarrier();
        }
    }
}
