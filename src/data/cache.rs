//! Items that cost much to read, kept as bytes once they were read.

use super::layer::Layer;
use super::{Kind, Source, item_len};
use crate::Result;
use crate::parallel::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes of items that all caches of the program hold at most; what comes after is read anew each time.
const LIMIT: usize = 512 << 20;
/// Sources of up to so many stored bytes are read whole when they are opened, so that a spoiled file is refused before anything is done.
const SMALL: u64 = 32 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Another source, its items held in memory as they were read, up to 512 MiB of them.
pub struct Cached {
    inner: Arc<dyn Source>,
    items: Vec<OnceLock<Box<[u8]>>>,
    held: AtomicUsize,
}

impl Cached {
    /// `inner` with a cache where reading costs much and its items are bytes.
    ///
    /// # Errors
    /// An item of a small source that cannot be read.
    pub fn over(inner: Arc<dyn Source>) -> Result<Arc<dyn Source>> {
        if !inner.costly() || inner.kind() == Kind::Points {
            return Ok(inner);
        }
        let items = (0..inner.len()).map(|_| OnceLock::new()).collect();
        let cached = Self { inner, items, held: AtomicUsize::new(0) };
        if cached.is_small()? {
            let item = item_len(cached.inner.dims());
            (0..cached.items.len()).into_par_iter().try_for_each_init(|| vec![0.0; item], |out, index| cached.fill(index, out))?;
        }
        Ok(Arc::new(cached))
    }

    fn is_small(&self) -> Result<bool> {
        if self.inner.origin().is_some() {
            return Ok(false);
        }
        let mut total = 0;
        for index in 0..self.items.len() {
            total += self.inner.stored_size(index)?;
            if total > SMALL {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps an item where there is room.
    fn keep(&self, index: usize, values: &[f32]) {
        let size = values.len();
        let room = |held: usize| held.checked_add(size).filter(|after| *after <= LIMIT);
        if HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return;
        }
        let bytes = values.iter().map(|v| *v as u8).collect();
        if self.items[index].set(bytes).is_ok() {
            self.held.fetch_add(size, Ordering::Relaxed);
        } else {
            HELD.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        HELD.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
    }
}

impl Layer for Cached {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn fill(&self, below: usize, out: &mut [f32]) -> Result<()> {
        if let Some(bytes) = self.items[below].get() {
            for (value, byte) in out.iter_mut().zip(bytes) {
                *value = f32::from(*byte);
            }
            return Ok(());
        }
        self.inner.read(below, out)?;
        self.keep(below, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_read;
    use super::*;

    struct Counted(AtomicUsize);

    impl Source for Counted {
        fn len(&self) -> usize {
            3
        }
        fn dims(&self) -> [usize; 3] {
            [1, 2, 1]
        }
        fn kind(&self) -> Kind {
            Kind::Pixels
        }
        fn origin(&self) -> Option<String> {
            Some("counted".into())
        }
        fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
            check_read(self, index, out)?;
            self.0.fetch_add(1, Ordering::Relaxed);
            out.copy_from_slice(&[index as f32, 255.0]);
            Ok(())
        }
        fn name(&self) -> String {
            "counted".into()
        }
        fn costly(&self) -> bool {
            true
        }
    }

    #[test]
    fn an_item_is_read_once_and_stays_what_it_was() {
        let counted = Arc::new(Counted(AtomicUsize::new(0)));
        let cached = Cached::over(counted.clone()).unwrap();
        let mut out = [0.0; 2];
        for index in [2, 0, 2, 2, 1, 0] {
            cached.read(index, &mut out).unwrap();
            assert_eq!(out, [index as f32, 255.0]);
        }
        assert_eq!(counted.0.load(Ordering::Relaxed), 3);
        assert!(cached.read(3, &mut out).is_err());
    }
}
