//! Headers written out by hand from the diagrams of RFC 7143 §11, one line per 32-bit word, so
//! that emit and parse cannot agree on a mistake.

use crate::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG};
use crate::pdu::request::*;
use crate::pdu::response::*;
use crate::pdu::serial::SerialNumber;

const LUN: [u8; 8] = [0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
const NUMBERS: SequenceNumbers = SequenceNumbers {
    stat_sn: SerialNumber(0x1111_1112),
    exp_cmd_sn: SerialNumber(0x2222_2223),
    max_cmd_sn: SerialNumber(0x3333_3334),
};

fn header(words: [u32; 12]) -> BasicHeaderSegment {
    let mut bytes = [0; 48];
    for (place, word) in bytes.chunks_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    BasicHeaderSegment::from_bytes(bytes)
}

#[track_caller]
fn request_is(request: Request, words: [u32; 12]) {
    assert_eq!(request.emit(), header(words));
    assert_eq!(Request::parse(&header(words)), Ok(request));
}

#[track_caller]
fn response_is(response: Response, words: [u32; 12]) {
    assert_eq!(response.emit(), header(words));
    assert_eq!(Response::parse(&header(words)), Ok(response));
}

/// Reserved bits set by a sloppy peer change nothing (§11).
#[track_caller]
fn request_ignores(clean: [u32; 12], reserved: [u32; 12]) {
    let dirty = core::array::from_fn(|word| clean[word] | reserved[word]);
    assert_eq!(Request::parse(&header(dirty)), Request::parse(&header(clean)));
}

#[track_caller]
fn response_ignores(clean: [u32; 12], reserved: [u32; 12]) {
    let dirty = core::array::from_fn(|word| clean[word] | reserved[word]);
    assert_eq!(Response::parse(&header(dirty)), Response::parse(&header(clean)));
}

#[track_caller]
fn request_refused(words: [u32; 12], opcode: u8, field: &str, value: u32) {
    let error = Request::parse(&header(words)).unwrap_err();
    assert_eq!((error.opcode, error.field, error.value), (opcode, field, value));
}

#[track_caller]
fn response_refused(words: [u32; 12], opcode: u8, field: &str, value: u32) {
    let error = Response::parse(&header(words)).unwrap_err();
    assert_eq!((error.opcode, error.field, error.value), (opcode, field, value));
}

const NOP_OUT: [u32; 12] = [
    0x4080_0000,
    0x0000_0304,
    0x4041_4243,
    0x4445_4647,
    0xaaaa_aaab,
    0xbbbb_bbbc,
    0x5555_5556,
    0x6666_6667,
    0,
    0,
    0,
    0,
];

#[test]
fn nop_out() {
    request_is(
        Request::NopOut(NopOut {
            immediate: true,
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: 0xbbbb_bbbc,
            cmd_sn: SerialNumber(0x5555_5556),
            exp_stat_sn: SerialNumber(0x6666_6667),
            data_segment_length: 0x304,
        }),
        NOP_OUT,
    );
    request_ignores(NOP_OUT, [0x807f_ffff, 0, 0, 0, 0, 0, 0, 0, !0, !0, !0, !0]);
}

const WRITE_10: [u32; 12] = [
    0x01a1_0000,
    0x0000_0200,
    0x4041_4243,
    0x4445_4647,
    0xaaaa_aaab,
    0x0000_1000,
    0x5555_5556,
    0x6666_6667,
    0x2a00_0102,
    0x0304_0000,
    0x0800_0000,
    0,
];

#[test]
fn scsi_command() {
    request_is(
        Request::ScsiCommand(ScsiCommand {
            immediate: false,
            last: true,
            read: false,
            write: true,
            attribute: TaskAttribute::Simple,
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            expected_data_transfer_length: 0x1000,
            cmd_sn: SerialNumber(0x5555_5556),
            exp_stat_sn: SerialNumber(0x6666_6667),
            cdb: [0x2a, 0, 1, 2, 3, 4, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0],
            data_segment_length: 0x200,
        }),
        WRITE_10,
    );
    request_ignores(WRITE_10, [0x8018_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// The header of RFC 7143 appendix A.4, a READ(10).
#[test]
fn scsi_command_of_the_rfc() {
    request_is(
        Request::ScsiCommand(ScsiCommand {
            immediate: false,
            last: true,
            read: true,
            write: false,
            attribute: TaskAttribute::Untagged,
            lun: [0; 8],
            initiator_task_tag: 0x1400_0000,
            expected_data_transfer_length: 0x400,
            cmd_sn: SerialNumber(0x14),
            exp_stat_sn: SerialNumber(0x18),
            cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            data_segment_length: 0,
        }),
        [0x01c0_0000, 0, 0, 0, 0x1400_0000, 0x400, 0x14, 0x18, 0x2800_0000, 0, 0x0200_0000, 0],
    );
}

#[test]
fn task_attributes() {
    let attributes = [
        TaskAttribute::Untagged,
        TaskAttribute::Simple,
        TaskAttribute::Ordered,
        TaskAttribute::HeadOfQueue,
        TaskAttribute::Aca,
    ];
    for (code, attribute) in (0..).zip(attributes) {
        let mut words = WRITE_10;
        words[0] = 0x01a0_0000 | code << 16;
        match Request::parse(&header(words)) {
            Ok(Request::ScsiCommand(command)) => assert_eq!(command.attribute, attribute),
            other => panic!("{other:?}"),
        }
    }
    for code in 5..8 {
        let mut words = WRITE_10;
        words[0] = 0x01a0_0000 | code << 16;
        request_refused(words, 0x01, "ATTR", code);
    }
}

const ABORT_TASK: [u32; 12] = [
    0x4281_0000,
    0,
    0x4041_4243,
    0x4445_4647,
    0xaaaa_aaab,
    0xcccc_cccd,
    0x5555_5556,
    0x6666_6667,
    0x7777_7778,
    0x8888_8889,
    0,
    0,
];

#[test]
fn task_management_request() {
    let mut request = TaskManagementRequest {
        immediate: true,
        function: TaskManagementFunction::AbortTask,
        lun: LUN,
        initiator_task_tag: 0xaaaa_aaab,
        referenced_task_tag: 0xcccc_cccd,
        cmd_sn: SerialNumber(0x5555_5556),
        exp_stat_sn: SerialNumber(0x6666_6667),
        ref_cmd_sn: SerialNumber(0x7777_7778),
        exp_data_sn: 0x8888_8889,
    };
    request_is(Request::TaskManagement(request), ABORT_TASK);
    request_ignores(ABORT_TASK, [0x8080_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, !0, !0]);

    use TaskManagementFunction as Function;
    let functions = [
        (1, Function::AbortTask),
        (2, Function::AbortTaskSet),
        (3, Function::ClearAca),
        (4, Function::ClearTaskSet),
        (5, Function::LogicalUnitReset),
        (6, Function::TargetWarmReset),
        (7, Function::TargetColdReset),
        (8, Function::TaskReassign),
        (12, Function::Other(12)),
        (0x7f, Function::Other(0x7f)),
    ];
    for (code, function) in functions {
        let mut words = ABORT_TASK;
        words[0] = 0x4280_0000 | code << 16;
        request.function = function;
        request_is(Request::TaskManagement(request), words);
    }
}

const LOGIN_REQUEST: [u32; 12] = [
    0x4387_0001,
    0x0000_01f4,
    0x0002_3d01,
    0x0203_a1a2,
    0xaaaa_aaab,
    0x0607_0000,
    0x5555_5556,
    0x6666_6667,
    0,
    0,
    0,
    0,
];

#[test]
fn login_request() {
    request_is(
        Request::Login(LoginRequest {
            transit: true,
            text_continues: false,
            current_stage: Stage::OperationalNegotiation,
            next_stage: Stage::FullFeaturePhase,
            version_max: 0,
            version_min: 1,
            isid: [0, 2, 0x3d, 1, 2, 3],
            tsih: 0xa1a2,
            initiator_task_tag: 0xaaaa_aaab,
            cid: 0x0607,
            cmd_sn: SerialNumber(0x5555_5556),
            exp_stat_sn: SerialNumber(0x6666_6667),
            data_segment_length: 0x1f4,
        }),
        LOGIN_REQUEST,
    );
    request_ignores(LOGIN_REQUEST, [0x8030_0000, 0, 0, 0, 0, 0xffff, 0, 0, !0, !0, !0, !0]);
}

#[test]
fn login_request_that_stays() {
    let words = [0x4340_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let request = LoginRequest {
        transit: false,
        text_continues: true,
        current_stage: Stage::SecurityNegotiation,
        next_stage: Stage::SecurityNegotiation,
        version_max: 0,
        version_min: 0,
        isid: [0; 6],
        tsih: 0,
        initiator_task_tag: 0,
        cid: 0,
        cmd_sn: SerialNumber(0),
        exp_stat_sn: SerialNumber(0),
        data_segment_length: 0,
    };
    request_is(Request::Login(request), words);
    // NSG is reserved without T: sent as zero, and nothing that arrives in it counts.
    let mut eager = request;
    eager.next_stage = Stage::FullFeaturePhase;
    assert_eq!(Request::Login(eager).emit(), header(words));
    for nsg in 0..4 {
        request_ignores(words, [nsg << 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn reserved_stages_are_refused() {
    let with = |byte: u32| [0x4300_0000 | byte << 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    request_refused(with(0x08), 0x03, "CSG", 2);
    request_refused(with(0x82), 0x03, "NSG", 2);
    request_refused(with(0xc1), 0x03, "T together with C", 0xc1);
}

const TEXT_REQUEST: [u32; 12] = [
    0x0480_0000,
    0x0000_0010,
    0x4041_4243,
    0x4445_4647,
    0xaaaa_aaab,
    0xffff_ffff,
    0x5555_5556,
    0x6666_6667,
    0,
    0,
    0,
    0,
];

#[test]
fn text_request() {
    let mut request = TextRequest {
        immediate: false,
        last: true,
        text_continues: false,
        lun: LUN,
        initiator_task_tag: 0xaaaa_aaab,
        target_transfer_tag: RESERVED_TAG,
        cmd_sn: SerialNumber(0x5555_5556),
        exp_stat_sn: SerialNumber(0x6666_6667),
        data_segment_length: 16,
    };
    request_is(Request::Text(request), TEXT_REQUEST);
    request_ignores(TEXT_REQUEST, [0x803f_ffff, 0, 0, 0, 0, 0, 0, 0, !0, !0, !0, !0]);
    let mut words = TEXT_REQUEST;
    words[0] = 0x0440_0000;
    request.last = false;
    request.text_continues = true;
    request_is(Request::Text(request), words);
    words[0] = 0x04c0_0000;
    request_refused(words, 0x04, "F together with C", 0xc0);
}

const DATA_OUT: [u32; 12] = [
    0x0580_0000,
    0x0000_2000,
    0x4041_4243,
    0x4445_4647,
    0xaaaa_aaab,
    0xbbbb_bbbc,
    0,
    0x6666_6667,
    0,
    0x0000_0009,
    0x0001_8000,
    0,
];

#[test]
fn data_out() {
    request_is(
        Request::DataOut(DataOut {
            last: true,
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: 0xbbbb_bbbc,
            exp_stat_sn: SerialNumber(0x6666_6667),
            data_sn: 9,
            buffer_offset: 0x18000,
            data_segment_length: 0x2000,
        }),
        DATA_OUT,
    );
    request_ignores(DATA_OUT, [0xc07f_ffff, 0, 0, 0, 0, 0, !0, 0, !0, 0, 0, !0]);
}

const LOGOUT_REQUEST: [u32; 12] =
    [0x4681_0000, 0, 0, 0, 0xaaaa_aaab, 0x0607_0000, 0x5555_5556, 0x6666_6667, 0, 0, 0, 0];

#[test]
fn logout_request() {
    let mut request = LogoutRequest {
        immediate: true,
        reason: LogoutReason::CloseConnection,
        initiator_task_tag: 0xaaaa_aaab,
        cid: 0x0607,
        cmd_sn: SerialNumber(0x5555_5556),
        exp_stat_sn: SerialNumber(0x6666_6667),
    };
    request_is(Request::Logout(request), LOGOUT_REQUEST);
    request_ignores(LOGOUT_REQUEST, [0x8080_ffff, 0, !0, !0, 0, 0xffff, 0, 0, !0, !0, !0, !0]);
    let mut words = LOGOUT_REQUEST;
    for (code, reason) in [(0, LogoutReason::CloseSession), (2, LogoutReason::RemoveForRecovery)] {
        words[0] = 0x4680_0000 | code << 16;
        request.reason = reason;
        request_is(Request::Logout(request), words);
    }
    words[0] = 0x4683_0000;
    request_refused(words, 0x06, "Reason Code", 3);
}

#[test]
fn snack_request() {
    request_is(
        Request::Snack(SnackRequest {
            kind: 1,
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: 0xbbbb_bbbc,
            exp_stat_sn: SerialNumber(0x6666_6667),
            beg_run: 3,
            run_length: 1,
        }),
        [
            0x1081_0000,
            0,
            0x4041_4243,
            0x4445_4647,
            0xaaaa_aaab,
            0xbbbb_bbbc,
            0,
            0x6666_6667,
            0,
            0,
            3,
            1,
        ],
    );
}

const NOP_IN: [u32; 12] = [
    0x2080_0000,
    0x0000_0304,
    0x4041_4243,
    0x4445_4647,
    0xffff_ffff,
    0xbbbb_bbbc,
    0x1111_1112,
    0x2222_2223,
    0x3333_3334,
    0,
    0,
    0,
];

#[test]
fn nop_in() {
    response_is(
        Response::NopIn(NopIn {
            lun: LUN,
            initiator_task_tag: RESERVED_TAG,
            target_transfer_tag: 0xbbbb_bbbc,
            numbers: NUMBERS,
            data_segment_length: 0x304,
        }),
        NOP_IN,
    );
    response_ignores(NOP_IN, [0xc07f_ffff, 0, 0, 0, 0, 0, 0, 0, 0, !0, !0, !0]);
}

const CHECK_CONDITION: [u32; 12] = [
    0x2182_0002,
    0x0000_0014,
    0,
    0,
    0xaaaa_aaab,
    0xdddd_ddde,
    0x1111_1112,
    0x2222_2223,
    0x3333_3334,
    0x0000_0005,
    0,
    0x0000_0e00,
];

#[test]
fn scsi_response() {
    let mut response = ScsiResponse {
        response: 0,
        status: 2,
        initiator_task_tag: 0xaaaa_aaab,
        snack_tag: 0xdddd_ddde,
        numbers: NUMBERS,
        exp_data_sn: 5,
        residual: Residual::Underflow(0xe00),
        bidirectional_read_residual: Residual::None,
        data_segment_length: 20,
    };
    response_is(Response::Scsi(response), CHECK_CONDITION);
    response_ignores(CHECK_CONDITION, [0xc061_0000, 0, !0, !0, 0, 0, 0, 0, 0, 0, !0, 0]);

    let mut words = CHECK_CONDITION;
    words[0] = 0x2194_0002;
    words[10] = 0x77;
    response.residual = Residual::Overflow(0xe00);
    response.bidirectional_read_residual = Residual::Overflow(0x77);
    response_is(Response::Scsi(response), words);
    words[0] = 0x2188_0002;
    words[11] = 0;
    response.residual = Residual::None;
    response.bidirectional_read_residual = Residual::Underflow(0x77);
    response_is(Response::Scsi(response), words);
}

#[test]
fn overflow_and_underflow_exclude_each_other() {
    let mut words = CHECK_CONDITION;
    words[0] = 0x2186_0000;
    response_refused(words, 0x21, "O together with U", 6);
    words[0] = 0x2198_0000;
    response_refused(words, 0x21, "o together with u", 6);
    // Flags mean nothing when the command did not complete at the target (§11.4.3).
    words[0] = 0x219e_0100;
    match Response::parse(&header(words)) {
        Ok(Response::Scsi(ScsiResponse { response: 1, residual: Residual::None, .. })) => {}
        other => panic!("{other:?}"),
    }
    words = LAST_DATA_IN;
    words[0] = 0x2587_0000;
    response_refused(words, 0x25, "O together with U", 6);
}

#[test]
fn task_management_response() {
    let words =
        [0x2280_0500, 0, 0, 0, 0xaaaa_aaab, 0, 0x1111_1112, 0x2222_2223, 0x3333_3334, 0, 0, 0];
    response_is(
        Response::TaskManagement(TaskManagementResponse {
            response: 5,
            initiator_task_tag: 0xaaaa_aaab,
            numbers: NUMBERS,
        }),
        words,
    );
    response_ignores(words, [0xc07f_00ff, 0, !0, !0, 0, !0, 0, 0, 0, !0, !0, !0]);
}

const LOGIN_RESPONSE: [u32; 12] = [
    0x2381_0102,
    0x0000_0040,
    0x0002_3d01,
    0x0203_a1a2,
    0xaaaa_aaab,
    0,
    0x1111_1112,
    0x2222_2223,
    0x3333_3334,
    0x0203_0000,
    0,
    0,
];

#[test]
fn login_response() {
    response_is(
        Response::Login(LoginResponse {
            transit: true,
            text_continues: false,
            current_stage: Stage::SecurityNegotiation,
            next_stage: Stage::OperationalNegotiation,
            version_max: 1,
            version_active: 2,
            isid: [0, 2, 0x3d, 1, 2, 3],
            tsih: 0xa1a2,
            initiator_task_tag: 0xaaaa_aaab,
            numbers: NUMBERS,
            status_class: 2,
            status_detail: 3,
            data_segment_length: 0x40,
        }),
        LOGIN_RESPONSE,
    );
    response_ignores(LOGIN_RESPONSE, [0xc030_0000, 0, 0, 0, 0, !0, 0, 0, 0, 0xffff, !0, !0]);
    let mut words = LOGIN_RESPONSE;
    words[9] = 0; // a login that goes on
    words[0] = 0x238a_0000;
    response_refused(words, 0x23, "CSG", 2);
    words[0] = 0x2386_0000;
    response_refused(words, 0x23, "NSG", 2);
    words[0] = 0x23c7_0000;
    response_refused(words, 0x23, "T together with C", 0xc7);
}

/// Targets leave all kinds of things in the flags of a redirection or a refusal.
#[test]
fn the_stages_of_a_login_that_ends_are_no_reason_to_miss_its_status() {
    for flags in [0x238a_0000, 0x2386_0000, 0x23c7_0000, 0x23ff_0000] {
        let mut words = LOGIN_RESPONSE;
        (words[0], words[9]) = (flags, 0x0101_0000);
        match Response::parse(&header(words)) {
            Ok(Response::Login(response)) => {
                assert_eq!((response.status_class, response.status_detail), (1, 1), "{flags:#x}");
                assert!(!response.transit && !response.text_continues, "{flags:#x}");
            }
            other => panic!("{flags:#x}: {other:?}"),
        }
    }
}

#[test]
fn text_response() {
    let mut words = [
        0x2440_0000,
        0x0000_0010,
        0x4041_4243,
        0x4445_4647,
        0xaaaa_aaab,
        0xbbbb_bbbc,
        0x1111_1112,
        0x2222_2223,
        0x3333_3334,
        0,
        0,
        0,
    ];
    response_is(
        Response::Text(TextResponse {
            last: false,
            text_continues: true,
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: 0xbbbb_bbbc,
            numbers: NUMBERS,
            data_segment_length: 16,
        }),
        words,
    );
    response_ignores(words, [0xc03f_ffff, 0, 0, 0, 0, 0, 0, 0, 0, !0, !0, !0]);
    words[0] = 0x24c0_0000;
    response_refused(words, 0x24, "F together with C", 0xc0);
}

const LAST_DATA_IN: [u32; 12] = [
    0x2583_0004,
    0x0000_1000,
    0,
    0,
    0xaaaa_aaab,
    0xffff_ffff,
    0x1111_1112,
    0x2222_2223,
    0x3333_3334,
    0x0000_0007,
    0x0001_8000,
    0x0000_0200,
];

#[test]
fn data_in_with_status() {
    response_is(
        Response::DataIn(DataIn {
            last: true,
            acknowledge: false,
            status: Some(4),
            residual: Residual::Underflow(0x200),
            lun: [0; 8],
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: RESERVED_TAG,
            numbers: NUMBERS,
            data_sn: 7,
            buffer_offset: 0x18000,
            data_segment_length: 0x1000,
        }),
        LAST_DATA_IN,
    );
    response_ignores(LAST_DATA_IN, [0xc038_ff00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn data_in_without_status() {
    let words = [
        0x25c0_0000,
        0x0000_1000,
        0x4041_4243,
        0x4445_4647,
        0xaaaa_aaab,
        0xbbbb_bbbc,
        0,
        0x2222_2223,
        0x3333_3334,
        0x0000_0007,
        0x0001_8000,
        0,
    ];
    let data_in = DataIn {
        last: true,
        acknowledge: true,
        status: None,
        residual: Residual::None,
        lun: LUN,
        initiator_task_tag: 0xaaaa_aaab,
        target_transfer_tag: 0xbbbb_bbbc,
        numbers: SequenceNumbers { stat_sn: SerialNumber(0), ..NUMBERS },
        data_sn: 7,
        buffer_offset: 0x18000,
        data_segment_length: 0x1000,
    };
    response_is(Response::DataIn(data_in), words);
    // Status, StatSN, residual and its flags have no meaning without S (§11.7.3).
    response_ignores(words, [0x0006_00ff, 0, 0, 0, 0, 0, !0, 0, 0, 0, 0, !0]);
    let eager = DataIn { numbers: NUMBERS, residual: Residual::Overflow(9), ..data_in };
    assert_eq!(Response::DataIn(eager).emit(), header(words));
}

#[test]
fn data_in_with_status_is_the_last() {
    let mut words = LAST_DATA_IN;
    words[0] = 0x2501_0000;
    response_refused(words, 0x25, "S without F", 1);
}

#[test]
fn ready_to_transfer() {
    let words = [
        0x3180_0000,
        0,
        0x4041_4243,
        0x4445_4647,
        0xaaaa_aaab,
        0xbbbb_bbbc,
        0x1111_1112,
        0x2222_2223,
        0x3333_3334,
        0x0000_0003,
        0x0001_0000,
        0x0000_8000,
    ];
    response_is(
        Response::ReadyToTransfer(ReadyToTransfer {
            lun: LUN,
            initiator_task_tag: 0xaaaa_aaab,
            target_transfer_tag: 0xbbbb_bbbc,
            numbers: NUMBERS,
            r2t_sn: 3,
            buffer_offset: 0x10000,
            desired_data_transfer_length: 0x8000,
        }),
        words,
    );
    response_ignores(words, [0xc07f_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn logout_response() {
    let words = [
        0x2680_0300,
        0,
        0,
        0,
        0xaaaa_aaab,
        0,
        0x1111_1112,
        0x2222_2223,
        0x3333_3334,
        0,
        0x0002_0014,
        0,
    ];
    response_is(
        Response::Logout(LogoutResponse {
            response: 3,
            initiator_task_tag: 0xaaaa_aaab,
            numbers: NUMBERS,
            time2wait: 2,
            time2retain: 20,
        }),
        words,
    );
    response_ignores(words, [0xc07f_00ff, 0, !0, !0, 0, !0, 0, 0, 0, !0, 0, !0]);
}

#[test]
fn async_message() {
    let words = [
        0x3280_0000,
        0x0000_0014,
        0x4041_4243,
        0x4445_4647,
        0xffff_ffff,
        0,
        0x1111_1112,
        0x2222_2223,
        0x3333_3334,
        0x0102_0003,
        0x0004_0005,
        0,
    ];
    response_is(
        Response::AsyncMessage(AsyncMessage {
            lun: LUN,
            numbers: NUMBERS,
            event: 1,
            vendor_code: 2,
            parameters: [3, 4, 5],
            data_segment_length: 20,
        }),
        words,
    );
    response_ignores(words, [0xc07f_ffff, 0, 0, 0, 0, !0, 0, 0, 0, 0, 0, !0]);
}

#[test]
fn reject() {
    let words = [
        0x3f80_0400,
        0x0000_0030,
        0,
        0,
        0xffff_ffff,
        0,
        0x1111_1112,
        0x2222_2223,
        0x3333_3334,
        0x0000_0006,
        0,
        0,
    ];
    response_is(
        Response::Reject(Reject {
            reason: 4,
            numbers: NUMBERS,
            data_sn_or_r2t_sn: 6,
            data_segment_length: 48,
        }),
        words,
    );
    response_ignores(words, [0xc07f_00ff, 0, !0, !0, 0, !0, 0, 0, 0, 0, !0, !0]);
}

#[test]
fn each_end_refuses_the_opcodes_of_the_other() {
    let requests = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10];
    let responses = [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f];
    for opcode in 0..0x40u8 {
        let words = [u32::from(opcode) << 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        match requests.contains(&opcode) {
            true => assert!(Request::parse(&header(words)).is_ok()),
            false => request_refused(words, opcode, "opcode of a request", opcode.into()),
        }
        match responses.contains(&opcode) {
            true => assert!(Response::parse(&header(words)).is_ok()),
            false => response_refused(words, opcode, "opcode of a response", opcode.into()),
        }
    }
}
