//! INQUIRY and its vital product data (SPC-4 §6.4, 7.8; SBC-3 §6.6).

use super::provisioning;
use super::sense::Sense;
use super::{allocated, be16};
use crate::target::lun::Lun;
use crate::target::state::Shared;

/// INQUIRY of a LUN that exists.
pub(super) fn inquiry(shared: &Shared, place: usize, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let lun = &shared.luns[place];
    let data = match (cdb[1] & 0x03, cdb[2]) {
        (0, 0) => standard(lun),
        (1, 0x00) => page(0x00, vec![0x00, 0x80, 0x83, 0xb0, 0xb2]),
        (1, 0x80) => page(0x80, serial(shared, place).into_bytes()),
        (1, 0x83) => page(0x83, identification(shared, place)),
        (1, 0xb0) => page(0xb0, block_limits(lun, shared.policy.max_transfer_blocks)),
        (1, 0xb2) => page(0xb2, provisioning::page(lun)),
        _ => return Err(Sense::INVALID_FIELD),
    };
    Ok(allocated(data, be16(cdb, 3).into()))
}

/// INQUIRY of a LUN that does not: no device, and none can be (qualifier 3, type 1Fh).
pub(super) fn absent(cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    if cdb[1] & 0x01 != 0 {
        return Err(Sense::LUN_NOT_SUPPORTED);
    }
    let mut data = vec![0; 36];
    data[0] = 0x7f;
    data[2] = 0x06;
    data[3] = 0x02;
    data[4] = 31;
    data[8..36].fill(b' ');
    Ok(allocated(data, be16(cdb, 3).into()))
}

/// Serial number of a LUN: as configured, or made of target and number.
fn serial(shared: &Shared, place: usize) -> String {
    let made = || format!("{:08X}{place:04}", crc32c::crc32c(shared.name.as_bytes()));
    shared.luns[place].serial.clone().unwrap_or_else(made)
}

fn standard(lun: &Lun) -> Vec<u8> {
    let mut data = vec![0; 96];
    data[2] = 0x06; // SPC-4
    data[3] = 0x12; // HiSup, response data format 2
    data[4] = 91;
    // TPGS: states are told, and change by themselves; PROTECT.
    data[5] = u8::from(!lun.port_groups.is_empty()) << 4 | u8::from(lun.protection != 0);
    data[7] = 0x02; // CmdQue
    padded(&mut data[8..16], &lun.vendor);
    padded(&mut data[16..32], &lun.product);
    padded(&mut data[32..36], &lun.revision);
    // SAM-5, SPC-4, SBC-3, iSCSI.
    for (at, version) in [0x00a0u16, 0x0460, 0x04c0, 0x0960].into_iter().enumerate() {
        data[58 + 2 * at..60 + 2 * at].copy_from_slice(&version.to_be_bytes());
    }
    data
}

fn page(code: u8, body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[0x00, code][..], &length.to_be_bytes(), &body].concat()
}

/// A name of the unit made of vendor, product and serial, and a locally assigned NAA.
fn identification(shared: &Shared, place: usize) -> Vec<u8> {
    let lun = &shared.luns[place];
    let serial = serial(shared, place);
    let mut text = vec![b' '; 24];
    padded(&mut text[..8], &lun.vendor);
    padded(&mut text[8..], &lun.product);
    text.extend_from_slice(serial.as_bytes());
    let hash = crc32c::crc32c(&text).to_be_bytes();
    let [high, low] = (place as u16).to_be_bytes();
    let name = [0x30, 0x00, high, low, hash[0], hash[1], hash[2], hash[3]];
    let mut body = vec![0x01, 0x03, 0x00, 8];
    body.extend_from_slice(&name);
    body.extend_from_slice(&[0x02, 0x01, 0x00, text.len() as u8]);
    body.extend_from_slice(&text);
    if let Some((group, _, ports)) = lun.port_groups.first() {
        let port = ports.first().copied().unwrap_or(1);
        for (kind, number) in [(0x14, port), (0x15, *group)] {
            let [high, low] = number.to_be_bytes();
            body.extend_from_slice(&[0x01, kind, 0x00, 4, 0, 0, high, low]);
        }
    }
    body
}

fn block_limits(lun: &Lun, max_transfer_blocks: u32) -> Vec<u8> {
    let mut body = vec![0; 60];
    body[2..4].copy_from_slice(&1u16.to_be_bytes()); // optimal granularity
    body[4..8].copy_from_slice(&max_transfer_blocks.to_be_bytes());
    body[8..12].copy_from_slice(&max_transfer_blocks.min(2048).to_be_bytes());
    if let Some(thin) = lun.thin.filter(|thin| thin.unmap) {
        body[16..20].copy_from_slice(&thin.unmap_blocks.to_be_bytes());
        body[20..24].copy_from_slice(&thin.unmap_descriptors.to_be_bytes());
        body[24..28].copy_from_slice(&thin.granularity.to_be_bytes());
        body[28..32].copy_from_slice(&(thin.alignment | 1 << 31).to_be_bytes());
    }
    body[32..40].copy_from_slice(&lun.write_same_blocks.to_be_bytes());
    body
}

/// ASCII, left-aligned, filled up with blanks.
fn padded(field: &mut [u8], text: &str) {
    field.fill(b' ');
    for (byte, character) in field.iter_mut().zip(text.bytes()) {
        *byte = character;
    }
}
