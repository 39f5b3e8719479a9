//! Whoever moves data, and how two of them take turns.

use std::time::Duration;

use crate::sample::Sample;
use crate::workload::Workload;

/// Something that moves data to and from a disk of the target: our core over the host's sockets, a
/// guest, another initiator.
///
/// One that waits for its turn takes no processor time.
pub trait Contender {
    /// Name, as tables and plots show it.
    fn name(&self) -> &str;

    /// Gets ready for `workload`, outside the measured time: a session with its digests, its files.
    ///
    /// # Errors
    ///
    /// What it was doing, with whom, and what came back.
    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        let _ = workload;
        Ok(())
    }

    /// Moves data as `workload` says for about `limit`, and tells what it moved.
    ///
    /// # Errors
    ///
    /// A request failed, or it did not end in a bounded time: what, with whom, and what came back.
    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String>;
}

/// What two contenders reached, round by round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Samples of the first.
    pub ours: Vec<Sample>,
    /// Samples of the second.
    pub theirs: Vec<Sample>,
}

/// Lets both do the same in turns, `rounds` times; who begins changes with every round, so that
/// neither always runs on what the other left in the caches.
///
/// # Errors
///
/// Of the first that fails, with its name.
pub fn in_turns(
    ours: &mut dyn Contender,
    theirs: &mut dyn Contender,
    workload: &Workload,
    rounds: usize,
    limit: Duration,
) -> Result<Rounds, String> {
    let named =
        |contender: &dyn Contender, error| format!("{}: {workload}: {error}", contender.name());
    ours.prepare(workload).map_err(|error| named(ours, error))?;
    theirs.prepare(workload).map_err(|error| named(theirs, error))?;
    let mut seen = Rounds::default();
    for round in 0..rounds {
        if round % 2 == 0 {
            seen.ours.push(ours.run(workload, limit).map_err(|error| named(ours, error))?);
        }
        seen.theirs.push(theirs.run(workload, limit).map_err(|error| named(theirs, error))?);
        if round % 2 == 1 {
            seen.ours.push(ours.run(workload, limit).map_err(|error| named(ours, error))?);
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Scripted(&'static str, Rc<RefCell<Vec<&'static str>>>, bool);

    impl Contender for Scripted {
        fn name(&self) -> &str {
            self.0
        }
        fn run(&mut self, _: &Workload, elapsed: Duration) -> Result<Sample, String> {
            self.1.borrow_mut().push(self.0);
            if self.2 {
                return Err("READ(10) came back with BUSY".to_owned());
            }
            Ok(Sample { bytes: 1, commands: 1, elapsed, cpu: None })
        }
    }

    #[test]
    fn turns_alternate_and_so_does_who_begins() {
        let order = Rc::default();
        let mut ours = Scripted("ours", Rc::clone(&order), false);
        let mut theirs = Scripted("theirs", Rc::clone(&order), false);
        let workload = Workload::read(4096, 1);
        let seen = in_turns(&mut ours, &mut theirs, &workload, 2, Duration::from_secs(1)).unwrap();
        assert_eq!((seen.ours.len(), seen.theirs.len()), (2, 2));
        assert_eq!(*order.borrow(), ["ours", "theirs", "theirs", "ours"]);
    }

    #[test]
    fn a_failure_says_whose_it_is() {
        let order = Rc::default();
        let mut ours = Scripted("ours", Rc::clone(&order), false);
        let mut theirs = Scripted("theirs", order, true);
        let workload = Workload::read(4096, 1);
        let error = in_turns(&mut ours, &mut theirs, &workload, 2, Duration::from_secs(1));
        assert_eq!(error.unwrap_err(), "theirs: read 4 KiB ×1: READ(10) came back with BUSY");
    }
}
