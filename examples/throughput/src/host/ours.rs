//! isboot over the host's sockets.

use std::time::Duration;

use isboot_transport::std_tcp::StdTcp;

use crate::contender::Contender;
use crate::host::peer::SETTLE;
use crate::initiator::LoggedIn;
use crate::load::{Load, Walk};
use crate::rig::Place;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Workload};

/// isboot, logged in as the last workload wanted it.
pub struct Ours {
    place: Place,
    session: Option<(Digests, LoggedIn<StdTcp>)>,
    walk: Walk,
    /// Different data for each run that writes.
    runs: u64,
    /// The last workload whose writes were seen not to land in each other's place.
    seen_apart: Option<Workload>,
}

impl Ours {
    /// isboot, to be logged in at `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            session: None,
            walk: Walk::default(),
            runs: 0,
            seen_apart: None,
        }
    }
}

impl Contender for Ours {
    fn name(&self) -> &str {
        names::ISBOOT
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.session.as_ref().is_some_and(|(digests, _)| *digests == workload.digests) {
            return Ok(());
        }
        if let Some((_, session)) = self.session.take() {
            session.log_out()?;
        }
        let session = LoggedIn::new(&self.place, StdTcp::new(), StdTcp::wait, workload.digests)?;
        self.session = Some((workload.digests, session));
        Ok(())
    }

    /// As long as libiscsi has: for about so long the scheduler leaves us on the processor of the
    /// target's busiest thread.
    fn settle(&mut self, workload: &Workload) -> Result<(), String> {
        self.run(workload, SETTLE).map(drop)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, session)) = &mut self.session else {
            return Err("there is no session: it was not prepared".to_owned());
        };
        self.runs += 1;
        let load = Load::new(workload, self.place.bytes, self.runs)?;
        let mut load = load.at(self.walk.begin(workload, self.place.bytes));
        let sample = session.run(&mut load, limit)?;
        self.walk.end(sample.commands);
        load.check(&self.place.written)?;
        if workload.operation == Operation::Write && self.seen_apart != Some(*workload) {
            self.seen_apart = Some(*workload);
            let mut apart = Load::apart(workload, self.place.bytes, self.runs)?;
            session.run(&mut apart, Duration::ZERO)?;
            apart.check(&self.place.written)?;
        }
        Ok(sample)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some((_, session)) = self.session.take() {
            // Whoever measures has its figures; the target is about to end too.
            let _ = session.log_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::{READ_LUN, Rig};

    const LIMIT: Duration = Duration::from_millis(50);

    #[test]
    fn it_reads_and_writes_what_it_says_with_each_kind_of_digests() {
        let rig = Rig::start(&std::env::temp_dir(), 16 << 20).unwrap();
        let mut ours = Ours::new(&rig.place());
        for digests in [Digests::None, Digests::Both] {
            let reads = [Workload::read(65536, 4), Workload::random_read(4096, 32)];
            for workload in reads.into_iter().chain([Workload::write(1 << 20, 2)]) {
                let workload = workload.with(digests);
                ours.prepare(&workload).unwrap();
                let sample = ours.run(&workload, LIMIT).unwrap();
                assert_eq!(sample.bytes, sample.commands * u64::from(workload.block));
                assert!(sample.elapsed >= LIMIT && sample.cpu.unwrap() <= sample.elapsed);
            }
        }
    }

    #[test]
    fn wrong_data_is_an_error_however_fast_it_came() {
        let rig = Rig::start(&std::env::temp_dir(), 1 << 20).unwrap();
        std::fs::write(rig.image(READ_LUN), vec![0; 1 << 20]).unwrap();
        let workload = Workload::read(4096, 4);
        let mut ours = Ours::new(&rig.place());
        ours.prepare(&workload).unwrap();
        let error = ours.run(&workload, LIMIT).unwrap_err();
        assert!(error.contains("is not what it must be"), "{error}");
    }
}
