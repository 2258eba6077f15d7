// Weight gradient of a convolution: out[(tap, c), d] = sum over positions p of src[p + tap, c] g[p, d], an implicit matrix product whose
// long side is the sum. Layouts: source [N, H, W, C], upstream [N, H', W', D], output [splits][taps][C][D].
// Each split sums CHUNK positions in order; a reduce stage adds the splits in order.
// Dispatch: x over tiles of BM rows (tap, c), y over tiles of BN channels, z over splits.
//!include shared/functions

{{BINDINGS}}
//!include shared/gather
const M: u32 = {{TAPS}}u * C;
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
// Source values of rows m..m+4 at a position.
fn load_a(at: vec3<i32>, m: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
//!if WIDE_C
    if m < M {
        let first = pixel(at, table[2u + m / C]);
        if first >= 0 {
            value = prologue(source[(u32(first) + m % C) / 4u], 0u);
        }
    }
//!else
//!for L in 0..4
    if m + {{L}}u < M {
        let first = pixel(at, table[2u + (m + {{L}}u) / C]);
        if first >= 0 {
            value[{{L}}] = prologue(source[u32(first) + (m + {{L}}u) % C], 0u);
        }
    }
//!end
//!end
    return value;
}

// Upstream gradients d..d+4 at a position.
fn load_b(p: u32, d: u32) -> vec4<f32> {
//!if WIDE_D
    if d < D {
        return upstream[(p * D + d) / 4u];
    }
    return vec4<f32>(0.0);
//!else
    var value = vec4<f32>(0.0);
//!for L in 0..4
    if d + {{L}}u < D {
        value[{{L}}] = upstream[p * D + d + {{L}}u];
    }
//!end
    return value;
//!end
}

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
            var value = vec4<f32>(0.0);
            if p < end {
                value = load_a(source_of(position(p, vec2<u32>(DEST_H, DEST_W))), m0 + at % (BM / 4u) * 4u);
            }
            tile_a[at] = value;
        }
        for (var at = lane; at < BK * BN / 4u; at += THREADS) {
            let p = p0 + at / (BN / 4u);
            var value = vec4<f32>(0.0);
            if p < end {
                value = load_b(p, d0 + at % (BN / 4u) * 4u);
            }
            tile_b[at] = value;
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
        let d = d0 + tx * 4u;
        let to = (group.z * M + m) * D + d;
        if m < M {
//!if WIDE_D
            if d < D {
                output[to / 4u] = sum{{I}};
            }
//!else
//!for L in 0..4
            if d + {{L}}u < D {
                output[to + {{L}}u] = sum{{I}}[{{L}}];
            }
//!end
//!end
        }
    }
//!end
}
