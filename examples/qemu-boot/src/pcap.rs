//! Reads the capture that QEMU's filter-dump writes (classic pcap, host byte order, Ethernet).

use std::fs;
use std::io;
use std::path::Path;

const MAGIC: u32 = 0xa1b2_c3d4;
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where its record starts in the file.
    pub file_offset: u64,
    /// Its bytes, as many as were captured.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Whether `mac` sent it.
    #[must_use]
    pub fn is_from(&self, mac: [u8; 6]) -> bool {
        self.bytes.get(6..12).is_some_and(|source| source == mac)
    }

    /// Whether it carries a UDP datagram for this port of `mac`.
    #[must_use]
    pub fn is_datagram_for(&self, mac: [u8; 6], port: u16) -> bool {
        let packet = self.packet();
        self.bytes.get(..6).is_some_and(|destination| destination == mac)
            && packet.get(..2) == Some(&[0x08, 0x00])
            && packet.get(11) == Some(&17)
            && packet.get(24..26).is_some_and(|bytes| bytes == port.to_be_bytes())
    }

    /// The VLAN whose tag it carries.
    #[must_use]
    pub fn vlan(&self) -> Option<u16> {
        match self.bytes.get(12..16) {
            Some([0x81, 0x00, high, low]) => Some(u16::from_be_bytes([high & 0x0f, *low])),
            _ => None,
        }
    }

    /// Its payload type and what follows, behind a tag.
    fn packet(&self) -> &[u8] {
        let start = if self.vlan().is_some() { 16 } else { 12 };
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Its payload type and length in words, for a sentence about it.
    #[must_use]
    pub fn describe(&self) -> String {
        let kind = match self.packet().get(..2) {
            Some([0x08, 0x06]) => "ARP",
            Some([0x86, 0xdd]) => "IPv6",
            Some([0x08, 0x00]) => match self.packet().get(11) {
                Some(1) => "ICMP",
                Some(6) => "TCP",
                Some(17) => "UDP",
                _ => "IPv4",
            },
            _ => "other",
        };
        format!("{kind}, {} bytes captured", self.bytes.len())
    }
}

/// All frames of a capture. A last record that is not complete yet is left out.
///
/// # Errors
/// When the file cannot be read or is no pcap.
pub fn read(path: &Path) -> io::Result<Vec<Frame>> {
    let file = fs::read(path)?;
    let word = |at: usize| file.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if word(0) != Some(MAGIC) {
        return Err(io::Error::other(format!("{} is no capture", path.display())));
    }
    let mut frames = Vec::new();
    let mut at = FILE_HEADER;
    while let Some(captured) = word(at + 8) {
        let start = at + FRAME_HEADER;
        let end = start + captured as usize;
        let Some(bytes) = file.get(start..end) else { break };
        frames.push(Frame { file_offset: at as u64, bytes: bytes.to_vec() });
        at = end;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn record(frame: &[u8]) -> Vec<u8> {
        let mut record = vec![0; 8];
        let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
        record.extend(length);
        record.extend(length);
        record.extend(frame);
        record
    }

    fn frame(source: [u8; 6]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(source);
        frame.extend([0x08, 0x06, 0, 1]);
        frame
    }

    #[test]
    fn frames_are_read_and_a_torn_record_is_left_out() {
        let path = std::env::current_exe()
            .unwrap()
            .with_file_name(format!("capture-{}", std::process::id()));
        let mut file = MAGIC.to_le_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        file.extend(record(&frame(GUEST)));
        file.extend(record(&frame([2; 6])));
        let torn = record(&frame(GUEST));
        file.extend(&torn[..torn.len() - 1]);
        fs::write(&path, &file).unwrap();

        let frames = read(&path).unwrap();
        assert_eq!(frames.len(), 2);
        assert!(frames[0].is_from(GUEST) && !frames[1].is_from(GUEST));
        assert_eq!((frames[0].file_offset, frames[1].file_offset), (24, 24 + 16 + 16));
        assert_eq!(frames[0].describe(), "ARP, 16 bytes captured");

        fs::write(&path, "not a capture").unwrap();
        assert!(read(&path).is_err());
        fs::remove_file(path).unwrap();
    }
}
