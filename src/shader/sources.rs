//! The WGSL files under `shaders/`, by name.

/// The text of a shader file, by its path under `shaders/` without the ending.
pub(super) fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// A digest of the text of all kernels (FNV-1a, 64 bits, in hexadecimal): it tells one set from another, and guards against nothing.
pub fn kernels_digest() -> String {
    let bytes = SOURCES.iter().flat_map(|(name, text)| name.bytes().chain(text.bytes()));
    let digest = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{digest:016x}")
}

const SOURCES: &[(&str, &str)] = &[
    ("attention", include_str!("../../shaders/attention.wgsl")),
    ("ceiling", include_str!("../../shaders/ceiling.wgsl")),
    ("concat_elu", include_str!("../../shaders/concat_elu.wgsl")),
    ("conv", include_str!("../../shaders/conv.wgsl")),
    ("conv_direct", include_str!("../../shaders/conv_direct.wgsl")),
    ("conv_dot", include_str!("../../shaders/conv_dot.wgsl")),
    ("conv_matrix", include_str!("../../shaders/conv_matrix.wgsl")),
    ("conv_parts", include_str!("../../shaders/conv_parts.wgsl")),
    ("conv_texture", include_str!("../../shaders/conv_texture.wgsl")),
    ("conv_weight", include_str!("../../shaders/conv_weight.wgsl")),
    ("conv_weight_direct", include_str!("../../shaders/conv_weight_direct.wgsl")),
    ("conv_weight_matrix", include_str!("../../shaders/conv_weight_matrix.wgsl")),
    ("conv_weight_texture", include_str!("../../shaders/conv_weight_texture.wgsl")),
    ("copy", include_str!("../../shaders/copy.wgsl")),
    ("gate", include_str!("../../shaders/gate.wgsl")),
    ("group_norm", include_str!("../../shaders/group_norm.wgsl")),
    ("loss_scale", include_str!("../../shaders/loss_scale.wgsl")),
    ("map", include_str!("../../shaders/map.wgsl")),
    ("matrix_proof", include_str!("../../shaders/matrix_proof.wgsl")),
    ("mixture", include_str!("../../shaders/mixture.wgsl")),
    ("pack", include_str!("../../shaders/pack.wgsl")),
    ("probe", include_str!("../../shaders/probe.wgsl")),
    ("product", include_str!("../../shaders/product.wgsl")),
    ("raster", include_str!("../../shaders/raster.wgsl")),
    ("raster_bernoulli", include_str!("../../shaders/raster_bernoulli.wgsl")),
    ("raster_categorical", include_str!("../../shaders/raster_categorical.wgsl")),
    ("raster_conv", include_str!("../../shaders/raster_conv.wgsl")),
    ("raster_halves", include_str!("../../shaders/raster_halves.wgsl")),
    ("raster_join", include_str!("../../shaders/raster_join.wgsl")),
    ("raster_map", include_str!("../../shaders/raster_map.wgsl")),
    ("raster_gaussian", include_str!("../../shaders/raster_gaussian.wgsl")),
    ("raster_mixture", include_str!("../../shaders/raster_mixture.wgsl")),
    ("raster_scan", include_str!("../../shaders/raster_scan.wgsl")),
    ("reduce", include_str!("../../shaders/reduce.wgsl")),
    ("scan", include_str!("../../shaders/scan.wgsl")),
    ("scan_adjoint", include_str!("../../shaders/scan_adjoint.wgsl")),
    ("scan_adjoint_step", include_str!("../../shaders/scan_adjoint_step.wgsl")),
    ("scan_cells", include_str!("../../shaders/scan_cells.wgsl")),
    ("scan_gates", include_str!("../../shaders/scan_gates.wgsl")),
    ("scan_initial", include_str!("../../shaders/scan_initial.wgsl")),
    ("scan_step", include_str!("../../shaders/scan_step.wgsl")),
    ("scan_units", include_str!("../../shaders/scan_units.wgsl")),
    ("update", include_str!("../../shaders/update.wgsl")),
    ("shared/conv_fetch", include_str!("../../shaders/shared/conv_fetch.wgsl")),
    ("shared/conv_operands", include_str!("../../shaders/shared/conv_operands.wgsl")),
    ("shared/conv_state", include_str!("../../shaders/shared/conv_state.wgsl")),
    ("shared/conv_weight_fetch", include_str!("../../shaders/shared/conv_weight_fetch.wgsl")),
    ("shared/conv_weight_state", include_str!("../../shaders/shared/conv_weight_state.wgsl")),
    ("shared/finite", include_str!("../../shaders/shared/finite.wgsl")),
    ("shared/functions", include_str!("../../shaders/shared/functions.wgsl")),
    ("shared/gather", include_str!("../../shaders/shared/gather.wgsl")),
    ("shared/matrix_multiply", include_str!("../../shaders/shared/matrix_multiply.wgsl")),
    ("shared/matrix_tiles", include_str!("../../shaders/shared/matrix_tiles.wgsl")),
    ("shared/mixture", include_str!("../../shaders/shared/mixture.wgsl")),
    ("shared/philox", include_str!("../../shaders/shared/philox.wgsl")),
    ("shared/scan", include_str!("../../shaders/shared/scan.wgsl")),
    ("shared/scan_gating", include_str!("../../shaders/shared/scan_gating.wgsl")),
    ("shared/scan_walk", include_str!("../../shaders/shared/scan_walk.wgsl")),
    ("shared/scan_cell_adjoint", include_str!("../../shaders/shared/scan_cell_adjoint.wgsl")),
    ("shared/step", include_str!("../../shaders/shared/step.wgsl")),
    ("shared/store", include_str!("../../shaders/shared/store.wgsl")),
    ("shared/texels", include_str!("../../shaders/shared/texels.wgsl")),
];
