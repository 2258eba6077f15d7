//! Rows and columns of the products: what is met often is laid out for the register tile once.

use super::Heads;
use crate::native::simd::{self, MAX_ROWS, Tile};

/// Rows of a matrix among other numbers.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first row's first number on.
    pub data: &'a [f32],
    /// Numbers from one row to the next.
    pub stride: usize,
    /// Rows.
    pub count: usize,
    /// Numbers of a row.
    pub width: usize,
}

impl<'a> Rows<'a> {
    /// Some of the rows.
    pub fn from(self, first: usize, count: usize) -> Self {
        Self { data: &self.data[first * self.stride..], count, ..self }
    }

    /// A row.
    pub fn row(self, at: usize) -> &'a [f32] {
        &self.data[at * self.stride..][..self.width]
    }

    /// The width, with room for the last tile.
    pub fn padded(self) -> usize {
        self.width.next_multiple_of(simd::columns(self.width))
    }
}

/// What a product's columns are read from: blocks of a tile's columns each.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    data: &'a [f32],
    /// From one row to the next.
    stride: usize,
    /// From one block of columns to the next.
    step: usize,
    /// Columns of a tile.
    tile: usize,
    /// Columns that there are.
    count: usize,
}

/// Numbers that [`Columns::turned`] takes for a head.
pub fn turned_len(h: Heads) -> usize {
    h.length.next_multiple_of(simd::columns(h.length)) * h.width
}

/// Numbers that [`Columns::straight`] takes for a head.
pub fn rows_len(h: Heads) -> usize {
    h.length * h.width.next_multiple_of(simd::columns(h.width))
}

impl<'a> Columns<'a> {
    /// The rows as columns, in panels of a tile's columns; what is beyond the last is 0.
    pub fn turned(rows: Rows<'_>, room: &'a mut [f32]) -> Self {
        let tile = simd::columns(rows.count);
        for (block, panel) in room.chunks_exact_mut(tile * rows.width).enumerate() {
            for j in 0..tile {
                let at = block * tile + j;
                let source = (at < rows.count).then(|| rows.row(at));
                for k in 0..rows.width {
                    panel[k * tile + j] = source.map_or(0.0, |row| row[k]);
                }
            }
        }
        Self { data: room, stride: tile, step: tile * rows.width, tile, count: rows.count }
    }

    /// The rows as they are, one after the other; what is beyond the last column is 0.
    pub fn straight(rows: Rows<'_>, room: &'a mut [f32]) -> Self {
        let (tile, wide) = (simd::columns(rows.width), rows.padded());
        for (at, own) in room.chunks_exact_mut(wide).enumerate() {
            own[..rows.width].copy_from_slice(rows.row(at));
            own[rows.width..].fill(0.0);
        }
        Self { data: room, stride: wide, step: tile, tile, count: rows.width }
    }

    /// Of turned ones, `count` columns from `first` on, which is a whole number of tiles.
    pub fn block(self, first: usize, count: usize) -> Self {
        Self { data: &self.data[first / self.tile * self.step..], count, ..self }
    }

    /// Of straight ones, the rows from `first` on.
    pub fn after(self, first: usize) -> Self {
        Self { data: &self.data[first * self.stride..], ..self }
    }
}

/// 0, `step`, 2·`step`, …
pub fn offsets(count: usize, step: usize) -> Vec<i32> {
    (0..count).map(|k| (k * step) as i32).collect()
}

/// `sums[i][j] += Σ_k a[i][k]·b[k][j]`, or without what stood there (`fresh`). Number k of row i of a lies `table[k]` behind the row's first.
pub fn product(a: Rows<'_>, table: &[i32], b: Columns<'_>, (sums, wide): (&mut [f32], usize), fresh: bool) {
    let (Some(last), true) = (table.last(), a.count > 0) else { return };
    assert!((a.count - 1) * a.stride + (*last as usize) < a.data.len() && a.count * wide <= sums.len() && b.count <= wide);
    for start in (0..a.count).step_by(simd::rows()) {
        let end = a.count.min(start + simd::rows());
        let row = |i: usize| (start + i).min(end - 1);
        let rows = std::array::from_fn::<_, MAX_ROWS, _>(|i| a.data[row(i) * a.stride..].as_ptr());
        let base = sums.as_mut_ptr();
        for (block, first) in (0..b.count).step_by(b.tile).enumerate() {
            let panel = &b.data[block * b.step..];
            assert!((table.len() - 1) * b.stride + b.tile <= panel.len());
            let tile = Tile {
                rows: &rows[..end - start],
                offsets: table,
                b: panel.as_ptr(),
                stride: b.stride,
                sums: &std::array::from_fn::<_, MAX_ROWS, _>(|i| base.wrapping_add(row(i) * wide + first))[..end - start],
                used: b.tile.min(b.count - first),
                fresh,
            };
            // SAFETY: the last number of the last row, the last row of the panel and the last sum were seen to lie within theirs.
            unsafe { simd::multiply(&tile, b.tile) };
        }
    }
}
