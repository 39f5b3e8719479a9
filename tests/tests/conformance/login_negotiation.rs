//! B-LN: keys, stages, the C bit.

use std::time::Duration;

use isboot::login::{Disagreement, Limit, LoginError, Misbehaviour, Negotiated};
use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use isboot::pdu::digest::Digests;
use isboot::pdu::request::Stage;
use isboot::pdu::response::{NopIn, Response, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Error, LinkFailure, SessionConfig};
use isboot_tests::pair::{Break, Direction, Pair, target};
use isboot_tests::target::{DigestPolicy, Fate, Injection, Numbering, Pdu};

use crate::login_phase::{chap, discovery, one_by_one};
use crate::scripted_login::{Answer, KeyProblem, Play, Reply, Seen, in_pieces, login, login_but};

/// The error for a target that breaks a rule of the login.
fn misbehaved(misbehaviour: Misbehaviour) -> Error {
    Error::Login(LoginError::PeerMisbehaved(misbehaviour))
}

/// A login whose answers in the operational stage are all there, and then this.
fn with_pair(pair: String) -> Play {
    login(move |seen| match seen.step {
        0 => seen.granted(),
        _ => {
            let key = pair.split('=').next().unwrap();
            let rest = seen.accepted_but(&[&format!("{key}=")]);
            seen.says("1>3", &format!("{rest} {pair}"))
        }
    })
}

/// The target says this by itself in the operational stage, before it answers the offer.
fn proposing(pairs: &'static str) -> Play {
    login(move |seen| match seen.step {
        1 => seen.says("1", pairs),
        _ => seen.granted(),
    })
}

fn expecting(tag: u16) -> impl FnOnce(&mut SessionConfig) {
    move |config| config.login.target_portal_group_tag = Some(tag)
}

// --- 1–5: the target portal group tag ---

/// The tag comes with the answer number `step`.
fn portal_group(step: usize, tag: &'static str) -> Play {
    login(move |seen| {
        let said =
            if seen.step == step { format!("TargetPortalGroupTag={tag}") } else { String::new() };
        match seen.step {
            0 => seen.says("0", &said),
            1 => seen.says("0>1", &format!("{said} AuthMethod=None")),
            2 => seen.says("1", &said),
            _ => seen.granted(),
        }
    })
}

#[test]
fn b_ln_01_another_portal_group_fails() {
    let wrong = Disagreement::PortalGroup { expected: 1, found: 2 };
    let error = portal_group(0, "2").configured(expecting(1)).fails();
    assert_eq!(error, Error::Login(LoginError::NotAgreed(wrong)));
    assert!(error.to_string().contains("discover the target again"), "{error}");
    assert_eq!(portal_group(0, "2").succeeds().target_portal_group_tag, Some(2), "recorded");
}

#[test]
fn b_ln_02_a_missing_portal_group_fails_when_one_is_expected() {
    let missing = Disagreement::PortalGroupMissing { expected: 1 };
    let error = portal_group(9, "").configured(expecting(1)).fails();
    assert_eq!(error, Error::Login(LoginError::NotAgreed(missing)));
    assert_eq!(portal_group(9, "").succeeds().target_portal_group_tag, None);
}

#[test]
fn b_ln_03_portal_groups_are_16_bit_numbers() {
    for (tag, found) in [("0", 0), ("1", 1), ("65535", 65_535), ("0x0001", 1)] {
        assert_eq!(portal_group(0, tag).succeeds().target_portal_group_tag, Some(found), "{tag}");
    }
    for (tag, problem) in [
        ("65536", KeyProblem::OutOfRange),
        ("-1", KeyProblem::BadValue),
        ("", KeyProblem::BadValue),
        ("1,1", KeyProblem::BadValue),
    ] {
        assert_eq!(portal_group(0, tag).fails_over("TargetPortalGroupTag"), problem, "{tag}");
    }
}

#[test]
fn b_ln_04_a_late_portal_group_counts() {
    for step in [1, 2] {
        let terms = portal_group(step, "1").configured(expecting(1)).succeeds();
        assert_eq!(terms.target_portal_group_tag, Some(1), "response {step}");
        let wrong = Disagreement::PortalGroup { expected: 1, found: 2 };
        let error = portal_group(step, "2").configured(expecting(1)).fails();
        assert_eq!(error, Error::Login(LoginError::NotAgreed(wrong)), "response {step}");
    }
}

#[test]
fn b_ln_05_the_portal_group_twice_drops() {
    let play = login(|seen| match seen.step {
        0 | 1 => seen.says("0", "TargetPortalGroupTag=1"),
        _ => seen.granted(),
    });
    assert_eq!(play.fails_over("TargetPortalGroupTag"), KeyProblem::Repeated);
}

// --- 6–14: the header ---

/// A willing target whose response number `step` has a changed header.
fn with_header(step: usize, change: impl Fn(Answer) -> Answer + Send + 'static) -> Play {
    login(move |seen| {
        let answer = seen.granted();
        if seen.step == step { change(answer) } else { answer }
    })
}

#[test]
fn b_ln_06_another_isid_drops() {
    for step in [0, 1] {
        for byte in 8..14 {
            let error = with_header(step, move |answer| answer.byte(byte, 0x2a)).drops();
            assert_eq!(error, misbehaved(Misbehaviour::Isid), "byte {byte} of response {step}");
        }
    }
}

#[test]
fn b_ln_07_another_tag_drops() {
    for step in [0, 1] {
        let error =
            with_header(step, |answer| answer.with(|header| header.initiator_task_tag ^= 0x1_0000))
                .drops();
        let rule = "a Login Response answers the login's own tag";
        assert_eq!(error, Error::PeerMisbehaved(rule), "response {step}");
    }
}

#[test]
fn b_ln_08_another_version_fails() {
    for step in [0, 1] {
        for version in [1, 0xff] {
            let error = with_header(step, move |answer| {
                answer.with(|header| {
                    (header.version_max, header.version_active) = (version, version);
                })
            });
            assert_eq!(error.fails(), misbehaved(Misbehaviour::Version(version)));
        }
        // A target may know later versions, as long as it speaks this one.
        with_header(step, |answer| answer.with(|header| header.version_max = 3)).succeeds();
    }
}

#[test]
fn b_ln_09_t_unasked_drops() {
    // T=0, since CHAP would have steps to come.
    let error = login(|seen| seen.says("0>1", "AuthMethod=None")).configured(chap(false)).drops();
    assert_eq!(error, misbehaved(Misbehaviour::TransitUnasked));
}

#[test]
fn b_ln_10_a_stage_beyond_the_one_asked_for_drops() {
    for flags in ["0>3", "0>0"] {
        let error = login(move |seen| seen.says(flags, "AuthMethod=None")).drops();
        assert_eq!(error, misbehaved(Misbehaviour::NextStage), "{flags}");
    }
    for flags in ["1>1", "1>0"] {
        let error = login(move |seen| match seen.step {
            0 => seen.granted(),
            _ => seen.says(flags, &seen.accepted_but(&[])),
        })
        .drops();
        assert_eq!(error, misbehaved(Misbehaviour::NextStage), "{flags}");
    }
}

#[test]
fn b_ln_11_reserved_stages_drop() {
    // T, CSG, NSG: 2 in either.
    for (step, byte) in [(0, 0x82), (0, 0x88), (0, 0x08), (1, 0x86), (1, 0x8b), (1, 0x0a)] {
        let error = with_header(step, move |answer| answer.byte(1, byte)).drops();
        assert!(matches!(error, Error::Malformed(_)), "{byte:#04x}: {error}");
    }
}

#[test]
fn b_ln_12_another_current_stage_drops() {
    for (step, flags) in [(0, "1>3"), (0, "1"), (0, "3"), (1, "0>1"), (1, "0"), (1, "3")] {
        let error = login(move |seen| match seen.step == step {
            true => seen.says(flags, ""),
            false => seen.granted(),
        })
        .drops();
        assert_eq!(error, misbehaved(Misbehaviour::CurrentStage), "{flags} in response {step}");
    }
}

#[test]
fn b_ln_13_t_together_with_c_drops() {
    for step in [0, 1] {
        let both = |answer: Answer| answer.with(|header| header.text_continues = true);
        let error = with_header(step, both).drops();
        assert!(matches!(error, Error::Malformed(_)), "{error}");
        assert!(error.to_string().contains("T together with C"), "{error}");
    }
}

/// So no stage lower than the one asked for can be granted.
#[test]
fn b_ln_14_the_operational_stage_is_never_skipped() {
    let plain: fn(&mut SessionConfig) = |_| {};
    for configure in [plain, discovery] {
        let played = login(Seen::granted).configured(configure).run();
        played.logged_in();
        let asked: Vec<Stage> = played.requests().iter().map(|s| s.header.next_stage).collect();
        assert_eq!(asked, [Stage::OperationalNegotiation, Stage::FullFeaturePhase]);
    }
}

// --- 15–19: C, and how long a login lasts ---

/// What a login came to: its terms, and the requests that said something.
fn outcome(play: Play) -> (Negotiated, Vec<String>) {
    let played = play.run();
    let said =
        played.requests().iter().map(Seen::pairs).filter(|pairs| !pairs.is_empty()).collect();
    (played.logged_in(), said)
}

fn telling(seen: &Seen) -> Answer {
    match seen.in_security_stage() {
        true => seen.says("0>1", "TargetPortalGroupTag=1 TargetAlias=the%disks AuthMethod=None"),
        false => seen.granted_but(&["MaxBurstLength=0x2000", "FirstBurstLength=512"]),
    }
}

#[test]
fn b_ln_15_a_text_split_at_any_byte_reads_the_same() {
    let whole = outcome(login(telling));
    for k in 1..400 {
        let halves =
            in_pieces(telling, move |text| if k < text.len() { vec![k] } else { Vec::new() });
        assert_eq!(outcome(login(halves)), whole, "split at {k}");
    }
    let single = in_pieces(telling, |text| (1..text.len()).collect());
    assert_eq!(outcome(login(single)), whole, "a byte a PDU");
}

#[test]
fn b_ln_16_numbers_and_digits_may_be_split() {
    let script = |seen: &Seen| match () {
        () if seen.value("AuthMethod").is_some() => {
            seen.says("0", "TargetPortalGroupTag=1 AuthMethod=CHAP")
        }
        () if seen.value("CHAP_A").is_some() => {
            seen.says("0", "CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f")
        }
        () if seen.value("CHAP_R").is_some() => seen.says("0>1", ""),
        () => seen.granted_but(&["MaxBurstLength=131072"]),
    };
    for k in 1..100 {
        let halves =
            in_pieces(script, move |text| if k < text.len() { vec![k] } else { Vec::new() });
        let played = login(halves).configured(chap(true)).run();
        assert_eq!(played.logged_in().max_burst_length, 131_072, "split at {k}");
        let response = played.requests().iter().find_map(|seen| seen.value("CHAP_R"));
        assert_eq!(response.as_deref(), Some("0xb5acf4353f7f990cd7cd8a562f75712e"), "at {k}");
    }
    // Inside the number itself.
    let whole = outcome(login(telling));
    let inside = in_pieces(telling, |text| {
        let key = b"MaxBurstLength=0x2000";
        let found = text.windows(key.len()).position(|window| window == key);
        found.map_or(Vec::new(), |at| (at + 15..at + key.len()).collect())
    });
    assert_eq!(outcome(login(inside)), whole);
}

#[test]
fn b_ln_17_an_endless_chain_of_empty_parts_is_given_up() {
    let played = login(|seen| seen.says("0+", "")).run();
    assert!((6..=65).contains(&played.requests().len()), "{}", played.requests().len());
    assert_eq!(played.failed(), Error::Login(LoginError::LimitReached(Limit::Exchanges(64))));
}

#[test]
fn b_ln_18_a_key_an_exchange_completes() {
    let played = login(one_by_one).run();
    played.logged_in();
    assert_eq!(played.requests().len(), 16);
}

#[test]
fn b_ln_19_a_stage_without_end_is_given_up() {
    for stage in [0, 1] {
        let played = login(move |seen| match seen.step {
            0 if stage == 1 => seen.granted(),
            _ => seen.says(&seen.flags()[..1], ""),
        })
        .run();
        assert!((6..=65).contains(&played.requests().len()), "{}", played.requests().len());
        assert_eq!(played.failed(), Error::Login(LoginError::LimitReached(Limit::Exchanges(64))));
    }
    // One that takes its time over each answer is bounded by the clock.
    let mut played = login(|_: &Seen| Reply::silence()).begin();
    let took = played.pair.run_until("the end", |isboot| isboot.last_error().is_some());
    assert_eq!(took, Duration::from_secs(15));
}

// --- 20–25: answers in reserved words, or none ---

#[test]
fn b_ln_20_irrelevant_is_an_answer() {
    let changes = ["InitialR2T=Yes", "ImmediateData=No", "FirstBurstLength=Irrelevant"];
    let terms = login(move |seen| seen.granted_but(&changes)).succeeds();
    assert!(terms.initial_r2t && !terms.immediate_data);
}

#[test]
fn b_ln_21_a_rejected_key_keeps_its_default() {
    let changes = ["MaxBurstLength=Reject", "MaxOutstandingR2T=Reject", "FirstBurstLength=Reject"];
    let terms = login(move |seen| seen.granted_but(&changes))
        .parameters(&[("max_outstanding_r2t", "4")])
        .succeeds();
    assert_eq!(terms.max_burst_length, 262_144);
    assert_eq!(terms.first_burst_length, 65_536);
    assert_eq!(terms.max_outstanding_r2t, 1);
    // Digests are policy: a target that rejects both is not to be trusted with neither.
    for (key, change) in
        [("HeaderDigest", &["HeaderDigest=Reject"]), ("DataDigest", &["DataDigest=Reject"])]
    {
        let rejected = LoginError::NotAgreed(Disagreement::DigestRejected(key));
        assert_eq!(login_but(change).fails(), Error::Login(rejected));
    }
}

/// The keys offered that RFC 7143 §13 has always had, with a value above every offer's.
const OFFERED: [&str; 14] = [
    "HeaderDigest",
    "DataDigest",
    "MaxConnections",
    "InitialR2T",
    "ImmediateData",
    "MaxRecvDataSegmentLength",
    "MaxBurstLength",
    "FirstBurstLength",
    "DefaultTime2Wait",
    "DefaultTime2Retain",
    "MaxOutstandingR2T",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "ErrorRecoveryLevel",
];

#[test]
fn b_ln_22_every_key_of_the_standard_must_be_understood() {
    for key in OFFERED {
        let problem = with_pair(format!("{key}=NotUnderstood")).fails_over(key);
        // A declaration is no question: the words are then its value.
        let declared = key == "MaxRecvDataSegmentLength";
        let wanted = if declared { KeyProblem::BadValue } else { KeyProblem::NotUnderstood };
        assert_eq!(problem, wanted, "{key}");
    }
}

#[test]
fn b_ln_23_newer_keys_may_be_unknown() {
    let play = with_pair("iSCSIProtocolLevel=NotUnderstood".to_owned()).run();
    assert_eq!(play.logged_in().iscsi_protocol_level, 1, "off");
    let offered = play.requests()[1].value("iSCSIProtocolLevel");
    assert_eq!(offered.as_deref(), Some("2"));
    // The others are not offered: the word answers nothing.
    for (pair, key) in
        [("TaskReporting=NotUnderstood", "TaskReporting"), ("X-a=NotUnderstood", "unknown key")]
    {
        assert_eq!(with_pair(pair.to_owned()).fails_over(key), KeyProblem::ReservedWord);
    }
}

#[test]
fn b_ln_24_what_the_offer_decides_needs_no_answer() {
    let terms = login_but(&["ImmediateData=", "InitialR2T="])
        .parameters(&[("immediate_data", "no"), ("initial_r2t", "yes")])
        .succeeds();
    assert!(!terms.immediate_data);
    assert!(terms.initial_r2t);
}

#[test]
fn b_ln_25_an_offer_without_an_answer_is_not_in_force() {
    let silent = &["MaxBurstLength=", "FirstBurstLength=", "MaxOutstandingR2T=", "InitialR2T="];
    let terms = login_but(silent)
        .parameters(&[("max_outstanding_r2t", "4"), ("initial_r2t", "no")])
        .succeeds();
    // Offered were 1048576, 262144, 4 and No.
    assert_eq!(terms.max_burst_length, 262_144);
    assert_eq!(terms.first_burst_length, 65_536);
    assert_eq!(terms.max_outstanding_r2t, 1);
    assert!(terms.initial_r2t);
    // Nor is a digest, where one was to be had only by agreement.
    let unanswered = login_but(&["HeaderDigest="]).parameters(&[("header_digest", "crc32c")]);
    let error = LoginError::NotAgreed(Disagreement::DigestUnanswered("HeaderDigest"));
    assert_eq!(unanswered.fails(), Error::Login(error));
}

// --- 26–34: proposals, result functions, values ---

#[test]
fn b_ln_26_proposals_are_answered_once() {
    for (session, proposals, answers) in [
        (
            true,
            "MaxConnections=4 InitialR2T=No MaxOutstandingR2T=8 MaxBurstLength=512",
            "MaxConnections=Irrelevant InitialR2T=Irrelevant MaxOutstandingR2T=Irrelevant \
             MaxBurstLength=Irrelevant",
        ),
        (true, "TaskReporting=FastAbort,RFC3720", "TaskReporting=Irrelevant"),
        (false, "TaskReporting=FastAbort,RFC3720", "TaskReporting=RFC3720"),
    ] {
        let played = proposing(proposals)
            .configured(move |config| {
                if session {
                    discovery(config)
                }
            })
            .run();
        played.logged_in();
        assert_eq!(played.pairs_of(2), answers, "{proposals}");
        for pair in proposals.split(' ') {
            let key = pair.split('=').next().unwrap();
            assert_eq!(played.requests()[1].value(key), None, "{key} is not offered as well");
        }
    }
    // What is offered is the first word of the stage, and what the target says is the answer.
    for (key, change) in [
        ("ErrorRecoveryLevel", &["ErrorRecoveryLevel=2"]),
        ("MaxConnections", &["MaxConnections=4"]),
    ] {
        assert_eq!(login_but(change).fails_over(key), KeyProblem::BreaksResult);
    }
    assert_eq!(login_but(&["DefaultTime2Wait=5"]).succeeds().default_time2wait, 5);
}

#[test]
fn b_ln_27_a_proposal_that_ends_the_stage_drops() {
    for (key, proposal) in
        [("TaskReporting", "TaskReporting=RFC3720"), ("IFMarker", "IFMarker=Yes")]
    {
        assert_eq!(with_pair(proposal.to_owned()).fails_over(key), KeyProblem::ProposedWithTransit);
    }
    let in_discovery = with_pair("MaxConnections=4".to_owned()).configured(discovery);
    assert_eq!(in_discovery.fails_over("MaxConnections"), KeyProblem::ProposedWithTransit);
}

#[test]
fn b_ln_28_answers_that_no_result_function_gives_fail() {
    for pair in [
        "MaxConnections=2",
        "MaxBurstLength=1048577",
        "FirstBurstLength=262145",
        "DefaultTime2Retain=21",
        "MaxOutstandingR2T=2",
        "ErrorRecoveryLevel=1",
        "DefaultTime2Wait=1",
    ] {
        let key = pair.split('=').next().unwrap();
        assert_eq!(with_pair(pair.to_owned()).fails_over(key), KeyProblem::BreaksResult, "{pair}");
    }
}

#[test]
fn b_ln_29_numbers_are_decimal_or_hex() {
    for (value, number) in [("8192", 8192), ("0x2000", 8192), ("0X2000", 8192), ("0x02Aa0", 10_912)]
    {
        let terms = with_pair(format!("MaxBurstLength={value}")).succeeds();
        assert_eq!(terms.max_burst_length, number, "{value}");
    }
    for value in [
        "8192%",
        "%8192",
        "8k",
        "-1",
        "+512",
        "1e3",
        "",
        "0x",
        "0b2000",
        "8_192",
        "08192",
        "8192.0",
        "18446744073709551616",
    ] {
        let problem = with_pair(format!("MaxBurstLength={value}")).fails_over("MaxBurstLength");
        assert_eq!(problem, KeyProblem::BadValue, "{value:?}");
    }
    for value in ["18446744073709551615", "4294967296", "0x1000000000000200"] {
        let problem = with_pair(format!("MaxBurstLength={value}")).fails_over("MaxBurstLength");
        assert_eq!(problem, KeyProblem::OutOfRange, "{value}");
    }
}

#[test]
fn b_ln_30_segment_lengths_have_bounds() {
    for length in [512, 8192, 16_777_215] {
        let terms = with_pair(format!("MaxRecvDataSegmentLength={length}")).succeeds();
        assert_eq!(terms.max_send_data_segment_length, length);
    }
    for length in [0, 511, 16_777_216] {
        let play = with_pair(format!("MaxRecvDataSegmentLength={length}"));
        assert_eq!(play.fails_over("MaxRecvDataSegmentLength"), KeyProblem::OutOfRange, "{length}");
    }
}

#[test]
fn b_ln_31_the_segment_length_twice_drops() {
    let play = login(|seen| match seen.step {
        0 => seen.granted(),
        _ => seen.says("1", "MaxRecvDataSegmentLength=65536"),
    });
    assert_eq!(play.fails_over("MaxRecvDataSegmentLength"), KeyProblem::Repeated);
}

#[test]
fn b_ln_32_a_range_or_a_list_is_no_answer() {
    for (pair, problem) in [
        ("MaxBurstLength=512~1024", KeyProblem::BadValue),
        ("MaxBurstLength=512,1024", KeyProblem::BadValue),
        ("HeaderDigest=CRC32C,None", KeyProblem::NotOffered),
        ("InitialR2T=Yes,No", KeyProblem::BadValue),
    ] {
        let key = pair.split('=').next().unwrap();
        assert_eq!(with_pair(pair.to_owned()).fails_over(key), problem, "{pair}");
    }
}

#[test]
fn b_ln_33_keys_and_values_have_their_case() {
    let played = proposing("headerdigest=None HEADERDIGEST=None").run();
    played.logged_in();
    assert_eq!(played.pairs_of(2), "headerdigest=NotUnderstood HEADERDIGEST=NotUnderstood");
    for (pair, problem) in [
        ("HeaderDigest=none", KeyProblem::NotOffered),
        ("HeaderDigest=crc32c", KeyProblem::NotOffered),
        ("InitialR2T=YES", KeyProblem::BadValue),
        ("MaxBurstLength=reject", KeyProblem::BadValue),
    ] {
        let key = pair.split('=').next().unwrap();
        assert_eq!(with_pair(pair.to_owned()).fails_over(key), problem, "{pair}");
    }
}

#[test]
fn b_ln_34_reserved_words_are_never_proposals() {
    for (key, proposal) in [
        ("MaxConnections", "MaxConnections=Irrelevant"),
        ("InitialR2T", "InitialR2T=Reject"),
        ("MaxBurstLength", "MaxBurstLength=NotUnderstood"),
    ] {
        let play = proposing(proposal).configured(discovery);
        assert_eq!(play.fails_over(key), KeyProblem::ReservedWord, "{proposal}");
    }
    for (key, proposal) in [
        ("TaskReporting", "TaskReporting=Reject"),
        ("IFMarker", "IFMarker=Irrelevant"),
        ("unknown key", "X-com.example.foo=NotUnderstood"),
    ] {
        assert_eq!(proposing(proposal).fails_over(key), KeyProblem::ReservedWord, "{proposal}");
    }
}

// --- 35, 36: keys out of place ---

#[test]
fn b_ln_35_keys_of_the_other_stage_drop() {
    for (pair, key) in [
        ("MaxBurstLength=512", "MaxBurstLength"),
        ("HeaderDigest=None", "HeaderDigest"),
        ("IFMarker=Yes", "IFMarker"),
        ("iSCSIProtocolLevel=1", "iSCSIProtocolLevel"),
    ] {
        for flags in ["0", "0>1"] {
            let play = login(move |seen| seen.says(flags, pair));
            assert_eq!(play.fails_over(key), KeyProblem::WrongStage, "{pair}");
        }
    }
    for (pair, key) in
        [("CHAP_A=5", "CHAP_A"), ("AuthMethod=None", "AuthMethod"), ("CHAP_N=x", "CHAP_N")]
    {
        assert_eq!(proposing(pair).fails_over(key), KeyProblem::WrongStage, "{pair}");
    }
}

#[test]
fn b_ln_36_keys_that_are_not_the_targets_drop() {
    for (pair, key) in [
        ("SendTargets=All", "SendTargets"),
        ("TargetName=iqn.2001-04.com.example:disks", "TargetName"),
        ("InitiatorName=iqn.2001-04.com.example:x", "InitiatorName"),
        ("InitiatorAlias=x", "InitiatorAlias"),
    ] {
        for step in [0, 1] {
            let play = login(move |seen| match seen.step {
                at if at == step => seen.says(&seen.flags()[..1], pair),
                _ => seen.granted(),
            });
            assert_eq!(play.fails_over(key), KeyProblem::WrongSender, "{pair}");
        }
    }
}

// --- 37, 38: sizes ---

/// So many bytes of vendor keys, in pairs of at most 256.
fn vendor_keys(bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < bytes {
        let length = (bytes - text.len()).min(256);
        // No pair that is too short to be one is left over.
        let length =
            if (1..12).contains(&(bytes - text.len() - length)) { length - 12 } else { length };
        let key = format!("X-{}=", text.len());
        text.extend(key.bytes());
        text.extend(std::iter::repeat_n(b'v', length - key.len() - 1));
        text.push(0);
    }
    text
}

#[test]
fn b_ln_37_a_response_above_8192_bytes_drops() {
    for step in [0, 1] {
        let error = login(move |seen| match seen.step {
            at if at == step => seen.says_bytes(&seen.flags()[..1], &vendor_keys(8196)),
            _ => seen.granted(),
        })
        .parameters(&[("max_recv_data_segment_length", "262144")])
        .drops();
        assert!(matches!(error, Error::Frame(_)), "{error}");
    }
}

#[test]
fn b_ln_38_a_text_of_8192_bytes_is_accepted() {
    for piece in [8192, 4096, 1000] {
        let long = |seen: &Seen| {
            let first = seen.value("InitiatorName").is_some();
            if first { seen.says_bytes("0", &vendor_keys(8192)) } else { seen.granted() }
        };
        let script = in_pieces(long, move |text| (piece..text.len()).step_by(piece).collect());
        let played = login(script).run();
        played.logged_in();
        let answers: usize =
            played.requests().iter().map(|s| s.pairs().matches("=NotUnderstood").count()).sum();
        assert_eq!(answers, 32, "each is answered");
    }
}

// --- 39–43: numbers, and what follows the login ---

#[test]
fn b_ln_39_a_hole_in_stat_sn_drops() {
    for hole in [2_u32, 0, u32::MAX, 1 << 31] {
        let error = login(move |seen| {
            let answer = seen.granted();
            let moved = answer.clone().with(|header| {
                header.numbers.stat_sn.0 = 1_u32.wrapping_add(hole);
            });
            if seen.step == 1 { moved } else { answer }
        })
        .drops();
        let rule = "StatSN counts up by one (RFC 7143 §4.2.2.2)";
        assert_eq!(error, Error::PeerMisbehaved(rule), "{hole}");
    }
}

#[test]
fn b_ln_40_the_cmd_sn_is_the_initiators_own() {
    for (exp_cmd_sn, max_cmd_sn) in [(105, 140), (95, 131), (100, 131), (200, 50)] {
        let played = login(move |seen| {
            let odd = seen.step == 0 || exp_cmd_sn <= max_cmd_sn;
            seen.granted().with(|header| {
                if odd {
                    header.numbers.exp_cmd_sn.0 = exp_cmd_sn;
                    header.numbers.max_cmd_sn.0 = max_cmd_sn;
                }
            })
        })
        .initial_cmd_sn(100)
        .run();
        // The first command has the login's CmdSN, whatever was expected.
        played.logged_in();
        assert!(!played.others().is_empty(), "{exp_cmd_sn}");
    }
}

#[test]
fn b_ln_41_a_closed_window_holds_commands_back() {
    let mut played = login(|seen| {
        seen.granted().with(|header| {
            header.numbers.max_cmd_sn = header.numbers.exp_cmd_sn.previous();
        })
    })
    .run();
    played.logged_in();
    played.pair.pass(Duration::from_secs(9));
    let immediate = |pdu: &Pdu| pdu.header.immediate();
    assert!(played.others().iter().all(immediate), "pings at most");
    // A NOP-In opens it.
    let numbers = SequenceNumbers {
        stat_sn: SerialNumber(3),
        exp_cmd_sn: SerialNumber(1),
        max_cmd_sn: SerialNumber(1),
    };
    let pdu = Pdu::new(nop_in(numbers), Vec::new());
    played.pair.target.inject(Injection { pdu, numbering: Numbering::Exact });
    played.pair.pass(Duration::from_millis(50));
    let commands: Vec<Pdu> =
        played.others().into_iter().filter(|pdu| !pdu.header.immediate()).collect();
    assert_eq!(commands.len(), 1, "as many as the window has room for");
    assert_eq!(commands[0].header.as_bytes()[24..28], [0, 0, 0, 1], "its CmdSN");
}

/// A NOP-In that asks for nothing.
fn nop_in(numbers: SequenceNumbers) -> BasicHeaderSegment {
    Response::NopIn(NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: RESERVED_TAG,
        numbers,
        data_segment_length: 0,
    })
    .emit()
}

#[test]
fn b_ln_42_digests_begin_in_the_middle_of_a_segment() {
    for spoiled in [None, Some(3), Some(50), Some(52), Some(57)] {
        let target = target().digests(DigestPolicy::Force).build();
        let mut pair = Pair::new(&target, &[]);
        let mut first = true;
        target.on_response(move |_, pdu| {
            let final_response = pdu.header.opcode() == opcode::LOGIN_RESPONSE
                && pdu.header.as_bytes()[1] & 0x83 == 0x83;
            if !final_response || !std::mem::take(&mut first) {
                return Fate::Send;
            }
            let mut segment = Vec::new();
            pdu.encode(Digests::default(), &mut segment);
            let start = segment.len();
            let Ok(Response::Login(login)) = Response::parse(&pdu.header) else { panic!() };
            let mut numbers = login.numbers;
            numbers.stat_sn = numbers.stat_sn.next();
            let ping = Pdu::new(nop_in(numbers), b"hello".to_vec());
            ping.encode(Digests { header: true, data: true }, &mut segment);
            if let Some(at) = spoiled {
                segment[start + at] ^= 1;
            }
            Fate::Bytes(segment)
        });
        pair.become_ready();
        let connections = if spoiled.is_some() { 2 } else { 1 };
        assert_eq!(target.statistics().connections, connections, "spoiled: {spoiled:?}");
        pair.log_out();
    }
}

#[test]
fn b_ln_43_a_close_after_a_partial_response_is_tried_again() {
    // Each connection closes in good order after its first response.
    let mut played = login(Seen::granted).parameters(&[("outage_limit", "60")]).begin();
    played.pair.target.on_response(|_, _| Fate::CutAfter(usize::MAX));
    let error = played.pair.end().unwrap();
    assert_eq!(error, Error::Link(LinkFailure::ClosedByTarget));
    let connections = played.pair.wire.portals().len();
    assert!((12..=25).contains(&connections), "{connections} attempts");
    assert!((55..=65).contains(&(played.pair.now().as_millis() / 1000)));
    played.check();
    // A reset, once: the next attempt succeeds.
    let mut played = login(|seen| match (seen.connection, seen.step) {
        (1, 1) => Reply::silence(),
        _ => seen.granted().into(),
    })
    .begin();
    let wire = played.pair.wire.clone();
    // The first request has less than 300 bytes.
    played.pair.run_until("the second request", |_| wire.carried(Direction::ToTarget) > 300);
    played.pair.wire.break_now(Break::Reset);
    played.pair.run_until("full feature phase", |isboot| isboot.negotiated().is_some());
    assert_eq!(played.pair.isboot.last_error(), Some(Error::Link(LinkFailure::Reset)));
    played.logged_in();
}

// --- 44–47 ---

#[test]
fn b_ln_44_an_alias_is_text_for_people() {
    let alias = |bytes: Vec<u8>| {
        login(move |seen| match seen.step {
            0 => {
                let text = [b"AuthMethod=None\0TargetAlias=", bytes.as_slice(), b"\0"].concat();
                seen.says_bytes("0>1", &text)
            }
            _ => seen.granted(),
        })
        .succeeds()
        .target_alias
    };
    for good in ["the disks", "Platten im Läger №7", &"x".repeat(255), &"é".repeat(127)] {
        assert_eq!(alias(good.as_bytes().to_vec()).as_deref(), Some(good));
    }
    for bad in [vec![b'x'; 256], vec![0xff, 0xfe], vec![b'a', 0xc3], b"a\x1b[2J".to_vec()] {
        assert_eq!(alias(bad.clone()), None, "{bad:?} is ignored");
    }
}

#[test]
fn b_ln_45_the_node_architecture_wants_no_answer() {
    for step in [0, 1] {
        let played = login(move |seen| match seen.step {
            at if at == step => seen.says(&seen.flags()[..1], "X#NodeArchitecture=OpenOS/1,x86"),
            _ => seen.granted(),
        })
        .run();
        let told = played.logged_in();
        assert_eq!(played.pairs_of(step + 1), "", "no NotUnderstood");
        assert_eq!(told.max_burst_length, login(Seen::granted).succeeds().max_burst_length);
    }
}

#[test]
fn b_ln_46_a_flood_of_unknown_keys_is_answered_in_parts() {
    let flood = |keys: usize| {
        login(move |seen| match seen.step {
            1 => {
                let pairs: String =
                    (0..keys).map(|key| format!("X-com.example.{key}=1 ")).collect();
                seen.says("1", &pairs)
            }
            _ if seen.header.text_continues => seen.says("1", ""),
            _ => seen.granted(),
        })
        .run()
    };
    let played = flood(300);
    played.logged_in();
    // Held to 8192 bytes by every play's check.
    let flags: Vec<String> = played.requests().iter().map(Seen::flags).collect();
    assert_eq!(flags, ["0>1", "1>3", "1+", "1>3"]);
    let text: Vec<u8> = played.requests()[2..].iter().flat_map(|seen| seen.text.clone()).collect();
    assert!(text.len() > 8192);
    let answers = String::from_utf8(text).unwrap();
    let expected: String =
        (0..300).map(|key| format!("X-com.example.{key}=NotUnderstood\0")).collect();
    assert_eq!(answers, expected);
    // More than can be answered at once is a flood.
    let error = flood(400).failed();
    assert!(matches!(error, Error::Login(LoginError::LimitReached(_))), "{error}");
    // In answer to a request with C=1 only an empty response comes.
    let error = login(|seen| match seen.step {
        1 => {
            let pairs: String = (0..300).map(|key| format!("X-com.example.{key}=1 ")).collect();
            seen.says("1", &pairs)
        }
        2 => seen.says("1", "X-early=1"),
        _ => seen.granted(),
    })
    .drops();
    assert_eq!(error, misbehaved(Misbehaviour::TextBeforeRequestEnds));
}

#[test]
fn b_ln_47_names_are_said_once() {
    for script in [one_by_one as fn(&Seen) -> Answer, Seen::granted] {
        let played = login(script).run();
        played.logged_in();
        let later = &played.requests()[1..];
        for key in ["InitiatorName", "TargetName", "SessionType"] {
            assert!(later.iter().all(|seen| seen.value(key).is_none()), "{key}");
        }
    }
}
