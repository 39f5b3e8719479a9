//! Logins: stages, statuses, CHAP, and what is not allowed.

use super::*;
use crate::target::security::chap_response;
use crate::target::text::to_hexadecimal;
use crate::target::{Credentials, DigestPolicy, Redirect};

fn names() -> [String; 2] {
    [format!("InitiatorName={INITIATOR}"), format!("TargetName={NAME}")]
}

/// The first request with both names and these keys.
fn first(stage: Stage, keys: &[&str]) -> (LoginRequest, Vec<String>) {
    let keys = names().into_iter().chain(keys.iter().map(|key| (*key).to_owned())).collect();
    (login_request(stage), keys)
}

#[track_caller]
fn begin(hand: &mut Hand, request: LoginRequest, keys: &[String]) -> (LoginResponse, String) {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    hand.login_text(request, &keys)
}

#[test]
fn straight_to_the_full_feature_phase() {
    let (request, keys) =
        first(Stage::OperationalNegotiation, &["MaxRecvDataSegmentLength=4096", "InitialR2T=No"]);
    let target = builder().initial_stat_sn(0xffff_ffff).build();
    let mut hand = Hand::of(&target);
    let (response, said) = begin(&mut hand, request, &keys);
    assert_eq!(said, "TargetPortalGroupTag=1\0InitialR2T=Yes\0MaxRecvDataSegmentLength=262144\0");
    assert_eq!(response.numbers.stat_sn, SerialNumber(0xffff_ffff));
    assert_eq!(response.numbers.exp_cmd_sn, SerialNumber(0xffff_fffe));
    assert_eq!(response.numbers.max_cmd_sn, SerialNumber(29));
    assert_eq!((response.isid, response.tsih), (ISID, 1));
    assert_eq!(target.statistics().last_login.unwrap().parameters.initiator_max_recv, 4096);
    hand.assert_content();
}

#[test]
fn both_stages_one_after_the_other() {
    let mut hand = Hand::of(&builder().build());
    let (mut request, keys) = first(Stage::SecurityNegotiation, &["AuthMethod=CHAP,None"]);
    request.next_stage = Stage::OperationalNegotiation;
    let (response, said) = begin(&mut hand, request, &keys);
    assert!(response.transit && response.next_stage == Stage::OperationalNegotiation);
    assert_eq!((response.tsih, said.as_str()), (0, "TargetPortalGroupTag=1\0AuthMethod=None\0"));
    let mut request = login_request(Stage::OperationalNegotiation);
    request.exp_stat_sn = hand.exp_stat_sn;
    let response = hand.login(request, &["HeaderDigest=CRC32C", "DataDigest=CRC32C"]);
    assert!(response.transit && response.tsih == 1);
    hand.digests = Digests { header: true, data: true };
    hand.read(1, &[0x12, 0, 0, 0, 36, 0], 36);
    assert_eq!(&hand.one().1[8..14], b"ISBOOT");
    hand.assert_content();
}

/// Security to full feature at once, while the target insists on a digest: it grants the
/// operational stage only, and proposes there.
#[test]
fn a_forced_digest_is_proposed() {
    let target = builder().header_digest(DigestPolicy::Force).build();
    let mut hand = Hand::of(&target);
    let (request, keys) = first(Stage::SecurityNegotiation, &["AuthMethod=None"]);
    let (response, _) = begin(&mut hand, request, &keys);
    assert!(response.transit && response.next_stage == Stage::OperationalNegotiation);
    let mut request = login_request(Stage::OperationalNegotiation);
    request.exp_stat_sn = hand.exp_stat_sn;
    let (response, said) = hand.login_text(request, &[]);
    assert!(!response.transit);
    assert!(said.contains("HeaderDigest=CRC32C\0"), "{said}");
    request.exp_stat_sn = hand.exp_stat_sn;
    let (response, said) = hand.login_text(request, &["HeaderDigest=CRC32C"]);
    assert!(response.transit && said.is_empty());
    assert!(target.statistics().last_login.unwrap().parameters.header_digest);
    // From here on a header without digest is an error.
    let command = hand.command(1, &[0; 6], 0, 0);
    hand.send(Request::ScsiCommand(command), Vec::new());
    hand.digests.header = true;
    hand.send_pdu(&altered(Request::ScsiCommand(command), &[]));
    hand.assert_violation("§13.1", "wrong header digest");
}

#[test]
fn every_refusal_has_its_status() {
    type Case = (&'static [&'static str], fn(&mut LoginRequest), (u8, u8));
    const BOTH: [&str; 2] =
        ["InitiatorName=iqn.2001-04.com.example:host", "TargetName=iqn.2001-04.com.example:disks"];
    let cases: &[Case] = &[
        (&["TargetName=iqn.2001-04.com.example:disks"], |_| {}, (2, 7)),
        (&[BOTH[0]], |_| {}, (2, 7)),
        (&[BOTH[0], "TargetName=iqn.2001-04.com.example:nobody"], |_| {}, (2, 3)),
        (&[BOTH[0], BOTH[1], "SessionType=Strange"], |_| {}, (2, 9)),
        (&BOTH, |request| request.version_min = 1, (2, 5)),
        (&BOTH, |request| request.tsih = 9, (2, 10)),
        (&BOTH, |request| request.current_stage = Stage::FullFeaturePhase, (2, 11)),
        (&[BOTH[0], BOTH[1], "DataDigest=None"], |_| {}, (2, 0)),
    ];
    for (keys, change, status) in cases {
        let target = builder().data_digest(DigestPolicy::Force).build();
        let mut hand = Hand::of(&target);
        let mut request = login_request(Stage::OperationalNegotiation);
        change(&mut request);
        let response = hand.login(request, keys);
        assert_eq!((response.status_class, response.status_detail), *status, "{keys:?}");
        assert!(!response.transit && hand.connection.is_closed());
        assert_eq!(target.violations(), []);
        assert_eq!((target.statistics().logins, target.statistics().failed_logins), (0, 1));
    }
}

#[test]
fn refusals_and_redirections_on_demand() {
    let target = builder().build();
    target.refuse_logins(3, 1, 1);
    let address = "192.0.2.9:3260".to_owned();
    target.set_redirect(Some(Redirect { address, permanent: true, times: 1 }));
    let (request, keys) = first(Stage::OperationalNegotiation, &[]);
    let (response, _) = begin(&mut Hand::of(&target), request, &keys);
    assert_eq!((response.status_class, response.status_detail), (3, 1));
    let (response, said) = begin(&mut Hand::of(&target), request, &keys);
    assert_eq!((response.status_class, response.status_detail), (1, 2));
    assert_eq!(said, "TargetAddress=192.0.2.9:3260\0");
    Hand::logged_in_to(&target, &[]).assert_content();
}

fn chap_target() -> Target {
    let initiator = Credentials::new("operator", "initiatorsecret1");
    builder().mutual_chap(initiator, Credentials::new("disks", "targetsecret0002")).build()
}

/// Up to the challenge; returns its identifier and bytes.
fn challenged(hand: &mut Hand) -> (u8, Vec<u8>) {
    let (mut request, keys) = first(Stage::SecurityNegotiation, &["AuthMethod=None,CHAP"]);
    request.next_stage = Stage::OperationalNegotiation;
    let (response, said) = begin(hand, request, &keys);
    assert!(!response.transit && said.ends_with("AuthMethod=CHAP\0"), "{said}");
    request.exp_stat_sn = hand.exp_stat_sn;
    let (response, said) = hand.login_text(request, &["CHAP_A=9,5,7"]);
    assert!(!response.transit);
    let value = |key: &str| {
        let pair = said.split('\0').find_map(|pair| pair.strip_prefix(key));
        pair.unwrap_or_else(|| panic!("{key} in {said}")).to_owned()
    };
    assert_eq!(value("CHAP_A="), "5");
    let challenge = crate::target::text::binary(&value("CHAP_C=")).unwrap();
    assert_eq!(challenge.len(), 16);
    (value("CHAP_I=").parse().unwrap(), challenge)
}

fn answer(hand: &mut Hand, keys: &[String]) -> (LoginResponse, String) {
    let mut request = login_request(Stage::SecurityNegotiation);
    request.exp_stat_sn = hand.exp_stat_sn;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    hand.login_text(request, &keys)
}

fn proof(identifier: u8, challenge: &[u8]) -> String {
    let response = chap_response(5, identifier, b"initiatorsecret1", challenge);
    format!("CHAP_R={}", to_hexadecimal(&response))
}

#[test]
fn chap_both_ways() {
    let target = chap_target();
    let mut hand = Hand::of(&target);
    let (identifier, challenge) = challenged(&mut hand);
    let ours: Vec<u8> = (16..32).collect();
    let keys = [
        "CHAP_N=operator".to_owned(),
        proof(identifier, &challenge),
        "CHAP_I=42".to_owned(),
        format!("CHAP_C={}", to_hexadecimal(&ours)),
    ];
    let (response, said) = answer(&mut hand, &keys);
    assert_eq!(said, "CHAP_N=disks\0CHAP_R=0x14596fd8b2bfc8bf4fb90cea382c84ba\0");
    assert!(response.transit && response.next_stage == Stage::FullFeaturePhase);
    let login = target.statistics().last_login.unwrap();
    assert!(login.chap && login.mutual_chap);
    assert!(login.offered.iter().any(|(key, value)| key == "CHAP_R" && value == "…"));
    hand.assert_content();
}

#[test]
fn chap_that_fails() {
    type Answer = fn(u8, &[u8]) -> [String; 2];
    let wrong: [Answer; 2] = [
        |_, _| ["CHAP_N=operator".to_owned(), format!("CHAP_R=0x{}", "00".repeat(16))],
        |identifier, challenge| ["CHAP_N=other".to_owned(), proof(identifier, challenge)],
    ];
    for keys in wrong {
        let target = chap_target();
        let mut hand = Hand::of(&target);
        let (identifier, challenge) = challenged(&mut hand);
        let (response, _) = answer(&mut hand, &keys(identifier, &challenge));
        assert_eq!((response.status_class, response.status_detail), (2, 1));
        assert!(hand.connection.is_closed());
        assert_eq!(target.violations(), []);
    }
    // Past the security stage, or with another method alone.
    for (stage, keys) in [
        (Stage::OperationalNegotiation, &[][..]),
        (Stage::SecurityNegotiation, &["AuthMethod=None"][..]),
    ] {
        let (request, keys) = first(stage, keys);
        let (response, _) = begin(&mut Hand::of(&chap_target()), request, &keys);
        assert_eq!((response.status_class, response.status_detail), (2, 1));
    }
}

#[test]
fn chap_that_is_not_played_by_the_rules() {
    let mut hand = Hand::of(&chap_target());
    let (identifier, challenge) = challenged(&mut hand);
    let keys = [
        "CHAP_N=operator".to_owned(),
        proof(identifier, &challenge),
        "CHAP_I=1".to_owned(),
        format!("CHAP_C={}", to_hexadecimal(&challenge)),
    ];
    let (response, _) = answer(&mut hand, &keys);
    assert_eq!((response.status_class, response.status_detail), (2, 0));
    hand.assert_violation("§9.2.1", "own challenge");

    let mut hand = Hand::of(&chap_target());
    challenged(&mut hand);
    answer(&mut hand, &["CHAP_N=operator".to_owned()]);
    hand.assert_violation("§12.1.3", "without CHAP_N and CHAP_R");
}

#[test]
fn a_discovery_session_lists_targets_and_nothing_else() {
    let target =
        builder().text_piece(20).also_known("iqn.2001-04.com.example:b", "[::1]:3,2").build();
    let mut hand = Hand::of(&target);
    let name = format!("InitiatorName={INITIATOR}");
    let keys = [name.as_str(), "SessionType=Discovery", "MaxBurstLength=512"];
    let (response, said) = hand.login_text(login_request(Stage::OperationalNegotiation), &keys);
    assert!(response.transit && response.tsih != 0);
    assert_eq!(said, "MaxBurstLength=Irrelevant\0MaxRecvDataSegmentLength=262144\0");
    let request = hand.text_request(5, RESERVED_TAG);
    hand.send(Request::Text(request), text(&["SendTargets=All"]));
    let mut list = Vec::new();
    loop {
        let (response, data) = hand.one();
        let Response::Text(response) = response else { panic!("{response:?}") };
        assert!(data.len() <= 20 && response.last != response.text_continues);
        list.extend(data);
        if response.last {
            assert_eq!(response.target_transfer_tag, RESERVED_TAG);
            break;
        }
        let request = hand.text_request(5, response.target_transfer_tag);
        hand.send(Request::Text(request), Vec::new());
    }
    assert_eq!(
        String::from_utf8(list).unwrap(),
        format!(
            "TargetName={NAME}\0TargetAddress=192.0.2.1:3260,1\0\
             TargetName=iqn.2001-04.com.example:b\0TargetAddress=[::1]:3,2\0"
        )
    );
    hand.assert_content();
    hand.read(6, &[0; 6], 0);
    hand.assert_violation("§4.3", "SCSI Command in a Discovery session");
}

#[test]
fn text_split_at_every_byte_means_the_same() {
    let (request, keys) = first(Stage::OperationalNegotiation, &["InitialR2T=No"]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let whole = text(&keys);
    for cut in 1..whole.len() {
        let target = builder().initial_r2t(false).login_piece(7).build();
        let mut hand = Hand::of(&target);
        let half = LoginRequest { transit: false, text_continues: true, ..request };
        hand.send(Request::Login(half), whole[..cut].to_vec());
        let (Response::Login(response), data) = hand.one() else { panic!("no login response") };
        assert!(data.is_empty() && !response.transit && !response.text_continues);
        let mut said = Vec::new();
        let mut rest = whole[cut..].to_vec();
        loop {
            let request = LoginRequest { exp_stat_sn: hand.exp_stat_sn, ..request };
            hand.send(Request::Login(request), std::mem::take(&mut rest));
            let (Response::Login(response), data) = hand.one() else { panic!("no login response") };
            said.extend(data);
            if response.transit {
                break;
            }
            assert!(response.text_continues);
        }
        let expected = "TargetPortalGroupTag=1\0InitialR2T=No\0MaxRecvDataSegmentLength=262144\0";
        assert_eq!(String::from_utf8(said).unwrap(), expected);
        hand.assert_content();
    }
}

#[test]
fn what_breaks_a_login_is_told() {
    type Case = (fn(&mut Hand), &'static str, &'static str);
    fn again(hand: &mut Hand, change: fn(&mut LoginRequest), keys: &[&str]) {
        let (mut request, first_keys) = first(Stage::OperationalNegotiation, &[]);
        request.transit = false;
        begin(hand, request, &first_keys);
        request.exp_stat_sn = hand.exp_stat_sn;
        change(&mut request);
        hand.send(Request::Login(request), text(keys));
    }
    let cases: &[Case] = &[
        (|hand| again(hand, |r| r.initiator_task_tag += 1, &[]), "§11.12", "Initiator Task Tag"),
        (|hand| again(hand, |r| r.isid[5] = 1, &[]), "§11.12", "ISID changed"),
        (|hand| again(hand, |r| r.cid += 1, &[]), "§11.12", "CID changed"),
        (|hand| again(hand, |r| r.cmd_sn = r.cmd_sn.next(), &[]), "§11.12", "CmdSN changed"),
        (
            |hand| again(hand, |r| r.exp_stat_sn = r.exp_stat_sn.next(), &[]),
            "§11.12.9",
            "ExpStatSN 3 after StatSN 1",
        ),
        (
            |hand| again(hand, |r| r.current_stage = Stage::SecurityNegotiation, &[]),
            "§6.3",
            "CSG SecurityNegotiation",
        ),
        (
            |hand| again(hand, |_| {}, &["InitiatorName=iqn.2001-04.com.example:host"]),
            "§13.4",
            "InitiatorName again",
        ),
        (
            |hand| again(hand, |_| {}, &["InitialR2T=Yes", "InitialR2T=Yes"]),
            "§6.3",
            "InitialR2T declared or negotiated twice",
        ),
        (|hand| again(hand, |_| {}, &["no equals sign"]), "§6.1", "text without `=`"),
        (
            |hand| {
                let (request, _) = first(Stage::SecurityNegotiation, &[]);
                let names = names();
                let keys = [names[0].as_str(), &names[1], "MaxBurstLength=512"];
                hand.send(Request::Login(request), text(&keys));
            },
            "§12",
            "MaxBurstLength in the security stage",
        ),
        (
            |hand| {
                let request = login_request(Stage::OperationalNegotiation);
                hand.send_pdu(&altered(Request::Login(request), &[(0, 0x03)]));
            },
            "§11.12",
            "without I",
        ),
        (
            |hand| {
                let request = login_request(Stage::OperationalNegotiation);
                hand.send_pdu(&altered(Request::Login(request), &[(1, 0x8b)]));
            },
            "§11",
            "CSG",
        ),
        (
            |hand| {
                let request = login_request(Stage::OperationalNegotiation);
                hand.send_pdu(&altered(Request::Login(request), &[(40, 1)]));
            },
            "§11",
            "byte 40 has reserved bits",
        ),
        (|hand| hand.read(1, &[0; 6], 0), "§4.2.4", "SCSI Command before the login is over"),
        (
            |hand| {
                let (request, _) = first(Stage::OperationalNegotiation, &[]);
                hand.send(Request::Login(request), vec![b'A'; 8193]);
            },
            "§13.12",
            "8193 bytes",
        ),
    ];
    for (play, clause, words) in cases {
        let mut hand = Hand::of(&builder().build());
        play(&mut hand);
        hand.assert_violation(clause, words);
        assert_eq!(hand.target.violations().len(), 1);
    }
}

/// RFC 7143 §6.3.5: the same initiator with the same ISID takes the place of its old session.
#[test]
fn a_session_is_reinstated() {
    let target = builder().build();
    let mut old = Hand::logged_in_to(&target, &[]);
    target.pause();
    let mut command = old.command(1, &write_10(0, 1), 0, 512);
    command.data_segment_length = 512;
    old.send(Request::ScsiCommand(command), vec![0xee; 512]);
    let new = Hand::logged_in_to(&target, &[]);
    target.resume();
    assert_eq!(old.all(), []);
    assert!(old.connection.is_closed());
    new.assert_content();
    assert_eq!(target.statistics().reinstatements, 1);
    assert_eq!(target.live_sessions(), 1);
    assert_eq!(target.read_lun(0, 0, 4).unwrap(), [0; 4]);
    // Another ISID is another session.
    let mut other = Hand::of(&target);
    let (mut request, keys) = first(Stage::OperationalNegotiation, &[]);
    request.isid[5] = 9;
    begin(&mut other, request, &keys);
    new.assert_content();
    assert_eq!(target.live_sessions(), 2);
}
