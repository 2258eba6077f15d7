//! Dates of a table's steps: kept in what is written, and going on behind its end where they are regular.

use crate::program::Place;

/// A small recurrent network of a table in `run`, of windows of ten steps.
fn trained(dates: impl Fn(usize) -> String) -> Place {
    let place = Place::new();
    let rows: String = (0..100).map(|k| format!("{},{:.3}\n", dates(k), (k as f64 / 5.0).sin())).collect();
    place.write("t.csv", format!("date,level\n{rows}").as_bytes());
    let set = "--set window=10 --set hidden=4 --set layers=1 --set sample_every=0 --set test_share=0.2";
    place.kiln(&format!("train rnn --data t.csv {set} --batch 2 --steps 1 --out run -q")).ok();
    place
}

/// Fields of a table that was written, its names first.
fn rows(place: &Place, name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(place.read(name)).expect("UTF-8");
    text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
}

fn column(place: &Place, name: &str, title: &str) -> Vec<String> {
    let rows = rows(place, name);
    let at = rows[0].iter().position(|name| name == title).unwrap_or_else(|| panic!("{title} in {:?}", rows[0]));
    rows[1..].iter().map(|row| row[at].clone()).collect()
}

/// The first day of a month.
fn month(k: usize) -> String {
    format!("{}-{:02}-01", 2000 + k / 12, k % 12 + 1)
}

#[test]
fn dates_are_kept_and_go_on_behind_the_end() {
    let place = trained(month);
    let months = |range: std::ops::Range<usize>| range.map(month).collect::<Vec<_>>();
    place.kiln("forecast run --steps 4 -n 3 --out ends.csv").ok();
    assert_eq!(column(&place, "ends.csv", "date"), [months(86..90), months(96..100)].concat());
    place.kiln("forecast run --data t.csv --from 98 --steps 4 -n 3 --out next.csv").ok();
    assert_eq!(column(&place, "next.csv", "date"), months(98..102));
    assert_eq!(column(&place, "next.csv", "truth")[2..], ["NaN", "NaN"]);
    place.kiln("complete run --data t.csv:test --keep top:5 -n 2 --out rest.csv").ok();
    let mut found = column(&place, "rest.csv", "date");
    found.sort();
    assert_eq!(found, months(80..100));
    place.kiln("score run --per-step --stretch 3 --top 1 --out steps.csv").ok();
    assert_eq!(column(&place, "steps.csv", "date"), months(80..100));
    let said = place.kiln("score run --per-step --stretch 3 --top 1 --out steps.csv --json").json();
    let worst = &said["unlikeliest"][0];
    let first = worst["first_step"].as_u64().expect("a step") as usize;
    assert_eq!((worst["from"].as_str(), worst["to"].as_str()), (Some(month(80 + first).as_str()), Some(month(82 + first).as_str())));
    // Without a column of times there is none in what is written.
    let values: String = column(&place, "t.csv", "level").iter().map(|level| format!("{level}\n")).collect();
    place.write("plain.csv", format!("level\n{values}").as_bytes());
    place.kiln("forecast run --data plain.csv:test --steps 4 -n 3 --out plain-ends.csv").ok();
    assert!(!rows(&place, "plain-ends.csv")[0].contains(&"date".into()));
}

#[test]
fn irregular_dates_are_kept_and_left_empty_behind_the_end() {
    let date = |k: usize| format!("{}-{:02}-01", 2000 + k, 1 + 2 * (k % 2));
    let place = trained(date);
    place.kiln("forecast run --data t.csv --from 98 --steps 4 -n 3 --out next.csv").ok();
    assert_eq!(column(&place, "next.csv", "date"), [date(98), date(99), String::new(), String::new()]);
    let place = trained(|k| format!("2000-{:02}-{:02}", k / 28 + 1, k % 28 + 1));
    place.kiln("forecast run --data t.csv --from 98 --steps 4 -n 3 --out next.csv").ok();
    assert_eq!(column(&place, "next.csv", "date"), ["2000-04-15", "2000-04-16", "2000-04-17", "2000-04-18"]);
    place.kiln("forecast run --data t.csv --from 86 --steps 4 -n 3 --out within.csv").ok();
    assert_eq!(column(&place, "within.csv", "date"), ["2000-04-03", "2000-04-04", "2000-04-05", "2000-04-06"]);
}

#[test]
fn tables_of_series_that_were_drawn_are_read_as_series() {
    let place = trained(month);
    place.kiln("sample run -n 3 --out drawn.csv").ok();
    assert_eq!(rows(&place, "drawn.csv")[0], ["series", "step", "level"]);
    place.kiln("score run --data drawn.csv:all --out scores.npy").ok();
    assert_eq!(place.array("scores.npy").0, [3]);
    place.kiln("complete run --data t.csv:all --keep top:5 -n 4 --out rest.csv").ok();
    place.kiln("score run --data rest.csv:all --out scores.npy").ok();
    assert_eq!(place.array("scores.npy").0, [4]);
}
