//! Initiator and target on processors of their own, as on two machines.
//!
//! Where both may run anywhere, what a run shows is how often the scheduler moved them: on two
//! processors a load is up to a half slower whenever initiator and target share one for a while, and
//! each move costs the one that is moved its cache.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread and a target kept apart; dropping it lets both run anywhere again.
#[derive(Debug)]
pub struct Apart {
    target: u32,
    anywhere: CpuSet,
}

impl Apart {
    /// Gives this thread, and what it starts from now on, the first processor, and the threads of
    /// process `target` all others. `None` where there is only one.
    ///
    /// # Errors
    ///
    /// What the system refused.
    pub fn from_target(target: u32) -> Result<Option<Self>, String> {
        Self::tied(target, true)
    }

    /// Gives the threads of process `target` all processors but the first, and leaves this thread where
    /// it is: a guest has more threads than one, which wait for each other. `None` where there is only
    /// one.
    ///
    /// # Errors
    ///
    /// What the system refused.
    pub fn target_alone(target: u32) -> Result<Option<Self>, String> {
        Self::tied(target, false)
    }

    fn tied(target: u32, ours_too: bool) -> Result<Option<Self>, String> {
        let anywhere = sched_getaffinity(Pid::from_raw(0)).map_err(failed)?;
        let mut allowed = (0..CpuSet::count()).filter(|cpu| anywhere.is_set(*cpu) == Ok(true));
        let (mut ours, mut theirs) = (CpuSet::new(), CpuSet::new());
        if let Some(first) = allowed.next() {
            ours.set(first).map_err(failed)?;
        }
        for cpu in allowed {
            theirs.set(cpu).map_err(failed)?;
        }
        if theirs == CpuSet::new() {
            return Ok(None);
        }
        let apart = Self { target, anywhere };
        apart.tie(if ours_too { &ours } else { &anywhere }, &theirs)?;
        Ok(Some(apart))
    }

    fn tie(&self, ours: &CpuSet, theirs: &CpuSet) -> Result<(), String> {
        let folder = format!("/proc/{}/task", self.target);
        let threads =
            fs::read_dir(&folder).map_err(|error| format!("reading {folder}: {error}"))?;
        let ids = threads.flatten().filter_map(|one| one.file_name().to_str()?.parse().ok());
        for id in ids {
            // A thread may end meanwhile.
            let _ = sched_setaffinity(Pid::from_raw(id), theirs);
        }
        sched_setaffinity(Pid::from_raw(0), ours).map_err(failed)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.tie(&self.anywhere, &self.anywhere);
    }
}

fn failed(error: nix::errno::Errno) -> String {
    format!("giving initiator and target processors of their own: {error}")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn processors(set: CpuSet) -> Vec<usize> {
        (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).collect()
    }

    /// Ties a process, shows where this thread and it may run before and then, and lets both go.
    fn tied(
        tie: fn(u32) -> Result<Option<Apart>, String>,
        look: impl FnOnce([Vec<usize>; 2], [Vec<usize>; 2]),
    ) {
        let mut target = Command::new("sleep").arg("60").spawn().unwrap();
        let of = |id: u32| processors(sched_getaffinity(Pid::from_raw(id.cast_signed())).unwrap());
        let both = || [0, target.id()].map(of);
        let before = both();
        if let Some(apart) = tie(target.id()).unwrap() {
            look(before.clone(), both());
            drop(apart);
        }
        assert_eq!(both(), before);
        target.kill().unwrap();
        target.wait().unwrap();
    }

    #[test]
    fn a_target_can_be_tied_alone() {
        tied(Apart::target_alone, |[us, it], [ours, theirs]| {
            assert_eq!(ours, us);
            assert_eq!(theirs.len() + 1, it.len());
        });
    }

    #[test]
    fn they_have_no_processor_in_common_until_it_is_over() {
        tied(Apart::from_target, |_, [ours, theirs]| {
            assert!(!theirs.iter().any(|cpu| ours.contains(cpu)));
            assert_eq!(ours.len(), 1);
            assert!(!theirs.is_empty());
        });
    }
}
