//! What is being done now, for a person who waits.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Takes a line that says what is being done now: `guest e1000: isboot: read 1 MiB ×4, 3 of 5`.
///
/// Whoever measures is given one, and calls it before everything that takes more than a second.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

const TICK: Duration = Duration::from_millis(200);
/// Without a terminal, what is being done is said this often at most; what was found, always.
const SELDOM: Duration = Duration::from_secs(10);

/// Where it is shown: a bar on a terminal, else lines. Both on standard error.
#[derive(Debug)]
pub struct Screen {
    bar: ProgressBar,
    is_terminal: bool,
    said: Option<Instant>,
}

impl Screen {
    /// For what takes about `seconds`.
    pub fn new(seconds: u64) -> Self {
        let target = ProgressDrawTarget::stderr();
        let is_terminal = !target.is_hidden();
        let template = "{elapsed_precise} {bar:24} {percent:>3} %  {wide_msg}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(seconds), target).with_style(style);
        if is_terminal {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, is_terminal, said: None }
    }

    /// What is being done now.
    pub fn tell(&mut self, what: &str) {
        if self.is_terminal {
            self.bar.set_message(what.to_owned());
        } else if self.said.is_none_or(|said| said.elapsed() > SELDOM) {
            self.said = Some(Instant::now());
            eprintln!("… {what}");
        }
    }

    /// What was found.
    pub fn found(&mut self, what: &str) {
        if self.is_terminal {
            self.bar.println(what);
        } else {
            self.said = Some(Instant::now());
            eprintln!("{what}");
        }
    }

    /// This much of the time that it takes should be over.
    pub fn advance(&mut self, planned: Duration) {
        self.bar.inc(planned.as_secs().max(1));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
