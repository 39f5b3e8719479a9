//! REPORT LUNS, MODE SENSE and REQUEST SENSE (SPC-4 §6.11, 6.33, 6.39).

use super::sense::Sense;
use super::{allocated, be32};
use crate::target::lun::{Lun, encode_number};
use crate::target::policy::SenseFormat;
use crate::target::state::Shared;

pub(super) fn report_luns(shared: &Shared, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let length = be32(cdb, 6);
    if length < 16 {
        return Err(Sense::INVALID_FIELD);
    }
    let list: Vec<u8> = match cdb[2] {
        0x00 | 0x02 => shared.numbers.keys().flat_map(|&number| encode_number(number)).collect(),
        // Well-known logical units: there are none.
        0x01 => Vec::new(),
        _ => return Err(Sense::INVALID_FIELD),
    };
    let list_length = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let data = [&list_length.to_be_bytes()[..], &[0; 4], &list].concat();
    Ok(allocated(data, length))
}

/// MODE SENSE(6): header with WP, a block descriptor, and the caching page.
pub(super) fn mode_sense(lun: &Lun, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    const CACHING: u8 = 0x08;
    const ALL_PAGES: u8 = 0x3f;
    let (control, code) = (cdb[2] >> 6, cdb[2] & 0x3f);
    if control == 3 || !matches!(code, CACHING | ALL_PAGES) || !matches!(cdb[3], 0x00 | 0xff) {
        return Err(Sense::INVALID_FIELD);
    }
    let mut data = vec![0, 0, if lun.read_only { 0x80 } else { 0 }, 0];
    let no_descriptor = cdb[1] & 0x08 != 0;
    if !no_descriptor {
        data[3] = 8;
        let blocks = u32::try_from(lun.blocks()).unwrap_or(u32::MAX);
        data.extend_from_slice(&blocks.to_be_bytes());
        data.extend_from_slice(&lun.block_size.to_be_bytes());
    }
    let mut page = [0; 20];
    page[0] = CACHING;
    page[1] = 18;
    page[2] = if control == 1 { 0 } else { 0x04 }; // WCE: SYNCHRONIZE CACHE means something
    data.extend_from_slice(&page);
    data[0] = data.len() as u8 - 1;
    Ok(allocated(data, cdb[4].into()))
}

pub(super) fn request_sense(sense: Sense, cdb: &[u8; 16]) -> Vec<u8> {
    let format = match cdb[1] & 0x01 {
        0 => SenseFormat::Fixed,
        _ => SenseFormat::Descriptor,
    };
    allocated(sense.encode(format), cdb[4].into())
}
