//! Two networks, and a shaped pair of devices between them.

use std::net::Ipv4Addr;

use crate::network::{Network, ip, run};

/// Bits a second of a link, and the bucket that lets no more through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    gigabits: u32,
}

impl Rate {
    /// So many 10⁹ bits a second.
    #[must_use]
    pub const fn gigabits(gigabits: u32) -> Self {
        Self { gigabits }
    }

    /// Bytes a second of everything that the bucket counts: whole frames, without their preamble,
    /// checksum and gap.
    #[must_use]
    pub fn bytes(self) -> f64 {
        f64::from(self.gigabits) * 1e9 / 8.0
    }

    /// As tc-tbf(8) takes it. The bucket holds two of the largest bursts that TCP hands down at
    /// once (64 KiB), so that none of them is cut or refused; the queue has room for the widest
    /// window, so that nothing is lost and what is measured is the rate.
    fn words(self) -> String {
        format!("tbf rate {}gbit burst 256kb latency 20ms", self.gigabits)
    }
}

/// Two networks with a shaped link between them: the target's, and the initiators'.
#[derive(Debug)]
pub struct Shaped {
    target: Network,
    initiator: Network,
}

/// The devices, each in a network where nothing else is.
const TARGET_END: &str = "target";
const INITIATOR_END: &str = "initiator";
const BRIDGE: &str = "bridge";

impl Shaped {
    /// Both networks; the link is not limited yet.
    ///
    /// # Errors
    ///
    /// Which step did not work, and what it needs.
    pub fn new(target: Ipv4Addr, initiator: Ipv4Addr, prefix: u8) -> Result<Self, String> {
        let shaped = Self { target: Network::new()?, initiator: Network::new()? };
        let other = shaped.initiator.path();
        shaped.target.enter(|| {
            ip(&format!(
                "link add {TARGET_END} type veth peer name {INITIATOR_END} netns {other}"
            ))?;
            ip(&format!("address add {target}/{prefix} dev {TARGET_END}"))?;
            ip(&format!("link set dev {TARGET_END} up"))
        })?;
        shaped.initiator.enter(|| {
            ip(&format!("link add {BRIDGE} type bridge"))?;
            ip(&format!("address add {initiator}/{prefix} dev {BRIDGE}"))?;
            ip(&format!("link set dev {BRIDGE} up"))
        })?;
        shaped.initiator.enter(|| shaped.add_port(INITIATOR_END))?;
        Ok(shaped)
    }

    /// Makes a device of the initiators' network a port of the bridge; to be called in there.
    ///
    /// # Errors
    ///
    /// What `ip` said.
    pub fn add_port(&self, device: &str) -> Result<(), String> {
        ip(&format!("link set dev {device} master {BRIDGE} up"))
    }

    /// Does `work` in the target's network.
    ///
    /// # Errors
    ///
    /// Its own.
    pub fn at_target<R: Send>(
        &self,
        work: impl FnOnce() -> Result<R, String> + Send,
    ) -> Result<R, String> {
        self.target.enter(work)
    }

    /// Does `work` in the initiators' network.
    ///
    /// # Errors
    ///
    /// Its own.
    pub fn at_initiator<R: Send>(
        &self,
        work: impl FnOnce() -> Result<R, String> + Send,
    ) -> Result<R, String> {
        self.initiator.enter(work)
    }

    /// Lets no more through than this from now on, both ways.
    ///
    /// # Errors
    ///
    /// What `tc` said.
    pub fn limit_to(&self, rate: Rate) -> Result<(), String> {
        let shape = |device: &str| tc(&format!("qdisc replace dev {device} root {}", rate.words()));
        self.target.enter(|| shape(TARGET_END))?;
        self.initiator.enter(|| shape(INITIATOR_END))
    }
}

fn tc(line: &str) -> Result<(), String> {
    run("tc", line).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::net::TcpStream;

    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(10, 213, 9, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 213, 9, 2);

    #[test]
    fn both_ends_are_shaped_and_reach_each_other_and_nobody_else_sees_them() {
        let shaped = Shaped::new(HERE, THERE, 24).expect("needs root, ip and tc");
        for gigabits in [1, 10] {
            shaped.limit_to(Rate::gigabits(gigabits)).unwrap();
            let said = |device| run("tc", &format!("qdisc show dev {device}"));
            let ends = [
                shaped.at_target(|| said(TARGET_END)).unwrap(),
                shaped.at_initiator(|| said(INITIATOR_END)).unwrap(),
            ];
            for end in ends {
                assert!(end.contains("tbf"), "{end}");
                assert!(end.contains(&format!("rate {gigabits}Gbit")), "{end}");
            }
        }
        let listener = shaped.at_target(|| Ok(TcpListener::bind((HERE, 0)).unwrap())).unwrap();
        let portal = listener.local_addr().unwrap();
        assert!(shaped.at_initiator(|| Ok(TcpStream::connect(portal))).unwrap().is_ok());
        assert!(!run("ip", "address show").unwrap().contains("10.213.9."));
    }
}
