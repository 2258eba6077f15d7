//! `kiln demo`: the main job, without arguments.
//!
//! What the page shows is what its commands make: the demo carries out the commands that stand on it, word by word.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::common::Common;
use super::output::{Output, as_text};
use crate::error::{Error, Result};
use crate::report::Page;
use crate::runtime::Device;
use crate::train::RunFolder;
use crate::wait::Wait;

/// The side that digits are brought to, so that all of it takes no more than three minutes of two cores.
const SIDE: &str = "--set size=16x16 --set conditional=true";

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Folder that the page and its runs go to
    #[arg(long, default_value = "kiln-demo")]
    pub out: PathBuf,
}

/// A part of the page: a model, how it is trained, and what is done with it.
struct Lesson {
    title: &'static str,
    /// The model, and the name of its folder.
    model: &'static str,
    text: &'static str,
    /// Words of `kiln train` behind the model's.
    train: &'static str,
    /// Commands that draw a picture: what it shows, words before the run's folder and behind it.
    pictures: &'static [(&'static str, &'static str, &'static str)],
    /// Words of commands whose answers are shown, before the run's folder and behind it.
    answers: &'static [(&'static str, &'static str)],
}

const LESSONS: [Lesson; 3] = [
    Lesson {
        title: "PixelRNN",
        model: "pixelrnn",
        text: "A Diagonal BiLSTM draws one pixel after another, each given all pixels above it and to its left, and the digit that it is to be. It \
               gives every image an exact probability, and it can go on from any beginning.",
        train: "--set hidden=24 --set levels=4 --set learning_rate=0.01 --set schedule=cosine --set ema=0.99 --batch 16 --steps 3000 --set \
                valid_every=1000 --set valid_items=200 --set sample_every=1000",
        pictures: &[
            ("New digits, a column for each", "sample", "-n 60 --temperature 0.9"),
            ("Test digits; what is kept of them; ways to go on", "complete", "--data builtin:digits:test --keep top:8 -n 8"),
        ],
        answers: &[("eval", "--limit 500")],
    },
    Lesson {
        title: "Conditional variational autoencoder",
        model: "cvae",
        text: "An encoder turns a digit into six numbers, a decoder turns six numbers and a name into a digit. Between two digits lie others.",
        train: "--set latent=6 --set schedule=cosine --steps 2500 --set valid_every=500 --set sample_every=500",
        pictures: &[
            ("New digits, from six random numbers each", "sample", "-n 60"),
            ("Ways from one test digit to another", "interpolate", "--data builtin:digits:test -n 6"),
        ],
        answers: &[("eval", "--limit 500")],
    },
    Lesson {
        title: "DCGAN",
        model: "dcgan",
        text: "A generator that never sees an image learns from a discriminator that tells its images from drawn ones.",
        train: "--set filters=16 --set discriminator_norm=none --set r1=0.05 --set learning_rate=[0.002,0.002] --set ema=0.98 --steps 800 --set \
                sample_every=200",
        pictures: &[("New digits, a column for each", "sample", "-n 60"), ("Between digits: latents along an arc", "interpolate", "-n 10")],
        answers: &[],
    },
];

/// How the three are compared.
const COMPARED: &str = "--data builtin:digits:test --samples 300 --limit 300 --set classifier_steps=200";

/// Columns of a command's lines on the page.
const LINE: usize = 84;

/// What to do next.
const NEXT: &str = "\
kiln train dcgan --data photos --set size=64x64 --out runs/photos      # photos: a folder of your own pictures
kiln sample runs/photos -n 64 --out new.png
kiln train diffusion --data photos --set size=32x32 --out runs/noise
kiln info runs/photos                                                 # how far it is, and what can be done with it
kiln models                                                           # what else there is to train";

/// Carries out a command and returns what it says.
pub type Perform<'a> = &'a dyn Fn(&[String]) -> Result<String>;

/// `kiln demo`; `perform` carries out the commands of the page.
pub fn run(args: &DemoArgs, common: &Common, output: &Output, perform: Perform<'_>) -> Result<()> {
    let device = Device::open(&common.device).wait()?.name();
    let start = Instant::now();
    std::fs::create_dir_all(&args.out).map_err(|e| Error::io(&args.out, e))?;
    let mut page = Page::new("What kiln made");
    page.text(&format!(
        "Models trained just now, on {device}, on digits that kiln draws itself, of 16×16 pixels. Each picture is what the command below it makes."
    ));
    let mut demo = Demo { out: &args.out, common, perform, made: Vec::new() };
    for lesson in &LESSONS {
        output.say(&format!("{}: {}", lesson.title, lesson.text));
        demo.teach(lesson, &mut page)?;
    }
    output.say("the three side by side");
    demo.compare(&mut page)?;
    page.section("What next");
    page.text("The same with pictures of your own; docs/guide.md goes through it, with and without a GPU.");
    page.code(NEXT);
    let path = args.out.join("index.html");
    page.save(&path)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut words = format!("done in {seconds:.0} s · open {}\n", path.display());
    for (what, file) in &demo.made {
        words += &format!("  {what}: {}\n", file.display());
    }
    let files: Vec<_> = demo.made.iter().map(|(what, file)| json!({"what": what, "file": as_text(file)})).collect();
    output.result(&words, &json!({"page": as_text(&path), "seconds": seconds, "device": device, "files": files}))
}

/// What the parts of the page share.
struct Demo<'a> {
    out: &'a Path,
    common: &'a Common,
    perform: Perform<'a>,
    made: Vec<(String, PathBuf)>,
}

impl Demo<'_> {
    /// Carries out a command as it is shown; a path stands where a word is `{}`.
    fn command(&self, words: &str, paths: &[&Path]) -> Result<(String, String)> {
        let seed = self.common.seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
        let device = if self.common.device == "auto" { String::new() } else { format!(" --device {}", self.common.device) };
        let words = format!("kiln {words}{seed}{device}");
        let mut paths = paths.iter();
        let of = |word: &str| if word == "{}" { paths.next().map(|path| as_text(path)).unwrap_or_default() } else { word.to_string() };
        let words: Vec<String> = words.split_whitespace().map(of).collect();
        let told = (self.perform)(&words)?;
        let quoted = |word: &String| if word.contains(char::is_whitespace) { format!("'{word}'") } else { word.clone() };
        let shown = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
        Ok((textwrap::wrap(&shown, LINE).join(" \\\n    "), told))
    }

    /// Trains a model and shows what it makes.
    fn teach(&mut self, lesson: &Lesson, page: &mut Page) -> Result<()> {
        let Lesson { model, .. } = lesson;
        let run = self.out.join(model);
        if run.exists() {
            RunFolder::remove(&run)?;
        }
        page.section(lesson.title);
        page.text(lesson.text);
        // A cvae is conditional by itself.
        let side = if *model == "cvae" { SIDE.split(" --set conditional").next().unwrap_or_default() } else { SIDE };
        let (command, told) = self.command(&format!("train {model} --data builtin:digits {side} {} --out {{}}", lesson.train), &[&run])?;
        page.code(&format!("{command}\n{told}"));
        for (caption, verb, words) in lesson.pictures {
            let file = self.out.join(format!("{model}-{verb}.png"));
            let (command, told) = self.command(&format!("{verb} {{}} {words} --out {{}}"), &[&run, &file])?;
            page.image(caption, &picture(&file)?)?;
            page.code(&format!("{command}\n{told}"));
            self.made.push((format!("{} ({model})", caption.to_lowercase()), file));
        }
        for (verb, words) in lesson.answers {
            let (command, told) = self.command(&format!("{verb} {{}} {words}"), &[&run])?;
            page.code(&format!("{command}\n{told}"));
        }
        page.image("Training", &picture(&run.join("curves.png"))?)?;
        Ok(())
    }

    /// Measures what was trained, and adds the table to the page.
    fn compare(&mut self, page: &mut Page) -> Result<()> {
        let runs = LESSONS.map(|lesson| self.out.join(lesson.model));
        let folder = self.out.join("compare");
        let paths: Vec<&Path> = runs.iter().chain([&folder]).map(PathBuf::as_path).collect();
        let (command, told) = self.command(&format!("compare {{}} {{}} {{}} {COMPARED} --out {{}}"), &paths)?;
        page.section("Side by side");
        page.text("The three on the same test digits. What each figure is, and how to read it, stands on the page of the comparison.");
        page.image("Ten of each", &picture(&folder.join("samples.png"))?)?;
        page.code(&format!("{command}\n{told}"));
        self.made.push(("the three side by side".into(), folder.join("index.html")));
        Ok(())
    }
}

/// A picture that was written.
fn picture(file: &Path) -> Result<image::RgbImage> {
    Ok(image::open(file).map_err(|e| Error::format(file, e.to_string()))?.to_rgb8())
}
