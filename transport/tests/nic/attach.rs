//! Taking a controller over, whatever state it is in.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::nic::{AttachError, Nic, Options, Step};
use isboot_transport::intel::registers::{
    CTRL, CTRL_EXT, GCR, GCR2, IMC, IMS, RAH0, RAL0, RCTL, RDBAH, RDBAL, RDLEN, RDT, TARC0, TCTL,
    TDBAL, TXDCTL, ctrl, rctl, tctl,
};
use isboot_transport::intel::ring::RingError;
use isboot_transport::link::Link;
use isboot_transport::pci::{BarError, PciAddress};

use crate::fake::{ADDRESS, Behaviour, Event, MAC, Machine};
use crate::{frame, small};

fn attach(machine: Machine) -> Result<Nic<Machine, Machine>, AttachError> {
    Nic::attach(machine, machine, ADDRESS, &small())
}

/// The error, and that the part is quiet and nothing was kept.
fn attach_fails(machine: Machine) -> AttachError {
    let before = machine.now();
    let Err(error) = attach(machine) else { panic!("attached") };
    assert!(machine.now() - before < Duration::from_secs(2), "took {:?}", machine.now() - before);
    assert!(!machine.is_bus_master(), "bus master after {error}");
    assert_eq!(machine.live_regions(), 0, "memory kept after {error}");
    error
}

fn both() -> [Behaviour; 2] {
    [Behaviour::default(), Behaviour::i82574()]
}

#[test]
fn reception_is_enabled_once_and_last() {
    for behaviour in both() {
        let machine = Machine::new(behaviour);
        let nic = attach(machine).unwrap();
        let enables = machine.writes(RCTL).into_iter().filter(|value| value & rctl::EN != 0);
        assert_eq!(enables.count(), 1);
        let enabled = machine.position(|e| matches!(e, Event::Write(RCTL, v) if v & rctl::EN != 0));
        for register in [RDBAL, RDBAH, RDLEN] {
            assert!(
                machine.position(|e| matches!(e, Event::Write(r, _) if *r == register)) < enabled
            );
        }
        let tail = machine.writes(RDT);
        assert_eq!(tail, [0, 15], "zero first, then all but one descriptor");
        assert!(machine.position(|e| *e == Event::Write(RDT, 15)) > enabled);
        assert!(machine.position(|e| *e == Event::BusMaster(true)) < enabled);
        assert_eq!(machine.peek(TCTL) & tctl::EN, tctl::EN);
        assert_eq!(machine.peek(IMS), 0);
        assert_eq!(nic.mac(), MAC);
    }
}

#[test]
fn the_device_is_given_bus_addresses() {
    let machine = Machine::new(Behaviour::default());
    let _nic = attach(machine).unwrap();
    let base = u64::from(machine.peek(RDBAL)) | u64::from(machine.peek(RDBAH)) << 32;
    assert_eq!(Some(base), machine.first_bus_address());
    assert!(u64::from(machine.peek(TDBAL)) > base);
    assert!(machine.deliver(&frame(1, 100)), "the fake finds its way by bus addresses alone");
}

#[test]
fn nothing_is_allocated_before_the_reset() {
    for behaviour in both() {
        let machine = Machine::new(behaviour);
        let _nic = attach(machine).unwrap();
        let reset = machine.position(|e| matches!(e, Event::Write(CTRL, v) if v & ctrl::RST != 0));
        assert!(reset < machine.position(|e| matches!(e, Event::Allocate(_))));
    }
}

#[test]
fn what_firmware_left_running_stops_before_memory_is_taken() {
    for clears in [true, false] {
        for behaviour in both() {
            let machine = Machine::new(Behaviour { reset_clears: clears, ..behaviour });
            machine.leave_running();
            let mut nic = attach(machine).unwrap();
            let first = machine.position(|e| matches!(e, Event::Allocate(_)));
            let events = machine.state().events.clone();
            let last = events.iter().rposition(|e| *e == Event::ForeignWrite).unwrap();
            assert!(last < first, "DMA into firmware's memory went on: {last} > {first}");
            assert!(machine.deliver(&frame(5, 64)));
            assert_eq!(nic.split().0.receive().unwrap().bytes(), frame(5, 64));
        }
    }
}

#[test]
fn a_reset_that_never_finishes_is_an_error_in_time() {
    let machine = Machine::new(Behaviour { reset_reads: u32::MAX, ..Behaviour::default() });
    let error = attach_fails(machine);
    let AttachError::Stuck { step: Step::Reset, register: CTRL, value, .. } = error else {
        panic!("{error:?}")
    };
    assert_ne!(value & ctrl::RST, 0);
    let text = error.to_string();
    assert!(text.contains("00:03.0") && text.contains("CTRL stayed"), "{text}");
}

#[test]
fn bus_requests_that_never_drain_do_not_stop_it() {
    let machine = Machine::new(Behaviour { master_stuck: true, ..Behaviour::i82574() });
    let before = machine.now();
    let _nic = attach(machine).unwrap();
    assert!(machine.now() - before < Duration::from_secs(1));
}

#[test]
fn the_mac_address_comes_from_the_eeprom_when_the_registers_have_none() {
    for behaviour in both() {
        for receive_address in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            let machine = Machine::new(Behaviour { receive_address, ..behaviour });
            let nic = attach(machine).unwrap();
            assert_eq!(nic.mac(), MAC);
            assert_eq!(machine.peek(RAL0), 0x1200_5452);
            assert_eq!(machine.peek(RAH0), 0x8000_5634);
        }
        let machine =
            Machine::new(Behaviour { receive_address: [0; 6], eeprom: None, ..behaviour });
        assert_eq!(attach_fails(machine), AttachError::NoMac { address: ADDRESS });
    }
}

#[test]
fn what_the_82574_needs_is_programmed() {
    let machine = Machine::new(Behaviour::i82574());
    let _nic = attach(machine).unwrap();
    assert_eq!(machine.peek(GCR), 1 << 22 | 1 << 27);
    assert_eq!(machine.peek(GCR2), 1);
    assert_eq!(machine.peek(TARC0), 1 << 26 | 0x0403, "the queue stays enabled");
    assert_eq!(machine.peek(CTRL_EXT), 1 << 28 | 1 << 22, "DRV_LOAD and bit 22");
    assert_eq!(machine.peek(TXDCTL) & 1 << 22, 1 << 22);
    assert_eq!(machine.peek(CTRL) & (ctrl::MASTER_DISABLE | ctrl::RST | ctrl::ASDE), 0);
    // Its receiver is not switched off on a live port: the reset does it.
    let machine = Machine::new(Behaviour::i82574());
    machine.leave_running();
    let _nic = attach(machine).unwrap();
    let reset = machine.position(|e| matches!(e, Event::Write(CTRL, v) if v & ctrl::RST != 0));
    let before = &machine.state().events[..reset];
    assert!(!before.iter().any(|e| matches!(e, Event::Write(RCTL, _))));
}

#[test]
fn message_interrupts_and_sleep_are_turned_off() {
    let machine = Machine::new(Behaviour::i82574());
    machine.set_config(4, 0x0010_0006);
    machine.set_config(0x34, 0xc8);
    // Power management in D3, then MSI enabled, then MSI-X enabled, which points back at itself.
    machine.set_config(0xc8, 0xd001);
    machine.set_config(0xcc, 0x0000_8003);
    machine.set_config(0xd0, 0x0081_a005);
    machine.set_config(0xa0, 0x8004_a011);
    let _nic = attach(machine).unwrap();
    assert_eq!(machine.config(0xcc) & 3, 0, "D0");
    assert_eq!(machine.config(0xd0) & 1 << 16, 0, "MSI");
    assert_eq!(machine.config(0xa0) & 1 << 31, 0, "MSI-X");
}

#[test]
fn functions_that_cannot_be_driven_are_named() {
    let machine = Machine::new(Behaviour { device_id: 0x1234, ..Behaviour::default() });
    let error = attach_fails(machine);
    assert_eq!(error.to_string(), "00:03.0 is 8086:1234, which this driver does not serve");
    for (device_id, why) in [
        (0x15f3, "I225-V (8086:15f3), which this driver does not serve: 2.5 Gbit/s"),
        (0x10ca, "attach the physical one"),
        (0x1000, "82542"),
    ] {
        let machine = Machine::new(Behaviour { device_id, ..Behaviour::default() });
        let error = attach_fails(machine).to_string();
        assert!(error.contains(why), "{error}");
    }
    let nowhere = PciAddress { device: 9, ..ADDRESS };
    let error = Nic::attach(machine, machine, nowhere, &small()).err().unwrap();
    assert_eq!(error, AttachError::Absent { address: nowhere });
    for (bar, error) in [
        (0, BarError::Unassigned),
        (0xc001, BarError::NotMemory),
        (0xfeb8_0002, BarError::ReservedType),
    ] {
        let machine = Machine::new(Behaviour::default());
        machine.set_config(0x10, bar);
        assert_eq!(attach_fails(machine), AttachError::Bar { address: ADDRESS, error });
    }
}

#[test]
fn memory_out_of_the_parts_reach_is_refused_and_given_back() {
    let high = Behaviour { first_bus_address: Some(0x1_0000_0000), ..Behaviour::default() };
    let AttachError::Ring { error: RingError::BadMemory(..), .. } =
        attach_fails(Machine::new(high))
    else {
        panic!()
    };
    let high = Behaviour { first_bus_address: Some(0x1_0000_0000), ..Behaviour::i82574() };
    assert!(attach(Machine::new(high)).is_ok(), "the 82574L reaches all of memory");
}

#[test]
fn too_little_memory_is_an_error() {
    for allocations in 0..4 {
        let machine = Machine::new(Behaviour { allocations, ..Behaviour::default() });
        let error = attach_fails(machine);
        assert!(matches!(error, AttachError::Ring { error: RingError::NoMemory(_), .. }));
    }
}

#[test]
fn odd_ring_sizes_are_refused() {
    for count in [0, 4, 100, 8192] {
        let machine = Machine::new(Behaviour::default());
        let options = Options { receive_descriptors: count, ..small() };
        let error = Nic::attach(machine, machine, ADDRESS, &options).err().unwrap();
        assert_eq!(
            error,
            AttachError::Ring { address: ADDRESS, error: RingError::Count { count, most: 4096 } }
        );
    }
}

#[test]
fn a_link_that_is_up_is_kept_and_one_that_is_down_negotiated() {
    let machine = Machine::new(Behaviour::default());
    let mut nic = attach(machine).unwrap();
    assert_eq!(machine.negotiations(), 0);
    assert_eq!(nic.link(), Link::Up { megabits: 1000, full_duplex: true });
    assert_ne!(machine.peek(CTRL) & ctrl::RFCE, 0, "both ends agreed on pause frames");

    let machine = Machine::new(Behaviour { link_up: false, ..Behaviour::default() });
    let mut nic = attach(machine).unwrap();
    assert_eq!(nic.link(), Link::Down);
    assert_eq!(machine.negotiations(), 1);
    machine.state_mut().behaviour.link_up = true;
    assert!(nic.link().is_up());
    machine.state_mut().behaviour.link_up = false;
    assert_eq!(nic.link(), Link::Down);
    assert_eq!(nic.statistics().link_losses, 1);
}

#[test]
fn a_phy_that_does_not_answer_costs_no_more_than_its_bound() {
    let machine =
        Machine::new(Behaviour { phy_dead: true, link_up: false, ..Behaviour::default() });
    let before = machine.now();
    let _nic = attach(machine).unwrap();
    assert!(machine.now() - before < Duration::from_secs(1));
}

#[test]
fn link_of_a_part_that_is_gone() {
    let machine = Machine::new(Behaviour::default());
    let mut nic = attach(machine).unwrap();
    machine.state_mut().behaviour.gone_after = 0;
    assert_eq!(nic.link(), Link::Gone);
    assert!(nic.acknowledge().is_gone());
}

#[test]
fn acknowledging_reads_and_clears_the_causes() {
    use isboot_transport::intel::registers::ICR;
    let machine = Machine::new(Behaviour::default());
    let nic = attach(machine).unwrap();
    assert!(nic.acknowledge().link_changed(), "the link that came up with the attach");
    assert!(nic.acknowledge().is_empty());
    machine.poke(ICR, 1 << 7 | 1 << 2);
    let cause = nic.acknowledge();
    assert!(cause.received() && cause.link_changed() && !cause.transmitted());
    assert!(nic.acknowledge().is_empty());
    assert!(machine.writes(IMC).contains(&u32::MAX));
}

#[test]
fn a_link_that_only_the_phy_knows_of_is_negotiated_anew() {
    let behaviour = Behaviour { link_needs_negotiation: true, ..Behaviour::of(0x10c9) };
    let machine = Machine::new(behaviour);
    let mut nic = attach(machine).unwrap();
    assert_eq!(machine.negotiations(), 1);
    assert!(nic.link().is_up());
}
