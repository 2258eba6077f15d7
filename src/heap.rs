//! The program's allocator: the system's, and a sentence where it refuses.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;

/// Allocates as [`System`] does. Where it refuses, the program ends with a sentence and exit code 1, and not by a signal: what is counted
/// beforehand is the most of a job, and never all.
pub struct Heap;

// SAFETY: every call goes to `System` as it came, and its answer back, unless it is null: then nothing returns.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract, which is the same.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        had(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
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
