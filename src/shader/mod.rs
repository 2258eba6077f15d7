//! WGSL text in, checked module out.

mod launch;

pub use launch::{Binding, Launch, Stage, Target};
