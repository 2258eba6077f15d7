// Products of matrices, pair by pair: an invocation has one element, and sums over K. Either factor may lie turned.
// Dispatch: THREADS elements a workgroup.
{{BINDINGS}}
const M: u32 = {{M}}u;
const K: u32 = {{K}}u;
const N: u32 = {{N}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let at = (workgroup.y * {{GRID_X}}u + workgroup.x) * {{THREADS}}u + thread;
    if at >= {{COUNT}}u {
        return;
    }
    let pair = at / (M * N);
    var a = pair * (M * K) + at / N % M * {{A_ROW}}u;
    var b = pair * (K * N) + at % N * {{B_COLUMN}}u;
    var sum = 0.0;
    for (var k = 0u; k < K; k += 1u) {
        sum += input_a[a] * input_b[b];
        a += {{A_ALONG}}u;
        b += {{B_ALONG}}u;
    }
    output[at] = sum;
}
