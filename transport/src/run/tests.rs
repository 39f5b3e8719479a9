use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::wire::{EthernetFrame, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};
use std::vec;
use std::vec::Vec;

const SEQUENCE: u32 = 1000;

/// A segment of plain data over IPv4 as a peer's stack writes it, its checksum left out.
fn ipv4(sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
    frame.extend(tcp(sequence));
    frame.extend(data);
    seal(&mut frame);
    frame
}

/// … over IPv6.
fn ipv6(sequence: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((TCP_HEADER as u16 + data.len() as u16).to_be_bytes());
    frame.extend([6, 64]);
    frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15]);
    frame.extend(tcp(sequence));
    frame.extend(data);
    frame
}

fn tcp(sequence: u32) -> Vec<u8> {
    let mut header = vec![0x0c, 0xbc, 0xc0, 0x01];
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 0, 7, NO_OPTIONS, ACK, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// Gives an IPv4 header the length and checksum that it should have.
fn seal(frame: &mut [u8]) {
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
    let length = packet.as_ref().len();
    packet.set_total_len(length as u16);
    packet.fill_checksum();
}

/// Bytes that differ from their neighbours.
fn data(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// What a stack finds in a frame: the sequence number, the flags and the data, all lengths and the
/// header's checksum being right.
fn parse(frame: &[u8]) -> (u32, u8, Vec<u8>) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    let segment = if frame[12..14] == [8, 0] {
        let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
        assert!(packet.verify_checksum(), "IPv4 header checksum");
        assert_eq!(packet.next_header(), IpProtocol::Tcp);
        packet.payload().to_vec()
    } else {
        let packet = Ipv6Packet::new_checked(ethernet.payload()).unwrap();
        assert_eq!(packet.next_header(), IpProtocol::Tcp);
        packet.payload().to_vec()
    };
    let tcp = TcpPacket::new_checked(&segment[..]).unwrap();
    (tcp.seq_number().0.cast_unsigned(), segment[13], tcp.payload().to_vec())
}

/// What became of frames that come in one batch: the first of each run, and all that are in none, as
/// they came; of those behind it the sequence number and the data.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    Alone(Vec<u8>),
    Following(u32, Vec<u8>),
}

fn batch(frames: &[Vec<u8>]) -> Vec<Came> {
    let mut run: Option<Run> = None;
    let mut came = Vec::new();
    for frame in frames {
        if let Some(run) = &mut run
            && let Some(data) = run.data(frame)
        {
            let following = run.following(data.len());
            came.push(Came::Following(following.begin, frame[data].to_vec()));
            run.go_on(&following);
            continue;
        }
        run = Run::begin(frame).map(|(run, _)| run);
        came.push(Came::Alone(frame.clone()));
    }
    came
}

/// Segments of so many bytes, one behind the other.
fn run(segment: impl Fn(u32, &[u8]) -> Vec<u8>, lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut sequence = SEQUENCE;
    let mut frames = Vec::new();
    for (number, length) in lengths.iter().enumerate() {
        frames.push(segment(sequence, &data(*length, number as u8)));
        sequence = sequence.wrapping_add(*length as u32);
    }
    frames
}

#[test]
fn those_behind_the_first_go_on_with_it() {
    for segment in [ipv4, ipv6] {
        let frames = run(segment, &[1460, 1460, 100, 20]);
        let following = |offset, bytes| Came::Following(SEQUENCE + offset, bytes);
        assert_eq!(
            batch(&frames),
            [
                Came::Alone(frames[0].clone()),
                following(1460, data(1460, 1)),
                following(2920, data(100, 2)),
                following(3020, data(20, 3)),
            ]
        );
    }
}

/// Who watches the connection is told what it would have read.
#[test]
fn what_goes_on_says_where_it_belongs() {
    for segment in [ipv4, ipv6] {
        let frames = run(segment, &[300, 200]);
        let (run, begun) = Run::begin(&frames[0]).unwrap();
        assert_eq!(frames[0][begun], data(300, 0));
        assert_eq!(frames[1][run.data(&frames[1]).unwrap()], data(200, 1));
        let begin = SEQUENCE + 300;
        let following = Following { ports: (0xc001, 0x0cbc), begin, end: begin + 200 };
        assert_eq!(run.following(200), following);
    }
}

#[test]
fn a_push_ends_no_run() {
    for (segment, flags) in [(ipv4 as fn(u32, &[u8]) -> Vec<u8>, 47), (ipv6, 67)] {
        let mut frames = run(segment, &[200; 4]);
        frames[2][flags] |= PSH;
        assert_eq!(alone(&batch(&frames)), [&frames[0]]);
    }
}

/// What somebody read the begin of is a frame as the peer could have sent it.
#[test]
fn what_is_left_of_a_frame_is_one_itself() {
    for segment in [ipv4, ipv6] {
        for taken in [1, 53, 54, 100, 180] {
            let mut frames = run(segment, &[200, 200]);
            frames[1].extend([0xee; 6]);
            let (mut run, _) = Run::begin(&frames[0]).unwrap();
            let found = run.data(&frames[1]).unwrap();
            run.go_on(&run.following(taken));
            let left = run.cut(&mut frames[1], found.start + taken..found.end);
            let sequence = SEQUENCE + 200 + taken as u32;
            assert_eq!(parse(left), (sequence, ACK, data(200, 1)[taken..].to_vec()));
            let (next, _) = Run::begin(left).expect("is plain itself");
            assert_eq!(next.following(0).begin, SEQUENCE + 400);
        }
    }
}

#[test]
fn sequence_numbers_go_round() {
    let begin = u32::MAX - 300;
    let frames: Vec<_> = [0, 200, 400]
        .map(|offset| ipv4(begin.wrapping_add(offset), &data(200, offset as u8)))
        .to_vec();
    let came = batch(&frames);
    assert_eq!(alone(&came), [&frames[0]]);
    assert_eq!(came[2], Came::Following(99, data(200, 400_u32 as u8)));
}

#[test]
fn what_pads_a_frame_is_no_data() {
    let mut frames = run(ipv4, &[200, 200]);
    for frame in &mut frames {
        frame.extend([0xee; 6]);
    }
    assert_eq!(batch(&frames)[1], Came::Following(SEQUENCE + 200, data(200, 1)));
}

/// Each of these is no part of the run before it.
#[test]
fn whatever_is_not_plain_or_differs_stays_alone() {
    type Change = fn(&mut Vec<u8>);
    let of_ipv4: &[(&str, Change)] = &[
        ("FIN", |f| f[47] |= 0x01),
        ("SYN", |f| f[47] |= 0x02),
        ("RST", |f| f[47] |= 0x04),
        ("URG", |f| f[47] |= 0x20),
        ("ECE", |f| f[47] |= 0x40),
        ("CWR", |f| f[47] |= 0x80),
        ("no ACK", |f| f[47] &= !ACK),
        ("reserved bits", |f| f[46] |= 0x02),
        ("options", |f| f[46] = 8 << 4),
        ("a header shorter than a header", |f| f[46] = 4 << 4),
        ("another acknowledgement", |f| f[45] ^= 1),
        ("another window", |f| f[49] ^= 1),
        ("a gap", |f| f[41] ^= 1),
        ("another source port", |f| f[35] ^= 1),
        ("another destination port", |f| f[37] ^= 1),
        ("another destination", |f| f[5] ^= 1),
        ("another sender", |f| f[11] ^= 1),
        ("a VLAN's tag", |f| f[12..14].copy_from_slice(&[0x81, 0])),
        ("another protocol of Ethernet", |f| f[13] = 6),
    ];
    let within_the_header: &[(&str, Change)] = &[
        ("another type of service", |f| f[15] = 1),
        ("congestion experienced", |f| f[15] = 3),
        ("more fragments", |f| f[20] |= 0x20),
        ("a fragment", |f| f[21] = 1),
        ("a late fragment", |f| f[20] |= 0x10),
        ("another don't fragment", |f| f[20] ^= 0x40),
        ("another hop limit", |f| f[22] -= 1),
        ("UDP", |f| f[23] = 17),
        ("another source", |f| f[29] ^= 1),
        ("another address of ours", |f| f[33] ^= 1),
    ];
    let of_lengths: &[(&str, Change)] = &[
        ("a wrong header checksum", |f| f[24] ^= 1),
        ("options of IP", |f| {
            f[14] = 0x46;
            seal(f);
        }),
        ("longer than its frame", |f| {
            let longer = (f.len() - ETHERNET_HEADER + 1) as u16;
            let mut packet = Ipv4Packet::new_unchecked(&mut f[ETHERNET_HEADER..]);
            packet.set_total_len(longer);
            packet.fill_checksum();
        }),
        ("shorter than its headers", |f| {
            let mut packet = Ipv4Packet::new_unchecked(&mut f[ETHERNET_HEADER..]);
            packet.set_total_len(39);
            packet.fill_checksum();
        }),
        ("no data", |f| {
            let mut packet = Ipv4Packet::new_unchecked(&mut f[ETHERNET_HEADER..]);
            packet.set_total_len(40);
            packet.fill_checksum();
        }),
        ("cut off", |f| f.truncate(60)),
    ];
    let of_ipv6: &[(&str, Change)] = &[
        ("FIN over IPv6", |f| f[67] |= 0x01),
        ("RST over IPv6", |f| f[67] |= 0x04),
        ("options over IPv6", |f| f[66] = 8 << 4),
        ("another acknowledgement over IPv6", |f| f[65] ^= 1),
        ("another window over IPv6", |f| f[69] ^= 1),
        ("a gap over IPv6", |f| f[61] ^= 1),
        ("another port over IPv6", |f| f[55] ^= 1),
        ("another traffic class", |f| f[15] = 0x10),
        ("another flow", |f| f[17] = 1),
        ("another version", |f| f[14] = 0x50),
        ("an extension header", |f| f[20] = 0),
        ("another hop limit over IPv6", |f| f[21] -= 1),
        ("another source over IPv6", |f| f[37] ^= 1),
        ("another address of ours over IPv6", |f| f[53] ^= 1),
        ("longer than its frame over IPv6", |f| f[19] = f[19].wrapping_add(1)),
        ("no data over IPv6", |f| f[18..20].copy_from_slice(&[0, 20])),
    ];
    let sealed = within_the_header.iter().map(|change| (change, true));
    let as_it_is = of_ipv4.iter().chain(of_lengths).map(|change| (change, false));
    let changes = sealed.chain(as_it_is).map(|change| (ipv4 as fn(u32, &[u8]) -> Vec<u8>, change));
    let changes = changes
        .chain(of_ipv6.iter().map(|change| (ipv6 as fn(u32, &[u8]) -> Vec<u8>, (change, false))));
    for (segment, ((what, change), seal_again)) in changes {
        let mut frames = run(segment, &[200; 5]);
        change(&mut frames[3]);
        if seal_again {
            seal(&mut frames[3]);
        }
        let came = batch(&frames);
        // Nor does anything go on behind it.
        assert_eq!(alone(&came), [&frames[0], &frames[3], &frames[4]], "{what}");
    }
}

/// However alike they are.
#[test]
fn parts_of_packets_are_no_segments() {
    for flags in [[0x20, 0], [0x20, 1], [0, 1], [0x10, 0]] {
        let mut frames = run(ipv4, &[200; 3]);
        for frame in &mut frames {
            frame[20..22].copy_from_slice(&flags);
            seal(frame);
        }
        assert_eq!(alone(&batch(&frames)).len(), 3, "{flags:02x?}");
    }
}

/// A hole, something that came twice, and two that came in the wrong order.
#[test]
fn what_is_out_of_order_keeps_its_place() {
    for order in [&[0, 1, 3, 4][..], &[0, 1, 1, 2], &[0, 2, 1, 3], &[2, 1, 0]] {
        let in_order = run(ipv4, &[200; 5]);
        let frames: Vec<_> = order.iter().map(|number| in_order[*number].clone()).collect();
        let each_alone: Vec<_> = frames.iter().cloned().map(Came::Alone).collect();
        assert_eq!(flat(&batch(&frames)), flat(&each_alone), "{order:?}");
    }
}

/// What is the stack's.
fn alone(came: &[Came]) -> Vec<&Vec<u8>> {
    let alone = came.iter().filter_map(|came| match came {
        Came::Alone(frame) => Some(frame),
        Came::Following(..) => None,
    });
    alone.collect()
}

/// Every byte of data with its number, in the order in which it is handed on; other frames as they are.
fn flat(came: &[Came]) -> Vec<(Vec<u8>, u32)> {
    let mut flat = Vec::new();
    for came in came {
        let (sequence, data) = match came {
            Came::Following(sequence, data) => (*sequence, data.clone()),
            Came::Alone(frame) => match Run::begin(frame) {
                Some((_, data)) => {
                    let (sequence, ..) = parse(frame);
                    (sequence, frame[data].to_vec())
                }
                None => {
                    flat.push((frame.clone(), 0));
                    continue;
                }
            },
        };
        let each = data.into_iter().enumerate();
        flat.extend(each.map(|(at, byte)| (vec![byte], sequence.wrapping_add(at as u32))));
    }
    flat
}

proptest! {
    /// Whatever comes in whatever order: every frame that is not plain is handed on as it came,
    /// every byte of data in its place in the order, and no byte besides.
    #[test]
    fn nothing_is_lost_made_up_or_moved(
        choices in vec((0_usize..12, 0_u8..8, 74_usize..78, any::<u8>()), 0..60),
        length in 20_usize..1460,
    ) {
        let in_order = [run(ipv4, &[length; 12]), run(ipv6, &[length; 12])];
        let mut next = 0;
        let mut frames = Vec::new();
        for (number, kind, at, value) in choices {
            // Mostly the one that comes next.
            let number = if kind < 5 { next } else { number };
            next = (number + 1) % 12;
            let mut frame = in_order[usize::from(kind == 7)][number].clone();
            if kind == 6 {
                // Anywhere in its headers.
                frame[at - 74 + usize::from(value) % 70] ^= value;
            }
            frames.push(frame);
        }
        let each_alone: Vec<_> = frames.iter().cloned().map(Came::Alone).collect();
        prop_assert_eq!(flat(&batch(&frames)), flat(&each_alone));
    }

    /// No bytes make it fail.
    #[test]
    fn any_bytes_are_taken(frames in vec(vec(any::<u8>(), 0..120), 0..8)) {
        prop_assert_eq!(batch(&frames).len(), frames.len());
    }
}
