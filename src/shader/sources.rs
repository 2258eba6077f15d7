//! The WGSL files under `shaders/`, by name.

/// The text of a shader file, by its path under `shaders/` without the ending.
pub(super) fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

const SOURCES: &[(&str, &str)] = &[
    ("ceiling", include_str!("../../shaders/ceiling.wgsl")),
    ("conv", include_str!("../../shaders/conv.wgsl")),
    ("conv_direct", include_str!("../../shaders/conv_direct.wgsl")),
    ("conv_weight", include_str!("../../shaders/conv_weight.wgsl")),
    ("conv_weight_direct", include_str!("../../shaders/conv_weight_direct.wgsl")),
    ("copy", include_str!("../../shaders/copy.wgsl")),
    ("map", include_str!("../../shaders/map.wgsl")),
    ("raster", include_str!("../../shaders/raster.wgsl")),
    ("raster_conv", include_str!("../../shaders/raster_conv.wgsl")),
    ("raster_map", include_str!("../../shaders/raster_map.wgsl")),
    ("reduce", include_str!("../../shaders/reduce.wgsl")),
    ("update", include_str!("../../shaders/update.wgsl")),
    ("shared/functions", include_str!("../../shaders/shared/functions.wgsl")),
    ("shared/gather", include_str!("../../shaders/shared/gather.wgsl")),
    ("shared/philox", include_str!("../../shaders/shared/philox.wgsl")),
    ("shared/step", include_str!("../../shaders/shared/step.wgsl")),
];
