//! The `kiln` program; everything it does lives in the library.

use std::process::ExitCode;

#[global_allocator]
static HEAP: kiln::heap::Heap = kiln::heap::Heap;

/// What Rust's standard library calls where a thread would give its core away, here for a moment that it waits instead.
///
/// Rayon's threads yield while they look for work, before they sleep. On Linux 6.18 another program then had the core for much longer:
/// beside a process of nice 12 a training step took twice as long (docs/decisions.md). After some rounds of this
/// they sleep as before. What is loaded at run time (drivers, MPI) calls the system's own.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> std::ffi::c_int {
    (0..64).for_each(|_| std::hint::spin_loop());
    0
}

fn main() -> ExitCode {
    // Mesa's device-select layer looks for a Wayland display, and where there can be none complains on stderr at every start.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: a program's first lines; no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    kiln::cli::main()
}
