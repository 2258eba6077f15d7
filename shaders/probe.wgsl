// What a load costs: each invocation sums ROUNDS four-vectors in the order of a product's operand, from a storage texture (TEXTURE) or from
// a buffer. The sum keeps the loads alive.
// Dispatch: x, THREADS invocations each.
//!include shared/texels

//!if TEXTURE
@group(0) @binding(0) var source: texture_storage_2d<rgba32float, read>;
//!else
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
//!end
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var sum = vec4<f32>(0.0);
    for (var round = 0u; round < {{ROUNDS}}u; round++) {
        let at = (id.x * 16u + round) % {{TEXELS}}u;
//!if TEXTURE
        sum += textureLoad(source, texel(at));
//!else
        sum += source[at];
//!end
    }
    output[id.x] = sum;
}
