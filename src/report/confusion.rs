//! What is taken for what: a table of counts, shaded by the share of its row.

use super::paint::{Area, Colour, FAINT_INK, INK, PAPER, RULE, fill, mix, palette};
use super::text::{Align, Font, write, write_upwards};
use image::{Rgb, RgbImage};

/// Side of a cell, pixels.
const CELL: u32 = 46;
const MARGIN: u32 = 14;
/// Errors are shaded as if they were so many times as frequent, so that few of many show.
const STRONGER: f32 = 6.0;

/// `counts` `[n, n]` of what is of class i (rows) and is taken for class j (columns): hits blue, errors orange.
pub fn confusion(title: &str, names: &[String], counts: &[usize]) -> RgbImage {
    let n = names.len();
    let widest = names.iter().map(|name| Font::Small.width(name)).max().unwrap_or(0).clamp(20, 140);
    let (left, top) = (MARGIN + 22 + widest + 8, MARGIN + Font::Title.height() + 10 + 2 * (Font::Small.height() + 4));
    let side = CELL * n as u32;
    let width = (left + side + MARGIN).max(Font::Title.width(title) + 2 * MARGIN);
    let mut picture = RgbImage::from_pixel(width, top + side + MARGIN, Rgb(PAPER));
    write(&mut picture, (MARGIN as i32, MARGIN as i32), title, Font::Title, INK, Align::Left);
    let middle = (left + side / 2) as i32;
    let above = (top - 2 * (Font::Small.height() + 4)) as i32;
    write(&mut picture, (middle, above), "taken for", Font::Small, FAINT_INK, Align::Centre);
    write_upwards(&mut picture, (MARGIN as i32, (top + side / 2) as i32), "true class", Font::Small, FAINT_INK);
    for (i, name) in names.iter().enumerate() {
        let at = i as u32 * CELL;
        let column = Font::Small.fit(name, CELL - 4);
        let y = (top - Font::Small.height() - 4) as i32;
        write(&mut picture, ((left + at + CELL / 2) as i32, y), &column, Font::Small, INK, Align::Centre);
        let y = (top + at + CELL / 2 - Font::Small.height() / 2) as i32;
        write(&mut picture, (left as i32 - 8, y), &Font::Small.fit(name, widest), Font::Small, INK, Align::Right);
        let row = &counts[i * n..(i + 1) * n];
        let total = row.iter().sum::<usize>().max(1) as f32;
        for (j, &count) in row.iter().enumerate() {
            let share = count as f32 / total;
            let (ink, strength) = if i == j { (palette(0), share) } else { (palette(1), (STRONGER * share).min(1.0)) };
            let colour = if count == 0 { PAPER } else { mix(PAPER, ink, 0.08 + 0.84 * strength) };
            let cell = Area { left: left + j as u32 * CELL, top: top + at, width: CELL, height: CELL };
            fill(&mut picture, cell, RULE);
            fill(&mut picture, Area { left: cell.left + 1, top: cell.top + 1, width: CELL - 1, height: CELL - 1 }, colour);
            let at = ((cell.left + CELL / 2) as i32, (cell.top + CELL / 2 - Font::Small.height() / 2) as i32);
            write(&mut picture, at, &Font::Small.fit(&count.to_string(), CELL - 2), Font::Small, legible(colour), Align::Centre);
        }
    }
    picture
}

/// Dark or light ink, whichever can be read on a colour.
fn legible(under: Colour) -> Colour {
    let light = 0.3 * f32::from(under[0]) + 0.6 * f32::from(under[1]) + 0.1 * f32::from(under[2]);
    if light > 140.0 { INK } else { PAPER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_blue_and_errors_orange() {
        let names = ["a", "b"].map(String::from);
        let picture = confusion("two", &names, &[9, 1, 0, 10]);
        let cell = |i: u32, j: u32| {
            let (left, top) = (picture.width().min(MARGIN + 22 + 20 + 8), picture.height() - MARGIN - 2 * CELL);
            picture.get_pixel(left + j * CELL + 4, top + i * CELL + 4).0
        };
        assert!(cell(1, 1)[2] > cell(1, 1)[0] && cell(0, 1)[0] > cell(0, 1)[2] && cell(1, 0) == PAPER);
        assert!(confusion("none", &[], &[]).width() > 0);
    }
}
