//! What goes over a wire: sums of vectors, and bytes of any length, as much at once as may be.

use std::cell::RefCell;

use super::Wire;
use super::tree::add_up;
use crate::error::Result;

/// Bytes of one exchange: libraries count in 31 bits, and a part that is on its way takes memory on each side.
const AT_ONCE: usize = 64 << 20;

/// Elements of shards are a multiple of this, a cache line.
const GRAIN: usize = 16;

/// Adds a vector up over all ranks, whose number is a power of two.
///
/// # Errors
/// Those of the wire.
pub fn sum(wire: &mut dyn Wire, values: &mut [f32]) -> Result<()> {
    values.chunks_mut(AT_ONCE / size_of::<f32>()).try_for_each(|part| sum_part(wire, part))
}

/// Each rank adds up one shard of all ranks' vectors, and then every rank gets every shard.
fn sum_part(wire: &mut dyn Wire, values: &mut [f32]) -> Result<()> {
    let (rank, ranks, len) = (wire.rank(), wire.ranks(), values.len());
    let cuts: Vec<usize> = (0..=ranks).map(|r| if r == ranks { len } else { (len / ranks * r).next_multiple_of(GRAIN).min(len) }).collect();
    let bytes: Vec<usize> = cuts.iter().map(|cut| cut * size_of::<f32>()).collect();
    let own = cuts[rank + 1] - cuts[rank];
    RECEIVED.with_borrow_mut(|received| {
        received.resize(received.len().max(own * ranks), 0.0);
        let received = &mut received[..own * ranks];
        wire.scatter(bytemuck::cast_slice(values), &bytes, bytemuck::cast_slice_mut(received))?;
        add_up(received, own);
        wire.gather(bytemuck::cast_slice(&received[..own]), &bytes, bytemuck::cast_slice_mut(values))
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
    while let Some(longest) = all.iter().zip(&lengths).map(|(have, len)| *len as usize - have.len()).max().filter(|left| *left > 0) {
        let taken: Vec<usize> = all.iter().zip(&lengths).map(|(have, len)| (*len as usize - have.len()).min(longest.min(most))).collect();
        let mut cuts = vec![0];
        taken.iter().for_each(|n| cuts.push(cuts[cuts.len() - 1] + n));
        let at = all[wire.rank()].len();
        let mut received = vec![0; cuts[ranks]];
        wire.gather(&mine[at..at + taken[wire.rank()]], &cuts, &mut received)?;
        all.iter_mut().enumerate().for_each(|(r, have)| have.extend_from_slice(&received[cuts[r]..cuts[r + 1]]));
    }
    Ok(all)
}
