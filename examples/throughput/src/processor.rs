//! Processor time, as the scheduler accounts for it.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread took so far, user and system.
#[must_use]
pub fn time_of_this_thread() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// What the threads of a process took so far, user and system.
///
/// # Errors
///
/// There is no such process, or its account cannot be read.
pub fn time_of(process: u32) -> Result<Duration, String> {
    let folder = format!("/proc/{process}/task");
    let threads = fs::read_dir(&folder).map_err(|error| format!("reading {folder}: {error}"))?;
    let mut sum = Duration::ZERO;
    for thread in threads.flatten() {
        let file = thread.path().join("schedstat");
        // A thread may end meanwhile.
        let Ok(account) = fs::read_to_string(&file) else { continue };
        sum += on_processor(&account).ok_or_else(|| format!("{file:?} holds {account:?}"))?;
    }
    Ok(sum)
}

/// The first number of a `schedstat`: nanoseconds.
fn on_processor(account: &str) -> Option<Duration> {
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_account_is_read() {
        let time = on_processor("2500000000 17 99\n");
        assert_eq!(time, Some(Duration::from_millis(2500)));
        assert_eq!(on_processor(""), None);
        assert!(time_of(std::process::id()).is_ok_and(|time| time > Duration::ZERO));
    }
}
