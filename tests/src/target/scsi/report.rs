//! REPORT LUNS, MODE SENSE and REQUEST SENSE (SPC-4 §6.11, 6.12, 6.33, 6.39).

use super::sense::Sense;
use super::{allocated, be16, be32, operation};
use crate::target::lun::{Lun, encode_number};
use crate::target::policy::SenseFormat;
use crate::target::state::Shared;

pub(super) fn report_luns(shared: &Shared, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let length = be32(cdb, 6);
    if length < 16 {
        return Err(Sense::INVALID_FIELD);
    }
    let list: Vec<u8> = match cdb[2] {
        0x00 | 0x02 => {
            let address = |(&number, &place): (&u16, &usize)| {
                shared.luns[place].address.unwrap_or_else(|| encode_number(number))
            };
            shared.numbers.iter().flat_map(address).collect()
        }
        // Well-known logical units: there are none.
        0x01 => Vec::new(),
        _ => return Err(Sense::INVALID_FIELD),
    };
    let list_length = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let data = [&list_length.to_be_bytes()[..], &[0; 4], &list].concat();
    Ok(allocated(data, length))
}

/// MODE SENSE(6) and (10): header with WP, a block descriptor, the caching and the control page
/// (SPC-4 §7.5, SBC-3 §6.5).
pub(super) fn mode_sense(lun: &Lun, format: SenseFormat, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    const CACHING: u8 = 0x08;
    const CONTROL: u8 = 0x0a;
    const ALL_PAGES: u8 = 0x3f;
    let (values, code) = (cdb[2] >> 6, cdb[2] & 0x3f);
    if values == 3 || !matches!(cdb[3], 0x00 | 0xff) {
        return Err(Sense::INVALID_FIELD);
    }
    // Nothing can be changed, and the mask of what can says so.
    let bits = |bits: u8| if values == 1 { 0 } else { bits };
    let mut pages = Vec::new();
    if matches!(code, CACHING | ALL_PAGES) {
        let mut page = [0; 20];
        page[..3].copy_from_slice(&[CACHING, 18, bits(0x04)]); // WCE: flushing means something
        pages.extend_from_slice(&page);
    }
    if matches!(code, CONTROL | ALL_PAGES) {
        let mut page = [0; 12];
        let d_sense = if format == SenseFormat::Descriptor { 0x04 } else { 0 };
        page[..3].copy_from_slice(&[CONTROL, 10, bits(d_sense)]);
        pages.extend_from_slice(&page);
    }
    if pages.is_empty() {
        return Err(Sense::INVALID_FIELD);
    }
    let mut descriptor = Vec::new();
    if cdb[1] & 0x08 == 0 {
        let blocks = u32::try_from(lun.blocks()).unwrap_or(u32::MAX);
        descriptor.extend_from_slice(&blocks.to_be_bytes());
        descriptor.extend_from_slice(&lun.block_size.to_be_bytes());
    }
    // WP, DPOFUA.
    let device = u8::from(lun.read_only) << 7 | u8::from(lun.force_unit_access) << 4;
    let (total, after) = ((descriptor.len() + pages.len()) as u8, descriptor.len() as u8);
    let (header, length) = match cdb[0] {
        operation::MODE_SENSE_6 => (vec![total + 3, 0, device, after], u32::from(cdb[4])),
        _ => (vec![0, total + 6, 0, device, 0, 0, 0, after], u32::from(be16(cdb, 7))),
    };
    Ok(allocated([header, descriptor, pages].concat(), length))
}

pub(super) fn request_sense(sense: Sense, cdb: &[u8; 16]) -> Vec<u8> {
    let format = match cdb[1] & 0x01 {
        0 => SenseFormat::Fixed,
        _ => SenseFormat::Descriptor,
    };
    allocated(sense.encode(format), cdb[4].into())
}
