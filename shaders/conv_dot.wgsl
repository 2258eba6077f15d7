// The same product as conv.wgsl where outputs are few and sums are long: a workgroup sums four channels of one position, each invocation
// four terms in every 4 THREADS, and a tree joins them. The order is fixed by the shape, but is not conv.wgsl's.
// Dispatch: flat over positions and four-vectors of channels, channels fastest; z over phases.
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
//!include shared/gather
const THREADS: u32 = {{THREADS}}u;
// Workgroups along the channels.
const ACROSS: u32 = (DEST_C + 3u) / 4u;
var<workgroup> sums: array<vec4<f32>, {{THREADS}}>;

{{PROLOGUE}}
{{EPILOGUE}}
//!include shared/store
//!include shared/conv_operands

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = group.y * {{GRID_X}}u + group.x;
    let phase = phase_of(group.z);
    let at = position(id / ACROSS, phase.extent);
    let base = source_of(at);
    let d0 = id % ACROSS * 4u;
    var sum = vec4<f32>(0.0);
    for (var k = lane * 4u; k < phase.taps * SOURCE_C; k += THREADS * 4u) {
        let a = load_a(base, k, phase);
//!for L in 0..4
//!if TRANSPOSED
        sum[{{L}}] += dot(a, load_b(k, d0 + {{L}}u, phase));
//!else
        sum = fma(vec4<f32>(a[{{L}}]), load_b(k + {{L}}u, d0, phase), sum);
//!end
//!end
    }
    sums[lane] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sum += sums[lane + half];
            sums[lane] = sum;
        }
    }
    if lane == 0u && at.x < IMAGES {
        store(sum, destination(at, phase.origin), d0);
    }
}
