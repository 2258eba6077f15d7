//! What a device says of the commands it was given: natively at once, in a browser some time later.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::lock::lock;
use crate::error::{Error, Result};

/// What an error scope caught, once the device tells, and the sentence it makes.
struct Scope {
    caught: Pin<Box<dyn Future<Output = Option<wgpu::Error>> + Send>>,
    sentence: Box<dyn FnOnce(wgpu::Error) -> String + Send>,
}

/// The faults of a device.
#[derive(Default)]
pub(super) struct Faults {
    /// The first that no scope caught: the device is not used after it.
    first: Arc<Mutex<Option<String>>>,
    /// Scopes that are ended and were not answered.
    unanswered: Mutex<Vec<Scope>>,
}

impl Faults {
    /// Listens to a device.
    pub(super) fn of(device: &wgpu::Device) -> Self {
        let faults = Self::default();
        let (on_error, on_loss) = (Arc::clone(&faults.first), Arc::clone(&faults.first));
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            lock(&on_error).get_or_insert_with(|| format!("the GPU refused a command: {e}"));
        }));
        device.set_device_lost_callback(move |reason, what| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&on_loss).get_or_insert_with(|| format!("the GPU was lost ({what}); resume from the last checkpoint"));
            }
        });
        faults
    }

    /// Ends a scope: what it caught is an error here where the device has told by now, and otherwise one of [`Faults::settle`].
    ///
    /// # Errors
    /// [`Error::Device`] with the sentence.
    pub(super) fn end(&self, scope: wgpu::ErrorScopeGuard, sentence: impl FnOnce(wgpu::Error) -> String + Send + 'static) -> Result<()> {
        let mut scope = Scope { caught: Box::pin(scope.pop()), sentence: Box::new(sentence) };
        match scope.caught.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(e)) => Err(Error::Device((scope.sentence)(e))),
            Poll::Ready(None) => Ok(()),
            Poll::Pending => {
                lock(&self.unanswered).push(scope);
                Ok(())
            }
        }
    }

    /// The first error that the device has reported outside a call that could return it.
    pub(super) fn check(&self) -> Result<()> {
        match lock(&self.first).as_ref() {
            Some(fault) => Err(Error::Device(fault.clone())),
            None => Ok(()),
        }
    }

    /// Waits for the answers to all scopes that were ended.
    ///
    /// # Errors
    /// [`Error::Device`] with the first sentence among them, or as [`Faults::check`].
    pub(super) async fn settle(&self) -> Result<()> {
        let unanswered = std::mem::take(&mut *lock(&self.unanswered));
        let mut settled = Ok(());
        for scope in unanswered {
            if let Some(e) = scope.caught.await
                && settled.is_ok()
            {
                settled = Err(Error::Device((scope.sentence)(e)));
            }
        }
        settled.and_then(|()| self.check())
    }
}
