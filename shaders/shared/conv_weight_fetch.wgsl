// Statements that fetch the operands of the positions from next on into registers; see conv_weight_state.wgsl.
//!for J in 0..{{A_EACH}}
            {
                let p = next + a_k{{J}};
                let here = source_of(position(min(p, end - 1u), vec2<u32>(DEST_H, DEST_W)));
//!if WIDE_C
                let first = pixel(here, a_tap);
                let value = prologue(source[(u32(max(first, 0)) + a_row % SOURCE_C) / 4u], 0u);
                a_next{{J}} = select(vec4<f32>(0.0), value, (first >= 0) & (p < end));
//!else
//!for L in 0..4
                let first{{L}} = pixel(here, a_tap{{L}});
                let value{{L}} = prologue(source[u32(max(first{{L}}, 0)) + a_row{{L}} % SOURCE_C], 0u);
                a_next{{J}}[{{L}}] = select(0.0, value{{L}}, (first{{L}} >= 0) & (p < end));
//!end
//!end
            }
//!end
//!for J in 0..{{B_EACH}}
            {
                // Not zero behind the end, where the source's are; but never the product of zero with garbage.
                let p = min(next + b_k{{J}}, end - 1u);
//!if WIDE_D
                b_next{{J}} = upstream[(p * DEST_C + b_column) / 4u];
//!else
//!for L in 0..4
                b_next{{J}}[{{L}}] = upstream[p * DEST_C + b_column{{L}}];
//!end
//!end
            }
//!end
