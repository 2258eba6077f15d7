//! What a dispatch of the raster kernel carries out where a CPU stands behind the adapter.
//!
//! lavapipe ends all loops of an invocation, without a word, once they have gone round 65,535 times together. Where an invocation draws an
//! image by itself (ALONE of raster.wgsl), a position of a large network needs more than that: it is carried out in several dispatches,
//! each of some phases, of some steps of a phase, or of some cells of a step.

use super::kernel::four;
use super::program::{Order, RasterProgram, Work};
use crate::model::Law;
use crate::shader::Target;

/// Most rounds of all loops of an invocation; what is counted here leaves out those over nothing but phases.
const MOST: usize = Target::MOST_ROUNDS;
/// No end.
const ALL: u32 = u32::MAX;

/// A part of what is done at a position: phases, steps within each, columns of a step that takes them one by one, cells of a step's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    phases: [u32; 2],
    steps: [u32; 2],
    columns: [u32; 2],
    cells: [u32; 2],
    /// Whether values are drawn at the end of its phases.
    draws: bool,
}

impl Part {
    /// Some phases, all of each.
    fn of_phases(first: usize, end: usize) -> Self {
        Self { phases: [first as u32, end as u32], steps: [0, ALL], columns: [0, ALL], cells: [0, ALL], draws: true }
    }

    /// Its words of the kernel's job.
    pub fn words(&self) -> [u32; 9] {
        let Self { phases: [p, q], steps: [s, t], columns: [k, l], cells: [c, d], draws } = *self;
        [p, q, s, t, k, l, c, d, u32::from(draws)]
    }
}

/// The parts of a position.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// What is done before the first position of a row.
    pub row: Vec<Part>,
    /// What is done at each position.
    pub pixel: Vec<Part>,
    /// Positions that one dispatch may carry out.
    pub most: usize,
}

impl Parts {
    /// Everything at once, and any number of positions.
    pub fn whole() -> Self {
        Self { row: Vec::new(), pixel: vec![Part::of_phases(0, ALL as usize)], most: usize::MAX }
    }

    /// Those of a program whose images invocations draw alone.
    pub fn alone(program: &RasterProgram, law: &Law) -> Self {
        let colours = program.features[0].channels;
        let mut row = Cutter::default();
        for (phase, steps) in [&program.ended, &program.row].into_iter().enumerate() {
            row.phase(program, phase, steps, true, 0);
        }
        let mut pixel = Cutter::default();
        for phase in 0..=colours {
            let (steps, drawn) = match phase {
                0 => (&program.pixel, rounds_of_draw(law)),
                last if last == colours => (&program.late, 0),
                _ => (&program.again, rounds_of_draw(law)),
            };
            pixel.phase(program, 2 + phase, steps, false, drawn);
        }
        let most = if pixel.parts.is_empty() { MOST / (pixel.rounds + colours + 3) } else { 1 };
        Self { row: row.end(), pixel: pixel.end(), most: most.max(1) }
    }
}

/// Puts phases into parts, none of too many rounds.
#[derive(Default)]
struct Cutter {
    parts: Vec<Part>,
    /// The phases of the part that is open, and its rounds.
    open: Option<[usize; 2]>,
    rounds: usize,
}

impl Cutter {
    /// The next phase: steps for the cells of all columns or of one, and what is drawn then.
    fn phase(&mut self, program: &RasterProgram, phase: usize, steps: &[usize], whole: bool, drawn: usize) {
        let costs: Vec<Cost> = steps.iter().map(|step| Cost::of(program, *step, whole)).collect();
        let rounds = drawn + costs.iter().map(|cost| 1 + cost.rounds()).sum::<usize>();
        if self.rounds + rounds <= MOST {
            self.open = Some([self.open.map_or(phase, |[first, _]| first), phase + 1]);
            self.rounds += rounds;
            return;
        }
        self.close();
        if rounds <= MOST {
            (self.open, self.rounds) = (Some([phase, phase + 1]), rounds);
            return;
        }
        // Steps by steps; those that are too long by columns and cells.
        let (mut first, mut sum) = (0, 0);
        let of = |steps: [usize; 2]| Part { steps: steps.map(|s| s as u32), draws: false, ..Part::of_phases(phase, phase + 1) };
        for (at, cost) in costs.iter().enumerate() {
            let rounds = 1 + cost.rounds();
            if sum + rounds > MOST {
                self.parts.extend((at > first).then(|| of([first, at])));
                (first, sum) = (at, 0);
            }
            if rounds > MOST {
                self.parts.extend(cost.pieces().map(|[columns, cells]| Part { columns, cells, ..of([at, at + 1]) }));
                first = at + 1;
            } else {
                sum += rounds;
            }
        }
        self.parts.extend((costs.len() > first).then(|| of([first, costs.len()])));
        if drawn > 0 {
            self.parts.push(Part { draws: true, ..of([costs.len(), costs.len()]) });
        }
    }

    fn close(&mut self) {
        if let Some([first, end]) = self.open.take() {
            self.parts.push(Part::of_phases(first, end));
        }
        self.rounds = 0;
    }

    fn end(mut self) -> Vec<Part> {
        self.close();
        self.parts
    }
}

/// What a step costs.
struct Cost {
    /// Columns that are taken one by one.
    columns: usize,
    /// Cells of all columns that are taken together, of which an invocation makes `wide` at a time.
    cells: usize,
    wide: usize,
    /// Rounds for so many cells.
    each: usize,
}

impl Cost {
    /// The cost of a step for the cells of all columns of a row, or of one.
    fn of(program: &RasterProgram, step: usize, whole: bool) -> Self {
        let step = &program.steps[step];
        let output = &program.features[step.output];
        let places = if whole { output.columns(program.size[1]) } else { 1 };
        let [columns, together] = if step.order() == Order::Together { [1, places] } else { [places, 1] };
        let d = output.channels;
        let (cells, wide, each) = match &step.work {
            Work::Conv { source, taps, .. } => {
                let wide = if four(true, d) { 4 } else { 1 };
                // A loop writes what is made at once.
                (d, wide, 1 + wide + taps.len() * (1 + source.channels))
            }
            Work::Scan { walk, .. } => (d, 1, 1 + walk.taps().len() * (1 + d)),
            Work::Halves { source, .. } => (source.channels, 1, 1),
            Work::Map { .. } | Work::Join(_) => (d, 1, 1),
        };
        Self { columns, cells: together * cells, wide, each }
    }

    /// Rounds of all its cells.
    fn rounds(&self) -> usize {
        self.columns * (1 + self.cells.div_ceil(self.wide) * self.each)
    }

    /// Columns and cells that are few enough for a part, one after another.
    fn pieces(&self) -> impl Iterator<Item = [[u32; 2]; 2]> {
        let span = (MOST / self.each).max(1) * self.wide;
        let (columns, cells) = (self.columns, self.cells);
        let of = move |column: usize, first: usize| [[column, column + 1], [first, (first + span).min(cells)]];
        let pieces = (0..columns).flat_map(move |column| (0..cells).step_by(span).map(move |first| of(column, first)));
        pieces.map(|piece| piece.map(|range| range.map(|v| v as u32)))
    }
}

/// Rounds of the loops that draw a value: at most.
fn rounds_of_draw(law: &Law) -> usize {
    match law {
        Law::Bernoulli => 1,
        Law::Categorical { levels } => 3 * levels,
        Law::Mixture(mixture) => 32 * mixture.components,
        Law::Gaussian(mixture) => 8 * mixture.components,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Binarization, Kind};
    use crate::model::{self, DataSpec, need};

    fn program(name: &str, hyper: &str, dims: [usize; 3]) -> (RasterProgram, Law) {
        let data = DataSpec { dims, classes: 0, kind: Kind::Pixels, binarization: Binarization::None, mean: None };
        let model = model::build(name, &toml::from_str(hyper).unwrap(), &data).unwrap();
        let raster = need::in_order(model.as_ref()).unwrap();
        (RasterProgram::new(&raster.raster_graph(1).unwrap(), model.state()).unwrap(), raster.law())
    }

    #[test]
    fn a_small_network_draws_several_positions_at_once_and_a_large_one_goes_in_parts() {
        let (small, law) = program("pixelcnn", "levels = 4\nblocks = 2\nhidden = 4\nhead = 4", [8, 8, 1]);
        let parts = Parts::alone(&small, &law);
        assert_eq!(parts.pixel, [Part::of_phases(2, 4)]);
        assert!(parts.most > 8, "{}", parts.most);
        for (name, hyper) in [
            ("gated-pixelcnn", "preset = 'small'"),
            ("gated-pixelcnn", "preset = 'paper'"),
            ("gated-pixelcnn", "preset = 'small'\ntask = 'colorize'"),
            ("pixelrnn", "layer = 'diagonal'\nlayers = 4\nhidden = 66"),
        ] {
            let (large, law) = program(name, hyper, [32, 32, 3]);
            let Parts { row, pixel, most } = Parts::alone(&large, &law);
            assert!(row.len() + pixel.len() > 2 && (pixel.len() == 1 || most == 1), "{name}: {} parts", pixel.len());
            // Every cell of every step once, in order, and every value drawn once.
            let colours = large.features[0].channels;
            let phases = [&large.ended, &large.row, &large.pixel];
            let phases = phases.into_iter().chain((1..colours).map(|_| &large.again)).chain([&large.late]);
            let mut drawn = vec![0; 3 + colours];
            for (phase, steps) in phases.enumerate() {
                let of_phase = |part: &&Part| (part.phases[0]..part.phases[1]).contains(&(phase as u32));
                let own: Vec<&Part> = row.iter().chain(&pixel).filter(of_phase).collect();
                drawn[phase] = own.iter().filter(|part| part.draws).count();
                for (at, step) in steps.iter().enumerate() {
                    let cost = Cost::of(&large, *step, phase < 2);
                    let mut done = [0, 0];
                    for part in own.iter().filter(|part| (part.steps[0]..part.steps[1]).contains(&(at as u32))) {
                        let [columns, cells] = [part.columns, part.cells];
                        assert_eq!([columns[0], cells[0]], done, "{name}, phase {phase}, step {at}");
                        let ended = cells[1] as usize >= cost.cells;
                        done = if ended { [columns[1], 0] } else { [columns[0], cells[1]] };
                        let whole = columns[1] == ALL;
                        let rounds =
                            if whole { cost.rounds() } else { (cells[1] - cells[0]).div_ceil(cost.wide as u32) as usize * cost.each };
                        assert!(rounds <= MOST, "{name}, phase {phase}, step {at}: {rounds}");
                    }
                    assert!(done[0] as usize >= cost.columns, "{name}, phase {phase}, step {at}: {done:?}");
                }
            }
            assert!(drawn[2..2 + colours].iter().all(|count| *count == 1), "{name}: {drawn:?}");
        }
    }
}
