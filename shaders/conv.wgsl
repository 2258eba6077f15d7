// Convolution and its adjoint as an implicit matrix product: out[m, d] = sum over k = (tap, channel) of src[m, k] W[k, d].
// Layouts: source [N, H, W, C], weights [tap][C][D] (TRANSPOSED: [tap][D][C]), output [N, H', W', D].
// Each output accumulates over k in order, with fma, so that any tile size gives the same bits.
// Dispatch: x over tiles of BM positions of a phase, y over tiles of BN channels, z over phases; THREADS_X by THREADS_Y invocations,
// each TM positions by TN channels in registers; BK deep tiles in workgroup memory (Goto and van de Geijn, 2008). While a tile is
// multiplied, the next one is on its way into registers.
// SPLIT: z over PARTS parts of each phase's sum as well; conv_parts.wgsl adds them up.
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
// Tiles of four-vectors. The source's run along k, in rows that are one longer than they need be, against bank conflicts.
const A_ROW: u32 = BK / 4u + 1u;
const A_QUADS: u32 = BM * BK / 4u;
const B_QUADS: u32 = BK * BN / 4u;
//!if TRANSPOSED
// So do the weights' where k runs along them in memory; rows whose channels are neighbours lie apart, for the same reason.
const B_ROW: u32 = BK / 4u + 1u;
//!else
const B_ROW: u32 = BN / 4u;
//!end
var<workgroup> tile_a: array<vec4<f32>, {{A_TILE}}>;
var<workgroup> tile_b: array<vec4<f32>, {{B_TILE}}>;

{{PROLOGUE}}
{{EPILOGUE}}
//!include shared/store
//!include shared/conv_operands

@compute @workgroup_size({{THREADS_X}}, {{THREADS_Y}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
//!if SPLIT
    let phase = phase_of(group.z / {{PARTS}}u);
    let part = group.z % {{PARTS}}u;
//!else
    let phase = phase_of(group.z);
//!end
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    let tx = lane % THREADS_X;
    let ty = lane / THREADS_X;
//!if SPLIT
    let chunk = (phase.taps * SOURCE_C + {{PARTS}}u * BK - 1u) / ({{PARTS}}u * BK) * BK;
    let begin = part * chunk;
    let depth = min(begin + chunk, phase.taps * SOURCE_C);
//!else
    let begin = 0u;
    let depth = phase.taps * SOURCE_C;
//!end
//!insert shared/conv_state
//!for I in 0..{{TM}}
//!for V in 0..{{TN4}}
    var sum{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
    var next = begin;
    if next < depth {
//!insert shared/conv_fetch
    }
    for (var k0 = begin; k0 < depth; k0 += BK) {
//!for J in 0..{{A_EACH}}
//!if A_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < A_QUADS {
//!end
            tile_a[a_at{{J}} / (BK / 4u) * A_ROW + a_at{{J}} % (BK / 4u)] = a_next{{J}};
        }
//!end
//!for J in 0..{{B_EACH}}
//!if B_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < B_QUADS {
//!end
//!if TRANSPOSED
            let row = b_at{{J}} / (BK / 4u);
            tile_b[(row % 4u * (BN / 4u) + row / 4u) * B_ROW + b_at{{J}} % (BK / 4u)] = b_next{{J}};
//!else
            tile_b[b_at{{J}}] = b_next{{J}};
//!end
        }
//!end
        workgroupBarrier();
        next = k0 + BK;
        if next < depth {
//!insert shared/conv_fetch
        }
        for (var q = 0u; q < BK / 4u; q++) {
//!for I in 0..{{TM}}
            let a{{I}} = tile_a[(ty + {{I}}u * THREADS_Y) * A_ROW + q];
//!end
//!for V in 0..{{TN4}}
//!if TRANSPOSED
//!for L in 0..4
            let row{{V}}_{{L}} = tile_b[({{L}}u * (BN / 4u) + tx + {{V}}u * THREADS_X) * B_ROW + q];
//!end
//!end
//!for L in 0..4
//!if TRANSPOSED
            let b{{L}}_{{V}} = vec4<f32>(row{{V}}_0[{{L}}], row{{V}}_1[{{L}}], row{{V}}_2[{{L}}], row{{V}}_3[{{L}}]);
//!else
            let b{{L}}_{{V}} = tile_b[(q * 4u + {{L}}u) * B_ROW + tx + {{V}}u * THREADS_X];
//!end
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
//!if SPLIT
            let to = part * {{LENGTH}}u + destination(at, phase.origin);
//!else
            let to = destination(at, phase.origin);
//!end
//!for V in 0..{{TN4}}
            store(sum{{I}}_{{V}}, to, d0 + (tx + {{V}}u * THREADS_X) * 4u);
//!end
        }
    }
//!end
}
