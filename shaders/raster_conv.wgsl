// One convolution at one position, for raster.wgsl: a lane sums whole output channels, over taps and channels in the order of conv.wgsl.
// The taps' row and column offsets stand among the constants: a loop over them keeps the kernel short, which drivers compile faster.
fn epilogue_{{K}}(sum: f32, index: u32, row: u32, column: u32, base: u32) -> f32 {
{{PROGRAM}}
}

fn step_{{K}}(row_here: u32, column_here: u32, base: u32, lane: u32) {
    for (var d = lane; d < {{D}}u; d += THREADS) {
        var sum = 0.0;
        for (var t = 0u; t < {{TAPS}}u; t++) {
            let y = i32(row_here) + i32(constants[{{OFFSETS}}u + 2u * t]);
            let x = i32(column_here) + i32(constants[{{OFFSETS}}u + 2u * t + 1u]);
            // Zeros outside the image add nothing.
            if y < 0 || x < 0 || x >= i32(WIDTH) {
                continue;
            }
            let row = u32(y);
            let column = u32(x);
            let start = {{SOURCE_AT}};
            for (var c = 0u; c < {{C}}u; c++) {
                sum = fma(features[start + c], constants[{{WEIGHTS}}u + (t * {{C}}u + c) * {{D}}u + d], sum);
            }
        }
        let row = row_here;
        let column = column_here;
        features[{{OUTPUT_AT}} + d] = epilogue_{{K}}(sum, d, row, column, base);
    }
}
