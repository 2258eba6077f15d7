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

alias Partial = {{PARTIAL}};

//!if LSE
// Largest exponent and the sum of exponentials below it.
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
//!if VARIANCE
// How many there are, their mean, and the sum of squares of what they are away from it.
fn start() -> Partial {
    return Partial(0.0);
}

fn join(a: Partial, b: Partial) -> Partial {
    let count = a.x + b.x;
    let away = b.y - a.y;
    let share = b.x / max(count, 1.0);
    return Partial(count, a.y + away * share, a.z + b.z + away * away * a.x * share, 0.0);
}

fn finish(a: Partial) -> f32 {
    return a.z * {{SHARE}};
}
//!else
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

fn finish(a: Partial) -> f32 {
//!if MEAN
    return a * {{SHARE}};
//!else
    return a;
//!end
}
//!end
//!end

{{BINDINGS}}
const OUTER: u32 = {{OUTER}}u;
const REDUCE: u32 = {{REDUCE}}u;
const INNER: u32 = {{INNER}}u;
const SPLITS: u32 = {{SPLITS}}u;
const CHUNK: u32 = {{CHUNK}}u;

{{PROGRAM}}
fn at(o: u32, r: u32, i: u32) -> u32 {
    return (o * REDUCE + r) * INNER + i;
}

// Elements first, first + by, … of a column, up to end.
fn strand(o: u32, i: u32, first: u32, end: u32, by: u32) -> Partial {
//!if FROM_PARTIALS
    var sum = start();
    for (var r = first; r < end; r += by) {
        sum = join(sum, partials[at(o, r, i)]);
    }
    return sum;
//!else
//!if VARIANCE
    if first >= end {
        return start();
    }
    // About the strand's own first element, so that what is subtracted in the end is small.
    let origin = program(at(o, first, i));
    var count = 1.0;
    var sum = 0.0;
    var squares = 0.0;
    for (var r = first + by; r < end; r += by) {
        let away = program(at(o, r, i)) - origin;
        count += 1.0;
        sum += away;
        squares = fma(away, away, squares);
    }
    let mean = sum / count;
    return Partial(count, origin + mean, max(squares - sum * mean, 0.0), 0.0);
//!else
    var sum = start();
    for (var r = first; r < end; r += by) {
        sum = join(sum, lift(program(at(o, r, i))));
    }
    return sum;
//!end
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
const TREES: u32 = {{TREES}}u;
const LANES: u32 = {{LANES}}u;
const ROWS: u32 = {{ROWS}}u;
const TILES: u32 = (INNER + LANES - 1u) / LANES;
var<workgroup> strands: array<Partial, {{THREADS}}>;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tree = (group.y * {{GRID_X}}u + group.x) * TREES + thread / (LANES * ROWS);
    let i = tree % TILES * LANES + thread % LANES;
    let s = tree / TILES % SPLITS;
    let o = tree / (TILES * SPLITS);
    let row = thread / LANES % ROWS;
    let inside = i < INNER && o < OUTER;
    var sum = start();
    if inside {
        sum = strand(o, i, s * CHUNK + row, min((s + 1u) * CHUNK, REDUCE), ROWS);
    }
    strands[thread] = sum;
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if row < half {
            sum = join(sum, strands[thread + half * LANES]);
            strands[thread] = sum;
        }
    }
    if row == 0u && inside {
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
    store(o, s, i, strand(o, i, s * CHUNK, min((s + 1u) * CHUNK, REDUCE), 1u));
}
//!end
