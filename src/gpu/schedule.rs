//! In which order kernels run, and which of them run as one dispatch.
//!
//! A kernel's height is the number of kernels on the longest way from it to the end. The highest go first, all of one height together: kernels
//! of a kind in as few dispatches as bindings allow, and with them what else is ready and fits in, so that two halves of a batch that go
//! through one network keep step, and what is not needed soon (a weight gradient's sum of parts, a bias gradient) waits for others of its
//! kind. Waiting keeps tensors alive: once they are to take a quarter more than in the kernels' own order, what waits goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A part of some memory that a kernel uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Its number.
    pub(super) memory: usize,
    /// In bytes.
    pub(super) range: Range<u64>,
    /// Whether it may be written.
    pub(super) writes: bool,
}

/// A kernel as the schedule sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// What it uses.
    pub(super) uses: Vec<Use>,
    /// Numbers of what it binds; kernels that bind the same share it.
    pub(super) ports: Vec<usize>,
    /// Arrays of workgroup memory, each by what it is, and its bytes; kernels of one dispatch share those that are the same.
    pub(super) arrays: Vec<(usize, u32)>,
    /// What it may share a dispatch with: others of the same kind.
    pub(super) kind: Option<Kind>,
    /// Whether it is so small that it may also go with larger kernels of another family, where it would have a dispatch to itself.
    pub(super) small: bool,
    /// Whether all before it must run before it, and all behind it behind.
    pub(super) ends: bool,
}

/// What kernels of one dispatch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The family of kernels.
    pub(super) family: &'static str,
    /// Invocations of a workgroup.
    pub(super) threads: u32,
    /// Kernels in one dispatch at most.
    pub(super) most: usize,
}

/// A tensor that lives within a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temporary {
    pub(super) bytes: u64,
    /// Whether it is read when the run is over.
    pub(super) kept: bool,
}

/// Bytes that waiting may always take.
const SLACK: u64 = 16 << 20;

/// What a dispatch of several kernels may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Buffers that it binds.
    pub(super) bound: usize,
    /// Bytes of workgroup memory.
    pub(super) workgroup_bytes: u32,
}

/// The kernels of each dispatch, in order. Temporary memory has its size.
pub(super) fn schedule(works: &[Work], memories: &[Option<Temporary>], limits: Limits) -> Vec<Vec<usize>> {
    let mut ledger = Ledger::new(works, memories);
    let mut peak = 0;
    for work in 0..works.len() {
        ledger.take(work);
        peak = peak.max(ledger.live);
        ledger.release(work);
    }
    let mut rounds = Rounds {
        works,
        ledger: Ledger::new(works, memories),
        budget: peak + peak / 4 + SLACK,
        limits,
        order: Vec::new(),
        waits_for: vec![0; works.len()],
        behind: vec![Vec::new(); works.len()],
        height: vec![0; works.len()],
    };
    let mut start = 0;
    for at in 0..=works.len() {
        if at == works.len() || works[at].ends {
            rounds.run(start..at);
            if at < works.len() {
                rounds.emit(vec![at]);
            }
            start = at + 1;
        }
    }
    rounds.order
}

/// How much temporary memory is alive.
struct Ledger<'a> {
    works: &'a [Work],
    memories: &'a [Option<Temporary>],
    /// Kernels that still use each.
    left: Vec<usize>,
    alive: Vec<bool>,
    live: u64,
}

impl<'a> Ledger<'a> {
    fn new(works: &'a [Work], memories: &'a [Option<Temporary>]) -> Self {
        let mut left = vec![0; memories.len()];
        works.iter().for_each(|work| distinct(work).for_each(|memory| left[memory] += 1));
        Self { works, memories, left, alive: vec![false; memories.len()], live: 0 }
    }

    /// Bytes that come alive with a kernel.
    fn new_bytes(&self, work: usize) -> u64 {
        let new = distinct(&self.works[work]).filter(|&memory| !self.alive[memory]);
        new.filter_map(|memory| self.memories[memory]).map(|temporary| temporary.bytes).sum()
    }

    fn take(&mut self, work: usize) {
        self.live += self.new_bytes(work);
        distinct(&self.works[work]).for_each(|memory| self.alive[memory] = true);
    }

    fn release(&mut self, work: usize) {
        for memory in distinct(&self.works[work]) {
            self.left[memory] -= 1;
            if let (0, Some(Temporary { bytes, kept: false })) = (self.left[memory], self.memories[memory]) {
                self.live -= bytes;
            }
        }
    }
}

fn distinct(work: &Work) -> impl Iterator<Item = usize> + use<> {
    work.uses.iter().map(|u| u.memory).collect::<BTreeSet<_>>().into_iter()
}

struct Rounds<'a> {
    works: &'a [Work],
    ledger: Ledger<'a>,
    /// Bytes that may be alive while anything waits.
    budget: u64,
    limits: Limits,
    order: Vec<Vec<usize>>,
    /// How many kernels each waits for, and those that wait for it.
    waits_for: Vec<usize>,
    behind: Vec<Vec<usize>>,
    height: Vec<usize>,
}

impl Rounds<'_> {
    fn run(&mut self, range: Range<usize>) {
        self.depend(range.clone());
        for at in range.clone().rev() {
            self.height[at] = 1 + self.behind[at].iter().map(|&next| self.height[next]).max().unwrap_or(0);
        }
        // The highest first, and of those the first.
        let place = |this: &Self, at: usize| (Reverse(this.height[at]), at);
        let mut ready: BTreeSet<_> = range.filter(|&at| self.waits_for[at] == 0).map(|at| place(self, at)).collect();
        while let Some(&(highest, _)) = ready.first() {
            // Whatever is as high waits for nothing, as all that is higher is done.
            let (due, waiting): (Vec<_>, Vec<_>) = ready.iter().copied().partition(|&(height, _)| height == highest);
            let new: u64 = due.iter().map(|&(_, at)| self.ledger.new_bytes(at)).sum();
            let crowded = self.ledger.live + new > self.budget && !waiting.is_empty();
            let dispatches = if crowded { self.pack(&waiting, &[]) } else { self.pack(&due, &waiting) };
            for dispatch in dispatches {
                for &at in &dispatch {
                    ready.remove(&place(self, at));
                    for next in std::mem::take(&mut self.behind[at]) {
                        self.waits_for[next] -= 1;
                        if self.waits_for[next] == 0 {
                            ready.insert(place(self, next));
                        }
                    }
                }
                self.emit(dispatch);
            }
        }
    }

    fn emit(&mut self, dispatch: Vec<usize>) {
        dispatch.iter().for_each(|&at| self.ledger.take(at));
        dispatch.iter().for_each(|&at| self.ledger.release(at));
        self.order.push(dispatch);
    }

    /// Kernels in as few dispatches as hold them, and with them such riders as need no dispatch more and no memory that there is not.
    fn pack(&self, due: &[(Reverse<usize>, usize)], riders: &[(Reverse<usize>, usize)]) -> Vec<Vec<usize>> {
        let mut live = self.ledger.live;
        let mut open: Vec<Open> = Vec::new();
        // The small ones last: they go with others of their kind if there are any, and else with any that has as many invocations.
        let (small, large): (Vec<_>, Vec<_>) = due.iter().partition(|(_, at)| self.works[*at].small);
        for &(_, at) in large.into_iter().chain(small) {
            live += self.ledger.new_bytes(at);
            let work = &self.works[at];
            let found = open.iter().position(|o| o.takes(work, self.limits));
            let found = found.or_else(|| open.iter().position(|o| o.carries(work, self.limits)));
            match found.map(|at| &mut open[at]) {
                Some(found) => found.add(at, work),
                None => {
                    let mut new = Open { kind: work.kind, ..Open::default() };
                    new.add(at, work);
                    open.push(new);
                }
            }
        }
        for &(_, at) in riders {
            let (new, work) = (self.ledger.new_bytes(at), &self.works[at]);
            if let Some(found) = open.iter_mut().find(|o| o.takes(work, self.limits))
                && live + new <= self.budget
            {
                live += new;
                found.add(at, work);
            }
        }
        open.into_iter().map(|o| o.works).collect()
    }

    /// Finds who waits for whom: of two that use one range, where either writes, the later for the earlier.
    fn depend(&mut self, range: Range<usize>) {
        let mut users: BTreeMap<usize, Vec<(usize, &Use)>> = BTreeMap::new();
        for at in range {
            let mut before = BTreeSet::new();
            for own in &self.works[at].uses {
                let list = users.entry(own.memory).or_default();
                let overlaps = |other: &Use| own.range.start < other.range.end && other.range.start < own.range.end;
                before.extend(list.iter().filter(|(_, other)| (own.writes || other.writes) && overlaps(other)).map(|(by, _)| *by));
                // Whoever comes after this writer needs to wait for none that it waited for.
                let covers = |other: &Use| own.writes && own.range.start <= other.range.start && other.range.end <= own.range.end;
                list.retain(|(by, other)| *by == at || !covers(other));
                list.push((at, own));
            }
            before.remove(&at);
            self.waits_for[at] = before.len();
            before.into_iter().for_each(|by| self.behind[by].push(at));
        }
    }
}

/// A dispatch that may still take more.
#[derive(Default)]
struct Open {
    kind: Option<Kind>,
    works: Vec<usize>,
    /// Of them, how many are of another family.
    carried: usize,
    ports: BTreeSet<usize>,
    /// Bytes of each array of workgroup memory.
    arrays: BTreeMap<usize, u32>,
    /// Memories it uses, and whether it writes them: a dispatch may not bind a buffer both to be read and to be written.
    written: BTreeMap<usize, bool>,
}

impl Open {
    fn takes(&self, work: &Work, limits: Limits) -> bool {
        let room = self.kind.is_some_and(|kind| Some(kind) == work.kind && self.works.len() - self.carried < kind.most);
        room && self.fits(work, limits)
    }

    /// Whether a small kernel of another family may come along.
    fn carries(&self, work: &Work, limits: Limits) -> bool {
        let alike = |(kind, other): (Kind, Kind)| kind.threads == other.threads && self.carried < other.most;
        work.small && self.kind.zip(work.kind).is_some_and(alike) && self.fits(work, limits)
    }

    fn fits(&self, work: &Work, limits: Limits) -> bool {
        let agrees = |u: &Use| self.written.get(&u.memory).is_none_or(|&writes| writes == u.writes);
        let bound = self.ports.len() + work.ports.iter().filter(|port| !self.ports.contains(port)).count();
        let mut arrays = self.arrays.clone();
        work.arrays.iter().for_each(|&(array, bytes)| longest(&mut arrays, array, bytes));
        bound <= limits.bound && arrays.values().sum::<u32>() <= limits.workgroup_bytes && work.uses.iter().all(agrees)
    }

    fn add(&mut self, at: usize, work: &Work) {
        self.works.push(at);
        work.arrays.iter().for_each(|&(array, bytes)| longest(&mut self.arrays, array, bytes));
        self.carried += usize::from(work.kind != self.kind);
        self.ports.extend(&work.ports);
        self.written.extend(work.uses.iter().map(|u| (u.memory, u.writes)));
    }
}

/// Makes an array as long as one that it is shared with.
fn longest(arrays: &mut BTreeMap<usize, u32>, array: usize, bytes: u32) {
    let most = arrays.entry(array).or_default();
    *most = bytes.max(*most);
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn bound(bound: usize) -> Limits {
        Limits { bound, workgroup_bytes: 16 << 10 }
    }

    const KIND: Kind = Kind { family: "small", threads: 64, most: 32 };

    /// A kernel that reads some temporary memories and writes one.
    fn work(reads: &[usize], writes: usize, kind: Option<Kind>) -> Work {
        let all = reads.iter().map(|&m| (m, false)).chain([(writes, true)]);
        let uses = all.clone().map(|(memory, writes)| Use { memory, range: 0..4, writes }).collect();
        Work { uses, ports: all.map(|(m, w)| 2 * m + usize::from(w)).collect(), kind, ..Work::default() }
    }

    fn memories(bytes: u64) -> Vec<Option<Temporary>> {
        vec![Some(Temporary { bytes, kept: false }); 200]
    }

    /// A chain of kernels that run alone, 0 → 2 → …, each with a small one behind it that nothing reads.
    fn chain(count: usize) -> Vec<Work> {
        (0..count).flat_map(|k| [work(&[k], k + 1, None), work(&[k + 1], 100 + k, Some(KIND))]).collect()
    }

    #[test]
    fn what_nobody_waits_for_is_one_dispatch() {
        let order = schedule(&chain(4), &memories(4), bound(100));
        assert_eq!(order, [vec![0], vec![2], vec![4], vec![6], vec![1, 3, 5, 7]]);
        let order = schedule(&chain(4), &memories(4), bound(5));
        assert_eq!(order, [vec![0], vec![2], vec![4], vec![6], vec![1, 3], vec![5, 7]]);
    }

    #[test]
    fn two_chains_keep_step_and_what_fits_rides_along() {
        // Two chains of small kernels, one two kernels longer, and one that nothing reads.
        let long = (0..4).map(|k| work(&[k], k + 1, Some(KIND)));
        let short = (0..2).map(|k| work(&[10 + k], 11 + k, Some(KIND)));
        let works: Vec<Work> = short.chain([work(&[20], 21, Some(KIND))]).chain(long).collect();
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![3, 0, 2], vec![4, 1], vec![5], vec![6]]);
        // With room for two, the urgent ones come first.
        let two = Kind { most: 2, ..KIND };
        let works: Vec<Work> = works.into_iter().map(|work| Work { kind: Some(two), ..work }).collect();
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![3, 0], vec![4, 1], vec![5, 2], vec![6]]);
    }

    #[test]
    fn a_small_kernel_goes_with_another_family_rather_than_alone() {
        let product = Kind { family: "product", threads: 64, most: 2 };
        let small = |writes| Work { small: true, ..work(&[0], writes, Some(KIND)) };
        let products: Vec<Work> = (1..4).map(|writes| work(&[0], writes, Some(product))).collect();
        // With the first products: those it goes with take no less of their own.
        let works: Vec<Work> = [small(10)].into_iter().chain(products.clone()).collect();
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![1, 2, 0], vec![3]]);
        // With its own kind where that has a dispatch anyway, and alone beside others of fewer invocations.
        let works: Vec<Work> = [small(10), work(&[0], 11, Some(KIND))].into_iter().chain(products).collect();
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![1, 0], vec![2, 3], vec![4]]);
        let fewer = Kind { threads: 32, ..product };
        assert_eq!(schedule(&[small(10), work(&[0], 1, Some(fewer))], &memories(4), bound(100)), [vec![1], vec![0]]);
    }

    #[test]
    fn a_dispatch_has_the_workgroup_memory_of_an_adapter() {
        let with = |arrays: &[(usize, u32)], writes| Work { arrays: arrays.to_vec(), ..work(&[0], writes, Some(KIND)) };
        let works = [with(&[(0, 12 << 10)], 1), with(&[(0, 8 << 10), (1, 4 << 10)], 2), with(&[(2, 1 << 10)], 3), with(&[(1, 4 << 10)], 4)];
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![0, 1, 3], vec![2]]);
    }

    #[test]
    fn nobody_waits_for_more_memory_than_there_is() {
        let order = schedule(&chain(8), &memories(SLACK), bound(100));
        // In their own order two are alive at a time; a quarter more and the slack are one and a half.
        assert_eq!(order[..4], [vec![0], vec![2], vec![4], vec![1, 3, 5]]);
        let mut seen: Vec<usize> = order.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn all_that_a_kernel_needs_runs_before_it_and_an_end_keeps_its_place() {
        let small = Some(KIND);
        let end = Work { ends: true, ..work(&[], 50, None) };
        // Small, alone, small; a later one overwrites what the first reads; behind the end a small one that could be with the first.
        let works = [work(&[0], 1, small), work(&[1], 2, None), work(&[2], 3, small), work(&[], 0, small), end, work(&[9], 10, small)];
        assert_eq!(schedule(&works, &memories(4), bound(100)), [vec![0], vec![1], vec![2, 3], vec![4], vec![5]]);
    }

    #[test]
    fn a_buffer_is_not_bound_to_be_read_and_to_be_written_at_once() {
        let part = |start: u64, writes| Use { memory: 0, range: start..start + 4, writes };
        let of = |uses: Vec<Use>, port| Work { uses, ports: vec![port], kind: Some(KIND), ..Work::default() };
        let works = [of(vec![part(0, false)], 0), of(vec![part(4, true)], 1), of(vec![part(8, true)], 2)];
        assert_eq!(schedule(&works, &[None], bound(100)), [vec![0], vec![1, 2]]);
    }
}
