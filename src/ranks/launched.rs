//! The ranks that a launcher started.

use super::Ranks;
use super::launcher::Launcher;
use crate::error::{Error, Result};

/// Refuses ranks whose number is no power of two: sums go up a tree of pairs.
fn check_count(who: &str, ranks: usize) -> Result<()> {
    if ranks.is_power_of_two() {
        return Ok(());
    }
    let more = ranks.next_power_of_two();
    Err(Error::usage(format!("{who} started {ranks} ranks, and ranks add up in pairs of pairs: start {} or {more}", more / 2)))
}

impl Ranks {
    /// The ranks that a launcher (`mpirun`, `srun`) started: this process alone where none did, or it started one. The library of MPI is
    /// opened at run time, that of the launcher first; `KILN_MPI=FILE` names another, and has it opened even for one rank. To be called once
    /// a process, on whatever thread.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no library or it belongs to another launcher, and where the number of ranks is no power of
    /// two; [`Error::Training`] where MPI fails.
    pub fn launched() -> Result<Self> {
        let (launcher, named) = (Launcher::here(), std::env::var_os("KILN_MPI").filter(|name| !name.is_empty()));
        match launcher {
            None if named.is_none() => return Ok(Self::alone()),
            Some(Launcher { ranks: Some(0 | 1), .. }) if named.is_none() => return Ok(Self::alone()),
            _ => {}
        }
        let who = launcher.map_or("the launcher", |launcher| launcher.kind.name());
        if let Some(ranks) = launcher.and_then(|launcher| launcher.ranks) {
            check_count(who, ranks)?;
        }
        let ranks = super::mpi::open(launcher, named.as_deref())?;
        check_count(who, ranks.count())?;
        Ok(ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_ranks_is_a_power_of_two() {
        for ranks in [1, 2, 4, 1024] {
            check_count("mpirun", ranks).expect("a power of two");
        }
        let words = check_count("srun", 12).expect_err("refused").to_string();
        assert_eq!(words, "srun started 12 ranks, and ranks add up in pairs of pairs: start 8 or 16");
    }
}
