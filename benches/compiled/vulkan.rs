//! A Vulkan driver's compiler, asked for its statistics. Nothing is run, so Mesa's drivers with their no-op kernel shims will do.

use std::ffi::CStr;

use ash::{khr, vk};
use kiln::shader::Class;
use kiln::{Error, Result};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// An opened driver. It lives as long as the process.
pub struct Compiler {
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    pub name: String,
    pub limits: vk::PhysicalDeviceLimits,
    pub class: Class,
}

impl Compiler {
    /// The first device whose name contains `part`.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none, or it does not tell of what it compiles.
    pub fn open(part: &str) -> Result<Self> {
        // SAFETY: of this function: the system's Vulkan loader is trusted, as wgpu trusts it; what is passed outlives each call; nothing is
        // ever destroyed.
        unsafe {
            let entry = Box::leak(Box::new(ash::Entry::load().map_err(|e| Error::Device(format!("there is no Vulkan loader: {e}")))?));
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).map_err(fault("opening Vulkan"))?;
            let devices = instance.enumerate_physical_devices().map_err(fault("listing devices"))?;
            let about = |&d: &vk::PhysicalDevice| instance.get_physical_device_properties(d);
            let name = |d: &vk::PhysicalDevice| text(about(d).device_name_as_c_str().ok());
            let found = devices.iter().find(|d| name(d).to_lowercase().contains(&part.to_lowercase()));
            let physical = *found.ok_or_else(|| {
                let names: Vec<String> = devices.iter().map(name).collect();
                Error::Device(format!("no Vulkan device is called `{part}`; there are: {}", names.join(", ")))
            })?;
            let offered = instance.enumerate_device_extension_properties(physical).map_err(fault("listing extensions"))?;
            let has = |name: &CStr| offered.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
            if !has(khr::pipeline_executable_properties::NAME) {
                let said = format!("{} does not tell of what it compiles (VK_KHR_pipeline_executable_properties)", name(&physical));
                return Err(Error::Device(said));
            }
            let mut enabled = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
            // All that is offered is turned on but for bounds checks, which kiln goes without.
            let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
            let mut eleven = vk::PhysicalDeviceVulkan11Features::default();
            let mut twelve = vk::PhysicalDeviceVulkan12Features::default();
            let mut matrix = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
            let mut features =
                vk::PhysicalDeviceFeatures2::default().push_next(&mut executables).push_next(&mut eleven).push_next(&mut twelve);
            if has(khr::cooperative_matrix::NAME) {
                enabled.push(khr::cooperative_matrix::NAME.as_ptr());
                features = features.push_next(&mut matrix);
            }
            instance.get_physical_device_features2(physical, &mut features);
            features.features.robust_buffer_access = vk::FALSE;
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let mut create = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&enabled);
            create.p_next = (&raw const features).cast();
            let device = instance.create_device(physical, &create, None).map_err(fault("opening the device"))?;
            let properties = about(&physical);
            Ok(Self {
                executables: khr::pipeline_executable_properties::Device::new(&instance, &device),
                device,
                name: name(&physical),
                limits: properties.limits,
                class: match properties.device_type {
                    vk::PhysicalDeviceType::CPU => Class::Software,
                    vk::PhysicalDeviceType::INTEGRATED_GPU => Class::Integrated,
                    _ => Class::Discrete,
                },
            })
        }
    }

    /// What the driver tells of a kernel: names and values.
    ///
    /// # Errors
    /// [`Error::Device`] where the kernel is at fault or the driver refuses it.
    pub fn statistics(&self, wgsl: &str) -> Result<Vec<(String, f64)>> {
        let module = naga::front::wgsl::parse_str(wgsl).map_err(|e| Error::Device(e.emit_to_string(wgsl)))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
        let info = info.map_err(|e| Error::Device(e.emit_to_string(wgsl)))?;
        // As wgpu writes the kernels that it is told to trust.
        let options = spv::Options {
            lang_version: (1, 6),
            bounds_check_policies: BoundsCheckPolicies {
                index: BoundsCheckPolicy::Unchecked,
                buffer: BoundsCheckPolicy::Unchecked,
                image_load: BoundsCheckPolicy::Unchecked,
                binding_array: BoundsCheckPolicy::Unchecked,
            },
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            ..spv::Options::default()
        };
        let words = spv::write_vec(&module, &info, &options, None).map_err(|e| Error::Device(e.to_string()))?;
        let bindings: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| Some((variable.binding.as_ref()?.binding, variable.space)))
            .map(|(binding, space)| {
                let kind = match space {
                    naga::AddressSpace::Handle => vk::DescriptorType::STORAGE_IMAGE,
                    _ => vk::DescriptorType::STORAGE_BUFFER,
                };
                let stage = vk::ShaderStageFlags::COMPUTE;
                vk::DescriptorSetLayoutBinding::default().binding(binding).descriptor_type(kind).descriptor_count(1).stage_flags(stage)
            })
            .collect();
        let device = &self.device;
        // SAFETY: what is passed outlives each call; what is made is destroyed once, when nothing uses it any more.
        unsafe {
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set = [device.create_descriptor_set_layout(&create, None).map_err(fault("making a set layout"))?];
            let layout = device.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&set), None);
            let layout = layout.map_err(fault("making a pipeline layout"))?;
            let module =
                device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None).map_err(fault("making a module"))?;
            let stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE).module(module).name(c"main");
            let create =
                vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR);
            let pipelines = device
                .create_compute_pipelines(vk::PipelineCache::null(), &[create], None)
                .map_err(|(_, e)| fault("making a pipeline")(e))?;
            let asked = vk::PipelineExecutableInfoKHR::default().pipeline(pipelines[0]);
            let told = self.executables.get_pipeline_executable_statistics(&asked).map_err(fault("asking for statistics"))?;
            device.destroy_pipeline(pipelines[0], None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(set[0], None);
            Ok(told.iter().map(|s| (text(s.name_as_c_str().ok()), value(s))).collect())
        }
    }
}

fn fault(what: &str) -> impl Fn(vk::Result) -> Error {
    move |e| Error::Device(format!("{what} failed: {e}"))
}

fn text(name: Option<&CStr>) -> String {
    name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn value(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> f64 {
    // SAFETY: the field that the format names is the one that the driver wrote.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => f64::from(statistic.value.b32),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => statistic.value.i64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => statistic.value.u64 as f64,
            _ => statistic.value.f64,
        }
    }
}
