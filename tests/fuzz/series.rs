//! Spoiled tables and sounds: a series or a sentence, and no memory that only a number in the file asked for.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use kiln::data::series::Cut;
use kiln::data::{self, OpenOptions, Reading, Split, item_len};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{SMALL, inputs, watched};

/// A table with dates, a gap and a quoted field.
fn table() -> Vec<u8> {
    let row = |k: u32| {
        let gap = if k == 7 { String::new() } else { format!("{}", f64::from(k % 5) * 0.25) };
        format!("2020-01-{:02},{gap},\"{k}\"\n", k + 1)
    };
    let rows: String = (0..28).map(row).collect();
    format!("date,level,count\n{rows}").into_bytes()
}

fn sound(channels: u16, bits: u16) -> Vec<u8> {
    let sample_format = if bits == 32 { SampleFormat::Float } else { SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::new());
    let spec = WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format };
    let mut writer = WavWriter::new(&mut bytes, spec).expect("a header");
    for sample in 0..80 * i32::from(channels) {
        if bits == 32 { writer.write_sample(sample as f32 / 400.0) } else { writer.write_sample(sample % 100) }.expect("a sample");
    }
    writer.finalize().expect("an end");
    bytes.into_inner()
}

/// Opens a file in a few ways, and reads it where it opens; a refusal is one sentence.
fn try_series(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    let source = path.to_str().expect("UTF-8");
    for words in ["window = 4", "window = 5\ngaps = 'linear'\nquantize = 'none'", "window = 3\ngaps = 'drop'\nrate = 4000\nchannel = 1"] {
        let cut = Cut::take(&mut words.parse().expect("settings")).expect("settings");
        let options = OpenOptions { reading: Reading { series: cut, ..Reading::default() }, ..OpenOptions::default() };
        for split in [Split::All, Split::Test] {
            let (opened, largest) = watched(|| data::open(source, split, &options));
            prop_assert!(largest < SMALL, "{largest} bytes at once for a file of {}", bytes.len());
            match opened {
                Ok(source) => {
                    let mut item = vec![0.0; item_len(source.dims())];
                    for index in 0..source.len().min(4) {
                        prop_assert!(source.read(index, &mut item).is_ok());
                        prop_assert!(item.iter().all(|v| v.is_finite()));
                        prop_assert!(source.dates(index).is_none_or(|(_, dates)| dates.len() == source.dims()[0]));
                    }
                }
                Err(error) => {
                    let said = error.to_string();
                    prop_assert!(said.len() > 20 && said.lines().count() == 1, "{said}");
                }
            }
        }
    }
    Ok(())
}

fn spoiled(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = prop_oneof![
        3 => any::<u8>(),
        2 => proptest::sample::select(b"0123456789.,;\t\n\r\"-+eEnN ".to_vec()),
    ];
    let edits = prop::collection::vec((any::<Index>(), edit), 0..8);
    (edits, prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)], prop::collection::vec(any::<u8>(), 0..6)).prop_map(
        move |(edits, cut, tail)| {
            let mut bytes = whole.clone();
            edits.iter().for_each(|(at, byte)| bytes[at.index(whole.len())] = *byte);
            bytes.truncate(cut.map_or(bytes.len(), |at| at.index(whole.len())));
            bytes.extend(tail);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(inputs())]

    #[test]
    fn random_bytes_as_series_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for name in ["x.csv", "x.tsv", "x.wav"] {
            try_series(name, &bytes)?;
        }
    }

    #[test]
    fn spoiled_tables_never_panic(bytes in spoiled(table())) {
        try_series("x.csv", &bytes)?;
    }

    #[test]
    fn spoiled_sounds_never_panic(bytes in prop_oneof![spoiled(sound(1, 16)), spoiled(sound(2, 8)), spoiled(sound(1, 32)), spoiled(sound(1, 24))]) {
        try_series("x.wav", &bytes)?;
    }
}
