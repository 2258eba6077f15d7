// Four sums of the row of outputs that starts at element `to`, from channel `d` on, through the epilogue if there is one; channels
// behind the last are left out.
fn store(sums: vec4<f32>, to: u32, d: u32) {
//!if WIDE_D
    if d < DEST_C {
//!if EPILOGUE
        output[(to + d) / 4u] = epilogue(sums, to + d);
//!else
        output[(to + d) / 4u] = sums;
//!end
    }
//!else
//!for L in 0..4
    if d + {{L}}u < DEST_C {
//!if EPILOGUE
        output[to + d + {{L}}u] = epilogue(sums[{{L}}], to + d + {{L}}u);
//!else
        output[to + d + {{L}}u] = sums[{{L}}];
//!end
    }
//!end
//!end
}
