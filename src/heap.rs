//! The program's allocator: the system's, a count of what is held, and a sentence where it refuses.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Blocks from this many bytes on are counted: all that grows with a job, and so few that counting costs nothing.
const COUNTED: usize = 4096;

/// Bytes of the counted blocks that are held.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// The most of them since [`watch`].
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Begins anew to look for the most that is held; returns what is held now, in bytes, of blocks of a page or more.
pub(crate) fn watch() -> usize {
    let held = HELD.load(Relaxed);
    MOST.store(held, Relaxed);
    held
}

/// The most bytes that were held at once since [`watch`], in blocks of a page or more; 0 where the program has another allocator.
pub(crate) fn most() -> usize {
    MOST.load(Relaxed)
}

fn taken(size: usize) {
    if size >= COUNTED {
        let held = HELD.fetch_add(size, Relaxed) + size;
        MOST.fetch_max(held, Relaxed);
    }
}

fn given_back(size: usize) {
    if size >= COUNTED {
        HELD.fetch_sub(size, Relaxed);
    }
}

/// Allocates as [`System`] does. Where it refuses, the program ends with a sentence and exit code 1, and not by a signal: what is counted
/// beforehand is the most of a job, and never all.
pub struct Heap;

// SAFETY: every call goes to `System` as it came, and its answer back, unless it is null: then nothing returns.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: as above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        given_back(layout.size());
        taken(size);
        // SAFETY: as above.
        had(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn had(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() { out_of_memory(size) } else { block }
}

/// Nothing here allocates, and nothing that was to run at the end does: it might.
#[cold]
fn out_of_memory(size: usize) -> ! {
    let words = "of memory are refused; raise what limits it (ulimit -v), or take a smaller --batch or a smaller model";
    let _ = writeln!(std::io::stderr(), "kiln: {} KiB more {words}", size.div_ceil(1024));
    #[cfg(unix)]
    // SAFETY: it takes a number and ends the process.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_most_is_counted() {
        // Nothing else in this program allocates through it.
        let before = watch();
        let layout = Layout::from_size_align(1 << 20, 64).expect("a layout");
        // SAFETY: each block has the layout it is given back with, and nothing reads it.
        unsafe {
            let [a, b] = [Heap.alloc(layout), Heap.alloc_zeroed(layout)];
            Heap.dealloc(a, layout);
            let b = Heap.realloc(b, layout, 1 << 19);
            assert_eq!(most() - before, 2 << 20);
            assert_eq!(watch() - before, 1 << 19);
            Heap.dealloc(b, Layout::from_size_align(1 << 19, 64).expect("a layout"));
        }
        assert_eq!((watch(), most()), (before, before));
    }
}
