use super::*;
use std::vec;
use std::vec::Vec;

const OURS: u16 = 49152;
const THEIRS: u16 = 3260;
/// The peer's byte that is due when a test begins.
const DUE: u32 = u32::MAX - 500;
const WINDOW: u32 = 4000;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A segment between these ports, with so much data.
fn segment(ports: (u16, u16), seq: u32, ack: u32, flags: u8, data: usize) -> Vec<u8> {
    let mut segment = vec![0; 20 + data];
    segment[..2].copy_from_slice(&ports.0.to_be_bytes());
    segment[2..4].copy_from_slice(&ports.1.to_be_bytes());
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    (segment[12], segment[13]) = (5 << 4, flags);
    segment
}

/// On a connection on which we acknowledged up to [`DUE`].
fn bypass() -> Bypass {
    let mut bypass = Bypass::new(WINDOW as usize);
    bypass.sent(&mut TcpPacket::new_unchecked(&mut segment((OURS, THEIRS), 7, 0, SYN, 0)));
    assert_eq!(acknowledge(&mut bypass, DUE), DUE);
    bypass
}

/// What is on the wire when smoltcp acknowledges up to here.
fn acknowledge(bypass: &mut Bypass, acknowledged: u32) -> u32 {
    let mut bytes = segment((OURS, THEIRS), 8, acknowledged, ACK, 0);
    bypass.sent(&mut TcpPacket::new_unchecked(&mut bytes));
    number(TcpPacket::new_unchecked(&bytes[..]).ack_number())
}

/// What smoltcp sees of a segment of the peer's that begins here.
fn receive(bypass: &mut Bypass, begin: u32, data: usize) -> u32 {
    let mut bytes = segment((THEIRS, OURS), begin, 8, ACK, data);
    bypass.received(&mut TcpPacket::new_unchecked(&mut bytes));
    number(TcpPacket::new_unchecked(&bytes[..]).seq_number())
}

fn following(begin: u32, length: u32) -> Following {
    Following { ports: (OURS, THEIRS), begin, end: begin.wrapping_add(length) }
}

/// Sequence numbers behind the one that was due, round zero too.
fn at(offset: u32) -> u32 {
    DUE.wrapping_add(offset)
}

#[test]
fn what_passed_by_is_missing_in_what_smoltcp_sees_and_says() {
    let mut bypass = bypass();
    assert_eq!(receive(&mut bypass, at(0), 100), at(0));
    assert!(bypass.may_begin(&following(at(100), 0)));
    bypass.passed_by(&following(at(100), 300));
    bypass.passed_by(&following(at(400), 200));
    assert!(bypass.owes_acknowledgement());
    assert_eq!(receive(&mut bypass, at(600), 50), at(100));
    assert_eq!(acknowledge(&mut bypass, at(150)), at(650));
    assert!(!bypass.owes_acknowledgement());
    assert_eq!(bypass.as_smoltcp_has_it(sequence(at(650))), sequence(at(150)));
}

#[test]
fn other_connections_are_left_alone() {
    let mut bypass = bypass();
    bypass.passed_by(&following(at(0), 300));
    for ports in [(THEIRS + 1, OURS), (THEIRS, OURS + 1)] {
        let mut bytes = segment(ports, at(600), 8, ACK, 10);
        bypass.received(&mut TcpPacket::new_unchecked(&mut bytes));
        assert_eq!(bytes, segment(ports, at(600), 8, ACK, 10));
        let ports = (ports.1, ports.0);
        let mut bytes = segment(ports, 8, at(600), ACK, 10);
        bypass.sent(&mut TcpPacket::new_unchecked(&mut bytes));
        assert_eq!(bytes, segment(ports, 8, at(600), ACK, 10));
        assert!(!bypass.may_begin(&Following { ports, begin: at(300), end: at(300) }));
    }
    assert!(bypass.owes_acknowledgement());
}

/// Or it would come to lie in the wrong place.
#[test]
fn nothing_passes_by_what_came_too_early() {
    for (begin, length) in [(at(200), 100), (at(101), 1), (at(WINDOW), 100), (at(2 * WINDOW), 1)] {
        let mut bypass = bypass();
        receive(&mut bypass, begin, length);
        receive(&mut bypass, at(0), 100);
        assert!(!bypass.may_begin(&following(at(100), 0)), "{begin}");
        let behind = begin.wrapping_add(length as u32);
        assert!(bypass.may_begin(&following(behind, 0)), "{begin}");
    }
}

/// Nobody can keep data from passing by for longer with what smoltcp does not take.
#[test]
fn what_no_window_was_granted_for_does_not_count() {
    let mut bypass = bypass();
    receive(&mut bypass, at(2 * WINDOW + 1), 100);
    receive(&mut bypass, at(1 << 30), 100);
    receive(&mut bypass, at(200), 0);
    receive(&mut bypass, at(0).wrapping_sub(100), 100);
    receive(&mut bypass, at(0), 100);
    assert!(bypass.may_begin(&following(at(100), 0)));
}

#[test]
fn only_what_was_granted_passes_by() {
    let mut bypass = bypass();
    receive(&mut bypass, at(0), 100);
    assert!(bypass.is_granted(&following(at(100), WINDOW - 100)));
    assert!(!bypass.is_granted(&following(at(100), WINDOW - 99)));
    bypass.passed_by(&following(at(100), 500));
    assert!(!bypass.is_granted(&following(at(600), WINDOW - 599)));
    acknowledge(&mut bypass, at(100));
    assert!(bypass.is_granted(&following(at(600), WINDOW)));
}

#[test]
fn nothing_passes_by_before_the_peer_was_heard() {
    let mut bypass = Bypass::new(WINDOW as usize);
    assert!(!bypass.may_begin(&following(0, 0)) && !bypass.is_granted(&following(0, 0)));
    bypass.sent(&mut TcpPacket::new_unchecked(&mut segment((OURS, THEIRS), 7, 0, SYN, 0)));
    receive(&mut bypass, at(0), 0);
    assert!(!bypass.may_begin(&following(at(0), 0)) && !bypass.is_granted(&following(at(0), 1)));
    bypass.passed_by(&following(at(0), 1));
    assert!(!bypass.owes_acknowledgement());
}

#[test]
fn a_new_connection_begins_anew() {
    let mut bypass = bypass();
    bypass.passed_by(&following(at(0), 300));
    bypass.sent(&mut TcpPacket::new_unchecked(&mut segment((OURS, THEIRS), 7, 0, SYN, 0)));
    assert!(!bypass.owes_acknowledgement());
    assert_eq!(acknowledge(&mut bypass, 77), 77);
    assert_eq!(receive(&mut bypass, 77, 1), 77);
    assert!(bypass.may_begin(&following(78, 0)));
}

/// Blocks that came early are numbered as on the wire.
#[test]
fn selective_acknowledgements_count_what_passed_by() {
    let mut bypass = bypass();
    bypass.passed_by(&following(at(0), 300));
    let mut bytes = segment((OURS, THEIRS), 8, at(0), ACK, 20);
    bytes[12] = 10 << 4;
    bytes[20..40].copy_from_slice(&[1, 2, 4, 0, 0, 5, 10, 0, 0, 0, 1, 0, 0, 1, 0, 8, 3, 9, 0, 0]);
    bypass.sent(&mut TcpPacket::new_unchecked(&mut bytes));
    let expected = [1, 2, 4, 0, 0, 5, 10, 0, 0, 1, 45, 0, 0, 2, 44, 8, 3, 9, 0, 0];
    assert_eq!(bytes[20..40], expected);
}

/// smoltcp writes them; still nothing makes it fail.
#[test]
fn any_options_are_taken() {
    for length in 0..=255 {
        for kind in [0, 1, 2, 5, 255] {
            let mut options = [kind, length, 1, 2, 3, 4, 5, kind, 0, 5];
            add_to_selective_acknowledgements(&mut options, 1);
        }
    }
}
