//! Why a run fails: what was being done, and what came of it.

use core::fmt::{Display, Write};

use heapless::String;

/// The end of a run that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The stage, as event lines name it.
    pub(crate) during: &'static str,
    pub(crate) text: String<512>,
}

impl Failure {
    pub(crate) fn new(during: &'static str, why: impl Display) -> Self {
        let mut text = String::new();
        // A text longer than fits ends where it does.
        let _ = write!(Truncating(&mut text), "{why}");
        Self { during, text }
    }

    /// The same, with whom it was about in front of what came of it.
    pub(crate) fn with(self, whom: impl Display) -> Self {
        Self::new(self.during, format_args!("{whom}: {}", self.text))
    }
}

/// Says of any error during which stage it came.
pub(crate) trait During<T> {
    fn during(self, stage: &'static str) -> Result<T, Failure>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, stage: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(stage, error))
    }
}

/// Takes what fits and forgets the rest.
pub(crate) struct Truncating<'a, const N: usize>(pub(crate) &'a mut String<N>);

impl<const N: usize> Write for Truncating<'_, N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for c in text.chars() {
            let _ = self.0.push(c);
        }
        Ok(())
    }
}
