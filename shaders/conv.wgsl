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
// Loads are clamped instead of guarded: branches around them cost more than the loads, and some drivers take minutes to compile many.

// Four source values along k at a position.
fn load_a(at: vec3<i32>, k: u32, phase: Phase) -> vec4<f32> {
    let last = phase.taps * C - 1u;
//!if WIDE_C
    let here = min(k, last);
    let first = pixel(at, table[phase.first + here / C]);
    let value = prologue(source[(u32(max(first, 0)) + here % C) / 4u], 0u);
    return select(vec4<f32>(0.0), value, (first >= 0) & (k <= last));
//!else
//!for L in 0..4
    let here{{L}} = min(k + {{L}}u, last);
    let first{{L}} = pixel(at, table[phase.first + here{{L}} / C]);
    let value{{L}} = prologue(source[u32(max(first{{L}}, 0)) + here{{L}} % C], 0u);
    let known{{L}} = select(0.0, value{{L}}, (first{{L}} >= 0) & (k + {{L}}u <= last));
//!end
    return vec4<f32>(known0, known1, known2, known3);
//!end
}

//!if !TRANSPOSED
// Four weights along d; what lies behind the last k or channel is never used.
fn load_b(k: u32, d: u32, phase: Phase) -> vec4<f32> {
    let here = min(k, phase.taps * C - 1u);
    let row = (u32(table[phase.first + here / C].z) * C + here % C) * D;
//!if WIDE_D
    return weights[(row + min(d, D - 4u)) / 4u];
//!else
//!for L in 0..4
    let value{{L}} = weights[row + min(d + {{L}}u, D - 1u)];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
//!else
// Four weights along k of one destination channel.
fn load_b(k: u32, d: u32, phase: Phase) -> vec4<f32> {
    let last = phase.taps * C - 1u;
    let column = min(d, D - 1u);
//!if WIDE_C
    let here = min(k, last);
    return weights[((u32(table[phase.first + here / C].z) * D + column) * C + here % C) / 4u];
//!else
//!for L in 0..4
    let here{{L}} = min(k + {{L}}u, last);
    let value{{L}} = weights[(u32(table[phase.first + here{{L}} / C].z) * D + column) * C + here{{L}} % C];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
//!end

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
    for (var k0 = 0u; k0 < phase.taps * C; k0 += BK) {
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
            {
                let d = d0 + (tx + {{V}}u * THREADS_X) * 4u;
//!if WIDE_D
                if d < D {
                    output[(to + d) / 4u] = epilogue(sum{{I}}_{{V}}, to + d);
                }
//!else
//!for L in 0..4
                if d + {{L}}u < D {
                    output[to + d + {{L}}u] = epilogue(sum{{I}}_{{V}}[{{L}}], to + d + {{L}}u);
                }
//!end
//!end
            }
//!end
        }
    }
//!end
}
