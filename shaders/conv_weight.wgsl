// Weight gradient of a convolution: out[(tap, c), d] = sum over positions p of src[p + tap, c] g[p, d], an implicit matrix product whose
// long side is the sum. Layouts: source [N, H, W, C], upstream [N, H', W', D], output [splits][taps][C][D].
// Each split sums CHUNK positions in order; a reduce stage adds the splits in order.
// Dispatch: x over tiles of BM rows (tap, c), y over tiles of BN channels, z over splits. While a tile is multiplied, the next one is on
// its way into registers.
//!include shared/functions

{{BINDINGS}}
//!include shared/gather
const M: u32 = {{TAPS}}u * SOURCE_C;
const POSITIONS: u32 = IMAGES * DEST_H * DEST_W;
const CHUNK: u32 = {{CHUNK}}u;
const BM: u32 = {{BM}}u;
const BN: u32 = {{BN}}u;
const BK: u32 = {{BK}}u;
const THREADS_X: u32 = BN / 4u;
const THREADS_Y: u32 = BM / 4u / {{TM4}}u;
const THREADS: u32 = THREADS_X * THREADS_Y;
var<workgroup> tile_a: array<vec4<f32>, {{A_TILE}}>;
var<workgroup> tile_b: array<vec4<f32>, {{B_TILE}}>;

{{PROLOGUE}}
//!include shared/store

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    let tx = lane % THREADS_X;
    let ty = lane / THREADS_X;
//!insert shared/conv_weight_state
//!for U in 0..{{TM4}}
//!for I in 0..4
    var sum{{U}}_{{I}} = vec4<f32>(0.0);
//!end
//!end
    let start = group.z * CHUNK;
    let end = min(start + CHUNK, POSITIONS);
    var next = start;
    if next < end {
//!insert shared/conv_weight_fetch
    }
    for (var p0 = start; p0 < end; p0 += BK) {
//!for J in 0..{{A_EACH}}
//!if A_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < BK * BM / 4u {
//!end
            tile_a[lane + {{J}}u * THREADS] = a_next{{J}};
        }
//!end
//!for J in 0..{{B_EACH}}
//!if B_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < BK * BN / 4u {
//!end
            tile_b[lane + {{J}}u * THREADS] = b_next{{J}};
        }
//!end
        workgroupBarrier();
        next = p0 + BK;
        if next < end {
//!insert shared/conv_weight_fetch
        }
        for (var k = 0u; k < BK; k++) {
            let b = tile_b[k * (BN / 4u) + tx];
//!for U in 0..{{TM4}}
            let a{{U}} = tile_a[k * (BM / 4u) + ty + {{U}}u * THREADS_Y];
//!for I in 0..4
            sum{{U}}_{{I}} = fma(vec4<f32>(a{{U}}[{{I}}]), b, sum{{U}}_{{I}});
//!end
//!end
        }
        workgroupBarrier();
    }
//!for U in 0..{{TM4}}
//!for I in 0..4
    {
        let m = m0 + (ty + {{U}}u * THREADS_Y) * 4u + {{I}}u;
        if m < M {
            store(sum{{U}}_{{I}}, (group.z * M + m) * DEST_C, d0 + tx * 4u);
        }
    }
//!end
//!end
}
