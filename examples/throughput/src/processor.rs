//! Processor time, as the scheduler accounts for it.

use std::collections::HashMap;
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
    Ok(Threads::of(process)?.0.values().sum())
}

/// What each thread of a process took so far, user and system, by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads(HashMap<String, Duration>);

impl Threads {
    /// As they are now.
    ///
    /// # Errors
    ///
    /// There is no such process, or its account cannot be read.
    pub fn of(process: u32) -> Result<Self, String> {
        let folder = format!("/proc/{process}/task");
        let threads =
            fs::read_dir(&folder).map_err(|error| format!("reading {folder}: {error}"))?;
        let mut times = HashMap::new();
        for thread in threads.flatten() {
            let file = thread.path().join("schedstat");
            // A thread may end meanwhile.
            let Ok(account) = fs::read_to_string(&file) else { continue };
            let time =
                on_processor(&account).ok_or_else(|| format!("{file:?} holds {account:?}"))?;
            times.insert(thread.file_name().to_string_lossy().into_owned(), time);
        }
        Ok(Self(times))
    }

    /// What the one took that took most since `earlier`.
    #[must_use]
    pub fn busiest_since(&self, earlier: &Self) -> Duration {
        let taken = |(thread, now): (&String, &Duration)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(taken).max().unwrap_or_default()
    }
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

    #[test]
    fn the_busiest_thread_is_the_one_that_took_most_since() {
        let threads = |times: &[(&str, u64)]| {
            let of = |&(id, time): &(&str, u64)| (id.to_owned(), Duration::from_secs(time));
            Threads(times.iter().map(of).collect())
        };
        let earlier = threads(&[("1", 50), ("2", 4), ("4", 9)]);
        // One is new, one has ended.
        let later = threads(&[("1", 51), ("2", 7), ("3", 2)]);
        assert_eq!(later.busiest_since(&earlier), Duration::from_secs(3));
        assert_eq!(Threads::default().busiest_since(&later), Duration::ZERO);
    }
}
