//! A connection goes on over whatever the watchdog mends.

use std::time::Duration;

use isboot_transport::device::{EthernetDevice, NicDevice};
use isboot_transport::intel::nic::Nic;
use isboot_transport::link::Link;
use smoltcp::phy::{Device, RxToken};
use smoltcp::time::Instant;

use crate::cost::Connection;
use crate::fake::{Behaviour, Machine};
use crate::{attached, frame, small};

/// One part for each format of descriptors.
const PARTS: [u16; 3] = [0x100e, 0x10d3, 0x10c9];

/// Moves data both ways, breaks something, and moves more.
fn outlives(trouble: impl Fn(Machine)) {
    for id in PARTS {
        let mut connection = Connection::over(Behaviour::of(id));
        connection.read(100 << 10);
        connection.may_lose();
        for round in 0..3 {
            trouble(connection.machine);
            let begin = connection.now;
            connection.read(1 << 20);
            connection.write(1 << 20);
            let took = connection.now - begin;
            // The watchdog looks twice a second, and what was lost meanwhile is sent again.
            assert!(took < Duration::from_secs(8), "{id:x}, round {round}: {took:?}");
            // Resets keep a distance.
            let calm = connection.now + Duration::from_secs(5);
            while connection.now < calm {
                connection.turn();
            }
        }
        assert_eq!(statistics(&mut connection).resets, 3, "{id:x}");
    }
}

fn statistics(connection: &mut Connection) -> isboot_transport::intel::nic::Statistics {
    nic(connection).statistics()
}

fn nic(connection: &mut Connection) -> &mut Nic<Machine, Machine> {
    connection.stream.stack_mut().device_mut().nic_mut()
}

#[test]
fn a_connection_outlives_a_reset_by_somebody_else() {
    outlives(|machine| machine.reset_by_somebody());
}

#[test]
fn a_connection_outlives_a_part_that_loses_its_power() {
    outlives(|machine| machine.lose_power());
}

#[test]
fn the_part_starts_again_as_soon_as_the_stack_has_what_was_reported() {
    for id in PARTS {
        let (machine, nic) = attached(Behaviour::of(id), small());
        let mut device = NicDevice::new(nic);
        let receive = |device: &mut NicDevice<Machine, Machine>| {
            let (frame, _) = device.receive(Instant::ZERO)?;
            Some(frame.consume(<[u8]>::to_vec))
        };
        machine.deliver(&frame(0, 100));
        machine.reset_by_somebody();
        machine.advance(Duration::from_millis(500));
        device.link();
        assert_eq!(receive(&mut device).unwrap(), frame(0, 100));
        assert!(!machine.deliver(&frame(1, 100)), "{id:x}: stands still");
        assert_eq!(receive(&mut device), None);
        assert!(machine.deliver(&frame(2, 100)), "{id:x}: runs, before the link is looked at");
        assert_eq!(receive(&mut device).unwrap(), frame(2, 100));
    }
}

#[test]
fn what_the_watchdog_has_not_seen_yet_is_not_gone() {
    for id in PARTS {
        let (machine, nic) = attached(Behaviour::of(id), small());
        let mut device = NicDevice::new(nic);
        assert!(device.link().is_up());
        machine.lose_power();
        machine.advance(Duration::from_millis(10));
        assert_ne!(device.link(), Link::Gone, "{id:x}: the watchdog looks every 100 ms only");
        machine.advance(Duration::from_millis(500));
        assert!(device.link().is_up(), "{id:x}");
    }
}

#[test]
fn a_connection_ends_when_the_part_was_removed() {
    let mut connection = Connection::over(Behaviour::i82574());
    connection.may_lose();
    connection.machine.remove();
    let limit = connection.now + Duration::from_secs(4);
    while connection.stream.stack().link() != Link::Gone {
        connection.turn();
        assert!(connection.now < limit);
    }
}
