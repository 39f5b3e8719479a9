//! Frames in.

use isboot_transport::device::{EthernetDevice, NicDevice};
use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::RDT;
use smoltcp::phy::{Device, RxToken};
use smoltcp::time::Instant;

use crate::fake::{Behaviour, Machine};
use crate::{attached, frame, rest, small};

const DD: u8 = 1;
const DD_EOP: u8 = 3;
const DD_EOP_IXSM: u8 = 7;

/// Every frame that waits.
fn drain(nic: &mut Nic<Machine, Machine>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(frame) = nic.split().0.receive() {
        frames.push(frame.bytes().to_vec());
    }
    frames
}

#[test]
fn a_frame_is_lent_where_the_device_put_it() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    assert!(nic.split().0.receive().is_none());
    assert!(machine.deliver(&frame(1, 1514)));
    let lent = nic.split().0.receive().unwrap();
    assert_eq!(lent.bytes(), frame(1, 1514));
    assert!(machine.is_dma_memory(lent.bytes().as_ptr()));
    drop(lent);
    assert!(nic.split().0.receive().is_none(), "taken once");
    assert_eq!(nic.statistics().received, 1);
}

#[test]
fn a_frame_in_pieces_is_dropped_as_a_whole() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    machine.deliver_piece(&frame(1, 2048), DD, 0, None);
    machine.deliver_piece(&frame(2, 2048), DD, 0, None);
    machine.deliver_piece(&frame(3, 500), DD_EOP, 0, None);
    machine.deliver(&frame(4, 100));
    assert_eq!(drain(&mut nic), [frame(4, 100)]);
    assert_eq!(nic.statistics().oversize, 1);
}

#[test]
fn a_frame_in_pieces_may_end_in_a_later_poll() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    machine.deliver_piece(&frame(1, 2048), DD, 0, None);
    assert!(drain(&mut nic).is_empty());
    machine.deliver_piece(&frame(2, 500), DD_EOP, 0, None);
    machine.deliver(&frame(3, 100));
    assert_eq!(drain(&mut nic), [frame(3, 100)]);
}

#[test]
fn damaged_frames_are_dropped() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    for error in [0, 1, 2, 4, 7] {
        machine.deliver_piece(&frame(error, 100), DD_EOP_IXSM, 1 << error, None);
    }
    machine.deliver(&frame(9, 100));
    assert_eq!(drain(&mut nic), [frame(9, 100)]);
    assert_eq!(nic.statistics().damaged, 5);
}

#[test]
fn a_length_that_lies_is_not_believed() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    for len in [2049, 0xffff, 0] {
        machine.deliver_piece(&frame(1, 100), DD_EOP_IXSM, 0, Some(len));
    }
    machine.deliver_piece(&frame(2, 2048), DD_EOP_IXSM, 0, Some(2048));
    assert_eq!(drain(&mut nic), [frame(2, 2048)]);
    assert_eq!(nic.statistics().oversize, 3);
}

#[test]
fn the_ring_fills_empties_and_wraps() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    let mut number = 0;
    for _ in 0..5 {
        let first = number;
        while machine.deliver(&frame(number, 200)) {
            number += 1;
        }
        assert_eq!(number - first, 15, "one descriptor stays unused");
        let expected: Vec<_> = (first..number).map(|number| frame(number, 200)).collect();
        assert_eq!(drain(&mut nic), expected);
        rest(&mut nic);
    }
}

#[test]
fn a_descriptor_done_before_its_predecessor_waits() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    machine.deliver_ahead(1, &frame(2, 100));
    assert!(drain(&mut nic).is_empty());
    machine.deliver(&frame(1, 100));
    assert_eq!(drain(&mut nic), [frame(1, 100), frame(2, 100)]);
}

#[test]
fn buffers_go_back_once_per_quarter_of_the_ring_and_when_the_conversation_rests() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    for number in 0..10 {
        machine.deliver(&frame(number, 100));
    }
    for taken in 1..=10 {
        drop(nic.split().0.receive().unwrap());
        assert_eq!(machine.writes(RDT).len(), taken / 4);
    }
    assert!(nic.split().0.receive().is_none());
    assert_eq!(machine.writes(RDT), [3, 7], "the answer comes first");
    rest(&mut nic);
    assert_eq!(machine.writes(RDT), [3, 7, 9]);
    for _ in 0..100 {
        assert!(nic.split().0.receive().is_none());
    }
    assert_eq!(machine.state().accesses, 3, "an idle poll touches no register");
}

#[test]
fn what_a_device_says_it_can_hold_finds_room_whatever_it_was_not_told() {
    let (machine, nic) = attached(Behaviour::default(), small());
    let mut device = NicDevice::new(nic);
    for taken in 0..40 {
        for number in 0..device.receive_frames() {
            assert!(machine.deliver(&frame(number as u32, 100)), "{number} after {taken}");
        }
        while let Some((frame, _)) = device.receive(Instant::ZERO) {
            frame.consume(|_| ());
        }
        // Ever another part of a quarter is untold.
        assert!(machine.deliver(&frame(0, 100)));
        let Some((frame, _)) = device.receive(Instant::ZERO) else { panic!("{taken}") };
        frame.consume(|_| ());
    }
}

#[test]
fn registers_are_touched_once_for_many_frames() {
    let (machine, mut nic) = attached(Behaviour::default(), Default::default());
    let mut frames = 0_u64;
    while frames < 20_000 {
        for _ in 0..128 {
            assert!(machine.deliver(&frame(7, 1514)));
        }
        frames += drain(&mut nic).len() as u64;
    }
    let accesses = machine.state().accesses;
    assert!(accesses * 64 <= frames, "{accesses} register accesses for {frames} frames");
}

/// A TCP segment whose checksum is right, or not.
fn segment(good: bool) -> Vec<u8> {
    let mut bytes = frame(0, 54);
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    let header = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15];
    bytes[14..34].copy_from_slice(&header);
    bytes[34..].fill(0);
    bytes[46] = 0x50;
    // Ones' complement of the pseudo-header and of the one word that is not zero.
    let sum = 0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 20 + 0x5000_u16;
    let checksum = if good { !sum } else { sum };
    bytes[50..52].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

#[test]
fn checksums_are_trusted_when_checked_and_verified_when_not() {
    const TCPCS: u8 = 1 << 5;
    const TCPE: u8 = 1 << 5;
    let (machine, mut nic) = attached(Behaviour::i82574(), small());
    machine.deliver_piece(&segment(true), DD_EOP_IXSM, 0, None);
    machine.deliver_piece(&segment(false), DD_EOP_IXSM, 0, None);
    assert_eq!(drain(&mut nic), [segment(true)], "not checked by the part");
    machine.deliver_piece(&segment(false), DD_EOP, 0, None);
    assert!(drain(&mut nic).is_empty(), "not checked either");
    machine.deliver_piece(&segment(false), DD_EOP | TCPCS, 0, None);
    assert_eq!(drain(&mut nic).len(), 1, "the part says that it looked: not looked at again");
    machine.deliver_piece(&segment(true), DD_EOP | TCPCS, TCPE, None);
    assert!(drain(&mut nic).is_empty(), "the part found it wrong");
    assert_eq!(nic.statistics().bad_checksum, 3);
}
