//! Keys: offers, answers, proposals, and what holds afterwards (RFC 7143 §6.2, §13).

use super::*;

/// One changed answer, and what it must come to.
#[track_caller]
fn refused(change: &str, problem: KeyProblem) {
    let outcome = outcome_of(plain(), &[change]);
    let key = change.split_once('=').unwrap().0;
    assert_eq!(key_error(outcome), (key, problem), "{change}");
}

#[test]
fn every_key_is_offered_once_and_explicitly() {
    let rig = operational(plain());
    rig.sends("1>3", OFFER);
    let first = Rig::new(plain());
    first.sends("0>1", HELLO);
}

#[test]
fn an_alias_is_sent_when_there_is_one() {
    let mut config = plain();
    config.initiator_alias = Some("rack 4".try_into().unwrap());
    let (_, sent) = Rig::new(config).request();
    assert!(sent.contains("InitiatorAlias=rack%4"), "{sent}");
}

#[test]
fn answers_are_what_holds() {
    let mut config = plain();
    config.offer.initial_r2t = false;
    config.offer.max_outstanding_r2t = 8;
    config.offer.data_pdu_in_order = false;
    config.offer.data_sequence_in_order = false;
    let negotiated = logged_in(outcome_of(
        config,
        &[
            "HeaderDigest=CRC32C",
            "InitialR2T=No",
            "ImmediateData=No",
            "MaxRecvDataSegmentLength=0x200",
            "MaxBurstLength=0X400",
            "FirstBurstLength=512",
            "DefaultTime2Wait=3600",
            "DefaultTime2Retain=0",
            "MaxOutstandingR2T=4",
            "DataPDUInOrder=No",
            "DataSequenceInOrder=Yes",
        ],
    ));
    assert_eq!(
        negotiated,
        Negotiated {
            header_digest: Digest::Crc32c,
            data_digest: Digest::None,
            max_recv_data_segment_length: 262_144,
            max_send_data_segment_length: 512,
            max_burst_length: 1024,
            first_burst_length: 512,
            immediate_data: false,
            initial_r2t: false,
            max_outstanding_r2t: 4,
            default_time2wait: 3600,
            default_time2retain: 0,
            data_pdu_in_order: false,
            data_sequence_in_order: true,
            error_recovery_level: 0,
            iscsi_protocol_level: 1,
            target_portal_group_tag: Some(1),
            tsih: TSIH,
            target_alias: None,
        }
    );
}

#[test]
fn all_four_digest_combinations_of_every_offer() {
    use DigestOffer::{Crc32c, Crc32cThenNone, None, NoneThenCrc32c};
    for (offer, list) in [
        (None, "None"),
        (Crc32c, "CRC32C"),
        (Crc32cThenNone, "CRC32C,None"),
        (NoneThenCrc32c, "None,CRC32C"),
    ] {
        for header in ["None", "CRC32C"] {
            for data in ["None", "CRC32C"] {
                let mut config = plain();
                config.header_digest = offer;
                config.data_digest = offer;
                let mut rig = operational(config);
                let sent = rig.request().1;
                let offered = format!("HeaderDigest={list} DataDigest={list} ");
                assert!(sent.starts_with(&offered), "{sent}");
                let answers =
                    accept_but(&[&format!("HeaderDigest={header}"), &format!("DataDigest={data}")]);
                let outcome = rig.answers("1>3", &answers);
                if list.split(',').any(|name| name == header)
                    && list.split(',').any(|name| name == data)
                {
                    let negotiated = logged_in(outcome);
                    assert_eq!(negotiated.header_digest.name(), header);
                    assert_eq!(negotiated.data_digest.name(), data);
                } else {
                    assert_eq!(key_error(outcome).1, KeyProblem::NotOffered);
                }
            }
        }
    }
}

#[test]
fn digest_answers_outside_the_standard_are_refused() {
    for value in ["MD5", "crc32c", "none", "CRC32C,None", "None,CRC32C", "Irrelevant", "%"] {
        refused(&format!("HeaderDigest={value}"), KeyProblem::NotOffered);
        refused(&format!("DataDigest={value}"), KeyProblem::NotOffered);
    }
    let outcome = outcome_of(plain(), &["DataDigest=Reject"]);
    assert_eq!(outcome, Err(LoginError::NotAgreed(Disagreement::DigestRejected("DataDigest"))));
}

#[test]
fn a_digest_left_unanswered_is_none_or_the_end() {
    let negotiated = logged_in(outcome_of(plain(), &["HeaderDigest=", "DataDigest="]));
    assert_eq!(negotiated.header_digest, Digest::None);
    let mut config = plain();
    config.data_digest = DigestOffer::Crc32c;
    let outcome = outcome_of(config, &["DataDigest="]);
    assert_eq!(outcome, Err(LoginError::NotAgreed(Disagreement::DigestUnanswered("DataDigest"))));
}

#[test]
fn answers_that_break_the_result_function_are_refused() {
    for change in [
        "MaxConnections=2",
        "MaxBurstLength=1048577",
        "FirstBurstLength=262656",
        "DefaultTime2Retain=21",
        "DefaultTime2Wait=1",
        "MaxOutstandingR2T=2",
        "ErrorRecoveryLevel=1",
        "InitialR2T=No",
        "DataPDUInOrder=No",
        "DataSequenceInOrder=No",
    ] {
        refused(change, KeyProblem::BreaksResult);
    }
    let mut config = plain();
    config.offer.immediate_data = false;
    let outcome = outcome_of(config, &["ImmediateData=Yes", "FirstBurstLength="]);
    assert_eq!(key_error(outcome), ("ImmediateData", KeyProblem::BreaksResult));
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for change in [
        "MaxBurstLength=511",
        "MaxBurstLength=16777216",
        "FirstBurstLength=16777216",
        "FirstBurstLength=0",
        "MaxRecvDataSegmentLength=0",
        "MaxRecvDataSegmentLength=511",
        "MaxRecvDataSegmentLength=16777216",
        "MaxRecvDataSegmentLength=4294975488",
        "MaxRecvDataSegmentLength=18446744073709551615",
        "DefaultTime2Wait=3601",
        "DefaultTime2Retain=3601",
        "MaxOutstandingR2T=0",
        "MaxOutstandingR2T=65536",
        "MaxConnections=0",
        "ErrorRecoveryLevel=3",
        "TargetPortalGroupTag=65536",
    ] {
        if change.starts_with("TargetPortal") {
            let outcome = Rig::new(plain()).answers("0>1", change);
            assert_eq!(key_error(outcome).1, KeyProblem::OutOfRange);
        } else {
            refused(change, KeyProblem::OutOfRange);
        }
    }
    for length in [512, 16_777_215] {
        let change = format!("MaxRecvDataSegmentLength={length}");
        let negotiated = logged_in(outcome_of(plain(), &[&change]));
        assert_eq!(negotiated.max_send_data_segment_length, length);
    }
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    for value in ["8192%", "8k", "-1", "+512", "1e3", "18446744073709551616", "512~1024", "08192"] {
        refused(&format!("MaxBurstLength={value}"), KeyProblem::BadValue);
    }
    for value in ["Maybe", "yes", "1", "YES", "Yes,No"] {
        refused(&format!("ImmediateData={value}"), KeyProblem::BadValue);
    }
    // accept_but leaves a key with an empty value out.
    for pair in ["MaxBurstLength=", "ImmediateData=", "MaxRecvDataSegmentLength="] {
        let outcome = operational(plain()).answers("1", pair);
        assert_eq!(key_error(outcome).1, KeyProblem::BadValue, "{pair}");
    }
}

#[test]
fn a_rejected_key_stays_at_its_default() {
    let negotiated = logged_in(outcome_of(
        plain(),
        &[
            "MaxBurstLength=Reject",
            "MaxOutstandingR2T=Reject",
            "DefaultTime2Retain=Reject",
            "InitialR2T=Reject",
            "FirstBurstLength=Irrelevant",
        ],
    ));
    assert_eq!(negotiated.max_burst_length, 262_144);
    assert_eq!(negotiated.first_burst_length, 65_536);
    assert_eq!(negotiated.max_outstanding_r2t, 1);
    assert_eq!(negotiated.default_time2retain, 20);
    assert!(negotiated.initial_r2t);
}

#[test]
fn not_understood_is_no_answer_to_a_key_of_the_standard() {
    for key in ["MaxBurstLength", "HeaderDigest", "InitialR2T", "ErrorRecoveryLevel"] {
        refused(&format!("{key}=NotUnderstood"), KeyProblem::NotUnderstood);
    }
}

#[test]
fn an_unanswered_offer_is_not_in_force() {
    let mut config = plain();
    config.offer.initial_r2t = false;
    let keys = ["MaxBurstLength=", "FirstBurstLength=", "InitialR2T=", "DefaultTime2Wait="];
    let negotiated = logged_in(outcome_of(config, &keys));
    assert_eq!(negotiated.max_burst_length, 262_144);
    assert_eq!(negotiated.first_burst_length, 65_536);
    assert!(negotiated.initial_r2t);
    assert_eq!(negotiated.default_time2wait, 2);
}

#[test]
fn a_boolean_that_the_offer_decides_needs_no_answer() {
    let mut config = plain();
    config.offer.immediate_data = false;
    let negotiated =
        logged_in(outcome_of(config, &["ImmediateData=", "InitialR2T=", "FirstBurstLength="]));
    assert!(!negotiated.immediate_data);
    assert!(negotiated.initial_r2t);
}

#[test]
fn the_first_burst_never_exceeds_the_whole_burst() {
    // Answered so; and with FirstBurstLength at its default above the agreed MaxBurstLength.
    for changes in [
        &["MaxBurstLength=512", "FirstBurstLength=65536"][..],
        &["MaxBurstLength=512", "FirstBurstLength="],
    ] {
        let negotiated = logged_in(outcome_of(plain(), changes));
        assert_eq!(negotiated.first_burst_length, 512);
    }
}

#[test]
fn a_key_twice_is_refused() {
    for key in ["ImmediateData=Yes", "MaxRecvDataSegmentLength=65536", "HeaderDigest=None"] {
        let name = key.split_once('=').unwrap().0;
        // In one response.
        let outcome = operational(plain()).answers("1", &format!("{key} {key}"));
        assert_eq!(key_error(outcome), (name, KeyProblem::Repeated));
        // In two responses.
        let mut rig = operational(plain());
        rig.goes_on("1", key);
        let outcome = rig.answers("1>3", key);
        assert_eq!(key_error(outcome), (name, KeyProblem::Repeated));
    }
    let mut rig = operational(plain());
    rig.goes_on("1", "ImmediateData=Yes");
    let outcome = rig.answers("1", "ImmediateData=No");
    assert_eq!(key_error(outcome), ("ImmediateData", KeyProblem::Repeated));
    // Declared in the security stage already.
    let outcome = operational(plain()).answers("1", "TargetPortalGroupTag=1");
    assert_eq!(key_error(outcome), ("TargetPortalGroupTag", KeyProblem::Repeated));
    // A proposal, answered once.
    let mut rig = operational(plain());
    rig.goes_on("1", "iSCSIProtocolLevel=2");
    let outcome = rig.answers("1", "iSCSIProtocolLevel=2");
    assert_eq!(key_error(outcome), ("iSCSIProtocolLevel", KeyProblem::Repeated));
}

#[test]
fn target_addresses_may_come_often_and_change_nothing() {
    let mut rig = Rig::new(plain());
    rig.goes_on("0>1", "AuthMethod=None TargetAddress=192.0.2.1 TargetAddress=192.0.2.2,1");
    rig.sends("1>3", OFFER);
}

#[test]
fn operational_keys_in_the_security_stage_are_refused() {
    for key in ["MaxBurstLength=65536", "MaxRecvDataSegmentLength=8192", "HeaderDigest=None"] {
        let outcome = Rig::new(plain()).answers("0", key);
        assert_eq!(key_error(outcome).1, KeyProblem::WrongStage, "{key}");
    }
}

#[test]
fn keys_that_are_not_the_targets_are_refused() {
    for key in [
        "SendTargets=All",
        "TargetName=iqn.2026-01.org.example:disk1",
        "InitiatorName=iqn.2026-01.org.example:boot",
        "InitiatorAlias=x",
        "SessionType=Normal",
    ] {
        let outcome = Rig::new(plain()).answers("0", key);
        assert_eq!(key_error(outcome).1, KeyProblem::WrongSender, "{key}");
        let outcome = operational(plain()).answers("1", key);
        assert_eq!(key_error(outcome).1, KeyProblem::WrongSender, "{key}");
    }
}

/// iSCSIProtocolLevel is not offered: a target may propose it.
fn silent_of_the_level() -> LoginConfig {
    let mut config = plain();
    config.offer.iscsi_protocol_level = 1;
    config
}

#[test]
fn proposals_are_answered_legally() {
    for (proposal, answer) in [
        ("iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0"),
        ("iSCSIProtocolLevel=1", "iSCSIProtocolLevel=1"),
        ("iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1"),
        ("iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"),
        ("iSCSIProtocolLevel=x", "iSCSIProtocolLevel=Reject"),
        ("TaskReporting=RFC3720", "TaskReporting=RFC3720"),
        ("TaskReporting=bogus,FastAbort,RFC3720", "TaskReporting=RFC3720"),
        ("TaskReporting=FastAbort", "TaskReporting=Reject"),
        ("IFMarker=Yes", "IFMarker=Reject"),
        ("OFMarker=No", "OFMarker=Reject"),
        ("IFMarkInt=2048~8192", "IFMarkInt=Reject"),
        ("OFMarkInt=2048", "OFMarkInt=Reject"),
        ("X-com.example.foo=1", "X-com.example.foo=NotUnderstood"),
        ("FooBar=1", "FooBar=NotUnderstood"),
        ("headerdigest=None", "headerdigest=NotUnderstood"),
        ("X#NodeArchitecture=anything", ""),
    ] {
        let mut rig = operational(silent_of_the_level());
        rig.goes_on("1", proposal);
        rig.sends("1>3", answer);
        rig.goes_on("1", "");
        rig.sends("1>3", "");
        let rest = accept_but(&["iSCSIProtocolLevel="]);
        logged_in(rig.answers("1>3", &rest));
    }
}

#[test]
fn in_discovery_keys_of_normal_sessions_are_irrelevant() {
    let mut config = plain();
    config.session_type = SessionType::Discovery;
    let mut rig = operational(config.clone());
    rig.goes_on("1", "MaxConnections=4 InitialR2T=No FirstBurstLength=65536 TaskReporting=RFC3720");
    rig.sends(
        "1>3",
        "MaxConnections=Irrelevant InitialR2T=Irrelevant FirstBurstLength=Irrelevant \
         TaskReporting=Irrelevant",
    );
    // Offered at 0, so that 2 cannot be an answer.
    let outcome = operational(config).answers("1", "ErrorRecoveryLevel=2");
    assert_eq!(key_error(outcome), ("ErrorRecoveryLevel", KeyProblem::BreaksResult));
}

#[test]
fn reserved_words_are_never_proposals() {
    for word in ["Reject", "Irrelevant", "NotUnderstood"] {
        for key in ["iSCSIProtocolLevel", "TaskReporting", "IFMarker"] {
            let mut rig = operational(silent_of_the_level());
            let outcome = rig.answers("1", &format!("{key}={word}"));
            assert_eq!(key_error(outcome), (key, KeyProblem::ReservedWord));
        }
        let outcome = operational(plain()).answers("1", &format!("X-foo={word}"));
        assert_eq!(key_error(outcome), ("unknown key", KeyProblem::ReservedWord));
    }
}

#[test]
fn a_proposal_cannot_end_the_stage() {
    for proposal in ["iSCSIProtocolLevel=2", "IFMarker=Yes"] {
        let outcome = outcome_of(silent_of_the_level(), &["iSCSIProtocolLevel=", proposal]);
        assert_eq!(key_error(outcome).1, KeyProblem::ProposedWithTransit, "{proposal}");
    }
    // A vendor's key: answered in the next stage, or not at all when there is none.
    let mut rig = Rig::new(plain());
    rig.goes_on("0>1", "AuthMethod=None X-com.example.foo=1");
    rig.sends("1>3", &format!("X-com.example.foo=NotUnderstood {OFFER}"));
    logged_in(rig.answers("1>3", &accept_but(&["X-com.example.bar=1"])));
}

#[test]
fn the_portal_group_is_the_expected_one() {
    let expecting = |tag| LoginConfig { target_portal_group_tag: tag, ..plain() };
    for (expected, answer) in
        [(None, "0"), (None, "65535"), (Some(1), "1"), (Some(1), "0x0001"), (Some(0), "0")]
    {
        let mut rig = Rig::new(expecting(expected));
        rig.goes_on("0>1", &format!("TargetPortalGroupTag={answer} AuthMethod=None"));
        logged_in(rig.answers("1>3", ACCEPT));
    }
    let mut rig = Rig::new(expecting(Some(1)));
    assert_eq!(
        rig.answers("0>1", "TargetPortalGroupTag=2 AuthMethod=None"),
        Err(LoginError::NotAgreed(Disagreement::PortalGroup { expected: 1, found: 2 }))
    );
    for bad in ["-1", "", "1,1", "65536"] {
        let outcome = Rig::new(plain()).answers("0>1", &format!("TargetPortalGroupTag={bad}"));
        assert_eq!(key_error(outcome).0, "TargetPortalGroupTag", "{bad}");
    }
    // Late, but the right one; and never.
    let mut rig = Rig::new(expecting(Some(7)));
    rig.goes_on("0>1", "AuthMethod=None");
    logged_in(rig.answers("1>3", &accept_but(&["TargetPortalGroupTag=7"])));
    let mut rig = Rig::new(expecting(Some(7)));
    rig.goes_on("0>1", "AuthMethod=None");
    assert_eq!(
        rig.answers("1>3", ACCEPT),
        Err(LoginError::NotAgreed(Disagreement::PortalGroupMissing { expected: 7 }))
    );
    let mut rig = Rig::new(plain());
    rig.goes_on("0>1", "AuthMethod=None");
    assert_eq!(logged_in(rig.answers("1>3", ACCEPT)).target_portal_group_tag, None);
}

#[test]
fn an_alias_is_kept_when_it_can_be_shown() {
    let longest = "a".repeat(255);
    for (alias, kept) in [
        ("storage%one", Some("storage one")),
        ("läger", Some("läger")),
        (&longest, Some(longest.as_str())),
        (&"a".repeat(256), None),
        ("\x1b[2J", None),
    ] {
        let negotiated = logged_in(outcome_of(plain(), &[&format!("TargetAlias={alias}")]));
        assert_eq!(negotiated.target_alias.as_deref(), kept, "{alias}");
    }
    let mut bytes = text(ACCEPT);
    bytes.extend(b"TargetAlias=\xff\xc0\x80\0");
    let negotiated = logged_in(operational(plain()).answers_bytes(response("1>3"), &bytes));
    assert_eq!(negotiated.target_alias, None);
}
