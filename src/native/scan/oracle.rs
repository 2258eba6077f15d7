//! Scans as their definition says, for the `f64` oracle.

use super::ScanJob;
use crate::tensor::{Gating, Read};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The gates and cell states of one image, and what the adjoint takes apart.
struct Image<'a, 'b> {
    job: &'a ScanJob<'b, f64>,
    sums: &'a [f64],
}

impl Image<'_, '_> {
    fn index(&self, [y, x]: [usize; 2]) -> usize {
        y * self.job.size[1] + x
    }

    /// The state that a cell finds at an offset, `which` row of the initial ones where none was before it.
    fn state(&self, states: &[f64], cell: [usize; 2], tap: [i32; 2], unit: usize, which: usize) -> f64 {
        let n = self.job.hidden;
        match self.job.walk.read(cell, tap, self.job.size) {
            Read::Cell(at) => states[self.index(at) * n + unit],
            Read::Initial => self.job.initial[which * n + unit],
            Read::Zero => 0.0,
        }
    }

    /// The gates i, f, g, o of a unit of an LSTM; r, z, m and the candidate of a GRU.
    fn gates(&self, hidden: &[f64], cell: [usize; 2], unit: usize) -> [f64; 4] {
        let n = self.job.hidden;
        let sum = |gate: usize| {
            let column = gate * n + unit;
            let mut sum = self.sums[self.index(cell) * 4 * n + column];
            let entered = self.job.entered();
            if column >= entered {
                return sum;
            }
            for (t, tap) in self.job.walk.taps().into_iter().enumerate() {
                for k in 0..n {
                    sum += self.state(hidden, cell, tap, k, 0) * self.job.weights[(t * n + k) * entered + column];
                }
            }
            sum
        };
        let [first, second, third, fourth] = [sigmoid(sum(0)), sigmoid(sum(1)), sum(2), sum(3)];
        match self.job.gating {
            Gating::Lstm => [first, second, third.tanh(), sigmoid(fourth)],
            Gating::Gru => [first, second, third, (fourth + first * third).tanh()],
        }
    }

    fn cells(&self) -> Vec<[usize; 2]> {
        let (walk, size) = (self.job.walk, self.job.size);
        (0..walk.steps(size)).flat_map(|step| walk.cells(step, size)).collect()
    }

    /// Fills hidden states and those that cells go on from.
    fn forward(&self, hidden: &mut [f64], cell_states: &mut [f64]) {
        let n = self.job.hidden;
        for cell in self.cells() {
            for unit in 0..n {
                let gates = self.gates(hidden, cell, unit);
                let before = self.state(cell_states, cell, self.job.walk.carry(), unit, self.job.gating.carried());
                let at = self.index(cell) * n + unit;
                (cell_states[at], hidden[at]) = match (self.job.gating, gates) {
                    (Gating::Lstm, [i, f, g, o]) => {
                        let c = f * before + i * g;
                        (c, o * c.tanh())
                    }
                    (Gating::Gru, [_, z, _, candidate]) => {
                        let h = (1.0 - z) * candidate + z * before;
                        (h, h)
                    }
                };
            }
        }
    }
}

/// Hidden states.
pub fn forward(job: &ScanJob<'_, f64>, output: &mut [f64]) {
    let size = job.cells() * job.hidden;
    for (sums, hidden) in job.sums.chunks(4 * size.max(1)).zip(output.chunks_mut(size.max(1))) {
        Image { job, sums }.forward(hidden, &mut vec![0.0; size]);
    }
}

/// What `op::ScanAdjoint` makes.
pub fn adjoint(job: &ScanJob<'_, f64>, upstream: &[f64], hidden: &[f64], output: &mut [f64]) {
    let (n, walk) = (job.hidden, job.walk);
    let size = job.cells() * n;
    if size == 0 {
        return output.fill(0.0);
    }
    let len = job.adjoint_len();
    let images = job.sums.chunks(4 * size).zip(upstream.chunks(size)).zip(hidden.chunks(size)).zip(output.chunks_mut(len));
    for (((sums, upstream), hidden), out) in images {
        let image = Image { job, sums };
        let mut cell_states = vec![0.0; size];
        image.forward(&mut vec![0.0; size], &mut cell_states);
        let mut d_hidden = upstream.to_vec();
        let mut d_cells = vec![0.0; size];
        out.fill(0.0);
        let (dz, rest) = out.split_at_mut(4 * size);
        let (met, d_initial) = rest.split_at_mut(walk.taps().len() * 4 * n);
        for cell in image.cells().into_iter().rev() {
            for unit in 0..n {
                let at = image.index(cell);
                let gates = image.gates(hidden, cell, unit);
                let before = image.state(&cell_states, cell, walk.carry(), unit, job.gating.carried());
                let (dh, asked) = (d_hidden[at * n + unit], d_cells[at * n + unit]);
                let (parts, d_before) = match (job.gating, gates) {
                    (Gating::Lstm, [i, f, g, o]) => {
                        let squashed = cell_states[at * n + unit].tanh();
                        let dc = asked + dh * o * (1.0 - squashed * squashed);
                        let di = dc * g * i * (1.0 - i);
                        ([di, dc * before * f * (1.0 - f), dc * i * (1.0 - g * g), dh * squashed * o * (1.0 - o)], dc * f)
                    }
                    (Gating::Gru, [r, z, m, candidate]) => {
                        let d = asked + dh;
                        let dn = d * (1.0 - z) * (1.0 - candidate * candidate);
                        ([dn * m * r * (1.0 - r), d * (before - candidate) * z * (1.0 - z), dn * r, dn], d * z)
                    }
                };
                match walk.read(cell, walk.carry(), job.size) {
                    Read::Cell(other) => d_cells[image.index(other) * n + unit] = d_before,
                    Read::Initial => d_initial[unit] += d_before,
                    Read::Zero => {}
                }
                for (gate, part) in parts.into_iter().enumerate() {
                    dz[at * 4 * n + gate * n + unit] = part;
                }
            }
            let own = &dz[image.index(cell) * 4 * n..][..4 * n];
            let entered = job.entered();
            for (t, tap) in walk.taps().into_iter().enumerate() {
                match walk.read(cell, tap, job.size) {
                    Read::Cell(other) => {
                        for k in 0..n {
                            let row = &job.weights[(t * n + k) * entered..][..entered];
                            d_hidden[image.index(other) * n + k] += row.iter().zip(own).map(|(w, d)| w * d).sum::<f64>();
                        }
                    }
                    Read::Initial => met[t * 4 * n..][..4 * n].iter_mut().zip(own).for_each(|(m, d)| *m += d),
                    Read::Zero => {}
                }
            }
        }
    }
}
