// Packs an operand of a product into a storage texture of four-vectors, zeros behind the last channel: on some software drivers a load
// from a texture costs a thirtieth of one from a buffer. WEIGHTS: [tap][C][D] (TRANSPOSED: [tap][D][C]) to [tap][C up to fours][fours of
// D]; else rows of C channels to rows of fours of C, through the prologue.
// Dispatch: flat, one invocation a texel.
//!include shared/functions
//!include shared/texels

{{BINDINGS}}
const C: u32 = {{C}}u;
const D: u32 = {{D}}u;
const C4: u32 = (C + 3u) / 4u;
const D4: u32 = (D + 3u) / 4u;
{{PROLOGUE}}

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if id >= {{TEXELS}}u {
        return;
    }
//!if WEIGHTS
    let d = id % D4 * 4u;
    let row = id / D4;
    let tap = row / (C4 * 4u);
    let c = row % (C4 * 4u);
//!for L in 0..4
    // Clamped, not guarded: see conv.wgsl.
    let column{{L}} = min(d + {{L}}u, D - 1u);
//!if TRANSPOSED
    let at{{L}} = (tap * D + column{{L}}) * C + min(c, C - 1u);
//!else
    let at{{L}} = (tap * C + min(c, C - 1u)) * D + column{{L}};
//!end
    let value{{L}} = select(0.0, source[at{{L}}], (c < C) & (d + {{L}}u < D));
//!end
    let value = vec4<f32>(value0, value1, value2, value3);
//!else
//!if WIDE
    let value = prologue(source[id], 0u);
//!else
    let first = id / C4 * C;
    let c = id % C4 * 4u;
//!for L in 0..4
    let value{{L}} = select(0.0, prologue(source[first + min(c + {{L}}u, C - 1u)], 0u), c + {{L}}u < C);
//!end
    let value = vec4<f32>(value0, value1, value2, value3);
//!end
//!end
    textureStore(packed, texel(id), value);
}
