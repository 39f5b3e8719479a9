//! Whatever parses, emits to something that parses the same; and what is emitted, parses back.

use crate::pdu::bhs::BasicHeaderSegment;
use crate::pdu::request::Request;
use crate::pdu::response::Response;
use proptest::prelude::*;

fn header() -> impl Strategy<Value = BasicHeaderSegment> {
    // Any bytes, with an opcode that exists more often than chance would have it.
    let opcode = prop::sample::select(std::vec![
        0x00u8, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26,
        0x31, 0x32, 0x3f,
    ]);
    (any::<[[u8; 24]; 2]>(), prop_oneof![9 => opcode, 1 => any::<u8>()], any::<u8>()).prop_map(
        |(halves, opcode, flags)| {
            let mut bytes = [0; 48];
            bytes[..24].copy_from_slice(&halves[0]);
            bytes[24..].copy_from_slice(&halves[1]);
            bytes[0] = opcode | (flags & 0xc0);
            BasicHeaderSegment::from_bytes(bytes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn requests(header in header()) {
        if let Ok(request) = Request::parse(&header) {
            let emitted = request.emit();
            prop_assert_eq!(emitted.opcode(), header.opcode());
            prop_assert_eq!(emitted.total_ahs_length(), 0);
            prop_assert_eq!(Request::parse(&emitted), Ok(request));
        }
    }

    #[test]
    fn responses(header in header()) {
        if let Ok(response) = Response::parse(&header) {
            let emitted = response.emit();
            prop_assert_eq!(emitted.opcode(), header.opcode());
            prop_assert_eq!(emitted.total_ahs_length(), 0);
            prop_assert_eq!(Response::parse(&emitted), Ok(response));
        }
    }
}
