//! The `kiln` program; everything it does lives in the library.

use std::process::ExitCode;

#[global_allocator]
static HEAP: kiln::heap::Heap = kiln::heap::Heap;

fn main() -> ExitCode {
    // Mesa's device-select layer looks for a Wayland display, and where there can be none complains on stderr at every start.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: a program's first lines; no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    kiln::cli::main()
}
