//! Paths that are no text.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::program::{Place, Ran, png};
use crate::{trained, vae};

/// A command whose `%` are a byte that no text holds.
fn kiln(place: &Place, words: &str) -> Ran {
    let mut command = place.command("");
    let word = |word: &str| OsString::from_vec(word.bytes().map(|b| if b == b'%' { 0xff } else { b }).collect());
    Ran::of(&command.args(words.split_whitespace().map(word)).output().expect("kiln runs"))
}

fn real(place: &Place, name: &str) -> std::path::PathBuf {
    place.path("").join(OsString::from_vec(name.bytes().map(|b| if b == b'%' { 0xff } else { b }).collect()))
}

#[test]
fn runs_and_results_lie_in_places_that_no_text_names() {
    let place = trained();
    kiln(&place, &place.train_words("r%", "--steps 2 --json")).json();
    let set = "--set form=mlp --set hidden=16 --set latent=3 --set valid_every=0 --set sample_every=0";
    kiln(&place, &format!("train vae --data builtin:digits --limit 64 --batch 16 --steps 2 --out v% -q {set}")).ok();
    kiln(&place, "train --resume r% --steps 3 -q --json").json();
    let digits = "--data builtin:digits --limit 16";
    for (words, made) in [
        (format!("score r% {digits} --out s%.npy --parts p%.csv"), "s%.npy"),
        ("sample r% -n 2 --out o%.npy --log-p l%.csv".into(), "l%.csv"),
        ("sample r% -n 2 --out folder%".into(), "folder%"),
        ("sample v% -n 2 --out o%.png --save-z z%.npy".into(), "z%.npy"),
        ("sample v% --z z%.npy --out o%.npy".into(), "o%.npy"),
        ("complete r% --data builtin:digits --keep top:4 -n 2 --out c%.png --log-p c%.npy".into(), "c%.npy"),
        (format!("encode v% {digits} --out e%.npy"), "e%.npy"),
        (format!("latents v% {digits} --out l%"), "l%"),
        ("interpolate v% -n 2 --out i%.png".into(), "i%.png"),
        ("outliers r% --against builtin:digits:test --limit 8 --out x%.png".into(), "x%.png"),
        ("arithmetic v% --from 1,2,3 --minus 4,5,6 --plus 7,8,9 --out a%.png".into(), "a%.png"),
        ("neighbors v% -n 2 --out n%.png".into(), "n%.png"),
        ("export r% --out w%.safetensors".into(), "w%.safetensors"),
        ("theory --steps 2 --out t%.png".into(), "t%.png"),
    ] {
        let ran = kiln(&place, &format!("{words} --json"));
        assert!(ran.code == Some(0), "{words}: {} {}", ran.out, ran.err);
        ran.json();
        assert!(real(&place, made).exists(), "{words}");
    }
}

#[test]
fn what_must_be_text_is_refused_where_it_is_none() {
    let place = vae();
    let data = real(&place, "d%");
    for class in ["a", "b%", "b%%"] {
        let folder = data.join(OsString::from_vec(class.bytes().map(|b| if b == b'%' { 0xff } else { b }).collect()));
        std::fs::create_dir_all(&folder).expect("folders");
        std::fs::write(folder.join("1.png"), png(8, 8, 7)).expect("written");
    }
    kiln(&place, "train pixelcnn --data d% --out run").refused(2, &["UTF-8"]);
    std::fs::rename(&data, place.path("d")).expect("renamed");
    kiln(&place, "train pixelcnn --data d --out run").refused(1, &["no text", "rename"]);
    std::fs::rename(place.path("vae"), real(&place, "v%")).expect("renamed");
    kiln(&place, "train classifier --data builtin:digits --limit 32 --batch 8 --encoder v% --out run")
        .refused(2, &["weights come from", "rename"]);
    assert!(!place.path("run").exists());
}
