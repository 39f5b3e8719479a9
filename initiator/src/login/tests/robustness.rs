//! Headers, splits, limits, status codes: whatever a target may do to the login.

use proptest::prelude::*;

use super::*;

fn misbehaved(misbehaviour: Misbehaviour) -> Result<LoginProgress, LoginError> {
    Err(LoginError::PeerMisbehaved(misbehaviour))
}

#[test]
fn transit_stays_until_it_is_granted() {
    let mut rig = Rig::new(plain());
    rig.goes_on("0", "AuthMethod=None");
    for _ in 0..5 {
        rig.sends("0>1", "");
        rig.goes_on("0", "");
    }
    rig.goes_on("0>1", "");
    rig.sends("1>3", OFFER);
    rig.goes_on("1", "");
    for _ in 0..5 {
        rig.sends("1>3", "");
        rig.goes_on("1", "");
    }
    logged_in(rig.answers("1>3", ACCEPT));
}

#[test]
fn one_key_per_exchange() {
    let mut rig = operational(plain());
    for pair in ACCEPT.split_whitespace() {
        rig.goes_on("1", pair);
        rig.sends("1>3", "");
    }
    let negotiated = logged_in(rig.answers("1>3", ""));
    assert_eq!(negotiated.max_send_data_segment_length, 65_536);
}

#[test]
fn stages_are_granted_as_asked() {
    for (flags, misbehaviour) in [
        ("0>3", Misbehaviour::NextStage),
        ("0>0", Misbehaviour::NextStage),
        ("1", Misbehaviour::CurrentStage),
        ("1>3", Misbehaviour::CurrentStage),
        ("3", Misbehaviour::CurrentStage),
        ("0>1+", Misbehaviour::TransitWithContinue),
    ] {
        let outcome = Rig::new(plain()).answers(flags, "AuthMethod=None");
        assert_eq!(outcome, misbehaved(misbehaviour), "{flags}");
    }
    for (flags, misbehaviour) in [
        ("1>1", Misbehaviour::NextStage),
        ("1>0", Misbehaviour::NextStage),
        ("0>1", Misbehaviour::CurrentStage),
    ] {
        assert_eq!(operational(plain()).answers(flags, ""), misbehaved(misbehaviour), "{flags}");
    }
}

#[test]
fn headers_of_another_login_are_refused() {
    let version = LoginResponse { version_active: 1, ..response("0>1") };
    let outcome = Rig::new(plain()).answers_bytes(version, b"AuthMethod=None\0");
    assert_eq!(outcome, misbehaved(Misbehaviour::Version(1)));
    let isid = LoginResponse { isid: [0x40, 0, 0, 0, 0, 1], ..response("0>1") };
    let outcome = Rig::new(plain()).answers_bytes(isid, b"AuthMethod=None\0");
    assert_eq!(outcome, misbehaved(Misbehaviour::Isid));
}

#[test]
fn the_final_response_names_the_session() {
    let zero = LoginResponse { tsih: 0, ..response("1>3") };
    let outcome = operational(plain()).answers_bytes(zero, &text(ACCEPT));
    assert_eq!(outcome, misbehaved(Misbehaviour::TsihZero));
    // A partial response may carry one already.
    let mut rig = Rig::new(plain());
    let early = LoginResponse { tsih: 9, ..response("0>1") };
    assert_eq!(rig.answers_bytes(early, b"AuthMethod=None\0"), Ok(LoginProgress::SendNext));
}

/// The whole login, each text split in two at one place, or into single bytes.
#[test]
fn texts_split_anywhere_read_the_same() {
    let security = text("TargetPortalGroupTag=1 TargetAlias=LIO%Target AuthMethod=None");
    let answers = text(&accept_but(&["MaxBurstLength=0x10000", "HeaderDigest=CRC32C"]));
    let whole = {
        let mut rig = Rig::new(plain());
        rig.answers_bytes(response("0>1"), &security).unwrap();
        logged_in(rig.answers_bytes(response("1>3"), &answers))
    };
    let play = |parts: &dyn Fn(&[u8]) -> Vec<Vec<u8>>| {
        let mut rig = Rig::new(plain());
        let mut outcome = Ok(LoginProgress::SendNext);
        for (stage, next, text) in [("0", "0>1", &security), ("1", "1>3", &answers)] {
            let parts = parts(text);
            let (last, first) = parts.split_last().unwrap();
            for part in first {
                let continued = response(&format!("{stage}+"));
                assert_eq!(rig.answers_bytes(continued, part), Ok(LoginProgress::SendNext));
                // §6.2: an empty request, in the same stage.
                rig.sends(next, "");
            }
            outcome = rig.answers_bytes(response(next), last);
        }
        logged_in(outcome)
    };
    for at in 1..answers.len() {
        let halves = |text: &[u8]| {
            let (first, last) = text.split_at(at.min(text.len() - 1));
            std::vec![first.to_vec(), last.to_vec()]
        };
        assert_eq!(play(&halves), whole, "split at {at}");
    }
    assert_eq!(play(&|text| text.chunks(1).map(<[u8]>::to_vec).collect()), whole);
    // An empty part at the end.
    assert_eq!(play(&|text| std::vec![text.to_vec(), Vec::new()]), whole);
}

#[test]
fn a_split_challenge_is_answered_when_it_is_complete() {
    let mut config = plain();
    config.authentication = Authentication::Chap {
        initiator: authentication::credentials("user", b"initiatorsecret1"),
        required: true,
    };
    let challenge = text("CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f");
    for at in 1..challenge.len() {
        let mut rig = Rig::new(config.clone());
        rig.goes_on("0", "AuthMethod=CHAP");
        let (first, last) = challenge.split_at(at);
        assert_eq!(rig.answers_bytes(response("0+"), first), Ok(LoginProgress::SendNext));
        rig.sends("0", "");
        assert_eq!(rig.answers_bytes(response("0"), last), Ok(LoginProgress::SendNext));
        rig.sends("0>1", "CHAP_N=user CHAP_R=0xb5acf4353f7f990cd7cd8a562f75712e");
    }
}

#[test]
fn endless_logins_are_given_up() {
    let endless = |flags: &str| {
        let mut rig = operational(plain());
        let mut exchanges = 1;
        loop {
            exchanges += 1;
            match rig.answers(flags, "") {
                Ok(LoginProgress::SendNext) => assert!(exchanges < 1000),
                outcome => return (exchanges, outcome),
            }
        }
    };
    for flags in ["1", "1+"] {
        let given_up = Err(LoginError::LimitReached(Limit::Exchanges(64)));
        assert_eq!(endless(flags), (65, given_up), "{flags}");
    }
}

#[test]
fn a_text_of_8192_bytes_is_accepted_and_no_longer_one() {
    let mut legal = text(ACCEPT);
    legal.extend(b"X#NodeArchitecture=");
    legal.resize(8191, b'a');
    legal.push(0);
    logged_in(operational(plain()).answers_bytes(response("1>3"), &legal));

    let mut rig = operational(plain());
    assert_eq!(
        rig.answers_bytes(response("1>3"), &[b'a'; 8193]),
        misbehaved(Misbehaviour::SegmentTooLong)
    );
    assert_eq!(rig.request(), ("0".into(), String::new()), "nothing more to say");

    let mut rig = operational(plain());
    assert_eq!(rig.answers_bytes(response("1+"), &[b'a'; 8192]), Ok(LoginProgress::SendNext));
    assert_eq!(
        rig.answers_bytes(response("1"), b"a"),
        Err(LoginError::LimitReached(Limit::ReceivedText(8192)))
    );
}

/// More answers than one PDU holds: C=1, cut between two pairs, empty responses in between.
#[test]
fn a_long_request_is_split() {
    let proposals: String = (0..300).map(|index| format!("X-example.k{index}=1 ")).collect();
    let answers = proposals.replace("=1", "=NotUnderstood");
    let mut rig = operational(plain());
    rig.goes_on("1", &proposals);
    let (flags, first) = rig.request();
    assert_eq!(flags, "1+");
    assert!(first.ends_with("=NotUnderstood"));
    // istgt echoes C.
    rig.goes_on("1+", "");
    let (flags, last) = rig.request();
    assert_eq!(flags, "1>3");
    assert_eq!(format!("{first} {last}"), answers.trim_end());
    rig.goes_on("1", "");
    rig.sends("1>3", "");
    logged_in(rig.answers("1>3", ACCEPT));
}

#[test]
fn nothing_may_come_before_the_request_is_complete() {
    let proposals: String = (0..300).map(|index| format!("X-example.k{index}=1 ")).collect();
    let half_sent = || {
        let mut rig = operational(plain());
        rig.goes_on("1", &proposals);
        rig
    };
    let outcome = half_sent().answers("1", "ImmediateData=Yes");
    assert_eq!(outcome, misbehaved(Misbehaviour::TextBeforeRequestEnds));
    let outcome = half_sent().answers("1>3", "");
    assert_eq!(outcome, misbehaved(Misbehaviour::TransitUnasked));
}

#[test]
fn a_flood_of_unknown_keys_is_given_up() {
    let flood: String = (0..1000).map(|index| format!("X{index}=1 ")).collect();
    let outcome = operational(plain()).answers("1", &flood);
    assert_eq!(outcome, Err(LoginError::LimitReached(Limit::SentText(12 * 1024))));
}

#[test]
fn malformed_text_ends_the_login() {
    for text in [
        &b"AuthMethod=None"[..],
        b"AuthMethod\0",
        b"=None\0",
        b"TargetAl\0ias=x\0",
        b"X\xff=1\0",
        b"AuthMethod=None\0X=Y",
    ] {
        let outcome = Rig::new(plain()).answers_bytes(response("0>1"), text);
        assert!(matches!(outcome, Err(LoginError::Malformed(_))), "{outcome:?}");
    }
}

#[test]
fn every_status_has_its_sentence() {
    for (class, detail, words) in [
        (2, 0, "initiator error"),
        (2, 1, "authentication failed"),
        (2, 2, "not authorized"),
        (2, 3, "target not found"),
        (2, 4, "removed"),
        (2, 5, "version"),
        (2, 6, "too many connections"),
        (2, 7, "misses a parameter"),
        (2, 8, "cannot include"),
        (2, 9, "session type"),
        (2, 10, "does not exist"),
        (2, 11, "invalid"),
        (2, 0xff, "initiator error with an unknown detail"),
        (3, 0, "target error"),
        (3, 1, "not available"),
        (3, 2, "out of resources"),
        (3, 0xff, "target error with an unknown detail"),
    ] {
        // T=1, text and all: the status wins.
        let refusal =
            LoginResponse { status_class: class, status_detail: detail, ..response("0>1") };
        let mut rig = Rig::new(plain());
        let error = rig.answers_bytes(refusal, b"AuthMethod=None\0junk").unwrap_err();
        assert_eq!(error, LoginError::Rejected { class, detail });
        assert_eq!(error.is_transient(), class == 3);
        let sentence = error.to_string();
        assert!(sentence.contains(words), "{sentence}");
        assert!(sentence.contains(&format!("{class:02x}{detail:02x}h")), "{sentence}");
    }
    for class in 4..=255 {
        let refusal = LoginResponse { status_class: class, ..response("0>1") };
        let outcome = Rig::new(plain()).answers_bytes(refusal, b"");
        assert_eq!(outcome, misbehaved(Misbehaviour::StatusClass(class)));
        assert_eq!(status_meaning(class, 0), "a status class that the standard does not define");
    }
    assert_eq!(status_meaning(0, 0), "the login goes on");
    assert!(status_meaning(1, 1).contains("for now"));
    assert!(status_meaning(1, 2).contains("for good"));
    assert!(status_meaning(1, 9).contains("moved"));
}

fn redirected(detail: u8, text: &[u8]) -> Result<LoginProgress, LoginError> {
    // Whatever the other fields hold means nothing.
    let moved = LoginResponse {
        status_class: 1,
        status_detail: detail,
        isid: [9; 6],
        version_active: 7,
        ..response("3>0+")
    };
    Rig::new(plain()).answers_bytes(moved, text)
}

#[track_caller]
fn destination(outcome: Result<LoginProgress, LoginError>) -> (bool, Vec<String>) {
    match outcome {
        Ok(LoginProgress::Redirected(Redirection { permanent, addresses })) => {
            (permanent, addresses.iter().map(|address| address.to_string()).collect())
        }
        other => panic!("not redirected: {other:?}"),
    }
}

#[test]
fn redirections_are_followed_on_the_class_alone() {
    for (detail, permanent) in [(1, false), (2, true), (0, false), (0xff, false)] {
        let outcome = redirected(detail, &text("TargetAddress=[2001:db8::5]:3261"));
        assert_eq!(destination(outcome), (permanent, std::vec!["[2001:db8::5]:3261".into()]));
    }
}

#[test]
fn redirections_keep_the_order_of_their_addresses() {
    let outcome = redirected(
        1,
        &text("TargetAlias=x TargetAddress=192.0.2.2:3261,1 TargetAddress=store.example.com"),
    );
    let expected = std::vec!["192.0.2.2:3261".into(), "store.example.com:3260".into()];
    assert_eq!(destination(outcome), (false, expected));
    let many: String = (1..=9).map(|index| format!("TargetAddress=192.0.2.{index} ")).collect();
    let (_, addresses) = destination(redirected(1, &text(&many)));
    assert_eq!(addresses.len(), Redirection::MAX_ADDRESSES);
    assert_eq!(addresses[0], "192.0.2.1:3260");
}

#[test]
fn redirections_without_a_usable_address_end_the_login() {
    assert_eq!(redirected(1, b""), misbehaved(Misbehaviour::RedirectedNowhere));
    for address in ["[2001:db8::5", "192.0.2.2:0", "", "0.0.0.0", "[ff02::1]", &"a".repeat(300)] {
        let outcome = redirected(1, format!("TargetAddress={address}\0").as_bytes());
        assert!(
            matches!(outcome, Err(LoginError::PeerMisbehaved(Misbehaviour::RedirectedTo(_)))),
            "{outcome:?}"
        );
    }
    assert!(matches!(redirected(1, b"TargetAddress=192.0.2.2"), Err(LoginError::Malformed(_))));
}

#[test]
fn a_redirection_may_come_at_any_step() {
    let moved = |flags| LoginResponse { status_class: 1, status_detail: 1, ..response(flags) };
    let text = text("TargetAddress=192.0.2.2");
    let outcome = operational(plain()).answers_bytes(moved("1>3"), &text);
    assert_eq!(destination(outcome).1, ["192.0.2.2:3260"]);
}

#[test]
fn an_error_or_an_end_leaves_no_attempt() {
    let over = Err(LoginError::ApiMisuse(ConfigurationError::NoLoginUnderWay));
    let mut rig = Rig::new(plain());
    assert!(rig.answers("0>1", "AuthMethod=bogus").is_err());
    assert_eq!(rig.answers("0>1", "AuthMethod=None"), over);

    let mut rig = operational(plain());
    logged_in(rig.answers("1>3", ACCEPT));
    assert_eq!(rig.answers("1>3", ""), over);

    let mut login = Login::new();
    assert_eq!(login.request().text, b"");
    assert_eq!(login.on_response(&plain(), &response("0>1")), over);
}

#[test]
fn text_that_was_not_handed_over_is_noticed() {
    let mut rig = Rig::new(plain());
    let longer = LoginResponse { data_segment_length: 16, ..response("0>1") };
    rig.login.receive_text(b"AuthMethod=None").unwrap();
    assert_eq!(
        rig.login.on_response(&rig.config, &longer),
        Err(LoginError::ApiMisuse(ConfigurationError::TextLengthDiffers))
    );
}

#[test]
fn configurations_that_cannot_be_used_are_named() {
    type Change = fn(&mut LoginConfig);
    let cases: [(Change, ConfigurationError); 12] = [
        (|config| config.target_name = None, ConfigurationError::TargetNameMissing),
        (|config| config.isid = [0; 6], ConfigurationError::IsidUnusable),
        (|config| config.isid[0] = 0xc0, ConfigurationError::IsidUnusable),
        (
            |config| config.initiator_alias = Some("".try_into().unwrap()),
            ConfigurationError::BadText("initiator alias"),
        ),
        (
            |config| config.initiator_alias = Some("a\0b".try_into().unwrap()),
            ConfigurationError::BadText("initiator alias"),
        ),
        (
            |config| {
                let initiator = authentication::credentials("", b"initiatorsecret1");
                config.authentication = Authentication::Chap { initiator, required: true };
            },
            ConfigurationError::BadText("initiator's CHAP name"),
        ),
        (
            |config| config.offer.max_recv_data_segment_length = 511,
            ConfigurationError::OfferOutOfRange("MaxRecvDataSegmentLength"),
        ),
        (
            |config| config.offer.max_burst_length = 1 << 24,
            ConfigurationError::OfferOutOfRange("MaxBurstLength"),
        ),
        (
            |config| config.offer.max_outstanding_r2t = 0,
            ConfigurationError::OfferOutOfRange("MaxOutstandingR2T"),
        ),
        (
            |config| config.offer.default_time2wait = 3601,
            ConfigurationError::OfferOutOfRange("DefaultTime2Wait"),
        ),
        (
            |config| config.offer.default_time2retain = 3601,
            ConfigurationError::OfferOutOfRange("DefaultTime2Retain"),
        ),
        (
            |config| config.offer.first_burst_length = config.offer.max_burst_length + 1,
            ConfigurationError::FirstBurstAboveMaxBurst,
        ),
    ];
    for (change, error) in cases {
        let mut config = plain();
        change(&mut config);
        let refused = Login::new().begin(&config, None);
        assert_eq!(refused, Err(LoginError::ApiMisuse(error)));
        assert!(refused.unwrap_err().to_string().starts_with("cannot log in: "));
    }
    assert_eq!(plain().check(), Ok(()));
}

/// A session holds one of each; its whole state is to stay below 64 KiB.
#[test]
fn sizes_are_bounded() {
    let sizes = [
        ("Login", size_of::<Login>(), 26 * 1024),
        ("LoginConfig", size_of::<LoginConfig>(), 2048),
        ("LoginProgress", size_of::<LoginProgress>(), 1280),
        ("LoginError", size_of::<LoginError>(), 80),
    ];
    for (name, size, limit) in sizes {
        std::println!("{name}: {size} bytes");
        assert!(size <= limit, "{name}: {size} bytes");
    }
}

proptest! {
    #[test]
    fn any_response_is_judged_without_a_panic(
        exchanges in proptest::collection::vec(
            (
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..300),
                    "([A-Z][A-Za-z_]{0,12}=[ -~]{0,40}\0){0,8}".prop_map(String::into_bytes),
                    "((AuthMethod|CHAP_[AICNR]|HeaderDigest|MaxBurstLength|ImmediateData)=\
                      (CHAP|None|5|1|0x00|Yes|No|512|CRC32C)\0){0,6}"
                        .prop_map(String::into_bytes),
                ],
                prop_oneof!["0", "0>1", "0[+]", "1", "1>3", "1[+]", "0>3"],
                prop_oneof![9 => Just(0_u8), 1 => any::<u8>()],
            ),
            1..12,
        ),
        kind in 0..3,
    ) {
        let config = match kind {
            0 => plain(),
            kind => {
                let initiator = authentication::credentials("user", b"initiatorsecret1");
                let target = authentication::credentials("target", b"targetsecret0002");
                let authentication = if kind == 1 {
                    Authentication::Chap { initiator, required: false }
                } else {
                    Authentication::MutualChap { initiator, target }
                };
                LoginConfig { authentication, ..plain() }
            }
        };
        let mut rig = Rig::new(config);
        for (text, flags, status_class) in exchanges {
            let response = LoginResponse { status_class, ..response(&flags) };
            let _ = rig.answers_bytes(response, &text);
            let _ = rig.request();
        }
    }
}
