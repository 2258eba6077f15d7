//! The pool of threads that everything here computes on, no larger than the system allows.

use std::num::NonZero;
use std::sync::{Arc, RwLock};
use std::thread::{Builder, available_parallelism};

use crate::error::{Error, Result};
use crate::ranks::Ranks;

/// Threads that may run beside the pool: of data, of signals, of a bar, and one in reserve.
const BESIDE: usize = 4;

/// Starts the pool: a thread a core, or as many as `RAYON_NUM_THREADS` asks for; fewer where the system refuses some. Ranks that may use the
/// same cores share them.
///
/// # Errors
/// [`Error::Device`] where it refuses all; as [`Ranks::gather`].
pub fn start(ranks: &Ranks) -> Result<()> {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
    let cores = available_parallelism().map_or(1, NonZero::get);
    // A launcher may have bound each rank to cores of its own.
    let place = format!("{} {}", gethostname::gethostname().display(), bound_to());
    let places = ranks.gather(place.into_bytes())?;
    let mine = &places[ranks.rank()];
    let equal = |places: &[Vec<u8>]| places.iter().filter(|place| *place == mine).count();
    let wanted = asked.unwrap_or_else(|| share(cores, equal(&places[..ranks.rank()]), equal(&places)));
    log::info!("threads that compute: {wanted}");
    let refused = "the system refuses this program threads; raise what limits them (ulimit -u, ulimit -v, pids.max)";
    let allowed = allowed(wanted + BESIDE);
    if allowed == 0 {
        return Err(Error::Device(refused.into()));
    }
    let taken = allowed.saturating_sub(BESIDE).max(1);
    if taken < wanted {
        log::warn!("the system allows {allowed} more threads and {wanted} were to compute; {taken} do");
    }
    // A second pool in a process is none of ours: whoever made the first has what it needs.
    match rayon::ThreadPoolBuilder::new().num_threads(taken).build_global() {
        Err(e) if is_refused(&e) => Err(Error::Device(format!("{refused} ({e})"))),
        _ => Ok(()),
    }
}

/// What the one with this number takes of cores that so many have together.
fn share(cores: usize, number: usize, of: usize) -> usize {
    (cores * (number + 1) / of - cores * number / of).max(1)
}

/// The cores that this process may use, as the system writes them; nothing where it does not say.
fn bound_to() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).unwrap_or_default().trim().to_string()
}

/// Has all threads allocate from one heap where address space is limited: of glibc's each else reserves 64 MiB of it for itself. To be
/// called before any other thread runs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn share_heap() {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `getrlimit` writes to the place given, which is a whole `rlimit`, and `mallopt` takes numbers alone; no other thread that
    // allocates runs yet.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) == 0 && limit.rlim_cur != libc::RLIM_INFINITY {
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_heap() {}

/// Whether a pool failed for want of threads, and not because there is one.
fn is_refused(error: &rayon::ThreadPoolBuildError) -> bool {
    std::error::Error::source(error).is_some()
}

/// How many threads can run at once, up to `most`: the pool itself is built but once, and not at all where one of its threads fails.
fn allowed(most: usize) -> usize {
    // Held here, it keeps every thread waiting; a thread that ends makes room for the next.
    let held = Arc::new(RwLock::new(()));
    let keep = held.write();
    let wait = |held: Arc<RwLock<()>>| {
        move || {
            let _let_go = held.read();
        }
    };
    let threads: Vec<_> = (0..most).map_while(|_| Builder::new().spawn(wait(Arc::clone(&held))).ok()).collect();
    let count = threads.len();
    drop(keep);
    threads.into_iter().for_each(|thread| drop(thread.join()));
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_share_cores_and_leave_none_out() {
        assert_eq!((share(64, 0, 1), share(1, 0, 2), share(1, 1, 2)), (64, 1, 1));
        assert_eq!([0, 1, 2, 3].map(|number| share(14, number, 4)), [3, 4, 3, 4]);
        #[cfg(target_os = "linux")]
        assert!(!bound_to().is_empty(), "Linux says which cores");
    }
}
