//! What logical units say: read in bounds, and read the same whatever follows.

use isboot::scsi::capacity::{ReadCapacity10, ReadCapacity16};
use isboot::scsi::cdb;
use isboot::scsi::inquiry::{
    DeviceIdentification, StandardInquiry, SupportedPages, UnitSerialNumber,
};
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::scsi::mode::ModeHeader;
use isboot::scsi::persistent_reservation::{
    Reservation, ReservationCapabilities, ReservationKeys, ReservationType,
};
use isboot::scsi::provisioning::{self, BlockLimits, LogicalBlockProvisioning};
use isboot::scsi::report_luns::ListReader;
use isboot::scsi::sense::Sense;
use isboot::scsi::target_port_groups::target_port_groups;

use crate::Script;

pub(crate) fn sense(data: &[u8]) {
    let Some(sense) = Sense::parse(data) else {
        let known = data.first().is_some_and(|byte| (0x70..=0x73).contains(&(byte & 0x7f)));
        assert!(!known || data.len() < 3, "sense data of a known format is read");
        return;
    };
    crate::shown(&sense);
    let _ = (sense.is_becoming_ready(), sense.is_medium_failure(), sense.is_write_protected());
    assert!(!(sense.is_unit_attention() && sense.is_medium_failure()));
    // Whatever came after the length that it told, it says the same.
    let mut longer = data.to_vec();
    longer.resize(data.len().max(18) + 8, 0);
    assert_eq!(Sense::parse(&longer).map(|sense| sense.key), Some(sense.key));
    match data[0] & 0x7f {
        0x70 | 0x71 => {
            let end = data.get(7).map_or(8, |length| 8 + usize::from(*length));
            let told = |at: usize| if at < end { data.get(at).copied().unwrap_or(0) } else { 0 };
            assert_eq!((sense.code, sense.qualifier), (told(12), told(13)));
        }
        _ => {
            let told = |at: usize| data.get(at).copied().unwrap_or(0);
            assert_eq!((sense.code, sense.qualifier), (told(2), told(3)));
        }
    }
}

/// Byte 0 says in what pieces the list comes.
pub(crate) fn report_luns(input: &[u8]) {
    let mut script = Script(input);
    let cut = usize::from(script.byte().unwrap_or(0) % 32) + 1;
    let data = script.take(usize::MAX);
    let length = data.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let entries = data.get(8..).unwrap_or_default();
    let told = &entries[..length.min(entries.len())];
    let mut expected = told
        .chunks_exact(8)
        .map(|entry| LogicalUnitNumber::from_bytes(entry.try_into().expect("eight bytes")))
        .filter(|lun| !lun.is_well_known());
    let mut reader = ListReader::new();
    for piece in data.chunks(cut) {
        reader.take(piece, |lun| {
            assert_eq!(Some(lun), expected.next());
            one(lun);
        });
    }
    assert_eq!(expected.next(), None, "every entry that came whole is handed on");
    assert_eq!(reader.position() as usize, data.len().min(8) + told.len());
    let _ = reader.whole();
}

fn one(lun: LogicalUnitNumber) {
    crate::shown(&lun);
    assert_eq!(LogicalUnitNumber::from_bytes(lun.to_bytes()), lun);
    let _ = lun.addressing();
    let Some(number) = lun.number() else {
        // In groups, as boot parameters have it.
        assert_eq!(lun.to_string().parse(), Ok(lun), "what is shown is read again");
        return;
    };
    if let Ok(number) = u16::try_from(number)
        && let Some(same) = LogicalUnitNumber::from_number(number)
    {
        assert_eq!(same.number(), Some(number.into()));
    }
}

/// Byte 0 chooses the parser, since each has its own format; the rest is its parameter data.
pub(crate) fn scsi(input: &[u8]) {
    let mut script = Script(input);
    let choice = script.byte().unwrap_or(0);
    let data = script.take(usize::MAX);
    match choice % 14 {
        0 => {
            if let Some(inquiry) = StandardInquiry::parse(data) {
                assert!(inquiry.vendor().len() <= 8 && inquiry.product().len() <= 16);
                assert!(inquiry.revision().len() <= 4);
                let whole = inquiry.peripheral_qualifier() == 0;
                let disk = inquiry.peripheral_device_type() == 0;
                assert_eq!(inquiry.is_direct_access(), whole && disk);
            } else {
                assert!(data.len() < 36);
            }
        }
        1 => {
            if let Some(pages) = SupportedPages::parse(data) {
                let count = (0..=255).filter(|page| pages.contains(*page)).count();
                assert!(count <= data.len().saturating_sub(4));
            }
        }
        2 => {
            if let Some(serial) = UnitSerialNumber::parse(data) {
                assert!(serial.text().len() <= data.len() - 4);
            }
        }
        3 => {
            if let Some(identification) = DeviceIdentification::parse(data) {
                let mut length = 4;
                for designator in identification.designators() {
                    length += 4 + designator.bytes.len();
                    assert!(designator.code_set < 16 && designator.association < 4);
                }
                assert!(length <= data.len(), "designators lie in what came");
            }
        }
        4 => {
            if let Some(limits) = BlockLimits::parse(data) {
                assert_ne!(limits.maximum_transfer_length(), Some(0));
                let _ = (limits.optimal_transfer_length(), limits.maximum_unmap_count());
                let _ = (limits.maximum_unmap_descriptors(), limits.maximum_write_same_length());
                let _ = (limits.unmap_granularity(), limits.unmap_alignment());
            }
        }
        5 => match ReadCapacity10::parse(data) {
            Ok(ReadCapacity10::Capacity(capacity)) => {
                assert!(capacity.blocks > 0 && capacity.block_size > 0);
            }
            Ok(ReadCapacity10::TooLarge) => assert_eq!(data[..4], [0xff; 4]),
            Err(error) => crate::shown(&error),
        },
        6 => match ReadCapacity16::parse(data) {
            Ok(capacity) => assert!(capacity.blocks > 0 && capacity.block_size > 0),
            Err(error) => crate::shown(&error),
        },
        7 => assert_eq!(ModeHeader::parse_6(data).is_some(), data.len() > 2),
        8 => assert_eq!(ModeHeader::parse_10(data).is_some(), data.len() > 3),
        9 => {
            let mut length = 0;
            for group in target_port_groups(data) {
                crate::shown(&group.state);
                let _ = group.contains(1);
                length += 8;
            }
            assert!(length <= data.len(), "groups lie in what came");
        }
        10 => {
            if let Some(keys) = ReservationKeys::parse(data) {
                assert!(keys.keys().count() * 8 <= data.len() - 8);
            }
        }
        11 => {
            let known = |kind: ReservationType| ReservationType::from_bits(kind.bits());
            if let Some(Reservation { held: Some((_, Some(kind))), .. }) = Reservation::parse(data)
            {
                assert_eq!(known(kind), Some(kind));
                let all = ReservationCapabilities::parse(data);
                let _ = all.and_then(|capabilities| capabilities.knows(kind));
            }
        }
        12 => {
            let _ = LogicalBlockProvisioning::parse(data);
        }
        _ => commands(data),
    }
}

/// Every command says what it was asked to say.
fn commands(data: &[u8]) {
    let Some((address, blocks)) = data.split_first_chunk() else { return };
    let address = u64::from_be_bytes(*address);
    let blocks = blocks.first_chunk().map_or(0, |blocks| u32::from_be_bytes(*blocks));
    for (cdb, short, long) in [
        (cdb::read(address, blocks), 0x28, 0x88),
        (cdb::write(address, blocks), 0x2a, 0x8a),
        (cdb::write_force_unit_access(address, blocks), 0x2a, 0x8a),
    ] {
        let said = match cdb[0] {
            code if code == short => {
                let address = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]);
                (u64::from(address), u32::from(u16::from_be_bytes([cdb[7], cdb[8]])))
            }
            code => {
                assert_eq!(code, long);
                let eight = cdb[2..10].try_into().expect("eight bytes");
                let four = cdb[10..14].try_into().expect("four bytes");
                (u64::from_be_bytes(eight), u32::from_be_bytes(four))
            }
        };
        assert_eq!(said, (address, blocks));
    }
    let _ =
        (provisioning::unmap_list(address, blocks), provisioning::write_same_16(address, 1, true));
}
