// The same sums as conv_weight.wgsl without workgroup memory or barriers, for adapters that are CPUs.
// Dispatch: flat, one invocation for four rows (tap, c) by TN4 four-vectors of channels, channels fastest; z over splits.
//!include shared/functions

{{BINDINGS}}
//!include shared/gather
const M: u32 = {{TAPS}}u * SOURCE_C;
const POSITIONS: u32 = IMAGES * DEST_H * DEST_W;
const CHUNK: u32 = {{CHUNK}}u;
const TN: u32 = {{TN4}}u * 4u;
const ACROSS: u32 = (DEST_C + TN - 1u) / TN;

{{PROLOGUE}}
//!include shared/store

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    let m0 = id / ACROSS * 4u;
    let d0 = id % ACROSS * TN;
    if m0 >= M {
        return;
    }
//!for I in 0..4
    let row{{I}} = min(m0 + {{I}}u, M - 1u);
    let tap{{I}} = table[2u + row{{I}} / SOURCE_C];
    let c{{I}} = row{{I}} % SOURCE_C;
//!for V in 0..{{TN4}}
    var sum{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
    let end = min((group.z + 1u) * CHUNK, POSITIONS);
    for (var p = group.z * CHUNK; p < end; p++) {
        let at = source_of(position(p, vec2<u32>(DEST_H, DEST_W)));
        // Clamped, not guarded: see conv.wgsl.
//!if WIDE_C
        let first = pixel(at, tap0);
        let a = select(vec4<f32>(0.0), prologue(source[(u32(max(first, 0)) + c0) / 4u], 0u), first >= 0);
//!else
//!for I in 0..4
        let first{{I}} = pixel(at, tap{{I}});
        let a{{I}} = select(0.0, prologue(source[u32(max(first{{I}}, 0)) + c{{I}}], 0u), first{{I}} >= 0);
//!end
        let a = vec4<f32>(a0, a1, a2, a3);
//!end
//!for V in 0..{{TN4}}
//!if WIDE_D
        let b{{V}} = upstream[(p * DEST_C + min(d0 + {{V}}u * 4u, DEST_C - 4u)) / 4u];
//!else
//!for L in 0..4
        let b{{V}}_{{L}} = upstream[p * DEST_C + min(d0 + {{V}}u * 4u + {{L}}u, DEST_C - 1u)];
//!end
        let b{{V}} = vec4<f32>(b{{V}}_0, b{{V}}_1, b{{V}}_2, b{{V}}_3);
//!end
//!for I in 0..4
        sum{{I}}_{{V}} = fma(vec4<f32>(a[{{I}}]), b{{V}}, sum{{I}}_{{V}});
//!end
//!end
    }
//!for I in 0..4
    if m0 + {{I}}u < M {
        let to = (group.z * M + m0 + {{I}}u) * DEST_C;
//!for V in 0..{{TN4}}
        store(sum{{I}}_{{V}}, to, d0 + {{V}}u * 4u);
//!end
    }
//!end
}
