//! What is shown on a terminal while something takes time. Without a terminal nothing is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// What is over by then needs no word.
const SOON: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// Says what is being done, once it takes longer than a second.
pub(crate) struct Activity {
    line: ProgressBar,
    since: Instant,
    /// Never shown: the log says as much, and both would write over each other.
    quiet: bool,
    shown: bool,
}

impl Activity {
    pub(crate) fn new(quiet: bool) -> Self {
        let line = ProgressBar::new_spinner();
        line.set_draw_target(ProgressDrawTarget::hidden());
        Self { line, since: Instant::now(), quiet, shown: false }
    }

    /// What is being done now.
    pub(crate) fn is(&mut self, what: impl FnOnce() -> String) {
        if self.quiet || self.since.elapsed() < SOON {
            return;
        }
        let what = what();
        if self.line.message() != what {
            self.line.set_message(what);
        }
        if !self.shown {
            self.shown = true;
            self.line.set_draw_target(ProgressDrawTarget::stderr());
            self.line.enable_steady_tick(TICK);
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

/// A bar over the bytes of a transfer.
pub(crate) fn bar(verb: &'static str, bytes: u64, quiet: bool) -> Result<ProgressBar, Failure> {
    if quiet {
        return Ok(ProgressBar::hidden());
    }
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {decimal_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template)
        .map_err(|error| Failure::doing("cannot draw a progress bar", error))?;
    Ok(ProgressBar::new(bytes).with_style(style).with_message(verb))
}
