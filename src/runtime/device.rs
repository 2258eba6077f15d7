//! What runs plans: the CPU executor, or an adapter.

use crate::error::Result;
use crate::gpu::{self, Choice, Gpu, Options};
use crate::native::simd;
use crate::shader::Choices;
use crate::tensor::Precision;

/// Something that can run plans, for a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, as `--device` takes it.
    pub name: String,
    /// What it is.
    pub details: String,
}

/// What runs the plans.
#[derive(Clone)]
pub enum Device {
    /// The CPU executor, and what it computes products in.
    Cpu(Precision),
    /// A GPU adapter, or a software driver asked for.
    Gpu(Gpu),
}

impl Device {
    /// The CPU executor in f32.
    pub const CPU: Self = Self::Cpu(Precision::F32);

    /// Opens `auto` (a real GPU, else the CPU executor), `cpu`, `gpu` (any adapter, a software driver too), a device by its place in
    /// [`Device::list`] (a number of one or two digits: longer ones are of names) or an adapter by a part of its name.
    ///
    /// # Errors
    /// [`Error::Device`](crate::error::Error::Device) where there is no adapter, [`Error::Usage`](crate::error::Error::Usage) where none has
    /// the name, or where `KILN_SIMD` names no vectors of this machine.
    pub async fn open(choice: &str) -> Result<Self> {
        Self::open_equal(choice, 0).await
    }

    /// The same; of several equal adapters that are meant, the one with this number, modulo how many they are: so ranks of one machine take
    /// one each.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub async fn open_equal(choice: &str, number: usize) -> Result<Self> {
        let open = async |choice| {
            let gpu = Gpu::open(&choice, Options { number, ..Options::default() }).await?;
            if gpu.description().is_cpu {
                let name = &gpu.description().name;
                log::warn!(
                    "{name} is a software driver on the CPU; --device cpu was 9 and 31 times as fast where both were timed (docs/benchmarks.md)"
                );
            }
            Ok(Self::Gpu(gpu))
        };
        // Every device has work for the host's vectors.
        simd::choose()?;
        match choice {
            "cpu" => Ok(Self::CPU),
            "gpu" => open(Choice::Any).await,
            "auto" => match open(Choice::Hardware).await {
                Ok(gpu) => Ok(gpu),
                Err(reason) => {
                    log::info!("auto takes the CPU: {reason}");
                    Ok(Self::CPU)
                }
            },
            name => match name.parse::<usize>().ok().filter(|_| name.len() <= 2) {
                Some(number) if number == gpu::adapters().await.len() => Ok(Self::CPU),
                Some(number) => open(Choice::Numbered(number)).await,
                None => open(Choice::Named(name.to_string())).await,
            },
        }
    }

    /// A device that takes all work and does none, for measuring what the host does: every result is zero.
    ///
    /// # Errors
    /// [`Error::Device`](crate::error::Error::Device) where it cannot be opened.
    pub async fn noop() -> Result<Self> {
        Gpu::open(&Choice::Nothing, Options { as_cpu: Some(false), ..Options::default() }).await.map(Self::Gpu)
    }

    /// Everything that can run plans: adapters, then kiln's own executor.
    pub async fn list() -> Vec<Listed> {
        let adapter = |a: gpu::AdapterDescription| Listed {
            details: format!(
                "{} · {} · {} · kernels see {} MiB at once · {} KiB workgroup memory · subgroups {}–{} · {}",
                a.backend,
                a.kind,
                a.driver,
                a.max_binding >> 20,
                a.workgroup_memory >> 10,
                a.subgroup[0],
                a.subgroup[1],
                a.features.join(", ")
            ),
            name: a.name,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let details = format!("kiln's own executor · {threads} threads · {} vectors", simd::level().name());
        gpu::adapters().await.into_iter().map(adapter).chain([Listed { name: "cpu".into(), details }]).collect()
    }

    /// The same device with the given choices of kernel variants, where it has kernels.
    pub fn with_choices(&self, choices: Choices) -> Self {
        match self {
            Self::Cpu(precision) => Self::Cpu(*precision),
            Self::Gpu(gpu) => Self::Gpu(gpu.with_choices(choices)),
        }
    }

    /// The same device with a dispatch for each kernel, where small ones share them: to time each by itself.
    pub fn apart(&self) -> Self {
        match self {
            Self::Cpu(precision) => Self::Cpu(*precision),
            Self::Gpu(gpu) => Self::Gpu(gpu.apart()),
        }
    }

    /// The same device with products computed in another precision.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where it cannot.
    pub async fn with_precision(&self, precision: Precision) -> Result<Self> {
        match (self, precision) {
            (Self::Cpu(_), _) => {
                if precision == Precision::Mixed {
                    simd::prove_pairs()?;
                }
                Ok(Self::Cpu(precision))
            }
            (Self::Gpu(gpu), _) => gpu.with_precision(precision).await.map(Self::Gpu),
        }
    }

    /// What products are computed in.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(precision) => *precision,
            Self::Gpu(gpu) if gpu.target().matrices.is_some() => Precision::Mixed,
            Self::Gpu(_) => Precision::F32,
        }
    }

    /// Its name, as recipes and benches give it.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu(_) => "cpu".into(),
            Self::Gpu(gpu) => gpu.description().name.clone(),
        }
    }
}
