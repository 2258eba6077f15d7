//! Which launcher started this process, and the ranks that it started with it.

/// What started this process as one of several, as the environment tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// Whose it is.
    pub kind: Kind,
    /// How many ranks it started; PMIx alone does not say.
    pub ranks: Option<usize>,
    /// Which of them this is.
    pub rank: Option<usize>,
    /// Which of those of its machine this is.
    pub local: Option<usize>,
}

/// Whose launcher it is: each goes with its own library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mpirun` of Open MPI.
    OpenMpi,
    /// `mpirun` of MPICH and those made of it, and whoever else speaks PMI.
    Pmi,
    /// Whoever speaks PMIx, as `srun` does where it was told to.
    Pmix,
    /// `srun` of Slurm, speaking neither.
    Slurm,
}

impl Kind {
    /// What it is called in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenMpi | Self::Pmi => "mpirun",
            Self::Pmix => "the launcher",
            Self::Slurm => "srun",
        }
    }
}

/// The variables that tell of a launcher.
struct Signs {
    kind: Kind,
    /// One that it always sets.
    always: &'static str,
    ranks: &'static str,
    rank: &'static str,
    local: &'static [&'static str],
}

/// All launchers; one that was started by another stands before it.
const SIGNS: [Signs; 4] = [
    Signs {
        kind: Kind::OpenMpi,
        always: "OMPI_COMM_WORLD_SIZE",
        ranks: "OMPI_COMM_WORLD_SIZE",
        rank: "OMPI_COMM_WORLD_RANK",
        local: &["OMPI_COMM_WORLD_LOCAL_RANK"],
    },
    Signs {
        kind: Kind::Pmi,
        always: "PMI_SIZE",
        ranks: "PMI_SIZE",
        rank: "PMI_RANK",
        local: &["MPI_LOCALRANKID", "PMI_LOCAL_RANK", "SLURM_LOCALID"],
    },
    Signs { kind: Kind::Pmix, always: "PMIX_RANK", ranks: "SLURM_STEP_NUM_TASKS", rank: "PMIX_RANK", local: &["SLURM_LOCALID"] },
    Signs {
        kind: Kind::Slurm,
        always: "SLURM_STEP_NUM_TASKS",
        ranks: "SLURM_STEP_NUM_TASKS",
        rank: "SLURM_PROCID",
        local: &["SLURM_LOCALID"],
    },
];

impl Launcher {
    /// The launcher of this process; none where it was started by itself.
    pub fn here() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The launcher that variables tell of.
    pub fn of(lookup: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| lookup(name).and_then(|value| value.trim().parse::<usize>().ok());
        let signs = SIGNS.into_iter().find(|signs| number(signs.always).is_some())?;
        let local = signs.local.iter().find_map(|name| number(name));
        Some(Self { kind: signs.kind, ranks: number(signs.ranks), rank: number(signs.rank), local })
    }

    /// Whether it started several processes, as far as it says.
    pub fn is_of_several(&self) -> bool {
        self.ranks.is_some_and(|ranks| ranks > 1)
    }

    /// Whether this is the process that speaks for all, as far as is known.
    pub fn is_first(&self) -> bool {
        self.rank.is_none_or(|rank| rank == 0)
    }

    /// Asks the launcher to end all that it started, for one that ends before it met the others. Those of MPICH wait for a process that ended by
    /// itself until then, and are told over the channel that its library would use; the others need not be asked.
    #[cfg_attr(not(unix), allow(unused_variables))]
    pub fn end_all(&self, code: u8) {
        #[cfg(unix)]
        if self.kind == Kind::Pmi
            && let Some(channel) = std::env::var("PMI_FD").ok().and_then(|fd| fd.parse::<std::ffi::c_int>().ok())
        {
            let words = format!("cmd=abort exitcode={code}\n");
            // SAFETY: the words outlive the call, which writes no more than they are. Where the number names no open file, nothing happens.
            unsafe { libc::write(channel, words.as_ptr().cast(), words.len()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Launcher> {
        Launcher::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string()))
    }

    #[test]
    fn a_launcher_is_known_by_its_variables() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "many")]), None);
        let open = [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("PMIX_RANK", "3")];
        assert_eq!(of(&open), Some(Launcher { kind: Kind::OpenMpi, ranks: Some(4), rank: Some(3), local: Some(1) }));
        let hydra = [("PMI_SIZE", "2"), ("PMI_RANK", "0"), ("MPI_LOCALRANKID", "0")];
        assert_eq!(of(&hydra), Some(Launcher { kind: Kind::Pmi, ranks: Some(2), rank: Some(0), local: Some(0) }));
        let step = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5"), ("SLURM_LOCALID", "0")];
        let srun = of(&step).expect("a launcher");
        assert_eq!(srun, Launcher { kind: Kind::Slurm, ranks: Some(8), rank: Some(5), local: Some(0) });
        assert!(srun.is_of_several() && !srun.is_first());
        assert_eq!(of(&[&step[..], &[("PMIX_RANK", "5")]].concat()), Some(Launcher { kind: Kind::Pmix, ..srun }));
        assert_eq!(of(&[("PMIX_RANK", "1")]), Some(Launcher { kind: Kind::Pmix, ranks: None, rank: Some(1), local: None }));
        // A batch script is no step, and mpirun within one step of srun is what counts.
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), None);
        assert_eq!(of(&[&step[..], &hydra].concat()).map(|l| (l.kind, l.ranks, l.rank)), Some((Kind::Pmi, Some(2), Some(0))));
        assert_eq!(of(&[&step[..], &hydra, &open].concat()).map(|l| (l.kind, l.ranks)), Some((Kind::OpenMpi, Some(4))));
    }
}
