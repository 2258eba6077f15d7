// One pointwise program at one position, for raster.wgsl: a lane a channel.
fn program_{{K}}(index: u32, row: u32, column: u32, base: u32, step_row: u32) -> f32 {
{{PROGRAM}}
}

fn step_{{K}}(row: u32, column: u32, base: u32, lane: u32, step_row: u32) {
    for (var d = lane; d < {{D}}u; d += LANES) {
        features[{{OUTPUT_AT}} + d] = program_{{K}}(d, row, column, base, step_row);
    }
}
