//! Frames taken apart and put together by hand: Ethernet, IPv4 without options, TCP.

/// Whether there is a TCP segment in it.
#[must_use]
pub fn is_tcp(frame: &[u8]) -> bool {
    frame[12..14] == [0x08, 0x00] && frame[23] == 6
}

/// SEG.SEQ.
#[must_use]
pub fn sequence(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]])
}

/// Bytes of data in it.
#[must_use]
pub fn payload(frame: &[u8]) -> usize {
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    total - 20 - usize::from(frame[46] >> 4) * 4
}

/// A segment of the connection of `like`, as anybody who knows the addresses can make it.
#[must_use]
pub fn forged(like: &[u8], sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = like[..54].to_vec();
    frame.extend(payload);
    frame[16..18].copy_from_slice(&((40 + payload.len()) as u16).to_be_bytes());
    frame[38..42].copy_from_slice(&sequence.to_be_bytes());
    (frame[46], frame[47]) = (0x50, flags);
    mend_ip_checksum(&mut frame);
    mend_tcp_checksum(&mut frame);
    frame
}

fn sum(bytes: &[u8]) -> u32 {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0)));
    words.sum()
}

fn folded(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!sum as u16).to_be_bytes()
}

/// Makes the IP header's checksum right.
pub fn mend_ip_checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let checksum = folded(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&checksum);
}

/// Makes the TCP checksum right.
pub fn mend_tcp_checksum(frame: &mut [u8]) {
    frame[50..52].fill(0);
    let length = frame.len() as u32 - 34;
    let checksum = folded(sum(&frame[26..34]) + 6 + length + sum(&frame[34..]));
    frame[50..52].copy_from_slice(&checksum);
}
