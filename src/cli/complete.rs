//! `kiln complete`.

mod asked;
mod made;
mod painter;
mod places;
mod ways;

use serde_json::json;

pub use asked::CompleteArgs;

use super::common::Common;
use super::draw::{check_amount, chosen_class};
use super::endings;
use super::given::Given;
use super::measured::weights_in_words;
use super::output::{Output, as_text, counted};
use super::sample::write_log_p;
use crate::error::{Error, Result};
use crate::model::need;
use crate::runtime::Device;
use crate::train::Trained;
use crate::wait::Wait;
use made::Made;
use painter::{Part, labels_of};
use ways::Plan;

/// `kiln complete`
pub fn run(args: &CompleteArgs, common: &Common, output: &Output) -> Result<()> {
    endings::check(&args.out, "completed images", &["png", "npy", "csv", "wav"])?;
    if let Some(path) = &args.log_p {
        endings::check(path, "log p", &["npy", "csv"])?;
    }
    let device = Device::open(&common.device).wait()?;
    let mut trained = Trained::load(&args.run, &device, args.best)?;
    let dims = trained.recipe.data.dims;
    let item: usize = dims.iter().product();
    let seed = common.seed.unwrap_or(1);
    need::completes(trained.model.as_ref())?;
    check_amount(args.count, args.temperature)?;
    let (mask, kept) = args.kept(dims)?;
    let Plan { mut painter, reads, figure, exact, note } = ways::plan(args, &trained, &device, &mask)?;
    let class = chosen_class(&trained, args.class.as_deref())?;
    let classes = trained.recipe.data.classes;
    let given = match (&args.image, &args.data) {
        (Some(path), _) => Given::image(path, args.count, &trained, reads)?,
        (None, Some(source)) => Given::data(source, args.count, &trained, reads)?,
        (None, None) => return Err(Error::usage("kiln complete takes --image or --data")),
    };
    let count = given.count;
    let mut made = Made::new(&args.out, count, &trained)?;
    if let Made::Series(series) = &mut made {
        series.dated(given.dates());
    }
    let (mut log_p, mut first) = (Vec::new(), 0);
    let mut progress = painter.progress(output, &trained, count);
    for part in given.parts(&trained, seed) {
        let (part, own) = part?;
        let here = part.len() / item;
        let labels = labels_of(own, here, (class, classes), first);
        let asked = Part { images: &part, mask: &mask, labels: &labels, first, seed };
        let (mut drawn, known) = painter.paint(&mut trained, &asked, &mut progress)?;
        let shown: Vec<f32> = part.iter().map(|v| reads.shown(*v)).collect();
        // What is kept comes out as it came in, to the last bit.
        drawn.iter_mut().zip(&shown).enumerate().filter(|(i, _)| mask[i % item]).for_each(|(_, (drawn, given))| *drawn = *given);
        made.take(&shown, &mask, drawn)?;
        log_p.extend(known);
        first += here;
    }
    progress.finish();
    made.finish(&args.out, dims, &kept)?;
    let mean = figure.map(|_| log_p.iter().sum::<f64>() / count as f64);
    if let Some(path) = &args.log_p {
        write_log_p(path, log_p)?;
    }
    let weights = weights_in_words(&trained, args.best);
    let under = if args.temperature == 1.0 { String::new() } else { format!(" under temperature {}", args.temperature) };
    let likelihood = figure.zip(mean).map(|(figure, mean)| format!(", {figure}{under} {mean:.2} nats")).unwrap_or_default();
    let found = painter.found().map(|found| found.words()).unwrap_or_default();
    let words = format!(
        "completed {} (kept {kept}){likelihood} · {weights} · seed {seed} · {}{note}{found}",
        counted(count, "image"),
        args.out.display()
    );
    let object = json!({
        "out": as_text(&args.out), "count": count, "keep": kept, "exact": exact, "mean_log_p": mean, "figure": figure, "weights": weights,
        "seed": seed, "temperature": args.temperature, "step": trained.progress.step, "log_p": args.log_p.as_deref().map(as_text),
        "passes": painter.passes(), "search": painter.found().map(|found| found.object()),
    });
    output.result(&words, &object)
}
