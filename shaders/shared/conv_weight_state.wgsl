// Statements at the start of a tiled weight gradient: the four rows (tap, channel) of the source and the four channels of the upstream
// gradient that this invocation fetches, at every THREADS-th place of a tile, and registers to fetch them into. Loads are clamped, not
// guarded (see conv_operands.wgsl); what lies behind the last row or channel is never stored.
//!if WIDE_C
    let a_row = min(m0 + lane % (BM / 4u) * 4u, M - 4u);
    let a_tap = table[2u + a_row / SOURCE_C];
//!else
//!for L in 0..4
    let a_row{{L}} = min(m0 + lane % (BM / 4u) * 4u + {{L}}u, M - 1u);
    let a_tap{{L}} = table[2u + a_row{{L}} / SOURCE_C];
//!end
//!end
//!for J in 0..{{A_EACH}}
    let a_k{{J}} = (lane + {{J}}u * THREADS) / (BM / 4u);
    var a_next{{J}}: vec4<f32>;
//!end
//!if WIDE_D
    let b_column = min(d0 + lane % (BN / 4u) * 4u, DEST_C - 4u);
//!else
//!for L in 0..4
    let b_column{{L}} = min(d0 + lane % (BN / 4u) * 4u + {{L}}u, DEST_C - 1u);
//!end
//!end
//!for J in 0..{{B_EACH}}
    let b_k{{J}} = (lane + {{J}}u * THREADS) / (BN / 4u);
    var b_next{{J}}: vec4<f32>;
//!end
