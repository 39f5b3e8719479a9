//! B-TX: Text Requests and SendTargets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::{Request, TextRequest};
use isboot::pdu::response::{
    AsyncMessage, DataIn, NopIn, ReadyToTransfer, Reject, Residual, Response, TextResponse,
};
use isboot::session::{Discovered, Error, SendTargets};
use isboot_tests::pair::{DiscoveryPair, NUMBERS, Pair, Wire, asynchronous, target};
use isboot_tests::target::{Fate, Handling, Injection, Numbering, Pdu, Target};

use crate::support::Requests;

/// A Text Response of a script.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) text: Vec<u8>,
    pub(crate) last: bool,
    pub(crate) text_continues: bool,
    pub(crate) target_transfer_tag: u32,
    pub(crate) lun: [u8; 8],
}

impl Part {
    /// The end of an answer.
    pub(crate) fn last(text: impl AsRef<[u8]>) -> Self {
        Self {
            text: text.as_ref().to_vec(),
            last: true,
            text_continues: false,
            target_transfer_tag: RESERVED_TAG,
            lun: [0; 8],
        }
    }

    /// A part that ends between two pairs.
    pub(crate) fn pairs(text: impl AsRef<[u8]>, target_transfer_tag: u32) -> Self {
        Self { last: false, target_transfer_tag, ..Self::last(text) }
    }

    /// A part that may end anywhere (C=1).
    pub(crate) fn cut(text: impl AsRef<[u8]>, target_transfer_tag: u32) -> Self {
        Self { text_continues: true, ..Self::pairs(text, target_transfer_tag) }
    }

    pub(crate) fn answer(&self, initiator_task_tag: u32) -> Injection {
        let response = TextResponse {
            last: self.last,
            text_continues: self.text_continues,
            lun: self.lun,
            initiator_task_tag,
            target_transfer_tag: self.target_transfer_tag,
            numbers: NUMBERS,
            data_segment_length: 0,
        };
        let pdu = Pdu::new(Response::Text(response).emit(), self.text.clone());
        Injection { pdu, numbering: Numbering::Status }
    }
}

/// Text Requests as they came, with their text.
pub(crate) type Texts = Arc<Mutex<Vec<(TextRequest, Vec<u8>)>>>;

/// Answers the Text Requests of each connection with these parts, in order.
pub(crate) fn answer(target: &Target, parts: &[Part]) -> Texts {
    let parts = parts.to_vec();
    serve(target, move |request, turn| match parts.get(turn) {
        Some(part) => vec![part.answer(request.initiator_task_tag)],
        None => Vec::new(),
    })
}

/// Answers each Text Request by `script`, which is told how many there were on the connection.
pub(crate) fn serve(
    target: &Target,
    mut script: impl FnMut(&TextRequest, usize) -> Vec<Injection> + Send + 'static,
) -> Texts {
    let requests = Texts::default();
    let noted = Arc::clone(&requests);
    let (mut connection, mut turn) = (0, 0);
    target.on_request(move |wire, pdu| match Request::parse(&pdu.header) {
        Ok(Request::Text(request)) => {
            if wire.connection != connection {
                (connection, turn) = (wire.connection, 0);
            }
            let answers = script(&request, turn);
            turn += 1;
            noted.lock().unwrap().push((request, pdu.data.clone()));
            Handling::Answer(answers)
        }
        // Rules of a Discovery session may be broken by a script that asks for it.
        Ok(Request::NopOut(_)) => Handling::Swallow,
        _ => Handling::Proceed,
    });
    requests
}

/// A record with one address.
fn record(number: u32) -> String {
    format!(
        "TargetName=iqn.2001-04.com.example:disk{number}\0TargetAddress=192.0.2.{number}:3260,1\0"
    )
}

fn line(number: u32) -> String {
    format!("iqn.2001-04.com.example:disk{number} 192.0.2.{number}:3260,1")
}

/// What a discovery finds when these parts are the answer.
fn discover(parts: &[Part]) -> (DiscoveryPair, Result<Discovered, Error>, Texts) {
    let target = target().build();
    let requests = answer(&target, parts);
    let mut pair = DiscoveryPair::new(&target);
    let outcome = pair.finish();
    (pair, outcome, requests)
}

/// As [`discover()`], where the connection has to be dropped, the attempts are few, and the end is
/// an error.
fn is_given_up(what: &str, parts: &[Part]) -> Error {
    let (pair, outcome, requests) = discover(parts);
    let error = outcome.expect_err(what);
    let connections = pair.target.statistics().connections;
    assert!((2..=3).contains(&connections), "{what}: {connections} attempts");
    assert!(requests.lock().unwrap().len() <= 3 * parts.len(), "{what}: endless requests");
    assert_eq!(pair.target.statistics().logouts, 0, "{what}");
    error
}

fn is_protocol_error(what: &str, parts: &[Part]) {
    let error = is_given_up(what, parts);
    assert!(
        matches!(error, Error::PeerMisbehaved(_) | Error::Malformed(_) | Error::Text(_)),
        "{what}: {error}"
    );
}

#[test]
fn b_tx_01_an_answer_in_parts_is_asked_for_part_by_part() {
    let mut parts = [Part::pairs(record(1), 7), Part::pairs(record(2), 7), Part::last(record(3))];
    parts[0].lun = [0x41, 0x2c, 0, 0, 0, 0, 0, 0];
    parts[1].lun = [0, 5, 0, 0, 0, 0, 0, 0];
    let (pair, outcome, requests) = discover(&parts);
    assert_eq!(outcome, Ok(Discovered { found: 3, unusable: 0, truncated: false }));
    assert_eq!(pair.lines(), [line(1), line(2), line(3)]);
    let requests = requests.lock().unwrap();
    let [(first, text), (second, empty), (third, nothing)] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!(text, b"SendTargets=All\0");
    assert!(empty.is_empty() && nothing.is_empty());
    assert!(first.last && second.last && third.last);
    assert_eq!((first.target_transfer_tag, first.lun), (RESERVED_TAG, [0; 8]));
    assert_eq!((second.target_transfer_tag, second.lun), (7, parts[0].lun));
    assert_eq!((third.target_transfer_tag, third.lun), (7, parts[1].lun));
    assert!([second, third].iter().all(|r| r.initiator_task_tag == first.initiator_task_tag));
    assert!([first, second, third].iter().all(|request| !request.immediate));
    pair.assert_no_violations();
    assert_eq!(pair.target.statistics().logouts, 1);
}

#[test]
fn b_tx_02_an_answer_cut_inside_a_pair_is_joined() {
    let text = record(1) + &record(2);
    let (pair, outcome, requests) = discover(&[
        Part::cut(&text[..30], 1),
        Part::cut(&text[30..70], 1),
        Part::last(&text[70..]),
    ]);
    assert_eq!(outcome, Ok(Discovered { found: 2, unusable: 0, truncated: false }));
    assert_eq!(pair.lines(), [line(1), line(2)]);
    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert!(requests[1..].iter().all(|(_, text)| text.is_empty()));
    pair.assert_no_violations();
}

#[test]
fn b_tx_03_the_place_of_the_cut_makes_no_difference() {
    let text = record(1) + "TargetAddress=[2001:db8::1],1\0" + &record(2);
    let lines = [line(1), "iqn.2001-04.com.example:disk1 [2001:db8::1]:3260,1".to_owned(), line(2)];
    for cut in 0..=text.len() {
        let (first, second) = text.split_at(cut);
        let (pair, outcome, _) = discover(&[Part::cut(first, 1), Part::last(second)]);
        assert!(outcome.is_ok(), "cut at {cut}: {outcome:?}");
        assert_eq!(pair.lines(), lines, "cut at {cut}");
    }
    // And the pieces in which bytes arrive make none either.
    for piece in 1..=64 {
        let target = target().build();
        answer(&target, &[Part::last(&text)]);
        let mut pair = DiscoveryPair::new(&target);
        pair.wire.split(piece);
        assert!(pair.finish().is_ok(), "pieces of {piece}");
        assert_eq!(pair.lines(), lines, "pieces of {piece}");
    }
}

#[test]
fn b_tx_04_a_last_part_that_goes_on_is_no_answer() {
    is_protocol_error("F and C", &[Part { text_continues: true, ..Part::last(record(1)) }]);
}

#[test]
fn b_tx_06_the_latest_tag_is_copied() {
    let parts = [
        Part::pairs(record(1), 0x10),
        Part::cut(record(2), 0xffff_fffe),
        Part::pairs(record(3), 0),
        Part::last(record(4)),
    ];
    let (pair, outcome, requests) = discover(&parts);
    assert_eq!(outcome.map(|discovered| discovered.found), Ok(4));
    let tags: Vec<u32> =
        requests.lock().unwrap().iter().map(|(request, _)| request.target_transfer_tag).collect();
    assert_eq!(tags, [RESERVED_TAG, 0x10, 0xffff_fffe, 0]);
    pair.assert_no_violations();
}

#[test]
fn b_tx_07_a_text_response_to_nobody_ends_the_connection() {
    let target = target().build();
    serve(&target, |request, _| {
        vec![Part::last(record(1)).answer(request.initiator_task_tag ^ 0x0001_0000)]
    });
    let mut pair = DiscoveryPair::new(&target);
    assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))));
    assert!(pair.found.is_empty());
    assert_eq!(target.statistics().connections, 3);
    assert_eq!(target.statistics().logouts, 0);
}

#[test]
fn b_tx_08_a_target_with_nothing_to_tell_tells_nothing() {
    let (pair, outcome, _) = discover(&[Part::last("")]);
    assert_eq!(outcome, Ok(Discovered::default()));
    assert!(pair.found.is_empty());
    assert_eq!(pair.target.statistics().logouts, 1);
    pair.assert_no_violations();
}

#[test]
fn b_tx_09_a_target_without_an_address_is_where_it_was_asked_for() {
    let here = Wire::PORTAL;
    for (text, lines) in [
        (
            "TargetName=iqn.2001-04.com.example:a\0",
            vec![format!("iqn.2001-04.com.example:a {here}")],
        ),
        (
            "TargetName=iqn.2001-04.com.example:a\0TargetName=iqn.2001-04.com.example:b\0\
             TargetAddress=192.0.2.9:1,2\0TargetName=iqn.2001-04.com.example:c\0",
            vec![
                format!("iqn.2001-04.com.example:a {here}"),
                "iqn.2001-04.com.example:b 192.0.2.9:1,2".to_owned(),
                format!("iqn.2001-04.com.example:c {here}"),
            ],
        ),
    ] {
        let (pair, outcome, _) = discover(&[Part::last(text)]);
        assert_eq!(outcome.map(|discovered| discovered.found as usize), Ok(lines.len()));
        assert_eq!(pair.lines(), lines);
        pair.assert_no_violations();
    }
}

#[test]
fn b_tx_10_an_address_before_any_name_is_nobodys() {
    let text = "TargetAddress=192.0.2.66:3260,1\0".to_owned() + &record(1);
    let (pair, outcome, _) = discover(&[Part::last(text)]);
    assert_eq!(outcome, Ok(Discovered { found: 1, unusable: 1, truncated: false }));
    assert_eq!(pair.lines(), [line(1)]);
    pair.assert_no_violations();
}

/// An answer far longer than any buffer; the parts are as long as the initiator takes them.
fn long_answer(targets: u32, addresses: u32) -> String {
    let mut text = String::new();
    for number in 0..targets {
        text += &format!("TargetName=iqn.2001-04.com.example:storage.array.disk{number}\0");
        for path in 0..addresses {
            text += &format!("TargetAddress=192.0.{}.{}:3260,{path}\0", number >> 8, number & 0xff);
        }
    }
    text
}

#[test]
fn b_tx_11_a_list_of_any_length_comes_through() {
    let text = long_answer(1000, 8);
    assert!(text.len() > 256 * 1024);
    for segment in [512, 8192, 262_144] {
        let target = target().build();
        let whole = text.clone();
        serve(&target, move |request, turn| {
            let rest = &whole[turn * segment..];
            let part = match rest.len() > segment {
                true => Part::cut(&rest[..segment], 1),
                false => Part::last(rest),
            };
            vec![part.answer(request.initiator_task_tag)]
        });
        let mut pair = DiscoveryPair::configured(&target, SendTargets::All, |config| {
            config.login.offer.max_recv_data_segment_length = segment as u32;
        });
        let outcome = pair.finish();
        assert_eq!(outcome, Ok(Discovered { found: 8000, unusable: 0, truncated: false }));
        assert_eq!(pair.found.len(), 8000);
        assert_eq!(
            pair.lines()[7999],
            "iqn.2001-04.com.example:storage.array.disk999 192.0.3.231:3260,7"
        );
        pair.assert_no_violations();
    }
}

#[test]
fn b_tx_11_a_list_without_an_end_is_cut_and_that_is_said() {
    let target = target().build();
    let text = long_answer(100, 16);
    let requests = serve(&target, move |request, _| {
        vec![Part::pairs(&text, 1).answer(request.initiator_task_tag)]
    });
    let mut pair = DiscoveryPair::new(&target);
    let discovered = pair.finish().expect("what came counts");
    assert!(discovered.truncated);
    assert_eq!(pair.found.len(), discovered.found as usize);
    assert!(discovered.found > 50_000, "{discovered:?}");
    assert!(requests.lock().unwrap().len() < 200);
    assert_eq!(target.statistics().logouts, 1);
    // Nothing at all, over and over, is an end too.
    let target = isboot_tests::pair::target().build();
    let requests =
        serve(&target, |request, _| vec![Part::pairs("", 1).answer(request.initiator_task_tag)]);
    assert!(matches!(DiscoveryPair::new(&target).finish(), Err(Error::PeerMisbehaved(_))));
    assert!(requests.lock().unwrap().len() <= 30);
}

#[test]
fn b_tx_12_every_form_of_an_address_is_read() {
    let name = "iqn.2001-04.com.example:a";
    for (value, shown) in [
        ("10.0.0.1:5003,1", Some("10.0.0.1:5003,1")),
        ("[2001:db8::1],65", Some("[2001:db8::1]:3260,65")),
        ("[2001:db8::1]:5003,65535", Some("[2001:db8::1]:5003,65535")),
        ("host.example.com,0", Some("host.example.com:3260,0")),
        ("10.0.0.1", Some("10.0.0.1:3260")),
        ("host.example.com:860", Some("host.example.com:860")),
        ("10.0.0.1,65536", None),
        ("10.0.0.1:0,1", None),
        ("0.0.0.0:3260,1", None),
    ] {
        let text = format!("TargetName={name}\0TargetAddress={value}\0") + &record(7);
        let (pair, outcome, _) = discover(&[Part::last(text)]);
        let unusable = u32::from(shown.is_none());
        let found = 2 - unusable;
        assert_eq!(outcome, Ok(Discovered { found, unusable, truncated: false }), "{value}");
        let lines: Vec<String> =
            shown.map(|shown| format!("{name} {shown}")).into_iter().chain([line(7)]).collect();
        assert_eq!(pair.lines(), lines, "{value}");
    }
}

fn reject(reason: u8, request: &Pdu) -> Injection {
    let reject = Reject { reason, numbers: NUMBERS, data_sn_or_r2t_sn: 0, data_segment_length: 0 };
    let pdu = Pdu::new(Response::Reject(reject).emit(), request.header.as_bytes().to_vec());
    Injection { pdu, numbering: Numbering::Status }
}

/// Rejects the first Text Requests for these reasons, in order, and serves the others.
fn rejecting(reasons: &'static [u8]) -> (DiscoveryPair, Arc<Mutex<Vec<TextRequest>>>) {
    let target = target().build();
    let requests = Arc::<Mutex<Vec<TextRequest>>>::default();
    let noted = Arc::clone(&requests);
    target.on_request(move |_, pdu| {
        let Ok(Request::Text(request)) = Request::parse(&pdu.header) else {
            return Handling::Proceed;
        };
        let mut noted = noted.lock().unwrap();
        noted.push(request);
        match reasons.get(noted.len() - 1) {
            Some(&reason) => Handling::Answer(vec![reject(reason, pdu)]),
            None => Handling::Proceed,
        }
    });
    (DiscoveryPair::new(&target), requests)
}

#[test]
fn b_tx_13_a_target_short_of_resources_is_asked_again() {
    for reasons in [&[0x0a][..], &[0x0a, 0x0a], &[0x02, 0x0a]] {
        let (mut pair, requests) = rejecting(reasons);
        assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1), "{reasons:x?}");
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), reasons.len() + 1, "{reasons:x?}");
        assert!(requests.iter().all(|request| request.target_transfer_tag == RESERVED_TAG));
        assert!(pair.now().as_millis() >= 1000 * reasons.len() as u64, "in no hurry");
        assert_eq!(pair.target.statistics().connections, 1, "{reasons:x?}");
        pair.assert_no_violations();
    }
}

#[test]
fn b_tx_13_a_target_that_goes_on_rejecting_is_left_in_good_order() {
    for reasons in [&[0x05][..], &[0x0a, 0x0a, 0x0a], &[0x04], &[0x09]] {
        let (mut pair, requests) = rejecting(reasons);
        let last = *reasons.last().unwrap();
        assert_eq!(pair.finish(), Err(Error::Rejected { reason: last }), "{reasons:x?}");
        assert_eq!(requests.lock().unwrap().len(), reasons.len(), "{reasons:x?}");
        assert_eq!(pair.target.statistics().connections, 1, "{reasons:x?}");
        assert_eq!(pair.target.statistics().logouts, 1, "{reasons:x?}");
        pair.assert_no_violations();
    }
}

#[test]
fn b_tx_14_a_name_of_223_bytes_is_a_name_and_a_longer_one_is_not() {
    let name = |length: usize| {
        let name = "iqn.2001-04.com.example:".to_owned();
        name.clone() + &"x".repeat(length - name.len())
    };
    for (length, usable) in [(222, true), (223, true), (224, false), (511, false), (5000, false)] {
        let name = name(length);
        let text = format!("TargetName={name}\0TargetAddress=192.0.2.66\0") + &record(1);
        let (pair, outcome, _) = discover(&[Part::last(text)]);
        // With a name that cannot be used goes its address.
        let discovered = match usable {
            true => Discovered { found: 2, unusable: 0, truncated: false },
            false => Discovered { found: 1, unusable: 2, truncated: false },
        };
        assert_eq!(outcome, Ok(discovered), "{length}");
        assert_eq!(pair.found.iter().any(|found| found.name.as_str() == name), usable, "{length}");
        assert_eq!(pair.lines().last(), Some(&line(1)), "{length}");
    }
}

#[test]
fn b_tx_15_other_pdus_in_a_discovery_session() {
    let status = |response: Response, numbering| {
        let data = vec![0; if matches!(response, Response::DataIn(_)) { 16 } else { 0 }];
        Injection { pdu: Pdu::new(response.emit(), data), numbering }
    };
    // A wish to see it go: logged out, and asked again.
    let target = target().build();
    let message = AsyncMessage {
        lun: [0; 8],
        numbers: NUMBERS,
        event: 1,
        vendor_code: 0,
        parameters: [0, 0, 3],
        data_segment_length: 0,
    };
    let mut once = true;
    let requests = serve(&target, move |request, _| match std::mem::take(&mut once) {
        true => vec![status(Response::AsyncMessage(message), Numbering::Status)],
        false => vec![Part::last(record(1)).answer(request.initiator_task_tag)],
    });
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1));
    assert_eq!(requests.lock().unwrap().len(), 2);
    assert_eq!((target.statistics().connections, target.statistics().logouts), (2, 2));
    assert_eq!(pair.restarts, 1);
    pair.assert_no_violations();
    // A question: answered.
    let target = isboot_tests::pair::target().build();
    let ping = NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: 5,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    let answered = Arc::new(Mutex::new(0));
    let count = Arc::clone(&answered);
    target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
        Ok(Request::Text(_)) => {
            Handling::Answer(vec![status(Response::NopIn(ping), Numbering::Current)])
        }
        Ok(Request::NopOut(nop)) => {
            assert_eq!((nop.target_transfer_tag, nop.initiator_task_tag), (5, RESERVED_TAG));
            *count.lock().unwrap() += 1;
            Handling::Swallow
        }
        _ => Handling::Proceed,
    });
    let mut pair = DiscoveryPair::new(&target);
    assert!(pair.finish().is_err(), "the Text Request is never answered");
    assert_eq!(*answered.lock().unwrap(), 3, "once on each connection");
    // What belongs to commands: dropped.
    let r2t = ReadyToTransfer {
        lun: [0; 8],
        initiator_task_tag: 1,
        target_transfer_tag: 1,
        numbers: NUMBERS,
        r2t_sn: 0,
        buffer_offset: 0,
        desired_data_transfer_length: 512,
    };
    let data_in = DataIn {
        last: true,
        acknowledge: false,
        status: None,
        residual: Residual::None,
        lun: [0; 8],
        initiator_task_tag: 1,
        target_transfer_tag: RESERVED_TAG,
        numbers: NUMBERS,
        data_sn: 0,
        buffer_offset: 0,
        data_segment_length: 0,
    };
    for response in [Response::ReadyToTransfer(r2t), Response::DataIn(data_in)] {
        let target = isboot_tests::pair::target().build();
        serve(&target, move |_, _| vec![status(response, Numbering::Current)]);
        let mut pair = DiscoveryPair::new(&target);
        assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))), "{response:?}");
        assert_eq!(target.statistics().connections, 3, "{response:?}");
    }
}

#[test]
fn b_tx_16_a_target_that_closes_after_its_answer_has_answered() {
    let target = target().build();
    // The whole answer and nothing after it.
    target.on_response(|_, pdu| match pdu.header.opcode() {
        opcode::TEXT_RESPONSE => Fate::CutAfter(48 + pdu.data.len().next_multiple_of(4)),
        _ => Fate::Send,
    });
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish(), Ok(Discovered { found: 1, unusable: 0, truncated: false }));
    assert_eq!((pair.found.len(), pair.restarts), (1, 0));
    assert_eq!(pair.wire.portals().len(), 1);
    assert_eq!(target.statistics().logouts, 0);
}

#[test]
fn b_tx_17_error_recovery_level_2_is_answered_with_0() {
    let target = target().propose("ErrorRecoveryLevel", "2").build();
    let answers = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&answers);
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() == opcode::LOGIN_REQUEST {
            let text = String::from_utf8(pdu.data.clone()).unwrap();
            let pairs = text.split('\0').filter(|pair| pair.starts_with("ErrorRecoveryLevel="));
            noted.lock().unwrap().extend(pairs.map(str::to_owned));
        }
        Handling::Proceed
    });
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1));
    assert_eq!(*answers.lock().unwrap(), ["ErrorRecoveryLevel=0"]);
    pair.assert_no_violations();
}

/// What a write brings after the target's answer to the empty Text Request of event 4.
fn negotiated(parts: Vec<Part>) -> (Pair, Requests, Vec<(TextRequest, Vec<u8>)>) {
    let target = target().times(0, 0).initial_r2t(false).immediate_data(false).build();
    let mut pair = Pair::new(&target, &[("initial_r2t", "no"), ("immediate_data", "no")]);
    pair.become_ready();
    let texts = serve(&target, move |request, turn| match parts.get(turn) {
        Some(part) => vec![part.answer(request.initiator_task_tag)],
        None => Vec::new(),
    });
    target.inject(asynchronous(4, [0, 0, 3], []));
    pair.pass(Duration::from_millis(100));
    let texts = texts.lock().unwrap().clone();
    let requests = Requests::of(&target);
    pair.write(0, 0, &[0x5a; 4096]).unwrap();
    (pair, requests, texts)
}

#[test]
fn b_tx_18_what_a_target_negotiates_after_event_4() {
    // A new MaxRecvDataSegmentLength holds from then on.
    for parts in [
        vec![Part::last("MaxRecvDataSegmentLength=512\0")],
        vec![Part::cut("MaxRecvDataSeg", 3), Part::last("mentLength=512\0")],
        vec![Part::pairs("MaxRecvDataSegmentLength=512\0TargetAlias=x\0", 3), Part::last("")],
    ] {
        let (mut pair, requests, texts) = negotiated(parts.clone());
        assert_eq!(texts.len(), parts.len(), "{parts:?}");
        assert!(texts.iter().all(|(request, text)| text.is_empty() && request.last), "{texts:?}");
        let lengths = requests.pick(|request| match request {
            Request::DataOut(data) => Some(data.data_segment_length),
            _ => None,
        });
        assert_eq!(lengths, [512; 8], "{parts:?}");
        assert_eq!(pair.isboot.last_error(), None, "{parts:?}");
        pair.log_out();
    }
    // A key that nobody knows is not understood, as soon as there is a next request.
    for parts in [
        vec![Part::pairs("X-vendor.a=1\0X-vendor.b=2\0", 3), Part::last("")],
        vec![Part::cut("X-vendor.a=1\0X-vend", 3), Part::pairs("or.b=2\0", 4), Part::last("")],
        vec![Part::last("X-vendor.a=1\0")],
    ] {
        let (mut pair, _, texts) = negotiated(parts.clone());
        assert_eq!(texts.len(), parts.len(), "{parts:?}");
        let (_, last) = texts.last().unwrap();
        let understood: &[u8] = match parts.len() {
            1 => b"",
            _ => b"X-vendor.a=NotUnderstood\0X-vendor.b=NotUnderstood\0",
        };
        assert_eq!(last, understood, "{parts:?}");
        assert!(texts[..texts.len() - 1].iter().all(|(_, text)| text.is_empty()), "{parts:?}");
        assert_eq!(pair.isboot.last_error(), None, "{parts:?}");
        pair.log_out();
    }
    // What belongs into a login ends the connection.
    for text in [
        "MaxOutstandingR2T=4\0",
        "HeaderDigest=CRC32C\0",
        "MaxRecvDataSegmentLength=511\0",
        "InitiatorName=iqn.2001-04.com.example:x\0",
        "SendTargets=All\0",
        "X-vendor=NotUnderstood\0",
    ] {
        let (mut pair, _, _) = negotiated(vec![Part::last(text)]);
        let error = pair.isboot.last_error();
        assert!(matches!(error, Some(Error::PeerMisbehaved(_))), "{text}: {error:?}");
        assert_eq!(pair.target.statistics().logins, 2, "{text}");
        pair.log_out();
    }
}
