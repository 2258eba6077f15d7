//! How the gates of a recurrence's cell make its state.

/// The cell of a recurrence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gating {
    /// LSTM, gates i, f, g, o: `c = σ(f)·c₋ + σ(i)·tanh(g)`, `h = σ(o)·tanh(c)`.
    #[default]
    Lstm,
    /// GRU, gates r, z, m, n: `h = (1 − σ(z))·ñ + σ(z)·h₋` with `ñ = tanh(n + σ(r)·m)` (Cho et al., 2014; the reset gate behind the product,
    /// as PyTorch and cuDNN have it). m is what hidden states and a bias of their own add to the candidate, n what the input adds.
    Gru,
}

impl Gating {
    /// The first gates, those that hidden states enter: all, but for n of a GRU.
    pub fn entered(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Rows of the initial state: the hidden state and, of an LSTM, the cell state.
    pub fn states(self) -> usize {
        match self {
            Self::Lstm => 2,
            Self::Gru => 1,
        }
    }

    /// The row of the initial state that first cells go on from.
    pub fn carried(self) -> usize {
        self.states() - 1
    }
}
