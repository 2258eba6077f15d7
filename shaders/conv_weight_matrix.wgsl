// The same product as conv_weight.wgsl through cooperative matrices: operands rounded to f16, sums in f32, in the adapter's own order.
// Dispatch: x over tiles of BM rows (tap, c), y over tiles of BN channels, z over splits; ROWS by COLUMNS subgroups.
enable f16;
enable wgpu_cooperative_matrix;
//!include shared/functions

{{BINDINGS}}
//!include shared/gather
//!include shared/matrix_tiles
const M: u32 = {{TAPS}}u * SOURCE_C;
const POSITIONS: u32 = IMAGES * DEST_H * DEST_W;
const CHUNK: u32 = {{CHUNK}}u;
// Both tiles run along the outputs: row k holds one position.
const A_ROW: u32 = BM + 8u;
const B_ROW: u32 = BN + 8u;

{{PROLOGUE}}
//!include shared/store

@compute @workgroup_size({{THREADS}})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    // See conv_matrix.wgsl.
    let slot = subgroup % (ROWS * COLUMNS);
    let row0 = slot / COLUMNS * FM * SIDE;
    let column0 = slot % COLUMNS * FN * SIDE;
//!insert shared/conv_weight_state
//!for I in 0..{{FM}}
//!for V in 0..{{FN}}
    var sum{{I}}_{{V}}: coop_mat{{SIDE}}x{{SIDE}}<f32, C>;
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
            put_a(a_k{{J}} * A_ROW + lane % (BM / 4u) * 4u, a_next{{J}});
        }
//!end
//!for J in 0..{{B_EACH}}
//!if B_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < BK * BN / 4u {
//!end
            put_b(b_k{{J}} * B_ROW + lane % (BN / 4u) * 4u, b_next{{J}});
        }
//!end
        workgroupBarrier();
        next = p0 + BK;
        if next < end {
//!insert shared/conv_weight_fetch
        }
//!insert shared/matrix_multiply
        workgroupBarrier();
    }
//!for I in 0..{{FM}}
//!for V in 0..{{FN}}
    coopStoreT(sum{{I}}_{{V}}, &tile_c[slot * TILE], SIDE);
    workgroupBarrier();
    for (var at = lane; at < ROWS * COLUMNS * TILE / 4u; at += THREADS) {
        let m = m0 + row_of(at, {{I}}u);
        if m < M {
            store(sums_of(at), (group.z * M + m) * DEST_C, d0 + column_of(at, {{V}}u));
        }
    }
    workgroupBarrier();
//!end
//!end
}
