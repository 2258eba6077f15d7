//! Ranks under launchers of MPI: the same bits for any number of ranks and any library, and an end for all where one ends.
//!
//! Open MPI and MPICH are tested, whichever is there; KILN_REQUIRE_MPI=1 makes it a failure that neither is.

mod mpirun;
mod split;
mod training;

use std::time::{Duration, Instant};

use kiln::ranks::{Ranks, Tree, together};
use kiln::{Error, Result};
use mpirun::{Launcher, launchers};

/// Says which job [`rank`] is to do.
const JOB: &str = "KILN_TEST_JOB";

const LANES: usize = 8;
/// Not a multiple of anything, and more than fits one packet.
const LENGTH: usize = 300_007;

/// What lane `number` has: a function of its number alone.
fn lane(number: usize) -> Vec<f32> {
    let mut state = (number as u32 + 1).wrapping_mul(0x9E37_79B9);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5) * 1e-2
    };
    (0..LENGTH).map(|_| next()).collect()
}

fn hash<T: Copy + Into<u64>>(values: impl IntoIterator<Item = T>) -> u64 {
    values.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, v| (h ^ v.into()).wrapping_mul(0x0100_0000_01b3))
}

/// The sum of all lanes, and texts of all ranks in order: one number for any number of ranks.
fn exchange(ranks: &Ranks) -> Result<u64> {
    let mut tree = Tree::default();
    ranks.share(LANES).for_each(|number| tree.add(lane(number)));
    let mine = tree.whole().unwrap_or_default();
    let sum = if ranks.count() == 1 { mine } else { ranks.sum(mine)?.wait()? };
    let squares = ranks.share(1000).map(|n| (n * n) as u32).collect::<Vec<_>>();
    let squares = ranks.join(&squares)?;
    Ok(hash(sum.iter().map(|v| v.to_bits()).chain(squares)))
}

/// The number that one process gets.
fn expected() -> u64 {
    together(1, |ranks| exchange(&ranks)).remove(0).expect("a sum")
}

/// A rank of the jobs of the other tests, which start this program again; by itself, a rank alone.
#[test]
#[ignore = "the other tests start it under mpirun"]
fn rank() {
    let job = std::env::var(JOB).unwrap_or_default();
    let ranks = match Ranks::launched() {
        Ok(ranks) => ranks,
        Err(error) => {
            println!("refused: {error}");
            std::process::exit(i32::from(error.exit_code()));
        }
    };
    println!("hash {:016x} rank {} of {} local {:?}", exchange(&ranks).expect("a sum"), ranks.rank(), ranks.count(), ranks.on_machine());
    let last = ranks.rank() + 1 == ranks.count();
    let endless = |ranks: &Ranks| loop {
        exchange(ranks).expect("a sum");
    };
    match job.as_str() {
        "exit" if last => std::process::exit(3),
        "killed" if last => drop(std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status()),
        "panics" if last => panic!("a rank that gives up"),
        "fails" if last => {
            ranks.fail(7);
            unreachable!("the launcher ends it");
        }
        "exit" | "killed" | "panics" | "fails" => endless(&ranks),
        "agree" => {
            let mine = if last { Err(Error::usage("no such file")) } else { Ok(()) };
            let error = ranks.agree(mine).expect_err("a failure of all");
            ranks.fail(error.exit_code());
            println!("agreed: {error}");
            drop(ranks);
            std::process::exit(2);
        }
        _ => {}
    }
}

/// Starts [`rank`] as so many ranks, each to do `job`.
fn start(launcher: &Launcher, ranks: usize, job: &str) -> mpirun::Ended {
    let program = std::env::current_exe().expect("this program");
    let words = ["--ignored", "--exact", "rank", "--nocapture", "--test-threads=1"];
    launcher.run(ranks, &program, &words, &[(JOB, job)])
}

#[test]
fn a_sum_has_one_hash_for_any_number_of_ranks_and_any_library() {
    let hash = format!("hash {:016x} ", expected());
    for launcher in launchers() {
        for ranks in [1, 2, 4] {
            let ended = start(launcher, ranks, "sum");
            assert_eq!(ended.code, Some(0), "{launcher:?} {ranks}: {ended:?}");
            for rank in 0..ranks {
                let line = format!("{hash}rank {rank} of {ranks} local [{rank}, {ranks}]");
                assert!(ended.stdout.contains(&line), "{launcher:?} {ranks}: {line} in {ended:?}");
            }
        }
    }
}

#[test]
fn a_rank_that_ends_ends_all() {
    for launcher in launchers() {
        for job in ["exit", "killed", "panics", "fails"] {
            let begun = Instant::now();
            let ended = start(launcher, 4, job);
            assert!(ended.code != Some(0), "{launcher:?} {job}: {ended:?}");
            assert!(job != "panics" || ended.stderr.contains("a rank that gives up"), "{launcher:?}: {ended:?}");
            assert!(job != "fails" || ended.code == Some(7), "{launcher:?}: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{launcher:?} {job} took {:?}", begun.elapsed());
        }
    }
}

#[test]
fn a_failure_that_all_know_of_ends_all_in_order() {
    for launcher in launchers() {
        let ended = start(launcher, 2, "agree");
        // One that is a little late is ended by the launcher, and says so no more.
        assert!(ended.code == Some(2) && ended.stdout.contains("agreed: no such file"), "{launcher:?}: {ended:?}");
    }
}

/// A library of the launcher's own that [`launchers`] found, and one of another family.
#[test]
fn a_library_of_another_launcher_is_refused() {
    let found = launchers();
    for launcher in found {
        for other in found.iter().filter(|other| other.is_open_mpi != launcher.is_open_mpi) {
            let ended = launcher.kiln(2, &["bench", "train", "--filter", "none", "--device", "cpu"], &[("KILN_MPI", other.library())]);
            let words = format!("mpirun started 2 ranks and {} knows of 1: it belongs to another launcher", other.library());
            assert_eq!((ended.code, ended.stderr.matches(&words).count()), (Some(2), 1), "{launcher:?}: {ended:?}");
        }
    }
}

#[test]
fn what_cannot_be_done_by_these_ranks_is_refused_in_one_sentence() {
    let cases: [(usize, &[&str], &str, i32, &str); 5] = [
        (2, &["info", "nowhere"], "", 2, "kiln info is done by one process; start it without mpirun"),
        (3, &["eval", "nowhere"], "", 2, "mpirun started 3 ranks, and ranks add up in pairs of pairs: start 2 or 4"),
        (2, &["eval", "nowhere"], "/no/such/libmpi.so", 2, "KILN_MPI names no library that opens: /no/such/libmpi.so"),
        (2, &["evil"], "", 2, "unrecognized subcommand 'evil'"),
        // A failure that each finds by itself.
        (2, &["eval", "nowhere", "--device", "cpu"], "", 1, "nowhere/: is no run folder"),
    ];
    for launcher in launchers() {
        for (ranks, words, library, code, said) in cases {
            let ended = launcher.kiln(ranks, words, &[("KILN_MPI", library)]);
            let lines = ended.stderr.lines().filter(|line| line.starts_with("kiln: ")).collect::<Vec<_>>();
            assert_eq!((ended.code, lines.len()), (Some(code), 1), "{launcher:?} {words:?}: {ended:?}");
            assert!(lines[0].contains(said), "{launcher:?} {words:?}: {ended:?}");
        }
    }
}

#[test]
fn one_rank_speaks_for_all() {
    for launcher in launchers() {
        let help = launcher.kiln(2, &["bench", "--help"], &[]);
        assert_eq!(
            (help.code, help.stdout.matches("Measure kernels, training steps and sampling").count()),
            (Some(0), 1),
            "{launcher:?}: {help:?}"
        );
    }
}
