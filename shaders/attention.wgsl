// softmax(q · k^T / sqrt(w)) · v of each head, or a part of its gradient. Each image's row holds q, k and v in turn, head by head; a row of
// what is made holds the heads. An invocation has one position: FORWARD, TOTALS and QUERIES its query, which meets tiles of keys; KEYS
// its key and value, which meet tiles of queries. Scores are never stored: of a query's, the largest so far is taken out (ONLINE), or the
// total is known (GRADIENT). TOTALS writes (ln of the sum of exponentials, sum of the gradient times what was made) for each query.
// Dispatch: THREADS positions of one image and head a workgroup.
{{BINDINGS}}
const IMAGES: u32 = {{IMAGES}}u;
const HEADS: u32 = {{HEADS}}u;
const LENGTH: u32 = {{LENGTH}}u;
// Vectors of four of a head, and of all heads.
const WIDTH: u32 = {{WIDTH}}u;
const INNER: u32 = HEADS * WIDTH;
const TILE: u32 = {{TILE}}u;
const THREADS: u32 = {{THREADS}}u;
const BLOCKS: u32 = {{BLOCKS}}u;
const SCALE: f32 = {{SCALE}};
const LOWEST: f32 = -3.4028234e38;

// What is met of a position: keys and values, or (KEYS) queries and gradients.
var<workgroup> first_tile: array<vec4<f32>, {{TILE_QUADS}}>;
//!if SECOND
var<workgroup> second_tile: array<vec4<f32>, {{TILE_QUADS}}>;
//!end
//!if KEYS
var<workgroup> totals_tile: array<vec2<f32>, {{TILE}}>;
//!end

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = workgroup.y * {{GRID_X}}u + workgroup.x;
    if g >= IMAGES * HEADS * BLOCKS {
        return;
    }
    let head = g / BLOCKS % HEADS;
    let image = g / (BLOCKS * HEADS);
    let position = g % BLOCKS * THREADS + thread;
    // Surplus invocations repeat the last position, and write nothing.
    let own = min(position, LENGTH - 1u);
    let read = (image * LENGTH + own) * 3u * INNER + head * WIDTH;
    let write = (image * LENGTH + own) * INNER + head * WIDTH;

//!if KEYS
//!for I in 0..{{WIDTH}}
    let key{{I}} = input_x[read + INNER + {{I}}u];
    let value{{I}} = input_x[read + 2u * INNER + {{I}}u];
    var dk{{I}} = vec4<f32>(0.0);
    var dv{{I}} = vec4<f32>(0.0);
//!end
//!else
//!for I in 0..{{WIDTH}}
    let query{{I}} = input_x[read + {{I}}u];
//!if QUERIES
    let up{{I}} = upstream[write + {{I}}u];
//!end
//!if SECOND
    var sum{{I}} = vec4<f32>(0.0);
//!end
//!end
//!end
//!if QUERIES
    let known = totals[(image * HEADS + head) * LENGTH + own];
//!end
//!if ONLINE
    var top = LOWEST;
    var total = 0.0;
//!end

    for (var begin = 0u; begin < LENGTH; begin += TILE) {
        workgroupBarrier();
        for (var at = thread; at < TILE * WIDTH; at += THREADS) {
            let other = image * LENGTH + min(begin + at / WIDTH, LENGTH - 1u);
            let source = other * 3u * INNER + head * WIDTH + at % WIDTH;
//!if KEYS
            first_tile[at] = input_x[source];
            second_tile[at] = upstream[other * INNER + head * WIDTH + at % WIDTH];
//!else
            first_tile[at] = input_x[source + INNER];
//!if SECOND
            second_tile[at] = input_x[source + 2u * INNER];
//!end
//!end
        }
//!if KEYS
        for (var at = thread; at < TILE; at += THREADS) {
            totals_tile[at] = totals[(image * HEADS + head) * LENGTH + min(begin + at, LENGTH - 1u)];
        }
//!end
        workgroupBarrier();
//!if ONLINE
        for (var j = 0u; j < TILE; j += 4u) {
            var scores = vec4<f32>(0.0);
//!for J in 0..4
            {
                var dots = vec4<f32>(0.0);
//!for I in 0..{{WIDTH}}
                dots += query{{I}} * first_tile[(j + {{J}}u) * WIDTH + {{I}}u];
//!end
                scores[{{J}}] = select(LOWEST, SCALE * ((dots.x + dots.y) + (dots.z + dots.w)), begin + j + {{J}}u < LENGTH);
            }
//!end
            let now = max(top, max(max(scores.x, scores.y), max(scores.z, scores.w)));
            // Arguments stay in the range in which every driver's exponential is one: what is below it adds nothing.
            let shrink = exp(max(top - now, -100.0));
            let shares = exp(max(scores - vec4<f32>(now), vec4<f32>(-100.0)));
            total = total * shrink + ((shares.x + shares.y) + (shares.z + shares.w));
            top = now;
//!if FORWARD
//!for I in 0..{{WIDTH}}
            sum{{I}} = sum{{I}} * shrink;
//!for J in 0..4
            sum{{I}} += shares[{{J}}] * second_tile[(j + {{J}}u) * WIDTH + {{I}}u];
//!end
//!end
//!end
        }
//!end
//!if GRADIENT
        let end = min(TILE, LENGTH - begin);
        for (var j = 0u; j < end; j++) {
            var dots = vec4<f32>(0.0);
            var ups = vec4<f32>(0.0);
//!for I in 0..{{WIDTH}}
//!if KEYS
            dots += key{{I}} * first_tile[j * WIDTH + {{I}}u];
            ups += value{{I}} * second_tile[j * WIDTH + {{I}}u];
//!else
            dots += query{{I}} * first_tile[j * WIDTH + {{I}}u];
            ups += up{{I}} * second_tile[j * WIDTH + {{I}}u];
//!end
//!end
//!if KEYS
            let known = totals_tile[j];
//!end
            let share = exp(max(SCALE * ((dots.x + dots.y) + (dots.z + dots.w)) - known.x, -100.0));
            let of_score = SCALE * share * ((ups.x + ups.y) + (ups.z + ups.w) - known.y);
//!for I in 0..{{WIDTH}}
//!if KEYS
            dk{{I}} += of_score * first_tile[j * WIDTH + {{I}}u];
            dv{{I}} += share * second_tile[j * WIDTH + {{I}}u];
//!else
            sum{{I}} += of_score * first_tile[j * WIDTH + {{I}}u];
//!end
//!end
        }
//!end
    }

    if position >= LENGTH {
        return;
    }
//!if FORWARD
    let whole = 1.0 / total;
//!for I in 0..{{WIDTH}}
    output[write + {{I}}u] = sum{{I}} * whole;
//!end
//!end
//!if TOTALS
    var dots = vec4<f32>(0.0);
    for (var c = 0u; c < WIDTH; c++) {
        dots += upstream[write + c] * made[write + c];
    }
    totals[(image * HEADS + head) * LENGTH + position] = vec2<f32>(top + log(total), (dots.x + dots.y) + (dots.z + dots.w));
//!end
//!if QUERIES
//!for I in 0..{{WIDTH}}
    output[read + {{I}}u] = sum{{I}};
//!end
//!end
//!if KEYS
//!for I in 0..{{WIDTH}}
    output[read + INNER + {{I}}u] = dk{{I}};
    output[read + 2u * INNER + {{I}}u] = dv{{I}};
//!end
//!end
}
