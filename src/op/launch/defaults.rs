//! The default table: what variants are chosen by where nothing was tuned, for each class of adapter.

use crate::shader::Class;

/// A row of the table.
pub(super) struct Defaults {
    /// Workgroups that keep the adapter busy: of fewer, part of it idles; for more, tiles would only get smaller.
    pub(super) busy: usize,
    /// Workgroups that the sum of a weight gradient is split among.
    pub(super) splits: usize,
    /// Depth from which a product of too few tiles is split. A split costs another dispatch, which takes as long as some ten tiles do.
    pub(super) split_from: usize,
}

impl Defaults {
    /// The row of a class. That of software drivers was measured (lavapipe and SwiftShader, docs/benchmarks.md). The others follow from
    /// how many multiprocessors such adapters have (over a hundred at most, and some dozen) and from what compilers say of the kernels; `kiln tune`
    /// measures.
    pub(super) fn of(class: Class) -> Self {
        match class {
            Class::Software => Self { busy: 4, splits: 4, split_from: usize::MAX },
            Class::Integrated => Self { busy: 80, splits: 160, split_from: 512 },
            Class::Discrete => Self { busy: 256, splits: 512, split_from: 512 },
        }
    }
}
