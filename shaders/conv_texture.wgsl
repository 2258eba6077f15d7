// The same product as conv.wgsl with both operands packed into storage textures (pack.wgsl): for adapters where loads from textures are
// far cheaper than from buffers and workgroup memory, as the start-up probe finds out. Sums run over k in the same order; packed channels
// behind the last add zeros.
// Dispatch: flat, one invocation for TM positions by TN4 four-vectors of channels, channels fastest; z over phases.
//!include shared/functions
//!include shared/texels
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
// Pixels are counted in texels here: C is the number of four-vectors of the source.
//!include shared/gather
const TM: u32 = {{TM}}u;
const TN4: u32 = {{TN4}}u;
const D4: u32 = (DEST_C + 3u) / 4u;
const ACROSS: u32 = (D4 + TN4 - 1u) / TN4;

{{EPILOGUE}}
//!include shared/store
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    let phase = phase_of(group.z);
    let m0 = id / ACROSS * TM;
    let d0 = id % ACROSS * TN4;
    if m0 >= IMAGES * phase.extent.x * phase.extent.y {
        return;
    }
//!for I in 0..{{TM}}
    let from{{I}} = source_of(position(m0 + {{I}}u, phase.extent));
//!for V in 0..{{TN4}}
    var sum{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
    // Columns behind the last are never stored.
//!for V in 0..{{TN4}}
    let column{{V}} = min(d0 + {{V}}u, D4 - 1u);
//!end
    for (var t = 0u; t < phase.taps; t++) {
        let tap = table[phase.first + t];
        let row = u32(tap.z) * SOURCE_C * 4u;
//!for I in 0..{{TM}}
        let pixel{{I}} = pixel(from{{I}}, tap);
        let first{{I}} = u32(max(pixel{{I}}, 0));
//!end
        for (var c = 0u; c < SOURCE_C; c++) {
//!for I in 0..{{TM}}
            let a{{I}} = select(vec4<f32>(0.0), textureLoad(packed_source, texel(first{{I}} + c)), pixel{{I}} >= 0);
//!end
//!for L in 0..4
//!for V in 0..{{TN4}}
            let b{{L}}_{{V}} = textureLoad(packed_weights, texel((row + c * 4u + {{L}}u) * D4 + column{{V}}));
//!for I in 0..{{TM}}
            sum{{I}}_{{V}} = fma(vec4<f32>(a{{I}}[{{L}}]), b{{L}}_{{V}}, sum{{I}}_{{V}});
//!end
//!end
//!end
        }
    }
//!for I in 0..{{TM}}
    {
        let at = position(m0 + {{I}}u, phase.extent);
        if at.x < IMAGES {
            let to = destination(at, phase.origin);
//!for V in 0..{{TN4}}
            store(sum{{I}}_{{V}}, to, (d0 + {{V}}u) * 4u);
//!end
        }
    }
//!end
}
