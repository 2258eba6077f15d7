// Tiles of cooperative matrices (SIDE by SIDE, f16 with sums in f32): a workgroup of ROWS by COLUMNS subgroups computes BM by BN outputs,
// each subgroup FM by FN tiles, from operands BK deep in workgroup memory.
const SIDE: u32 = {{SIDE}}u;
const ROWS: u32 = {{ROWS}}u;
const COLUMNS: u32 = {{COLUMNS}}u;
const FM: u32 = {{FM}}u;
const FN: u32 = {{FN}}u;
const BM: u32 = SIDE * ROWS * FM;
const BN: u32 = SIDE * COLUMNS * FN;
const BK: u32 = {{BK}}u;
const THREADS: u32 = {{THREADS}}u;
// Rows of operands are eight numbers, 16 bytes, longer than they need be, against bank conflicts.
var<workgroup> tile_a: array<f16, {{A_TILE}}>;
var<workgroup> tile_b: array<f16, {{B_TILE}}>;
// A tile of sums for each subgroup: their elements cannot be told apart in the matrices themselves.
const TILE: u32 = SIDE * SIDE;
var<workgroup> tile_c: array<f32, {{C_TILE}}>;

fn put_a(at: u32, values: vec4<f32>) {
//!for L in 0..4
    tile_a[at + {{L}}u] = f16(values[{{L}}]);
//!end
}

fn put_b(at: u32, values: vec4<f32>) {
//!for L in 0..4
    tile_b[at + {{L}}u] = f16(values[{{L}}]);
//!end
}

// Four sums of the tiles in `tile_c`, the element of each that `at` counts: its row and column among the outputs of the workgroup, for
// the tile (i, j) of each subgroup.
fn row_of(at: u32, i: u32) -> u32 {
    return (at * 4u / TILE / COLUMNS * FM + i) * SIDE + at * 4u % TILE / SIDE;
}

fn column_of(at: u32, j: u32) -> u32 {
    return (at * 4u / TILE % COLUMNS * FN + j) * SIDE + at * 4u % SIDE;
}

fn sums_of(at: u32) -> vec4<f32> {
    return vec4<f32>(tile_c[at * 4u], tile_c[at * 4u + 1u], tile_c[at * 4u + 2u], tile_c[at * 4u + 3u]);
}
