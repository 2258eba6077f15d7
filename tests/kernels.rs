//! Portability gates: every kernel variant passes naga's validation and its SPIR-V, MSL and HLSL writers, and, where the tools are
//! installed, `spirv-val` and Tint, which are stricter.

#[path = "support/graphs/mod.rs"]
mod graphs;
mod support;
#[path = "support/variants.rs"]
mod variants;
pub use support::Bench;
use variants::variants;

use std::process::Command;

use naga::valid::{Capabilities, ValidationFlags, Validator};

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

#[test]
fn every_variant_is_portable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (spirv_val, tint) = (installed("spirv-val"), installed("tint"));
    let variants = variants();
    assert!(variants.len() > 100, "{} variants", variants.len());
    let mut with_matrices = 0;
    for (number, (text, name)) in variants.iter().enumerate() {
        let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}\n{text}", e.emit_to_string(text)));
        // Cooperative matrices are for Vulkan and Metal alone, and newer than the tools.
        let matrices = text.contains("enable wgpu_cooperative_matrix;");
        let needed = if matrices {
            Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP
        } else {
            Capabilities::empty()
        };
        let info = Validator::new(ValidationFlags::all(), needed)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{name}: {}\n{text}", e.emit_to_string(text)));

        with_matrices += usize::from(matrices);

        let options = naga::back::spv::Options { lang_version: (1, if matrices { 6 } else { 3 }), ..Default::default() };
        let words = naga::back::spv::write_vec(&module, &info, &options, None).unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
        let options = naga::back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
        naga::back::msl::write_string(&module, &info, &options, &Default::default()).unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        if matrices {
            continue;
        }
        let options = naga::back::hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let mut out = String::new();
        naga::back::hlsl::Writer::new(&mut out, &options, &Default::default())
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));

        if spirv_val {
            let file = folder.path().join(format!("{number}.spv"));
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            std::fs::write(&file, bytes).expect("write");
            check(name, text, Command::new("spirv-val").args(["--target-env", "vulkan1.2"]).arg(&file));
        }
        if tint {
            let file = folder.path().join(format!("{number}.wgsl"));
            std::fs::write(&file, text).expect("write");
            check(name, text, Command::new("tint").arg(&file).args(["--format", "wgsl", "-o"]).arg(folder.path().join("out.wgsl")));
        }
    }
    assert!(with_matrices > 10, "{with_matrices} variants with cooperative matrices");
    let merged = variants.values().filter(|name| name.starts_with("merged")).count();
    assert!(merged > 10, "{merged} merged kernels");
}

fn check(name: &str, text: &str, command: &mut Command) {
    let output = command.output().expect("the tool runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn conv_tiles_fit_the_workgroup_memory_every_adapter_has() {
    for (text, name) in variants() {
        let widths = [("vec4<f32>", 16), ("vec2<f32>", 8), ("Partial", 8), ("f16", 2), ("f32", 4)];
        let bytes: usize = text
            .lines()
            .filter_map(|l| l.strip_prefix("var<workgroup> "))
            .map(|l| {
                let width = widths.iter().find(|(ty, _)| l.contains(&format!("array<{ty}"))).map(|w| w.1);
                let count = l.rsplit(", ").next().and_then(|rest| rest.split('>').next()?.parse::<usize>().ok());
                width.zip(count).map(|(w, c)| w * c).unwrap_or_else(|| panic!("{name}: cannot read {l}"))
            })
            .sum();
        assert!(bytes <= 16 << 10, "{name}: {bytes} bytes");
    }
}

#[test]
fn a_stage_binds_no_more_than_webgpu_guarantees() {
    for (text, name) in variants() {
        let bound = |kind: &str| text.lines().filter(|line| line.starts_with("@group(0)") && line.contains(kind)).count();
        let (buffers, textures) = (bound("var<storage"), bound("texture_storage"));
        assert!(buffers + textures > 0, "{name} binds nothing that is seen here");
        assert!(buffers <= 8 && textures <= 4, "{name} binds {buffers} buffers and {textures} textures");
    }
}
