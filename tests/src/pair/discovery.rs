//! A discovery and a target in one thread, under a clock that jumps.

use std::fmt;

use isboot::boot::{Discovery, Found, Parameters};
use isboot::login::{LoginConfig, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Discovered, Error, Escalation, FoundTarget, SendTargets, SessionConfig};
use isboot::time::Instant;

use super::{MemoryStream, Wire, entropy};
use crate::standing::{StandingChecks, Watched};
use crate::target::Target;

/// A discovery, what connects it to the target, and what it found.
pub struct DiscoveryPair {
    discovery: Discovery<Watched<MemoryStream>>,
    /// What lies between both ends.
    pub wire: Wire,
    /// The target.
    pub target: Target,
    /// The standing checks.
    pub standing: StandingChecks,
    /// What was found so far, in order.
    pub found: Vec<FoundTarget>,
    /// How often what had been found was void.
    pub restarts: u32,
    now: Instant,
}

impl DiscoveryPair {
    /// Asks `target` for all targets.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self::configured(target, SendTargets::All, |_| {})
    }

    /// Asks `target` for `what`, with changes to the session's configuration.
    ///
    /// # Panics
    /// When that cannot be asked in a Discovery session.
    #[must_use]
    pub fn configured(
        target: &Target,
        what: SendTargets,
        configure: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let name = Name::new("iqn.2026-11.org.example:host").expect("an iSCSI name");
        let mut config = SessionConfig {
            portal: Wire::PORTAL,
            login: LoginConfig::discovery(name, [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01]),
            timeouts: Parameters::default().timeouts,
            escalation: Escalation::default(),
            initial_cmd_sn: SerialNumber(1),
            crc32c: Crc32cFunction::default(),
        };
        configure(&mut config);
        let wire = Wire::new(target);
        let stream = Watched::new(wire.stream());
        let standing = stream.checks();
        for secret in target.secrets() {
            standing.add_secret(&secret);
        }
        let discovery = Discovery::new(config, what, entropy, stream, Instant::ZERO);
        Self {
            discovery: discovery.expect("what can be asked"),
            wire,
            target: target.clone(),
            standing,
            found: Vec::new(),
            restarts: 0,
            now: Instant::ZERO,
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Runs until the discovery is over and the connection closed.
    ///
    /// # Errors
    /// The discovery's.
    ///
    /// # Panics
    /// When it hangs or spins, or takes a virtual hour.
    pub fn finish(&mut self) -> Result<Discovered, Error> {
        let mut idle = 0;
        loop {
            let (found, restarts) = (&mut self.found, &mut self.restarts);
            let deadline = self.discovery.poll(self.now, |news| match news {
                Found::Target(target) => found.push(target.clone()),
                Found::StartsAgain => {
                    found.clear();
                    *restarts += 1;
                }
            });
            if let Some(outcome) = self.discovery.outcome() {
                return outcome;
            }
            if self.wire.exchange() {
                idle = 0;
                continue;
            }
            match deadline {
                None => panic!("hang: {self:?}"),
                Some(at) if at > self.now => {
                    self.now = at;
                    idle = 0;
                }
                Some(_) => {
                    idle += 1;
                    assert!(idle < 100, "spin: {self:?}");
                }
            }
            assert!(self.now.as_millis() < 3_600_000, "no end: {self:?}");
        }
    }

    /// What was found, a line for each: `name host:port,tag`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |found: &FoundTarget| match found.address.portal_group_tag {
            Some(tag) => format!("{} {},{tag}", found.name, found.address),
            None => format!("{} {}", found.name, found.address),
        };
        self.found.iter().map(line).collect()
    }

    /// The initiator broke no rule that the target knows.
    ///
    /// # Panics
    /// When it did.
    #[track_caller]
    pub fn assert_no_violations(&self) {
        let sentences: Vec<String> =
            self.target.violations().iter().map(ToString::to_string).collect();
        assert!(sentences.is_empty(), "{sentences:#?}");
    }
}

/// Where both ends stand, in a line.
impl fmt::Debug for DiscoveryPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscoveryPair")
            .field("wire", &self.wire)
            .field("found", &self.found.len())
            .field("at", &self.now.as_millis())
            .field("violations", &self.target.violations())
            .finish_non_exhaustive()
    }
}

/// The standing checks held, also in a test that looked at other things.
impl Drop for DiscoveryPair {
    fn drop(&mut self) {
        let violations = self.standing.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "standing checks: {violations:#?}");
        }
    }
}
