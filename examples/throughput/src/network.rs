//! Networks of our own (namespaces), which nothing outside sees.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{self, Command};
use std::thread;

use isboot_tests::tap::{congestion_control, set_congestion_control};
use nix::sched::{CloneFlags, setns, unshare};

/// Congestion control that sends as soon as there is room in a window, the better known first. BBR sends at the pace of
/// a model of the path: on one without delay or limit that is a matter of luck, session by session.
const BY_WINDOW: [&str; 2] = ["cubic", "reno"];

/// Where TCP is paced, takes this thread and all that it starts from now on to a network of their own
/// where it is not: nothing but a loopback device is in it.
///
/// # Errors
///
/// There is none to be had, and why: then everything stays as it was.
pub fn leave_for_an_unpaced_one() -> Result<(), String> {
    if BY_WINDOW.contains(&congestion_control().as_str()) {
        return Ok(());
    }
    Network::new()?.stay()
}

/// A network of its own. It is gone with the last of: this, processes and threads in it, devices that
/// are held open.
#[derive(Debug)]
pub struct Network(File);

impl Network {
    /// One with loopback only, where TCP is not paced.
    ///
    /// # Errors
    ///
    /// Which step did not work, and what it needs.
    pub fn new() -> Result<Self, String> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let made = made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let made = made.map_err(|error| format!("making a network: {error}; it needs root"))?;
        let network = Self(made);
        network.enter(|| {
            ip("link set lo up")?;
            let taken = BY_WINDOW.iter().any(|one| set_congestion_control(one).is_ok());
            taken.then_some(()).ok_or_else(|| {
                format!("making a network: TCP takes none of {BY_WINDOW:?} for congestion control")
            })
        })?;
        Ok(network)
    }

    /// Does `work` in this network; what that starts is in it too.
    ///
    /// # Errors
    ///
    /// Its own.
    pub fn enter<R: Send>(
        &self,
        work: impl FnOnce() -> Result<R, String> + Send,
    ) -> Result<R, String> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.stay()?;
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Takes this thread here for good, and what it starts from now on.
    fn stay(&self) -> Result<(), String> {
        setns(&self.0, CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("entering a network: {error}"))
    }

    /// As ip-link(8) finds it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }
}

/// Runs ip(8) with these words.
///
/// # Errors
///
/// What it said.
pub fn ip(line: &str) -> Result<(), String> {
    run("ip", line).map(drop)
}

/// Runs a program of the package iproute2 with these words; what it printed.
///
/// # Errors
///
/// What it said.
pub fn run(program: &str, line: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    // Debian puts tc into /usr/sbin, which a user's PATH may lack.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(line.split_whitespace());
    let output = command.output();
    let output = output
        .map_err(|error| format!("running {program}: {error}; the package iproute2 has it"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {line}: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_thread_leaves_for_an_unpaced_network_and_others_stay() {
        let here = || fs::read_link("/proc/thread-self/ns/net").unwrap();
        let (before, paced) = (here(), congestion_control());
        let left = thread::spawn(move || {
            leave_for_an_unpaced_one().expect("needs root and ip");
            let started = thread::spawn(congestion_control).join().unwrap();
            assert_eq!(congestion_control(), started);
            (started, here())
        });
        let (unpaced, there) = left.join().unwrap();
        assert!(BY_WINDOW.contains(&unpaced.as_str()), "{unpaced}");
        assert_eq!(there == before, paced == unpaced, "it stays where nothing is paced");
        assert_eq!((here(), congestion_control()), (before, paced));
    }

    #[test]
    fn in_a_new_network_there_is_loopback_and_nothing_is_paced() {
        let network = Network::new().expect("needs root and ip");
        let found = network.enter(|| Ok((congestion_control(), run("ip", "-brief link")?)));
        let (control, devices) = found.unwrap();
        assert!(BY_WINDOW.contains(&control.as_str()), "{control}");
        assert!(devices.starts_with("lo ") && devices.lines().count() == 1, "{devices}");
    }

    #[test]
    fn a_step_that_fails_says_which_and_what_came_back() {
        let error = ip("link set dev no-such-device up").unwrap_err();
        assert!(error.starts_with("ip link set dev no-such-device up: "), "{error}");
        assert!(error.contains("no-such-device") && !error.ends_with('\n'), "{error}");
    }
}
