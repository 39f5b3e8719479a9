//! The login as a target sees it: scripted exchanges, written like transcripts.
//!
//! `I` is the initiator's request and must come exactly so; `T` is what the target answers. The
//! first word of a line is the stage: `0` is CSG 0 with T=0, `0>1` asks for (or grants) stage 1,
//! `0+` has C=1. Pairs are separated by blanks; `%` stands for a blank inside a value.

mod authentication;
mod negotiation;
mod robustness;
mod targets;

use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

use super::*;
use crate::pdu::request::Stage;
use crate::pdu::response::{LoginResponse, SequenceNumbers};
use crate::pdu::serial::SerialNumber;

const ISID: [u8; 6] = [0x40, 0x00, 0x01, 0x37, 0x00, 0x05];
const TSIH: u16 = 0x1234;

/// The first request of [`plain`].
const HELLO: &str = "InitiatorName=iqn.2026-01.org.example:boot TargetName=iqn.2026-01.org.example:disk1 \
     SessionType=Normal AuthMethod=None";

/// The operational request of [`plain`].
const OFFER: &str = "HeaderDigest=None,CRC32C DataDigest=None,CRC32C MaxConnections=1 \
     InitialR2T=Yes ImmediateData=Yes MaxRecvDataSegmentLength=262144 MaxBurstLength=1048576 \
     FirstBurstLength=262144 DefaultTime2Wait=2 DefaultTime2Retain=20 MaxOutstandingR2T=1 \
     DataPDUInOrder=Yes DataSequenceInOrder=Yes ErrorRecoveryLevel=0 iSCSIProtocolLevel=2";

/// Answers to [`OFFER`] that take everything as offered.
const ACCEPT: &str = "HeaderDigest=None DataDigest=None MaxConnections=1 \
     InitialR2T=Yes ImmediateData=Yes MaxRecvDataSegmentLength=65536 MaxBurstLength=1048576 \
     FirstBurstLength=262144 DefaultTime2Wait=2 DefaultTime2Retain=20 MaxOutstandingR2T=1 \
     DataPDUInOrder=Yes DataSequenceInOrder=Yes ErrorRecoveryLevel=0 \
     iSCSIProtocolLevel=NotUnderstood";

fn plain() -> LoginConfig {
    LoginConfig::new(
        Name::new("iqn.2026-01.org.example:boot").unwrap(),
        Name::new("iqn.2026-01.org.example:disk1").unwrap(),
        ISID,
    )
}

/// Entropy that makes the challenge 10h..1Fh with identifier 42.
fn entropy() -> [u8; 32] {
    let mut entropy: [u8; 32] = core::array::from_fn(|index| 0x10 + index as u8);
    entropy[16] = 42;
    entropy
}

fn text(pairs: &str) -> Vec<u8> {
    pairs
        .split_whitespace()
        .flat_map(|pair| format!("{pair}\0").replace('%', " ").into_bytes())
        .collect()
}

fn shown(text: &[u8]) -> String {
    let pairs = String::from_utf8_lossy(text).replace(' ', "%").replace('\0', " ");
    pairs.trim_end().to_string()
}

fn stage(code: char) -> Stage {
    match code {
        '0' => Stage::SecurityNegotiation,
        '1' => Stage::OperationalNegotiation,
        '3' => Stage::FullFeaturePhase,
        other => panic!("no stage {other}"),
    }
}

fn code(stage: Stage) -> char {
    match stage {
        Stage::SecurityNegotiation => '0',
        Stage::OperationalNegotiation => '1',
        Stage::FullFeaturePhase => '3',
    }
}

/// A good response with these flags, before its text is known.
fn response(flags: &str) -> LoginResponse {
    let codes: Vec<char> = flags.chars().filter(char::is_ascii_digit).collect();
    let current_stage = stage(codes[0]);
    let next_stage = stage(*codes.last().unwrap());
    let zero = SerialNumber(0);
    LoginResponse {
        transit: flags.contains('>'),
        text_continues: flags.contains('+'),
        current_stage,
        next_stage,
        version_max: 0,
        version_active: 0,
        isid: ISID,
        tsih: if next_stage == Stage::FullFeaturePhase { TSIH } else { 0 },
        initiator_task_tag: 0,
        numbers: SequenceNumbers { stat_sn: zero, exp_cmd_sn: zero, max_cmd_sn: zero },
        status_class: 0,
        status_detail: 0,
        data_segment_length: 0,
    }
}

/// A login and the target's side of it.
struct Rig {
    config: LoginConfig,
    login: Login,
}

impl Rig {
    fn new(config: LoginConfig) -> Rig {
        let mut login = Login::new();
        login.begin(&config, Some(&entropy())).unwrap();
        Rig { config, login }
    }

    /// The request must be exactly this.
    #[track_caller]
    fn sends(&self, flags: &str, pairs: &str) {
        let (sent_flags, sent) = self.request();
        assert_eq!(sent, pairs.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(sent_flags, flags, "flags of {sent}");
    }

    fn request(&self) -> (String, String) {
        let part = self.login.request();
        let mut flags = String::from(code(part.current_stage));
        if part.transit {
            flags.push('>');
            flags.push(code(part.next_stage));
        }
        if part.text_continues {
            flags.push('+');
        }
        assert!(part.text.len() <= LOGIN_SEGMENT_LIMIT);
        (flags, shown(part.text))
    }

    fn answers(&mut self, flags: &str, pairs: &str) -> Result<LoginProgress, LoginError> {
        self.answers_bytes(response(flags), &text(pairs))
    }

    fn answers_bytes(
        &mut self,
        mut response: LoginResponse,
        text: &[u8],
    ) -> Result<LoginProgress, LoginError> {
        response.data_segment_length = text.len() as u32;
        for piece in text.chunks(100) {
            self.login.receive_text(piece)?;
        }
        self.login.on_response(&self.config, &response)
    }

    /// The target answers, and the login goes on.
    #[track_caller]
    fn goes_on(&mut self, flags: &str, pairs: &str) {
        assert_eq!(self.answers(flags, pairs), Ok(LoginProgress::SendNext), "after {pairs}");
    }
}

use Line::{I, T};

/// A line of a transcript.
enum Line {
    I(&'static str, &'static str),
    T(&'static str, &'static str),
}

/// Plays a whole transcript and returns what came of its last line.
#[track_caller]
fn play(config: LoginConfig, lines: &[Line]) -> Result<LoginProgress, LoginError> {
    let mut rig = Rig::new(config);
    let mut outcome = Ok(LoginProgress::SendNext);
    for line in lines {
        assert_eq!(outcome, Ok(LoginProgress::SendNext), "the login ended before its transcript");
        match line {
            I(flags, pairs) => rig.sends(flags, pairs),
            T(flags, pairs) => outcome = rig.answers(flags, pairs),
        }
    }
    outcome
}

#[track_caller]
fn logged_in(outcome: Result<LoginProgress, LoginError>) -> Negotiated {
    match outcome {
        Ok(LoginProgress::LoggedIn(negotiated)) => negotiated,
        other => panic!("not logged in: {other:?}"),
    }
}

/// A login that has reached the operational stage; its offer is the next request.
fn operational(config: LoginConfig) -> Rig {
    let mut rig = Rig::new(config);
    rig.goes_on("0>1", "TargetPortalGroupTag=1 AuthMethod=None");
    rig
}

/// [`ACCEPT`] with other values for some keys; an empty value leaves the key out.
fn accept_but(changes: &[&str]) -> String {
    let mut pairs: Vec<String> = ACCEPT.split_whitespace().map(String::from).collect();
    for change in changes {
        let (key, value) = change.split_once('=').unwrap();
        let prefix = format!("{key}=");
        pairs.retain(|pair| !pair.starts_with(&prefix));
        if !value.is_empty() {
            pairs.push(change.to_string());
        }
    }
    pairs.join(" ")
}

/// The outcome when the target accepts everything except for these changes.
fn outcome_of(config: LoginConfig, changes: &[&str]) -> Result<LoginProgress, LoginError> {
    operational(config).answers("1>3", &accept_but(changes))
}

/// Name and problem of the key that an error is about.
#[track_caller]
fn key_error(outcome: Result<LoginProgress, LoginError>) -> (&'static str, KeyProblem) {
    match outcome {
        Err(LoginError::PeerMisbehaved(Misbehaviour::Key { key, problem, .. })) => (key, problem),
        other => panic!("not an error of a key: {other:?}"),
    }
}
