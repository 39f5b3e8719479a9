//! Ctrl-C, SIGTERM and SIGHUP: the run notices, ends what it started, and returns.

use std::sync::atomic::{AtomicBool, Ordering};

static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal asks the run to end instead of ending the process under its children.
pub fn watch() {
    // Fails only when a handler is installed already, which then serves as well.
    let _ = ctrlc::set_handler(|| WANTED.store(true, Ordering::Relaxed));
}

/// Whether the run is asked to end.
#[must_use]
pub fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}
