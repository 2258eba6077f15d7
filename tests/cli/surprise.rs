//! `kiln score --per-step`.

use crate::program::{Place, npy};

/// A saw of 600 steps, one tooth of which is missing.
fn saw() -> Vec<u8> {
    let value = |t: u16| if (560..570).contains(&t) { 3 } else { (t % 10) as u8 };
    let bytes: Vec<u8> = (0..600).map(value).collect();
    npy(&[600, 1], &bytes)
}

fn trained() -> Place {
    let place = Place::new();
    place.write("saw.npy", &saw());
    let small = "--set hidden=16 --set levels=10 --set valid_share=0 --set test_share=0.3 --set learning_rate=0.02 --set sample_every=0";
    place.kiln(&format!("train rnn --data saw.npy --set window=40 --set overlap=20 {small} --batch 8 --steps 60 --out run -q")).ok();
    place
}

#[test]
fn the_missing_tooth_of_a_saw_is_the_unlikeliest_stretch() {
    let place = trained();
    let said = place.kiln("score run --per-step --stretch 10 --top 2 --out s.npy --picture s.png --json").json();
    // The test split begins at step 420, and its windows are its steps one after another.
    let first = said["unlikeliest"][0]["first_step"].as_i64().expect("a step");
    assert!((135..=145).contains(&first), "{said}");
    assert_eq!((&said["least_context"], said["unlikeliest"].as_array().map(Vec::len)), (&20.into(), Some(2)));
    let (shape, steps) = place.array("s.npy");
    assert_eq!(shape, [4, 40]);
    let mean = steps.iter().map(|v| f64::from(*v)).sum::<f64>() / steps.len() as f64;
    assert!((mean - said["mean_log_p_per_step"].as_f64().expect("a mean")).abs() < 1e-5);
    assert!(place.path("s.png").is_file());
    // Without a window before it, a step is told as in the window itself.
    place.kiln("score run --per-pixel --out p.npy -q").ok();
    let (_, whole) = place.array("p.npy");
    assert!(steps[..40].iter().zip(&whole[..40]).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(steps[40..60] != whole[40..60] && steps[60..80].iter().zip(&whole[60..80]).all(|(a, b)| (a - b).abs() < 1e-6));
    place.kiln("score run --per-step --out s.csv -q").ok();
    let text = String::from_utf8(place.read("s.csv")).expect("text");
    assert_eq!((text.lines().next(), text.lines().count()), (Some("step,log_p,1"), 161));
}

#[test]
fn what_has_no_steps_or_no_such_stretch_is_refused() {
    let place = trained();
    for (words, said) in [
        ("score run --per-step --stretch 0 --out x.npy", "1 to 40"),
        ("score run --per-step --stretch 41 --out x.npy", "1 to 40"),
        ("score run --per-step --out x.png", ".npy or .csv"),
        ("score run --per-step --picture x.jpg --out x.npy", ".png"),
        ("score run --picture x.png --out x.npy", "--per-step"),
        ("score run --per-step --per-pixel --out x.npy", "--per-pixel"),
    ] {
        place.kiln(words).refused(2, &[said]);
    }
    place.train("images", "--steps 1").ok();
    place.kiln("score images --per-step --out x.npy").refused(2, &["holds no series", "--per-pixel"]);
    assert!(!place.path("x.npy").exists());
}
