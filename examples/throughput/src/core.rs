//! The core alone, with nobody to wait for: what a command, a byte and a digest cost.
//!
//! A target of memory speaks once, onto a [`tape`]; then only the initiator works, on what was
//! said. So its [time](timing), its [instructions] and its [growth] are its own.

pub mod case;
pub mod digest;
pub mod growth;
pub mod instructions;
pub mod tape;
pub mod timing;

use std::time::Duration;

use crate::measurement::Measurement;
use crate::progress::Tell;

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each figure is taken.
    pub rounds: usize,
    /// How long one run of it takes.
    pub limit: Duration,
}

/// Everything of the core that is a matter of time.
///
/// # Errors
///
/// A figure could not be taken: which, and why.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Result<Vec<Measurement>, String> {
    let mut all = digest::measure(effort, tell);
    all.extend(timing::measure(effort, tell));
    all.extend(growth::measure(effort, tell));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Quantity, Section};

    /// Every figure is there; what it is, a machine that tests is no place to say.
    #[test]
    fn every_figure_is_taken() {
        let effort = Effort { rounds: 2, limit: Duration::from_millis(1) };
        let mut told = Vec::new();
        let all = measure(effort, &mut |line| told.push(line.to_owned())).unwrap();
        let count = |section| all.iter().filter(|one| one.section == section).count();
        let digests = digest::LENGTHS.len() * digest::CONTENDERS.len();
        assert_eq!(count(Section::Core), digests + 2 * timing::CASES.len());
        assert_eq!(count(Section::Growth), 2 * (growth::LUNS.len() + growth::DEPTHS.len()) + 4);
        for one in &all {
            let rounds = if one.quantity == Quantity::Bytes { 1 } else { 2 };
            assert_eq!(one.series.0.len(), rounds, "{}", one.setting);
            assert!(one.series.0.iter().all(|figure| *figure > 0.0), "{}", one.setting);
        }
        assert!(told.iter().any(|line| line == "core: command, read 4 KiB ×1, 2 of 2"), "{told:?}");
    }
}
