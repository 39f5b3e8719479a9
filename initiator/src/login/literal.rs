//! IP addresses from text (RFC 4291 §2.2, RFC 6943 §3.1.1), as the parsers of `core::net` read
//! them; those keep a path to a panic that the optimiser does not remove.

use core::net::{Ipv4Addr, Ipv6Addr};

use heapless::Vec;

/// Four decimal numbers without leading zeros.
pub(super) fn ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        *octet = match parts.next()? {
            [b'0', _, ..] => return None,
            part => u8::try_from(decimal(part)?).ok()?,
        };
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Eight groups of up to four hex digits; `::` once stands for one or more groups of zeros, and the
/// last two groups may be an IPv4 address.
pub(super) fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let gap = text.windows(2).position(|pair| pair == b"::");
    let (before, after) = match gap {
        Some(at) => (text.get(..at)?, text.get(at.saturating_add(2)..)?),
        None => (text, &[][..]),
    };
    let (head, head_is_dotted) = groups(before)?;
    let (tail, _) = groups(after)?;
    let fits = match gap {
        Some(_) => head.len().saturating_add(tail.len()) < 8 && !head_is_dotted,
        None => head.is_full(),
    };
    let mut segments = [0; 8];
    for (segment, group) in segments.iter_mut().zip(&head) {
        *segment = *group;
    }
    for (segment, group) in segments.iter_mut().rev().zip(tail.iter().rev()) {
        *segment = *group;
    }
    fits.then(|| Ipv6Addr::from(segments))
}

/// Groups between colons, and whether the last two came as an IPv4 address.
fn groups(text: &[u8]) -> Option<(Vec<u16, 8>, bool)> {
    let mut groups = Vec::new();
    if text.is_empty() {
        return Some((groups, false));
    }
    let mut parts = text.split(|byte| *byte == b':');
    while let Some(part) = parts.next() {
        if part.contains(&b'.') {
            let [a, b, c, d] = ipv4(part)?.octets();
            groups.push(u16::from_be_bytes([a, b])).ok()?;
            groups.push(u16::from_be_bytes([c, d])).ok()?;
            return parts.next().is_none().then_some((groups, true));
        }
        groups.push(hex(part)?).ok()?;
    }
    Some((groups, false))
}

fn hex(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    digits.iter().try_fold(0, |number: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}

/// Digits alone, up to 65535.
pub(super) fn decimal(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |number: u16, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_core_reads_them(
            text in "[0-9a-f]{0,5}(:{0,2}[0-9a-fA-F]{0,5}){0,9}(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?"
        ) {
            prop_assert_eq!(ipv6(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn written_addresses_are_read(segments: [u16; 8], mask: u8) {
            let mut segments = segments;
            for (index, segment) in segments.iter_mut().enumerate() {
                *segment *= u16::from(mask >> index & 1);
            }
            let address = Ipv6Addr::from(segments);
            prop_assert_eq!(ipv6(std::format!("{address}").as_bytes()), Some(address));
        }

        #[test]
        fn dotted_addresses_are_read_as_core_reads_them(text in "[0-9]{0,4}(\\.[0-9]{0,4}){0,4}") {
            prop_assert_eq!(ipv4(text.as_bytes()), text.parse().ok());
        }
    }

    #[test]
    fn corners_are_as_core_has_them() {
        for text in [
            "::",
            "::1",
            "1::",
            ":",
            ":::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "1::2::3",
            "::ffff:192.0.2.1",
            "::192.0.2.1:1",
            "1.2.3.4::",
            "::1.2.3",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1:2:3:4:5:6:7:8:9",
            "12345::",
            "g::",
            "1:",
            ":1",
            "",
            "1:2:3:4:5:6:7:8::",
            "::1%1",
            "::01.2.3.4",
        ] {
            assert_eq!(ipv6(text.as_bytes()), text.parse().ok(), "{text}");
        }
    }
}
