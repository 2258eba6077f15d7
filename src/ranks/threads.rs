//! Ranks that are threads of one process: for tests, and to see what an exchange costs without a library.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Ranks, Wire, gone};
use crate::error::Result;

/// One thread's ends of the channels to all.
struct Channels {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

impl Channels {
    fn receive(&self, from: usize, into: &mut [u8]) -> Result<()> {
        let sent = self.from[from].recv().map_err(|_| gone())?;
        into.copy_from_slice(&sent);
        Ok(())
    }
}

impl Wire for Channels {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.to.len()
    }

    fn machine(&self) -> String {
        "here".into()
    }

    fn swap(&mut self, partner: usize, send: &[u8], receive: &mut [u8]) -> Result<()> {
        self.to[partner].send(send.to_vec()).map_err(|_| gone())?;
        self.receive(partner, receive)
    }

    fn gather(&mut self, mine: &[u8], cuts: &[usize], receive: &mut [u8]) -> Result<()> {
        self.to.iter().try_for_each(|to| to.send(mine.to_vec()).map_err(|_| gone()))?;
        (0..self.ranks()).try_for_each(|r| self.receive(r, &mut receive[cuts[r]..cuts[r + 1]]))
    }

    fn abort(&mut self, _code: u8) {
        // Whoever waits for this thread's bytes hears that none come.
        self.to.clear();
    }
}

/// Does a job on so many threads, each a rank, and returns what each made of it.
pub fn together<T: Send>(ranks: usize, job: impl Fn(Ranks) -> Result<T> + Sync) -> Vec<Result<T>> {
    if ranks == 1 {
        return vec![job(Ranks::alone())];
    }
    let mut ends: Vec<Channels> = (0..ranks).map(|rank| Channels { rank, to: Vec::new(), from: Vec::new() }).collect();
    for to in 0..ranks {
        for from in 0..ranks {
            let (sender, receiver) = channel();
            ends[from].to.push(sender);
            ends[to].from.push(receiver);
        }
    }
    std::thread::scope(|scope| {
        let started: Vec<_> = ends.into_iter().map(|end| scope.spawn(|| Ranks::over(move || Ok(end)).and_then(&job))).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
