//! What is being done now, for a person who waits.

/// Takes a line that says what is being done now: `guest e1000: isboot: read 1 MiB ×4, 3 of 5`.
///
/// Whoever measures is given one, and calls it before everything that takes more than a second.
pub type Tell<'a> = &'a mut dyn FnMut(&str);
