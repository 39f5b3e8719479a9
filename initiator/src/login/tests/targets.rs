//! Transcripts of real targets, in the words they answered with, and of targets known to differ.

use super::*;

#[test]
fn istgt_accepts_everything_in_two_exchanges() {
    let negotiated = logged_in(play(
        plain(),
        &[
            I("0>1", HELLO),
            T("0>1", "TargetPortalGroupTag=1 AuthMethod=None"),
            I("1>3", OFFER),
            T(
                "1>3",
                "HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=Yes \
                 ImmediateData=Yes MaxRecvDataSegmentLength=131072 MaxBurstLength=524288 \
                 FirstBurstLength=65536 DefaultTime2Wait=2 DefaultTime2Retain=20 \
                 MaxOutstandingR2T=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes \
                 ErrorRecoveryLevel=0",
            ),
        ],
    ));
    assert_eq!(
        negotiated,
        Negotiated {
            header_digest: Digest::None,
            data_digest: Digest::None,
            max_recv_data_segment_length: 262_144,
            max_send_data_segment_length: 131_072,
            max_burst_length: 524_288,
            first_burst_length: 65_536,
            immediate_data: true,
            initial_r2t: true,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 20,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            error_recovery_level: 0,
            iscsi_protocol_level: 1,
            target_portal_group_tag: Some(1),
            tsih: TSIH,
            target_alias: None,
        }
    );
}

/// `UseDigest Header Data`: an offer with CRC32C anywhere in it is answered so.
#[test]
fn istgt_with_forced_digests_takes_the_second_of_the_list() {
    let changes = ["HeaderDigest=CRC32C", "DataDigest=CRC32C"];
    let negotiated = logged_in(outcome_of(plain(), &changes));
    assert_eq!(negotiated.header_digest, Digest::Crc32c);
    assert_eq!(negotiated.data_digest, Digest::Crc32c);
}

/// It rejects `None` and digests all the same: going on would misread every PDU.
#[test]
fn istgt_rejecting_a_digest_ends_the_login() {
    let mut config = plain();
    config.header_digest = DigestOffer::None;
    let outcome = outcome_of(config, &["HeaderDigest=Reject"]);
    assert_eq!(outcome, Err(LoginError::NotAgreed(Disagreement::DigestRejected("HeaderDigest"))));
}

/// T and NSG are set, the answer is none.
#[test]
fn istgt_refuses_with_the_transit_bit_set() {
    let mut rig = Rig::new(plain());
    let refusal = LoginResponse { status_class: 2, status_detail: 3, ..response("0>1") };
    assert_eq!(rig.answers_bytes(refusal, b""), Err(LoginError::Rejected { class: 2, detail: 3 }));
}

#[test]
fn istgt_that_demands_chap_rejects_none() {
    let outcome =
        play(plain(), &[I("0>1", HELLO), T("0", "TargetPortalGroupTag=1 AuthMethod=Reject")]);
    assert_eq!(outcome, Err(LoginError::AuthFailed(AuthenticationFailure::ChapDemanded)));
}

#[test]
fn istgt_in_a_discovery_session() {
    let mut config = plain();
    config.session_type = SessionType::Discovery;
    config.target_name = None;
    let negotiated = logged_in(play(
        config,
        &[
            I(
                "0>1",
                "InitiatorName=iqn.2026-01.org.example:boot SessionType=Discovery AuthMethod=None",
            ),
            T("0>1", "AuthMethod=None"),
            I(
                "1>3",
                "HeaderDigest=None,CRC32C DataDigest=None,CRC32C \
                 MaxRecvDataSegmentLength=262144 DefaultTime2Wait=2 DefaultTime2Retain=20 \
                 ErrorRecoveryLevel=0",
            ),
            T(
                "1>3",
                "HeaderDigest=None DataDigest=None MaxRecvDataSegmentLength=262144 \
                 DefaultTime2Wait=2 DefaultTime2Retain=20 ErrorRecoveryLevel=0",
            ),
        ],
    ));
    assert_eq!(negotiated.max_send_data_segment_length, 262_144);
    assert_eq!(negotiated.target_portal_group_tag, None);
}

/// tgt declares no MaxRecvDataSegmentLength when it is at the default.
#[test]
fn tgt_leaves_its_segment_length_at_the_default() {
    let negotiated = logged_in(play(
        plain(),
        &[
            I("0>1", HELLO),
            T("0>1", "TargetPortalGroupTag=1 AuthMethod=None"),
            I("1>3", OFFER),
            T(
                "1>3",
                "HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=Yes \
                 ImmediateData=Yes MaxBurstLength=262144 FirstBurstLength=65536 \
                 DefaultTime2Wait=2 DefaultTime2Retain=20 MaxOutstandingR2T=1 \
                 DataPDUInOrder=Yes DataSequenceInOrder=Yes ErrorRecoveryLevel=0",
            ),
        ],
    ));
    assert_eq!(negotiated.max_send_data_segment_length, 8192);
    assert_eq!(negotiated.max_burst_length, 262_144);
    assert_eq!(negotiated.first_burst_length, 65_536);
}

/// tgt answers `None` to an offer of CRC32C alone.
#[test]
fn tgt_without_digests_cannot_be_used_when_they_are_required() {
    let mut config = plain();
    config.header_digest = DigestOffer::Crc32c;
    let outcome = outcome_of(config, &["HeaderDigest=None"]);
    assert_eq!(key_error(outcome), ("HeaderDigest", KeyProblem::NotOffered));
}

/// tgt holds T=0, asks for keys of its own, and goes on when they are answered.
#[test]
fn a_target_that_proposes_keys_of_its_own_is_answered() {
    let negotiated = logged_in(play(
        plain(),
        &[
            I("0>1", HELLO),
            T("0", "TargetPortalGroupTag=1 AuthMethod=None"),
            I("0>1", ""),
            T("0>1", ""),
            I("1>3", OFFER),
            T(
                "1",
                "HeaderDigest=None DataDigest=None TaskReporting=FastAbort,ResponseFence,RFC3720 \
                 iSCSIProtocolLevel=2 OFMarker=No IFMarker=No OFMarkInt=2048 IFMarkInt=2048~8192 \
                 X-com.example.fast=Yes X#NodeArchitecture=tgt",
            ),
            I(
                "1>3",
                "TaskReporting=RFC3720 OFMarker=Reject IFMarker=Reject \
                 OFMarkInt=Reject IFMarkInt=Reject X-com.example.fast=NotUnderstood",
            ),
            T(
                "1>3",
                "MaxConnections=1 InitialR2T=Yes ImmediateData=Yes \
                 MaxRecvDataSegmentLength=65536 MaxBurstLength=1048576 FirstBurstLength=262144",
            ),
        ],
    ));
    assert_eq!(negotiated.max_send_data_segment_length, 65_536);
    assert_eq!(negotiated.iscsi_protocol_level, 2, "an answer, since it was offered");
    assert!(negotiated.initial_r2t);
}

#[test]
fn lio_names_itself_and_answers_one_way_chap() {
    let mut config = plain();
    config.authentication = Authentication::Chap {
        initiator: authentication::credentials("user", b"initiatorsecret1"),
        required: true,
    };
    let negotiated = logged_in(play(
        config,
        &[
            I(
                "0",
                "InitiatorName=iqn.2026-01.org.example:boot \
                 TargetName=iqn.2026-01.org.example:disk1 SessionType=Normal AuthMethod=CHAP",
            ),
            T("0", "TargetAlias=LIO%Target TargetPortalGroupTag=1 AuthMethod=CHAP"),
            I("0", "CHAP_A=8,7,6,5"),
            T("0", "CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f"),
            I("0>1", "CHAP_N=user CHAP_R=0xb5acf4353f7f990cd7cd8a562f75712e"),
            T("0>1", ""),
            I("1>3", OFFER),
            T("1", "MaxRecvDataSegmentLength=8192 HeaderDigest=None DataDigest=None"),
            I("1>3", ""),
            T(
                "1>3",
                "MaxConnections=1 InitialR2T=Yes ImmediateData=Yes MaxBurstLength=262144 \
                 FirstBurstLength=65536 DefaultTime2Wait=2 DefaultTime2Retain=20 \
                 MaxOutstandingR2T=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes \
                 ErrorRecoveryLevel=0",
            ),
        ],
    ));
    assert_eq!(negotiated.target_alias.as_deref(), Some("LIO Target"));
    assert_eq!(negotiated.max_send_data_segment_length, 8192);
}

/// EqualLogic sends everybody on from its group address, before authentication.
#[test]
fn equallogic_redirects_at_login() {
    let mut rig = Rig::new(plain());
    let moved = LoginResponse { status_class: 1, status_detail: 1, ..response("0>1") };
    let text = text("TargetPortalGroupTag=1 TargetAddress=192.0.2.2:3261");
    match rig.answers_bytes(moved, &text) {
        Ok(LoginProgress::Redirected(redirection)) => {
            assert!(!redirection.permanent);
            assert_eq!(redirection.addresses.len(), 1);
            assert_eq!(redirection.addresses[0].to_string(), "192.0.2.2:3261");
        }
        other => panic!("not redirected: {other:?}"),
    }
}
