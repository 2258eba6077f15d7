//! Work on all cores, where there are several: rayon, or in a page, which has one thread, the same words for one after another.

#[cfg(not(target_family = "wasm"))]
pub(crate) use rayon::{current_num_threads, prelude};

/// Computes on one of the threads that share work: from outside each thing they share would have to be handed in and waited for.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn among<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// In a page there is one thread.
#[cfg(target_family = "wasm")]
pub(crate) fn among<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_family = "wasm")]
pub(crate) use alone::{current_num_threads, prelude};

#[cfg(target_family = "wasm")]
mod alone {
    /// Threads that work is shared among.
    pub(crate) fn current_num_threads() -> usize {
        1
    }

    /// What kiln uses of `rayon::prelude`.
    pub(crate) mod prelude {
        use std::slice::{Chunks, ChunksExactMut, ChunksMut, Iter};

        /// Parts of slices.
        pub(crate) trait ParallelSlice<T> {
            fn par_iter(&self) -> Iter<'_, T>;
            fn par_chunks(&self, len: usize) -> Chunks<'_, T>;
            fn par_chunks_mut(&mut self, len: usize) -> ChunksMut<'_, T>;
            fn par_chunks_exact_mut(&mut self, len: usize) -> ChunksExactMut<'_, T>;
        }

        impl<T> ParallelSlice<T> for [T] {
            fn par_iter(&self) -> Iter<'_, T> {
                self.iter()
            }
            fn par_chunks(&self, len: usize) -> Chunks<'_, T> {
                self.chunks(len)
            }
            fn par_chunks_mut(&mut self, len: usize) -> ChunksMut<'_, T> {
                self.chunks_mut(len)
            }
            fn par_chunks_exact_mut(&mut self, len: usize) -> ChunksExactMut<'_, T> {
                self.chunks_exact_mut(len)
            }
        }

        /// What is gone through by value.
        pub(crate) trait IntoParallelIterator: IntoIterator + Sized {
            fn into_par_iter(self) -> Self::IntoIter {
                self.into_iter()
            }
        }

        impl<I: IntoIterator> IntoParallelIterator for I {}

        /// What rayon's iterators have beyond those of the standard library.
        pub(crate) trait ParallelIterator: Iterator + Sized {
            fn with_min_len(self, _len: usize) -> Self {
                self
            }
            fn try_for_each_init<S, E>(
                mut self,
                init: impl FnOnce() -> S,
                each: impl Fn(&mut S, Self::Item) -> Result<(), E>,
            ) -> Result<(), E> {
                let mut state = init();
                self.try_for_each(|item| each(&mut state, item))
            }
        }

        impl<I: Iterator> ParallelIterator for I {}
    }
}
