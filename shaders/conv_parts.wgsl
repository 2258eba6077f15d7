// Adds the parts of a split product in order, then its epilogue: out[i] = epilogue(sum over p of parts[p, i]).
// Dispatch: flat, one invocation for WIDTH adjacent elements.
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;

{{EPILOGUE}}
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i < COUNT {
        var sum = parts[i];
        for (var p = 1u; p < {{PARTS}}u; p++) {
            sum += parts[p * COUNT + i];
        }
        output[i] = epilogue(sum, i * {{WIDTH}}u);
    }
}
