use super::super::check::{Kernel, sums_of_pairs};
use super::*;

#[test]
fn tiles_are_sums_of_pairs_and_stay_within_their_columns() {
    if !permitted() {
        eprintln!("this machine has no such tiles");
        return;
    }
    let fill = |panel: &mut [f32], rows: usize, columns: usize| panel[rows * columns..].fill(0.0);
    let sizes = [(1, 1), (2, 16), (15, 17), (16, 32), (17, 5), (31, 33), (32, 64), (32, 70)];
    sums_of_pairs(&Kernel { stacked: false, deep: SIDE, columns: 2 * SIDE, lay: fill, multiply: multiply_adjacent }, &sizes);
    sums_of_pairs(&Kernel { stacked: true, deep: SIDE, columns: 2 * SIDE, lay: turn, multiply: multiply_stacked }, &sizes);
}

#[test]
fn turned_rows_are_columns() {
    if !is_x86_feature_detected!("avx512f") {
        return;
    }
    for (columns, rows) in [(SIDE, 1usize), (SIDE, 16), (2 * SIDE, 5), (2 * SIDE, 40)] {
        let whole = rows.next_multiple_of(SIDE);
        let mut panel: Vec<f32> = (0..whole * columns).map(|at| at as f32 + 1.0).collect();
        turn(&mut panel, rows, columns);
        for (at, found) in panel.iter().enumerate() {
            let (block, column, row) = (at / (SIDE * SIDE), at / SIDE % SIDE, at % SIDE);
            let row = block / (columns / SIDE) * SIDE + row;
            let wanted = if row < rows { (row * columns + block % (columns / SIDE) * SIDE + column) as f32 + 1.0 } else { 0.0 };
            assert_eq!(*found, wanted, "{rows} rows of {columns}, at {at}");
        }
    }
}
