//! UNH-IOL login phase.

use std::time::Duration;

use isboot::login::{
    Authentication, AuthenticationFailure, Credentials, Digest, LoginError, Misbehaviour, Name,
    Secret, SessionType,
};
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::response::{
    AsyncMessage, DataIn, LogoutResponse, NopIn, ReadyToTransfer, Reject, Residual, Response,
    ScsiResponse, TaskManagementResponse, TextResponse,
};
use isboot::session::{Error, SessionConfig};
use isboot_tests::pair::{Break, Chart, NUMBERS, Pair, Random, target};
use isboot_tests::target::{DigestPolicy, Fate, Handling, Pdu};

use crate::scripted_login::{Answer, KeyProblem, Played, Seen, login, login_but, login_from, text};

/// The session is for discovery.
pub(crate) fn discovery(config: &mut SessionConfig) {
    config.login.session_type = SessionType::Discovery;
    config.login.target_name = None;
}

/// CHAP is offered; `required`: alone.
pub(crate) fn chap(required: bool) -> impl FnOnce(&mut SessionConfig) {
    move |config| {
        let secret = Secret::new(b"initiatorsecret1").unwrap();
        let initiator = Credentials { name: None, secret };
        config.login.authentication = Authentication::Chap { initiator, required };
    }
}

/// One line for each request.
fn flags(played: &Played) -> Vec<String> {
    played.requests().iter().map(Seen::flags).collect()
}

#[test]
fn login_1_1_a_standard_login() {
    let played = login(Seen::granted).run();
    played.logged_in();
    assert_eq!(flags(&played), ["0>1", "1>3"]);
    assert_eq!(
        played.pairs_of(0),
        "InitiatorName=iqn.2026-11.org.example:host TargetName=iqn.2001-04.com.example:disks \
         SessionType=Normal AuthMethod=None"
    );
    let first = played.others().first().map(|pdu| pdu.header.opcode());
    assert_eq!(first, Some(opcode::SCSI_COMMAND), "full feature phase follows");
}

// --- 2: TSIH ---

#[test]
fn login_2_1_tsih_is_0_in_every_request() {
    // Held by every play's check; here with partial responses and a session to read it from.
    let played = login(|seen| match seen.step {
        0 | 2 => seen.says(&seen.flags()[..1], ""),
        _ => seen.granted(),
    })
    .run();
    assert_eq!(played.logged_in().tsih, 0x1234);
    assert_eq!(flags(&played), ["0>1", "0>1", "1>3", "1>3"]);
}

#[test]
fn login_2_2_tsih_0_ends_no_login() {
    let error = login(|seen| seen.granted().with(|header| header.tsih = 0)).fails();
    let zero = LoginError::PeerMisbehaved(Misbehaviour::TsihZero);
    assert_eq!(error, Error::Login(zero));
    // Too early is void: the initiator stays with 0, which every play's check sees.
    login(|seen| seen.granted().with(|header| header.tsih = 0x4321)).succeeds();
}

// --- 3: T ---

#[test]
fn login_3_1_t_asks_for_the_next_stage() {
    let played = login(Seen::granted).run();
    played.logged_in();
    assert_eq!(flags(&played), ["0>1", "1>3"]);
    // T=0 while CHAP may have steps to come; NSG is 0 then.
    let played = login(|seen| match seen.step {
        0 => seen.says("0", "TargetPortalGroupTag=1 AuthMethod=None"),
        _ => seen.granted_but(&[]),
    })
    .configured(chap(false));
    let played = played.run();
    assert_eq!(played.requests()[0].flags(), "0");
    assert_eq!(played.requests()[0].bytes[1], 0, "NSG without T");
    assert_eq!(played.requests()[1].flags(), "0>1");
}

#[test]
fn login_3_2_t_is_granted_late() {
    for (delay, keys) in [(3, ""), (5, ""), (5, "X-a=1"), (4, "TargetAlias=disks")] {
        let played = login(move |seen| match (seen.in_security_stage(), seen.step) {
            (true, step) if step < delay => {
                let with = if step == 0 { keys } else { "" };
                seen.says("0", &format!("{with} {}", if step == 1 { "X-b=2" } else { "" }))
            }
            (true, _) => seen.granted(),
            (false, step) if step < 2 * delay => seen.says("1", ""),
            (false, _) => seen.says("1>3", ""),
        })
        .run();
        played.logged_in();
        let mut wanted = vec!["0>1"; delay + 1];
        wanted.extend(vec!["1>3"; delay]);
        assert_eq!(flags(&played), wanted, "{delay} {keys}");
        for seen in &played.requests()[1..] {
            let says = seen.pairs();
            let answers = says.is_empty() || says.ends_with("=NotUnderstood");
            assert!(answers || seen.step == delay + 1, "nothing new to say: {says}");
        }
    }
}

// --- 4, 5: StatSN ---

#[test]
fn login_4_1_stat_sn_may_begin_at_0() {
    let played = login_from(0, Seen::granted).run();
    played.logged_in();
    assert_eq!(played.requests()[1].header.exp_stat_sn.0, 1);
}

#[test]
fn login_4_2_stat_sn_may_begin_anywhere() {
    for first in [0x1234_5678, u32::MAX, 0x7fff_ffff] {
        let played = login_from(first, Seen::granted).run();
        played.logged_in();
        assert_eq!(played.requests()[1].header.exp_stat_sn.0, first.wrapping_add(1));
    }
}

#[test]
fn login_5_1_exp_stat_sn_follows_stat_sn() {
    let played = login(|seen| match seen.step {
        0 | 1 | 3 | 4 => seen.says(&seen.flags()[..1], ""),
        _ => seen.granted(),
    })
    .run();
    played.logged_in();
    let expected: Vec<u32> =
        played.requests().iter().skip(1).map(|seen| seen.header.exp_stat_sn.0).collect();
    assert_eq!(expected, [2, 3, 4, 5, 6]);
    let first = &played.others()[0];
    assert_eq!(first.header.as_bytes()[28..32], 7_u32.to_be_bytes(), "final StatSN + 1");
}

// --- 6: once ---

#[test]
fn login_6_1_a_key_is_negotiated_once() {
    // One key an exchange; every play's check finds a key that comes twice.
    let played = login(one_by_one).run();
    played.logged_in();
    let later = &played.requests()[1..];
    for key in ["InitiatorName", "TargetName", "SessionType", "AuthMethod"] {
        assert!(later.iter().all(|seen| seen.value(key).is_none()), "{key} again");
    }
    assert!(later[1..].iter().all(|seen| seen.text.is_empty()), "all was said in one request");
}

/// Answers one operational key in each exchange.
pub(crate) fn one_by_one(seen: &Seen) -> Answer {
    const KEYS: [&str; 14] = [
        "HeaderDigest=None",
        "DataDigest=None",
        "MaxConnections=1",
        "InitialR2T=Yes",
        "ImmediateData=Yes",
        "MaxRecvDataSegmentLength=65536",
        "MaxBurstLength=262144",
        "FirstBurstLength=65536",
        "DefaultTime2Wait=2",
        "DefaultTime2Retain=0",
        "MaxOutstandingR2T=1",
        "DataPDUInOrder=Yes",
        "DataSequenceInOrder=Yes",
        "ErrorRecoveryLevel=0",
    ];
    match seen.step {
        0 => seen.granted(),
        step => match KEYS.get(step - 1) {
            Some(key) => seen.says("1", key),
            None => seen.says("1>3", ""),
        },
    }
}

#[test]
fn login_6_2_an_answer_changed_in_a_later_pdu_drops() {
    let play = login(|seen| match seen.step {
        0 => seen.granted(),
        1 => seen.says("1", "ImmediateData=Yes"),
        _ => seen.says("1", "ImmediateData=No"),
    });
    assert_eq!(play.fails_over("ImmediateData"), KeyProblem::Repeated);
}

#[test]
fn login_6_3_an_answer_twice_in_one_pdu_drops() {
    let play = login(|seen| match seen.step {
        0 => seen.granted(),
        _ => seen.says("1>3", &(seen.accepted_but(&[]) + "ImmediateData=No")),
    });
    assert_eq!(play.fails_over("ImmediateData"), KeyProblem::Repeated);
}

// --- 7: the request ---

#[test]
fn login_7_1_the_first_request_introduces_itself() {
    let introduction = ["InitiatorName", "TargetName", "SessionType", "AuthMethod"];
    let played = login(Seen::granted).run();
    let first = &played.requests()[0];
    assert!(introduction.iter().all(|key| first.value(key).is_some()), "{}", first.pairs());
    assert_eq!(first.value("SessionType").as_deref(), Some("Normal"));
    assert_eq!(first.text.iter().filter(|&&byte| byte == 0).count(), 4, "those and no others");

    let played = login(Seen::granted).configured(discovery).run();
    let first = &played.requests()[0];
    assert_eq!(
        first.pairs(),
        "InitiatorName=iqn.2026-11.org.example:host SessionType=Discovery AuthMethod=None"
    );
    assert!(played.requests()[1].value("HeaderDigest").is_some(), "in stage 1");
}

#[test]
fn login_7_2_the_second_of_a_list_may_be_picked() {
    for (offer, answer, digest) in
        [("crc32c,none", "None", Digest::None), ("none,crc32c", "CRC32C", Digest::Crc32c)]
    {
        let terms = login(move |seen| {
            let picked = [format!("HeaderDigest={answer}"), format!("DataDigest={answer}")];
            seen.granted_but(&picked.each_ref().map(String::as_str))
        })
        .parameters(&[("header_digest", offer), ("data_digest", offer)])
        .succeeds();
        assert_eq!((terms.header_digest, terms.data_digest), (digest, digest), "{offer}");
    }
    let played = login(|seen| match seen.step {
        0 => seen.says("0", "TargetPortalGroupTag=1 AuthMethod=None"),
        1 => seen.says("0>1", ""),
        _ => seen.granted(),
    })
    .configured(chap(false))
    .run();
    assert_eq!(played.requests()[0].value("AuthMethod").as_deref(), Some("CHAP,None"));
    played.logged_in();
}

#[test]
fn login_7_3_an_auth_method_that_was_not_offered_fails() {
    for method in ["SRP", "bogus", "CHAP", "KRB5"] {
        let script = move |seen: &Seen| {
            seen.says("0", &format!("TargetPortalGroupTag=1 AuthMethod={method}"))
        };
        assert_eq!(login(script).fails_over("AuthMethod"), KeyProblem::NotOffered, "{method}");
        if method != "CHAP" {
            let play = login(script).configured(chap(true));
            assert_eq!(play.fails_over("AuthMethod"), KeyProblem::NotOffered, "{method}");
        }
    }
}

#[test]
fn login_7_4_a_first_burst_above_the_offer_fails() {
    // The offer is 262144.
    for (answer, problem) in [
        ("FirstBurstLength=262656", KeyProblem::BreaksResult),
        ("FirstBurstLength=16777216", KeyProblem::OutOfRange),
    ] {
        let play = login(move |seen| seen.granted_but(&[answer]));
        assert_eq!(play.fails_over("FirstBurstLength"), problem, "{answer}");
    }
}

#[test]
fn login_7_5_an_immediate_data_that_is_no_boolean_is_refused() {
    for value in ["Maybe", "yes", "1", ""] {
        let play = login(move |seen| match seen.step {
            0 => seen.granted(),
            _ => {
                let rest = seen.accepted_but(&["ImmediateData="]);
                seen.says("1>3", &format!("{rest} ImmediateData={value}"))
            }
        });
        assert_eq!(play.fails_over("ImmediateData"), KeyProblem::BadValue, "{value:?}");
        // Proposed, where this node offers none.
        let played = login(move |seen| match seen.step {
            1 => seen.says("1", &format!("ImmediateData={value}")),
            _ => seen.granted(),
        })
        .configured(discovery)
        .run();
        played.logged_in();
        assert_eq!(played.pairs_of(2), "ImmediateData=Reject", "{value:?}");
    }
}

#[test]
fn login_7_6_an_unknown_key_is_not_understood() {
    for key in ["X-com.example.foo", "FooBar", "Y-digest", "X-"] {
        for stage in [0, 1] {
            let played = login(move |seen| match seen.step {
                step if step == stage => seen.says(&seen.flags()[..1], &format!("{key}=1")),
                _ => seen.granted(),
            })
            .run();
            played.logged_in();
            let answer = format!("{key}=NotUnderstood");
            assert_eq!(played.pairs_of(stage + 1), answer, "in stage {stage}");
        }
    }
}

// --- 8: other PDUs ---

#[test]
fn login_8_1_only_login_responses_come_in_a_login() {
    let (lun, data_segment_length) = ([0; 8], 0);
    let tag = RESERVED_TAG;
    let numbers = NUMBERS;
    let responses = move |initiator_task_tag: u32| {
        [
            Response::NopIn(NopIn {
                lun,
                initiator_task_tag: tag,
                target_transfer_tag: 1,
                numbers,
                data_segment_length,
            }),
            Response::Scsi(ScsiResponse {
                response: 0,
                status: 0,
                initiator_task_tag,
                snack_tag: 0,
                numbers,
                exp_data_sn: 0,
                residual: Residual::None,
                bidirectional_read_residual: Residual::None,
                data_segment_length,
            }),
            Response::AsyncMessage(AsyncMessage {
                lun,
                numbers,
                event: 1,
                vendor_code: 0,
                parameters: [0; 3],
                data_segment_length,
            }),
            Response::Reject(Reject {
                reason: 4,
                numbers,
                data_sn_or_r2t_sn: 0,
                data_segment_length,
            }),
            Response::TaskManagement(TaskManagementResponse {
                response: 0,
                initiator_task_tag,
                numbers,
            }),
            Response::Text(TextResponse {
                last: true,
                text_continues: false,
                lun,
                initiator_task_tag,
                target_transfer_tag: tag,
                numbers,
                data_segment_length,
            }),
            Response::DataIn(DataIn {
                last: true,
                acknowledge: false,
                status: Some(0),
                residual: Residual::None,
                lun,
                initiator_task_tag,
                target_transfer_tag: tag,
                numbers,
                data_sn: 0,
                buffer_offset: 0,
                data_segment_length,
            }),
            Response::Logout(LogoutResponse {
                response: 0,
                initiator_task_tag,
                numbers,
                time2wait: 0,
                time2retain: 0,
            }),
            Response::ReadyToTransfer(ReadyToTransfer {
                lun,
                initiator_task_tag,
                target_transfer_tag: 1,
                numbers,
                r2t_sn: 0,
                buffer_offset: 0,
                desired_data_transfer_length: 512,
            }),
        ]
    };
    for kind in 0..responses(0).len() {
        for step in [0, 1] {
            let error = login(move |seen| {
                if seen.step < step {
                    return seen.granted().into();
                }
                let response = responses(seen.header.initiator_task_tag)[kind];
                crate::scripted_login::Reply::from(Pdu::new(response.emit(), Vec::new()))
            })
            .drops();
            let rule = "only Login Responses come before full feature phase (RFC 7143 §4.2.4)";
            let response = responses(0)[kind];
            let wanted = match response {
                Response::Reject(reject) => Error::Rejected { reason: reject.reason },
                _ => Error::PeerMisbehaved(rule),
            };
            assert_eq!(error, wanted, "{response:?}");
        }
    }
}

// --- 9: digests ---

#[test]
fn login_9_1_every_combination_of_digests_is_usable() {
    for (header, data) in [
        (DigestPolicy::Refuse, DigestPolicy::Refuse),
        (DigestPolicy::Force, DigestPolicy::Refuse),
        (DigestPolicy::Refuse, DigestPolicy::Force),
        (DigestPolicy::Force, DigestPolicy::Force),
    ] {
        for (parameter, list) in [("none,crc32c", "None,CRC32C"), ("crc32c,none", "CRC32C,None")] {
            let target = target().header_digest(header).data_digest(data).build();
            let setting = [("header_digest", parameter), ("data_digest", parameter)];
            let mut pair = Pair::ready(&target, &setting);
            let login = target.statistics().last_login.unwrap();
            for (key, wanted) in [("HeaderDigest", header), ("DataDigest", data)] {
                let offers: Vec<&str> = login
                    .offered
                    .iter()
                    .filter(|(name, _)| name == key)
                    .map(|(_, value)| value.as_str())
                    .collect();
                assert_eq!(offers, [list], "{key} once, in the order of the configuration");
                let digest = match key {
                    "HeaderDigest" => login.parameters.header_digest,
                    _ => login.parameters.data_digest,
                };
                assert_eq!(digest, wanted == DigestPolicy::Force, "{key}");
            }
            let bytes = Random(9).bytes(4096);
            pair.write(0, 3, &bytes).unwrap();
            assert_eq!(pair.read(0, 3, 4096), Ok(bytes));
            pair.log_out();
        }
    }
}

#[test]
fn login_9_2_a_digest_that_was_not_offered_fails() {
    for (offer, answer) in
        [("none", "CRC32C"), ("none", "MD5"), ("crc32c", "None"), ("crc32c,none", "MD5")]
    {
        for (parameter, key) in [("header_digest", "HeaderDigest"), ("data_digest", "DataDigest")] {
            let play = login(move |seen| seen.granted_but(&[&format!("{key}={answer}")]))
                .parameters(&[(parameter, offer)]);
            assert_eq!(play.fails_over(key), KeyProblem::NotOffered, "{offer}: {answer}");
        }
    }
}

#[test]
fn login_9_3_crc32c_guards_everything_after_the_login() {
    let target = target().digests(DigestPolicy::Force).build();
    // The target reads and checks what it is sent with a CRC32C of its own, and ends the
    // connection over a wrong one.
    let bursts = [("max_burst_length", "4096"), ("first_burst_length", "4096")];
    let mut pair = Pair::ready(&target, &bursts);
    let bytes = Random(1).bytes(64 * 1024);
    pair.write(0, 0, &bytes).unwrap();
    assert_eq!(pair.read(0, 0, bytes.len()), Ok(bytes));
    // Padding is covered: 5 bytes of data, and a digest over 8.
    target.ping(b"hello");
    pair.pass(Duration::from_secs(1));
    assert_eq!(target.statistics().connections, 1);
    // And the target's digests are checked in turn.
    for fate in [|| Fate::CorruptHeader, || Fate::CorruptData] {
        let before = target.statistics().connections;
        target.ping(b"hello");
        let mut damaged = false;
        target.on_response(move |_, pdu| {
            let ping = pdu.header.opcode() == opcode::NOP_IN && !pdu.data.is_empty();
            if ping && !std::mem::replace(&mut damaged, true) { fate() } else { Fate::Send }
        });
        pair.read(0, 0, 512).unwrap();
        pair.pass(Duration::from_secs(10));
        assert_eq!(target.statistics().connections, before + 1, "a damaged PDU costs a connection");
    }
    pair.log_out();
}

// --- 10 ---

#[test]
fn login_10_1_max_connections_is_1() {
    let played = login_but(&["MaxConnections=1"]).run();
    played.logged_in();
    assert_eq!(played.requests()[1].value("MaxConnections").as_deref(), Some("1"));
    // 8 said by a target is an answer to the offer of 1: there is no room for a proposal before.
    for above in [&["MaxConnections=2"], &["MaxConnections=8"]] {
        assert_eq!(login_but(above).fails_over("MaxConnections"), KeyProblem::BreaksResult);
    }
}

// --- 11: names ---

/// Initiator and target names as the user gives them, and as they go on the wire.
fn long_name(prefix: &str) -> String {
    format!("{prefix}{}", "x".repeat(Name::MAX_LENGTH - prefix.len()))
}

#[test]
fn login_11_1_names_are_the_configured_ones_on_every_connection() {
    let longest = long_name("iqn.2001-04.com.example:");
    for (name, wire) in [
        ("iqn.2001-04.com.example:storage.disk2", "iqn.2001-04.com.example:storage.disk2"),
        ("IQN.2001-04.COM.Example:Disk2", "iqn.2001-04.com.example:disk2"),
        (&longest, &longest),
        ("eui.02004567A425678D", "eui.02004567a425678d"),
        ("naa.52004567BA64678D", "naa.52004567ba64678d"),
        ("naa.62004567BA64678D0123456789ABCDEF", "naa.62004567ba64678d0123456789abcdef"),
    ] {
        let name = Name::new(name).unwrap();
        // The first login is redirected, the second succeeds and is lost, the third is recovery.
        let mut played = login(|seen| match seen.connection {
            1 => {
                let address = text("TargetAddress=192.0.2.9:3260");
                seen.says_bytes("0", &address).with(|header| {
                    (header.status_class, header.status_detail) = (1, 1);
                })
            }
            _ => seen.granted(),
        })
        .configured(move |config| {
            config.login.initiator_name = name.clone();
            config.login.target_name = Some(name);
        })
        .run();
        played.logged_in();
        played.pair.wire.break_now(Break::Reset);
        let requests = |played: &Played| played.requests().len();
        let before = requests(&played);
        played.pair.pass(Duration::from_secs(10));
        assert!(requests(&played) > before, "{wire}: recovered");
        played.check();
        for seen in played.requests() {
            for key in ["InitiatorName", "TargetName"] {
                let wanted = (seen.step == 0).then_some(wire);
                assert_eq!(seen.value(key).as_deref(), wanted, "{key}, request {}", seen.step);
            }
        }
    }
    assert!(Name::new(&(longest + "x")).is_err(), "224 bytes");
}

// --- 12 ---

#[test]
fn login_12_1_markers_are_rejected() {
    let played = login(|seen| match seen.step {
        1 => seen.says("1", "IFMarker=Yes OFMarker=Yes IFMarkInt=2048~8192 OFMarkInt=2048"),
        _ => seen.granted(),
    })
    .run();
    played.logged_in();
    assert_eq!(
        played.pairs_of(2),
        "IFMarker=Reject OFMarker=Reject IFMarkInt=Reject OFMarkInt=Reject"
    );
    assert!(!played.pairs_of(1).contains("Mark"), "none is offered");
    // The stream goes on without markers: the target reads full feature phase.
    assert_eq!(played.others()[0].header.opcode(), opcode::SCSI_COMMAND);
}

// --- 13: booleans ---

#[test]
fn login_13_1_booleans_become_what_their_function_says() {
    for (parameter, key, or) in
        [("initial_r2t", "InitialR2T", true), ("immediate_data", "ImmediateData", false)]
    {
        for (ours, offer) in [(true, "yes"), (false, "no")] {
            for (theirs, answer) in [(true, "Yes"), (false, "No")] {
                let legal = if or { theirs || !ours } else { ours || !theirs };
                if !legal {
                    continue;
                }
                let played = login(move |seen| seen.granted_but(&[&format!("{key}={answer}")]))
                    .parameters(&[(parameter, offer)])
                    .run();
                let terms = played.logged_in();
                let offered = played.requests()[1].value(key);
                assert_eq!(offered.as_deref(), Some(if ours { "Yes" } else { "No" }));
                let result = if or { terms.initial_r2t } else { terms.immediate_data };
                assert_eq!(result, theirs, "{key}: {offer}, {answer}");
            }
        }
    }
    let played = login_but(&["DataPDUInOrder=Yes", "DataSequenceInOrder=Yes"]).run();
    let terms = played.logged_in();
    assert!(terms.data_pdu_in_order && terms.data_sequence_in_order);
    for key in ["DataPDUInOrder", "DataSequenceInOrder"] {
        assert_eq!(played.requests()[1].value(key).as_deref(), Some("Yes"), "{key}");
    }
}

#[test]
fn login_13_2_booleans_proposed_by_the_target_are_answered_once() {
    // A Normal session's offers are the first words of stage 1; only in Discovery is there room
    // for the target to propose, and there these keys are irrelevant.
    for key in ["InitialR2T", "ImmediateData", "DataPDUInOrder", "DataSequenceInOrder"] {
        for value in ["Yes", "No"] {
            let played = login(move |seen| match seen.step {
                1 => seen.says("1", &format!("{key}={value}")),
                _ => seen.granted(),
            })
            .configured(discovery)
            .run();
            played.logged_in();
            assert_eq!(played.pairs_of(2), format!("{key}=Irrelevant"), "{value}");
            assert_eq!(played.requests()[1].value(key), None, "not offered");
        }
    }
}

#[test]
fn login_13_3_booleans_against_their_function_fail() {
    for (offer, answer, key) in [
        (("initial_r2t", "yes"), "InitialR2T=No", "InitialR2T"),
        (("immediate_data", "no"), "ImmediateData=Yes", "ImmediateData"),
        (("initial_r2t", "yes"), "DataPDUInOrder=No", "DataPDUInOrder"),
        (("initial_r2t", "yes"), "DataSequenceInOrder=No", "DataSequenceInOrder"),
    ] {
        let play = login(move |seen| seen.granted_but(&[answer])).parameters(&[offer]);
        assert_eq!(play.fails_over(key), KeyProblem::BreaksResult, "{answer}");
    }
}

// --- 14–16: lengths ---

/// Changes the text of each Login Response of a target.
pub(crate) fn edit_logins(
    target: &isboot_tests::target::Target,
    edit: impl Fn(&str) -> Option<String> + Send + 'static,
) {
    target.on_response(move |_, pdu| {
        if pdu.header.opcode() == opcode::LOGIN_RESPONSE {
            let pairs = String::from_utf8(pdu.data.clone()).unwrap();
            let edited: String =
                pairs.split_terminator('\0').filter_map(&edit).map(|pair| pair + "\0").collect();
            *pdu = Pdu::new(pdu.header, edited.into_bytes());
        }
        Fate::Send
    });
}

/// Longest data segment of the requests that a target sees.
fn longest_request(target: &isboot_tests::target::Target) -> std::sync::mpsc::Receiver<usize> {
    let (lengths, seen) = std::sync::mpsc::channel();
    target.on_request(move |_, pdu| {
        if matches!(pdu.header.opcode(), opcode::SCSI_COMMAND | opcode::DATA_OUT) {
            lengths.send(pdu.data.len()).unwrap();
        }
        Handling::Proceed
    });
    seen
}

#[test]
fn login_14_1_segments_keep_to_what_each_side_declared() {
    for declared in [Some(512), Some(8192), Some(16_777_215), None] {
        let limit = declared.unwrap_or(8192);
        let target = target().max_recv_data_segment_length(limit).build();
        edit_logins(&target, move |pair| {
            let left_out = declared.is_none() && pair.starts_with("MaxRecvDataSegmentLength=");
            (!left_out).then(|| pair.to_owned())
        });
        let lengths = longest_request(&target);
        // What the target sends is bounded by the initiator's own value, which it makes use of.
        let mut pair = Pair::ready(&target, &[("max_recv_data_segment_length", "4096")]);
        let bytes = Random(u64::from(limit)).bytes(64 * 1024);
        pair.write(0, 0, &bytes).unwrap();
        assert_eq!(pair.read(0, 0, bytes.len()), Ok(bytes));
        pair.log_out();
        let longest = lengths.try_iter().max();
        assert_eq!(longest, Some(limit.min(65_536) as usize), "{declared:?}");
        let offered = target.statistics().last_login.unwrap().offered;
        let own: Vec<_> =
            offered.iter().filter(|(key, _)| key == "MaxRecvDataSegmentLength").collect();
        assert_eq!(own, [&("MaxRecvDataSegmentLength".to_owned(), "4096".to_owned())]);
    }
    // Data-In above the own value is refused.
    for (length, fits) in [(4096, true), (4100, false)] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[("max_recv_data_segment_length", "4096")]);
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::DATA_IN && pdu.data.len() == 4096 {
                *pdu = Pdu::new(pdu.header, vec![0; length]);
            }
            Fate::Send
        });
        pair.submit_read(0, 0, 4096);
        pair.pass(Duration::from_millis(500));
        assert_eq!(pair.take_completion().is_some(), fits, "{length}");
    }
}

#[test]
fn login_15_1_max_burst_length_is_the_smaller() {
    for (answer, result) in [("512", 512), ("65536", 65_536)] {
        let terms = login(move |seen| seen.granted_but(&[&format!("MaxBurstLength={answer}")]))
            .parameters(&[("max_burst_length", "65536"), ("first_burst_length", "512")])
            .succeeds();
        assert_eq!(terms.max_burst_length, result);
    }
    let above = login_but(&["MaxBurstLength=65540"])
        .parameters(&[("max_burst_length", "65536"), ("first_burst_length", "512")]);
    assert_eq!(above.fails_over("MaxBurstLength"), KeyProblem::BreaksResult);
    // Sequences are bounded by it: the target judges each that it asks for.
    let target = target().max_burst_length(512).build();
    let chart = {
        let mut pair = Pair::ready(&target, &[("immediate_data", "no")]);
        let chart = Chart::of(&target);
        pair.write(0, 0, &[1; 1024]).unwrap();
        chart
    };
    chart.assert(&[
        "> write 1024",
        "< r2t 0..512",
        "> data 0..512, last",
        "< r2t 512..1024",
        "> data 512..1024, last",
        "< good",
    ]);
}

#[test]
fn login_16_1_a_first_burst_below_the_burst() {
    let target = target()
        .first_burst_length(512)
        .max_burst_length(1024)
        .initial_r2t(false)
        .max_recv_data_segment_length(512)
        .build();
    let mut pair = Pair::ready(&target, &[("initial_r2t", "no")]);
    let terms = pair.isboot.negotiated().unwrap();
    assert_eq!((terms.first_burst_length, terms.max_burst_length), (512, 1024));
    let chart = Chart::of(&target);
    pair.write(0, 0, &[1; 2048]).unwrap();
    chart.assert(&[
        "> write 2048, 512 immediate",
        "< r2t 512..1536",
        "> data 512..1024",
        "> data 1024..1536, last",
        "< r2t 1536..2048",
        "> data 1536..2048, last",
        "< good",
    ]);
}

#[test]
fn login_16_2_a_first_burst_above_the_burst_is_cut_to_it() {
    let target = target().max_burst_length(512).initial_r2t(false).build();
    edit_logins(&target, |pair| {
        let first = pair.starts_with("FirstBurstLength=");
        Some(if first { "FirstBurstLength=65536".to_owned() } else { pair.to_owned() })
    });
    let mut pair = Pair::ready(&target, &[("initial_r2t", "no")]);
    let terms = pair.isboot.negotiated().unwrap();
    assert_eq!((terms.max_burst_length, terms.first_burst_length), (512, 512));
    let chart = Chart::of(&target);
    pair.write(0, 0, &[1; 1024]).unwrap();
    let lines = chart.take();
    assert_eq!(lines[0], "> write 1024, 512 immediate");
    pair.log_out();
}

#[test]
fn login_16_3_the_first_burst_offered_is_at_most_the_burst() {
    for (first, burst) in [("512", "512"), ("262144", "262144"), ("65536", "16777215")] {
        let played = login(Seen::granted)
            .parameters(&[("first_burst_length", first), ("max_burst_length", burst)])
            .run();
        played.logged_in();
        let offer = &played.requests()[1];
        assert_eq!(offer.value("FirstBurstLength").as_deref(), Some(first));
        assert_eq!(offer.value("MaxBurstLength").as_deref(), Some(burst));
    }
    // More than the burst is nothing to offer: the login fails before it begins.
    let mut played = login(Seen::granted)
        .parameters(&[("first_burst_length", "1024"), ("max_burst_length", "512")])
        .begin();
    assert!(matches!(played.pair.end(), Some(Error::Login(LoginError::ApiMisuse(_)))));
    assert!(played.requests().is_empty());
    // Without unsolicited data of either kind it means nothing, and is not offered.
    let settled = [("initial_r2t", "yes"), ("immediate_data", "no")];
    let played = login(|seen| match seen.step {
        1 => seen.says("1", "FirstBurstLength=65536"),
        _ => seen.granted(),
    })
    .parameters(&settled)
    .run();
    played.logged_in();
    assert_eq!(played.requests()[1].value("FirstBurstLength"), None);
    assert_eq!(played.pairs_of(2), "FirstBurstLength=Irrelevant");
    // LIO proposes it at the very end, where nothing can be answered: it means nothing there too.
    let played = login(|seen| match seen.step {
        1 => seen.granted_but(&["FirstBurstLength=65536"]),
        _ => seen.granted(),
    })
    .parameters(&settled)
    .run();
    played.logged_in();
}

// --- 17–20: numbers ---

/// Offers `offer` of `key` and hears `answer`.
fn numeric(
    key: &'static str,
    answer: u32,
    offer: impl FnOnce(&mut SessionConfig) + 'static,
) -> crate::scripted_login::Play {
    login(move |seen| seen.granted_but(&[&format!("{key}={answer}")])).configured(offer)
}

#[test]
fn login_17_1_time2retain_is_the_smaller() {
    const KEY: &str = "DefaultTime2Retain";
    for (offer, answer) in [(20, 0), (20, 5), (20, 20), (3600, 3600), (0, 0)] {
        let terms =
            numeric(KEY, answer, move |config| config.login.offer.default_time2retain = offer);
        assert_eq!(u32::from(terms.succeeds().default_time2retain), answer, "{offer}");
    }
    for (offer, answer, problem) in [
        (20, 21, KeyProblem::BreaksResult),
        (20, 3600, KeyProblem::BreaksResult),
        (3600, 3601, KeyProblem::OutOfRange),
    ] {
        let play =
            numeric(KEY, answer, move |config| config.login.offer.default_time2retain = offer);
        assert_eq!(play.fails_over(KEY), problem, "{offer}: {answer}");
    }
}

#[test]
fn login_18_1_time2wait_is_the_larger_and_is_waited() {
    const KEY: &str = "DefaultTime2Wait";
    for (offer, answer) in [(0, 0), (2, 2), (2, 5), (2, 3600), (3600, 3600)] {
        let terms =
            numeric(KEY, answer, move |config| config.login.offer.default_time2wait = offer);
        assert_eq!(u32::from(terms.succeeds().default_time2wait), answer, "{offer}");
    }
    for (offer, answer, problem) in [
        (2, 1, KeyProblem::BreaksResult),
        (2, 0, KeyProblem::BreaksResult),
        (2, 3601, KeyProblem::OutOfRange),
    ] {
        let play = numeric(KEY, answer, move |config| config.login.offer.default_time2wait = offer);
        assert_eq!(play.fails_over(KEY), problem, "{offer}: {answer}");
    }
    for (answer, wait) in [("2", 2), ("7", 7)] {
        let mut played =
            login(move |seen| seen.granted_but(&[&format!("DefaultTime2Wait={answer}")])).run();
        played.logged_in();
        played.pair.wire.break_now(Break::Reset);
        let wire = played.pair.wire.clone();
        let took = played.pair.run_until("the next connection", |_| wire.portals().len() == 2);
        assert_eq!(took, Duration::from_secs(wait));
    }
}

#[test]
fn login_19_1_max_outstanding_r2t_is_the_smaller() {
    const KEY: &str = "MaxOutstandingR2T";
    let offer = [("max_outstanding_r2t", "4")];
    for (answer, result) in [("1", 1), ("3", 3), ("4", 4)] {
        let terms = login(move |seen| seen.granted_but(&[&format!("{KEY}={answer}")]))
            .parameters(&offer)
            .succeeds();
        assert_eq!(terms.max_outstanding_r2t, result);
    }
    for (answer, problem) in [
        ("5", KeyProblem::BreaksResult),
        ("65535", KeyProblem::BreaksResult),
        ("0", KeyProblem::OutOfRange),
        ("65536", KeyProblem::OutOfRange),
    ] {
        let play = login(move |seen| seen.granted_but(&[&format!("{KEY}={answer}")]));
        assert_eq!(play.parameters(&offer).fails_over(KEY), problem, "{answer}");
    }
    // And so many are borne at once.
    let target = target().max_outstanding_r2t(4).r2t_length(512).build();
    let mut pair = Pair::ready(&target, &[offer[0], ("immediate_data", "no")]);
    let chart = Chart::of(&target);
    pair.write(0, 0, &[7; 2048]).unwrap();
    let lines = chart.take();
    assert!(lines[1..5].iter().all(|line| line.starts_with("< r2t")), "{lines:?}");
    pair.log_out();
}

#[test]
fn login_20_1_the_error_recovery_level_is_0() {
    let played = login_but(&["ErrorRecoveryLevel=0"]).run();
    assert_eq!(played.logged_in().error_recovery_level, 0);
    assert_eq!(played.requests()[1].value("ErrorRecoveryLevel").as_deref(), Some("0"));
    for above in [&["ErrorRecoveryLevel=1"], &["ErrorRecoveryLevel=2"]] {
        assert_eq!(login_but(above).fails_over("ErrorRecoveryLevel"), KeyProblem::BreaksResult);
    }
    // Silence leaves the default, which is 0 too.
    assert_eq!(login_but(&["ErrorRecoveryLevel="]).succeeds().error_recovery_level, 0);
}

// --- 21–23: session type, authentication, portal group ---

#[test]
fn login_21_1_the_session_type_is_said_once() {
    for is_discovery in [false, true] {
        let configure = move |config: &mut SessionConfig| {
            if is_discovery {
                discovery(config);
            }
        };
        let played = login(Seen::granted).configured(configure).run();
        played.logged_in();
        let wanted = if is_discovery { "Discovery" } else { "Normal" };
        for seen in played.requests() {
            let wanted = (seen.step == 0).then_some(wanted);
            assert_eq!(seen.value("SessionType").as_deref(), wanted);
        }
        let refused = login(|seen| seen.ends(2, 9)).configured(configure).fails();
        assert_eq!(refused, Error::Login(LoginError::Rejected { class: 2, detail: 9 }));
        let told = login(|seen| seen.says("0", "SessionType=Normal")).configured(configure);
        assert_eq!(told.fails_over("SessionType"), KeyProblem::WrongSender);
    }
}

#[test]
fn login_22_1_the_auth_method_is_one_of_those_configured() {
    let says = |pairs: &'static str| {
        move |seen: &Seen| match seen.step {
            0 => seen.says(&seen.flags(), pairs),
            1 if pairs.ends_with("CHAP") => seen.ends(2, 1),
            _ => seen.granted(),
        }
    };
    let failure = |error| match error {
        Error::Login(LoginError::AuthFailed(failure)) => failure,
        error => panic!("{error}"),
    };
    // Nothing configured: None alone.
    let played = login(says("AuthMethod=None")).run();
    assert_eq!(played.requests()[0].value("AuthMethod").as_deref(), Some("None"));
    played.logged_in();
    login(says("")).succeeds();
    let rejected = failure(login(says("AuthMethod=Reject")).fails());
    assert_eq!(rejected, AuthenticationFailure::ChapDemanded);
    // CHAP required: CHAP alone.
    let played = login(says("AuthMethod=CHAP")).configured(chap(true)).run();
    assert_eq!(played.requests()[0].value("AuthMethod").as_deref(), Some("CHAP"));
    assert!(played.pairs_of(1).starts_with("CHAP_A="), "{}", played.pairs_of(1));
    let none = login(says("AuthMethod=None")).configured(chap(true));
    assert_eq!(none.fails_over("AuthMethod"), KeyProblem::NotOffered);
    let rejected = failure(login(says("AuthMethod=Reject")).configured(chap(true)).fails());
    assert_eq!(rejected, AuthenticationFailure::MethodRejected);
    let silent = failure(login(says("")).configured(chap(true)).fails());
    assert_eq!(silent, AuthenticationFailure::MethodNotChosen);
    // Straight to stage 1, asked or not.
    let skipped = login(|seen| seen.says("0>1", "")).configured(chap(true)).fails();
    let unasked = LoginError::PeerMisbehaved(Misbehaviour::TransitUnasked);
    assert_eq!(skipped, Error::Login(unasked));
    // Either will do.
    let played = login(says("AuthMethod=None")).configured(chap(false)).run();
    assert_eq!(played.requests()[0].value("AuthMethod").as_deref(), Some("CHAP,None"));
    played.logged_in();
}

#[test]
fn login_23_1_the_portal_group_is_the_expected_one() {
    let telling = |tag: &'static str| {
        move |seen: &Seen| match seen.step {
            0 if tag.is_empty() => seen.says("0>1", "AuthMethod=None"),
            0 => seen.says("0>1", &format!("AuthMethod=None TargetPortalGroupTag={tag}")),
            _ => seen.granted(),
        }
    };
    for (expected, tag, found) in [
        (None, "0", Some(0)),
        (None, "1", Some(1)),
        (None, "65535", Some(65_535)),
        (None, "", None),
        (Some(0), "0", Some(0)),
        (Some(7), "7", Some(7)),
    ] {
        let expect =
            move |config: &mut SessionConfig| config.login.target_portal_group_tag = expected;
        let played = login(telling(tag)).configured(expect).run();
        assert_eq!(played.logged_in().target_portal_group_tag, found);
        let said = played.conversation();
        assert!(!said.iter().any(|(_, pairs)| pairs.contains("PortalGroup")), "{said:?}");
    }
    for (expected, tag) in [(1, "2"), (0, "1"), (1, "0"), (1, "65535"), (1, "")] {
        let expect =
            move |config: &mut SessionConfig| config.login.target_portal_group_tag = Some(expected);
        let error = login(telling(tag)).configured(expect).fails();
        assert!(matches!(error, Error::Login(LoginError::NotAgreed(_))), "{expected}: {tag}");
    }
}
