//! Login text: the reader against a simple one, what is written against what is read, and a text
//! in one PDU against the same text in many.

use heapless::Vec as BoundedVec;
use isboot::login::text::{MAX_KEY_LENGTH, Pair, Pairs, TextWriter};
use isboot::login::{Login, LoginConfig, LoginError, LoginProgress, Name};
use isboot::pdu::request::Stage;
use isboot::pdu::response::{LoginResponse, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;

use crate::Script;

/// Byte 0: how the text is cut. Then a text: bytes below 32 stand for whole pairs.
pub(crate) fn text(input: &[u8]) {
    let mut script = Script(input);
    let cuts = script.byte().unwrap_or(0);
    let mut text = BoundedVec::<u8, 2048>::new();
    compose(&mut script, &mut text);
    read(&text);
    whole_or_in_parts(&text, cuts);
}

/// Texts that a target may send, more or less: some bytes stand for the words of login.
pub(crate) fn compose<const N: usize>(script: &mut Script<'_>, text: &mut BoundedVec<u8, N>) {
    const WORDS: [&[u8]; 31] = [
        b"\0",
        b"=",
        b"Yes\0",
        b"No\0",
        b"None\0",
        b"CRC32C\0",
        b"HeaderDigest=",
        b"DataDigest=",
        b"MaxRecvDataSegmentLength=",
        b"MaxBurstLength=",
        b"FirstBurstLength=",
        b"InitialR2T=",
        b"ImmediateData=",
        b"MaxOutstandingR2T=",
        b"DefaultTime2Wait=",
        b"DefaultTime2Retain=",
        b"MaxConnections=",
        b"DataPDUInOrder=",
        b"DataSequenceInOrder=",
        b"ErrorRecoveryLevel=",
        b"TargetPortalGroupTag=",
        b"TargetAlias=",
        b"TargetAddress=[fe80::1]:3260,1\0",
        b"AuthMethod=",
        b"X-com.example=",
        b"NotUnderstood\0",
        b"Reject\0",
        b"Irrelevant\0",
        b"TaskReporting=",
        b"iSCSIProtocolLevel=",
        b"OFMarker=",
    ];
    while let Some(byte) = script.byte() {
        let word = WORDS.get(usize::from(byte)).copied().unwrap_or(&[]);
        let taken = match word {
            [] => text.push(byte).is_ok(),
            word => text.extend_from_slice(word).is_ok(),
        };
        // A long value now and then.
        let filled = byte != 31 || text.resize((text.len() + 70).min(N), b'a').is_ok();
        if !taken || !filled {
            break;
        }
    }
}

fn read(text: &[u8]) {
    let mut pairs = Pairs::new(text);
    let mut expected = oracle(text).into_iter();
    let mut written = BoundedVec::<u8, 2048>::new();
    let mut utf8 = true;
    let mut length = 0;
    loop {
        match (pairs.next(), expected.next()) {
            (None, None) => break,
            (Some(Ok(Pair { key, value })), Some(Some((right_key, right_value)))) => {
                assert_eq!((key.as_bytes(), value), (right_key, right_value));
                match std::str::from_utf8(value) {
                    Ok(value) => {
                        length += key.len() + value.len() + 2;
                        let taken = TextWriter::new(&mut written).pair(key, value);
                        assert_eq!(taken.is_ok(), length <= 2048, "a pair fits or does not");
                        utf8 &= taken.is_ok();
                    }
                    Err(_) => utf8 = false,
                }
            }
            (Some(Err(error)), Some(None)) => {
                crate::shown(&error);
                assert!(pairs.next().is_none(), "the first error is the last");
                return;
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
    assert!(pairs.next().is_none());
    if utf8 {
        // Without the empty strings it is the same text.
        assert!(Pairs::new(&written).eq(Pairs::new(text)));
    }
}

type Expected<'t> = Vec<Option<(&'t [u8], &'t [u8])>>;

/// The pairs; `None` for the string that is none, which is the last.
fn oracle(text: &[u8]) -> Expected<'_> {
    let mut pairs = Vec::new();
    let mut strings: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
    let unterminated = strings.pop().is_some_and(|last| !last.is_empty());
    for string in strings.into_iter().filter(|string| !string.is_empty()) {
        let pair = string.iter().position(|byte| *byte == b'=').and_then(|equals| {
            let (key, value) = (&string[..equals], &string[equals + 1..]);
            let good = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+@_#".contains(byte);
            (key.first().is_some_and(u8::is_ascii_alphabetic)
                && key.len() <= MAX_KEY_LENGTH
                && key.iter().all(good))
            .then_some((key, value))
        });
        pairs.push(pair);
        if pair.is_none() {
            return pairs;
        }
    }
    if unterminated {
        pairs.push(None);
    }
    pairs
}

/// One login hears the text in one PDU, another in many: both come to the same.
fn whole_or_in_parts(text: &[u8], cuts: u8) {
    thread_local! {
        static CONFIG: LoginConfig = LoginConfig::new(
            Name::new("iqn.2026-11.org.example:host").expect("a name"),
            Name::new("iqn.2026-11.org.example:t").expect("a name"),
            [0, 2, 0x3d, 0, 0, 1],
        );
    }
    CONFIG.with(|config| {
        let [mut whole, mut parts] = [Login::new(), Login::new()];
        whole.begin(config, None).expect("a good configuration");
        parts.begin(config, None).expect("a good configuration");
        // Into the operational stage, where most keys are.
        if cuts & 1 != 0 {
            for login in [&mut whole, &mut parts] {
                let good = hear(login, config, b"AuthMethod=None\0TargetPortalGroupTag=1\0", 0x80);
                assert_eq!(good, Ok(LoginProgress::SendNext));
            }
        }
        let flags = if cuts & 2 != 0 { 0x80 } else { 0 };
        let all = hear(&mut whole, config, text, flags);
        let mut rest = text;
        let mut size = usize::from(cuts >> 2);
        let last = loop {
            let (part, after) = rest.split_at((size % 23 + 1).min(rest.len()));
            size = size.wrapping_mul(5).wrapping_add(7);
            rest = after;
            if rest.is_empty() {
                break hear(&mut parts, config, part, flags);
            }
            assert_eq!(hear(&mut parts, config, part, 0x40), Ok(LoginProgress::SendNext));
            assert_eq!(parts.request().text, b"", "a part is answered by an empty request");
        };
        assert_eq!(all, last, "in parts as in one");
        assert_eq!(whole.request(), parts.request());
    });
}

/// The login's stage and what it asked for, answered with this text; flags are T and C.
pub(crate) fn hear(
    login: &mut Login,
    config: &LoginConfig,
    text: &[u8],
    flags: u8,
) -> Result<LoginProgress, LoginError> {
    let request = login.request();
    let transit = flags & 0x80 != 0 && request.transit;
    let response = LoginResponse {
        transit,
        text_continues: flags & 0x40 != 0,
        current_stage: request.current_stage,
        next_stage: if transit { request.next_stage } else { request.current_stage },
        version_max: 0,
        version_active: 0,
        isid: config.isid,
        tsih: u16::from(transit && request.next_stage == Stage::FullFeaturePhase),
        initiator_task_tag: 0,
        numbers: SequenceNumbers {
            stat_sn: SerialNumber(0),
            exp_cmd_sn: SerialNumber(0),
            max_cmd_sn: SerialNumber(0),
        },
        status_class: 0,
        status_detail: 0,
        data_segment_length: text.len() as u32,
    };
    login.receive_text(text)?;
    login.on_response(config, &response)
}
