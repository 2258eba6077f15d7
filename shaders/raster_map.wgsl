// One pointwise program at some columns of a row, for raster.wgsl: a lane a channel of a column.
fn program_{{K}}(index: u32, row: u32, column: u32, base: u32, step_row: u32) -> f32 {
{{PROGRAM}}
}

fn step_{{K}}(row: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    for (var i = job.cell_first + lane; i < min({{CELLS}} * {{D}}u, job.cell_last); i += LANES) {
        let column = first + i / {{D}}u{{EVERY}};
        let d = i % {{D}}u;
        features[{{OUTPUT_AT}} + d] = program_{{K}}(d, row, column, base, step_row);
    }
}
