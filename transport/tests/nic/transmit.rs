//! Frames out.

use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::TDT;

use crate::fake::{Behaviour, Machine};
use crate::{attached, frame, small};

const RS: u8 = 8;

fn send(nic: &mut Nic<Machine, Machine>, bytes: &[u8]) -> bool {
    let (_, mut transmitter) = nic.split();
    if !transmitter.has_room() {
        return false;
    }
    transmitter.send(bytes.len(), |room| room.copy_from_slice(bytes));
    true
}

#[test]
fn a_burst_leaves_with_one_register_write() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    for number in 0..10 {
        assert!(send(&mut nic, &frame(number, 1514)));
    }
    assert!(machine.state().sent.is_empty(), "not before the flush");
    nic.split().1.flush();
    nic.split().1.flush();
    assert_eq!(machine.writes(TDT), [10]);
    let expected: Vec<_> = (0..10).map(|number| frame(number, 1514)).collect();
    assert_eq!(machine.state().sent, expected);
    assert_eq!(machine.state().accesses, 1);
    let commands = machine.transmit_commands(10);
    let reporting: Vec<_> = (0..10).filter(|at| commands[*at] & RS != 0).collect();
    assert_eq!(reporting, [7, 9], "every eighth, and the last of the burst");
}

#[test]
fn short_frames_are_padded_with_zeroes() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    // What an earlier frame left in the buffers must not leak (CVE-2003-0001).
    for _ in 0..16 {
        send(&mut nic, &[0xff; 1514]);
        nic.split().1.flush();
    }
    machine.state_mut().sent.clear();
    send(&mut nic, &frame(1, 42));
    nic.split().1.flush();
    let sent = machine.state().sent.clone();
    assert_eq!(sent[0].len(), 60);
    assert_eq!(sent[0][..42], frame(1, 42));
    assert_eq!(sent[0][42..], [0; 18]);
}

#[test]
fn a_full_ring_pushes_back_and_loses_nothing() {
    let behaviour = Behaviour { hold_transmit: true, ..Behaviour::default() };
    let (machine, mut nic) = attached(behaviour, small());
    let mut number = 0;
    while send(&mut nic, &frame(number, 100)) {
        number += 1;
    }
    assert_eq!(number, 14, "one descriptor stays unused, one is kept for a context");
    assert_eq!(machine.transmit_backlog(), 14, "a full ring is flushed");
    assert!(!send(&mut nic, &frame(99, 100)));
    // Sent, but not reported: the head register is no proof.
    machine.complete(3, false);
    assert!(!send(&mut nic, &frame(99, 100)));
    // Up to the eighth, which reports.
    machine.complete(5, true);
    for _ in 0..8 {
        assert!(send(&mut nic, &frame(number, 100)));
        number += 1;
    }
    assert!(!send(&mut nic, &frame(99, 100)));
    machine.complete(100, true);
    assert!(send(&mut nic, &frame(number, 100)));
    number += 1;
    nic.split().1.flush();
    machine.complete(100, true);
    let expected: Vec<_> = (0..number).map(|number| frame(number, 100)).collect();
    assert_eq!(machine.state().sent, expected);
}

#[test]
fn the_ring_wraps_whatever_the_burst() {
    for burst in 1..=15 {
        let (machine, mut nic) = attached(Behaviour::default(), small());
        for number in 0..200 {
            assert!(send(&mut nic, &frame(number, 80)), "burst {burst}, frame {number}");
            if number % burst == 0 {
                nic.split().1.flush();
            }
        }
        nic.split().1.flush();
        let expected: Vec<_> = (0..200).map(|number| frame(number, 80)).collect();
        assert_eq!(machine.state().sent, expected, "burst {burst}");
    }
}

#[test]
fn a_frame_longer_than_a_buffer_does_no_harm() {
    let (machine, mut nic) = attached(Behaviour::default(), small());
    let len = nic.split().1.send(5000, |room| room.len());
    nic.split().1.flush();
    assert!(len <= 2048);
    assert!(machine.state().sent.is_empty());
}
