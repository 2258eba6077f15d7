//! `kiln export`.

use crate::trained;

#[test]
fn exported_weights_have_pytorchs_names_and_shapes_with_zeros_under_the_mask() {
    let place = trained();
    let said = place.kiln("export run --out w.safetensors --json").json();
    assert_eq!((&said["model"], &said["step"]), (&"pixelcnn".into(), &2.into()));
    let tensors = place.tensors("w.safetensors");
    let shapes: Vec<(&str, &[usize])> = tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect();
    let want: [(&str, &[usize]); 12] = [
        ("blocks.0.expand.bias", &[8]),
        ("blocks.0.expand.weight", &[8, 4, 1, 1]),
        ("blocks.0.masked.bias", &[4]),
        ("blocks.0.masked.weight", &[4, 4, 3, 3]),
        ("blocks.0.reduce.bias", &[4]),
        ("blocks.0.reduce.weight", &[4, 8, 1, 1]),
        ("head.0.bias", &[4]),
        ("head.0.weight", &[4, 8, 1, 1]),
        ("head.1.bias", &[1]),
        ("head.1.weight", &[1, 4, 1, 1]),
        ("input.bias", &[8]),
        ("input.weight", &[8, 1, 5, 5]),
    ];
    assert_eq!(shapes, want);
    let zeros = |name: &str, size: usize, from: usize| {
        let values: Vec<f32> = tensors[name].1.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        for kernel in values.chunks(size * size) {
            assert!(kernel[from..].iter().all(|v| *v == 0.0), "{name}: {kernel:?}");
            assert!(kernel[..from].iter().all(|v| *v != 0.0), "{name}: {kernel:?}");
        }
    };
    zeros("input.weight", 5, 12);
    zeros("blocks.0.masked.weight", 3, 5);
    place.kiln("export run --out a.safetensors --average").ok();
    assert_ne!(place.tensors("a.safetensors"), tensors, "the averaged weights are others");
    let stored = place.tensors("run/checkpoint.safetensors");
    for (name, tensor) in place.tensors("a.safetensors") {
        assert_eq!(stored[&format!("ema.{name}")], tensor, "{name}");
        assert_eq!(stored[&name], tensors[&name], "{name}");
    }
    place.train("plain", "--steps 1").ok();
    place.kiln("export plain --out b.safetensors --average").refused(2, &["plain", "ema"]);
    assert!(!place.path("b.safetensors").exists());
}
