//! Readers under good files, bad files and random bytes: a refusal is a sentence, never a panic, never an allocation a header asked for.

use super::{Kind, OpenOptions, Reading, Source, Split, item_len, open};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn cifar(records: usize) -> Vec<u8> {
    (0..records).flat_map(|r| std::iter::once(r as u8 % 10).chain((0..3072).map(move |i| (i / 1024 * 50 + r) as u8))).collect()
}

fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([shade, 10, 200]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn ramp(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 % 251) as u8).collect()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self(dir)
    }
    fn text(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }
    fn open(&self, name: &str) -> crate::Result<Arc<dyn Source>> {
        open(&self.text(name), Split::Train, &OpenOptions::default())
    }
    fn refusal(&self, name: &str) -> String {
        self.open(name).err().unwrap_or_else(|| panic!("{name} was opened")).to_string()
    }
}

fn item(source: &Arc<dyn Source>, index: usize) -> Vec<f32> {
    let mut out = vec![0.0; item_len(source.dims())];
    source.read(index, &mut out).unwrap();
    out
}

#[test]
fn an_idx_folder_holds_out_a_part_and_finds_its_test_split() {
    let pixels = ramp(20 * 6);
    let files = Files::new(&[
        ("train-images-idx3-ubyte", &idx(&[20, 2, 3], &pixels)),
        ("train-labels-idx1-ubyte.gz", &gzip(&idx(&[20], &ramp(20).iter().map(|b| b % 4).collect::<Vec<_>>()))),
        ("t10k-images-idx3-ubyte.gz", &gzip(&idx(&[2, 2, 3], &pixels[..12]))),
    ]);
    let (train, valid, test) = (files.open("").unwrap(), files.open(":valid").unwrap(), files.open(":test").unwrap());
    assert_eq!((train.len(), valid.len(), test.len(), files.open(":all").unwrap().len()), (18, 2, 2, 20));
    assert_eq!((train.dims(), train.kind(), train.classes(), test.classes()), ([2, 3, 1], Kind::Pixels, 4, 0));
    let whole = files.open(":all").unwrap();
    let known = |source: &Arc<dyn Source>| (0..source.len()).map(|i| (item(source, i), source.label(i))).collect::<Vec<_>>();
    let (all, kept, held) = (known(&whole), known(&train), known(&valid));
    assert!(all.iter().all(|one| kept.contains(one) != held.contains(one)), "every item is in one of both");
    assert_eq!(known(&files.open(":valid").unwrap()), held, "and in the same on every call");
    assert!(train.read(18, &mut [0.0; 6]).is_err());
    assert!(train.read(0, &mut [0.0; 5]).is_err());
}

#[test]
fn bits_are_binary_and_named_splits_are_not_cut() {
    let bits: Vec<u8> = (0..40).map(|i| u8::from(i % 3 == 0)).collect();
    let of = |n: u32| gzip(&idx(&[n, 2, 2], &bits[..4 * n as usize]));
    let files = Files::new(&[
        ("b_train-images-idx3-ubyte.gz", &of(10)),
        ("b_valid-images-idx3-ubyte.gz", &of(3)),
        ("b_test-images-idx3-ubyte.gz", &of(4)),
    ]);
    for (split, len) in [("", 10), (":valid", 3), (":test", 4)] {
        let source = files.open(split).unwrap();
        assert_eq!((source.len(), source.kind(), source.classes()), (len, Kind::Binary, 0));
        assert_eq!(item(&source, 0), [255.0, 0.0, 0.0, 255.0]);
    }
    // By itself a file is training data, whatever it is called.
    assert_eq!(files.open("b_test-images-idx3-ubyte.gz:all").unwrap().len(), 4);
    assert_eq!(files.open("b_test-images-idx3-ubyte.gz").unwrap().len(), 3);
    assert!(files.refusal("b_test-images-idx3-ubyte.gz:test").contains("has no test split"));
}

#[test]
fn npy_and_cifar_items_are_channels_last() {
    let data = ramp(10 * 2 * 2 * 3);
    let files =
        Files::new(&[("a.npy", &npy("|u1", "(10, 2, 2, 3)", &data)), ("c/data_batch_1.bin", &cifar(3)), ("c/data_batch_2.bin", &cifar(7))]);
    let npy = files.open("a.npy").unwrap();
    assert_eq!((npy.len(), npy.dims()), (9, [2, 2, 3]));
    assert_eq!(item(&files.open("a.npy:all").unwrap(), 8), data[96..108].iter().map(|&b| f32::from(b)).collect::<Vec<_>>());
    let cifar = files.open("c:all").unwrap();
    assert_eq!((cifar.len(), cifar.dims(), cifar.label(5)), (10, [32, 32, 3], Some(2)));
    assert_eq!(item(&cifar, 5)[3..6], [2.0, 52.0, 102.0]);
    for source in ["a.npy:test", "c:test"] {
        assert!(files.open(source).is_err(), "{source}");
    }
}

#[test]
fn image_folders_have_classes_and_scale_when_asked() {
    let pictures: Vec<(String, Vec<u8>)> =
        (0..10).map(|i| (format!("{}/{i}.png", if i < 5 { "cats" } else { "dogs" }), png(4, 3, i * 20))).collect();
    let mut list: Vec<(&str, &[u8])> = pictures.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let files = Files::new(&list);
    let (train, valid) = (files.open("").unwrap(), files.open(":valid").unwrap());
    assert_eq!((train.len(), train.dims(), train.class_names()), (9, [3, 4, 3], vec!["cats".into(), "dogs".into()]));
    assert_eq!((valid.len(), valid.class_names()), (1, train.class_names()));
    let whole = files.open(":all").unwrap();
    assert_eq!((whole.label(4), whole.label(5), &item(&whole, 9)[..3]), (Some(0), Some(1), &[180.0, 10.0, 200.0][..]));
    assert!(files.refusal(":test").contains("has no test split"));
    let larger = png(9, 9, 0);
    list.push(("cats/z.png", &larger));
    let files = Files::new(&list);
    let sentence = files.refusal(":all");
    assert!(sentence.contains("9×9") && sentence.contains("3×4") && sentence.contains("--set size="), "{sentence}");
    let options = OpenOptions { reading: Reading { size: Some([8, 8]), ..Reading::default() }, limit: Some(7), ..OpenOptions::default() };
    let scaled = open(&files.text(":all"), Split::Train, &options).unwrap();
    assert_eq!((scaled.len(), scaled.dims(), item(&scaled, 0).len()), (7, [8, 8, 3], 192));
}

#[test]
fn what_is_missing_torn_or_foreign_is_refused_with_its_reason() {
    let good = idx(&[5, 2, 2], &ramp(20));
    let packed = gzip(&good);
    let huge = idx(&[u32::MAX, u32::MAX, 2], &[1; 9]);
    let vast = idx(&[u32::MAX, 1000, 1], &[1; 9]);
    let zeros = gzip(&vec![0; 4_000_000]);
    let (one, flat) = (npy("<c8", "(1, 2, 2)", &[0; 32]), npy("|u1", "(2, 2)", &[0; 4]));
    let (short, over) = (npy("|u1", "(9, 9, 9)", &[7; 9]), npy("|u1", "(18446744073709551615, 9, 9)", &[7; 9]));
    let labels = idx(&[4], &[0; 4]);
    let cases: &[(&str, &[u8], &str)] = &[
        ("a/images-idx3-ubyte", b"", "is empty"),
        ("b/images-idx3-ubyte", &good[..good.len() - 1], "holds only 19"),
        ("c/images-idx3-ubyte.gz", &packed[..packed.len() / 2], "torn"),
        ("d/images-idx3-ubyte", b"\x89PNG....", "not an IDX file"),
        ("e/images-idx3-ubyte", &huge, "more than any memory"),
        ("f/images-idx3-ubyte", &vast, "holds only 9"),
        ("g/images-idx3-ubyte.gz", &zeros, "not an IDX file"),
        ("h/images-idx3-ubyte", &idx(&[0, 2, 2], &[]), "holds no images"),
        ("i/images-idx3-ubyte", &labels, "dimensions"),
        ("k.npy", b"", "is empty"),
        ("l.npy", b"PK\x03\x04 this is no array", "not a .npy file"),
        ("m.npy", &one, "<c8"),
        ("n.npy", &flat, "N×H×W"),
        ("o.npy", &short, "holds 9"),
        ("p.npy", &over, "any file"),
        ("q/data_batch_1.bin", b"", "is empty"),
        ("r/data_batch_1.bin", &[0; 3072], "whole number"),
        ("s/data_batch_1.bin", &[77; 3073], "label 77"),
        ("t/x.png", b"", "is empty"),
        ("u/x.png", b"no picture at all", "no image that can be decoded"),
        ("v/readme.txt", b"hello", "no PNG, JPEG, WebP, BMP, TIFF or GIF image"),
        ("w.dat", b"hello", "no file of a known form"),
    ];
    for (name, bytes, reason) in cases {
        let files = Files::new(&[(name, bytes)]);
        let source = if name.contains('/') { &name[..1] } else { name };
        let sentence = files.refusal(source);
        assert!(sentence.contains(reason), "{name}: {sentence}");
    }
    let files = Files::new(&[("images-idx3-ubyte", &good), ("labels-idx1-ubyte", &labels)]);
    assert!(files.refusal("").contains("holds 4 labels but"));
    assert!(files.refusal(":tset").contains("no split `tset`"));
    assert!(files.refusal("nothing").contains("builtin:digits"));
    assert!(open("builtin:cats", Split::Train, &OpenOptions::default()).err().unwrap().to_string().contains("builtin:faces"));
}

/// Opens a file as each reader would, and reads all of it where it opens.
fn try_all(bytes: &[u8], names: &[&str]) {
    for name in names {
        let files = Files::new(&[(name, bytes)]);
        for split in [Split::Train, Split::All] {
            let target = Path::new(name).parent().map_or("", |p| p.to_str().unwrap_or(""));
            let target = if target.is_empty() { name } else { target };
            if let Ok(source) = open(&files.text(target), split, &OpenOptions::default()) {
                for index in 0..source.len().min(8) {
                    let mut out = vec![0.0; item_len(source.dims())];
                    let _ = source.read(index, &mut out);
                }
            }
        }
    }
}

fn mutated(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = valid.len();
    let edits = prop::collection::vec((0..len.min(800), any::<u8>()), 0..6);
    (edits, prop_oneof![3 => Just(len), 1 => 0..len], prop::collection::vec(any::<u8>(), 0..4)).prop_map(move |(edits, cut, tail)| {
        let mut bytes = valid.clone();
        edits.iter().for_each(|&(at, byte)| bytes[at] = byte);
        bytes.truncate(cut);
        bytes.extend(tail);
        bytes
    })
}

/// Inputs a reader: few within the tests, as many as `scripts/fuzz` asks for.
fn inputs() -> ProptestConfig {
    let cases = std::env::var("KILN_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn picture(format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 20, y as u8 * 30, 200]));
    image::DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn npz() -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in [("x.npy", npy("<f4", "(5, 2, 2)", &[0; 80])), ("y.npy", npy("<i8", "(5,)", &[0; 40]))] {
        archive.start_file(name, packed).unwrap();
        archive.write_all(&bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Two pictures and an IDX file, without and with a folder around them.
fn archived(pack: impl Fn(&[(&str, Vec<u8>)]) -> Vec<u8>, images: bool) -> Vec<u8> {
    let pictures = [("a/1.png", png(3, 2, 9)), ("b/2.png", png(3, 2, 99))];
    let arrays =
        [("d/train-images-idx3-ubyte.gz", gzip(&idx(&[5, 2, 2], &ramp(20)))), ("d/train-labels-idx1-ubyte", idx(&[5], &[0, 1, 0, 1, 0]))];
    pack(if images { &pictures } else { &arrays })
}

fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        archive.start_file(*name, packed).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn tarred(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

fn amat() -> Vec<u8> {
    (0..6).flat_map(|row| format!("0 1.0 {:.2} 0.5 {}\n", f64::from(row) / 10.0, row % 3).into_bytes()).collect()
}

proptest! {
    #![proptest_config(inputs())]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let arrays = ["x-images-idx3-ubyte", "x-images-idx3-ubyte.gz", "x.npy", "x.npz", "d/data_batch_1.bin"];
        try_all(&bytes, &arrays);
        try_all(&bytes, &["x.zip", "x.tar", "x.tgz", "x.amat", "x.amat.gz"]);
        try_all(&bytes, &["d/x.png", "d/x.jpg", "d/x.webp", "d/x.gif", "d/x.bmp", "d/x.tiff"]);
    }

    #[test]
    fn mutated_idx_never_panics(bytes in mutated(idx(&[5, 2, 2], &ramp(20)))) {
        try_all(&bytes, &["x-images-idx3-ubyte"]);
    }

    #[test]
    fn mutated_gzip_never_panics(bytes in mutated(gzip(&idx(&[5, 2, 2], &ramp(20))))) {
        try_all(&bytes, &["x-images-idx3-ubyte.gz"]);
    }

    #[test]
    fn mutated_npy_never_panics(bytes in mutated(npy("|u1", "(5, 2, 2)", &ramp(20)))) {
        try_all(&bytes, &["x.npy"]);
    }

    #[test]
    fn mutated_npy_of_floats_never_panics(bytes in mutated(npy("<f4", "(5, 2, 2)", &[0; 80]))) {
        try_all(&bytes, &["x.npy"]);
    }

    #[test]
    fn mutated_npz_never_panics(bytes in mutated(npz())) {
        try_all(&bytes, &["x.npz"]);
    }

    #[test]
    fn mutated_zip_never_panics(bytes in mutated(archived(zipped, true)), other in mutated(archived(zipped, false))) {
        try_all(&bytes, &["x.zip"]);
        try_all(&other, &["x.zip"]);
    }

    #[test]
    fn mutated_tar_never_panics(bytes in mutated(archived(tarred, true)), other in mutated(archived(tarred, false))) {
        try_all(&bytes, &["x.tar"]);
        try_all(&other, &["x.tar"]);
    }

    #[test]
    fn mutated_gzipped_tar_never_panics(bytes in mutated(gzip(&archived(tarred, true)))) {
        try_all(&bytes, &["x.tgz"]);
    }

    #[test]
    fn mutated_amat_never_panics(bytes in mutated(amat()), packed in mutated(gzip(&amat()))) {
        try_all(&bytes, &["x.amat"]);
        try_all(&packed, &["x.amat.gz"]);
    }

    #[test]
    fn mutated_cifar_never_panics(bytes in mutated(cifar(2))) {
        try_all(&bytes, &["d/data_batch_1.bin"]);
    }

    #[test]
    fn mutated_png_never_panics(bytes in mutated(picture(image::ImageFormat::Png))) {
        try_all(&bytes, &["d/x.png"]);
    }

    #[test]
    fn mutated_jpeg_never_panics(bytes in mutated(picture(image::ImageFormat::Jpeg))) {
        try_all(&bytes, &["d/x.jpg"]);
    }

    #[test]
    fn mutated_webp_never_panics(bytes in mutated(picture(image::ImageFormat::WebP))) {
        try_all(&bytes, &["d/x.webp"]);
    }

    #[test]
    fn mutated_gif_never_panics(bytes in mutated(picture(image::ImageFormat::Gif))) {
        try_all(&bytes, &["d/x.gif"]);
    }

    #[test]
    fn mutated_bmp_never_panics(bytes in mutated(picture(image::ImageFormat::Bmp))) {
        try_all(&bytes, &["d/x.bmp"]);
    }

    #[test]
    fn mutated_tiff_never_panics(bytes in mutated(picture(image::ImageFormat::Tiff))) {
        try_all(&bytes, &["d/x.tiff"]);
    }
}
