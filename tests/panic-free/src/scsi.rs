use isboot::scsi::capacity::{ReadCapacity10, ReadCapacity16};
use isboot::scsi::cdb;
use isboot::scsi::inquiry::{
    DeviceIdentification, StandardInquiry, SupportedPages, UnitSerialNumber,
};
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::scsi::mode::ModeHeader;
use isboot::scsi::persistent_reservation::{
    Reservation, ReservationCapabilities, ReservationKeys, ReservationType, ReserveOut, read_keys,
    read_reservation, report_capabilities,
};
use isboot::scsi::provisioning::{self, BlockLimits, LogicalBlockProvisioning};
use isboot::scsi::report_luns::ListReader;
use isboot::scsi::sense::Sense;
use isboot::scsi::target_port_groups::{report_target_port_groups, target_port_groups};

use crate::{seen, told};

#[unsafe(no_mangle)]
pub fn parameter_data(data: &[u8], page: u8) {
    told(Sense::parse(data));
    told((ModeHeader::parse_6(data), ModeHeader::parse_10(data)));
    for group in target_port_groups(data) {
        told((group.state, group.contains(u16::from(page))));
    }
    if let Some(keys) = ReservationKeys::parse(data) {
        keys.keys().for_each(seen);
    }
    told(Reservation::parse(data));
    if let Some(capabilities) = ReservationCapabilities::parse(data) {
        seen(ReservationType::from_bits(page).map(|kind| (capabilities.knows(kind), kind.bits())));
        told(capabilities);
    }
    told(LogicalBlockProvisioning::parse(data));
    told(ReadCapacity10::parse(data));
    told(ReadCapacity16::parse(data));
    if let Some(inquiry) = StandardInquiry::parse(data) {
        seen((inquiry.vendor(), inquiry.product(), inquiry.revision()));
        seen((inquiry.is_direct_access(), inquiry.has_target_port_groups()));
        seen((inquiry.peripheral_qualifier(), inquiry.peripheral_device_type()));
    }
    seen(SupportedPages::parse(data).map(|pages| pages.contains(page)));
    seen(UnitSerialNumber::parse(data).map(|serial| serial.text()));
    if let Some(identification) = DeviceIdentification::parse(data) {
        identification.designators().for_each(told);
    }
    if let Some(limits) = BlockLimits::parse(data) {
        seen((limits.maximum_transfer_length(), limits.optimal_transfer_length()));
        seen((limits.maximum_unmap_count(), limits.maximum_unmap_descriptors()));
        seen((limits.unmap_granularity(), limits.unmap_alignment()));
        seen(limits.maximum_write_same_length());
    }
}

#[unsafe(no_mangle)]
pub fn lun_list(reader: &mut ListReader, data: &[u8]) {
    reader.take(data, told);
    seen((reader.position(), reader.whole()));
}

#[unsafe(no_mangle)]
pub fn reservation(action: &ReserveOut, length: u32) {
    seen((action.cdb(), action.parameter_list()));
    seen(report_target_port_groups(length));
    seen((read_keys(length as u16), read_reservation(length as u16)));
    seen(report_capabilities(length as u16));
    seen(provisioning::unmap(length as u16));
    seen(provisioning::unmap_list(u64::from(length) << 7, length));
    seen(provisioning::write_same_10(length, length as u16, length & 1 != 0));
    seen(provisioning::write_same_16(u64::from(length) << 7, length, length & 1 != 0));
}

#[unsafe(no_mangle)]
pub fn sense(sense: &Sense) {
    seen((sense.is_unit_attention(), sense.is_becoming_ready(), sense.is_medium_failure()));
    seen((sense.is_write_protected(), sense.meaning(), sense.wants_start()));
    seen((sense.is_harmless(), sense.is_out_of_space(), sense.is_unknown_command()));
}

#[unsafe(no_mangle)]
pub fn luns(bytes: [u8; 8], other: [u8; 8], number: u16, text: &str) {
    let lun = LogicalUnitNumber::from_bytes(bytes);
    seen((lun.addressing(), lun.number(), lun.is_well_known(), lun.to_bytes()));
    seen(lun.is_same_unit(LogicalUnitNumber::from_bytes(other)));
    seen(LogicalUnitNumber::from_number(number));
    told(text.parse::<LogicalUnitNumber>());
}

#[unsafe(no_mangle)]
pub fn commands(address: u64, blocks: u32) {
    seen((cdb::read(address, blocks), cdb::write(address, blocks)));
    seen(cdb::write_force_unit_access(address, blocks));
    seen((cdb::read_16(address, blocks), cdb::write_16(address, blocks, blocks & 1 != 0)));
    seen((cdb::start_unit(), cdb::test_unit_ready()));
    seen(cdb::synchronize_cache_10(blocks, blocks as u16));
    seen(cdb::synchronize_cache_16(address, blocks));
    seen((cdb::read_capacity_16(blocks), cdb::read_capacity_10(), cdb::report_luns(blocks)));
    seen((cdb::mode_sense_6(blocks as u8, blocks as u8), cdb::request_sense(blocks as u8)));
    seen((cdb::mode_sense_10(blocks as u8, blocks as u16), cdb::inquiry(blocks as u16)));
    seen(cdb::inquiry_vital_product_data(blocks as u8, blocks as u16));
}
