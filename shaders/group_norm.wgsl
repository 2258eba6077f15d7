// f(scale · (x - mean) / sqrt(var + epsilon) + shift) over the channels of a group and all positions of an image, f = SiLU or nothing;
// or (SUMS) for each channel the sums of v and of v · n over the positions, v = upstream · f', n the normalised x; or (INPUT) the gradient
// at x given those. Mean and variance by two passes, the second around the first's mean. CHANNELS, SIZE and indices are in units of T.
// Dispatch: a workgroup an image and group: LANES columns side by side, STRANDS strands of rows in each.
//!include shared/functions

{{BINDINGS}}
alias T = {{T}};
const IMAGES: u32 = {{IMAGES}}u;
const GROUPS: u32 = {{GROUPS}}u;
const ROWS: u32 = {{ROWS}}u;
const CHANNELS: u32 = {{CHANNELS}}u;
const SIZE: u32 = {{SIZE}}u;
const COUNT: f32 = {{COUNT}}.0;
const LANES: u32 = {{LANES}}u;
const STRANDS: u32 = {{STRANDS}}u;
const THREADS: u32 = {{THREADS}}u;

var<workgroup> strands: array<f32, {{THREADS}}>;
//!if SUMS
var<workgroup> firsts: array<{{T}}, {{THREADS}}>;
var<workgroup> seconds: array<{{T}}, {{THREADS}}>;
//!end

// The sum of an element's numbers.
fn across(v: T) -> f32 {
//!if WIDE
    return (v.x + v.y) + (v.z + v.w);
//!else
    return v;
//!end
}

// The sum of one number of each invocation, in an order of its own.
fn total(value: f32, thread: u32) -> f32 {
    workgroupBarrier();
    strands[thread] = value;
    workgroupBarrier();
    for (var size = THREADS; size > 1u; size = (size + 1u) / 2u) {
        let half = (size + 1u) / 2u;
        if thread + half < size {
            strands[thread] += strands[thread + half];
        }
        workgroupBarrier();
    }
    return strands[0];
}

fn scale_of(image: u32, channel: u32) -> T {
//!if OWN_SCALE
    return scale[image * CHANNELS + channel];
//!else
    return scale[channel];
//!end
}

fn shift_of(image: u32, channel: u32) -> T {
//!if OWN_SHIFT
    return shift[image * CHANNELS + channel];
//!else
    return shift[channel];
//!end
}

//!if GRADIENT
// The gradient before the activation.
fn before(u: T, n: T, scale: T, shift: T) -> T {
//!if SILU
    let z = n * scale + shift;
    let s = sigmoid{{WIDE}}(z);
    return u * s * (T(1.0) + z * (T(1.0) - s));
//!else
    return u;
//!end
}
//!end

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = workgroup.y * {{GRID_X}}u + workgroup.x;
    if g >= IMAGES * GROUPS {
        return;
    }
    let image = g / GROUPS;
    let group = g % GROUPS;
    let first = image * ROWS * CHANNELS + group * SIZE;
    let lane = thread % LANES;
    let strand = thread / LANES;

    var sum = 0.0;
    for (var c = lane; c < SIZE; c += LANES) {
        for (var r = strand; r < ROWS; r += STRANDS) {
            sum += across(input_x[first + r * CHANNELS + c]);
        }
    }
    let mean = total(sum, thread) / COUNT;
    sum = 0.0;
    for (var c = lane; c < SIZE; c += LANES) {
        for (var r = strand; r < ROWS; r += STRANDS) {
            let d = input_x[first + r * CHANNELS + c] - T(mean);
            sum += across(d * d);
        }
    }
    let unit = 1.0 / sqrt(total(sum, thread) / COUNT + {{EPSILON}});

//!if INPUT
    var means = vec2<f32>(0.0, 0.0);
    for (var c = thread; c < SIZE; c += THREADS) {
        let channel = group * SIZE + c;
        let by = scale_of(image, channel);
        means += vec2<f32>(across(by * sums[2u * image * CHANNELS + channel]), across(by * sums[(2u * image + 1u) * CHANNELS + channel]));
    }
    let even = total(means.x, thread) / COUNT;
    let along = total(means.y, thread) / COUNT;
//!end

    // All invocations go round as often, for there are barriers inside.
    for (var block = 0u; block < SIZE; block += LANES) {
        let c = block + lane;
        let channel = group * SIZE + min(c, SIZE - 1u);
        let a = scale_of(image, channel);
//!if SUMS
        var pair = array<T, 2>(T(0.0), T(0.0));
//!end
        for (var r = select(ROWS, strand, c < SIZE); r < ROWS; r += STRANDS) {
            let at = first + r * CHANNELS + c;
            let n = (input_x[at] - T(mean)) * unit;
//!if FORWARD
            let z = n * a + shift_of(image, channel);
//!if SILU
            output[at] = z * sigmoid{{WIDE}}(z);
//!else
            output[at] = z;
//!end
//!end
//!if GRADIENT
            let v = before(upstream[at], n, a, shift_of(image, channel));
//!end
//!if INPUT
            output[at] = (v * a - T(even) - n * along) * unit;
//!end
//!if SUMS
            pair[0] += v;
            pair[1] += v * n;
//!end
        }
//!if SUMS
        firsts[thread] = pair[0];
        seconds[thread] = pair[1];
        workgroupBarrier();
        if strand == 0u && c < SIZE {
            for (var other = 1u; other < STRANDS; other++) {
                pair[0] += firsts[thread + other * LANES];
                pair[1] += seconds[thread + other * LANES];
            }
            output[2u * image * CHANNELS + channel] = pair[0];
            output[(2u * image + 1u) * CHANNELS + channel] = pair[1];
        }
        workgroupBarrier();
//!end
    }
}
