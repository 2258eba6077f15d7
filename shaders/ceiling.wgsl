// What an adapter can do at most: chains of multiply-adds in registers (FMA), or a copy of four-vectors.
// Dispatch: flat, one invocation for WIDTH elements.
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * {{THREADS}}u + lane;
//!if FMA
    let a = source[i];
//!for K in 0..8
    var x{{K}} = a + vec4<f32>({{K}}.0);
//!end
    for (var n = 0u; n < {{ROUNDS}}u; n++) {
//!for K in 0..8
        x{{K}} = fma(x{{K}}, vec4<f32>(0.999), a);
//!end
    }
    output[i] = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7;
//!else
    output[i] = source[i];
//!end
}
