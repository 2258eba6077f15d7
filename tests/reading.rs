//! Pictures and arrays as people have them, through the real binary: read rightly, or refused in one sentence.

#[path = "support/program.rs"]
mod program;

use std::io::Write;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use program::{Place, Ran, idx, noise, npy, png};

/// Trains a tiny autoencoder, aloud, in place of an earlier one.
fn train(place: &Place, data: &str, words: &str) -> Ran {
    let _ = std::fs::remove_dir_all(place.path("run"));
    place.kiln(&format!(
        "train autoencoder --data {data} --set form=mlp --set hidden=4 --set latent=2 --steps 2 --batch 1 --out run {words}"
    ))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn slope(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 9) as u8, (y * 9) as u8, 90]))
}

/// A `.npy` file of any type.
fn array(descr: &str, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let plain = npy(shape, bytes);
    let at = plain.windows(3).position(|w| w == b"|u1").expect("a type");
    [&plain[..at], descr.as_bytes(), &plain[at + 3..]].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Values 0..=255 of the first item of a source, as `kiln` reads it.
fn first(path: &Path) -> ([usize; 3], Vec<f32>) {
    read(path, kiln::data::Reading::default())
}

fn read(path: &Path, reading: kiln::data::Reading) -> ([usize; 3], Vec<f32>) {
    let options = kiln::data::OpenOptions { reading, ..Default::default() };
    let source = kiln::data::open(path.to_str().expect("UTF-8"), kiln::data::Split::All, &options).expect("opens");
    let mut out = vec![0.0; kiln::data::item_len(source.dims())];
    source.read(0, &mut out).expect("reads");
    (source.dims(), out)
}

#[test]
fn every_format_is_read_and_gives_the_same_pixels() {
    let place = Place::new();
    let picture = slope(6, 5);
    let right: Vec<f32> = picture.as_raw().iter().map(|&b| f32::from(b)).collect();
    for (name, format) in [
        ("a.png", ImageFormat::Png),
        ("a.BMP", ImageFormat::Bmp),
        ("a.tif", ImageFormat::Tiff),
        ("a.TIFF", ImageFormat::Tiff),
        ("a.webp", ImageFormat::WebP),
    ] {
        place.write(name, &encoded(picture.clone(), format));
        assert_eq!(first(&place.path(name)), ([5, 6, 3], right.clone()), "{name}");
    }
    place.write("a.gif", &encoded(RgbaImage::from_pixel(4, 3, Rgba([255, 0, 0, 255])), ImageFormat::Gif));
    let (dims, pixels) = first(&place.path("a.gif"));
    assert_eq!((dims, &pixels[..3]), ([3, 4, 3], &[255.0, 0.0, 0.0][..]));
    place.write("a.JPG", &encoded(GrayImage::from_pixel(8, 8, Luma([77])), ImageFormat::Jpeg));
    let (dims, pixels) = first(&place.path("a.JPG"));
    assert!(dims == [8, 8, 1] && pixels.iter().all(|v| (v - 77.0).abs() <= 1.0), "{pixels:?}");
}

#[test]
fn torn_pictures_of_every_format_are_refused_by_name_and_nothing_is_written() {
    let noisy = RgbImage::from_raw(32, 32, noise(32 * 32 * 3, 256)).expect("an image");
    for (name, format) in [
        ("torn.jpg", ImageFormat::Jpeg),
        ("torn.png", ImageFormat::Png),
        ("torn.webp", ImageFormat::WebP),
        ("torn.bmp", ImageFormat::Bmp),
        ("torn.tif", ImageFormat::Tiff),
        ("torn.gif", ImageFormat::Gif),
    ] {
        let place = Place::new();
        let whole = encoded(noisy.clone(), format);
        place.write("data/a.png", &encoded(noisy.clone(), ImageFormat::Png));
        for part in [whole.len() / 2, whole.len() * 9 / 10] {
            place.write(&format!("data/{name}"), &whole[..part]);
            let ran = train(&place, "data:all", "-q");
            assert_eq!(ran.code, Some(1), "{name} cut to {part} of {}: {}{}", whole.len(), ran.out, ran.err);
            assert!(ran.err.contains(name) && !ran.err.contains("panicked"), "{}", ran.err);
            assert!(!place.path("run").exists(), "nothing is written for {name}");
        }
    }
}

#[test]
fn pictures_are_turned_as_their_orientation_says() {
    let place = Place::new();
    // Brighter to the right as stored; orientation 6 is a quarter turn clockwise: brighter downwards as shown.
    let plain = encoded(GrayImage::from_fn(16, 8, |x, _| Luma([(x * 16) as u8])), ImageFormat::Jpeg);
    let exif = b"\xFF\xE1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    place.write("a.jpg", &[&plain[..2], exif, &plain[2..]].concat());
    let (dims, pixels) = first(&place.path("a.jpg"));
    assert_eq!(dims, [16, 8, 1]);
    assert!(pixels[15 * 8] > pixels[8 * 8] + 50.0 && pixels[8 * 8] > pixels[0] + 50.0, "{pixels:?}");
}

#[test]
fn alpha_lies_on_the_background_and_the_recipe_says_which() {
    let place = Place::new();
    place.write("data/a.png", &encoded(RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 0])), ImageFormat::Png));
    place.write("data/b.png", &encoded(RgbaImage::from_pixel(4, 4, Rgba([200, 100, 0, 255])), ImageFormat::Png));
    assert_eq!(first(&place.path("data")).1[..3], [255.0; 3]);
    let black = kiln::data::Reading { background: "black".parse().expect("a colour"), ..Default::default() };
    assert_eq!(read(&place.path("data"), black).1[..3], [0.0; 3]);
    let said = train(&place, "data:all", "").ok().err;
    assert!(said.contains("2 of 2 images have an alpha channel, laid on white"), "{said}");
    place.kiln("train autoencoder --data data:all --set background=#102030 --steps 1 --batch 1 --set form=mlp --out other -q").ok();
    assert!(String::from_utf8_lossy(&place.read("other/recipe.toml")).contains("background = \"#102030\""));
    // Grey and half clear, on white: (100 · 51 + 255 · 204) / 255.
    place.write("grey.png", &encoded(DynamicImage::ImageLumaA8(image::ImageBuffer::from_pixel(2, 2, LumaA([100, 51]))), ImageFormat::Png));
    assert_eq!(first(&place.path("grey.png")), ([2, 2, 1], vec![224.0; 4]));
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let place = Place::new();
    let deep = image::ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(4, 1, |x, _| Luma([[0u16, 257, 257 * 99, 65_535][x as usize]]));
    place.write("deep.png", &encoded(DynamicImage::ImageLuma16(deep), ImageFormat::Png));
    assert_eq!(first(&place.path("deep.png")).1, [0.0, 1.0, 99.0, 255.0]);
}

#[test]
fn what_is_passed_over_is_named_and_what_is_stray_refused() {
    let place = Place::new();
    place.write("data/a.png", &png(4, 4, 1));
    place.write("data/b.PNG", &png(4, 4, 2));
    place.write("data/c.heic", b"something");
    place.write("data/notes.txt", b"something");
    place.write("data/empty/readme.md", b"something");
    let said = train(&place, "data:all", "").ok().err;
    assert!(said.contains("passed over 2 files (c.heic, notes.txt) and 1 folder (empty)"), "{said}");
    place.write("only/c.heic", b"something");
    train(&place, "only:all", "-q").refused(1, &["no PNG, JPEG", "c.heic"]);
    place.write("data/thumbs/a.png", &png(2, 2, 1));
    train(&place, "data:all", "-q").refused(1, &["2 images", "thumbs", "one folder a class"]);
    place.write("classes/cat.png/a.png", &png(4, 4, 1));
    place.write("classes/dog/a.png", &png(4, 4, 1));
    place.kiln("train autoencoder --data classes:all --set form=mlp --steps 1 --batch 1 --out classes-run -q").ok();
    std::fs::create_dir_all(place.path("folder.png")).expect("a folder");
    train(&place, "folder.png", "-q").refused(1, &["has no PNG"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nothing", place.path("only/link.png")).expect("a link");
        train(&place, "only:all", "-q").refused(1, &["link.png"]);
        std::fs::create_dir_all(place.path("real")).expect("a folder");
        std::os::unix::fs::symlink(place.path("data/a.png"), place.path("real/link.png")).expect("a link");
        assert_eq!(first(&place.path("real")).0, [4, 4, 1]);
    }
}

#[test]
fn proportions_are_kept_unless_told_and_sizes_may_be_rectangles() {
    let place = Place::new();
    place.write("data/a.png", &encoded(slope(20, 10), ImageFormat::Png));
    place.write("data/b.png", &encoded(slope(10, 10), ImageFormat::Png));
    train(&place, "data:all", "-q").refused(1, &["10×10", "10×20", "--set size="]);
    let said = train(&place, "data:all", "--set size=8x6").ok().err;
    assert!(said.contains("2 of 2 images have other proportions than 8×6 and are cut"), "{said}");
    let recipe = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    assert!(recipe.contains("dims = [\n    8,\n    6,\n    3,\n]") && recipe.contains("fit = \"crop\""), "{recipe}");
    place.kiln("latents run --data data:all --out latents -q").ok();
    train(&place, "data:all", "-q --set fit=pad").refused(2, &["size=HxW"]);
    train(&place, "data:all", "-q --set size=8 --set fit=squash").refused(2, &["crop, pad or stretch"]);
    let grey = kiln::data::Reading { channels: Some(1), size: Some([4, 4]), ..Default::default() };
    assert_eq!(read(&place.path("data"), grey).0, [4, 4, 1]);
    // One picture is a data set.
    assert_eq!(first(&place.path("data/a.png")).0, [10, 20, 3]);
}

#[test]
fn arrays_of_any_numbers_are_read_or_say_what_they_need() {
    let place = Place::new();
    let unit: Vec<f32> = (0..16).map(|i| i as f32 / 15.0).collect();
    let bytes: Vec<f32> = (0..8).map(|i| (i as f32 / 15.0 * 255.0).round()).collect();
    place.write("unit.npy", &array("<f4", &[2, 2, 4], &floats(&unit)));
    assert_eq!(first(&place.path("unit.npy")), ([2, 4, 1], bytes.clone()));
    let said = train(&place, "unit.npy:all", "").ok().err;
    assert!(said.contains("float32 values are read as 0..1"), "{said}");
    let signed: Vec<f64> = unit.iter().map(|v| f64::from(*v) * 2.0 - 1.0).collect();
    place.write("signed.npy", &array("<f8", &[2, 2, 4], &signed.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    assert_eq!(first(&place.path("signed.npy")).1, bytes);
    let levels: Vec<u8> = (0..8u16).flat_map(|v| (v * 30).to_le_bytes()).collect();
    place.write("levels.npy", &array("<u2", &[2, 2, 2], &levels));
    assert_eq!(first(&place.path("levels.npy")).1, [0.0, 30.0, 60.0, 90.0]);
    let deep: Vec<u8> = (0..8u16).flat_map(|v| (v * 500).to_be_bytes()).collect();
    place.write("deep.npy", &array(">u2", &[2, 2, 2], &deep));
    train(&place, "deep.npy:all", "-q").refused(1, &["0 to 3500", "--set range="]);
    train(&place, "deep.npy:all", "-q --set range=0..3500").ok();
    place.write("wild.npy", &array("<f4", &[1, 2, 2], &floats(&[0.0, f32::NAN, 1.0, 0.5])));
    train(&place, "wild.npy:all", "-q").refused(1, &["no finite numbers"]);
    place.write("bits.npy", &array("|b1", &[2, 1, 2], &[0, 1, 1, 0]));
    assert_eq!(first(&place.path("bits.npy")).1, [0.0, 255.0]);
    let planes: Vec<u8> = (0..12).collect();
    place.write("planes.npy", &npy(&[1, 3, 2, 2], &planes));
    train(&place, "planes.npy:all", "-q").refused(1, &["--set layout=nchw"]);
    let nchw = kiln::data::Reading { layout: kiln::data::Layout::Nchw, ..Default::default() };
    let right = [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0];
    assert_eq!(read(&place.path("planes.npy"), nchw), ([2, 2, 3], right.to_vec()));
}

#[test]
fn labels_lie_beside_an_array_or_in_an_archive() {
    let place = Place::new();
    let images = npy(&[3, 2, 2], &noise(12, 256));
    let labels = array("<i8", &[3], &[7i64, -1, 7].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    place.write("a.npy", &images);
    place.write("a.labels.npy", &labels);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in [("x_train.npy", &images), ("y_train.npy", &labels), ("x_test.npy", &npy(&[1, 2, 2], &[9; 4]))] {
        archive.start_file(name, options).expect("an entry");
        archive.write_all(bytes).expect("written");
    }
    place.write("a.npz", &archive.finish().expect("an archive").into_inner());
    for name in ["a.npy", "a.npz"] {
        let opened = |split| kiln::data::open(place.path(name).to_str().expect("UTF-8"), split, &Default::default());
        let source = opened(kiln::data::Split::All).expect("opens");
        assert_eq!((source.len(), source.class_names()), (3, vec!["-1".to_string(), "7".into()]), "{name}");
        assert_eq!((0..3).filter_map(|i| source.label(i)).collect::<Vec<_>>(), [1, 0, 1]);
        assert_eq!(opened(kiln::data::Split::Test).map(|test| test.len()).ok(), (name == "a.npz").then_some(1));
    }
    place.write("a.labels.npy", &array("<i8", &[2], &[0; 16]));
    train(&place, "a.npy:all", "-q").refused(1, &["2 labels", "3 images"]);
    place.write("torn.npz", &place.read("a.npz")[..200]);
    train(&place, "torn.npz:all", "-q").refused(1, &["torn"]);
}

#[test]
fn what_kiln_draws_kiln_scores() {
    let place = Place::new();
    place.train("run", "--steps 2").ok();
    for out in ["folder", "array.npy"] {
        place.kiln(&format!("sample run -n 3 --out {out} -q")).ok();
        place.kiln(&format!("score run --data {out}:all --out scores.npy -q")).ok();
        assert_eq!(place.array("scores.npy").0, [3], "{out}");
    }
}

#[test]
fn a_gzip_bomb_and_a_torn_tail_are_refused() {
    let place = Place::new();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    };
    let zeros = vec![0; 10_000_000];
    place.write("more-images-idx3-ubyte.gz", &gzip(&idx(&[5, 10, 10], &zeros)));
    train(&place, "more-images-idx3-ubyte.gz", "-q").refused(1, &["holds more"]);
    place.write("lies-images-idx3-ubyte.gz", &gzip(&idx(&[4_000_000_000, 100, 100], &zeros[..1000])));
    train(&place, "lies-images-idx3-ubyte.gz", "-q").refused(1, &["more than", "gzipped bytes can hold"]);
    let mut tail = gzip(&idx(&[5, 10, 10], &noise(500, 256)));
    let at = tail.len() - 6;
    tail[at] ^= 1;
    place.write("tail-images-idx3-ubyte.gz", &tail);
    train(&place, "tail-images-idx3-ubyte.gz", "-q").refused(1, &["torn"]);
}

#[test]
fn changed_images_are_for_training_alone_and_a_resumed_run_sees_the_same() {
    let place = Place::new();
    let set = "--set flip=horizontal --set shift=2 --set crop=0.8";
    place.train("whole", &format!("--steps 6 {set}")).ok();
    place.train("parts", &format!("--steps 3 {set}")).ok();
    place.kiln("train --resume parts --steps 6 -q").ok();
    assert_eq!(place.tensors("whole/checkpoint.safetensors"), place.tensors("parts/checkpoint.safetensors"));
    place.train("plain", "--steps 6").ok();
    assert_ne!(place.tensors("whole/checkpoint.safetensors"), place.tensors("plain/checkpoint.safetensors"));
    let recipe = String::from_utf8(place.read("whole/recipe.toml")).expect("UTF-8");
    assert!(recipe.contains("flip = \"horizontal\"") && recipe.contains("shift = 2"), "{recipe}");
    let said = place.kiln("eval whole --limit 8").ok().out;
    assert!(said.contains("flip=horizontal, shift=2, crop=0.8") && said.contains("as they are"), "{said}");
    for (words, reason) in
        [("shift=28", "out of sight"), ("crop=0", "share of a side"), ("crop=1.5", "share of a side"), ("flip=up", "horizontal")]
    {
        place.train("none", &format!("--steps 1 --set {words}")).refused(2, &[reason]);
    }
}

/// A PNG file of packed rows, as its header says: bits a sample, colour type, and a palette where it needs one.
fn packed_png([width, height]: [u32; 2], [bits, colour]: [u8; 2], palette: &[u8], rows: &[&[u8]]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&body);
        file.extend(sum.sum().to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, colour, 0, 0, 0]].concat());
    if !palette.is_empty() {
        chunk(b"PLTE", palette);
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    // A 0 before each row: it is not filtered.
    rows.iter().for_each(|row| encoder.write_all(&[&[0], *row].concat()).expect("packed"));
    chunk(b"IDAT", &encoder.finish().expect("packed"));
    chunk(b"IEND", &[]);
    file
}

#[test]
fn bits_palettes_cmyk_and_animations_are_read_as_they_look() {
    let place = Place::new();
    place.write("bits.png", &packed_png([10, 2], [1, 0], &[], &[&[0b1010_0000, 0b0100_0000], &[0, 0]]));
    let (dims, pixels) = first(&place.path("bits.png"));
    assert_eq!((dims, &pixels[..10]), ([2, 10, 1], &[255.0, 0.0, 255.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 255.0][..]));
    assert_eq!(pixels[10..], [0.0; 10]);
    let palette = [[10, 20, 30], [200, 0, 0], [0, 0, 250]].concat();
    place.write("palette.png", &packed_png([3, 1], [2, 3], &palette, &[&[0b1001_0000]]));
    assert_eq!(first(&place.path("palette.png")), ([1, 3, 3], vec![0.0, 0.0, 250.0, 200.0, 0.0, 0.0, 10.0, 20.0, 30.0]));
    // A palette of greys alone is still one of colours.
    place.write("greys.png", &packed_png([2, 1], [1, 3], &[0, 0, 0, 255, 255, 255], &[&[0b0100_0000]]));
    assert_eq!(first(&place.path("greys.png")), ([1, 2, 3], vec![0.0, 0.0, 0.0, 255.0, 255.0, 255.0]));
    let lost = packed_png([3, 1], [2, 3], &palette, &[&[0b1101_0000]]);
    place.write("lost/lost.png", &lost);
    let ran = train(&place, "lost:all", "-q");
    assert!(ran.code == Some(0) || ran.code == Some(1) && ran.err.contains("lost.png"), "{:?} {}", ran.code, ran.err);
    let mut animation = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut animation);
    let frames = [[255, 0, 0, 255], [0, 255, 0, 255]].map(|colour| image::Frame::new(RgbaImage::from_pixel(4, 3, Rgba(colour))));
    encoder.encode_frames(frames).expect("encoded");
    drop(encoder);
    place.write("moving.gif", &animation);
    assert_eq!(first(&place.path("moving.gif")), ([3, 4, 3], [255.0, 0.0, 0.0].repeat(12)));
    // rgb(200, 40, 90) in four inks.
    let inks = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cmyk.jpg")).expect("a fixture");
    place.write("inks.jpg", &inks);
    let (dims, pixels) = first(&place.path("inks.jpg"));
    assert_eq!(dims, [8, 8, 3]);
    let right = [200.0, 40.0, 90.0].repeat(64);
    assert!(pixels.iter().zip(&right).all(|(seen, right)| (seen - right).abs() <= 3.0), "{:?}", &pixels[..3]);
}

#[cfg(unix)]
#[test]
fn what_only_has_the_name_of_a_picture_is_refused_or_named() {
    let place = Place::new();
    place.write("data/a.png", &png(4, 4, 1));
    std::os::unix::fs::symlink("nowhere.png", place.path("data/b.png")).expect("a link");
    train(&place, "data:all", "-q").refused(1, &["b.png"]);
    std::fs::remove_file(place.path("data/b.png")).expect("removed");
    // A folder is a class, whatever it is called, and an empty one is none.
    std::fs::create_dir(place.path("data/c.png")).expect("a folder");
    let said = train(&place, "data:all", "").ok().err;
    assert!(said.contains("c.png"), "{said}");
    // One picture by the name of a folder.
    train(&place, "data/c.png:all", "-q").refused(1, &["c.png"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_picture_whose_name_is_no_text_is_read_as_others_are() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.write("data/a.png", &png(4, 4, 1));
    place.write("data/c.png", &png(4, 4, 200));
    let name = std::ffi::OsStr::from_bytes(b"b\xff.png");
    std::fs::write(place.path("data").join(name), png(4, 4, 90)).expect("written");
    train(&place, "data:all", "-q").ok();
    let recipe = String::from_utf8(place.read("run/recipe.toml")).expect("UTF-8");
    assert!(recipe.contains("count = 3"), "{recipe}");
    place.kiln("encode run --data data:all --out codes.npy -q").ok();
    assert_eq!(place.array("codes.npy").0, [3, 2]);
    std::fs::write(place.path("data").join(name), b"torn").expect("written");
    train(&place, "data:all", "-q").refused(1, &["b\u{fffd}.png"]);
    // A class is known by its name, which a recipe could not hold.
    std::fs::remove_file(place.path("data").join(name)).expect("removed");
    let class = place.path("classes").join(std::ffi::OsStr::from_bytes(b"k\xff"));
    std::fs::create_dir_all(&class).expect("a folder");
    std::fs::write(class.join("x.png"), png(4, 4, 90)).expect("written");
    place.write("classes/plain/y.png", &png(4, 4, 10));
    train(&place, "classes:all", "-q").refused(1, &["k\u{fffd}", "rename it"]);
}
