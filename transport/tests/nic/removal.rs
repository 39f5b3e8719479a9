//! The controller is gone at any access of its registers or of configuration space: pulled out,
//! or hanging while configuration space still answers.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::interrupt::{Line, Mode};
use isboot_transport::intel::nic::{AttachError, Nic};
use isboot_transport::link::Link;

use crate::fake::{ADDRESS, Behaviour, Event, MESSAGE, Machine};
use crate::families::{for_each, one_each, to_us};
use crate::{frame, small};

/// An attach may wait for several things in turn, each within its bound.
const LONGEST: Duration = Duration::from_secs(4);

/// A whole life: taken over, interrupts, frames both ways, a link that goes and comes, handed
/// back. However far it gets, it ends, in time, and keeps nothing.
fn live(machine: Machine) -> Result<(), AttachError> {
    static LINE: Line = Line::new();
    let begin = machine.now();
    let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).inspect_err(|error| {
        assert!(!error.to_string().is_empty());
        assert_gone_quietly(machine, begin);
    })?;
    machine.install(nic.acknowledger(&LINE));
    let _ = nic.enable_interrupts(Mode::Msix, Some(MESSAGE));
    for number in 0..40 {
        machine.deliver(&to_us(number, 200));
        machine.interrupts();
        while let Some(frame) = nic.split().0.receive() {
            assert_eq!(frame.bytes().len(), 200);
        }
        let (_, mut transmitter) = nic.split();
        if transmitter.has_room() {
            transmitter.send(100, |room| room.copy_from_slice(&frame(number, 100)));
        }
        transmitter.flush();
        if number % 10 == 5 {
            machine.set_link(false);
            let _ = nic.link();
            machine.set_link(true);
            machine.advance(Duration::from_millis(300));
            let _ = nic.watch(machine.now());
            let _ = nic.link();
            let _ = nic.statistics();
        }
        nic.rearm();
        let _ = nic.acknowledge();
    }
    let begin = machine.now();
    let ended = nic.detach();
    if machine.touches() < machine.state().behaviour.gone_after {
        ended.expect("nothing was wrong");
    }
    assert_gone_quietly(machine, begin);
    // A handler that comes too late does no harm.
    machine.handle();
    Ok(())
}

fn assert_gone_quietly(machine: Machine, begin: Duration) {
    assert!(machine.now() - begin < LONGEST, "took {:?}", machine.now() - begin);
    assert!(!machine.is_bus_master(), "still a bus master");
    assert_eq!(machine.live_regions(), 0, "memory was kept");
    let count = |wanted: fn(&Event) -> bool| {
        machine.state().events.iter().filter(|event| wanted(event)).count()
    };
    let mapped = count(|event| matches!(event, Event::Map(_)));
    assert_eq!(mapped, count(|event| matches!(event, Event::Unmap(_))), "a window stayed mapped");
    assert!(machine.freed_memory_is_untouched());
}

/// How many accesses a whole life takes.
fn needed(behaviour: Behaviour) -> u64 {
    let machine = Machine::new(behaviour);
    live(machine).expect("nothing is wrong");
    machine.touches()
}

#[test]
fn gone_at_every_access_of_a_whole_life_in_every_family() {
    for_each(one_each(), |model| {
        let behaviour = Behaviour { filters: true, ..Behaviour::of(model.device_id) };
        let needed = needed(behaviour);
        assert!(needed > 100, "{needed} accesses are no life");
        let machine = Machine::new(behaviour);
        // The wires of the 82543's PHY take two hundred accesses for a register, all alike.
        let step = if needed > 3_000 { 17 } else { 1 };
        for config_goes in [true, false] {
            for gone_after in (0..needed).step_by(step) {
                machine.renew(Behaviour { gone_after, config_goes, ..behaviour });
                let alive = std::panic::AssertUnwindSafe(|| live(machine));
                if std::panic::catch_unwind(alive).is_err() {
                    panic!("gone after {gone_after} of {needed}, configuration too: {config_goes}");
                }
            }
        }
    });
}

#[test]
fn a_part_that_goes_while_it_is_taken_over_is_said_to_be_gone() {
    for_each(one_each(), |model| {
        let behaviour = Behaviour::of(model.device_id);
        let machine = Machine::new(behaviour);
        let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let needed = machine.touches();
        drop(nic);
        let step = if needed > 3_000 { 17 } else { 1 };
        for gone_after in (0..needed).step_by(step) {
            machine.renew(Behaviour { gone_after, config_goes: true, ..behaviour });
            // The last accesses may be writes, of which nobody says that they went nowhere.
            match Nic::attach(machine, machine, ADDRESS, &small()) {
                Ok(mut nic) => assert_eq!(nic.link(), Link::Gone, "after {gone_after} of {needed}"),
                Err(
                    AttachError::Gone { .. } | AttachError::Absent { .. } | AttachError::Bar { .. },
                ) => {}
                Err(error) => panic!("after {gone_after} of {needed}: {error}"),
            }
            assert!(!machine.is_bus_master());
            assert_eq!(machine.live_regions(), 0);
        }
    });
}
