// One convolution at some columns of a row, for raster.wgsl: a lane sums whole output channels (FOUR: four at a time), over taps and
// channels in the order of conv.wgsl. The taps' row and column offsets stand among the constants: a loop over them keeps the kernel
// short, which drivers compile faster.
fn epilogue_{{K}}(sum: f32, index: u32, row: u32, column: u32, base: u32, step_row: u32) -> f32 {
{{PROGRAM}}
}

fn step_{{K}}(row_here: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    for (var i = job.cell_first + lane * {{WIDE}}u; i < min({{CELLS}} * {{D}}u, job.cell_last); i += LANES * {{WIDE}}u) {
        let column_here = first + i / {{D}}u{{EVERY}};
        let d = i % {{D}}u;
        var sum = {{ZERO}};
        for (var t = 0u; t < {{TAPS}}u; t++) {
            let y = i32(row_here) + i32(constants[{{OFFSETS}} + 2u * t]);
            let x = i32(column_here) + i32(constants[{{OFFSETS}} + 2u * t + 1u]);
            // Zeros outside the image add nothing.
            if y < 0 || x < 0 || x >= i32(WIDTH) {
                continue;
            }
//!if BELOW
            if y >= i32(HEIGHT) {
                continue;
            }
//!end
//!if BETWEEN
            if y % {{STRIDE}} != 0 || x % {{STRIDE}} != 0 {
                continue;
            }
//!end
            let row = u32(y);
            let column = u32(x);
            let start = {{SOURCE_AT}};
            for (var c = 0u; c < {{C}}u; c++) {
                let w = {{WEIGHTS}} + t * {{C}}u * {{D}}u + c{{OF_INPUT}} + d{{OF_OUTPUT}};
//!if FOUR
                let weights = vec4<f32>(constants[w], constants[w + {{STEP}}u], constants[w + 2u * {{STEP}}u], constants[w + 3u * {{STEP}}u]);
                sum = fma(vec4<f32>(features[start + c]), weights, sum);
//!else
                sum = fma(features[start + c], constants[w], sum);
//!end
            }
        }
        let row = row_here;
        let column = column_here;
//!if FOUR
        for (var k = 0u; k < 4u; k++) {
            features[{{OUTPUT_AT}} + d + k] = epilogue_{{K}}(sum[k], d + k, row, column, base, step_row);
        }
//!else
        features[{{OUTPUT_AT}} + d] = epilogue_{{K}}(sum, d, row, column, base, step_row);
//!end
    }
}
