//! The login machine at the mercy of a target: Login Responses with any flags, status and text, in
//! any number and cut, under each kind of authentication.

use std::fmt;

use heapless::Vec as BoundedVec;
use isboot::login::{
    Authentication, ChapAlgorithms, Credentials, Digest, DigestOffer, LOGIN_SEGMENT_LIMIT, Login,
    LoginConfig, LoginError, LoginProgress, Name, Negotiated, Secret, SessionType,
};
use isboot::pdu::request::Stage;
use isboot::pdu::response::{LoginResponse, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;

use crate::Script;
use crate::text::compose;

/// An attempt ends within this many responses: by text at one byte each, by exchanges otherwise.
const RESPONSES: u32 = 8192 + 64 + 64;
/// What a target may put into one text here.
const TEXT: usize = 1024;

const KINDS: usize = 6;

/// Byte 0: which configuration; then responses until the script ends.
pub(crate) fn login(input: &[u8]) {
    thread_local! {
        static CONFIGS: [LoginConfig; KINDS] = std::array::from_fn(config);
    }
    let mut script = Script(input);
    let kind = usize::from(script.byte().unwrap_or(0)) % KINDS;
    CONFIGS.with(|configs| {
        if let Some(config) = configs.get(kind) {
            attempts(config, &mut script);
        }
    });
}

fn config(kind: usize) -> LoginConfig {
    let name = |name: &str| Name::new(name).expect("a name");
    let mut config = LoginConfig::new(
        name("iqn.2026-11.org.example:host"),
        name("iqn.2026-11.org.example:t"),
        [0, 2, 0x3d, 0, 0, 1],
    );
    let credentials =
        |secret: &[u8]| Credentials { name: None, secret: Secret::new(secret).expect("a secret") };
    let (initiator, target) = (credentials(b"initiator-secret"), credentials(b"target-secret-16"));
    config.authentication = match kind {
        0 | 1 => Authentication::None,
        2 => Authentication::Chap { initiator, required: false },
        3 | 5 => Authentication::Chap { initiator, required: true },
        _ => Authentication::MutualChap { initiator, target },
    };
    match kind {
        0 => config.offer.initial_r2t = false,
        1 => {
            config.session_type = SessionType::Discovery;
            config.target_name = None;
            config.header_digest = DigestOffer::Crc32cThenNone;
        }
        2 => {
            config.header_digest = DigestOffer::Crc32c;
            config.data_digest = DigestOffer::Crc32cThenNone;
        }
        3 => config.target_portal_group_tag = Some(1),
        5 => {
            use isboot::login::ChapAlgorithm::{Md5, Sha1};
            config.chap_algorithms = ChapAlgorithms::new(&[Sha1, Md5]).expect("two algorithms");
        }
        _ => {}
    }
    config
}

/// What this node said in the present attempt.
#[derive(Default)]
struct Said {
    proof: bool,
    responses: u32,
}

fn attempts(config: &LoginConfig, script: &mut Script<'_>) {
    let mut login = Login::new();
    assert_eq!(login.request().text, b"", "nobody to say anything to");
    let mut entropy = core::array::from_fn(|index| index as u8);
    let mut again = 0;
    for attempt in 0..8_u8 {
        entropy[0] = attempt;
        login.begin(config, Some(&entropy)).expect("a good configuration");
        let mut said = Said::default();
        listen(&login, &mut said);
        loop {
            if script.is_at_its_end() {
                return;
            }
            let heard = respond(&mut login, config, script);
            said.responses += 1;
            assert!(said.responses <= RESPONSES, "a login ends");
            match heard {
                Ok(LoginProgress::SendNext) => {
                    listen(&login, &mut said);
                    continue;
                }
                Ok(LoginProgress::LoggedIn(terms)) => {
                    check_terms(config, &terms, &said);
                    again = 0;
                }
                Ok(LoginProgress::Redirected(redirection)) => {
                    assert!(!redirection.addresses.is_empty());
                    redirection.addresses.iter().for_each(|address| crate::shown(address));
                }
                Ok(LoginProgress::TryAgain) => {
                    again += 1;
                    assert!(again <= 6, "a bounded number of offers");
                    assert!(!matches!(config.authentication, Authentication::None));
                }
                Err(error) => {
                    crate::shown(&error);
                    let _ = error.is_transient();
                    assert!(!matches!(error, LoginError::ApiMisuse(_)), "{error:?}");
                    again = 0;
                }
            }
            assert_eq!(login.request().text, b"", "an attempt that ended says no more");
            break;
        }
    }
}

/// What holds of every request.
fn listen(login: &Login, said: &mut Said) {
    let request = login.request();
    assert!(request.text.len() <= LOGIN_SEGMENT_LIMIT);
    assert!(!(request.transit && request.text_continues), "C=1 excludes T=1 (RFC 7143 §11.12.2)");
    assert!(request.text_continues || request.text.last().is_none_or(|last| *last == 0));
    said.proof |= request.text.windows(8).any(|bytes| bytes == b"\0CHAP_R=")
        || request.text.starts_with(b"CHAP_R=");
}

fn check_terms(config: &LoginConfig, terms: &Negotiated, said: &Said) {
    let lengths = 512..=0x00ff_ffff;
    assert!(lengths.contains(&terms.max_send_data_segment_length));
    assert!(lengths.contains(&terms.max_burst_length));
    assert!(lengths.contains(&terms.first_burst_length));
    assert!(terms.first_burst_length <= terms.max_burst_length);
    assert!(terms.max_burst_length <= config.offer.max_burst_length.max(262_144));
    assert_eq!(terms.max_recv_data_segment_length, config.offer.max_recv_data_segment_length);
    assert!(terms.max_outstanding_r2t >= 1);
    assert!(terms.default_time2wait <= 3600 && terms.default_time2retain <= 3600);
    assert!(terms.data_pdu_in_order && terms.data_sequence_in_order);
    assert_eq!(terms.error_recovery_level, 0);
    assert_ne!(terms.tsih, 0);
    let offered = |offer: DigestOffer, digest: Digest| offer.names().contains(&digest.name());
    assert!(offered(config.header_digest, terms.header_digest));
    assert!(offered(config.data_digest, terms.data_digest));
    if config.target_portal_group_tag.is_some() {
        assert_eq!(terms.target_portal_group_tag, config.target_portal_group_tag);
    }
    match config.authentication {
        Authentication::None => assert!(!said.proof),
        Authentication::Chap { required, .. } => assert!(said.proof || !required),
        Authentication::MutualChap { .. } => panic!("a target that proved nothing is taken"),
    }
}

/// One response of the script's making: mostly what fits the request, with some of it bent.
fn respond(
    login: &mut Login,
    config: &LoginConfig,
    script: &mut Script<'_>,
) -> Result<LoginProgress, LoginError> {
    let shape = script.byte().unwrap_or(0);
    let request = login.request();
    let mut text = BoundedVec::<u8, TEXT>::new();
    let word = script.byte().unwrap_or(0);
    // What a good target says at each step, then what the script adds.
    if word < 20 {
        good_text(word, &mut text);
    }
    let length = usize::from(script.byte().unwrap_or(0) % 64);
    compose(&mut Script(script.take(length)), &mut text);
    let transit = if shape & 1 == 0 { request.transit } else { shape & 2 != 0 };
    let next = if transit { request.next_stage } else { request.current_stage };
    let mut response = LoginResponse {
        transit,
        text_continues: false,
        current_stage: request.current_stage,
        next_stage: next,
        version_max: 0,
        version_active: 0,
        isid: config.isid,
        tsih: u16::from(transit && next == Stage::FullFeaturePhase),
        initiator_task_tag: 0,
        numbers: SequenceNumbers {
            stat_sn: SerialNumber(0),
            exp_cmd_sn: SerialNumber(0),
            max_cmd_sn: SerialNumber(0),
        },
        status_class: 0,
        status_detail: 0,
        data_segment_length: 0,
    };
    const STAGES: [Stage; 3] =
        [Stage::SecurityNegotiation, Stage::OperationalNegotiation, Stage::FullFeaturePhase];
    match shape >> 2 & 15 {
        1 => response.text_continues = true,
        2 => {
            let byte = script.byte().unwrap_or(0);
            (response.status_class, response.status_detail) = (byte >> 6, byte & 15);
        }
        3 => response.tsih = u16::from(script.byte().unwrap_or(0)),
        4 => response.current_stage = STAGES[usize::from(shape >> 6) % 3],
        5 => response.next_stage = STAGES[usize::from(shape >> 6) % 3],
        6 => response.version_active = script.byte().unwrap_or(0),
        7 => response.isid[5] = script.byte().unwrap_or(0),
        8 => response.version_max = script.byte().unwrap_or(0),
        // A large text, which meets the limits.
        9 => {
            for _ in 0..8 {
                hear(login, &text, &mut response)?;
            }
        }
        _ => {}
    }
    hear(login, &text, &mut response)?;
    login.on_response(config, &response)
}

/// In two pieces, as a stream may bring it.
fn hear(login: &mut Login, text: &[u8], response: &mut LoginResponse) -> Result<(), LoginError> {
    let (first, second) = text.split_at(text.len() / 3);
    response.data_segment_length += text.len() as u32;
    login.receive_text(first)?;
    login.receive_text(second)
}

fn good_text(word: u8, text: &mut BoundedVec<u8, TEXT>) {
    let challenge = "0x000102030405060708090a0b0c0d0e0f";
    let mut say = |words: fmt::Arguments<'_>| fmt::write(text, words).expect("room for it");
    match word {
        0 => say(format_args!("AuthMethod=None\0TargetPortalGroupTag=1\0")),
        1 => say(format_args!("AuthMethod=CHAP\0TargetPortalGroupTag=1\0")),
        2 => say(format_args!("CHAP_A=5\0CHAP_I=7\0CHAP_C={challenge}\0")),
        3 => say(format_args!("CHAP_A=6\0CHAP_I=255\0CHAP_C=0bAAECAwQFBgcICQoLDA0ODw==\0")),
        4 => say(format_args!("CHAP_A=7\0CHAP_I=0x10\0CHAP_C={challenge}\0")),
        5 => say(format_args!("CHAP_A=8\0CHAP_I=1\0CHAP_C={challenge}\0")),
        6 => say(format_args!("CHAP_N=t\0CHAP_R={challenge}\0")),
        7 => say(format_args!(
            "HeaderDigest=None\0DataDigest=None\0InitialR2T=Yes\0ImmediateData=Yes\0\
             MaxRecvDataSegmentLength=8192\0MaxBurstLength=262144\0FirstBurstLength=65536\0\
             MaxOutstandingR2T=1\0DefaultTime2Wait=2\0DefaultTime2Retain=20\0MaxConnections=1\0\
             DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0ErrorRecoveryLevel=0\0"
        )),
        8 => say(format_args!("HeaderDigest=CRC32C\0DataDigest=CRC32C\0")),
        9 => say(format_args!("CHAP_A=")),
        10 => say(format_args!("CHAP_I=")),
        11 => say(format_args!("CHAP_C=0x")),
        12 => say(format_args!("CHAP_N=t\0CHAP_R=0x")),
        13 => say(format_args!("TargetAddress=")),
        14 => say(format_args!("TargetAddress=192.0.2.7:3261,1\0TargetAddress=")),
        15 => say(format_args!("AuthMethod=")),
        16 => say(format_args!("MaxBurstLength=")),
        17 => say(format_args!("TargetAlias=")),
        18 => say(format_args!("HeaderDigest=CRC32C\0DataDigest=None\0FirstBurstLength=")),
        _ => {
            for key in 0..24 {
                say(format_args!("X-com.example.a-long-key-{key:02}=x\0"));
            }
        }
    }
}
