//! Each rule, broken once.

use super::StandingChecks;

/// A header with these bytes set.
fn header(bytes: &[(usize, &[u8])]) -> [u8; 48] {
    let mut header = [0; 48];
    for (at, value) in bytes {
        header[*at..at + value.len()].copy_from_slice(value);
    }
    header
}

fn pdu(mut header: [u8; 48], data: &[u8]) -> Vec<u8> {
    header[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);
    let mut bytes = [&header, data].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

const NAMES: &[u8] = b"InitiatorName=iqn.a\0TargetName=iqn.b\0SessionType=Normal\0";

fn login_request(more: &[(usize, &[u8])], text: &[u8]) -> Vec<u8> {
    let fixed: [(usize, &[u8]); 4] =
        [(0, &[0x43, 0x87]), (8, &[0, 2, 0x3d, 0, 0, 1]), (16, &[0, 0, 0, 9]), (24, &[0, 0, 0, 5])];
    pdu(header(&[&fixed, more].concat()), text)
}

/// The last one: full feature phase, window 5 to 8.
fn login_response(text: &[u8]) -> Vec<u8> {
    let fixed: [(usize, &[u8]); 6] = [
        (0, &[0x23, 0x87]),
        (14, &[0, 1]),
        (16, &[0, 0, 0, 9]),
        (24, &[0, 0, 0, 70]),
        (28, &[0, 0, 0, 5]),
        (32, &[0, 0, 0, 8]),
    ];
    pdu(header(&fixed), text)
}

const TERMS: &[u8] = b"MaxRecvDataSegmentLength=512\0InitialR2T=Yes\0ImmediateData=Yes\0\
    FirstBurstLength=1024\0MaxBurstLength=4096\0";

/// Logged in: CmdSN 5, ExpStatSN 71; blocks of LUN 0 have 512 bytes.
fn logged_in() -> StandingChecks {
    let checks = StandingChecks::default();
    checks.begin();
    checks.sent(&login_request(
        &[],
        &[NAMES, b"FirstBurstLength=1024\0MaxBurstLength=4096\0"].concat(),
    ));
    checks.received(&login_response(TERMS));
    checks.state().across.luns.learn(
        [0; 8],
        &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 9, 0, 0, 2, 0],
    );
    assert_eq!(checks.violations(), [""; 0]);
    checks
}

/// WRITE(10) of two blocks with the first one immediate.
fn write(more: &[(usize, &[u8])], data: &[u8]) -> Vec<u8> {
    let fixed: [(usize, &[u8]); 6] = [
        (0, &[0x01, 0xa1]),
        (16, &[0, 0, 0, 1]),
        (20, &[0, 0, 4, 0]),
        (24, &[0, 0, 0, 5]),
        (28, &[0, 0, 0, 71]),
        (32, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0]),
    ];
    pdu(header(&[&fixed, more].concat()), data)
}

fn ready_to_transfer(offset: u32, length: u32) -> Vec<u8> {
    let (offset, length) = (offset.to_be_bytes(), length.to_be_bytes());
    let fixed: [(usize, &[u8]); 8] = [
        (0, &[0x31, 0x80]),
        (16, &[0, 0, 0, 1]),
        (20, &[0, 0, 0, 7]),
        (24, &[0, 0, 0, 71]),
        (28, &[0, 0, 0, 6]),
        (32, &[0, 0, 0, 9]),
        (40, &offset),
        (44, &length),
    ];
    pdu(header(&fixed), &[])
}

/// The answer to `ready_to_transfer(512, 512)`.
fn data_out(more: &[(usize, &[u8])], data: &[u8]) -> Vec<u8> {
    let fixed: [(usize, &[u8]); 5] = [
        (0, &[0x05, 0x80]),
        (16, &[0, 0, 0, 1]),
        (20, &[0, 0, 0, 7]),
        (28, &[0, 0, 0, 71]),
        (40, &[0, 0, 2, 0]),
    ];
    pdu(header(&[&fixed, more].concat()), data)
}

/// The checks saw exactly this rule broken.
#[track_caller]
fn assert_broken(checks: &StandingChecks, id: &str) {
    let violations = checks.violations();
    assert!(
        !violations.is_empty() && violations.iter().all(|violation| violation.starts_with(id)),
        "{id}: {violations:#?}"
    );
}

#[test]
fn a_good_write_breaks_nothing() {
    let checks = logged_in();
    checks.sent(&write(&[], &[1; 512]));
    checks.received(&ready_to_transfer(512, 512));
    checks.sent(&data_out(&[], &[1; 512]));
    assert_eq!(checks.violations(), [""; 0]);
}

#[test]
fn a_login_request_that_breaks_a_rule_is_seen() {
    let doubled = [NAMES, b"SessionType=Normal\0"].concat();
    let open = &NAMES[..NAMES.len() - 1];
    let cases: [(&str, Vec<u8>); 8] = [
        ("S-02", login_request(&[(14, &[0, 1])], NAMES)),
        ("S-02", login_request(&[(1, &[0x97])], NAMES)),
        (
            "S-04",
            login_request(
                &[],
                &[NAMES, &[b"X-a=", [b'a'; 8192].as_slice(), b"\0"].concat()].concat(),
            ),
        ),
        ("S-13", login_request(&[(1, &[0xc7])], NAMES)),
        ("S-14", login_request(&[], &doubled)),
        ("S-14", login_request(&[], open)),
        ("S-14", login_request(&[], b"InitiatorName=iqn.a\0")),
        ("S-14", login_request(&[], &[NAMES, b"CHAP_A=5\0"].concat())),
    ];
    for (id, bytes) in cases {
        let checks = StandingChecks::default();
        checks.begin();
        checks.sent(&bytes);
        assert_broken(&checks, id);
    }
    // A second one before the answer, and one that has another CmdSN.
    let checks = StandingChecks::default();
    checks.begin();
    checks.sent(&login_request(&[], NAMES));
    checks.sent(&login_request(&[], &[]));
    assert_broken(&checks, "S-13");
    let checks = StandingChecks::default();
    checks.begin();
    checks.sent(&login_request(&[(1, &[0x04])], NAMES));
    let mut partial = login_response(&[]);
    partial[1] = 0x04;
    checks.received(&partial);
    checks.sent(&login_request(&[(24, &[0, 0, 0, 6]), (28, &[0, 0, 0, 71])], &[]));
    assert_broken(&checks, "S-05");
}

#[test]
fn a_request_that_breaks_a_rule_is_seen() {
    let cases: [(&str, Vec<u8>); 20] = [
        (
            "S-01",
            pdu(header(&[(0, &[0x10, 0x80]), (28, &[0, 0, 0, 71]), (24, &[0, 0, 0, 5])]), &[]),
        ),
        (
            "S-01",
            pdu(header(&[(0, &[0x42, 0x88]), (28, &[0, 0, 0, 71]), (24, &[0, 0, 0, 5])]), &[]),
        ),
        (
            "S-01",
            pdu(header(&[(0, &[0x46, 0x82]), (28, &[0, 0, 0, 71]), (24, &[0, 0, 0, 5])]), &[]),
        ),
        ("S-02", write(&[(2, &[1])], &[1; 512])),
        ("S-03", {
            let mut bytes = write(&[(4, &[1])], &[]);
            bytes.extend([0; 4]);
            bytes
        }),
        ("S-04", write(&[], &[1; 516])),
        ("S-05", write(&[(24, &[0, 0, 0, 6])], &[1; 512])),
        ("S-07", write(&[(28, &[0, 0, 0, 70])], &[1; 512])),
        ("S-08", write(&[(16, &[0xff; 4])], &[1; 512])),
        ("S-09", write(&[(20, &[0, 0, 2, 0])], &[1; 512])),
        ("S-09", write(&[(1, &[0xe1])], &[1; 512])),
        ("S-09", write(&[(42, &[1])], &[1; 512])),
        ("S-09", write(&[(9, &[3])], &[1; 512])),
        ("S-09", write(&[(1, &[0xc1])], &[])),
        (
            "S-09",
            pdu(header(&[(0, &[0x01, 0x41]), (24, &[0, 0, 0, 5]), (28, &[0, 0, 0, 71])]), &[]),
        ),
        ("S-10", data_out(&[], &[1; 512])),
        ("S-11", write(&[(1, &[0x21])], &[1; 512])),
        ("S-13", login_request(&[(28, &[0, 0, 0, 71])], NAMES)),
        (
            "S-08",
            pdu(
                header(&[
                    (0, &[0x40, 0x80]),
                    (16, &[0xff; 4]),
                    (20, &[0, 0, 0, 3]),
                    (24, &[0, 0, 0, 5]),
                    (28, &[0, 0, 0, 71]),
                ]),
                &[],
            ),
        ),
        (
            "S-13",
            pdu(
                header(&[
                    (0, &[0x04, 0xc0]),
                    (20, &[0xff; 4]),
                    (24, &[0, 0, 0, 5]),
                    (28, &[0, 0, 0, 71]),
                ]),
                &[],
            ),
        ),
    ];
    for (number, (id, bytes)) in cases.into_iter().enumerate() {
        let checks = logged_in();
        checks.sent(&bytes);
        let violations = checks.violations();
        assert!(
            violations.iter().any(|violation| violation.starts_with(id)),
            "{number}, {id}: {violations:#?}"
        );
    }
}

#[test]
fn the_window_and_the_end_of_a_session_are_seen() {
    let checks = logged_in();
    for number in 5..=9 {
        assert_eq!(checks.violations(), [""; 0], "command {number}");
        checks.sent(&write(&[(16, &[0, 0, 0, number]), (24, &[0, 0, 0, number])], &[1; 512]));
    }
    assert_broken(&checks, "S-06");

    let checks = logged_in();
    checks
        .sent(&pdu(header(&[(0, &[0x46, 0x80]), (24, &[0, 0, 0, 5]), (28, &[0, 0, 0, 71])]), &[]));
    checks.sent(&write(&[(16, &[0, 0, 0, 2])], &[1; 512]));
    assert_broken(&checks, "S-16");
}

#[test]
fn solicited_data_that_breaks_a_rule_is_seen() {
    let cases: [(&str, Vec<u8>); 8] = [
        ("S-10", data_out(&[(8, &[0, 1])], &[1; 512])),
        ("S-10", data_out(&[(36, &[0, 0, 0, 1])], &[1; 512])),
        ("S-10", data_out(&[(40, &[0, 0, 0, 0])], &[1; 512])),
        ("S-10", data_out(&[(1, &[0])], &[1; 512])),
        ("S-10", data_out(&[], &[1; 508])),
        ("S-12", data_out(&[(20, &[0, 0, 0, 8])], &[1; 512])),
        ("S-11", data_out(&[(20, &[0xff; 4])], &[1; 512])),
        ("S-12", data_out(&[(40, &[0, 0, 2, 0])], &[1; 512])),
    ];
    for (number, (id, bytes)) in cases.into_iter().enumerate() {
        let checks = logged_in();
        checks.sent(&write(&[], &[1; 512]));
        // The last one is asked for less than it sends.
        checks.received(&ready_to_transfer(512, if number == 7 { 256 } else { 512 }));
        checks.sent(&bytes);
        assert_broken(&checks, id);
    }
}

#[test]
fn digests_are_demanded_once_they_are_agreed() {
    for (key, is_header) in [("HeaderDigest", true), ("DataDigest", false)] {
        let checks = StandingChecks::default();
        checks.begin();
        checks.sent(&login_request(&[], NAMES));
        checks.received(&login_response(format!("{key}=CRC32C\0").as_bytes()));
        let ping = header(&[
            (0, &[0x40, 0x80]),
            (20, &[0xff; 4]),
            (24, &[0, 0, 0, 5]),
            (28, &[0, 0, 0, 71]),
        ]);
        let mut bytes = pdu(ping, &[7; 4]);
        bytes.splice(if is_header { 48..48 } else { 52..52 }, [0; 4]);
        checks.sent(&bytes);
        assert_broken(&checks, "S-15");
    }
}

#[test]
fn a_secret_on_the_wire_is_seen_across_calls() {
    let checks = StandingChecks::default();
    checks.add_secret(b"initiatorsecret1");
    checks.begin();
    let request = login_request(&[], &[NAMES, b"X-a=initiatorsecret1\0"].concat());
    let (one, two) = request.split_at(request.len() - 9);
    checks.sent(one);
    checks.sent(two);
    assert_broken(&checks, "S-17");
    let hex = login_request(&[], &[NAMES, b"X-a=0x696E6974696174F6\0"].concat());
    let checks = StandingChecks::default();
    checks.add_secret(b"\x69\x6e\x69\x74\x69\x61\x74\xf6");
    checks.begin();
    checks.sent(&hex);
    assert_broken(&checks, "S-17");
}
