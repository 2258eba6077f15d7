//! Ranks: processes that do one job together, each a share of it.
//!
//! Bytes go from rank to rank over a [`Wire`], which never adds: sums are taken here, up a fixed tree, so that their bits do not depend on how
//! many ranks there are. One thread talks to the wire, and nobody else: work is queued to it, and goes on while the caller computes.

mod exchange;
mod launched;
mod launcher;
#[cfg(unix)]
mod mpi;
#[cfg(not(unix))]
#[path = "none.rs"]
mod mpi;
#[cfg(test)]
mod tests;
mod threads;
mod tree;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

pub use launcher::{Kind, Launcher};
pub use threads::together;
pub use tree::Tree;

/// What carries bytes between the ranks of a job. Every rank makes the same calls in the same order.
pub trait Wire {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// The name of the machine, by which ranks that share one are known.
    fn machine(&self) -> String;

    /// Sends bytes to another rank, and fills `receive` with what that one sends here meanwhile.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    fn swap(&mut self, partner: usize, send: &[u8], receive: &mut [u8]) -> Result<()>;

    /// Puts what each rank r sends at `receive[cuts[r]..cuts[r + 1]]`; `mine` is what this one sends.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    fn gather(&mut self, mine: &[u8], cuts: &[usize], receive: &mut [u8]) -> Result<()>;

    /// Ends all ranks at once, with this exit code; does not wait for them to agree.
    fn abort(&mut self, code: u8);

    /// Says that nothing more will be sent.
    fn finish(&mut self) {}
}

type Job = Box<dyn FnOnce(&mut dyn Wire) + Send>;

/// The ranks of this job, as one of them sees them; clones are the same.
#[derive(Clone)]
pub struct Ranks {
    rank: usize,
    ranks: usize,
    /// This rank's number among those of its machine, and how many those are.
    local: [usize; 2],
    /// Who talks to the wire; none where there is one rank.
    line: Option<Arc<Line>>,
}

/// The thread that talks to the wire.
struct Line {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether all ranks know of the failure that this one ends with.
    known: AtomicBool,
}

impl Drop for Line {
    fn drop(&mut self) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(jobs) = jobs.as_ref().filter(|_| std::thread::panicking()) {
            // The others would wait for what this one no longer sends. A thread that is gone ends nobody.
            let _ = jobs.send(Box::new(|wire| wire.abort(101)));
        }
        // Without a sender the thread ends, and says so on the wire.
        drop(jobs);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A thread that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Default for Ranks {
    fn default() -> Self {
        Self::alone()
    }
}

impl std::fmt::Debug for Ranks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.ranks)
    }
}

/// Something that the wire's thread is at.
#[must_use]
pub struct Promise<T>(Receiver<Result<T>>);

impl<T> Promise<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    pub fn wait(self) -> Result<T> {
        self.0.recv().unwrap_or_else(|_| Err(gone()))
    }
}

/// What is said where the wire's thread ended before its time.
fn gone() -> Error {
    Error::Training("another rank is gone; go on from the last checkpoint with --resume".into())
}

impl Ranks {
    /// One process by itself.
    pub const fn alone() -> Self {
        Self { rank: 0, ranks: 1, local: [0, 1], line: None }
    }

    /// The same rank as if an exchange took no time: it hears nothing, and every sum is its own part. For measurements.
    pub fn unconnected(&self) -> Self {
        Self { line: None, ..self.clone() }
    }

    /// The ranks at the other ends of a wire. `open` makes the wire on the thread that will talk to it.
    ///
    /// # Errors
    /// Those of `open`; [`Error::Device`] where the system refuses the thread.
    pub fn over<W: Wire>(open: impl FnOnce() -> Result<W> + Send + 'static) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (tell, told) = sync_channel(1);
        let work = move || {
            let mut wire = match open() {
                Ok(wire) => wire,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok([wire.rank(), wire.ranks()])));
            for job in queue {
                job(&mut wire);
            }
            wire.finish();
        };
        let thread = std::thread::Builder::new().name("kiln-ranks".into()).spawn(work);
        let thread = thread.map_err(|e| Error::Device(format!("the thread that talks to other ranks does not start: {e}")))?;
        let [rank, ranks] = told.recv().unwrap_or_else(|_| Err(gone()))?;
        let line = Line { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), known: AtomicBool::new(false) };
        let mut made = Self { rank, ranks, local: [0, 1], line: Some(Arc::new(line)) };
        let machine = made.ask(|wire| Ok(wire.machine()))?.wait()?;
        let machines = made.gather(machine.into_bytes())?;
        let shared = |ranks: &[Vec<u8>]| ranks.iter().filter(|m| **m == machines[rank]).count();
        made.local = [shared(&machines[..rank]), shared(&machines)];
        Ok(made)
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ranks
    }

    /// Whether this is the one that writes and speaks.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// This rank's number among those of its machine, and how many those are.
    pub fn on_machine(&self) -> [usize; 2] {
        self.local
    }

    /// Whose share of `count` things in a row each rank does: shares differ by one at most, and earlier ranks have earlier ones.
    pub fn share(&self, count: usize) -> std::ops::Range<usize> {
        let cut = |rank: usize| count * rank / self.ranks;
        cut(self.rank)..cut(self.rank + 1)
    }

    /// Adds a vector up over all ranks, element by element, up a tree whose leaves are the ranks in order. Their number is a power of two.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    pub fn sum(&self, values: Vec<f32>) -> Result<Promise<Vec<f32>>> {
        if self.line.is_none() {
            let (done, promise) = sync_channel(1);
            // The receiver is kept.
            drop(done.send(Ok(values)));
            return Ok(Promise(promise));
        }
        self.ask(move |wire| {
            let mut values = values;
            exchange::sum(wire, &mut values)?;
            Ok(values)
        })
    }

    /// What each rank has, on all of them, in order.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    pub fn gather(&self, mine: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self.line.is_none() {
            return Ok(vec![mine]);
        }
        self.ask(move |wire| exchange::gather(wire, &mine))?.wait()
    }

    /// What rank 0 has, on all of them.
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    pub fn from_first(&self, mine: Vec<u8>) -> Result<Vec<u8>> {
        let all = self.gather(if self.is_first() { mine } else { Vec::new() })?;
        all.into_iter().next().ok_or_else(gone)
    }

    /// What each rank has of a list, one after another: the whole list, where each has its [`Ranks::share`].
    ///
    /// # Errors
    /// [`Error::Training`] where a rank is gone.
    pub fn join<T: bytemuck::Pod>(&self, mine: &[T]) -> Result<Vec<T>> {
        if self.line.is_none() {
            return Ok(mine.to_vec());
        }
        let all = self.gather(bytemuck::cast_slice(mine).to_vec())?;
        Ok(all.iter().flat_map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect())
    }

    /// The result, where every rank has one; else the failure of the first rank that has none, which all ranks then end with.
    ///
    /// # Errors
    /// That failure.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        if self.line.is_none() {
            return result;
        }
        let kind = |error: &Error| match error {
            Error::Interrupted => 'i',
            _ if error.exit_code() == 2 => 'u',
            _ => 't',
        };
        let mine = result.as_ref().err().map(|error| format!("{}{error}", kind(error)));
        let all = self.gather(mine.unwrap_or_default().into_bytes())?;
        let Some((rank, failure)) = all.iter().enumerate().find(|(_, failure)| !failure.is_empty()) else { return result };
        self.all_know();
        if rank == self.rank {
            return result;
        }
        let words = String::from_utf8_lossy(&failure[1..]).into_owned();
        Err(match failure[0] {
            b'i' => Error::Interrupted,
            b'u' => Error::Usage(words),
            _ => Error::Training(words),
        })
    }

    /// Work that the first rank does while the others wait for it; its failure is that of all.
    ///
    /// # Errors
    /// Those of `work`, on all ranks.
    pub fn by_first(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.agree(if self.is_first() { work() } else { Ok(()) })
    }

    /// Refuses ranks of which one differs from the first in `mine`; `what` it is, is said.
    ///
    /// # Errors
    /// [`Error::Usage`], on all of them.
    pub fn same(&self, what: &str, mine: &str) -> Result<()> {
        let all = self.gather(mine.as_bytes().to_vec())?;
        let differs = all.iter().position(|theirs| *theirs != all[0]);
        let Some(rank) = differs else { return Ok(()) };
        self.all_know();
        let [first, other] = [&all[0], &all[rank]].map(|bytes| excerpt(bytes, common(&all[0], &all[rank])));
        Err(Error::usage(format!("{what} of rank 0 is {first} and of rank {rank} {other}; start all ranks alike")))
    }

    /// Ends this rank with a failure: by itself where all know of it, else with all others, which wait for it.
    pub fn fail(&self, code: u8) {
        let Some(line) = &self.line else { return };
        if !line.known.load(Ordering::Relaxed) {
            // A wire that is gone already ends nobody.
            let end = move |wire: &mut dyn Wire| {
                wire.abort(code);
                Ok(())
            };
            let _ = self.ask(end).and_then(Promise::wait);
        }
    }

    /// Notes that every rank ends with the failure that this one found, having found it too.
    pub fn all_know(&self) {
        if let Some(line) = &self.line {
            line.known.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the failure that this rank ends with is known to all, so that the first alone need say it.
    pub fn is_known(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.known.load(Ordering::Relaxed))
    }

    /// Queues work for the thread that talks to the wire.
    fn ask<T: Send + 'static>(&self, work: impl FnOnce(&mut dyn Wire) -> Result<T> + Send + 'static) -> Result<Promise<T>> {
        let line = self.line.as_ref().ok_or_else(gone)?;
        let (done, promise) = sync_channel(1);
        let job: Job = Box::new(move |wire| drop(done.send(work(wire))));
        let jobs = line.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        Ok(Promise(promise))
    }
}

/// Bytes that two texts begin with both.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A text on one line, or of a long one what stands around its first difference from another.
fn excerpt(text: &[u8], differs: usize) -> String {
    const LONGEST: usize = 200;
    const AROUND: usize = 40;
    let (from, to) = (differs.saturating_sub(AROUND), (differs + AROUND).min(text.len()));
    let short = text.len() <= LONGEST;
    let words = String::from_utf8_lossy(if short { text } else { &text[from..to] });
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if short { words } else { format!("… {words} …") }
}
