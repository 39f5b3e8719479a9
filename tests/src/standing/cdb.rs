//! What a CDB says of its transfer, against what the SCSI Command PDU says (RFC 7143 §11.3).

use std::collections::{BTreeMap, BTreeSet};

use super::frames::{Frame, word};

/// What the initiator was told of logical units.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Of a REPORT LUNS list, or by their own INQUIRY data.
    reported: BTreeSet<[u8; 8]>,
    /// Bytes in a block, by LUN, as the last capacity said.
    block_lengths: BTreeMap<[u8; 8], u32>,
}

/// The way that data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nowhere,
    In,
    Out,
}

/// How long the transfer of a CDB is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u32),
    Blocks(u32),
}

impl Units {
    /// Takes the parameter data of a command that ended well.
    pub(super) fn learn(&mut self, lun: [u8; 8], cdb: &[u8; 16], data: &[u8]) {
        let mut block_length = |at: usize| {
            if data.len() >= at + 4 {
                self.block_lengths.insert(lun, word(data, at));
            }
        };
        match (cdb[0], cdb[1] & 0x1f) {
            (0x25, _) => block_length(4),
            (0x9e, 0x10) => block_length(8),
            // Asked by itself, as the boot LUN may be, it said that it is there.
            (0x12, 0) if data.first().is_some_and(|byte| byte >> 5 == 0) => {
                self.reported.insert(lun);
            }
            (0xa0, _) if data.len() >= 8 => {
                self.reported.extend(data[8..].chunks_exact(8).map(|entry| {
                    let mut lun = [0; 8];
                    lun.copy_from_slice(entry);
                    lun
                }));
            }
            _ => {}
        }
    }

    /// What is wrong with a SCSI Command PDU.
    pub(super) fn mistake(&self, frame: &Frame) -> Option<String> {
        let cdb = &frame.header[32..48];
        let expected = frame.word(20);
        let [last, read, write] = [0x80, 0x40, 0x20].map(|bit| frame.flags() & bit != 0);
        if !write && !last {
            return Some("neither W nor F".to_owned());
        }
        if read && write {
            return Some("R and W: no command of a disk is bidirectional".to_owned());
        }
        let used = cdb_length(cdb[0]);
        if let Some(at) = (used..16).find(|&at| cdb[at] != 0) {
            return Some(format!("byte {at} behind a CDB of {used} is not zero"));
        }
        let (way, length) = transfer(cdb)?;
        let stated = match (read, write) {
            (true, _) => Way::In,
            (_, true) => Way::Out,
            _ => Way::Nowhere,
        };
        let lun = frame.lun();
        let bytes = match length {
            Length::Bytes(bytes) => bytes,
            Length::Blocks(blocks) => match self.block_lengths.get(&lun) {
                None => {
                    return Some(format!("blocks move before the capacity of {lun:02x?} is known"));
                }
                Some(length) => blocks.wrapping_mul(*length),
            },
        };
        let way = if bytes == 0 { Way::Nowhere } else { way };
        if way != stated {
            return Some(format!(
                "CDB {:#04x} moves data {way:?}, the PDU says {stated:?}",
                cdb[0]
            ));
        }
        if bytes != expected {
            return Some(format!(
                "CDB {:#04x} moves {bytes} bytes, ExpectedDataTransferLength is {expected}",
                cdb[0]
            ));
        }
        let moves_blocks = matches!(length, Length::Blocks(_));
        if moves_blocks && !self.reported.is_empty() && !self.reported.contains(&lun) {
            return Some(format!("LUN {lun:02x?} is not one that was reported"));
        }
        None
    }
}

/// Bytes of a CDB by its group (SPC-4 §4.3).
fn cdb_length(operation_code: u8) -> usize {
    match operation_code >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

/// Of the commands that a disk gets; `None` of others.
fn transfer(cdb: &[u8]) -> Option<(Way, Length)> {
    let half = |at: usize| u32::from(u16::from_be_bytes([cdb[at], cdb[at + 1]]));
    Some(match cdb[0] {
        0x00 | 0x1b | 0x35 | 0x91 => (Way::Nowhere, Length::Bytes(0)),
        0x12 => (Way::In, Length::Bytes(half(3))),
        0x1a => (Way::In, Length::Bytes(u32::from(cdb[4]))),
        0x5a | 0x5e => (Way::In, Length::Bytes(half(7))),
        0x25 => (Way::In, Length::Bytes(8)),
        0x9e => (Way::In, Length::Bytes(word(cdb, 10))),
        0xa0 | 0xa3 => (Way::In, Length::Bytes(word(cdb, 6))),
        0x28 => (Way::In, Length::Blocks(half(7))),
        0x88 => (Way::In, Length::Blocks(word(cdb, 10))),
        0x2a => (Way::Out, Length::Blocks(half(7))),
        0x8a => (Way::Out, Length::Blocks(word(cdb, 10))),
        // NDOB: no block of data goes along.
        0x93 if cdb[1] & 1 != 0 => (Way::Nowhere, Length::Bytes(0)),
        0x41 | 0x93 => (Way::Out, Length::Blocks(1)),
        0x42 => (Way::Out, Length::Bytes(half(7))),
        0x5f => (Way::Out, Length::Bytes(word(cdb, 5))),
        _ => return None,
    })
}
