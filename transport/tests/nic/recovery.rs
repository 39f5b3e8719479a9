//! A connection goes on over whatever the watchdog mends.

use std::time::Duration;

use isboot_transport::intel::nic::Nic;
use isboot_transport::link::Link;

use crate::cost::Connection;
use crate::fake::{Behaviour, Machine};

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
