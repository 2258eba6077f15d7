// Cells of a recurrence at some columns of a row, for raster.wgsl: a lane a unit of a column, all its gates at once, with sums in the
// order of scan.wgsl. Offsets of the neighbours stand among the constants, in places of the feature; rows and columns too are its own
// until a place is read.
fn step_{{K}}(row_here: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    for (var i = job.cell_first + lane; i < min({{CELLS}} * {{D}}u, job.cell_last); i += LANES) {
        let column_here = first + i / {{D}}u{{EVERY}};
        let unit = i % {{D}}u;
        var row = row_here;
        var column = column_here;
        let sums = {{SUMS_AT}};
        var z = vec4<f32>(features[sums + unit], features[sums + {{D}}u + unit], features[sums + 2u * {{D}}u + unit], features[sums + 3u * {{D}}u + unit]);
        for (var t = 0u; t < {{TAPS}}u; t++) {
            let y = i32(row_here / {{STRIDE}}u) + i32(constants[{{OFFSETS}} + 2u * t]);
            let x = i32(column_here / {{STRIDE}}u) + i32(constants[{{OFFSETS}} + 2u * t + 1u]);
            let beside = x < 0 || x >= {{SPAN}};
            // Before the first cells lies the initial state, elsewhere beyond the image zeros, which add nothing.
//!if BY_ROWS
            if beside {
                continue;
            }
            let begins = y < 0;
//!else
            if y < 0 {
                continue;
            }
            let begins = beside;
//!end
            row = u32(y) * {{STRIDE}}u;
            column = u32(x) * {{STRIDE}}u;
            for (var k = 0u; k < {{D}}u; k++) {
                var h: f32;
                if begins {
                    h = constants[{{INITIAL}} + k];
                } else {
                    h = features[{{OUTPUT_AT}} + k];
                }
                let w = {{WEIGHTS}} + (t * {{D}}u + k) * {{D}}u * {{ENTERED}}u + unit;
//!if GRU
                z = fma(vec4<f32>(h), vec4<f32>(constants[w], constants[w + {{D}}u], constants[w + 2u * {{D}}u], 0.0), z);
//!else
                z = fma(vec4<f32>(h), vec4<f32>(constants[w], constants[w + {{D}}u], constants[w + 2u * {{D}}u], constants[w + 3u * {{D}}u]), z);
//!end
            }
        }
        let y = i32(row_here / {{STRIDE}}u) + {{CARRY_ROW}};
        let x = i32(column_here / {{STRIDE}}u) + {{CARRY_COLUMN}};
        var c: f32;
        if y < 0 || x < 0 || x >= {{SPAN}} {
            c = constants[{{INITIAL}} + {{CARRIED}}u * {{D}}u + unit];
        } else {
            row = u32(y) * {{STRIDE}}u;
            column = u32(x) * {{STRIDE}}u;
            c = features[{{CELLS_AT}} + unit];
        }
//!if GRU
        let candidate = tanh_stable(z.w + sigmoid(z.x) * z.z);
        c = candidate + sigmoid(z.y) * (c - candidate);
        let h = c;
//!else
        c = sigmoid(z.y) * c + sigmoid(z.x) * tanh_stable(z.z);
        let h = sigmoid(z.w) * tanh_stable(c);
//!end
        row = row_here;
        column = column_here;
        features[{{CELLS_AT}} + unit] = c;
        features[{{OUTPUT_AT}} + unit] = h;
    }
}
