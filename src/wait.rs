//! The one place where a program that may stand still does, and where one that may not gives way.
//!
//! What asks a device for anything is a future: in a browser nothing may wait. Natively whoever is at the edge writes `.wait()` where a
//! browser's page awaits.

/// Futures that a native program waits for.
#[cfg(not(target_family = "wasm"))]
pub trait Wait: Future + Sized {
    /// Stands still until the future is done.
    fn wait(self) -> Self::Output {
        pollster::block_on(self)
    }
}

#[cfg(not(target_family = "wasm"))]
impl<F: Future> Wait for F {}

/// Lets others of the same thread have their turn between the steps of long work: in a browser what a visitor does, natively nobody.
pub(crate) async fn breathe() {
    #[cfg(target_family = "wasm")]
    turn().await;
}

/// Waits for a message to oneself, which comes after all that is waiting. (A timer would take four milliseconds.)
#[cfg(target_family = "wasm")]
async fn turn() {
    let Ok(channel) = web_sys::MessageChannel::new() else { return };
    let told = js_sys::Promise::new(&mut |resolve, _| {
        channel.port1().set_onmessage(Some(&resolve));
        // Nothing but a message of nothing is sent, which cannot fail.
        let _ = channel.port2().post_message(&wasm_bindgen::JsValue::NULL);
    });
    let _ = wasm_bindgen_futures::JsFuture::from(told).await;
    channel.port1().close();
}
