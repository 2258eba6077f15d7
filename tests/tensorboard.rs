//! What a run leaves for those who watch it: TensorBoard's event file and the run's page. (That TensorBoard itself reads the file is looked at by
//! `benches/peers/read_events.py`.)

#[path = "support/program.rs"]
mod program;

use kiln::report::records;
use program::Place;

/// Fields of a message: number and content, of numbers eight bytes.
type Fields = Vec<(u64, Vec<u8>)>;

fn fields(mut message: &[u8]) -> Fields {
    fn varint(rest: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, message[..length].to_vec()));
        message = &message[length..];
    }
    found
}

/// Steps and tags of every value in a run's event file, with the value's own fields.
fn values(place: &Place, run: &str) -> Vec<(u64, String, Fields)> {
    let bytes = place.read(&format!("{run}/events.out.tfevents.kiln"));
    let events: Vec<&[u8]> = records(&bytes).collect();
    assert_eq!(events.iter().map(|event| event.len() + 16).sum::<usize>(), bytes.len(), "the file is whole");
    assert_eq!(fields(events[0]).iter().find(|(field, _)| *field == 3).expect("a version").1, b"brain.Event:2");
    let of_event = |event: &&[u8]| {
        let event = fields(event);
        let step = event.iter().find(|(field, _)| *field == 2).map_or(0, |(_, v)| u64::from_le_bytes(v[..8].try_into().expect("a number")));
        let summaries = event.into_iter().filter(|(field, _)| *field == 5).flat_map(|(_, summary)| fields(&summary));
        summaries
            .map(move |(_, value)| {
                let value = fields(&value);
                (step, String::from_utf8(value[0].1.clone()).expect("a tag"), value)
            })
            .collect::<Vec<_>>()
    };
    events.iter().flat_map(of_event).collect()
}

/// Steps at which a tag has values.
fn steps(place: &Place, run: &str, tag: &str) -> Vec<u64> {
    values(place, run).into_iter().filter(|(_, name, _)| name == tag).map(|(step, ..)| step).collect()
}

#[test]
fn metrics_pictures_histograms_and_settings_are_told() {
    let place = Place::new();
    place.train("run", "--steps 6 --set log_every=2 --set sample_every=3 --set valid_every=3 --set histogram_every=4").ok();
    let all = values(&place, "run");
    let text = String::from_utf8(place.read("run/metrics.jsonl")).expect("text");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // Every number of metrics.jsonl, at its step.
    for (tag, key) in [("train/loss", "loss"), ("valid/nats", "valid")] {
        let told: Vec<(u64, f32)> = all
            .iter()
            .filter(|(_, name, _)| name == tag)
            .map(|(step, _, value)| (*step, f32::from_le_bytes(value[1].1[..4].try_into().expect("four bytes"))))
            .collect();
        let want: Vec<(u64, f32)> = lines.iter().filter_map(|line| Some((line["step"].as_u64()?, line[key].as_f64()? as f32))).collect();
        assert!(!want.is_empty() && told == want, "{tag}: {told:?} {want:?}");
    }
    assert_eq!(steps(&place, "run", "rate/learning_rate").len(), steps(&place, "run", "train/loss").len());
    assert_eq!(steps(&place, "run", "samples"), [3, 6]);
    let image = all.iter().rev().find(|(_, name, _)| name == "samples").map(|(.., value)| fields(&value[1].1)).expect("a picture");
    assert_eq!(image[3].1, place.read("run/samples/000006.png"));
    assert_eq!(steps(&place, "run", "weights/input.weight"), [4]);
    let settings = all.iter().find(|(_, name, _)| name == "_hparams_/session_start_info").expect("settings");
    let told = String::from_utf8_lossy(&settings.2[1].1).into_owned();
    for word in ["hparams", "learning_rate", "first_kernel", "pixelcnn", "builtin:digits"] {
        assert!(told.contains(word), "{word}");
    }
}

#[test]
fn a_run_that_goes_on_tells_no_step_twice() {
    let place = Place::new();
    let cadence = "--set log_every=1 --set save_every=2 --set sample_every=0 --set valid_every=0";
    place.train("run", &format!("--steps 4 {cadence}")).ok();
    let early = place.read("run/checkpoint.safetensors");
    place.kiln("train --resume run --steps 7 -q").ok();
    assert_eq!(steps(&place, "run", "train/loss"), [1, 2, 3, 4, 5, 6, 7]);
    // As after a kill: an older checkpoint, and a file that ends in the middle of a record.
    place.write("run/checkpoint.safetensors", &early);
    let events = place.read("run/events.out.tfevents.kiln");
    place.write("run/events.out.tfevents.kiln", &events[..events.len() - 5]);
    place.kiln("train --resume run --steps 6 -q").ok();
    assert_eq!(steps(&place, "run", "train/loss"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(steps(&place, "run", "_hparams_/session_start_info"), [0]);
    // It may be left out, and asked for again.
    place.train("none", &format!("--steps 2 {cadence} --set tensorboard=false")).ok();
    assert!(!place.path("none/events.out.tfevents.kiln").exists());
    place.kiln("train --resume none --steps 3 -q --set tensorboard=true").ok();
    assert_eq!(steps(&place, "none", "train/loss"), [3]);
    place.train("no", "--steps 2 --set tensorboard=false --set histogram_every=1").refused(2, &["histogram_every", "tensorboard=false"]);
}

#[test]
fn the_page_of_a_run_shows_it_and_needs_nothing_else() {
    let place = Place::new();
    place.train("run", "--steps 6 --set sample_every=2 --set valid_every=3").ok();
    let page = String::from_utf8(place.read("run/index.html")).expect("text");
    for words in [
        "pixelcnn on builtin:digits",
        "6 steps, its last",
        "<td>loss</td>",
        "validation −log p, best",
        "step 6",
        "step 2",
        "first_kernel = 5",
        "kiln train --resume",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // Curves, and three pictures of samples; nothing is fetched and nothing runs.
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 4);
    assert!(!page.contains("<script") && !page.contains("http"));
    // It is kiln's own, so that a run without a checkpoint begins anew over it.
    std::fs::remove_file(place.path("run/checkpoint.safetensors")).expect("removed");
    place.train("run", "--steps 2 --set sample_every=0 --set valid_every=0").ok();
    let page = String::from_utf8(place.read("run/index.html")).expect("text");
    assert!(page.contains("2 steps, its last") && page.matches("src=\"data:image").count() == 1);
    assert_eq!(steps(&place, "run", "train/loss"), [1, 2]);
}
