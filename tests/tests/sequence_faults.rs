//! Answers that lie, portals that redirect, sessions that end: sequences out of the ordinary.

use std::time::Duration;

use isboot::boot::State;
use isboot::disk::RequestError;
use isboot::login::{LoginConfig, Name};
use isboot::pdu::bhs::opcode;
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::request::Stage;
use isboot::pdu::response::{LoginResponse, ReadyToTransfer, Residual, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{
    Error, Escalation, Event, LinkWanted, Session, SessionConfig, Timeouts, Waiting,
};
use isboot::time::Instant;
use isboot_tests::pair::{
    Direction, NAME, NUMBERS, Pair, Random, Wire, good, scsi_response, target,
};
use isboot_tests::target::{DigestPolicy, Fate, Handling, Injection, Numbering, Pdu, Redirect};

// --- answers that lie ---

/// Nothing is done twice because something came twice; at worst the session is renewed.
#[test]
fn whatever_comes_twice_counts_once() {
    for code in [
        opcode::DATA_IN,
        opcode::SCSI_RESPONSE,
        opcode::READY_TO_TRANSFER,
        opcode::NOP_IN,
        opcode::LOGIN_RESPONSE,
    ] {
        let target = target().immediate_data(false).build();
        let mut pair = Pair::new(&target, &[("initial_r2t", "yes")]);
        let mut doubles = 2;
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() == code && doubles > 0 {
                doubles -= 1;
                return Fate::Twice;
            }
            Fate::Send
        });
        pair.become_ready();
        target.ping(&[]);
        let data = Random(9).bytes(4096);
        pair.write(0, 0, &data).unwrap();
        pair.pass(Duration::from_secs(7));
        assert_eq!(pair.read(0, 0, 4096).unwrap(), data, "opcode {code:#04x}");
        assert!(pair.take_completion().is_none());
        // A ping that comes twice is answered twice, which the target cannot know.
        if code != opcode::NOP_IN {
            pair.log_out();
        }
    }
}

/// The end of a logout bounds everything, also a command that is overdue meanwhile.
#[test]
fn a_logout_next_to_an_overdue_command_ends_in_time() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("command_timeout", "30")]);
    target.on_request(|_, pdu| match pdu.header.opcode() {
        opcode::NOP_OUT => Handling::Proceed,
        _ => Handling::Swallow,
    });
    pair.submit_read(0, 0, 512);
    pair.pass(Duration::from_secs(28));
    let now = pair.now();
    pair.isboot.detach(now);
    assert_eq!(pair.end(), Some(Error::Timeout(Waiting::Logout)));
    assert_eq!(pair.now().since(now), Duration::from_secs(5));
}

/// The target says GOOD although it never asked for the data: nothing of it may count as
/// written.
#[test]
fn good_for_a_write_whose_data_was_never_asked_for_is_no_success() {
    let target = target().immediate_data(false).build();
    let mut pair = Pair::ready(&target, &[]);
    let mut lies = 1;
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() != opcode::SCSI_COMMAND || lies == 0 {
            return Handling::Proceed;
        }
        lies -= 1;
        Handling::Answer(vec![good(pdu.header.initiator_task_tag(), Residual::None)])
    });
    let data = Random(3).bytes(2048);
    pair.write(0, 0, &data).unwrap();
    assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
    assert_eq!(target.read_lun(0, 0, 2048).unwrap(), data, "written by the second issue");
}

#[test]
fn good_in_the_middle_of_a_burst_is_no_success_either() {
    let target = target().immediate_data(false).max_recv_data_segment_length(512).build();
    let mut pair = Pair::ready(&target, &[]);
    let mut lies = 1;
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() != opcode::DATA_OUT || lies == 0 {
            return Handling::Proceed;
        }
        lies -= 1;
        Handling::Answer(vec![good(pdu.header.initiator_task_tag(), Residual::None)])
    });
    // Room for less than two PDUs: the rest of the burst is unsent when the lie arrives.
    pair.wire.set_room(700);
    let data = Random(3).bytes(8192);
    pair.write(0, 0, &data).unwrap();
    assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
    assert_eq!(target.read_lun(0, 0, 8192).unwrap(), data);
}

/// The status comes while a Data-Out PDU is half on the wire: the request fails once, its buffer
/// comes back at once, and the PDU goes to its end without it, so that the stream stays in step.
#[test]
fn a_write_that_fails_in_the_middle_of_a_pdu_gives_its_buffer_back_and_the_stream_goes_on() {
    let target = target()
        .immediate_data(false)
        .max_recv_data_segment_length(4096)
        .digests(DigestPolicy::Force)
        .build();
    let mut pair = Pair::ready(&target, &[]);
    let (mut wanted, mut seen) = (None, Vec::new());
    let data = std::sync::Arc::new(std::sync::Mutex::new(Vec::<u8>::new()));
    let arrived = data.clone();
    target.on_request(move |_, pdu| {
        let tag = pdu.header.initiator_task_tag();
        match (pdu.header.opcode(), wanted) {
            (opcode::SCSI_COMMAND, None) => {
                wanted = Some(tag);
                let r2t = ReadyToTransfer {
                    lun: [0; 8],
                    initiator_task_tag: tag,
                    target_transfer_tag: 1,
                    numbers: NUMBERS,
                    r2t_sn: 0,
                    buffer_offset: 0,
                    desired_data_transfer_length: 8192,
                };
                let pdu = Pdu::new(Response::ReadyToTransfer(r2t).emit(), Vec::new());
                Handling::Answer(vec![Injection { pdu, numbering: Numbering::Current }])
            }
            (opcode::DATA_OUT, Some(failed)) if failed == tag => {
                seen.push(pdu.data.len());
                arrived.lock().unwrap().extend(&pdu.data);
                match seen.len() {
                    1 => Handling::Answer(vec![scsi_response(tag, 0x18, Residual::None, [])]),
                    _ => Handling::Swallow,
                }
            }
            _ => Handling::Proceed,
        }
    });
    pair.wire.set_room(100);
    let id = pair.submit_write(0, 0, &[7; 8192]);
    let finished = pair.finish_one();
    assert_eq!(finished.id, id);
    assert_eq!(finished.outcome, Err(RequestError::Reserved));
    assert_eq!(finished.buffer, Some(vec![7; 8192]));
    pair.write(0, 8, &[8; 8192]).unwrap();
    assert_eq!(target.read_lun(0, 8 * 512, 8192).unwrap(), [8; 8192]);
    let data = data.lock().unwrap();
    assert_eq!(data.len(), 8192, "the PDU that was begun is finished");
    assert_eq!(data[..4096], [7; 4096]);
    let own = data.iter().filter(|&&byte| byte == 7).count();
    assert!(own < 8192 && data[own..].iter().all(|&byte| byte == 0), "without the buffer");
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

/// An answer to a Login Request that is still being sent is an answer to nothing.
#[test]
fn a_login_response_before_the_end_of_its_request_ends_the_connection() {
    let name = |name| Name::new(name).unwrap();
    let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
    let config = SessionConfig {
        portal: Wire::PORTAL,
        login: LoginConfig::new(name("iqn.2026-11.org.example:host"), name(NAME), isid),
        timeouts: Timeouts::default(),
        escalation: Escalation::default(),
        initial_cmd_sn: SerialNumber(1),
        crc32c: Crc32cFunction::default(),
    };
    let now = Instant::ZERO;
    let mut session = Box::new(Session::<4>::new(config, now));
    session.link_up(now, None);
    let mut sent = [0; 60];
    assert_eq!(session.transmit(now, &mut sent, &mut ()), 60);
    let response = LoginResponse {
        transit: true,
        text_continues: false,
        current_stage: Stage::SecurityNegotiation,
        next_stage: Stage::OperationalNegotiation,
        version_max: 0,
        version_active: 0,
        isid,
        tsih: 0,
        initiator_task_tag: u32::from_be_bytes(sent[16..20].try_into().unwrap()),
        numbers: NUMBERS,
        status_class: 0,
        status_detail: 0,
        data_segment_length: 0,
    };
    let early = Response::Login(response).emit();
    assert_eq!(session.receive(now, &mut &early.as_bytes()[..]), None);
    assert_eq!(session.link(), LinkWanted::Close);
    let rule = "a Login Response answers a Login Request";
    let error = Error::PeerMisbehaved(rule);
    assert!(matches!(session.poll(now), Some(Event::Lost { error: why, .. }) if why == error));
    assert_eq!(session.transmit(now, &mut sent, &mut ()), 0, "nothing more of the request");
}

// --- redirection (RFC 7143 §11.13.5) ---

#[test]
fn a_redirection_leads_to_a_new_connection() {
    let target = target().build();
    let address = "192.0.2.7:3261".to_owned();
    target.set_redirect(Some(Redirect { address, permanent: false, times: 1 }));
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    assert_eq!(pair.wire.portals(), [Wire::PORTAL, "192.0.2.7:3261".parse().unwrap()]);
    assert_eq!(target.statistics().connections, 2);
    pair.log_out();
}

#[test]
fn redirections_in_circles_end_and_later_ones_are_followed_again() {
    let circle =
        |times| Some(Redirect { address: "192.0.2.7:3261".to_owned(), permanent: false, times });
    let target = target().build();
    target.set_redirect(circle(1000));
    let mut pair = Pair::new(&target, &[]);
    assert_eq!(pair.end(), Some(Error::TooManyRedirections));
    assert!(pair.wire.portals().len() <= 10);

    let target = self::target().build();
    let mut pair = Pair::ready(&target, &[("outage_limit", "600")]);
    target.set_redirect(circle(20));
    pair.wire.break_now(isboot_tests::pair::Break::Reset);
    pair.read(0, 0, 512).unwrap();
    // Nine lead to the limit, nine more the next time, and the last two to the target.
    assert_eq!(pair.wire.portals().last(), Some(&"192.0.2.7:3261".parse().unwrap()));
    pair.log_out();
}

// --- logout (RFC 7143 §11.14) ---

#[test]
fn logout_in_every_phase_ends() {
    // By the number of bytes that the target got before: in the login, between its exchanges, in
    // the search for disks, afterwards.
    for bytes in (0..4000).step_by(37) {
        let target = target().build();
        let mut pair = Pair::new(&target, &[]);
        pair.wire.split(64);
        pair.run_until("the phase", |isboot| {
            isboot.stream().stream().carried(Direction::ToTarget) >= bytes
                || isboot.state() == State::Ready
        });
        let now = pair.now();
        pair.isboot.detach(now);
        pair.isboot.detach(now);
        assert_eq!(pair.end(), None);
        pair.run_until("the close", |isboot| isboot.is_detached());
        let rejected = pair.isboot.poll(pair.now());
        assert_eq!(rejected, None, "nothing more is waited for");
    }
}

#[test]
fn a_logout_without_an_answer_ends_in_time() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.on_request(|_, pdu| match pdu.header.opcode() {
        opcode::LOGOUT_REQUEST => Handling::Swallow,
        _ => Handling::Proceed,
    });
    let begin = pair.now();
    pair.isboot.detach(begin);
    assert_eq!(pair.end(), Some(Error::Timeout(Waiting::Logout)));
    assert_eq!(pair.now().since(begin), Duration::from_secs(5));
    pair.run_until("the close", |isboot| isboot.is_detached());
}

#[test]
fn a_logout_that_the_target_refuses_ends_all_the_same() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.on_response(|_, pdu| {
        if pdu.header.opcode() == opcode::LOGOUT_RESPONSE {
            let mut bytes = *pdu.header.as_bytes();
            bytes[2] = 3; // cleanup failed
            pdu.header = isboot::pdu::bhs::BasicHeaderSegment::from_bytes(bytes);
        }
        Fate::Send
    });
    let now = pair.now();
    pair.isboot.detach(now);
    let _ = pair.end();
    pair.run_until("the close", |isboot| isboot.is_detached());
}

#[test]
fn a_logout_response_with_another_tag_is_none() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.on_response(|_, pdu| {
        if pdu.header.opcode() == opcode::LOGOUT_RESPONSE {
            pdu.header.set_initiator_task_tag(0);
        }
        Fate::Send
    });
    let now = pair.now();
    pair.isboot.detach(now);
    assert!(matches!(pair.end(), Some(Error::PeerMisbehaved(_))));
}

#[test]
fn nothing_follows_the_logout_request() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let handle = target.clone();
    target.on_request(move |_, pdu| match pdu.header.opcode() {
        opcode::LOGOUT_REQUEST => {
            handle.ping(&[]);
            Handling::Swallow
        }
        _ => Handling::Proceed,
    });
    let now = pair.now();
    pair.isboot.detach(now);
    pair.end();
    assert_eq!(target.statistics().request_count(opcode::NOP_OUT), 0);
}

#[test]
fn requests_under_way_are_handed_back_by_a_logout() {
    let target = target().window(4).build();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    for lba in 0..40 {
        pair.submit_write(0, lba, &[1; 512]);
    }
    pair.pass(Duration::from_millis(1));
    let now = pair.now();
    pair.isboot.detach(now);
    pair.run_until("the close", |isboot| isboot.is_detached());
    let mut back = 0;
    while let Some(finished) = pair.take_completion() {
        assert!(finished.outcome.is_err());
        assert_eq!(finished.buffer, Some(vec![1; 512]), "the buffer comes back");
        back += 1;
    }
    assert_eq!(back, 40);
}
