//! Files of weights that are spoiled, or made to do harm: a refusal is a sentence, never a panic, never an allocation that a file asked for.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::file::Weights;
use super::pickle;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name);
    std::fs::read(path).expect("a fixture")
}

/// Reads a file and every tensor in it.
fn read(bytes: Vec<u8>) -> crate::Result<Vec<Vec<f32>>> {
    let weights = Weights::of(Path::new("spoiled.pt"), bytes, None)?;
    let names: Vec<String> = weights.names().map(String::from).collect();
    names.iter().map(|name| weights.values(name)).collect()
}

const FILES: [&str; 4] = ["vae.pt", "netD.pth", "pixelcnn.pt", "unet/diffusion_pytorch_model.safetensors"];

#[test]
fn the_fixtures_are_read_and_what_is_cut_off_is_refused() {
    for name in FILES {
        let whole = fixture(name);
        let read_whole = read(whole.clone());
        // Only netD.pth counts batches, in whole numbers.
        assert_eq!(read_whole.is_ok(), name != "netD.pth", "{name}");
        for part in [1, 3, 5, 7] {
            let said = read(whole[..whole.len() * part / 8].to_vec()).expect_err(name).to_string();
            assert!(said.starts_with("spoiled.pt: ") && said.len() > 30, "{said}");
        }
    }
}

/// A pickle of `torch.save`'s protocol.
fn pickled(body: &[u8]) -> Vec<u8> {
    [&[0x80, 2][..], body, b"."].concat()
}

#[test]
fn what_would_run_is_refused_by_its_name() {
    for (body, words) in [
        (&b"cos\nsystem\nX\x02\0\0\0ls\x85R"[..], "os.system"),
        (b"c__builtin__\neval\n(X\x01\0\0\0xtR", "__builtin__.eval"),
        (b"X\x02\0\0\0osX\x06\0\0\0system\x93", "os.system"),
        (b"ctorch.nn.modules.linear\nLinear\n)\x81", "torch.nn.modules.linear.Linear"),
        // What makes an object of a class, known or not, is no opcode here.
        (b"ccollections\nOrderedDict\n)\x81", "0x81"),
        (b"(ios\nsystem\n", "0x69"),
    ] {
        let said = pickle::read(&pickled(body)).expect_err(words);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn numbers_of_a_pickle_are_read_with_their_signs() {
    for (body, value) in [
        (&b"K\xff"[..], 255),
        (b"M\x01\x02", 513),
        (b"J\xfe\xff\xff\xff", -2),
        (b"\x8a\x01\xff", -1),
        (b"\x8a\x02\xff\x00", 255),
        (b"\x8a\x00", 0),
    ] {
        let pickle = pickle::read(&pickled(body)).expect("read");
        assert_eq!(*pickle.root(), pickle::Value::Int(value), "{body:?}");
    }
}

#[test]
fn a_tensor_cannot_ask_for_more_than_is_stored() {
    // Ten tensors, each of a storage of four numbers, by sizes and strides.
    let tensor = |sizes: &[u8], strides: &[u8], offset: u8| {
        let list = |values: &[u8]| [b"(", &values.iter().flat_map(|v| [b'K', *v]).collect::<Vec<_>>()[..], b"t"].concat();
        let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
        let made =
            [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], storage, &[b'K', offset], &list(sizes), &list(strides), b"\x89}tR"].concat();
        pickled(&[&b"}X\x01\0\0\0w"[..], &made, b"s"].concat())
    };
    let file = |pickle: Vec<u8>| {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in [("w/data.pkl", &pickle[..]), ("w/data/0", &[0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64])] {
            archive.start_file(name, stored).expect("begun");
            std::io::Write::write_all(&mut archive, bytes).expect("written");
        }
        archive.finish().expect("an archive").into_inner()
    };
    assert_eq!(read(file(tensor(&[2, 2], &[2, 1], 0))).expect("read"), [[1.0, 2.0, 3.0, 4.0]]);
    assert_eq!(read(file(tensor(&[2, 2], &[1, 2], 0))).expect("a transposed one"), [[1.0, 3.0, 2.0, 4.0]]);
    assert_eq!(read(file(tensor(&[3], &[1], 1))).expect("a part"), [[2.0, 3.0, 4.0]]);
    assert_eq!(read(file(tensor(&[], &[], 3))).expect("a single number"), [[4.0]]);
    for (sizes, strides, offset) in [
        (&[4][..], &[2][..], 0),
        (&[4], &[1], 1),
        (&[255, 255, 255, 255], &[0, 0, 0, 0], 0),
        (&[5], &[0], 0),
        (&[1], &[1], 4),
        (&[2, 2], &[1], 0),
    ] {
        let said = read(file(tensor(sizes, strides, offset))).expect_err("refused").to_string();
        assert!(said.contains("beyond what is stored"), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn spoiled_files_are_read_or_refused(which in 0usize..4, hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = fixture(FILES[which]);
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(bytes);
    }

    #[test]
    fn spoiled_dictionaries_are_read_or_refused(hits in prop::collection::vec((0usize..2048, any::<u8>()), 1..6)) {
        // The pickle lies near the beginning, and archives of it are read without looking at its checksum.
        let mut bytes = fixture("vae.pt");
        for (at, byte) in hits {
            let at = 64 + at % 900;
            bytes[at] = byte;
        }
        let _ = read(bytes);
    }

    #[test]
    fn random_opcodes_are_read_or_refused(codes in prop::collection::vec(prop::sample::select(&b"}]()t\x85\x86\x87NKMJqrhjsuaee0cQRb.XX\x8c\x94\x93\x8a\x00\x01\x02\n"[..]), 0..200)) {
        let _ = pickle::read(&codes);
    }
}
