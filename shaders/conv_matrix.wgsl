// The same product as conv.wgsl through cooperative matrices: operands rounded to f16, sums in f32, in an order of the adapter's own.
// Dispatch: x over tiles of BM positions of a phase, y over tiles of BN channels, z over phases; ROWS by COLUMNS subgroups.
enable f16;
enable wgpu_cooperative_matrix;
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
//!include shared/gather
//!include shared/matrix_tiles
const A_ROW: u32 = BK + 8u;
const A_QUADS: u32 = BM * BK / 4u;
const B_QUADS: u32 = BK * BN / 4u;
//!if TRANSPOSED
// Weights run along k here, so the tile does too.
const B_ROW: u32 = BK + 8u;
//!else
const B_ROW: u32 = BN + 8u;
//!end

{{PROLOGUE}}
{{EPILOGUE}}
//!include shared/store
//!include shared/conv_operands

@compute @workgroup_size({{THREADS}})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let phase = phase_of(group.z);
    let m0 = group.x * BM;
    let d0 = group.y * BN;
    // Where subgroups turn out smaller than the largest there are too many of them: those do the same work again.
    let slot = subgroup % (ROWS * COLUMNS);
    let row0 = slot / COLUMNS * FM * SIDE;
    let column0 = slot % COLUMNS * FN * SIDE;
    let depth = phase.taps * SOURCE_C;
//!insert shared/conv_state
//!for I in 0..{{FM}}
//!for V in 0..{{FN}}
    var sum{{I}}_{{V}}: coop_mat{{SIDE}}x{{SIDE}}<f32, C>;
//!end
//!end
    var next = 0u;
    if next < depth {
//!insert shared/conv_fetch
    }
    for (var k0 = 0u; k0 < depth; k0 += BK) {
//!for J in 0..{{A_EACH}}
//!if A_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < A_QUADS {
//!end
            put_a(a_at{{J}} / (BK / 4u) * A_ROW + a_at{{J}} % (BK / 4u) * 4u, a_next{{J}});
        }
//!end
//!for J in 0..{{B_EACH}}
//!if B_WHOLE
        {
//!else
        if lane + {{J}}u * THREADS < B_QUADS {
//!end
//!if TRANSPOSED
            put_b((b_d{{J}} - d0) * B_ROW + b_k{{J}}, b_next{{J}});
//!else
            put_b(b_k{{J}} * B_ROW + b_d{{J}} - d0, b_next{{J}});
//!end
        }
//!end
        workgroupBarrier();
        next = k0 + BK;
        if next < depth {
//!insert shared/conv_fetch
        }
//!insert shared/matrix_multiply
        workgroupBarrier();
    }
//!for I in 0..{{FM}}
//!for V in 0..{{FN}}
    coopStoreT(sum{{I}}_{{V}}, &tile_c[slot * TILE], SIDE);
    workgroupBarrier();
    for (var at = lane; at < ROWS * COLUMNS * TILE / 4u; at += THREADS) {
        let to = position(m0 + row_of(at, {{I}}u), phase.extent);
        if to.x < IMAGES {
            store(sums_of(at), destination(to, phase.origin), d0 + column_of(at, {{V}}u));
        }
    }
    workgroupBarrier();
//!end
//!end
}
