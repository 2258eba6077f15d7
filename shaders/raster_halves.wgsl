// Two pointwise programs of one feature at some columns of a row, for raster.wgsl: a lane a channel of both halves of a column.
fn first_{{K}}(index: u32, row: u32, column: u32, base: u32, step_row: u32) -> f32 {
{{FIRST}}
}

fn second_{{K}}(index: u32, row: u32, column: u32, base: u32, step_row: u32) -> f32 {
{{SECOND}}
}

fn step_{{K}}(row: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    for (var i = job.cell_first + lane; i < min({{CELLS}} * {{HALF}}u, job.cell_last); i += LANES) {
        let column = first + i / {{HALF}}u{{EVERY}};
        let d = i % {{HALF}}u;
        let at = {{OUTPUT_AT}} + d;
        features[at] = first_{{K}}(d, row, column, base, step_row);
        features[at + {{HALF}}u] = second_{{K}}(d, row, column, base, step_row);
    }
}
