//! What a network that draws images is shown of each beforehand: a small image to enlarge, or a grey one to colour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};

/// What a run is for, besides drawing images from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Colours for grey images.
    Colorize,
    /// Larger images for small ones.
    Upscale,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The image of means of `factor` × `factor` pixels.
    Small {
        /// 2 or 4.
        factor: usize,
    },
    /// The luma of each pixel (ITU-R BT.601: .299 R + .587 G + .114 B).
    Luma,
}

/// Shares of red, green and blue in luma.
pub const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

impl Shown {
    /// What a task shows of images of `dims`; `None` where there is no task.
    ///
    /// # Errors
    /// [`Error::Usage`] where the images have no such part.
    pub fn of(model: &str, task: Option<Task>, factor: Option<usize>, [h, w, c]: [usize; 3]) -> Result<Option<Self>> {
        let refuse = |words: String| Err(Error::usage(format!("{model}: {words}")));
        match (task, factor) {
            (None, None) => Ok(None),
            (None | Some(Task::Colorize), Some(_)) => {
                refuse("factor says how much task=upscale enlarges; leave one out, or take both".into())
            }
            (Some(Task::Colorize), None) if c != 3 => refuse(format!("task=colorize needs images in colour, and these have {c} channel")),
            (Some(Task::Colorize), None) => Ok(Some(Self::Luma)),
            (Some(Task::Upscale), factor) => match factor.unwrap_or(2) {
                factor @ (2 | 4) if h % factor == 0 && w % factor == 0 => Ok(Some(Self::Small { factor })),
                factor @ (2 | 4) => refuse(format!("factor={factor} does not divide images of {h}×{w}; take --set size=")),
                factor => refuse(format!("factor is 2 or 4, not {factor}")),
            },
        }
    }

    /// Height, width and channels of what is shown of images of `dims`.
    pub fn dims(self, [h, w, c]: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Small { factor } => [h / factor, w / factor, c],
            Self::Luma => [h, w, 1],
        }
    }

    /// What is shown of images `[N, H, W, C]`, of [`Shown::dims`].
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` are no such images.
    pub fn of_images(self, g: &mut Graph, x: NodeId) -> Result<NodeId> {
        match self {
            Self::Small { factor } => (0..factor.ilog2()).try_fold(x, |x, _| g.average_pool(x)),
            Self::Luma => {
                let [red, green, blue] = [g.slice(x, 3, 0, 1)?, g.slice(x, 3, 1, 1)?, g.slice(x, 3, 2, 1)?];
                g.map(&[red, green, blue], |b, v| {
                    let [red, green, blue] = [0, 1, 2].map(|k| b.scale(v[k], LUMA[k]));
                    let sum = b.add(red, green);
                    b.add(sum, blue)
                })
            }
        }
    }

    /// What is shown, spread over the pixels of the image: `[N, H, W, …]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where it is no image.
    pub fn spread(self, g: &mut Graph, shown: NodeId) -> Result<NodeId> {
        match self {
            Self::Small { factor } => (0..factor.ilog2()).try_fold(shown, |x, _| g.upsample(x)),
            Self::Luma => Ok(shown),
        }
    }

    /// What it is of an image, in words.
    pub fn words(self) -> String {
        match self {
            Self::Small { factor } => format!("the means of its squares of {factor}×{factor} pixels"),
            Self::Luma => "its luma".into(),
        }
    }

    /// What is shown of one image `[H, W, C]` on the host.
    pub fn of_image(self, image: &[f32], dims @ [_, w, c]: [usize; 3]) -> Vec<f32> {
        let [rows, columns, _] = self.dims(dims);
        match self {
            Self::Small { factor } => {
                let mean = |y: usize, x: usize, k: usize| {
                    let part = (0..factor * factor).map(|i| image[((y * factor + i / factor) * w + x * factor + i % factor) * c + k]);
                    part.sum::<f32>() / (factor * factor) as f32
                };
                let places = (0..rows).flat_map(|y| (0..columns).flat_map(move |x| (0..c).map(move |k| (y, x, k))));
                places.map(|(y, x, k)| mean(y, x, k)).collect()
            }
            Self::Luma => image.chunks(3).map(luma).collect(),
        }
    }
}

/// The luma of a pixel.
pub fn luma(pixel: &[f32]) -> f32 {
    pixel.iter().zip(LUMA).map(|(v, share)| v * share as f32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{StateSpec, Step};
    use crate::runtime::{Device, Program, State, Weights};
    use crate::wait::Wait;

    #[test]
    fn graph_and_host_show_the_same() {
        let dims = [4, 8, 3];
        let image: Vec<f32> = (0..96).map(|i| (i as f32 * 0.37).sin()).collect();
        for shown in [Shown::Small { factor: 2 }, Shown::Small { factor: 4 }, Shown::Luma] {
            let mut g = Graph::new();
            let x = g.input("x", [1, 4, 8, 3]);
            let of = shown.of_images(&mut g, x).unwrap();
            let over = shown.spread(&mut g, of).unwrap();
            assert_eq!(g.shape(over).dims()[1..3], [4, 8]);
            g.output("shown", of);
            let device = Device::open("cpu").wait().unwrap();
            let mut state = State::initial(&device, &StateSpec::default(), 0).unwrap();
            let mut program = Program::new(&device, &g, &state, Weights::Current).wait().unwrap();
            program.write("x", &image).unwrap();
            program.run(&mut state, &Step::default()).wait().unwrap();
            let made = program.read(&state, "shown").wait().unwrap();
            let own = shown.of_image(&image, dims);
            assert_eq!(own.len(), shown.dims(dims).iter().product::<usize>());
            assert!(made.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-6), "{shown:?}");
        }
    }

    #[test]
    fn tasks_that_images_have_no_part_for_are_refused() {
        let of = |task, factor, dims| Shown::of("m", task, factor, dims).map_err(|e| e.to_string());
        assert_eq!(of(None, None, [8, 8, 1]), Ok(None));
        assert_eq!(of(Some(Task::Upscale), None, [8, 8, 1]), Ok(Some(Shown::Small { factor: 2 })));
        assert_eq!(of(Some(Task::Colorize), None, [8, 8, 3]), Ok(Some(Shown::Luma)));
        for (task, factor, dims, said) in [
            (None, Some(2), [8, 8, 3], "task=upscale"),
            (Some(Task::Colorize), Some(2), [8, 8, 3], "task=upscale"),
            (Some(Task::Colorize), None, [8, 8, 1], "in colour"),
            (Some(Task::Upscale), Some(3), [9, 9, 3], "2 or 4"),
            (Some(Task::Upscale), Some(4), [6, 8, 3], "does not divide"),
        ] {
            assert!(of(task, factor, dims).unwrap_err().contains(said));
        }
    }
}
