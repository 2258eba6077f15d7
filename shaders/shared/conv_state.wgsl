// Statements at the start of a tiled convolution: which four-vectors of either operand this invocation fetches for each tile, and
// registers to fetch them into. A_QUADS and B_QUADS are those of a tile, of which an invocation has every THREADS-th.
//!for J in 0..{{A_EACH}}
//!if A_WHOLE
    let a_at{{J}} = lane + {{J}}u * THREADS;
//!else
    let a_at{{J}} = min(lane + {{J}}u * THREADS, A_QUADS - 1u);
//!end
    let a_from{{J}} = source_of(position(m0 + a_at{{J}} / (BK / 4u), phase.extent));
    var a_next{{J}}: vec4<f32>;
//!if ALIGNED
    var a_inside{{J}}: bool;
    var a_first{{J}}: u32;
//!end
//!end
//!for J in 0..{{B_EACH}}
//!if B_WHOLE
    let b_at{{J}} = lane + {{J}}u * THREADS;
//!else
    let b_at{{J}} = min(lane + {{J}}u * THREADS, B_QUADS - 1u);
//!end
//!if TRANSPOSED
    let b_k{{J}} = b_at{{J}} % (BK / 4u) * 4u;
    let b_d{{J}} = d0 + b_at{{J}} / (BK / 4u);
//!else
    let b_k{{J}} = b_at{{J}} / (BN / 4u);
    let b_d{{J}} = d0 + b_at{{J}} % (BN / 4u) * 4u;
//!end
    var b_next{{J}}: vec4<f32>;
//!if ALIGNED
//!if TRANSPOSED
    let b_first{{J}} = (min(b_d{{J}}, DEST_C - 1u) * SOURCE_C + b_k{{J}}) / 4u;
//!else
    let b_first{{J}} = (b_k{{J}} * DEST_C + min(b_d{{J}}, DEST_C - 4u)) / 4u;
//!end
//!end
//!end
//!if ALIGNED
    var b_tap = 0u;
//!end
