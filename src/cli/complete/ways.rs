//! The ways to the rest of an image: what each asks of a run, and what must be known to read what it comes to.

use super::asked::{CompleteArgs, SearchMethod};
use super::painter::{Painter, Searching};
use super::places;
use crate::cli::given::Reads;
use crate::error::{Error, Result};
use crate::model::need::{self, Completes};
use crate::model::{Decodes, Denoises};
use crate::runtime::Device;
use crate::sample::diffusion::Solver;
use crate::sample::raster;
use crate::train::Trained;

/// How often a step is gone around what is kept, where the command does not say.
const RESAMPLE: usize = 4;
/// Latents that a search begins from, and its steps, where the command does not say.
const STARTS: usize = 8;
const WALK: usize = 300;
/// Deviation of kept pixels from what a generator makes, where the command does not say.
const WIDTH: f64 = 0.1;

/// What is known of a completion before it is drawn.
pub struct Plan {
    /// What draws.
    pub painter: Painter,
    /// The values that it reads.
    pub reads: Reads,
    /// What log p is a mean of; nothing where there is none.
    pub figure: Option<&'static str>,
    /// Whether what is drawn follows p(rest | kept) exactly.
    pub exact: bool,
    /// What must be known to read the result.
    pub note: String,
}

/// Completion in raster order.
fn in_order(args: &CompleteArgs, trained: &Trained, device: &Device, mask: &[bool]) -> Result<Plan> {
    args.denoising.settings(trained.model.as_ref())?;
    if args.resample.is_some() {
        let name = trained.model.name();
        return Err(Error::usage(format!("--resample is of diffusion models, and a {name} takes no noise away; leave it out")));
    }
    args.search.refuse(trained.model.name())?;
    let painter = Painter::raster(trained, device, args.temperature)?;
    let network = need::raster(trained.model.as_ref())?;
    let scales = raster::scales(network);
    let drawn: Vec<bool> = raster::order(trained.recipe.data.dims, scales).into_iter().map(|place| mask[place]).collect();
    let (in_raster_order, exact) = (places::is_exact(mask), places::is_exact(&drawn));
    if !in_raster_order && !args.teacher_forced {
        return Err(Error::usage(format!(
            "{}: pixels are drawn from the top, each row from the left, so none can be drawn given what is kept below it or to its \
             right; keep top:N, take --teacher-forced for an approximation that draws each given what stands before it alone, or train a \
             model that draws around anything: {}",
            args.kept_flags(),
            need::complete_any_part()
        )));
    }
    if in_raster_order && args.teacher_forced {
        return Err(Error::usage("all that is kept stands before all that is drawn and guides it anyway; leave --teacher-forced out"));
    }
    let mut note = String::new();
    if !exact && scales > 1 {
        note += "\nan approximation: pixels are drawn scale by scale, and what is kept off the grid of a coarser scale did not guide it";
    }
    if !in_raster_order {
        note += "\nan approximation: what is kept below or to the right of a pixel did not guide it";
    }
    let figure =
        if exact { "mean log p of the rest given what is kept" } else { "mean log p of what is drawn, each value given those before it" };
    Ok(Plan { painter, reads: Reads::of(&network.law()), figure: Some(figure), exact, note })
}

fn refuse_points(trained: &Trained) -> Result<()> {
    if trained.recipe.data.points {
        return Err(Error::usage("kiln complete draws the rest of images, and this run was made for points; take kiln sample"));
    }
    Ok(())
}

/// Completion from noise.
fn from_noise(args: &CompleteArgs, network: &dyn Denoises, trained: &Trained, device: &Device) -> Result<Plan> {
    let name = trained.model.name();
    args.search.refuse(name)?;
    let foreign = [
        (args.log_p.is_some(), "--log-p", "draws images without knowing their log p"),
        (args.temperature != 1.0, "--temperature", "has no temperature"),
        (args.teacher_forced, "--teacher-forced", "lets all that is kept guide all that is drawn"),
    ];
    if let Some((_, flag, reason)) = foreign.into_iter().find(|(given, ..)| *given) {
        return Err(Error::usage(format!("a {name} {reason}; leave {flag} out")));
    }
    refuse_points(trained)?;
    // Steps with fresh noise, each of which can be gone again.
    let settings = args.denoising.settings_of(network, Some((Solver::Ddim, 1.0)))?;
    let solver = settings.way.solver;
    let again = [Solver::Ddpm, Solver::Ddim, Solver::Euler].contains(&solver);
    let times = args.resample.unwrap_or(if again { RESAMPLE } else { 1 });
    let painter = Painter::noise(trained, device, &settings, times, args.count)?;
    let passes = painter.passes().unwrap_or(0);
    let how = format!("by {} in {passes} passes, each step gone {times} times", solver.name());
    let note = format!("\n{how}: an approximation of p(rest | kept)");
    Ok(Plan { painter, reads: Reads::signed(trained), figure: None, exact: false, note })
}

/// Completion by a search among latents.
fn from_latents(args: &CompleteArgs, decoder: &dyn Decodes, trained: &Trained, device: &Device) -> Result<Plan> {
    let name = trained.model.name();
    args.denoising.settings(trained.model.as_ref())?;
    let foreign = [
        (args.log_p.is_some(), "--log-p", "does not tell log p of what it completes"),
        (args.temperature != 1.0, "--temperature", "has no temperature where it completes images"),
        (args.teacher_forced, "--teacher-forced", "is guided by all that is kept"),
        (args.resample.is_some(), "--resample", "takes no noise away"),
    ];
    if let Some((_, flag, reason)) = foreign.into_iter().find(|(given, ..)| *given) {
        return Err(Error::usage(format!("a {name} {reason}; leave {flag} out")));
    }
    refuse_points(trained)?;
    let own = decoder.explain_graph(1)?.is_some();
    if own && args.search.width.is_some() {
        let words = "says itself how far pixels lie from what its decoder makes";
        return Err(Error::usage(format!("a {name} {words}; leave --width out")));
    }
    let width = args.search.width.unwrap_or(WIDTH);
    if !(width >= 0.001 && width.is_finite()) {
        return Err(Error::usage(format!("--width must be a number of at least 0.001, not {width}")));
    }
    let (starts, steps) = (args.search.starts.unwrap_or(STARTS), args.search.walk.unwrap_or(WALK));
    if starts == 0 {
        return Err(Error::usage("--starts must be at least 1"));
    }
    if steps < 2 {
        return Err(Error::usage(format!("--walk must be at least 2 steps, not {steps}")));
    }
    let chain = args.search.method == Some(SearchMethod::Mala);
    let agrees =
        if own { "as its decoder has it".to_string() } else { format!("a normal distribution of deviation {width} around what it makes") };
    let searched =
        format!("the best of {starts} searches among latents, {steps} steps of Adam each, for p(kept | latent), {agrees}, times the prior");
    let note = if chain {
        format!(
            "\nby a chain of {steps} Langevin steps from {searched}: of p(latent | kept) as chains grow longer, each shown as what is made of its latent"
        )
    } else {
        format!("\nby {searched}: the likeliest that was found, and no draw of p(rest | kept)")
    };
    let searching = Searching { starts, steps, chain, width };
    let painter = Painter::latents(trained, device, searching, args.count)?;
    Ok(Plan { painter, reads: Reads::shares(trained), figure: None, exact: false, note })
}

/// How a run completes images around what is kept.
///
/// # Errors
/// [`Error::Usage`] where it does not, or not so; errors of the device.
pub fn plan(args: &CompleteArgs, trained: &Trained, device: &Device, mask: &[bool]) -> Result<Plan> {
    match need::completes(trained.model.as_ref())? {
        Completes::Raster(_) => in_order(args, trained, device, mask),
        Completes::Noise(network) => from_noise(args, network, trained, device),
        Completes::Latents(decoder) => from_latents(args, decoder, trained, device),
    }
}
