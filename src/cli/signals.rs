//! Signals: what stops a training, and what must not stop a program.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Lets a write beyond the limit on a file's size fail as one on a full disk does, instead of ending the program.
pub fn outlive_limits() {
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// A flag that is set when the program is asked to stop: by Ctrl-C, by a closed terminal, by `kill` or `timeout`. However often it is
/// asked, it has time to save; only a second Ctrl-C, half a second or more after the first, ends it at once.
pub fn stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    listen(Arc::clone(&stop));
    stop
}

#[cfg(unix)]
fn listen(stop: Arc<AtomicBool>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    const HASTE: Duration = Duration::from_millis(500);
    // What nohup made deaf to a closed terminal stays so.
    let heard: &[i32] = if is_ignored(SIGHUP) { &[SIGINT, SIGTERM] } else { &[SIGINT, SIGTERM, SIGHUP] };
    let flag = Arc::clone(&stop);
    let Ok(mut signals) = Signals::new(heard) else { return };
    let listen = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            stop.store(true, Ordering::Relaxed);
            if signal == SIGINT {
                // The last checkpoint is whole all the same: a new one replaces it in one move.
                match first {
                    Some(then) if then.elapsed() >= HASTE => signal_hook::low_level::exit(130),
                    Some(_) => {}
                    None => first = Some(Instant::now()),
                }
            }
        }
    };
    if std::thread::Builder::new().name("signals".into()).spawn(listen).is_err() {
        // Without a thread there is no haste, and a stop all the same.
        for signal in heard {
            let _ = signal_hook::flag::register(*signal, Arc::clone(&flag));
        }
    }
}

#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, `sigaction` writes the present one to the place given, which is large enough, and changes nothing; all
    // zeros are a `sigaction` too, so it can be read even where the call failed.
    unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0 && action.assume_init().sa_sigaction == libc::SIG_IGN }
}

#[cfg(not(unix))]
fn listen(stop: Arc<AtomicBool>) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    // In this order: the first sets the flag, and what comes when it is set ends the program.
    let _ = signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&stop));
    for signal in [SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
}
