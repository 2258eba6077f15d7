// The same sums as conv_weight.wgsl with both operands packed into storage textures (pack.wgsl): see conv_texture.wgsl.
// Dispatch: flat, one invocation for two four-vectors of rows (tap, c) by TN4 four-vectors of channels, channels fastest; z over splits.
//!include shared/functions
//!include shared/texels

{{BINDINGS}}
// Pixels are counted in texels here: C is the number of four-vectors of the source, CHANNELS that of its channels.
//!include shared/gather
const CHANNELS: u32 = {{CHANNELS}}u;
const ROWS: u32 = {{TAPS}}u * SOURCE_C;
const POSITIONS: u32 = IMAGES * DEST_H * DEST_W;
const CHUNK: u32 = {{CHUNK}}u;
const TN4: u32 = {{TN4}}u;
const D4: u32 = (DEST_C + 3u) / 4u;
const ACROSS: u32 = (D4 + TN4 - 1u) / TN4;
//!include shared/store

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    let r0 = id / ACROSS * 2u;
    let d0 = id % ACROSS * TN4;
    if r0 >= ROWS {
        return;
    }
//!for R in 0..2
    let row{{R}} = min(r0 + {{R}}u, ROWS - 1u);
    let tap{{R}} = table[2u + row{{R}} / SOURCE_C];
    let c{{R}} = row{{R}} % SOURCE_C;
//!for I in 0..4
//!for V in 0..{{TN4}}
    var sum{{R}}_{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
//!end
    // Columns behind the last are never stored.
//!for V in 0..{{TN4}}
    let column{{V}} = min(d0 + {{V}}u, D4 - 1u);
//!end
    let end = min((group.z + 1u) * CHUNK, POSITIONS);
    for (var p = group.z * CHUNK; p < end; p++) {
        let at = source_of(position(p, vec2<u32>(DEST_H, DEST_W)));
//!for V in 0..{{TN4}}
        let b{{V}} = textureLoad(packed_upstream, texel(p * D4 + column{{V}}));
//!end
//!for R in 0..2
        let pixel{{R}} = pixel(at, tap{{R}});
        let a{{R}} = select(vec4<f32>(0.0), textureLoad(packed_source, texel(u32(max(pixel{{R}}, 0)) + c{{R}})), pixel{{R}} >= 0);
//!for I in 0..4
//!for V in 0..{{TN4}}
        sum{{R}}_{{I}}_{{V}} = fma(vec4<f32>(a{{R}}[{{I}}]), b{{V}}, sum{{R}}_{{I}}_{{V}});
//!end
//!end
//!end
    }
//!for R in 0..2
//!for I in 0..4
    if (r0 + {{R}}u < ROWS) & (c{{R}} * 4u + {{I}}u < CHANNELS) {
        let to = ((group.z * {{TAPS}}u + row{{R}} / SOURCE_C) * CHANNELS + c{{R}} * 4u + {{I}}u) * DEST_C;
//!for V in 0..{{TN4}}
        store(sum{{R}}_{{I}}_{{V}}, to, (d0 + {{V}}u) * 4u);
//!end
    }
//!end
//!end
}
