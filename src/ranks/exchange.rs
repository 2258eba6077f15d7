//! What goes over a wire: sums of vectors, and bytes of any length, as much at once as may be.

use std::cell::RefCell;

use super::Wire;
use crate::error::Result;

/// Bytes of one exchange: libraries count in 31 bits, and a part that is on its way takes memory on each side.
const AT_ONCE: usize = 64 << 20;

/// Pieces begin at a multiple of so many elements, a cache line.
const GRAIN: usize = 16;

/// Adds a vector up over all ranks, whose number is a power of two.
///
/// # Errors
/// Those of the wire.
pub fn sum(wire: &mut dyn Wire, values: &mut [f32]) -> Result<()> {
    values.chunks_mut(AT_ONCE / size_of::<f32>()).try_for_each(|part| sum_part(wire, part))
}

/// Ranks halve what they add up with partners ever farther away, each keeping one half, until each has one piece that is the sum of all; then
/// they go the same way back. Neighbours come first, so this is the tree of [`super::Tree`] with ranks as its leaves: log₂ of the ranks exchanges
/// there and back, in which each sends all of a vector but its own piece twice.
fn sum_part(wire: &mut dyn Wire, values: &mut [f32]) -> Result<()> {
    let (rank, ranks) = (wire.rank(), wire.ranks());
    RECEIVED.with_borrow_mut(|received| {
        received.resize(received.len().max(values.len().div_ceil(2) + GRAIN), 0.0);
        let (mut piece, mut halves) = (0..values.len(), Vec::new());
        let mut apart = 1;
        while apart < ranks {
            let middle = (piece.start + (piece.len() / 2).next_multiple_of(GRAIN)).min(piece.end);
            let [low, high] = [piece.start..middle, middle..piece.end];
            let (mine, theirs) = if rank & apart == 0 { (low, high) } else { (high, low) };
            let received = &mut received[..mine.len()];
            wire.swap(rank ^ apart, bytemuck::cast_slice(&values[theirs.clone()]), bytemuck::cast_slice_mut(received))?;
            // On this thread: the others may be at something that would be waited for.
            values[mine.clone()].iter_mut().zip(received).for_each(|(a, b)| *a += *b);
            halves.push((rank ^ apart, mine.clone(), theirs));
            (piece, apart) = (mine, 2 * apart);
        }
        for (partner, mine, theirs) in halves.into_iter().rev() {
            let first = mine.start.min(theirs.start);
            let (low, high) = values[first..mine.end.max(theirs.end)].split_at_mut(mine.start.max(theirs.start) - first);
            let (mine, theirs) = if rank < partner { (low, high) } else { (high, low) };
            wire.swap(partner, bytemuck::cast_slice(mine), bytemuck::cast_slice_mut(theirs))?;
        }
        Ok(())
    })
}

thread_local! {
    /// What a sum receives: kept, since new memory costs more than what it is filled with.
    static RECEIVED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What each rank has, in order: lengths first, then the bytes themselves, as many at once as may be.
///
/// # Errors
/// Those of the wire.
pub fn gather(wire: &mut dyn Wire, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
    let ranks = wire.ranks();
    let mut lengths = vec![0u64; ranks];
    let cuts: Vec<usize> = (0..=ranks).map(|r| r * size_of::<u64>()).collect();
    wire.gather(bytemuck::bytes_of(&(mine.len() as u64)), &cuts, bytemuck::cast_slice_mut(&mut lengths))?;
    let mut all: Vec<Vec<u8>> = lengths.iter().map(|len| Vec::with_capacity(*len as usize)).collect();
    let most = AT_ONCE / ranks;
    loop {
        let taken: Vec<usize> = all.iter().zip(&lengths).map(|(have, len)| (*len as usize - have.len()).min(most)).collect();
        if taken.iter().all(|n| *n == 0) {
            return Ok(all);
        }
        let mut cuts = vec![0];
        taken.iter().for_each(|n| cuts.push(cuts[cuts.len() - 1] + n));
        let at = all[wire.rank()].len();
        let mut received = vec![0; cuts[ranks]];
        wire.gather(&mine[at..at + taken[wire.rank()]], &cuts, &mut received)?;
        all.iter_mut().enumerate().for_each(|(r, have)| have.extend_from_slice(&received[cuts[r]..cuts[r + 1]]));
    }
}
