//! Ranks that are threads.

use super::*;
use crate::random::Draws;

fn lane(number: usize, len: usize) -> Vec<f32> {
    let mut draws = Draws::new(3, 1, number as u32);
    (0..len).map(|_| draws.normal()).collect()
}

#[test]
fn a_sum_has_the_same_bits_for_any_number_of_ranks() {
    const LANES: usize = 8;
    for len in [0, 1, 37, 1000] {
        let sums = [1, 2, 4, 8].map(|ranks| {
            let sums = together(ranks, |ranks| {
                let own = LANES / ranks.count();
                let mut tree = Tree::default();
                (ranks.rank() * own..(ranks.rank() + 1) * own).for_each(|l| tree.add(lane(l, len)));
                let mine = tree.whole().unwrap_or_default();
                ranks.sum(mine)?.wait()
            });
            let sums: Vec<Vec<f32>> = sums.into_iter().map(|sum| sum.expect("a sum")).collect();
            assert!(sums.iter().all(|sum| *sum == sums[0]) && sums[0].len() == len);
            sums[0].clone()
        });
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{len}");
        let whole = |at: usize| (0..LANES).map(|l| f64::from(lane(l, len)[at])).sum::<f64>();
        assert!(sums[0].iter().enumerate().all(|(at, sum)| (f64::from(*sum) - whole(at)).abs() < 1e-5));
    }
}

#[test]
fn what_ranks_have_is_gathered_in_order_and_shares_cover_all() {
    let told = together(4, |ranks| {
        let mine: Vec<u32> = ranks.share(11).map(|n| n as u32).collect();
        assert_eq!(ranks.from_first(vec![7; ranks.rank()])?, [] as [u8; 0]);
        assert_eq!(ranks.from_first(vec![7; 3 - ranks.rank()])?, [7; 3]);
        assert_eq!(ranks.on_machine(), [ranks.rank(), 4]);
        ranks.join(&mine)
    });
    for list in told {
        assert_eq!(list.expect("a list"), (0..11).collect::<Vec<u32>>());
    }
}

#[test]
fn one_rank_that_fails_is_the_failure_of_all() {
    let told = together(4, |ranks| {
        ranks.agree(Ok(()))?;
        let failed = ranks.agree(if ranks.rank() == 2 { Err(Error::usage("no such file")) } else { Ok(1) });
        assert!(ranks.is_known());
        failed
    });
    for failed in told {
        let failed = failed.expect_err("a failure");
        assert_eq!((failed.to_string().as_str(), failed.exit_code()), ("no such file", 2));
    }
    let told = together(2, |ranks| ranks.agree(if ranks.is_first() { Err(Error::Interrupted) } else { Ok(()) }));
    assert!(told.iter().all(|failed| matches!(failed, Err(Error::Interrupted))), "{told:?}");
    let told = together(2, |ranks| ranks.same("the seed", if ranks.is_first() { "1" } else { "2" }));
    for failed in told {
        let words = failed.expect_err("a refusal").to_string();
        assert_eq!(words, "the seed of rank 0 is 1 and of rank 1 2; start all ranks alike");
    }
    let long = |ranks: &Ranks| format!("{}rate = {}{}", "a = 1\n".repeat(99), ranks.rank(), "\nb = 2".repeat(99));
    let told = together(2, |ranks| ranks.same("the recipe", &long(&ranks)));
    let words = told[0].as_ref().expect_err("a refusal").to_string();
    assert!(words.contains("rate = 0") && words.contains("rate = 1") && words.len() < 300, "{words}");
}

#[test]
fn one_process_is_a_rank_alone() -> Result<()> {
    let alone = Ranks::alone();
    assert_eq!((alone.share(5), alone.count(), alone.is_first()), (0..5, 1, true));
    assert_eq!(alone.join(&[1.0f32])?, [1.0]);
    assert_eq!(alone.gather(vec![1])?, [[1]]);
    alone.same("all", "a")
}
