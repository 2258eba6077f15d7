// Operands of a weight gradient as a matrix product, four numbers at a time; M is the number of rows (tap, channel).
// Source values of rows m..m+4 at a position; rows behind the last are never stored. Clamped, not guarded: see conv_operands.wgsl.
fn load_a(at: vec3<i32>, m: u32) -> vec4<f32> {
//!if WIDE_C
    let row = min(m, M - 4u);
    let first = pixel(at, table[2u + row / SOURCE_C]);
    let value = prologue(source[(u32(max(first, 0)) + row % SOURCE_C) / 4u], 0u);
    return select(vec4<f32>(0.0), value, first >= 0);
//!else
//!for L in 0..4
    let row{{L}} = min(m + {{L}}u, M - 1u);
    let first{{L}} = pixel(at, table[2u + row{{L}} / SOURCE_C]);
    let value{{L}} = select(0.0, prologue(source[u32(max(first{{L}}, 0)) + row{{L}} % SOURCE_C], 0u), first{{L}} >= 0);
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}

// Upstream gradients d..d+4 at a position; channels behind the last are never stored.
fn load_b(p: u32, d: u32) -> vec4<f32> {
//!if WIDE_D
    return upstream[(p * DEST_C + min(d, DEST_C - 4u)) / 4u];
//!else
//!for L in 0..4
    let value{{L}} = upstream[p * DEST_C + min(d + {{L}}u, DEST_C - 1u)];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
