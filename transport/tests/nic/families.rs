//! The same life for every family and every device id: taken over from firmware, three turns of
//! both rings, handed back.

use std::collections::BTreeSet;
use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::family::Family;
use isboot_transport::intel::ids::{MODELS, Media, Model};
use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::{CTRL_EXT, IMS, RCTL, RDBAL, RDLEN, TCTL, TDBAL, TDLEN};
use isboot_transport::link::Link;

use crate::fake::{self, ADDRESS, Behaviour, Event, MAC, Machine, Part};
use crate::{frame, rest, small};

/// One device id of each family, with a PHY if there is such.
pub(crate) fn one_each() -> impl Iterator<Item = &'static Model> {
    Family::ALL.iter().map(|family| {
        let mut models = MODELS.iter().filter(|model| model.family == *family);
        let with_phy = models.clone().find(|model| model.media == Media::Copper);
        with_phy.or_else(|| models.next()).unwrap_or_else(|| panic!("{family:?} has no device id"))
    })
}

/// As on a wire: addresses are looked at, and so are checksums.
fn behaviour(model: &Model) -> Behaviour {
    Behaviour { filters: true, checks_sums: true, ..Behaviour::of(model.device_id) }
}

/// Calls `test` for each model, and fails naming all of those for which it failed.
#[track_caller]
pub(crate) fn for_each(
    models: impl Iterator<Item = &'static Model>,
    test: impl Fn(&'static Model),
) {
    let mut failed = BTreeSet::new();
    for model in models {
        let run = std::panic::AssertUnwindSafe(|| test(model));
        if std::panic::catch_unwind(run).is_err() {
            failed.insert(format!("{} ({:04x}, {:?})", model.name, model.device_id, model.family));
        }
    }
    assert!(failed.is_empty(), "failed for {failed:#?}");
}

/// A frame to us, of `len` bytes, recognisable by its number.
pub(crate) fn to_us(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = frame(number, len);
    bytes[..6].copy_from_slice(&MAC);
    bytes
}

/// Looks at the link until it is up: some need a moment before they can be used.
pub(crate) fn await_link(machine: Machine, nic: &mut Nic<Machine, Machine>) {
    let begin = machine.now();
    while !nic.link().is_up() {
        machine.advance(Duration::from_millis(50));
        assert!(machine.now() - begin < Duration::from_secs(5), "no link");
    }
}

/// Bus mastering off, nothing enabled, nothing held, nothing told to firmware.
pub(crate) fn assert_handed_back(machine: Machine) {
    assert!(!machine.is_bus_master());
    for register in [RCTL, TCTL] {
        assert_eq!(machine.peek(register) & 2, 0, "{} is enabled", register.name());
    }
    for register in [IMS, RDLEN, TDLEN, RDBAL, TDBAL] {
        assert_eq!(machine.peek(register), 0, "{}", register.name());
    }
    assert_eq!(machine.peek(CTRL_EXT) & fake::register::ctrl_ext::DRV_LOAD, 0, "DRV_LOAD");
    assert_eq!(machine.held_locks(), 0, "locks");
    assert_eq!(machine.live_regions(), 0, "memory");
    machine.set_config(4, machine.config(4) | 4);
    assert!(!machine.deliver(&to_us(0, 64)), "it still receives");
    machine.complete(100, true);
    assert!(machine.freed_memory_is_untouched());
}

#[test]
fn the_fake_and_the_driver_know_the_same_parts() {
    let ours: BTreeSet<u16> = MODELS.iter().map(|model| model.device_id).collect();
    let theirs: BTreeSet<u16> = Part::all().map(|part| part.device_id).collect();
    let hex = |ids: Vec<&u16>| ids.iter().map(|id| format!("{id:04x}")).collect::<Vec<_>>();
    assert_eq!(hex(ours.difference(&theirs).collect()), [""; 0], "unknown to the fake");
    assert_eq!(hex(theirs.difference(&ours).collect()), [""; 0], "unknown to the driver");
    assert_eq!(one_each().count(), Family::ALL.len());
}

#[test]
fn every_device_id_is_taken_over_and_handed_back() {
    for_each(MODELS.iter(), |model| {
        let machine = Machine::new(behaviour(model));
        let before = machine.now();
        let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        assert!(machine.now() - before < Duration::from_secs(2), "{:?}", machine.now() - before);
        assert_eq!(nic.mac(), MAC);
        nic.detach().unwrap();
        assert_handed_back(machine);
    });
}

#[test]
fn three_turns_of_both_rings_in_every_family() {
    for_each(one_each(), |model| {
        let machine = Machine::new(behaviour(model));
        machine.leave_running();
        for life in 0..2 {
            let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            await_link(machine, &mut nic);
            assert_eq!(nic.link(), Link::Up { megabits: 1000, full_duplex: true });
            machine.state_mut().sent.clear();
            for number in 0..48 + life {
                assert!(machine.deliver(&to_us(number, 200)), "frame {number} in");
                assert_eq!(nic.split().0.receive().unwrap().bytes(), to_us(number, 200));
                assert!(nic.split().0.receive().is_none());
                let (_, mut transmitter) = nic.split();
                assert!(transmitter.has_room(), "frame {number} out");
                transmitter.send(100, |room| room.copy_from_slice(&frame(number, 100)));
                transmitter.flush();
            }
            let sent: Vec<_> = (0..48 + life).map(|number| frame(number, 100)).collect();
            assert_eq!(machine.state().sent, sent);
            assert_eq!(nic.statistics().received, 48 + u64::from(life));
            nic.detach().unwrap();
            assert_handed_back(machine);
        }
    });
}

#[test]
fn a_ring_that_was_filled_is_emptied_in_every_family() {
    for_each(one_each(), |model| {
        let machine = Machine::new(behaviour(model));
        let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let mut number = 0;
        for turn in 0..3 {
            let first = number;
            while machine.deliver(&to_us(number, 1514)) {
                number += 1;
            }
            assert_eq!(number - first, 15, "turn {turn}: one descriptor stays unused");
            for number in first..number {
                assert_eq!(nic.split().0.receive().unwrap().bytes(), to_us(number, 1514));
            }
            rest(&mut nic);
        }
        assert_eq!(nic.statistics().missed, 3, "one more for each turn, which found no room");
    });
}

#[test]
fn nothing_is_written_to_firmwares_memory_once_any_of_ours_is_taken() {
    for_each(one_each(), |model| {
        for reset_clears in [true, false] {
            let machine = Machine::new(Behaviour { reset_clears, ..behaviour(model) });
            machine.leave_running();
            let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            let first = machine.position(|event| matches!(event, Event::Allocate(_)));
            let last = machine.state().events.iter().rposition(|e| *e == Event::ForeignWrite);
            let last = last.expect("firmware's ring was running");
            assert!(last < first, "DMA into firmware's memory went on: {last} > {first}");
            let reset = machine.position(|event| *event == Event::Reset);
            assert!(reset < first, "memory was taken before the reset");
            drop(nic);
            assert_handed_back(machine);
        }
    });
}
#[test]
fn no_family_does_what_its_datasheet_forbids() {
    for_each(one_each(), |model| {
        let machine = Machine::new(Behaviour { link_up: false, ..behaviour(model) });
        let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        machine.set_link(true);
        await_link(machine, &mut nic);
        machine.set_link(false);
        assert!(!nic.link().is_up());
        machine.set_link(true);
        await_link(machine, &mut nic);
        assert_eq!(nic.statistics().link_losses, 1);
        nic.detach().unwrap();
        assert_eq!(machine.violations(), [""; 0]);
        assert_handed_back(machine);
    });
}
