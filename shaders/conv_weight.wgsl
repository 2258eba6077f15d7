// Weight gradient of a convolution: out[(tap, c), d] = sum over positions p of src[p + tap, c] g[p, d], an implicit matrix product whose
// long side is the sum. Layouts: source [N, H, W, C], upstream [N, H', W', D], output [splits][taps][C][D].
// Each split sums CHUNK positions in order; a reduce stage adds the splits in order.
// Dispatch: x over tiles of BM rows (tap, c), y over tiles of BN channels, z over splits.
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
const THREADS_Y: u32 = BM / 4u;
const THREADS: u32 = THREADS_X * THREADS_Y;
var<workgroup> tile_a: array<vec4<f32>, {{A_TILE}}>;
var<workgroup> tile_b: array<vec4<f32>, {{B_TILE}}>;

{{PROLOGUE}}
//!include shared/conv_weight_operands
//!include shared/store

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    let tx = lane % THREADS_X;
    let ty = lane / THREADS_X;
//!for I in 0..4
    var sum{{I}} = vec4<f32>(0.0);
//!end
    let end = min((group.z + 1u) * CHUNK, POSITIONS);
    for (var p0 = group.z * CHUNK; p0 < end; p0 += BK) {
        for (var at = lane; at < BK * BM / 4u; at += THREADS) {
            let p = p0 + at / (BM / 4u);
            let value = load_a(source_of(position(min(p, end - 1u), vec2<u32>(DEST_H, DEST_W))), m0 + at % (BM / 4u) * 4u);
            tile_a[at] = select(vec4<f32>(0.0), value, p < end);
        }
        for (var at = lane; at < BK * BN / 4u; at += THREADS) {
            let p = p0 + at / (BN / 4u);
            // Not zero behind the end, where tile_a is; but never the product of zero with garbage.
            tile_b[at] = load_b(min(p, end - 1u), d0 + at % (BN / 4u) * 4u);
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let a = tile_a[k * (BM / 4u) + ty];
            let b = tile_b[k * (BN / 4u) + tx];
//!for I in 0..4
            sum{{I}} = fma(vec4<f32>(a[{{I}}]), b, sum{{I}});
//!end
        }
        workgroupBarrier();
    }
//!for I in 0..4
    {
        let m = m0 + ty * 4u + {{I}}u;
        if m < M {
            store(sum{{I}}, (group.z * M + m) * DEST_C, d0 + tx * 4u);
        }
    }
//!end
}
