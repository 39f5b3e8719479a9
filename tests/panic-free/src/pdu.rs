use isboot::pdu::bhs::BasicHeaderSegment;
use isboot::pdu::digest::{Crc32c, Crc32cFunction, Digests, portable};
use isboot::pdu::framer::Framer;
use isboot::pdu::request::Request;
use isboot::pdu::response::Response;
use isboot::pdu::serial::SerialNumber;
use isboot::pdu::serializer::Serializer;

use crate::{seen, told};

#[unsafe(no_mangle)]
pub fn headers(header: &mut BasicHeaderSegment, bytes: [u8; 48], lun: [u8; 8], number: u32) {
    told(Request::parse(header));
    told(Response::parse(header));
    seen(BasicHeaderSegment::from_bytes(bytes));
    seen((header.opcode(), header.immediate(), header.total_ahs_length()));
    seen((header.data_segment_length(), header.lun(), header.initiator_task_tag()));
    header.set_immediate(number & 1 != 0);
    header.set_total_ahs_length(number as u8);
    header.set_data_segment_length(number);
    header.set_lun(lun);
    header.set_initiator_task_tag(number);
    told(*header);
}

#[unsafe(no_mangle)]
pub fn emit(request: &Request, response: &Response) {
    seen(request.emit());
    seen(response.emit());
}

#[unsafe(no_mangle)]
pub fn frame(framer: &mut Framer, mut input: &[u8], digests: Digests, limit: u32) {
    framer.set_digests(digests);
    framer.set_limit(limit);
    seen(framer.is_between_pdus());
    told(framer.next(&mut input));
    seen(input);
    *framer = Framer::new(Crc32cFunction::default(), limit);
}

#[unsafe(no_mangle)]
pub fn serialize(
    serializer: &mut Serializer,
    header: BasicHeaderSegment,
    length: u32,
    out: &mut [u8],
    digests: Digests,
) {
    serializer.set_digests(digests);
    seen(serializer.begin(header, length));
    seen(serializer.is_idle());
    seen((serializer.data_left(), serializer.is_at_data()));
    seen(serializer.write_head(out));
    serializer.sent_in_place(out);
    seen(serializer.write(out, |offset, piece| seen((offset, piece))));
    *serializer = Serializer::new(Crc32cFunction::default());
}

#[unsafe(no_mangle)]
pub fn digest(crc: &mut Crc32c, value: u32, bytes: &[u8]) {
    crc.update(bytes);
    seen((crc.value(), crc.wire_bytes(), portable(value, bytes)));
}

#[unsafe(no_mangle)]
pub fn serial(a: SerialNumber, b: SerialNumber, count: u32) {
    seen((a.next(), a.previous(), a.plus(count), a.minus(count), a.distance_from(b)));
    seen((a.is_before(b), a.is_after(b), a.is_at_or_before(b), a.is_at_or_after(b)));
    seen(a.advanced_to(b));
}
