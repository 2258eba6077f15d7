//! A device and its queue, without bounds checks that kernels do not need.

use crate::error::{Error, Result};

/// Opens an adapter. Unless `checked`, a Vulkan device is made without robust buffer access: with it, drivers guard every load and some
/// split a load of four numbers into four.
#[cfg_attr(any(target_vendor = "apple", target_family = "wasm"), allow(unused_variables))] // Metal has no such checks, a browser no such choice
pub(super) async fn device(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    checked: bool,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    #[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
    if !checked && let Some(opened) = vulkan::device(adapter, descriptor) {
        return opened;
    }
    adapter.request_device(descriptor).await.map_err(|e| refused(adapter, &e))
}

fn refused(adapter: &wgpu::Adapter, reason: &dyn std::fmt::Display) -> Error {
    Error::Device(format!("{} does not open: {reason}", adapter.get_info().name))
}

#[cfg(not(any(target_vendor = "apple", target_family = "wasm")))]
mod vulkan {
    use ash::vk;
    use wgpu::hal::api::Vulkan;

    use super::refused;
    use crate::error::Result;

    /// A Vulkan device as wgpu would make it, but for the checks; `None` for another backend.
    pub(super) fn device(adapter: &wgpu::Adapter, descriptor: &wgpu::DeviceDescriptor<'_>) -> Option<Result<(wgpu::Device, wgpu::Queue)>> {
        // SAFETY: the adapter is only asked and opened, not destroyed.
        let inner = unsafe { adapter.as_hal::<Vulkan>() }?;
        let extensions = inner.required_device_extensions(descriptor.required_features);
        let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
        let mut features = inner.physical_device_features(&extensions, descriptor.required_features);
        // The family that wgpu takes, which every driver must give compute.
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let create = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
        let create = features.add_to_device_create(create);
        // SAFETY: `add_to_device_create` pointed it at features that live as long as `features`.
        let mut core = unsafe { create.p_enabled_features.as_ref() }.copied().unwrap_or_default();
        core.robust_buffer_access = vk::FALSE;
        let create = create.enabled_features(&core);
        // SAFETY: the chain was made of `features`, which `create` has borrowed to be changed and which nobody else reads now.
        unsafe { unguard(create.p_next.cast_mut().cast()) };
        let instance = inner.shared_instance().raw_instance();
        // SAFETY: what `create` points at outlives the call. Of the features that wgpu asks for only the bounds checks are missing, and
        // kiln's kernels access nothing out of bounds: indices are clamped where shapes do not keep them in range.
        let raw = unsafe { instance.create_device(inner.raw_physical_device(), &create, None) };
        let opened = raw.map_err(|e| refused(adapter, &e)).and_then(|raw| {
            // SAFETY: it was made from this adapter with those extensions and features and family 0, and wgpu takes it over.
            let open = unsafe {
                inner.device_from_raw(
                    raw,
                    None,
                    &extensions,
                    descriptor.required_features,
                    &descriptor.required_limits,
                    &descriptor.memory_hints,
                    0,
                    0,
                )
            };
            let open = open.map_err(|e| refused(adapter, &e))?;
            // SAFETY: the open device is of this adapter and has the features of the descriptor.
            unsafe { adapter.create_device_from_hal::<Vulkan>(open, descriptor) }.map_err(|e| refused(adapter, &e))
        });
        Some(opened)
    }

    /// Turns off bounds checks in a chain of features.
    ///
    /// # Safety
    /// Each link must be null or point at a structure of the type that it names, which nothing else borrows meanwhile.
    unsafe fn unguard(mut link: *mut vk::BaseOutStructure<'_>) {
        // SAFETY: the caller's promise.
        while let Some(base) = unsafe { link.as_mut() } {
            if base.s_type == vk::StructureType::PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT {
                // SAFETY: as above.
                let robust = unsafe { &mut *link.cast::<vk::PhysicalDeviceRobustness2FeaturesEXT<'_>>() };
                robust.robust_buffer_access2 = vk::FALSE;
                robust.robust_image_access2 = vk::FALSE;
            }
            link = base.p_next;
        }
    }
}
