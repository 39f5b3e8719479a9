//! Whoever moves data, and how several of them take turns.

use std::thread;
use std::time::Duration;

use crate::measurement::{Measurement, Section};
use crate::sample::Sample;
use crate::workload::Workload;

/// Something that moves data to and from a disk of the target: our core over the host's sockets, a
/// guest, another initiator.
///
/// One that waits for its turn takes no processor time.
pub trait Contender: Send {
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

    /// Moves data for a moment before the time that counts, where the begin of a turn is not what the
    /// rest of it is: until the scheduler has found a processor for everybody, for one.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    fn settle(&mut self, workload: &Workload) -> Result<(), String> {
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

/// One of any number that take turns, each doing something of its own.
pub struct Turn<'a> {
    /// Who.
    pub contender: &'a mut dyn Contender,
    /// Doing what.
    pub workload: Workload,
    /// What it reached, round by round, or why it did not, with its name.
    pub seen: Result<Vec<Sample>, String>,
}

impl<'a> Turn<'a> {
    /// One that has not begun.
    pub fn new(contender: &'a mut dyn Contender, workload: &Workload) -> Self {
        Self { contender, workload: *workload, seen: Ok(Vec::new()) }
    }

    /// What it reached, as figures of this section and setting.
    ///
    /// # Errors
    ///
    /// Why it did not, with its name.
    pub fn figures(&self, section: Section, setting: &str) -> Result<Vec<Measurement>, String> {
        let samples = self.seen.as_ref().map_err(String::clone)?;
        let name = self.contender.name();
        Ok(Measurement::of_samples(section, setting, name, &self.workload, samples))
    }

    fn get_ready(&mut self) {
        if self.seen.is_err() {
            return;
        }
        if let Err(error) = self.contender.prepare(&self.workload) {
            self.fail(&error);
        }
    }

    fn run(&mut self, limit: Duration) {
        let Ok(seen) = &mut self.seen else { return };
        let settled = self.contender.settle(&self.workload);
        match settled.and_then(|()| self.contender.run(&self.workload, limit)) {
            Ok(sample) => seen.push(sample),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &str) {
        self.seen = Err(format!("{}: {}: {error}", self.contender.name(), self.workload));
    }
}

/// Lets all of them get ready, side by side: istgt sleeps for a second in every login.
pub fn prepare(turns: &mut [Turn<'_>]) {
    thread::scope(|scope| {
        for turn in turns {
            scope.spawn(|| turn.get_ready());
        }
    });
}

/// Lets all of them run in turns, `rounds` times; who begins changes with every round, so that none
/// always runs on what the same other left in the caches. One that fails takes no more turns, the
/// others go on.
pub fn take_turns(turns: &mut [Turn<'_>], rounds: usize, limit: Duration) {
    prepare(turns);
    for round in 0..rounds {
        for number in 0..turns.len() {
            let next = (number + round) % turns.len();
            turns[next].run(limit);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// One of this name, that notes its turns, and may fail in each.
    pub(crate) struct Scripted(
        pub(crate) &'static str,
        pub(crate) Arc<Mutex<Vec<&'static str>>>,
        pub(crate) bool,
    );

    impl Contender for Scripted {
        fn name(&self) -> &str {
            self.0
        }
        fn run(&mut self, _: &Workload, elapsed: Duration) -> Result<Sample, String> {
            self.1.lock().unwrap().push(self.0);
            if self.2 {
                return Err("READ(10) came back with BUSY".to_owned());
            }
            Ok(Sample { bytes: 1, commands: 1, elapsed, cpu: None })
        }
    }

    #[test]
    fn turns_alternate_and_so_does_who_begins() {
        let order = Arc::default();
        let mut ours = Scripted("ours", Arc::clone(&order), false);
        let mut theirs = Scripted("theirs", Arc::clone(&order), false);
        let workload = Workload::read(4096, 1);
        let mut turns = [Turn::new(&mut ours, &workload), Turn::new(&mut theirs, &workload)];
        take_turns(&mut turns, 2, Duration::from_secs(1));
        let seen = turns.map(|turn| turn.seen.map(|samples| samples.len()));
        assert_eq!(seen, [Ok(2), Ok(2)]);
        assert_eq!(*order.lock().unwrap(), ["ours", "theirs", "theirs", "ours"]);
    }

    /// Counts how long it worked before the time that counts.
    struct Slow(usize);

    impl Contender for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn settle(&mut self, _: &Workload) -> Result<(), String> {
            self.0 += 1;
            Ok(())
        }
        fn run(&mut self, _: &Workload, elapsed: Duration) -> Result<Sample, String> {
            Ok(Sample { bytes: self.0 as u64, commands: 1, elapsed, cpu: None })
        }
    }

    #[test]
    fn each_turn_begins_with_what_does_not_count() {
        let mut slow = Slow(0);
        let mut turns = [Turn::new(&mut slow, &Workload::read(4096, 1))];
        take_turns(&mut turns, 3, Duration::from_secs(1));
        let [Turn { seen, .. }] = turns;
        let bytes = seen.unwrap().into_iter().map(|sample| sample.bytes).collect::<Vec<_>>();
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[test]
    fn one_that_fails_leaves_the_others_their_turns() {
        let order = Arc::default();
        let mut one = Scripted("one", Arc::clone(&order), false);
        let mut broken = Scripted("broken", Arc::clone(&order), true);
        let mut last = Scripted("last", Arc::clone(&order), false);
        let workload = Workload::read(4096, 1);
        let mut turns =
            [&mut one, &mut broken, &mut last].map(|contender| Turn::new(contender, &workload));
        take_turns(&mut turns, 3, Duration::from_secs(1));
        let seen = turns.map(|turn| turn.seen.map(|samples| samples.len()));
        assert_eq!(seen[0], Ok(3));
        assert!(seen[1].is_err());
        assert_eq!(seen[2], Ok(3));
        assert_eq!(*order.lock().unwrap(), ["one", "broken", "last", "last", "one", "last", "one"]);
    }

    #[test]
    fn a_failure_says_whose_it_is() {
        let mut theirs = Scripted("theirs", Arc::default(), true);
        let mut turns = [Turn::new(&mut theirs, &Workload::read(4096, 1))];
        take_turns(&mut turns, 2, Duration::from_secs(1));
        let [Turn { seen: Err(error), .. }] = turns else { panic!("it reached something") };
        assert_eq!(error, "theirs: read 4 KiB ×1: READ(10) came back with BUSY");
    }
}
