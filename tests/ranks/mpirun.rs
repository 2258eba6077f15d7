//! The launchers of this machine, and programs started by them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::Duration;

/// A launcher of MPI.
#[derive(Debug)]
pub struct Launcher {
    program: PathBuf,
    pub is_open_mpi: bool,
}

/// What a job left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// By when a job has ended that is not stuck.
const PATIENCE: Duration = Duration::from_secs(100);

/// Where two are installed, one of them is called by its own name.
const NAMES: [&str; 3] = ["mpirun", "mpirun.openmpi", "mpirun.mpich"];

/// One launcher a family; none where there is none and none is required.
pub fn launchers() -> &'static [Launcher] {
    static FOUND: OnceLock<Vec<Launcher>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let programs = NAMES.iter().flat_map(|name| std::env::split_paths(&paths).map(move |folder| folder.join(name)));
        let mut found: Vec<Launcher> = Vec::new();
        for program in programs.filter(|path| path.is_file()) {
            let Ok(said) = Command::new(&program).arg("--version").output() else { continue };
            let words = String::from_utf8_lossy(&said.stdout).into_owned();
            let is_open_mpi = ["Open MPI", "OpenRTE"].iter().any(|name| words.contains(name));
            if said.status.success() && !found.iter().any(|launcher| launcher.is_open_mpi == is_open_mpi) {
                found.push(Launcher { program, is_open_mpi });
            }
        }
        if found.is_empty() {
            let required = std::env::var_os("KILN_REQUIRE_MPI").is_some_and(|v| v == "1");
            assert!(!required, "KILN_REQUIRE_MPI is set and there is no {}: install openmpi-bin or mpich", NAMES.join(", "));
            eprintln!("skipped: there is no mpirun; KILN_REQUIRE_MPI=1 makes this a failure");
        }
        found
    })
}

impl Launcher {
    /// The name of its library.
    pub fn library(&self) -> &'static str {
        match (self.is_open_mpi, cfg!(target_os = "macos")) {
            (true, false) => "libmpi.so.40",
            (true, true) => "libmpi.40.dylib",
            // Debian calls it by its own name, since both are installed there.
            (false, false) if Path::new("/etc/debian_version").exists() => "libmpich.so.12",
            (false, false) => "libmpi.so.12",
            (false, true) => "libmpi.12.dylib",
        }
    }

    /// Runs a program as so many ranks, to its end.
    pub fn run(&self, ranks: usize, program: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        self.run_in(Path::new("."), ranks, program, words, variables)
    }

    fn run_in(&self, folder: &Path, ranks: usize, program: &Path, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(&self.program);
        if self.is_open_mpi {
            command.arg("--oversubscribe").env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
        command.args(["-n", &ranks.to_string()]).arg(program).args(words);
        command.envs(variables.iter().copied()).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("a launcher that starts");
        let (launcher, (tell, told)) = (child.id(), channel());
        std::thread::spawn(move || tell.send(child.wait_with_output()));
        let Ok(output) = told.recv_timeout(PATIENCE) else {
            // It ends its ranks first.
            let _ = Command::new("kill").arg(launcher.to_string()).status();
            panic!("{self:?} with {words:?} has not ended after {PATIENCE:?}");
        };
        let output = output.expect("an end");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs kiln in a folder as so many ranks.
    pub fn kiln_in(&self, folder: &Path, ranks: usize, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        self.run_in(folder, ranks, Path::new(env!("CARGO_BIN_EXE_kiln")), words, variables)
    }

    /// Runs kiln as so many ranks.
    pub fn kiln(&self, ranks: usize, words: &[&str], variables: &[(&str, &str)]) -> Ended {
        self.run(ranks, Path::new(env!("CARGO_BIN_EXE_kiln")), words, variables)
    }
}
