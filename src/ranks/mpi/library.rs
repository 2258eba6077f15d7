//! The user's own library of MPI: which file, whose it is, and its entry points.

use std::ffi::{OsStr, OsString, c_char, c_int, c_void};

use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};

use crate::error::{Error, Result};
use crate::ranks::launcher::{Kind, Launcher};

/// Whose binary interface a library has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Open MPI 4 and 5: handles are addresses of variables.
    OpenMpi,
    /// MPICH, and what is compatible with it: handles are numbers of 32 bits.
    Mpich,
    /// The standard interface of MPI 5: handles are small numbers in pointers.
    Standard,
}

/// An opened library.
#[derive(Debug)]
pub struct Library {
    opened: Opened,
    /// The file, as it was asked for.
    pub name: String,
    /// Whose it is.
    pub family: Family,
}

#[cfg(target_vendor = "apple")]
const OPEN_MPI: &[&str] = &["libmpi.40.dylib", "/opt/homebrew/lib/libmpi.40.dylib", "/opt/local/lib/openmpi-mp/libmpi.40.dylib"];
#[cfg(target_vendor = "apple")]
const MPICH: &[&str] = &["libmpi.12.dylib", "/opt/homebrew/lib/libmpi.12.dylib", "/opt/local/lib/mpich-mp/libmpi.12.dylib"];
#[cfg(target_vendor = "apple")]
const STANDARD: &[&str] = &["libmpi_abi.1.dylib", "libmpi_abi.0.dylib", "/opt/homebrew/lib/libmpi_abi.1.dylib"];
#[cfg(not(target_vendor = "apple"))]
const OPEN_MPI: &[&str] = &["libmpi.so.40"];
// Debian calls it by its own name, since both are installed there.
#[cfg(not(target_vendor = "apple"))]
const MPICH: &[&str] = &["libmpi.so.12", "libmpich.so.12"];
#[cfg(not(target_vendor = "apple"))]
const STANDARD: &[&str] = &["libmpi_abi.so.1", "libmpi_abi.so.0"];

/// Names to try, those of the launcher's own library first.
fn names(launcher: Option<Launcher>) -> Vec<&'static str> {
    let order = match launcher.map(|launcher| launcher.kind) {
        Some(Kind::Pmi) => [MPICH, STANDARD, OPEN_MPI],
        _ => [OPEN_MPI, STANDARD, MPICH],
    };
    order.concat()
}

/// Opens a library by itself, or says why not.
fn dlopen(name: &OsStr) -> Result<Opened, String> {
    // SAFETY: what a library of MPI does when it is opened is the business of whoever installed it; kiln does nothing meanwhile that such
    // code could disturb. Its symbols are open to what it opens itself: Open MPI's plug-ins look them up.
    unsafe { Opened::open(Some(name), RTLD_GLOBAL | RTLD_NOW) }.map_err(|e| e.to_string())
}

impl Library {
    /// Opens the library that is named, else the first there is.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is none, or it is none of MPI.
    pub fn open(launcher: Option<Launcher>, named: Option<&OsStr>) -> Result<Self> {
        if cfg!(all(target_env = "musl", target_feature = "crt-static")) {
            return Err(Error::usage(
                "this kiln is one static file, which cannot open a library of MPI: take another build (docs/install.md), or start one process",
            ));
        }
        if let Some(name) = named {
            let opened = dlopen(name).map_err(|why| Error::usage(format!("KILN_MPI names no library that opens: {why}")))?;
            return Self::of(name.to_os_string(), opened);
        }
        let names = names(launcher);
        if let Some((name, opened)) = names.iter().find_map(|name| Some((*name, dlopen(name.as_ref()).ok()?))) {
            return Self::of(name.into(), opened);
        }
        let package = if launcher.is_some_and(|launcher| launcher.kind == Kind::Pmi) { "mpich" } else { "openmpi-bin" };
        let who = launcher.map_or("the launcher", |launcher| launcher.kind.name());
        Err(Error::usage(format!(
            "{who} started several ranks and there is no library of MPI ({}): install the launcher's own (on Debian or Ubuntu `apt install \
             {package}`), or name its file by KILN_MPI=FILE",
            names.join(", ")
        )))
    }

    fn of(name: OsString, opened: Opened) -> Result<Self> {
        let name = name.to_string_lossy().into_owned();
        // SAFETY: the symbol is looked for and not used.
        let has = |symbol: &[u8]| unsafe { opened.get::<*mut c_void>(symbol) }.is_ok();
        if !has(b"MPI_Init_thread\0") {
            return Err(Error::usage(format!("{name} is no library of MPI; name one by KILN_MPI=FILE")));
        }
        let family = if name.contains("mpi_abi") {
            Family::Standard
        } else if has(b"ompi_mpi_comm_world\0") {
            Family::OpenMpi
        } else {
            Family::Mpich
        };
        Ok(Self { opened, name, family })
    }

    /// An entry point or a variable's address.
    ///
    /// # Safety
    /// `T` is what the library has by this name: a function of this type, or a pointer to the variable.
    unsafe fn get<T: Copy>(&self, name: &str) -> Result<T> {
        // SAFETY: the caller's.
        let symbol = unsafe { self.opened.get::<T>(name.as_bytes()) };
        let missing = || Error::usage(format!("{} has no {name}; name a library of MPI 3 or later by KILN_MPI=FILE", self.name));
        symbol.map(|symbol| *symbol).map_err(|_| missing())
    }
}

/// What a family hands around for communicators, types and requests.
pub trait Handle: Copy + 'static {
    /// One that was not given a meaning yet.
    const NONE: Self;

    /// The world of all ranks, the type of a byte, and the handler that has calls return what went wrong.
    ///
    /// # Errors
    /// [`Error::Usage`] where the library lacks them.
    fn constants(library: &Library) -> Result<[Self; 3]>;
}

impl Handle for c_int {
    const NONE: Self = 0;

    fn constants(_: &Library) -> Result<[Self; 3]> {
        Ok([0x4400_0000, 0x4c00_010d, 0x5400_0001])
    }
}

impl Handle for *mut c_void {
    const NONE: Self = std::ptr::null_mut();

    fn constants(library: &Library) -> Result<[Self; 3]> {
        if library.family == Family::Standard {
            return Ok([0x101, 0x247, 0x143].map(std::ptr::without_provenance_mut));
        }
        // SAFETY: Open MPI has variables of these names, whose addresses alone are taken.
        unsafe { Ok([library.get("ompi_mpi_comm_world")?, library.get("ompi_mpi_byte")?, library.get("ompi_mpi_errors_return")?]) }
    }
}

/// What one `MPI_Test` writes of how a request ended: 20 bytes of MPICH, 24 of Open MPI, 32 of the standard.
pub type Status = [u64; 8];

type Bytes = *const c_void;
type Room = *mut c_void;
type Counts = *const c_int;

/// The entry points that kiln calls, as the standard declares them.
pub struct Calls<H> {
    pub init_thread: unsafe extern "C" fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int) -> c_int,
    pub set_errhandler: unsafe extern "C" fn(H, H) -> c_int,
    pub rank: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    pub size: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    pub isend: unsafe extern "C" fn(Bytes, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    pub irecv: unsafe extern "C" fn(Room, c_int, H, c_int, c_int, H, *mut H) -> c_int,
    pub allgatherv: unsafe extern "C" fn(Bytes, c_int, H, Room, Counts, Counts, H, H, *mut H) -> c_int,
    pub test: unsafe extern "C" fn(*mut H, *mut c_int, *mut Status) -> c_int,
    pub abort: unsafe extern "C" fn(H, c_int) -> c_int,
    pub finalize: unsafe extern "C" fn() -> c_int,
}

impl<H: Handle> Calls<H> {
    /// Looks all of them up; the library then stays open for as long as the process lives, since threads and exit handlers of it may.
    ///
    /// # Errors
    /// [`Error::Usage`] where one is missing.
    pub fn of(library: Library) -> Result<Self> {
        // SAFETY: each is declared as in chapters 3, 6, 9 and 11 of the standard, with the handles of the library's family.
        let calls = unsafe {
            Self {
                init_thread: library.get("MPI_Init_thread")?,
                set_errhandler: library.get("MPI_Comm_set_errhandler")?,
                rank: library.get("MPI_Comm_rank")?,
                size: library.get("MPI_Comm_size")?,
                isend: library.get("MPI_Isend")?,
                irecv: library.get("MPI_Irecv")?,
                allgatherv: library.get("MPI_Iallgatherv")?,
                test: library.get("MPI_Test")?,
                abort: library.get("MPI_Abort")?,
                finalize: library.get("MPI_Finalize")?,
            }
        };
        std::mem::forget(library);
        Ok(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launchers_own_library_is_tried_first() {
        let launcher = |kind| Some(Launcher { kind, ranks: Some(2), rank: Some(0), local: None });
        assert_eq!(names(launcher(Kind::OpenMpi))[0], OPEN_MPI[0]);
        assert_eq!(names(launcher(Kind::Pmi))[0], MPICH[0]);
        for names in [names(None), names(launcher(Kind::Pmi))] {
            assert_eq!(names.len(), OPEN_MPI.len() + MPICH.len() + STANDARD.len());
        }
    }

    #[test]
    fn what_is_no_library_of_mpi_is_refused() {
        let refused = |name: &str| Library::open(None, Some(name.as_ref())).expect_err("refused").to_string();
        assert!(refused("/no/such/libmpi.so").starts_with("KILN_MPI names no library that opens: /no/such/libmpi.so"));
        #[cfg(target_os = "linux")]
        assert_eq!(refused("libm.so.6"), "libm.so.6 is no library of MPI; name one by KILN_MPI=FILE");
    }
}
