//! isboot on a TAP device, over its own TCP.

use std::net::Ipv4Addr;
use std::time::Duration;

use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::tcp::{TcpOptions, TcpStream};

use super::PREFIX;
use super::tap::Tap;
use crate::contender::Contender;
use crate::host::peer::SETTLE;
use crate::initiator::LoggedIn;
use crate::load::Load;
use crate::rig::Place;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// The receive buffer, which is the window: what is under way at 10 Gb/s for 0.4 ms.
const RECEIVE: usize = 512 << 10;
const TRANSMIT: usize = 64 << 10;

type Stream = TcpStream<'static, Tap>;

/// isboot on a device of its own, logged in as its first workload wants it.
pub struct Ours {
    place: Place,
    /// Until it is logged in.
    tap: Option<Tap>,
    address: Ipv4Addr,
    /// Tells several of them apart.
    number: u8,
    session: Option<(Digests, LoggedIn<Stream>)>,
}

impl Ours {
    /// To be logged in at `place` over this device, from `address`.
    #[must_use]
    pub fn new(place: &Place, tap: Tap, address: Ipv4Addr, number: u8) -> Self {
        Self { place: place.clone(), tap: Some(tap), address, number, session: None }
    }
}

impl Contender for Ours {
    fn name(&self) -> &str {
        names::ISBOOT
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        can(workload)?;
        match (&self.session, self.tap.take()) {
            (Some((digests, _)), _) if *digests == workload.digests => Ok(()),
            (None, Some(tap)) => {
                let stream = stream(tap, self.address, self.number)?;
                let wait = |stream: &Stream, limit| stream.stack().device().wait(limit);
                let session = LoggedIn::new(&self.place, stream, wait, workload.digests)?;
                self.session = Some((workload.digests, session));
                Ok(())
            }
            _ => Err("each session with other digests has a device of its own".to_owned()),
        }
    }

    /// As long as libiscsi has. For about so long the scheduler leaves us on the processor of istgt's
    /// busiest thread, which its frames wake us up on, and the other one idle.
    fn settle(&mut self, workload: &Workload) -> Result<(), String> {
        self.run(workload, SETTLE).map(drop)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        can(workload)?;
        let Some((_, session)) = &mut self.session else {
            return Err("there is no session: it was not prepared".to_owned());
        };
        let mut load = Load::new(workload, self.place.bytes, 0)?;
        let sample = session.run(&mut load, limit)?;
        load.check(&self.place.written)?;
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

/// The link is measured by sequential reads, which its buffers and its target are made for.
fn can(workload: &Workload) -> Result<(), String> {
    match (workload.operation, workload.pattern) {
        (Operation::Read, Pattern::Sequential) => Ok(()),
        _ => Err("over the link there are only sequential reads".to_owned()),
    }
}

/// A connection's end on the device.
fn stream(tap: Tap, address: Ipv4Addr, number: u8) -> Result<Stream, String> {
    let addressing =
        Addressing::Static { address: address.into(), prefix: PREFIX, gateway: None, dns: None };
    let seed = u64::from(std::process::id()) << 8 | u64::from(number);
    let configuration = Configuration {
        mtu: Some(tap.mtu()),
        ..Configuration::new([0x52, 0x54, 0, 0x12, 0x34, number], addressing, seed)
    };
    // A few sessions in the life of the process: what they leave is nothing.
    let sockets = Box::leak(Box::new(Sockets::new()));
    let buffer = |length: usize| vec![0; length].leak();
    let stack = NetStack::new(tap, sockets, &configuration, Duration::ZERO)
        .map_err(|error| format!("making a stack: {error}"))?;
    TcpStream::new(stack, buffer(RECEIVE), buffer(TRANSMIT), TcpOptions::default())
        .map_err(|error| format!("making a connection: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_cannot_do_is_refused() {
        assert_eq!(can(&Workload::read(4096, 1)), Ok(()));
        for workload in [Workload::write(4096, 1), Workload::random_read(4096, 1)] {
            assert!(can(&workload).is_err(), "{workload}");
        }
    }
}
