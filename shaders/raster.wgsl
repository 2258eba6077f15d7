// Draws images in raster order (van den Oord et al., 2016): one workgroup an image, a bounded number of positions a dispatch. When a row
// begins, what had to wait for the whole row above and what depends on rows above alone is computed for all its columns. At each position
// every other feature of the network is computed once, from what earlier positions left in `features`, and each colour is drawn from its
// logits in turn. A feature behind strides has a place at every s-th row and column. Barriers are within the workgroup alone. Where the
// adapter is a CPU (ALONE), an invocation draws an image by itself, so that its lanes never wait for each other.
// Dispatch: one workgroup an image, or one invocation; `job.first` and `job.last` bound the positions, the words behind `images` what is
// done at each.
//!include shared/functions
//!include shared/step
//!include shared/philox

struct Job {
    first: u32,
    last: u32,
    // 1 / temperature
    sharpness: f32,
    // Whether `kept` says which values are given.
    completes: u32,
    // Images to draw: a buffer's length may be more.
    images: u32,
    // Phases, from the first to before the last, and steps of a phase.
    phase_first: u32,
    phase_last: u32,
    step_first: u32,
    step_last: u32,
    // Columns, of steps that take them one by one, and cells of a step's output.
    column_first: u32,
    column_last: u32,
    cell_first: u32,
    cell_last: u32,
    // Whether values are drawn where a phase ends.
    draws: u32,
}

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> job: Job;
@group(0) @binding(2) var<storage, read> constants: array<f32>;
// One flag a value of an image.
@group(0) @binding(3) var<storage, read> kept: array<u32>;
// For each step its kind and what tells it from others of the kind, COUNT rows; then three words for each turn: the first word of the
// step's row, its stride, and the order of its columns (0 together, 1 rightward, 2 leftward). Turns are taken when a row of the image is
// finished (ENDED_STEPS), when one begins (ROW_STEPS), at each position (PIXEL_STEPS), again for each of its further colours (AGAIN_STEPS)
// and after its last value (LATE_STEPS).
@group(0) @binding(4) var<storage, read> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> features: array<f32>;
// [image, row, column, colour], in levels; given values stand there from the start.
@group(0) @binding(6) var<storage, read_write> images: array<f32>;
// ln p of what was drawn, one an image.
@group(0) @binding(7) var<storage, read_write> log_p: array<f32>;

// Invocations that share an image.
const LANES: u32 = {{LANES}}u;
const HEIGHT: u32 = {{HEIGHT}}u;
const WIDTH: u32 = {{WIDTH}}u;
const COLOURS: u32 = {{COLOURS}}u;
const ITEM: u32 = {{ITEM}}u;
// Elements of one image's features.
const FEATURES: u32 = {{FEATURES}}u;
const STREAM: u32 = {{STREAM}}u;
const ENDED_STEPS: u32 = {{ENDED_STEPS}}u;
const ROW_STEPS: u32 = {{ROW_STEPS}}u;
const PIXEL_STEPS: u32 = {{PIXEL_STEPS}}u;
const AGAIN_STEPS: u32 = {{AGAIN_STEPS}}u;
const LATE_STEPS: u32 = {{LATE_STEPS}}u;
// Where the turns begin in the table.
const TURNS: u32 = {{COUNT}}u * {{ROW}}u;

{{STEPS}}
fn step_at(row: u32, first: u32, columns: u32, base: u32, lane: u32, step_row: u32) {
    switch table[step_row] {
{{CASES}}
        default: {}
    }
}

// One of the random words that a value is drawn by.
fn chance(image: u32, place: u32, number: u32) -> u32 {
    let item = step.first_item + image;
    let words = philox(vec4<u32>(item >> 2u, number, place, STREAM), step.seed);
    let lane = item & 3u;
    return select(select(words.x, words.y, lane == 1u), select(words.z, words.w, lane == 3u), lane >= 2u);
}

{{DRAW}}
// Steps and draws stand in one place each, however many phases there are: drivers unfold functions where they are called.
fn draw_image(image: u32, lane: u32) {
    let base = image * FEATURES;
    for (var position = job.first; position < job.last; position++) {
        let row_here = position / WIDTH;
        let column = position % WIDTH;
        // Two phases for whole rows, one a colour, and the last.
        let phases = min(COLOURS + 3u, job.phase_last);
        for (var phase = max(select(2u, 0u, column == 0u), job.phase_first); phase < phases; phase++) {
            var row = row_here;
            var start = 0u;
            var count = ENDED_STEPS;
            if phase == 0u {
                if row == 0u {
                    continue;
                }
                row -= 1u;
            } else if phase == 1u {
                start = ENDED_STEPS;
                count = ROW_STEPS;
            } else if phase == 2u {
                start = ENDED_STEPS + ROW_STEPS;
                count = PIXEL_STEPS;
            } else if phase < COLOURS + 2u {
                start = ENDED_STEPS + ROW_STEPS + PIXEL_STEPS;
                count = AGAIN_STEPS;
            } else {
                start = ENDED_STEPS + ROW_STEPS + PIXEL_STEPS + AGAIN_STEPS;
                count = LATE_STEPS;
            }
            if phase == 2u {
                // What lay here belonged to a row that has left the ring.
                for (var colour = lane; colour < COLOURS; colour += LANES) {
                    features[{{IMAGE_AT}} + colour] = 0.0;
                }
                {{BARRIER}}
            }
            let whole = phase < 2u;
            for (var s = start + job.step_first; s < start + min(count, job.step_last); s++) {
                let every = table[TURNS + 3u * s + 1u];
                let order = table[TURNS + 3u * s + 2u];
                if row % every != 0u || (!whole && column % every != 0u) {
                    continue;
                }
                let apart = whole && order != 0u;
                let last = select(0u, (WIDTH - 1u) / every, apart);
                for (var k = job.column_first; k < min(last + 1u, job.column_last); k++) {
                    let first = select(select(column, 0u, whole), select(k, last - k, order == 2u) * every, apart);
                    let columns = select(1u, WIDTH, whole && !apart);
                    step_at(row, first, columns, base, lane, table[TURNS + 3u * s]);
                    {{BARRIER}}
                }
            }
            if job.draws != 0u && !whole && phase < COLOURS + 2u {
                if lane == 0u {
                    let colour = phase - 2u;
                    let place = position * COLOURS + colour;
                    var value = images[image * ITEM + place];
                    if job.completes == 0u || kept[place] == 0u {
                        value = draw(image, place, colour, {{LOGITS_AT}});
                    }
                    images[image * ITEM + place] = value;
                    features[{{IMAGE_AT}} + colour] = value;
                }
                {{BARRIER}}
            }
        }
    }
}

//!if ALONE
@compute @workgroup_size({{THREADS}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < job.images {
        draw_image(id.x, 0u);
    }
}
//!else
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    draw_image(group.x, lane);
}
//!end
