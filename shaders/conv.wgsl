// Convolution and its adjoint as an implicit matrix product: out[m, d] = sum over k = (tap, channel) of src[m, k] W[k, d].
// Layouts: source [N, H, W, C], weights [tap][C][D] (TRANSPOSED: [tap][D][C]), output [N, H', W', D].
// Each output accumulates over k in order, with fma, so that any tile size gives the same bits.
// Dispatch: x over tiles of BM positions of a phase, y over tiles of BN channels, z over phases; THREADS_X by THREADS_Y invocations,
// each TM positions by TN channels in registers; BK deep tiles in workgroup memory (Goto and van de Geijn, 2008).
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
//!include shared/gather
const BM: u32 = {{BM}}u;
const BN: u32 = {{BN}}u;
const BK: u32 = {{BK}}u;
const THREADS_X: u32 = {{THREADS_X}}u;
const THREADS_Y: u32 = {{THREADS_Y}}u;
const THREADS: u32 = THREADS_X * THREADS_Y;
// Tiles of four-vectors, along k for the source (rows padded by one against bank conflicts) and along d for the weights.
const A_ROW: u32 = BK / 4u + 1u;
const A_LOADS: u32 = BM * BK / 4u;
const B_ROW: u32 = BN / 4u;
const B_LOADS: u32 = BK * BN / 4u;
var<workgroup> tile_a: array<vec4<f32>, {{A_TILE}}>;
var<workgroup> tile_b: array<vec4<f32>, {{B_TILE}}>;

{{PROLOGUE}}
{{EPILOGUE}}
//!include shared/store
//!include shared/conv_operands

@compute @workgroup_size({{THREADS_X}}, {{THREADS_Y}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let phase = phase_of(group.z);
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    let tx = lane % THREADS_X;
    let ty = lane / THREADS_X;
//!for J in 0..{{A_EACH}}
    let from{{J}} = source_of(position(m0 + (lane + {{J}}u * THREADS) / (BK / 4u), phase.extent));
//!end
//!for I in 0..{{TM}}
//!for V in 0..{{TN4}}
    var sum{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
    for (var k0 = 0u; k0 < phase.taps * SOURCE_C; k0 += BK) {
//!for J in 0..{{A_EACH}}
        {
            let at = lane + {{J}}u * THREADS;
            if at < A_LOADS {
                tile_a[at / (BK / 4u) * A_ROW + at % (BK / 4u)] = load_a(from{{J}}, k0 + at % (BK / 4u) * 4u, phase);
            }
        }
//!end
//!if TRANSPOSED
        // Blocks of four by four, turned so that rows run along d.
        for (var at = lane; at < B_LOADS / 4u; at += THREADS) {
            let k = at % (BK / 4u) * 4u;
            let d = at / (BK / 4u) * 4u;
            let r0 = load_b(k0 + k, d0 + d, phase);
            let r1 = load_b(k0 + k, d0 + d + 1u, phase);
            let r2 = load_b(k0 + k, d0 + d + 2u, phase);
            let r3 = load_b(k0 + k, d0 + d + 3u, phase);
//!for L in 0..4
            tile_b[(k + {{L}}u) * B_ROW + d / 4u] = vec4<f32>(r0[{{L}}], r1[{{L}}], r2[{{L}}], r3[{{L}}]);
//!end
        }
//!else
        for (var at = lane; at < B_LOADS; at += THREADS) {
            tile_b[at] = load_b(k0 + at / B_ROW, d0 + at % B_ROW * 4u, phase);
        }
//!end
        workgroupBarrier();
        for (var q = 0u; q < BK / 4u; q++) {
//!for I in 0..{{TM}}
            let a{{I}} = tile_a[(ty + {{I}}u * THREADS_Y) * A_ROW + q];
//!end
//!for L in 0..4
//!for V in 0..{{TN4}}
            let b{{L}}_{{V}} = tile_b[(q * 4u + {{L}}u) * B_ROW + tx + {{V}}u * THREADS_X];
//!for I in 0..{{TM}}
            sum{{I}}_{{V}} = fma(vec4<f32>(a{{I}}[{{L}}]), b{{L}}_{{V}}, sum{{I}}_{{V}});
//!end
//!end
//!end
        }
        workgroupBarrier();
    }
//!for I in 0..{{TM}}
    {
        let at = position(m0 + ty + {{I}}u * THREADS_Y, phase.extent);
        if at.x < IMAGES {
            let to = destination(at, phase.origin);
//!for V in 0..{{TN4}}
            store(sum{{I}}_{{V}}, to, d0 + (tx + {{V}}u * THREADS_X) * 4u);
//!end
        }
    }
//!end
}
