//! The families of models whose training is swept, and the sizes that each is swept over.

/// Sizes of a model and of its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Items a step.
    pub batch: usize,
    /// Channels or hidden units.
    pub width: usize,
    /// Layers or blocks.
    pub depth: usize,
    /// Rows and columns of an image, or steps of a series.
    pub side: usize,
    /// Items of the data set; 0 where one batch stands for it.
    pub data: usize,
}

/// What grows while the others stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Batch,
    Width,
    Depth,
    Side,
    Data,
}

impl Axis {
    pub const ALL: [Self; 5] = [Self::Batch, Self::Width, Self::Depth, Self::Side, Self::Data];

    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Width => "width",
            Self::Depth => "depth",
            Self::Side => "side",
            Self::Data => "data",
        }
    }
}

/// A family of models: what makes one of a size, and where its axes begin.
pub struct Family {
    pub name: &'static str,
    pub model: &'static str,
    pub binary: bool,
    /// Hyper-parameters, TOML.
    pub hyper: fn(&Size) -> String,
    /// `[H, W, C]` of an item.
    pub dims: fn(usize) -> [usize; 3],
    /// What stands still.
    usual: Size,
    /// The least of batch, width, depth and side; none where the family has no such axis. Each point doubles.
    least: [Option<usize>; 4],
}

/// Points of an axis.
const POINTS: u32 = 5;
/// The least of an axis of data; each point doubles.
const LEAST_DATA: usize = 1024;

impl Family {
    /// The sizes of an axis, from the least; none where the family has no such axis.
    pub fn sizes(&self, axis: Axis) -> Vec<Size> {
        let first = match axis {
            Axis::Data => Some(LEAST_DATA),
            other => self.least[other as usize],
        };
        let grown = |n: usize| match axis {
            Axis::Batch => Size { batch: n, ..self.usual },
            Axis::Width => Size { width: n, ..self.usual },
            Axis::Depth => Size { depth: n, ..self.usual },
            Axis::Side => Size { side: n, ..self.usual },
            Axis::Data => Size { data: n, ..self.usual },
        };
        first.into_iter().flat_map(|first| (0..POINTS).map(move |at| first << at)).map(grown).collect()
    }
}

impl Size {
    /// What of it an axis grows.
    pub fn along(&self, axis: Axis) -> usize {
        match axis {
            Axis::Batch => self.batch,
            Axis::Width => self.width,
            Axis::Depth => self.depth,
            Axis::Side => self.side,
            Axis::Data => self.data,
        }
    }
}

const fn size(batch: usize, width: usize, depth: usize, side: usize) -> Size {
    Size { batch, width, depth, side, data: 0 }
}

const fn all(batch: usize, width: usize, depth: usize, side: usize) -> [Option<usize>; 4] {
    [Some(batch), Some(width), Some(depth), Some(side)]
}

fn grey(side: usize) -> [usize; 3] {
    [side, side, 1]
}

fn coloured(side: usize) -> [usize; 3] {
    [side, side, 3]
}

fn series(steps: usize) -> [usize; 3] {
    [steps, 1, 1]
}

/// Every family. The depth of convolutional encoders and adversarial pairs follows from the image's side.
pub const FAMILIES: [Family; 14] = [
    Family {
        name: "autoencoder-mlp",
        model: "autoencoder",
        binary: true,
        hyper: |s| format!("hidden = {}\nlayers = {}", s.width, s.depth),
        dims: grey,
        usual: size(64, 512, 2, 28),
        least: all(32, 128, 1, 8),
    },
    Family {
        name: "vae-mlp",
        model: "vae",
        binary: true,
        hyper: |s| format!("hidden = {}\nlayers = {}", s.width, s.depth),
        dims: grey,
        usual: size(64, 512, 2, 28),
        least: all(32, 128, 1, 8),
    },
    Family {
        name: "cvae-conv",
        model: "cvae",
        binary: true,
        hyper: |s| format!("form = 'conv'\nfilters = {}", s.width),
        dims: grey,
        usual: size(32, 32, 0, 32),
        least: [Some(8), Some(8), None, Some(16)],
    },
    Family {
        name: "gan",
        model: "gan",
        binary: false,
        hyper: |s| format!("hidden = {}\njudge = {}\nlayers = {}", s.width, s.width / 4, s.depth),
        dims: grey,
        usual: size(64, 256, 2, 28),
        least: all(16, 64, 1, 8),
    },
    Family {
        name: "dcgan",
        model: "dcgan",
        binary: false,
        hyper: |s| format!("filters = {}", s.width),
        dims: grey,
        usual: size(16, 16, 0, 32),
        least: [Some(8), Some(8), None, Some(8)],
    },
    Family {
        name: "pixelcnn",
        model: "pixelcnn",
        binary: true,
        hyper: |s| format!("hidden = {0}\nblocks = {1}\nhead = {0}", s.width, s.depth),
        dims: grey,
        usual: size(16, 16, 4, 28),
        least: all(8, 8, 2, 8),
    },
    Family {
        name: "gated-pixelcnn",
        model: "gated-pixelcnn",
        binary: true,
        hyper: |s| format!("hidden = {0}\nlayers = {1}\nhead = {0}", s.width, s.depth),
        dims: grey,
        usual: size(8, 24, 4, 28),
        least: all(4, 8, 1, 8),
    },
    Family {
        name: "pixelcnn-pp",
        model: "pixelcnn-pp",
        binary: false,
        hyper: |s| format!("filters = {}\nblocks = {}\nstages = 2\nmixtures = 5", s.width, s.depth),
        dims: coloured,
        usual: size(8, 16, 1, 16),
        least: all(4, 8, 1, 8),
    },
    Family {
        name: "pixelrnn-row",
        model: "pixelrnn",
        binary: true,
        hyper: |s| format!("layer = 'row'\nhidden = {}\nlayers = {}", s.width, s.depth),
        dims: grey,
        usual: size(16, 16, 2, 28),
        least: all(8, 8, 1, 8),
    },
    Family {
        name: "pixelrnn-diag",
        model: "pixelrnn",
        binary: true,
        hyper: |s| format!("layer = 'diagonal'\nhidden = {}\nlayers = {}", s.width, s.depth),
        dims: grey,
        usual: size(16, 16, 2, 28),
        least: all(8, 8, 1, 8),
    },
    Family {
        name: "diffusion",
        model: "diffusion",
        binary: false,
        hyper: |s| format!("filters = {}\nmultipliers = [1, 2]\nblocks = {}\nattention = [{}]", s.width, s.depth, s.side / 2),
        dims: coloured,
        usual: size(8, 16, 1, 16),
        least: all(4, 8, 1, 8),
    },
    Family {
        name: "wavenet",
        model: "wavenet",
        binary: false,
        hyper: |s| format!("residual = {}\nskip = {1}\nhead = {1}\ndepth = 5\nstacks = {2}", s.width, 2 * s.width, s.depth),
        dims: series,
        usual: size(4, 16, 2, 512),
        least: all(2, 8, 1, 128),
    },
    Family {
        name: "rnn-gru",
        model: "rnn",
        binary: true,
        hyper: |s| format!("cell = 'gru'\nhidden = {}\nlayers = {}", s.width, s.depth),
        dims: series,
        usual: size(16, 32, 1, 256),
        least: all(4, 16, 1, 256),
    },
    Family {
        name: "rnn-lstm",
        model: "rnn",
        binary: true,
        hyper: |s| format!("cell = 'lstm'\nhidden = {}\nlayers = {}", s.width, s.depth),
        dims: series,
        usual: size(16, 32, 1, 256),
        least: all(4, 16, 1, 256),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_doubles_what_it_names_and_nothing_else() {
        for family in &FAMILIES {
            for axis in Axis::ALL {
                let sizes = family.sizes(axis);
                assert!(sizes.is_empty() || sizes.len() == POINTS as usize, "{}", family.name);
                for pair in sizes.windows(2) {
                    let grown = |a: Axis| (pair[1].along(a), if a == axis { 2 } else { 1 } * pair[0].along(a));
                    assert!(Axis::ALL.into_iter().map(grown).all(|(later, due)| later == due), "{} {}", family.name, axis.name());
                }
            }
        }
    }
}
