// Statements that fetch the operands of the tile at next into registers; see conv_state.wgsl.
//!if ALIGNED
            // A tile lies within one tap: what belongs to the tap is computed when it changes, and addresses only move on.
//!if SPLIT
            if (next % SOURCE_C == 0u) | (next == begin) {
//!else
            if next % SOURCE_C == 0u {
//!end
                let tap = table[phase.first + next / SOURCE_C];
                b_tap = u32(tap.z) * (SOURCE_C * DEST_C / 4u);
//!for J in 0..{{A_EACH}}
                let pixel{{J}} = pixel(a_from{{J}}, tap);
                a_inside{{J}} = pixel{{J}} >= 0;
                a_first{{J}} = u32(max(pixel{{J}}, 0)) / 4u + a_at{{J}} % (BK / 4u);
//!end
            }
            let c0 = next % SOURCE_C / 4u;
//!for J in 0..{{A_EACH}}
            a_next{{J}} = select(vec4<f32>(0.0), prologue(source[a_first{{J}} + c0], 0u), a_inside{{J}});
//!end
//!for J in 0..{{B_EACH}}
//!if TRANSPOSED
            b_next{{J}} = weights[b_tap + b_first{{J}} + c0];
//!else
            b_next{{J}} = weights[b_tap + b_first{{J}} + c0 * DEST_C];
//!end
//!end
//!else
//!for J in 0..{{A_EACH}}
            a_next{{J}} = load_a(a_from{{J}}, next + a_at{{J}} % (BK / 4u) * 4u, phase);
//!end
//!for J in 0..{{B_EACH}}
            b_next{{J}} = load_b(next + b_k{{J}}, b_d{{J}}, phase);
//!end
//!end
