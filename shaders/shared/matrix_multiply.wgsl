// Statements that multiply the tiles in workgroup memory into this subgroup's sums. Tiles run along k where A_ALONG_K and TRANSPOSED say
// so, else along the outputs.
        for (var k = 0u; k < BK; k += SIDE) {
//!for I in 0..{{FM}}
//!if A_ALONG_K
            let a{{I}} = coopLoadT<coop_mat{{SIDE}}x{{SIDE}}<f16, A>>(&tile_a[(row0 + {{I}}u * SIDE) * A_ROW + k], A_ROW);
//!else
            let a{{I}} = coopLoad<coop_mat{{SIDE}}x{{SIDE}}<f16, A>>(&tile_a[k * A_ROW + row0 + {{I}}u * SIDE], A_ROW);
//!end
//!end
//!for V in 0..{{FN}}
//!if TRANSPOSED
            let b{{V}} = coopLoad<coop_mat{{SIDE}}x{{SIDE}}<f16, B>>(&tile_b[(column0 + {{V}}u * SIDE) * B_ROW + k], B_ROW);
//!else
            let b{{V}} = coopLoadT<coop_mat{{SIDE}}x{{SIDE}}<f16, B>>(&tile_b[k * B_ROW + column0 + {{V}}u * SIDE], B_ROW);
//!end
//!for I in 0..{{FM}}
            sum{{I}}_{{V}} = coopMultiplyAdd(a{{I}}, b{{V}}, sum{{I}}_{{V}});
//!end
//!end
        }
