//! Which adapters there are and which one is taken.

use crate::error::{Error, Result};
use crate::shader::Class;

/// Which adapter to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A real GPU, the fastest kind first; never a software driver.
    Hardware,
    /// A real GPU if there is one, else a software driver.
    Any,
    /// The first whose name, driver or backend contains this, whatever the case of its letters.
    Named(String),
    /// By its place in [`adapters`], counted from 0: two equal cards have one name.
    Numbered(usize),
    /// None: everything is recorded and submitted, nothing is computed, and every result is zero. What is left of a step is the host's part.
    Nothing,
}

/// What is known of an adapter before it is opened.
#[derive(Clone, Debug)]
pub struct AdapterDescription {
    /// Its name.
    pub name: String,
    /// Vulkan, Metal or DX12.
    pub backend: String,
    /// Driver name and version.
    pub driver: String,
    /// "discrete GPU", "integrated GPU", "virtual GPU", "software" or "other".
    pub kind: &'static str,
    /// Whether it is a software driver on the CPU.
    pub is_cpu: bool,
    /// Largest buffer a kernel can see, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Workgroup memory, in bytes.
    pub workgroup_memory: u32,
    /// Smallest and largest subgroup.
    pub subgroup: [u32; 2],
    /// Names of what it offers beyond the basics and kiln cares about.
    pub features: Vec<&'static str>,
}

const FEATURES: [(&str, wgpu::Features); 5] = [
    ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
    ("subgroups", wgpu::Features::SUBGROUP),
    ("f16", wgpu::Features::SHADER_F16),
    ("cooperative matrix", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ("pipeline cache", wgpu::Features::PIPELINE_CACHE),
];

impl AdapterDescription {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let limits = adapter.limits();
        let has = adapter.features();
        Self {
            name: info.name,
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete GPU",
                wgpu::DeviceType::IntegratedGpu => "integrated GPU",
                wgpu::DeviceType::VirtualGpu => "virtual GPU",
                wgpu::DeviceType::Cpu => "software",
                wgpu::DeviceType::Other => "other",
            },
            is_cpu: info.device_type == wgpu::DeviceType::Cpu,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            subgroup: [info.subgroup_min_size, info.subgroup_max_size],
            features: FEATURES.iter().filter(|(_, f)| has.contains(*f)).map(|(name, _)| *name).collect(),
        }
    }

    /// The class that default choices go by.
    pub fn class(&self) -> Class {
        match self.kind {
            "software" => Class::Software,
            "integrated GPU" => Class::Integrated,
            _ => Class::Discrete,
        }
    }

    fn matches(&self, part: &str) -> bool {
        let part = part.to_lowercase();
        [&self.name, &self.driver, &self.backend].iter().any(|text| text.to_lowercase().contains(&part))
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Without GL: it takes most of a second to start, and would silently stand in for a missing Vulkan driver.
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    wgpu::Instance::new(descriptor)
}

async fn enumerate() -> Vec<(wgpu::Adapter, AdapterDescription)> {
    let mut found: Vec<_> = instance()
        .enumerate_adapters(wgpu::Backends::PRIMARY)
        .await
        .into_iter()
        .filter(|a| a.get_info().backend != wgpu::Backend::Noop)
        .map(|a| {
            let description = AdapterDescription::of(&a);
            (a, description)
        })
        .collect();
    found.sort_by_key(|(_, d)| rank(d.kind));
    found
}

fn rank(kind: &str) -> usize {
    ["discrete GPU", "integrated GPU", "virtual GPU", "other"].iter().position(|k| *k == kind).unwrap_or(4)
}

/// Every adapter of this machine, in the order in which [`Choice::Any`] prefers them.
pub async fn adapters() -> Vec<AdapterDescription> {
    enumerate().await.into_iter().map(|(_, d)| d).collect()
}

/// The place of the adapter that a choice means: of several equal to the first that fits it, the one with this number, modulo how many they are.
fn pick(found: &[&AdapterDescription], choice: &Choice, number: usize) -> Option<usize> {
    let fits = |place: usize, d: &AdapterDescription| match choice {
        Choice::Hardware => !d.is_cpu,
        Choice::Any => true,
        Choice::Named(part) => d.matches(part),
        Choice::Numbered(wanted) => place == *wanted,
        Choice::Nothing => false,
    };
    let fitting = || (0..found.len()).filter(|place| fits(*place, found[*place]));
    let what = |place: usize| (&found[place].name, &found[place].backend, &found[place].driver);
    let first = fitting().next()?;
    let equal: Vec<usize> = fitting().filter(|place| what(*place) == what(first)).collect();
    equal.get(number % equal.len()).copied()
}

/// An adapter that computes nothing, with the limits of a card.
async fn nothing() -> Result<(wgpu::Adapter, AdapterDescription)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    let limits = wgpu::Limits {
        max_buffer_size: 1 << 34,
        max_storage_buffer_binding_size: 1 << 31,
        max_compute_workgroup_storage_size: 48 << 10,
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_size_x: 1024,
        max_storage_buffers_per_shader_stage: 64,
        max_buffers_and_acceleration_structures_per_shader_stage: 64,
        ..wgpu::Limits::default()
    };
    descriptor.backend_options.noop =
        wgpu::NoopBackendOptions { enable: true, limits: Some(limits), features: Some(wgpu::Features::empty()), ..Default::default() };
    let found = wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::NOOP).await.into_iter().next();
    let adapter = found.ok_or_else(|| Error::Device("wgpu was built without its backend that does nothing".into()))?;
    let description = AdapterDescription { name: "noop".into(), ..AdapterDescription::of(&adapter) };
    Ok((adapter, description))
}

/// The adapter of a choice; `number` as for [`pick`].
pub(super) async fn choose(choice: &Choice, number: usize) -> Result<(wgpu::Adapter, AdapterDescription)> {
    if *choice == Choice::Nothing {
        return nothing().await;
    }
    let found = enumerate().await;
    if found.is_empty() {
        match choice {
            Choice::Named(part) => return Err(Error::Usage(format!("no adapter is called `{part}`; there are none, only `cpu`"))),
            Choice::Numbered(number) => return Err(Error::Usage(format!("there is no device {number}, only 0 `cpu`"))),
            _ => {}
        }
        // A static program has no loader that could bring a driver in.
        let words = if cfg!(all(target_env = "musl", target_feature = "crt-static")) {
            "this kiln is one static file, which cannot load a GPU's driver: use --device cpu, or another build (docs/install.md)"
        } else {
            "no GPU adapter was found: install a Vulkan driver (on Debian or Ubuntu `apt install mesa-vulkan-drivers`), \
             or use --device cpu"
        };
        return Err(Error::Device(words.into()));
    }
    let name = |(number, (_, d)): (usize, &(wgpu::Adapter, AdapterDescription))| format!("{number} {} ({})", d.name, d.backend);
    let names = found.iter().enumerate().map(name).collect::<Vec<_>>().join(", ");
    let cpu = found.len();
    let place = pick(&found.iter().map(|(_, d)| d).collect::<Vec<_>>(), choice, number);
    place.and_then(|place| found.into_iter().nth(place)).ok_or_else(|| match choice {
        Choice::Named(part) => Error::Usage(format!("no adapter is called `{part}`; there are: {names}, and {cpu} `cpu`")),
        Choice::Numbered(number) => Error::Usage(format!("there is no device {number}; there are: {names}, and {cpu} `cpu`")),
        _ => Error::Device(format!("there is no hardware GPU, only {names}; use --device gpu for it or --device cpu")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: &'static str) -> AdapterDescription {
        AdapterDescription {
            name: name.into(),
            backend: "Vulkan".into(),
            driver: "driver 1".into(),
            kind,
            is_cpu: kind == "software",
            max_binding: 0,
            max_buffer: 0,
            workgroup_memory: 0,
            subgroup: [0, 0],
            features: Vec::new(),
        }
    }

    #[test]
    fn ranks_take_equal_adapters_in_turn() {
        let found = [("large", "discrete GPU"), ("small", "discrete GPU"), ("large", "discrete GPU"), ("llvmpipe", "software")];
        let found = found.map(|(name, kind)| adapter(name, kind));
        let found: Vec<_> = found.iter().collect();
        let picked = |choice: Choice| [0, 1, 2, 3].map(|number| pick(&found, &choice, number));
        assert_eq!(picked(Choice::Hardware), [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(picked(Choice::Any), picked(Choice::Hardware));
        assert_eq!(picked(Choice::Named("SMALL".into())), [Some(1); 4]);
        assert_eq!(picked(Choice::Named("vulkan".into())), picked(Choice::Hardware));
        assert_eq!(picked(Choice::Numbered(2)), [Some(2); 4]);
        assert_eq!((pick(&found, &Choice::Numbered(4), 0), pick(&[], &Choice::Any, 1)), (None, None));
        assert_eq!(pick(&found[3..], &Choice::Hardware, 0), None);
    }
}
