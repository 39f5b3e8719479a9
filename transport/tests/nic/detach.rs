//! Handing a controller back quiet.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::{
    CTRL_EXT, IMS, RCTL, RDBAL, RDLEN, TCTL, TDBAL, TDLEN, rctl, tctl,
};

use crate::fake::{ADDRESS, Behaviour, Event, Machine};
use crate::{attached, frame, small};

fn every() -> impl Iterator<Item = Behaviour> {
    [true, false].into_iter().flat_map(|reset_clears| {
        [Behaviour::default(), Behaviour::i82574()]
            .map(|behaviour| Behaviour { reset_clears, ..behaviour })
    })
}

/// Nothing can reach memory any more, and nothing was reached.
fn assert_quiet(machine: Machine) {
    assert!(!machine.is_bus_master());
    assert_eq!(machine.peek(RCTL) & rctl::EN, 0);
    assert_eq!(machine.peek(TCTL) & tctl::EN, 0);
    assert_eq!(machine.peek(IMS), 0);
    for register in [RDLEN, TDLEN, RDBAL, TDBAL] {
        assert_eq!(machine.peek(register), 0, "{}", register.name());
    }
    assert_eq!(machine.peek(CTRL_EXT) & 1 << 28, 0, "DRV_LOAD");
    assert_eq!(machine.live_regions(), 0);
    // With bus mastering on again, as the next driver will set it, still nothing moves.
    machine.set_config(4, machine.config(4) | 4);
    assert!(!machine.deliver(&frame(1, 64)));
    machine.complete(100, true);
    assert!(machine.freed_memory_is_untouched());
}

#[test]
fn a_detached_part_touches_no_memory() {
    for behaviour in every() {
        let (machine, mut nic) = attached(behaviour, small());
        machine.deliver(&frame(1, 64));
        nic.split().1.send(64, |room| room.fill(1));
        nic.detach().unwrap();
        let off = machine.position(|e| *e == Event::BusMaster(false));
        assert!(off < machine.position(|e| matches!(e, Event::Free(_))));
        assert_quiet(machine);
    }
}

#[test]
fn dropping_does_the_same() {
    for behaviour in every() {
        let (machine, nic) = attached(behaviour, small());
        drop(nic);
        assert_quiet(machine);
    }
}

#[test]
fn attaching_again_works() {
    for behaviour in every() {
        let machine = Machine::new(behaviour);
        for number in 0..3 {
            let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            assert!(machine.deliver(&frame(number, 64)));
            assert_eq!(nic.split().0.receive().unwrap().bytes(), frame(number, 64));
            nic.split().1.send(64, |room| room.copy_from_slice(&frame(number, 64)));
            nic.split().1.flush();
            assert_eq!(machine.state().sent.last().unwrap(), &frame(number, 64));
            nic.detach().unwrap();
        }
        assert_quiet(machine);
    }
}

#[test]
fn a_part_that_does_not_confirm_is_reported_and_cut_off() {
    let (machine, nic) = attached(Behaviour::default(), small());
    machine.state_mut().behaviour.reset_reads = u32::MAX;
    let before = machine.now();
    let error = nic.detach().unwrap_err().to_string();
    assert!(error.contains("CTRL"), "{error}");
    assert!(machine.now() - before < Duration::from_secs(1));
    assert!(!machine.is_bus_master());

    let (machine, nic) = attached(Behaviour::default(), small());
    machine.state_mut().behaviour.gone_after = 0;
    let error = nic.detach().unwrap_err().to_string();
    assert!(error.contains("STATUS is 0xffffffff"), "{error}");
    assert!(!machine.is_bus_master());
}
