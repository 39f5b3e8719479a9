//! Checksums that the part computes, and frames longer than the common ones, on every family.

use std::num::NonZeroU16;

use isboot_transport::checksum;
use isboot_transport::intel::family::Family;
use isboot_transport::intel::ids::MODELS;
use isboot_transport::intel::nic::{Nic, Options};
use isboot_transport::intel::registers::TDT;

use crate::fake::{ADDRESS, Behaviour, Machine};
use crate::{attached, frame, small};

/// A machine for each family, under the name of its first part.
fn each_family(test: impl Fn(&str, Behaviour)) {
    for family in Family::ALL {
        let model = MODELS.iter().find(|model| model.family == *family).unwrap();
        test(model.name, Behaviour::of(model.device_id));
    }
}

/// A TCP segment, its checksum left out.
fn segment(is_ipv4: bool, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x52, 0x54, 0, 1, 2, 3, 0x52, 0x54, 0, 4, 5, 6];
    let length = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
    if is_ipv4 {
        bytes.extend([0x08, 0x00, 0x45, 0]);
        bytes.extend(length(20 + 20 + payload));
        bytes.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2]);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend(length(20 + payload));
        bytes.extend([6, 64]);
        bytes.extend([0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15]);
        bytes.extend([0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02]);
    }
    bytes.extend([0xc0, 0, 0x0c, 0xbc, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend((0..payload).map(|at| (at as u8).wrapping_mul(31)));
    bytes
}

fn completed(mut frame: Vec<u8>) -> Vec<u8> {
    checksum::complete(&mut frame);
    assert!(checksum::is_good(&frame));
    frame
}

/// Sends frames whose checksums are left out, as one burst.
fn send(nic: &mut Nic<Machine, Machine>, frames: &[Vec<u8>]) {
    for bytes in frames {
        let (_, mut transmitter) = nic.split();
        assert!(transmitter.has_room());
        transmitter.send_without_checksum(bytes.len(), |room| room.copy_from_slice(bytes));
    }
    nic.split().1.flush();
}

fn sent(machine: Machine) -> Vec<Vec<u8>> {
    std::mem::take(&mut machine.state_mut().sent)
}

#[test]
fn the_part_computes_tcp_checksums() {
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        let frames =
            [segment(true, 1460), segment(true, 6), segment(false, 1000), segment(true, 48)];
        send(&mut nic, &frames);
        let wanted: Vec<_> = frames.into_iter().map(completed).collect();
        let sent = sent(machine);
        assert_eq!(sent.len(), wanted.len(), "{name}");
        for (sent, wanted) in sent.iter().zip(&wanted) {
            assert_eq!(sent[..wanted.len()], wanted[..], "{name}");
        }
        // A context where the headers change: IPv4, IPv6, and IPv4 again.
        assert_eq!(machine.writes(TDT), [4 + 3], "{name}");
    });
}

#[test]
fn a_connection_costs_one_context() {
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, Options::default());
        for _ in 0..10 {
            send(&mut nic, &vec![segment(true, 1460); 40]);
        }
        assert_eq!(sent(machine), vec![completed(segment(true, 1460)); 400], "{name}");
        assert_eq!(machine.writes(TDT).last(), Some(&((400 + 1) % 64)), "{name}");
    });
}

#[test]
fn without_offload_the_processor_computes_them() {
    each_family(|name, behaviour| {
        let options = Options { checksum_offload: false, ..small() };
        let (machine, mut nic) = attached(behaviour, options);
        let frames = [segment(true, 1460), segment(false, 100), segment(true, 0)];
        send(&mut nic, &frames);
        let wanted: Vec<_> = frames.into_iter().map(completed).collect();
        let sent = sent(machine);
        for (sent, wanted) in sent.iter().zip(&wanted) {
            assert_eq!(sent[..wanted.len()], wanted[..], "{name}");
        }
        assert_eq!(machine.writes(TDT), [3], "{name}: no context");
    });
}

#[test]
fn a_segment_that_is_padded_is_completed_before() {
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        let mut tagged = segment(true, 0);
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        let frames = [segment(true, 0), segment(true, 5), tagged];
        send(&mut nic, &frames);
        for (sent, short) in sent(machine).into_iter().zip(frames) {
            assert_eq!(sent.len(), 60, "{name}");
            assert_eq!(sent[..short.len()], completed(short)[..], "{name}");
        }
        assert_eq!(machine.writes(TDT), [3], "{name}: no context");
    });
}

#[test]
fn what_is_no_segment_leaves_as_it_is() {
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, small());
        let mut damaged = segment(true, 100);
        damaged.truncate(100);
        let frames = [frame(1, 100), damaged, frame(2, 1514)];
        send(&mut nic, &frames);
        assert_eq!(sent(machine), frames, "{name}");
    });
}

/// What the part can carry of the 9000 bytes asked for.
fn jumbo(behaviour: Behaviour) -> (Machine, Nic<Machine, Machine>, usize) {
    let options = Options { mtu: 9000, ..small() };
    let (machine, nic) = attached(Behaviour { filters: true, ..behaviour }, options);
    let longest = usize::from(nic.max_mtu()) + 14;
    (machine, nic, longest)
}

#[test]
fn long_frames_come_and_go_whole() {
    let mut jumbos = std::cell::Cell::new(0);
    each_family(|name, behaviour| {
        let (machine, mut nic, longest) = jumbo(behaviour);
        assert!((1514..=9014).contains(&longest), "{name}: {longest}");
        jumbos.set(jumbos.get() + usize::from(longest == 9014));
        // Several times round, long and short ones in turn.
        for number in 0..60 {
            let len = [longest, 60, 1514, longest - 1][number as usize % 4];
            let broadcast = [vec![0xff; 6], frame(number, len)[6..].to_vec()].concat();
            assert!(machine.deliver(&broadcast), "{name}: {len} bytes");
            let received = nic.split().0.receive().map(|frame| frame.bytes().to_vec());
            assert!(received == Some(broadcast), "{name}: frame {number}, {len} bytes");
            send(&mut nic, &[frame(number, len)]);
            assert!(sent(machine) == [frame(number, len)], "{name}: frame {number}, {len} bytes");
        }
        assert_eq!(nic.statistics().oversize, 0, "{name}");
    });
    assert!(*jumbos.get_mut() > 20, "most families carry them: {}", jumbos.get());
}

#[test]
fn a_long_frame_in_pieces_has_its_checksum_computed_over_all_of_them() {
    each_family(|name, behaviour| {
        let (machine, mut nic, longest) = jumbo(behaviour);
        let frames = vec![segment(true, longest - 54); 4];
        send(&mut nic, &frames);
        let wanted: Vec<_> = frames.into_iter().map(completed).collect();
        assert!(sent(machine) == wanted, "{name}");
    });
}

#[test]
fn a_frame_beyond_what_was_asked_for_is_dropped() {
    each_family(|name, behaviour| {
        let (machine, mut nic, longest) = jumbo(behaviour);
        let broadcast = |number, len| [vec![0xff; 6], frame(number, len)[6..].to_vec()].concat();
        machine.deliver(&broadcast(1, longest + 4 + 9000));
        machine.deliver(&broadcast(2, 100));
        let received = nic.split().0.receive().map(|frame| frame.bytes().to_vec());
        assert_eq!(received, Some(broadcast(2, 100)), "{name}");
    });
}

#[test]
fn memory_for_long_frames_is_asked_for_only_when_they_are_wanted() {
    let memory = |mtu| {
        let options = Options { mtu, ..Options::default() };
        let machine = Machine::new(Behaviour::of(0x10d3));
        let before = machine.live_regions();
        let nic = Nic::attach(machine, machine, ADDRESS, &options).unwrap();
        assert_eq!(machine.live_regions() - before, 4);
        nic.max_mtu()
    };
    assert_eq!([0, 1500, 2000, 9000, 65535].map(memory), [1500, 1500, 2000, 9000, 9212]);
}

/// Sends a segment that the part is to cut.
fn send_to_be_cut(nic: &mut Nic<Machine, Machine>, bytes: &[u8], size: u16) {
    let (_, mut transmitter) = nic.split();
    assert!(transmitter.has_room());
    let size = NonZeroU16::new(size).unwrap();
    transmitter.send_segmented(bytes.len(), size, |room| room.copy_from_slice(bytes));
}

/// The segments that a long one is to become: what software would have made of it.
fn in_segments(long: &[u8], tag: usize, size: usize, identification: u16) -> Vec<Vec<u8>> {
    let (ip, tcp, begin) = (14 + tag, 34 + tag, 54 + tag);
    let pieces = long[begin..].chunks(size).enumerate();
    let last = long[begin..].len().div_ceil(size) - 1;
    let segments = pieces.map(|(number, piece)| {
        let mut bytes = [&long[..begin], piece].concat();
        let length = u16::try_from(bytes.len() - ip).unwrap();
        bytes[ip + 2..ip + 4].copy_from_slice(&length.to_be_bytes());
        let identification = identification + u16::try_from(number).unwrap();
        bytes[ip + 4..ip + 6].copy_from_slice(&identification.to_be_bytes());
        let sum: u32 = bytes[ip..tcp]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
        let sequence = 0x0102_0304 + u32::try_from(number * size).unwrap();
        bytes[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        bytes[tcp + 13] = if number == last { 0x18 } else { 0x10 };
        completed(bytes)
    });
    segments.collect()
}

fn cuts(nic: &Nic<Machine, Machine>) -> bool {
    nic.longest_segmented().is_some()
}

#[test]
fn the_part_cuts_long_segments_whatever_lies_before_and_behind() {
    let able = std::cell::Cell::new(0);
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, Options::default());
        let Some(longest) = nic.longest_segmented() else { return };
        able.set(able.get() + 1);
        let mut number = 0;
        // Several times round the ring, in bursts of several lengths, with others between them.
        for round in 0..200_usize {
            let mut wanted = Vec::new();
            for part in 0..round % 4 + 1 {
                let payload = [longest - 58, 1461, 2920, 9000, 2000, 20_000][(round + part) % 6];
                let mut long = segment(true, payload);
                let tag = if round % 3 == 0 { 4 } else { 0 };
                if tag != 0 {
                    long.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
                }
                send_to_be_cut(&mut nic, &long, 1460);
                wanted.extend(in_segments(&long, tag, 1460, number));
                number += 1;
                let other = segment(part % 2 == 0, 300);
                let (_, mut transmitter) = nic.split();
                if transmitter.has_room() {
                    transmitter
                        .send_without_checksum(other.len(), |room| room.copy_from_slice(&other));
                    wanted.push(completed(other));
                }
            }
            nic.split().1.flush();
            assert!(sent(machine) == wanted, "{name}, round {round}");
        }
    });
    assert!((10..Family::ALL.len()).contains(&able.get()), "{}", able.get());
}

#[test]
fn a_small_ring_cuts_what_half_of_it_holds() {
    each_family(|name, behaviour| {
        let options = Options { transmit_descriptors: 8, ..Options::default() };
        let (machine, mut nic) = attached(behaviour, options);
        let Some(longest) = nic.longest_segmented() else { return };
        assert_eq!(longest, 8192, "{name}");
        for number in 0..20 {
            let long = segment(true, longest - 54);
            send_to_be_cut(&mut nic, &long, 1000);
            nic.split().1.flush();
            assert!(sent(machine) == in_segments(&long, 0, 1000, number), "{name}: {number}");
        }
    });
}

#[test]
fn parts_with_something_known_against_it_cut_nothing_and_so_do_all_when_told() {
    use Family::{I80003, I82543, I82544, I82547, I82547Rev2, I82573, Ich8, Lpt, Spt};
    let never = [I82543, I82544, I82547, I82547Rev2, I82573, I80003, Ich8, Lpt, Spt];
    for family in Family::ALL {
        let model = MODELS.iter().find(|model| model.family == *family).unwrap();
        let behaviour = || Behaviour::of(model.device_id);
        if never.contains(family) {
            assert!(!cuts(&attached(behaviour(), Options::default()).1), "{}", model.name);
        }
        for options in [
            Options { segmentation_offload: false, ..Options::default() },
            Options { checksum_offload: false, ..Options::default() },
        ] {
            assert!(!cuts(&attached(behaviour(), options).1), "{}", model.name);
        }
    }
    assert!(cuts(&attached(Behaviour::of(0x10d3), Options::default()).1));
}

#[test]
fn what_cannot_be_cut_is_not_sent() {
    let (machine, mut nic) = attached(Behaviour::of(0x10d3), Options::default());
    let long = segment(true, 3000);
    let with = |at: usize, value: u8| {
        let mut changed = long.clone();
        changed[at] = value;
        changed
    };
    // IPv6, options before TCP, UDP, a fragment, a length beyond the frame, a header beyond it.
    let hopeless = [
        segment(false, 3000),
        with(14, 0x46),
        with(23, 17),
        with(20, 0x20),
        with(16, 0xff),
        with(46, 0x40),
        frame(1, 3000),
        segment(true, 0),
    ];
    for bytes in &hopeless {
        send_to_be_cut(&mut nic, bytes, 1460);
    }
    nic.split().1.flush();
    assert!(sent(machine).is_empty());
    send_to_be_cut(&mut nic, &long, 1460);
    nic.split().1.flush();
    assert_eq!(sent(machine).len(), 3);
}

#[test]
fn a_ring_that_the_part_empties_bit_by_bit_has_room_again() {
    each_family(|name, behaviour| {
        let (machine, mut nic) = attached(behaviour, Options::default());
        let Some(longest) = nic.longest_segmented() else { return };
        machine.state_mut().behaviour.hold_transmit = true;
        let long = segment(true, longest - 54);
        let mut queued = 0;
        while nic.split().1.has_room() {
            send_to_be_cut(&mut nic, &long, 1460);
            queued += 1;
            nic.split().1.flush();
        }
        assert_eq!(queued, 3, "{name}");
        machine.complete(20, true);
        assert!(nic.split().1.has_room(), "{name}: the first is out");
    });
}
