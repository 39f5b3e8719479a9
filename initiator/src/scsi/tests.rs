//! Any bytes whatever go through every parser, and what comes out keeps its bounds.

use super::capacity::{Capacity, ReadCapacity10, ReadCapacity16};
use super::inquiry::{DeviceIdentification, StandardInquiry, SupportedPages, UnitSerialNumber};
use super::lun::LogicalUnitNumber;
use super::mode::ModeHeader;
use super::persistent_reservation::{Reservation, ReservationCapabilities, ReservationKeys};
use super::provisioning::{BlockLimits, LogicalBlockProvisioning};
use super::report_luns::ListReader;
use super::sense::Sense;
use super::target_port_groups::target_port_groups;
use proptest::prelude::*;
use std::format;
use std::string::ToString;
use std::vec::Vec;

/// Bytes in which lengths and codes that the parsers look for are more common than by chance.
fn parameter_data() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(0u8),
        Just(0xff),
        prop::sample::select(std::vec![0x70u8, 0x72, 0x80, 0x83, 0xb0, 0xb2, 0x02, 0x10]),
        any::<u8>()
    ];
    prop::collection::vec(byte, 0..80)
}

fn is_sound(capacity: Capacity) -> bool {
    capacity.blocks > 0
        && capacity.block_size.is_power_of_two()
        && (512..=65536).contains(&capacity.block_size)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_upset_a_parser(data in parameter_data()) {
        if let Some(sense) = Sense::parse(&data) {
            prop_assert!(!sense.to_string().is_empty());
        }
        if let Ok(ReadCapacity10::Capacity(capacity)) = ReadCapacity10::parse(&data) {
            prop_assert!(is_sound(capacity));
        }
        if let Ok(capacity) = ReadCapacity16::parse(&data) {
            prop_assert!(is_sound(capacity));
        }
        if let Some(inquiry) = StandardInquiry::parse(&data) {
            for (text, most) in
                [(inquiry.vendor(), 8), (inquiry.product(), 16), (inquiry.revision(), 4)]
            {
                prop_assert!(text.len() <= most);
                let ends = text.first().into_iter().chain(text.last());
                prop_assert!(ends.into_iter().all(|end| !matches!(end, b' ' | 0)));
            }
        }
        if let Some(serial) = UnitSerialNumber::parse(&data) {
            prop_assert!(serial.text().len() + 4 <= data.len());
        }
        if let Some(limits) = BlockLimits::parse(&data) {
            prop_assert_ne!(limits.maximum_transfer_length(), Some(0));
            prop_assert_ne!(limits.optimal_transfer_length(), Some(0));
            prop_assert_ne!(limits.maximum_unmap_count(), Some(0));
            prop_assert!(limits.unmap_alignment().is_none_or(|block| block < 1 << 31));
        }
        if let Some(identification) = DeviceIdentification::parse(&data) {
            let named: usize =
                identification.designators().map(|designator| designator.bytes.len() + 4).sum();
            prop_assert!(named + 4 <= data.len());
        }
        if let Some(pages) = SupportedPages::parse(&data) {
            prop_assert!(!pages.contains(0x80) || data[4..].contains(&0x80));
        }
        prop_assert_eq!(ModeHeader::parse_6(&data).is_some(), data.len() >= 3);
        prop_assert_eq!(ModeHeader::parse_10(&data).is_some(), data.len() >= 4);
        let _ = LogicalBlockProvisioning::parse(&data);
        prop_assert!(target_port_groups(&data).count() <= data.len() / 8);
        if let Some(keys) = ReservationKeys::parse(&data) {
            prop_assert!(keys.keys().count() * 8 + 8 <= data.len());
        }
        prop_assert_eq!(Reservation::parse(&data).is_some(), data.len() >= 8);
        prop_assert_eq!(ReservationCapabilities::parse(&data).is_some(), data.len() >= 6);
    }

    #[test]
    fn a_list_of_luns_ends_with_its_bytes(data in parameter_data()) {
        let mut reader = ListReader::new();
        let mut luns = Vec::new();
        reader.take(&data, |lun| luns.push(lun));
        prop_assert!(luns.len() <= data.len().saturating_sub(8) / 8);
        prop_assert!(luns.iter().all(|lun| !lun.is_well_known()));
        prop_assert!(reader.position() as usize <= data.len());
    }

    #[test]
    fn every_lun_has_a_text_and_long_texts_read_back(bytes: [u8; 8]) {
        let lun = LogicalUnitNumber::from_bytes(bytes);
        let text = lun.to_string();
        prop_assert!(!text.is_empty());
        if lun.number().is_none() {
            prop_assert_eq!(text.parse(), Ok(lun));
        }
    }

    #[test]
    fn any_text_is_a_lun_or_refused(text in "[0-9a-fA-Fx+ -]{0,24}") {
        if let Ok(lun) = text.parse::<LogicalUnitNumber>() {
            let groups: Vec<&str> = text.split('-').collect();
            prop_assert!(groups.len() <= 4 && groups.iter().all(|group| group.len() <= 4));
            let padded = groups
                .iter()
                .map(|group| format!("{group:0>4}"))
                .chain(["0000", "0000", "0000"].map(str::to_string))
                .take(4)
                .collect::<Vec<_>>()
                .join("-");
            prop_assert_eq!(padded.parse(), Ok(lun));
        }
    }
}
