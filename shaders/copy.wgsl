// Data movement along one axis of [outer, axis, inner]: copy, slice, embed (a slice set into zeros), concat. No arithmetic.
// All lengths are in units of T (four elements where everything is a multiple of four).
// Dispatch: one invocation an output unit, workgroups in rows of GRID_X.

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;
// Units of one outer row in the output and in the (first) input, and where the row of the one starts in that of the other.
const TO: u32 = {{TO}}u;
const FROM: u32 = {{FROM}}u;
const START: u32 = {{START}}u;

fn value(i: u32) -> {{T}} {
//!if COPY
    return input_a[i];
//!end
//!if SLICE
    return input_a[i / TO * FROM + START + i % TO];
//!end
//!if EMBED
    let at = i % TO;
    if at >= START && at < START + FROM {
        return input_a[i / TO * FROM + at - START];
    }
    return {{T}}(0.0);
//!end
//!if CONCAT
    let at = i % TO;
    if at < FROM {
        return input_a[i / TO * FROM + at];
    }
    return input_b[i / TO * (TO - FROM) + at - FROM];
//!end
}

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i < COUNT {
        output[i] = value(i);
    }
}
