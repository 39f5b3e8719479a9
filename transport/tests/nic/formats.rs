//! The same ring over each of the three descriptor formats.

use isboot_transport::intel::nic::{AttachError, Nic, Step};
use isboot_transport::intel::registers::{
    DVMOLR, MANC, RCTL, RDT, RFCTL, RLPML, RXDCTL, SRRCTL, TXDCTL, dctl, dvmolr, rfctl,
};

use crate::fake::{ADDRESS, Behaviour, Event, Machine};
use crate::{attached, frame, small};

fn each_format(test: impl Fn(Behaviour)) {
    for behaviour in [Behaviour::default(), Behaviour::i82574(), Behaviour::of(0x10c9)] {
        test(behaviour);
    }
}

fn receive(nic: &mut Nic<Machine, Machine>) -> Option<Vec<u8>> {
    nic.split().0.receive().map(|frame| frame.bytes().to_vec())
}

#[test]
fn buffers_are_lent_again_under_the_address_that_the_write_back_destroyed() {
    each_format(|behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        // More than six times round.
        for number in 0..100 {
            assert!(machine.deliver(&frame(number, 1514)), "{:04x}", behaviour.device_id);
            assert_eq!(receive(&mut nic), Some(frame(number, 1514)), "{:04x}", behaviour.device_id);
            assert_eq!(receive(&mut nic), None);
        }
    });
}

#[test]
fn the_first_descriptor_that_is_not_done_ends_the_look() {
    each_format(|behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        machine.deliver_ahead(1, &frame(2, 100));
        assert_eq!(receive(&mut nic), None, "the second is done, the first is not");
        assert!(machine.deliver(&frame(1, 100)));
        assert_eq!(receive(&mut nic), Some(frame(1, 100)));
        assert_eq!(receive(&mut nic), Some(frame(2, 100)));
    });
}

#[test]
fn lengths_that_lie_and_frames_in_pieces_are_dropped() {
    const DD: u8 = 1;
    const DD_EOP: u8 = 3;
    each_format(|behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        for len in [2049, 0x4000, 0xffff, 0] {
            machine.deliver_piece(&frame(9, 64), DD_EOP, 0, Some(len));
        }
        machine.deliver_piece(&frame(9, 2048), DD, 0, None);
        machine.deliver_piece(&frame(9, 2048), DD, 0, None);
        machine.deliver_piece(&frame(9, 64), DD_EOP, 0, None);
        machine.deliver(&frame(1, 64));
        assert_eq!(receive(&mut nic), Some(frame(1, 64)));
        let statistics = nic.statistics();
        assert_eq!(
            (statistics.received, statistics.oversize),
            (1, 5),
            "{:04x}",
            behaviour.device_id
        );
    });
}

#[test]
fn frames_leave_and_their_descriptors_come_back() {
    each_format(|behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        for number in 0..100 {
            let (_, mut transmitter) = nic.split();
            assert!(transmitter.has_room(), "{:04x}, frame {number}", behaviour.device_id);
            transmitter.send(80, |room| room.copy_from_slice(&frame(number, 80)));
        }
        nic.split().1.flush();
        let expected: Vec<_> = (0..100).map(|number| frame(number, 80)).collect();
        assert_eq!(machine.state().sent, expected, "{:04x}", behaviour.device_id);
    });
}

/// The first and the last write of a register.
fn at(events: &[Event], register: isboot_transport::intel::registers::Register) -> (usize, usize) {
    let is_it = |event: &Event| matches!(event, Event::Write(written, _) if *written == register);
    let first = events.iter().position(is_it);
    let last = events.iter().rposition(is_it);
    first.zip(last).unwrap_or_else(|| panic!("{} was never written", register.name()))
}

#[test]
fn queues_are_turned_on_before_their_tail_is_written() {
    let machine = Machine::new(Behaviour::of(0x10c9));
    let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
    let events = machine.state().events.clone();
    assert!(at(&events, SRRCTL).1 < at(&events, RXDCTL).1);
    assert!(at(&events, RXDCTL).1 < at(&events, RCTL).1);
    assert!(at(&events, RCTL).1 < at(&events, RDT).1);
    for register in [RXDCTL, TXDCTL] {
        assert_ne!(machine.writes(register).last().unwrap() & dctl::ENABLE, 0);
    }
    assert_eq!(machine.writes(RFCTL).last().unwrap() & rfctl::EXTEN, 0);
    machine.forget();
    nic.detach().unwrap();
    for register in [RXDCTL, TXDCTL] {
        assert_eq!(machine.writes(register)[0] & dctl::ENABLE, 0, "off before the reset");
    }
}

#[test]
fn the_check_sequence_is_stripped_wherever_the_family_wants_to_be_told() {
    for (device_id, times) in [(0x10c9, 0), (0x150e, 0), (0x1521, 1), (0x1533, 1)] {
        let machine = Machine::new(Behaviour::of(device_id));
        let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        assert_eq!(machine.writes(DVMOLR), vec![dvmolr::STRCRC; times], "{device_id:04x}");
    }
}

/// With firmware receiving, and without: only then is everything dropped for a moment.
#[test]
fn what_firmware_let_in_is_flushed_out_of_an_82575() {
    const RCV_TCO_EN: u32 = 1 << 17;
    const LPE: u32 = 1 << 5;
    for (firmware_receives, flushes) in [(RCV_TCO_EN, 1), (0, 0)] {
        let machine = Machine::new(Behaviour { reset_clears: false, ..Behaviour::of(0x10a7) });
        machine.poke(MANC, firmware_receives);
        let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let dropping = machine.writes(RCTL).iter().filter(|value| *value & LPE != 0).count();
        assert_eq!(dropping, flushes * 2, "set up, then on");
        assert_eq!(machine.peek(RCTL) & LPE, 0);
        assert_ne!(machine.peek(RXDCTL) & dctl::ENABLE, 0);
        assert_eq!(machine.peek(RLPML), 1522);
        assert!(machine.deliver(&frame(1, 100)));
        assert_eq!(receive(&mut nic), Some(frame(1, 100)));
    }
}

#[test]
fn a_queue_that_does_not_turn_on_is_named_and_nothing_is_left_behind() {
    let machine = Machine::new(Behaviour { queues_stuck: true, ..Behaviour::of(0x1533) });
    let error = Nic::attach(machine, machine, ADDRESS, &small()).err().unwrap();
    assert!(
        matches!(error, AttachError::Stuck { step: Step::Start, register: TXDCTL, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("TXDCTL stayed"), "{error}");
    assert_eq!((machine.live_regions(), machine.is_bus_master()), (0, false));
}
