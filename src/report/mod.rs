//! What a run shows: picture grids, curves, scatter plots, self-contained HTML pages, and `.npy` arrays.
//!
//! Everything here takes plain numbers and gives a picture or a file; nothing knows a model or a device.

mod animation;
mod axis;
mod base64;
mod chart;
mod confusion;
mod events;
mod fan;
mod file;
mod grid;
mod npy;
mod page;
mod paint;
mod roofline;
mod scatter;
mod sequences;
mod surprise;
mod table;
mod text;

pub use animation::{save_apng, save_gif};
pub use chart::{ChartOptions, Series, chart};
pub use confusion::confusion;
pub use events::{EventFile, Setting, records};
pub use fan::fan;
pub use file::{png_bytes, save_image, save_png, write_atomically};
pub use grid::{GridOptions, Mark, grid, grid_with, image};
pub use npy::{
    NpyStream, read_npy_classes, read_npy_f32, write_npy_f32, write_npy_f64, write_npy_i64, write_npy_u8, write_npy_u32, write_table,
};
pub use page::Page;
pub use roofline::{Roof, roofline};
pub use scatter::{PointSet, scatter};
pub use sequences::sequences;
pub use surprise::{SurprisePicture, surprise};
pub use table::{Column, write_csv};
