// The cells of a scan (see shaders/scan.wgsl): in each step a lane has one cell or none, and a cell reads lanes of the step before.
const HEIGHT: u32 = {{HEIGHT}}u;
const WIDTH: u32 = {{WIDTH}}u;
const UNITS: u32 = {{UNITS}}u;
const TAPS: u32 = {{TAPS}}u;
const CELLS: u32 = HEIGHT * WIDTH;
const GATES: u32 = 4u * UNITS;
// The first gates, those that hidden states enter; and where what first cells go on from begins in the initial state.
const ENTERED: u32 = {{ENTERED}}u * UNITS;
const CARRIED: u32 = {{CARRIED}}u * UNITS;
const STEPS: u32 = {{STEPS}}u;
const LANES: u32 = {{LANES}}u;
// Lanes of zeros on either side of the others.
const MARGIN: u32 = {{MARGIN}}u;
const SPAN: u32 = LANES + 2u * MARGIN;

// The lane that a cell of `lane` reads at a tap, counted from the first of the margin.
fn read_lane(lane: u32, tap: u32) -> u32 {
//!if ROWS
    return lane + MARGIN + tap - TAPS / 2u;
//!else
    return lane + MARGIN + tap - 1u;
//!end
}

// The lane whose cells read `lane` at a tap.
fn reader_lane(lane: u32, tap: u32) -> u32 {
//!if ROWS
    return lane + MARGIN + TAPS / 2u - tap;
//!else
    return lane + MARGIN + 1u - tap;
//!end
}

// First lane with a cell in a step, and how many have one.
fn first_lane(step: u32) -> u32 {
//!if ROWS
    return 0u;
//!else
    return max(step + 1u, WIDTH) - WIDTH;
//!end
}

fn cells_in(step: u32) -> u32 {
//!if ROWS
    return WIDTH;
//!else
    return min(HEIGHT, step + 1u) - first_lane(step);
//!end
}

// The place in the image of a lane's cell in a step.
fn place(step: u32, lane: u32) -> u32 {
//!if ROWS
    return step * WIDTH + lane;
//!end
//!if RIGHTWARD
    return lane * WIDTH + step - lane;
//!end
//!if LEFTWARD
    return lane * WIDTH + WIDTH - 1u - (step - lane);
//!end
}

// The place in the image of a lane's first cell.
fn first_place(lane: u32) -> u32 {
//!if ROWS
    return lane;
//!else
    return place(lane, lane);
//!end
}

// Whether a lane's first cell reads the initial state at a tap.
fn reads_initial(lane: u32, tap: u32) -> bool {
//!if ROWS
    let column = lane + tap;
    return column >= TAPS / 2u && column < WIDTH + TAPS / 2u;
//!else
    return tap == 1u;
//!end
}

// The place in the image of what a lane's cell reads at a tap, CELLS for the initial state, and more for nothing.
fn read_place(step: u32, lane: u32, tap: u32) -> u32 {
    let cell = place(step, lane);
    let x = cell % WIDTH;
//!if ROWS
    let column = x + tap;
    if column < TAPS / 2u || column >= WIDTH + TAPS / 2u {
        return CELLS + 1u;
    }
    return select(CELLS, cell + tap - TAPS / 2u - WIDTH, step > 0u);
//!else
    if tap == 0u {
        return select(CELLS + 1u, cell - WIDTH, lane > 0u);
    }
//!end
//!if RIGHTWARD
    return select(CELLS, cell - 1u, x > 0u);
//!end
//!if LEFTWARD
    return select(CELLS, cell + 1u, x + 1u < WIDTH);
//!end
}

// The lane and the step of a cell of the image.
fn lane_of(cell: u32) -> u32 {
//!if ROWS
    return cell % WIDTH;
//!else
    return cell / WIDTH;
//!end
}

fn step_of(cell: u32) -> u32 {
//!if ROWS
    return cell / WIDTH;
//!end
//!if RIGHTWARD
    return cell / WIDTH + cell % WIDTH;
//!end
//!if LEFTWARD
    return cell / WIDTH + WIDTH - 1u - cell % WIDTH;
//!end
}

// Whether a lane has a cell in a step.
fn is_cell(step: u32, lane: u32) -> bool {
    let first = first_lane(step);
    return lane >= first && lane < first + cells_in(step);
}
