//! Ranks over the user's own MPI, opened at run time: nothing of it is needed to build kiln, or to use it on one machine.
//!
//! Exchanges are begun and then asked after, with pauses: a call that waits spins, and takes a core from whoever computes.

mod library;

use std::ffi::{OsStr, c_int, c_void};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use self::library::{Calls, Family, Handle, Library, Status};
use super::launcher::Launcher;
use super::{Ranks, Wire};
use crate::error::{Error, Result};

/// Opens the library that is named, else the launcher's own, and joins the other ranks.
///
/// # Errors
/// As [`Ranks::launched`].
pub fn open(launcher: Option<Launcher>, named: Option<&OsStr>) -> Result<Ranks> {
    let library = Library::open(launcher, named)?;
    match library.family {
        Family::Mpich => Ranks::over(move || Mpi::<c_int>::start(library, launcher)),
        Family::OpenMpi | Family::Standard => Ranks::over(move || Mpi::<*mut c_void>::start(library, launcher)),
    }
}

/// The world of MPI, as one rank sees it.
struct Mpi<H> {
    calls: Calls<H>,
    world: H,
    byte: H,
    rank: usize,
    ranks: usize,
}

/// What a call that failed is told as.
fn check(name: &str, code: c_int) -> Result<()> {
    let words =
        || format!("{name} failed with code {code}: another rank or the way to it is gone; go on from the last checkpoint with --resume");
    if code == 0 { Ok(()) } else { Err(Error::Training(words())) }
}

/// A length as MPI counts.
fn count(bytes: usize) -> Result<c_int> {
    c_int::try_from(bytes).map_err(|_| Error::Training(format!("{bytes} bytes are more than MPI moves at once; send fewer")))
}

/// The lengths and the beginnings of what lies between cuts.
fn counts(cuts: &[usize]) -> Result<[Vec<c_int>; 2]> {
    let lengths: Result<_> = cuts.windows(2).map(|cut| count(cut[1] - cut[0])).collect();
    let begins: Result<_> = cuts[..cuts.len() - 1].iter().map(|cut| count(*cut)).collect();
    Ok([lengths?, begins?])
}

/// Time for which an answer is asked for again at once, letting others compute in between.
const EAGER: Duration = Duration::from_micros(200);

/// What kiln's messages are marked with: there is one kind.
const TAG: c_int = 0;

/// The longest pause between two questions.
const LONGEST: Duration = Duration::from_micros(100);

impl<H: Handle> Mpi<H> {
    /// Initialises MPI on this thread, which is to be the only one that calls it.
    fn start(library: Library, launcher: Option<Launcher>) -> Result<Self> {
        let (name, family) = (library.name.clone(), library.family);
        let [world, byte, errors_return] = H::constants(&library)?;
        let calls = Calls::of(library)?;
        let funneled = if family == Family::Standard { 1024 } else { 1 };
        let (mut provided, mut rank, mut size) = (0, 0, 0);
        // SAFETY: the standard lets the arguments be null, and what it writes goes to whole integers; the communicator is the library's own.
        unsafe {
            check("MPI_Init_thread", (calls.init_thread)(null_mut(), null_mut(), funneled, &raw mut provided))?;
            check("MPI_Comm_set_errhandler", (calls.set_errhandler)(world, errors_return))?;
            check("MPI_Comm_rank", (calls.rank)(world, &raw mut rank))?;
            check("MPI_Comm_size", (calls.size)(world, &raw mut size))?;
        }
        let number = |n: c_int| usize::try_from(n).unwrap_or_default();
        let mut mpi = Self { calls, world, byte, rank: number(rank), ranks: number(size) };
        let refusal = match launcher.and_then(|launcher| Some((launcher.kind.name(), launcher.ranks?))) {
            Some((who, wanted)) if wanted != mpi.ranks => format!(
                "{who} started {wanted} ranks and {name} knows of {}: it belongs to another launcher; take its own, or name this one's library \
                 by KILN_MPI=FILE",
                mpi.ranks
            ),
            _ if provided < funneled => format!("{name} takes no calls of programs with threads; name another library by KILN_MPI=FILE"),
            _ => return Ok(mpi),
        };
        mpi.finish();
        Err(Error::Usage(refusal))
    }

    /// Waits for the end of what was begun.
    fn wait(&self, name: &str, mut request: H) -> Result<()> {
        let (begun, mut pause) = (Instant::now(), Duration::from_micros(1));
        loop {
            let (mut done, mut status) = (0, Status::default());
            // SAFETY: the request is one that this library has begun and not ended; a status is no larger than its place.
            check(name, unsafe { (self.calls.test)(&raw mut request, &raw mut done, &raw mut status) })?;
            if done != 0 {
                return Ok(());
            }
            if begun.elapsed() < EAGER {
                std::thread::yield_now();
            } else {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}

impl<H: Handle> Wire for Mpi<H> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn machine(&self) -> String {
        gethostname::gethostname().to_string_lossy().into_owned()
    }

    fn swap(&mut self, partner: usize, send: &[u8], receive: &mut [u8]) -> Result<()> {
        let (sent, wanted, partner) = (count(send.len())?, count(receive.len())?, count(partner)?);
        let [mut sending, mut receiving] = [H::NONE; 2];
        let Calls { isend, irecv, .. } = self.calls;
        // SAFETY: the slice is as long as is said, and outlives the request, which ends below.
        check("MPI_Isend", unsafe { isend(send.as_ptr().cast(), sent, self.byte, partner, TAG, self.world, &raw mut sending) })?;
        // SAFETY: likewise.
        let code = unsafe { irecv(receive.as_mut_ptr().cast(), wanted, self.byte, partner, TAG, self.world, &raw mut receiving) };
        let received = check("MPI_Irecv", code).and_then(|()| self.wait("MPI_Irecv", receiving));
        self.wait("MPI_Isend", sending).and(received)
    }

    fn gather(&mut self, mine: &[u8], cuts: &[usize], receive: &mut [u8]) -> Result<()> {
        let own = cuts[self.rank + 1] - cuts[self.rank];
        assert!(cuts.len() == self.ranks + 1 && own == mine.len() && cuts[self.ranks] <= receive.len(), "cuts lie within");
        let [lengths, begins] = counts(cuts)?;
        let mut request = H::NONE;
        // SAFETY: counts and beginnings stay within both slices, as was checked, and all of them outlive the request, which ends below.
        let code = unsafe {
            (self.calls.allgatherv)(
                mine.as_ptr().cast(),
                lengths[self.rank],
                self.byte,
                receive.as_mut_ptr().cast(),
                lengths.as_ptr(),
                begins.as_ptr(),
                self.byte,
                self.world,
                &raw mut request,
            )
        };
        check("MPI_Iallgatherv", code)?;
        self.wait("MPI_Iallgatherv", request)
    }

    fn abort(&mut self, code: u8) {
        // SAFETY: the communicator is the library's own. Where the call returns at all, the caller ends by itself.
        unsafe { (self.calls.abort)(self.world, c_int::from(code)) };
    }

    fn finish(&mut self) {
        // SAFETY: on the thread that initialised it, which has ended all that it began and calls nothing more. A failure has no consequence.
        unsafe { (self.calls.finalize)() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_31_bits() {
        assert_eq!(counts(&[0, 3, 3, 10]).expect("counts"), [[3, 0, 7], [0, 3, 3]]);
        assert!(counts(&[0, 1 << 31]).expect_err("refused").to_string().contains("2147483648 bytes"));
        assert!(
            check("MPI_Test", 0).is_ok()
                && check("MPI_Test", 15).expect_err("a failure").to_string().starts_with("MPI_Test failed with code 15")
        );
    }
}
