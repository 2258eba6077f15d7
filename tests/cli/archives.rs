//! Archives, patterns of names and rows of text: what lies in them is read as if it lay in a folder, or refused in a sentence.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use kiln::data::{self, OpenOptions, Reading, Source, Split, item_len};

use crate::program::{Place, Ran, idx, noise, png};

fn train(place: &Place, data: &str, words: &str) -> Ran {
    let _ = std::fs::remove_dir_all(place.path("run"));
    let small = "--set form=mlp --set hidden=4 --set latent=2 --steps 1 --batch 1 --set sample_every=0 --out run";
    place.kiln(&format!("train autoencoder --data {data} {small} {words}"))
}

/// Names, and the bytes of each.
type Files = Vec<(String, Vec<u8>)>;

fn zipped(files: &Files) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        archive.start_file(name, packed).expect("an entry");
        archive.write_all(bytes).expect("written");
    }
    archive.finish().expect("an archive").into_inner()
}

fn tarred(files: &Files) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).expect("an entry");
    }
    archive.into_inner().expect("an archive")
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

/// Every item with its class, and what the split holds.
fn seen(place: &Place, source: &str, split: Split) -> Vec<(Vec<f32>, Option<String>)> {
    let options = OpenOptions { reading: Reading { size: Some([4, 4]), ..Reading::default() }, ..OpenOptions::default() };
    let text = place.path(source);
    let source = data::open(text.to_str().expect("UTF-8"), split, &options).expect("opens");
    let names = source.class_names();
    let read = |index: usize| {
        let mut item = vec![0.0; item_len(source.dims())];
        source.read(index, &mut item).expect("reads");
        (item, source.label(index).map(|label| names[label as usize].clone()))
    };
    (0..source.len()).map(read).collect()
}

/// Writes the same files as a folder and as each kind of archive, within one folder more.
fn everywhere(place: &Place, files: &Files) -> [&'static str; 5] {
    files.iter().for_each(|(name, bytes)| place.write(&format!("plain/{name}"), bytes));
    let deeper: Files = files.iter().map(|(name, bytes)| (format!("set/{name}"), bytes.clone())).collect();
    place.write("a.zip", &zipped(files));
    place.write("b.ZIP", &zipped(&deeper));
    place.write("c.tar", &tarred(&deeper));
    place.write("d.tar.gz", &gzipped(&tarred(files)));
    place.write("e.tgz", &gzipped(&tarred(&deeper)));
    ["a.zip", "b.ZIP", "c.tar", "d.tar.gz", "e.tgz"]
}

#[test]
fn an_archive_gives_what_its_folder_gives() {
    let place = Place::new();
    let pictures: Files = (0..12).map(|i| (format!("{}/{i}.png", if i % 3 == 0 { "cats" } else { "dogs" }), png(5, 4, i * 20))).collect();
    for archive in everywhere(&place, &pictures) {
        for split in [Split::All, Split::Train, Split::Valid] {
            assert_eq!(seen(&place, archive, split), seen(&place, "plain", split), "{archive}:{split}");
        }
    }
    // One digest: a run goes on where its archive was unpacked.
    train(&place, "a.zip:all", "-q").ok();
    place.kiln("train --resume run --data plain --steps 2 -q").ok();
    place.kiln("encode run --data e.tgz:all --out codes.npy -q").ok();
    assert_eq!(place.array("codes.npy").0, [12, 2]);
}

#[test]
fn splits_idx_files_and_rows_are_found_in_archives() {
    let parts: [Files; 3] = [
        (0..6).map(|i| (format!("{}/{}/{i}.png", ["train", "test"][i as usize / 4], i % 2), png(4, 4, i * 30))).collect(),
        vec![
            ("train-images-idx3-ubyte.gz".into(), gzipped(&idx(&[9, 4, 4], &noise(144, 256)))),
            ("train-labels-idx1-ubyte".into(), idx(&[9], &noise(9, 3))),
            ("t10k-images-idx3-ubyte".into(), idx(&[2, 4, 4], &noise(32, 256))),
        ],
        vec![
            ("x_train.amat".into(), "0 1 1 0\n".repeat(5).into_bytes()),
            ("x_test.amat.gz".into(), gzipped(&"1 1 1 0\n".repeat(3).into_bytes())),
        ],
    ];
    for files in parts {
        let place = Place::new();
        for archive in everywhere(&place, &files) {
            for split in [Split::Train, Split::Test] {
                let found = seen(&place, archive, split);
                assert_eq!(found, seen(&place, "plain", split), "{archive}:{split}");
                assert!(found.len() > 1);
            }
        }
    }
}

#[test]
fn archives_that_are_torn_hostile_or_hold_nothing_are_refused() {
    let place = Place::new();
    let one = |name: &str, bytes: Vec<u8>| vec![(name.to_string(), bytes)];
    let zip = zipped(&one("a/b.png", png(4, 4, 1)));
    place.write("empty.zip", b"");
    place.write("torn.zip", &zip[..zip.len() - 9]);
    place.write("torn.tgz", &gzipped(&noise(9000, 256))[..4000]);
    place.write("torn.tar", &tarred(&one("b.png", noise(3000, 256)))[..2000]);
    place.write("spoiled.zip", &zipped(&one("b.png", noise(300, 256))));
    place.write("out.zip", &zipped(&one("../b.png", png(4, 4, 1))));
    place.write("nothing.tar", &tarred(&one("notes.txt", b"words".to_vec())));
    for (name, words) in [
        ("empty.zip", &["empty.zip", "is empty"][..]),
        ("torn.zip", &["torn.zip", "torn"]),
        ("torn.tgz", &["torn.tgz", "torn"]),
        ("torn.tar", &["torn.tar", "torn"]),
        ("spoiled.zip", &["spoiled.zip/b.png", "no image that can be decoded"]),
        ("out.zip", &["../b.png", "leads out of it"]),
        ("nothing.tar", &["nothing.tar", "notes.txt", "no PNG"]),
    ] {
        train(&place, &format!("{name}:all"), "-q").refused(1, words);
        assert!(!place.path("run").exists() && !place.path("b.png").exists(), "{name}");
    }
}

#[test]
fn patterns_choose_pictures_and_folders_become_classes() {
    let place = Place::new();
    for i in 0..8 {
        place.write(&format!("photos/{}/{i}.png", if i < 3 { "cats" } else { "dogs" }), &png(4, 4, i * 20));
    }
    place.write("photos/dogs/notes.txt", b"words");
    assert_eq!(seen(&place, "photos/*/*.png", Split::All), seen(&place, "photos", Split::All));
    assert_eq!(seen(&place, "photos/*", Split::All), seen(&place, "photos", Split::All));
    let dogs = seen(&place, "photos/dogs/[3-5].png", Split::All);
    assert_eq!((dogs.len(), &dogs[0].1), (3, &None));
    // What it matches is the same when the run goes on.
    train(&place, "photos/dogs/*.png:all", "-q").ok();
    place.kiln("train --resume run --steps 2 -q").ok();
    place.kiln("encode run --data photos/cats/?.png:all --out codes.npy -q").ok();
    assert_eq!(place.array("codes.npy").0, [3, 2]);
    std::fs::remove_file(place.path("photos/dogs/7.png")).expect("removed");
    place.kiln("train --resume run --steps 3 -q").refused(2, &["4 items", "5"]);
    train(&place, "photos/*.jpg", "-q").refused(2, &["nothing matches", "photos/*.jpg"]);
    train(&place, "photos/[", "-q").refused(2, &["no pattern"]);
    train(&place, "photos/dogs/*.txt", "-q").refused(1, &["notes.txt", "no file of a known form"]);
}

#[test]
fn rows_of_text_are_pictures_with_labels_or_refused_by_their_number() {
    let place = Place::new();
    let open = |text: &str, reading: &Reading| -> std::sync::Arc<dyn Source> {
        place.write("x.amat", text.as_bytes());
        let options = OpenOptions { reading: reading.clone(), ..OpenOptions::default() };
        data::open(place.path("x.amat").to_str().expect("UTF-8"), Split::All, &options).expect("opens")
    };
    let first = |source: &dyn Source| {
        let mut item = vec![0.0; item_len(source.dims())];
        source.read(0, &mut item).expect("reads");
        item
    };
    let bits = open("0 1 1 0\r\n\n1.0 0.0 0e0 1\n", &Reading::default());
    assert_eq!((bits.len(), bits.dims(), bits.kind(), bits.classes()), (2, [2, 2, 1], data::Kind::Binary, 0));
    assert_eq!(first(&*bits), [0.0, 255.0, 255.0, 0.0]);
    let named = open("0 0.2 1 0 7\n0 1 1 0.5 3\n", &Reading::default());
    assert_eq!((named.class_names(), named.label(0), first(&*named)[1]), (vec!["3".into(), "7".into()], Some(1), 51.0));
    let bytes = Reading { range: Some("0..255".parse().expect("a range")), ..Reading::default() };
    assert_eq!(first(&*open("0 77 255 1", &bytes)), [0.0, 77.0, 255.0, 1.0]);
    for (text, words) in [
        ("", &["no rows"][..]),
        ("0 1 1\n", &["row 1", "3 values", "square"]),
        ("0 1 1 0\n0 1 1 0 1\n", &["row 2", "5 values", "4"]),
        ("0 1 1 0\n\n0 1 x 0\n", &["row 3", "`x`"]),
        ("0 1 1 200\n", &["row 1", "200", "--set range="]),
        ("0 1 1 nan\n", &["row 1", "NaN"]),
        ("0 1 1 0 0.5\n", &["row 1", "label `0.5`"]),
    ] {
        place.write("x.amat", text.as_bytes());
        train(&place, "x.amat:all", "-q").refused(1, words);
    }
    place.write("x.amat.gz", &gzipped(b"0 1 1 0\n")[..20]);
    train(&place, "x.amat.gz:all", "-q").refused(1, &["x.amat.gz", "torn"]);
}
