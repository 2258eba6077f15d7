// [outer, REDUCE, inner] -> [outer, SPLITS, inner], each split a CHUNK of the reduced axis; elements come from a pointwise program or
// from the partial results of an earlier stage. Sum, maximum, ln of the sum of exponentials (online, Milakov and Gimelshein, 2018), or
// sum of squares. The order is fixed by the shape alone, so results repeat bit for bit.
// Dispatch: TREE: a workgroup owns LANES neighbours along inner and ROWS strands of one chunk, joined by a tree in workgroup memory.
//           Otherwise one invocation an output, inner fastest, going through its chunk alone.
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

//!if LSE
// Largest exponent and the sum of exponentials below it.
alias Partial = vec2<f32>;
const LOWEST: f32 = -3.4028234e38;

fn start() -> Partial {
    return vec2<f32>(LOWEST, 0.0);
}

fn join(a: Partial, b: Partial) -> Partial {
    let top = max(a.x, b.x);
    return vec2<f32>(top, a.y * exp(max(a.x - top, -100.0)) + b.y * exp(max(b.x - top, -100.0)));
}

fn lift(x: f32) -> Partial {
    return vec2<f32>(x, 1.0);
}

fn finish(a: Partial) -> f32 {
    return a.x + log(a.y);
}
//!else
alias Partial = f32;

fn finish(a: Partial) -> f32 {
    return a;
}
//!if MAX
fn start() -> Partial {
    return -3.4028234e38;
}

fn join(a: Partial, b: Partial) -> Partial {
    return select(a, b, b > a);
}
//!else
fn start() -> Partial {
    return 0.0;
}

fn join(a: Partial, b: Partial) -> Partial {
    return a + b;
}
//!end
fn lift(x: f32) -> Partial {
//!if SQUARES
    return x * x;
//!else
    return x;
//!end
}
//!end

{{BINDINGS}}
const OUTER: u32 = {{OUTER}}u;
const REDUCE: u32 = {{REDUCE}}u;
const INNER: u32 = {{INNER}}u;
const SPLITS: u32 = {{SPLITS}}u;
const CHUNK: u32 = {{CHUNK}}u;

{{PROGRAM}}
fn element(o: u32, r: u32, i: u32) -> Partial {
    let index = (o * REDUCE + r) * INNER + i;
//!if FROM_PARTIALS
    return partials[index];
//!else
    return lift(program(index));
//!end
}

fn store(o: u32, s: u32, i: u32, value: Partial) {
//!if TO_PARTIALS
    output[(o * SPLITS + s) * INNER + i] = value;
//!else
    output[(o * SPLITS + s) * INNER + i] = finish(value);
//!end
}

//!if TREE
const LANES: u32 = {{LANES}}u;
const ROWS: u32 = {{ROWS}}u;
const TILES: u32 = (INNER + LANES - 1u) / LANES;
var<workgroup> strands: array<Partial, {{THREADS}}>;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = group.y * {{GRID_X}}u + group.x;
    let i = g % TILES * LANES + thread % LANES;
    let s = g / TILES % SPLITS;
    let o = g / (TILES * SPLITS);
    let row = thread / LANES;
    var sum = start();
    if i < INNER && o < OUTER {
        let end = min((s + 1u) * CHUNK, REDUCE);
        for (var r = s * CHUNK + row; r < end; r += ROWS) {
            sum = join(sum, element(o, r, i));
        }
    }
    strands[thread] = sum;
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if row < half {
            sum = join(sum, strands[thread + half * LANES]);
            strands[thread] = sum;
        }
    }
    if row == 0u && i < INNER && o < OUTER {
        store(o, s, i, sum);
    }
}
//!else
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + thread;
    if id >= OUTER * SPLITS * INNER {
        return;
    }
    let i = id % INNER;
    let s = id / INNER % SPLITS;
    let o = id / (INNER * SPLITS);
    var sum = start();
    let end = min((s + 1u) * CHUNK, REDUCE);
    for (var r = s * CHUNK; r < end; r++) {
        sum = join(sum, element(o, r, i));
    }
    store(o, s, i, sum);
}
//!end
