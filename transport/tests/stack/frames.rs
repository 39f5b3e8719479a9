//! Frames about addresses, written by hand, and read for people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::End;

pub(crate) type Mac = [u8; 6];
pub(crate) const BROADCAST: Mac = [0xff; 6];
pub(crate) const ALL_NODES: &str = "ff02::1";

fn v4(text: &str) -> [u8; 4] {
    text.parse::<Ipv4Addr>().unwrap().octets()
}

fn v6(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to, &from, &kind.to_be_bytes()[..], payload].concat()
}

/// An ARP packet: 1 asks, 2 answers.
pub(crate) fn arp(to: Mac, operation: u8, (mac, sender): (Mac, &str), target: &str) -> Vec<u8> {
    let (sender, target) = (v4(sender), v4(target));
    let header = [0, 1, 8, 0, 6, 4, 0, operation];
    let hardware = if to == BROADCAST { [0; 6] } else { to };
    let payload = [&header[..], &mac, &sender, &hardware, &target].concat();
    ethernet(to, mac, 0x0806, &payload)
}

/// An announcement: who is asked for is who asks.
pub(crate) fn gratuitous_arp(mac: Mac, address: &str) -> Vec<u8> {
    arp(BROADCAST, 1, (mac, address), address)
}

/// An ICMPv6 message, its checksum in place, and whatever hop limit.
pub(crate) fn icmpv6(
    mac: Mac,
    hop_limit: u8,
    (source, destination): (&str, &str),
    message: &[u8],
) -> Vec<u8> {
    let (source, destination) = (v6(source), v6(destination));
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    let mut message = message.to_vec();
    let pseudo = [&source[..], &destination, &[0, 0], &length, &[0, 0, 0, 58], &message].concat();
    let sum: u32 = pseudo
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    message[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    let header = [&[0x60, 0, 0, 0][..], &length, &[58, hop_limit], &source, &destination].concat();
    let to = match destination {
        [0xff, .., a, b, c, d] => [0x33, 0x33, a, b, c, d],
        _ => crate::OUR_MAC,
    };
    ethernet(to, mac, 0x86dd, &[header, message].concat())
}

/// Flags of a neighbour advertisement.
pub(crate) const SOLICITED: u8 = 0x40;
pub(crate) const OVERRIDE: u8 = 0x20;

pub(crate) fn advertisement(mac: Mac, flags: u8, target: &str, to: &str) -> Vec<u8> {
    let message = [&[136, 0, 0, 0, flags, 0, 0, 0][..], &v6(target), &[2, 1], &mac].concat();
    icmpv6(mac, 255, (target, to), &message)
}

pub(crate) fn solicitation(mac: Mac, source: &str, target: &str) -> Vec<u8> {
    let octets = v6(target);
    let group = Ipv6Addr::from(
        [[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff].as_slice(), &octets[13..]]
            .concat()
            .as_slice()
            .first_chunk::<16>()
            .copied()
            .unwrap(),
    );
    let link = if source == "::" { vec![] } else { [&[1, 1][..], &mac].concat() };
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &octets, &link].concat();
    icmpv6(mac, 255, (source, &group.to_string()), &message)
}

/// The same behind a header of options that says nothing.
pub(crate) fn behind_options(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(54..54, [58, 0, 1, 4, 0, 0, 0, 0]);
    frame[20] = 0;
    frame[19] += 8;
    frame
}

/// What a frame of ours says about addresses, in a line; nothing for other frames.
pub(crate) fn said(frame: &[u8]) -> Option<String> {
    let mac = |at: usize| -> String {
        let bytes: Vec<String> =
            frame[at..at + 6].iter().map(|byte| format!("{byte:02x}")).collect();
        bytes.join(":")
    };
    let to = if frame[0] & 1 == 1 { "all".into() } else { mac(0) };
    if frame[12..14] == [8, 6] {
        let ip = |at: usize| Ipv4Addr::from(*frame[at..].first_chunk::<4>().unwrap());
        return Some(match frame[21] {
            1 => format!("{to}: who has {}? says {}", ip(38), ip(28)),
            _ => format!("{to}: {} is here", ip(28)),
        });
    }
    if frame[12..14] != [0x86, 0xdd] || frame[20] != 58 {
        return None;
    }
    let ip = |at: usize| IpAddr::from(*frame[at..].first_chunk::<16>().unwrap());
    Some(match frame[54] {
        133 => format!("{to}: routers? says {}", ip(22)),
        135 => format!("{to}: who has {}? says {}", ip(62), ip(22)),
        136 => format!("{to}: {} is here", ip(62)),
        other => format!("{to}: ICMPv6 {other}"),
    })
}

/// What our end said about addresses so far.
pub(crate) fn all_said(end: &End) -> Vec<String> {
    end.cable().sent.iter().filter_map(|frame| said(frame)).collect()
}
