//! Series: every form they are read in, what is settled of them, and those that are refused.

use std::f64::consts::TAU;
use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;

use crate::program::Place;

/// A table of a sine and a line with dates, each row as `row` changes it.
fn table(rows: usize, row: impl Fn(usize, String) -> String) -> Vec<u8> {
    let plain = |k: usize| format!("2020-{:02}-{:02},{:.4},{k}", k / 28 + 1, k % 28 + 1, (k as f64 / 9.0).sin());
    let body: String = (0..rows).map(|k| row(k, plain(k)) + "\n").collect();
    format!("date,sine,line\n{body}").into_bytes()
}

fn wav(spec: WavSpec, samples: impl Iterator<Item = f64>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).expect("a header");
    for sample in samples {
        match spec.sample_format {
            SampleFormat::Float => writer.write_sample(sample as f32),
            SampleFormat::Int => writer.write_sample((sample * f64::from((1u32 << (spec.bits_per_sample - 1)) - 1)).round() as i32),
        }
        .expect("a sample");
    }
    writer.finalize().expect("an end");
    bytes.into_inner()
}

fn pcm(channels: u16, bits: u16) -> WavSpec {
    let sample_format = if bits == 0 { SampleFormat::Float } else { SampleFormat::Int };
    WavSpec { channels, sample_rate: 8000, bits_per_sample: if bits == 0 { 32 } else { bits }, sample_format }
}

fn tone(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(|n| 0.7 * (TAU * n as f64 / 40.0).sin())
}

/// A `.npy` of doubles.
fn doubles(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|s| format!("{s},")).collect();
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sizes})}}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    file
}

/// A VAE reads any series, and trains in no time.
fn train(place: &Place, run: &str, words: &str) -> crate::program::Ran {
    let small = "--set form=mlp --set hidden=4 --set latent=2 --batch 2 --steps 2 --set sample_every=0";
    place.kiln(&format!("train vae --out {run} {small} {words}"))
}

fn recipe(place: &Place, run: &str) -> toml::Table {
    String::from_utf8(place.read(&format!("{run}/recipe.toml"))).expect("text").parse().expect("TOML")
}

fn settled(place: &Place, run: &str) -> toml::Value {
    recipe(place, run)["data"]["reading"]["series"].clone()
}

fn dims(place: &Place, run: &str) -> Vec<i64> {
    recipe(place, run)["data"]["dims"].as_array().expect("a list").iter().filter_map(toml::Value::as_integer).collect()
}

#[test]
fn every_form_of_series_is_cut_scaled_and_kept_in_the_recipe() {
    let place = Place::new();
    place.write("t.csv", &table(300, |_, row| row));
    place.write("semi.csv", String::from_utf8(table(300, |_, row| row)).expect("text").replace(',', ";").as_bytes());
    let line: Vec<f64> = (0..600).map(|k| (f64::from(k) / 7.0).sin() * 3.0).collect();
    place.write("one.npy", &doubles(&[600], &line));
    place.write("two.npy", &doubles(&[300, 2], &line));
    place.write("many.npy", &doubles(&[20, 10, 3], &line));
    for (name, spec) in [("w8", pcm(1, 8)), ("w16", pcm(1, 16)), ("w24", pcm(1, 24)), ("wf", pcm(1, 0))] {
        place.write(&format!("{name}.wav"), &wav(spec, tone(2000)));
    }
    place.write("stereo.wav", &wav(pcm(2, 16), tone(2000).flat_map(|v| [v, 0.1 * v])));
    let cases: [(&str, &str, &[i64]); 13] = [
        ("t.csv", "--set window=20", &[20, 1, 2]),
        ("t.csv", "--set window=20 --set overlap=10 --set columns=sine", &[20, 1, 1]),
        ("semi.csv", "--set window=20 --set columns=3", &[20, 1, 1]),
        ("one.npy", "--set window=30 --set quantize=mulaw", &[30, 1, 1]),
        ("two.npy", "--set window=20 --set quantize=none", &[20, 1, 2]),
        ("many.npy", "--set test_share=0.2", &[10, 1, 3]),
        ("w8.wav", "--set window=100", &[100, 1, 1]),
        ("w16.wav", "--set window=100", &[100, 1, 1]),
        ("w24.wav", "--set window=100", &[100, 1, 1]),
        ("wf.wav", "--set window=100 --set rate=4000", &[100, 1, 1]),
        ("stereo.wav", "--set window=100 --set channel=2", &[100, 1, 1]),
        ("builtin:pendulum", "--limit 40", &[200, 1, 5]),
        ("builtin:cartpole", "--set window=50 --set quantize=none --limit 40", &[50, 1, 6]),
    ];
    for (number, (data, words, shape)) in cases.into_iter().enumerate() {
        let run = format!("run{number}");
        train(&place, &run, &format!("--data {data} {words} -q")).ok();
        assert_eq!(dims(&place, &run), shape, "{data} {words}");
        let said = place.kiln(&format!("eval {run} --json")).json();
        assert!(said["nats"].as_f64().is_some_and(f64::is_finite), "{data}: {said}");
    }
    let names = |run: &str| settled(&place, run)["names"].to_string();
    assert_eq!((names("run0"), names("run1"), names("run2")), (r#"["sine", "line"]"#.into(), r#"["sine"]"#.into(), r#"["line"]"#.into()));
    // The line counts from 0 to 299, of which the first 240 are for training.
    let scale = settled(&place, "run0")["scaling"][1].clone();
    assert_eq!((scale["low"].as_float(), scale["high"].as_float()), (Some(0.0), Some(239.0)));
    assert_eq!(recipe(&place, "run0")["data"]["count"].as_integer(), Some(12));
    assert_eq!(recipe(&place, "run1")["data"]["count"].as_integer(), Some(23));
    assert_eq!((settled(&place, "run9")["rate"].as_integer(), settled(&place, "run7")["rate"].as_integer()), (Some(4000), Some(8000)));
    // The quieter channel was taken.
    assert!(settled(&place, "run10")["scaling"][0]["high"].as_float().is_some_and(|high| (high - 0.07).abs() < 1e-3));
    // Other data are seen in the run's own scale.
    place.write("later.csv", &table(200, |_, row| row));
    let said = place.kiln("eval run0 --data later.csv:all --json").json();
    assert_eq!(said["n"].as_i64().or(said["images"].as_i64()), Some(10), "{said}");
}

#[test]
fn gaps_are_refused_by_row_and_column_or_filled_by_a_rule() {
    let place = Place::new();
    let hole = |k: usize, row: String| if k == 4 { "2020-01-05,,4".into() } else { row };
    place.write("gaps.csv", &table(120, hole));
    train(&place, "run", "--data gaps.csv --set window=10").refused(2, &["gaps.csv", "row 6", "column sine", "gaps=linear"]);
    for (rule, word) in [("linear", "1 empty fields were filled"), ("last", "by the value before"), ("drop", "1 rows with empty fields")] {
        let ran = train(&place, rule, &format!("--data gaps.csv --set window=10 --set gaps={rule}")).ok();
        assert!(ran.err.contains(word) && ran.err.contains("read as times"), "{}", ran.err);
    }
}

#[test]
fn bad_series_are_refused_in_one_sentence_with_row_and_column() {
    let place = Place::new();
    let refused = |data: &str, words: &str, said: &[&str]| {
        train(&place, "run", &format!("--data {data} -q {words}")).refused(2, said);
        assert!(!place.path("run").exists(), "{data}: a refused run leaves a folder");
    };
    let changed =
        |name: &str, at: usize, with: &'static str| place.write(name, &table(60, |k, row| if k == at { with.into() } else { row }));
    changed("text.csv", 7, "2020-01-08,apple,7");
    refused("text.csv", "", &["text.csv", "row 9", "column sine", "apple", "columns="]);
    changed("short.csv", 3, "2020-01-04,1");
    refused("short.csv", "", &["short.csv", "row 5", "2 columns", "first row 3", "column 3"]);
    changed("nan.csv", 3, "2020-01-04,NaN,3");
    refused("nan.csv", "", &["row 5", "column sine", "NaN"]);
    changed("inf.csv", 3, "2020-01-04,1,-inf");
    refused("inf.csv", "", &["row 5", "column line", "-inf"]);
    changed("back.csv", 30, "2020-01-04,1,2");
    refused("back.csv", "", &["row 32", "column date", "2020-01-04", "sort"]);
    place.write("good.csv", &table(60, |_, row| row));
    refused("good.csv", "", &["window of 256 steps", "48 steps", "--set window=48"]);
    refused("good.csv", "--set window=8 --set columns=cosine", &["no column cosine", "sine, line"]);
    refused("good.csv", "--set window=8 --set columns=sine,2", &["sine", "twice"]);
    refused("good.csv", "--set window=8 --set channel=1", &["no .wav", "channel"]);
    refused("good.csv", "--set window=8 --set overlap=8", &["overlap=8", "window=8"]);
    place.write("flat.csv", format!("x,y\n{}", (0..60).map(|k| format!("{k},5\n")).collect::<String>()).as_bytes());
    refused("flat.csv", "--set window=8", &["column y", "one and the same value"]);
    place.write("empty.csv", b"");
    refused("empty.csv", "", &["empty.csv", "empty"]);
    place.write("names.csv", b"a,b\n");
    refused("names.csv", "", &["names.csv", "no values"]);
    place.write("latin.csv", b"a,b\n1,\xe9\n");
    refused("latin.csv", "", &["latin.csv", "row 2", "column 2", "UTF-8"]);
    let mut values = vec![0.5; 90];
    values[37] = f64::NAN;
    place.write("nan.npy", &doubles(&[3, 15, 2], &values));
    refused("nan.npy", "--set window=5", &["nan.npy", "row 4 of series 2", "column 2", "NaN"]);
    place.write("matrix.npy", &doubles(&[2, 3, 4, 5], &[0.0; 120]));
    refused("matrix.npy", "--set window=5", &["[2, 3, 4, 5]", "[N, T, C]"]);
    refused("builtin:digits", "--set window=5", &["builtin:digits", "no series", "window"]);
    refused("builtin:waves", "--set overlap=5", &["builtin:waves", "window, quantize and levels alone"]);
    refused("builtin:waves", "--set quantize=mulaw", &["builtin:waves", "entropy", "quantize=linear"]);
    place.write("stereo.wav", &wav(pcm(2, 16), tone(200)));
    refused("stereo.wav", "--set window=20", &["stereo.wav", "2 channels", "channel=1"]);
    refused("stereo.wav", "--set window=20 --set channel=3", &["2 channels", "channel=3"]);
    let mut coded = wav(pcm(1, 16), tone(200));
    coded[20] = 6; // A-law
    place.write("coded.wav", &coded);
    refused("coded.wav", "--set window=20", &["coded.wav", "codec", "PCM"]);
    place.write("torn.wav", &wav(pcm(1, 16), tone(200))[..100]);
    refused("torn.wav", "--set window=20", &["torn.wav", "torn"]);
    place.write("foreign.wav", b"no sound at all, but text");
    refused("foreign.wav", "--set window=20", &["foreign.wav", "no .wav"]);
}

#[test]
fn samples_come_in_the_units_of_the_series() {
    let place = Place::new();
    place.write("tone.wav", &wav(pcm(1, 16), tone(1000)));
    place.write("t.csv", &table(300, |_, row| row));
    train(&place, "sound", "--data tone.wav --set window=64 -q").ok();
    train(&place, "table", "--data t.csv --set window=10 -q").ok();
    place.kiln("sample sound -n 1 --out s.wav -q").ok();
    let bytes = place.read("s.wav");
    let reader = hound::WavReader::new(&bytes[..]).expect("a .wav");
    assert_eq!((reader.spec().sample_rate, reader.duration()), (8000, 64));
    place.kiln("sample sound -n 3 --out s.npy -q").ok();
    let (shape, values) = place.array("s.npy");
    assert_eq!(shape, [3, 64, 1]);
    assert!(values.iter().all(|v| v.abs() <= 0.701), "beyond the scale of the tone");
    place.kiln("sample table -n 3 --out t2.csv -q").ok();
    let text = String::from_utf8(place.read("t2.csv")).expect("text");
    assert_eq!((text.lines().next(), text.lines().count()), (Some("series,step,sine,line"), 31));
    place.kiln("sample table -n 3 --out t2.png -q").ok();
    for (words, said) in [
        ("sample table -n 1 --out x.wav", "one channel"),
        ("sample sound -n 2 --out x.wav", "one series"),
        ("sample table -n 2 --out folder", "no ending"),
    ] {
        place.kiln(words).refused(2, &[said]);
    }
    place.train("images", "--steps 1").ok();
    place.kiln("sample images -n 1 --out x.csv").refused(2, &["not as .csv"]);
    let said: Value = place.kiln("sample table -n 2 --out t3.npy --json").json();
    assert_eq!(said["count"], 2);
}

#[test]
fn series_are_forecast_beside_what_nobody_learnt() {
    let place = Place::new();
    let season = |k: usize| [0.0, 2.0, 5.0, 1.0][k % 4] + k as f64 * 0.001;
    place.write("s.npy", &doubles(&[400], &(0..400).map(season).collect::<Vec<f64>>()));
    let small = "--set hidden=6 --set levels=16 --batch 4 --steps 3 --set sample_every=0";
    place.kiln(&format!("train rnn --data s.npy --set window=20 --out run -q {small}")).ok();
    let said = place.kiln("forecast run --steps 6 -n 20 --out fan.png --json").json();
    assert_eq!((said["windows"].as_i64(), said["begins"].as_i64(), said["season"].as_i64()), (Some(2), Some(14), Some(4)));
    let row = |what: &str| {
        let rows = said["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["forecast"] == what).cloned().unwrap_or_else(|| panic!("{what}: {said}"))
    };
    // What comes again is known to those who repeat it, and not to those who stay.
    assert!(row("season of 4")["crps"].as_f64().expect("a score") < 0.3 && row("last value")["crps"].as_f64().expect("a score") > 0.5);
    assert_eq!((row("model")["values"].as_i64(), place.path("fan.png").is_file()), (Some(12), true));
    // Behind the end nothing is known to compare with.
    let said = place.kiln("forecast run --data s.npy --from 400 --steps 6 -n 20 --out next.csv --json").json();
    assert_eq!((said["rows"].as_array().map(Vec::len), said["windows"].as_i64()), (Some(0), Some(1)));
    let text = String::from_utf8(place.read("next.csv")).expect("text");
    assert_eq!((text.lines().count(), text.lines().nth(1).map(|line| line.split(',').nth(3) == Some("NaN"))), (7, Some(true)));
    let said = place.kiln("forecast run --data s.npy --from 14 --steps 6 -n 20 --out next.csv --json").json();
    assert_eq!(said["rows"][0]["values"], 6);
    // A higher temperature draws wider futures, and so wider bands.
    let width = |temperature: f64| {
        place.kiln(&format!("forecast run --steps 6 -n 100 --temperature {temperature} --out band.csv")).ok();
        let text = String::from_utf8(place.read("band.csv")).expect("text");
        let names: Vec<&str> = text.lines().next().expect("a head").split(',').collect();
        let at = |quantile: &str| names.iter().position(|name| name.contains(quantile)).unwrap_or_else(|| panic!("{names:?}"));
        let number = |line: &str, at: usize| line.split(',').nth(at).and_then(|cell| cell.parse::<f64>().ok()).expect("a number");
        text.lines().skip(1).map(|line| number(line, at("95")) - number(line, at("05"))).sum::<f64>()
    };
    assert!(width(0.01) < 0.7 * width(1.0));
    for (words, reasons) in [
        ("--steps 20", &["1 to 19"][..]),
        ("--steps 0", &["1 to 19"]),
        ("--steps 6 --data s.npy --from 13", &["--from 13", "14 to 400"]),
        ("--steps 6 --data s.npy --from 401", &["--from 401", "14 to 400"]),
        ("--steps 6 --season 0", &["--season"]),
        ("--steps 6 -n 0", &["-n 1"]),
        ("--steps 6 --temperature 0", &["--temperature"]),
    ] {
        place.kiln(&format!("forecast run --out x.png {words}")).refused(2, reasons);
    }
    place.train("images", "--steps 1").ok();
    place.kiln("forecast images --steps 2 --out x.png").refused(2, &["trained on images"]);
    train(&place, "vae", "--data s.npy --set window=20 -q").ok();
    place.kiln("forecast vae --steps 2 --out x.png").refused(2, &["order", "wavenet"]);
    assert!(!place.path("x.png").exists());
}

/// A run on cart-pole that trained for two steps.
fn cart(place: &Place, run: &str, words: &str) {
    let small = "--set hidden=12 --set mixtures=2 --set quantize=none --batch 2 --steps 2 --set sample_every=0 --limit 8";
    place.kiln(&format!("train rnn --data builtin:cartpole --set window=30 --out {run} -q {small} {words}")).ok();
}

#[test]
fn continuous_series_are_scored_drawn_and_forecast() {
    let place = Place::new();
    place.write("t.csv", &table(300, |_, row| row));
    let small = "--set hidden=8 --set mixtures=2 --set quantize=none --batch 2 --steps 3 --set difference=true";
    place.kiln(&format!("train rnn --data t.csv --set window=10 --out run -q {small}")).ok();
    let small = "--set residual=4 --set skip=4 --set head=4 --set depth=2 --set stacks=1 --set quantize=none --batch 2 --steps 3";
    place.kiln(&format!("train wavenet --data t.csv --set window=10 --out net -q {small}")).ok();
    for run in ["run", "net"] {
        let said = place.kiln(&format!("eval {run} --json")).json();
        let [nats, error, more] = ["nats", "standard_error", "nats_to_units"].map(|key| said[key].as_f64().expect("a number"));
        assert!(nats.is_finite() && error > 0.0, "{said}");
        // The deviations of a sine and of 0 to 239, over ten steps.
        let deviation = (0..240).map(|k| (f64::from(k) - 119.5).powi(2)).sum::<f64>() / 240.0;
        assert!((more / 10.0 - 0.5 * deviation.ln() - 0.707f64.ln()).abs() < 0.03, "{more}");
        place.kiln(&format!("score {run} --per-pixel --out s.npy -q")).ok();
        let (shape, values) = place.array("s.npy");
        let mean = f64::from(values.iter().sum::<f32>()) / shape[0] as f64;
        assert!(shape[1..] == [10, 1, 2] && (mean + nats).abs() < 1e-3 * nats.abs().max(1.0), "{mean} and {nats}");
        for method in ["cached", "naive"] {
            place.kiln(&format!("sample {run} -n 3 --method {method} --log-p p.npy --out {method}.npy -q --device cpu")).ok();
        }
        assert_eq!(place.read("cached.npy"), place.read("naive.npy"), "{run}");
        place.kiln(&format!("complete {run} --data t.csv:test -n 2 --keep top:4 --out c.csv -q")).ok();
        let said = place.kiln(&format!("forecast {run} --steps 4 -n 10 --out f.png --json")).json();
        assert_eq!(said["rows"][0]["values"].as_i64(), Some(12), "{said}");
    }
}

#[test]
fn futures_are_drawn_under_given_actions_and_beside_the_truth() {
    let place = Place::new();
    cart(&place, "run", "");
    assert_eq!(
        (settled(&place, "run")["actions"].to_string(), settled(&place, "run")["reward"].as_str()),
        (r#"["action"]"#.into(), Some("reward"))
    );
    place.kiln("sample run -n 1 --out one.csv -q").ok();
    let said = place.kiln("simulate run --given one.csv --from 20 -n 9 --out f.npy --json").json();
    assert_eq!((said["begins"].as_i64(), said["steps"].as_i64(), said["rows"].as_array().map(Vec::len)), (Some(20), Some(10), Some(5)));
    let (shape, futures) = place.array("f.npy");
    assert_eq!(shape, [9, 30, 6]);
    let text = String::from_utf8(place.read("one.csv")).expect("text");
    let rows: Vec<Vec<f32>> = text.lines().skip(1).map(|l| l.split(',').skip(2).map(|v| v.parse().expect("a number")).collect()).collect();
    let close = |a: f32, b: f32| (a - b).abs() < 1e-5 * b.abs().max(1.0);
    for (at, value) in futures.iter().enumerate() {
        let (step, channel) = (at / 6 % 30, at % 6);
        assert!((step >= 20 && channel != 4) || close(*value, rows[step][channel]), "step {step}, channel {channel}");
    }
    assert!(futures[20 * 6] != futures[30 * 6 + 20 * 6], "futures differ");
    // Longer than a window, from actions alone and from a table whose later states are empty.
    let actions: Vec<f64> = (0..50).map(|k| f64::from(k % 2)).collect();
    place.write("a.npy", &doubles(&[50, 1], &actions));
    let said = place.kiln("simulate run --given a.npy -n 4 --out f.csv --json").json();
    assert_eq!((said["begins"].as_i64(), said["steps"].as_i64()), (Some(0), Some(50)));
    let begun = text.lines().enumerate().map(|(k, l)| match k {
        0..15 => l.to_string() + "\n",
        _ => format!("1,{k},,,,,{},\n", k % 2),
    });
    place.write("begun.csv", begun.collect::<String>().as_bytes());
    let said = place.kiln("simulate run --given begun.csv -n 4 --channel angle --out fan.png --json").json();
    assert_eq!((said["begins"].as_i64(), said["rows"].as_array().map(Vec::len)), (Some(14), Some(0)), "{said}");
    assert!(place.path("fan.png").is_file());

    place.write("wide.npy", &doubles(&[50, 3], &[0.5; 150]));
    place.write("nan.npy", &doubles(&[50, 1], &[actions[..7].to_vec(), vec![f64::NAN], actions[8..].to_vec()].concat()));
    place.write("inf.npy", &doubles(&[50, 1], &[actions[..7].to_vec(), vec![f64::INFINITY], actions[8..].to_vec()].concat()));
    place.write("text.csv", b"action,angle\n1,0\n0,upright\n");
    place.write("other.csv", b"push\n1\n0\n");
    place.write("t.csv", &table(300, |_, row| row));
    place.kiln("train rnn --data t.csv --set window=10 --set hidden=4 --batch 2 --steps 1 --set sample_every=0 --out plain -q").ok();
    for (words, said) in [
        ("run --given wide.npy", &["wide.npy", "[50, 3]", "[T, 6]", "[T, 1] of action"][..]),
        ("run --given nan.npy", &["row 8, column action", "actions are given at every step"]),
        ("run --given inf.npy", &["row 8, column action", "inf"]),
        ("run --given text.csv", &["row 3, column angle", "upright"]),
        ("run --given other.csv", &["none of the columns x, speed"]),
        ("run --given a.npy --from 3", &["row 1, column x", "the beginning is given whole"]),
        ("run --given one.csv", &["all 30 steps", "--from"]),
        ("run --given one.csv --from 31", &["a beginning longer than the 30 steps"]),
        ("run --given one.csv --from 20 --channel tilt", &["--channel tilt", "angle"]),
        ("run --given one.csv --from 20 -n 0", &["-n 1"]),
        ("plain --given one.csv", &["no actions to simulate", "kiln forecast"]),
    ] {
        place.kiln(&format!("simulate {words} --out x.npy")).refused(2, said);
        assert!(!place.path("x.npy").exists(), "{words}");
    }
}

#[test]
fn a_system_is_controlled_by_plans() {
    let place = Place::new();
    cart(&place, "run", "");
    let small = "--trials 2 --steps 12 --horizon 5 --candidates 12 --elites 3 --iterations 2";
    let said = place.kiln(&format!("plan run {small} --out p.png --json")).json();
    let rows = said["rows"].as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| row["returns"].as_array().map(Vec::len)).collect::<Vec<_>>(), [Some(2); 3]);
    assert_eq!((rows[2]["who"].as_str(), rows[2]["mean"].as_f64()), (Some("planned in the equations"), Some(12.0)));
    assert_eq!(said, place.kiln(&format!("plan run {small} --out p.png --json")).json());
    place.kiln(&format!("plan run {small} --futures 2 --seed 3 --out p.csv -q")).ok();
    let text = String::from_utf8(place.read("p.csv")).expect("text");
    assert_eq!((text.lines().count(), text.starts_with("attempt,random_return")), (3, true));
    place.write("t.csv", &table(300, |_, row| row));
    let quick = "--set window=10 --set hidden=4 --batch 2 --steps 1 --set sample_every=0 -q";
    place.kiln(&format!("train rnn --data t.csv {quick} --out plain")).ok();
    place.kiln(&format!("train rnn --data t.csv {quick} --set actions=sine --set reward=line --out roles")).ok();
    for (words, said) in [
        ("plan plain --out x.png", &["no actions to plan"][..]),
        ("plan roles --out x.png", &["cannot be acted upon", "kiln simulate"]),
        ("plan run --out x.npy", &[".png or .csv"]),
        ("plan run --trials 0 --out x.png", &["--trials is 1"]),
        ("plan run --beyond -1 --out x.png", &["--beyond is 0 or more"]),
        ("plan run --candidates 1 --out x.png", &["1 candidates"]),
        ("plan run --elites 65 --out x.png", &["of which 65"]),
        ("plan run --device gpu --out x.png", &["--device cpu"]),
    ] {
        place.kiln(words).refused(2, said);
        assert!(!place.path("x.png").exists(), "{words}");
    }
    for (words, said) in [
        ("--set actions=force", &["actions=force", "sine, line"][..]),
        ("--set actions=line --set reward=sine", &["must stand behind the actions"]),
        ("--set reward=sine,line", &["one column"]),
    ] {
        place.kiln(&format!("train rnn --data t.csv {quick} {words} --out none")).refused(2, said);
    }
    place.kiln(&format!("train rnn --data builtin:cartpole {quick} --set actions=angle --out none")).refused(2, &["drawn by itself"]);
}
