//! `ping`: how long a disk, or a portal, takes to answer.

use std::time::{Duration, Instant};

use isboot::disk::{Disk, DiskId};
use isboot::scsi::cdb::Cdb;
use serde_json::{Value, json};

use super::Job;
use crate::discovery::discover;
use crate::failure::Failure;
use crate::initiator::{Initiator, check_interrupted};
use crate::options::PingOptions;
use crate::report::milliseconds;
use crate::{initiator, print};

/// TEST UNIT READY: all the way through the target to the disk, and nothing moves.
const TEST_UNIT_READY: Cdb = [0; 16];

impl Job<'_> {
    pub(super) fn ping(&mut self, options: &PingOptions) -> Result<(), Failure> {
        if self.url.target.is_none() {
            return self.ping_portal(options);
        }
        self.logged_in(|job, initiator| {
            let (id, disk) = job.disk_to_ping(initiator)?;
            let timing = initiator.timing;
            if !job.json {
                print(&format!(
                    "LUN {} of {} at {}: connected in {}, logged in in {}\n",
                    disk.lun,
                    initiator.target,
                    initiator.portal,
                    milliseconds(timing.connect),
                    milliseconds(timing.login),
                ))?;
            }
            let times = job.repeat(options, || {
                let start = Instant::now();
                let answer = initiator.ask(id, TEST_UNIT_READY, 0)?;
                Ok(answer.map(|_| start.elapsed()).map_err(|error| error.to_string()))
            });
            let mut head = json!({
                "target": initiator.target.as_str(),
                "portal": initiator.portal.to_string(),
                "lun": disk.lun.to_string(),
                "connect_seconds": timing.connect.as_secs_f64(),
                "login_seconds": timing.login.as_secs_f64(),
            });
            job.conclude(&mut head, times?)
        })
    }

    /// A login for discovery, its question and its logout each time.
    fn ping_portal(&self, options: &PingOptions) -> Result<(), Failure> {
        let mut first = true;
        let times = self.repeat(options, || {
            // Only the first failure is one of the command: nothing says that anybody is there.
            match discover(&self.url.portal, self.identity) {
                Ok(answer) => {
                    if std::mem::take(&mut first) && !self.json {
                        let count = answer.entries.len();
                        print(&format!("{}: {count} targets\n", answer.portal))?;
                    }
                    Ok(Ok(answer.took))
                }
                Err(Failure::Failed(reason)) if !first => Ok(Err(reason)),
                Err(failure) => Err(failure),
            }
        })?;
        self.conclude(&mut json!({ "portal": self.url.portal.to_string() }), times)
    }

    /// The disk that the URL names, or the first.
    fn disk_to_ping(&self, initiator: &Initiator) -> Result<(DiskId, Disk), Failure> {
        match (self.url.lun, initiator.disks().first()) {
            (Some(lun), _) => initiator.disk(lun),
            (None, Some(disk)) => Ok((DiskId(0), disk.clone())),
            (None, None) => Err(Failure::Failed(format!(
                "{} lets us in, and has no disk to ask",
                initiator.target
            ))),
        }
    }

    /// Asks as often as told, at the pace told; what each took, or why it failed.
    fn repeat(
        &self,
        options: &PingOptions,
        mut ask: impl FnMut() -> Result<Result<Duration, String>, Failure>,
    ) -> Result<Vec<Option<Duration>>, Failure> {
        let interval = Duration::from_secs_f64(options.interval);
        let mut times = Vec::new();
        for number in 1..=options.count {
            let due = Instant::now() + interval;
            let outcome = ask()?;
            if !self.json {
                match &outcome {
                    Ok(time) => print(&format!("{number}: {}\n", milliseconds(*time)))?,
                    Err(reason) => print(&format!("{number}: failed: {reason}\n"))?,
                }
            }
            times.push(outcome.ok());
            while number < options.count && Instant::now() < due {
                check_interrupted()?;
                std::thread::sleep((due - Instant::now()).min(initiator::NAP));
            }
        }
        Ok(times)
    }

    /// Adds it up.
    fn conclude(&self, head: &mut Value, times: Vec<Option<Duration>>) -> Result<(), Failure> {
        let answered: Vec<Duration> = times.iter().copied().flatten().collect();
        let least = answered.iter().min().copied();
        let most = answered.iter().max().copied();
        let count = u32::try_from(answered.len()).unwrap_or(u32::MAX);
        let mean = answered.iter().sum::<Duration>().checked_div(count);
        if self.json {
            let seconds = |time: Option<Duration>| json!(time.map(|time| time.as_secs_f64()));
            head["sent"] = json!(times.len());
            head["answered"] = json!(answered.len());
            head["seconds"] = times.iter().map(|time| seconds(*time)).collect();
            for (name, time) in [("least", least), ("mean", mean), ("most", most)] {
                head[format!("{name}_seconds")] = seconds(time);
            }
            print(&format!("{head:#}\n"))?;
        } else if let (Some(least), Some(mean), Some(most)) = (least, mean, most) {
            print(&format!(
                "{} of {} answered, in {} at least, {} on average, {} at most\n",
                answered.len(),
                times.len(),
                milliseconds(least),
                milliseconds(mean),
                milliseconds(most),
            ))?;
        }
        match times.len() - answered.len() {
            0 => Ok(()),
            lost => Err(Failure::Failed(format!("{lost} of {} pings failed", times.len()))),
        }
    }
}
