// The channels of one feature behind those of another at some columns of a row, for raster.wgsl: a lane a channel of a column.
fn step_{{K}}(row: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    for (var i = job.cell_first + lane; i < min({{CELLS}} * {{D}}u, job.cell_last); i += LANES) {
        let column = first + i / {{D}}u{{EVERY}};
        let d = i % {{D}}u;
        var value: f32;
        if d < {{SPLIT}}u {
            value = features[{{FIRST_AT}} + d];
        } else {
            value = features[{{SECOND_AT}} + d - {{SPLIT}}u];
        }
        features[{{OUTPUT_AT}} + d] = value;
    }
}
