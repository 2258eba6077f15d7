// Operands of a convolution as a matrix product, four numbers at a time.
// Loads are clamped instead of guarded: branches around them cost more than the loads, and some drivers take minutes to compile many.

// Four source values along k at a position.
fn load_a(at: vec3<i32>, k: u32, phase: Phase) -> vec4<f32> {
    let last = phase.taps * SOURCE_C - 1u;
//!if WIDE_C
    let here = min(k, last);
    let first = pixel(at, table[phase.first + here / SOURCE_C]);
    let value = prologue(source[(u32(max(first, 0)) + here % SOURCE_C) / 4u], 0u);
    return select(vec4<f32>(0.0), value, (first >= 0) & (k <= last));
//!else
//!for L in 0..4
    let here{{L}} = min(k + {{L}}u, last);
    let first{{L}} = pixel(at, table[phase.first + here{{L}} / SOURCE_C]);
    let value{{L}} = prologue(source[u32(max(first{{L}}, 0)) + here{{L}} % SOURCE_C], 0u);
    let known{{L}} = select(0.0, value{{L}}, (first{{L}} >= 0) & (k + {{L}}u <= last));
//!end
    return vec4<f32>(known0, known1, known2, known3);
//!end
}

//!if !TRANSPOSED
// Four weights along d; what lies behind the last k or channel is never used.
fn load_b(k: u32, d: u32, phase: Phase) -> vec4<f32> {
    let here = min(k, phase.taps * SOURCE_C - 1u);
    let row = (u32(table[phase.first + here / SOURCE_C].z) * SOURCE_C + here % SOURCE_C) * DEST_C;
//!if WIDE_D
    return weights[(row + min(d, DEST_C - 4u)) / 4u];
//!else
//!for L in 0..4
    let value{{L}} = weights[row + min(d + {{L}}u, DEST_C - 1u)];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
//!else
// Four weights along k of one destination channel.
fn load_b(k: u32, d: u32, phase: Phase) -> vec4<f32> {
    let last = phase.taps * SOURCE_C - 1u;
    let column = min(d, DEST_C - 1u);
//!if WIDE_C
    let here = min(k, last);
    return weights[((u32(table[phase.first + here / SOURCE_C].z) * DEST_C + column) * SOURCE_C + here % SOURCE_C) / 4u];
//!else
//!for L in 0..4
    let here{{L}} = min(k + {{L}}u, last);
    let value{{L}} = weights[(u32(table[phase.first + here{{L}} / SOURCE_C].z) * DEST_C + column) * SOURCE_C + here{{L}} % SOURCE_C];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
//!end
