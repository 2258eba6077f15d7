//! The order in which a scan visits the cells of an image, and what a cell reads.

/// Gates of a recurrence's cell.
pub const GATES: usize = 4;

/// The order in which the cells of an image are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Walk {
    /// Row by row; a cell reads `kernel` (an odd number of) cells around it in the row above (Row LSTM).
    Rows {
        /// Cells read.
        kernel: usize,
    },
    /// Diagonal by diagonal from the upper left corner; a cell reads those above it and left of it (Diagonal LSTM).
    Rightward,
    /// Diagonal by diagonal from the upper right corner; a cell reads those above it and right of it.
    Leftward,
}

/// What lies where a cell reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Another cell, by row and column.
    Cell([usize; 2]),
    /// Nothing was before it: the initial state.
    Initial,
    /// Beyond the image: zero.
    Zero,
}

impl Walk {
    /// Row and column offset of each cell that a cell reads.
    pub fn taps(self) -> Vec<[i32; 2]> {
        match self {
            Self::Rows { kernel } => (0..kernel as i32).map(|k| [-1, k - (kernel / 2) as i32]).collect(),
            Self::Rightward => vec![[-1, 0], [0, -1]],
            Self::Leftward => vec![[-1, 0], [0, 1]],
        }
    }

    /// The offset of the cell whose cell state a cell goes on from.
    pub fn carry(self) -> [i32; 2] {
        match self {
            Self::Rows { .. } => [-1, 0],
            Self::Rightward => [0, -1],
            Self::Leftward => [0, 1],
        }
    }

    /// Columns on either side of the image that cells read.
    pub fn margin(self) -> usize {
        match self {
            Self::Rows { kernel } => (kernel / 2).max(1),
            _ => 1,
        }
    }

    /// Steps of an image of this height and width.
    pub fn steps(self, [h, w]: [usize; 2]) -> usize {
        match self {
            Self::Rows { .. } => h,
            _ if h == 0 || w == 0 => 0,
            _ => h + w - 1,
        }
    }

    /// Most cells of a step.
    pub fn widest(self, [h, w]: [usize; 2]) -> usize {
        match self {
            Self::Rows { .. } => w,
            _ => h.min(w),
        }
    }

    /// Row and column of the cells of a step.
    pub fn cells(self, step: usize, [h, w]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
        let lanes = match self {
            Self::Rows { .. } => 0..w,
            _ => (step + 1).saturating_sub(w)..h.min(step + 1),
        };
        lanes.map(move |lane| match self {
            Self::Rows { .. } => [step, lane],
            Self::Rightward => [lane, step - lane],
            Self::Leftward => [lane, w - 1 - (step - lane)],
        })
    }

    /// Chains that cell states go along, and the one a cell lies on.
    pub fn lanes(self, [h, w]: [usize; 2]) -> usize {
        match self {
            Self::Rows { .. } => w,
            _ => h,
        }
    }

    /// The chain a cell lies on.
    pub fn lane(self, [y, x]: [usize; 2]) -> usize {
        match self {
            Self::Rows { .. } => x,
            _ => y,
        }
    }

    /// Row and column before the first cell of a chain.
    pub fn before(self, lane: usize, [_, w]: [usize; 2]) -> [i32; 2] {
        match self {
            Self::Rows { .. } => [-1, lane as i32],
            Self::Rightward => [lane as i32, -1],
            Self::Leftward => [lane as i32, w as i32],
        }
    }

    /// What a cell finds at an offset.
    pub fn read(self, [y, x]: [usize; 2], [dy, dx]: [i32; 2], [h, w]: [usize; 2]) -> Read {
        let (y, x) = (y as i32 + dy, x as i32 + dx);
        let (row, column) = ((0..h as i32).contains(&y), (0..w as i32).contains(&x));
        let initial = match self {
            Self::Rows { .. } => column && y < 0,
            Self::Rightward => row && x < 0,
            Self::Leftward => row && x >= w as i32,
        };
        match (row && column, initial) {
            (true, _) => Read::Cell([y as usize, x as usize]),
            (_, true) => Read::Initial,
            _ => Read::Zero,
        }
    }

    /// Elements that the adjoint of a scan makes of an image of this height, width and number of hidden units.
    pub fn adjoint_len(self, [height, width, hidden]: [usize; 3]) -> usize {
        (height * width + self.taps().len()) * GATES * hidden + hidden
    }
}
