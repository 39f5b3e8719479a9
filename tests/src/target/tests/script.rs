//! What scripts can do to a target, PDU by PDU.

use super::*;
use crate::target::{Fate, Handling, Injection, Numbering};
use isboot::pdu::bhs::opcode;
use isboot::pdu::response::{AsyncMessage, SequenceNumbers};

const BOTH_DIGESTS: [&str; 2] = ["HeaderDigest=CRC32C", "DataDigest=CRC32C"];

/// Applies `fate` to the first Data-In.
fn on_first_data_in(target: &Target, mut fate: impl FnMut(&mut Pdu) -> Fate + Send + 'static) {
    let mut done = false;
    target.on_response(move |_, pdu| {
        if pdu.header.opcode() != opcode::DATA_IN || std::mem::replace(&mut done, true) {
            return Fate::Send;
        }
        fate(pdu)
    });
}

fn output_of_one_read(fate: impl FnMut(&mut Pdu) -> Fate + Send + 'static) -> (Hand, Vec<u8>) {
    let mut hand = Hand::logged_in(builder(), &BOTH_DIGESTS);
    on_first_data_in(&hand.target.clone(), fate);
    hand.read(1, &read_10(0, 1), 512);
    let output = hand.connection.take_output();
    (hand, output)
}

#[test]
fn a_pdu_is_dropped_doubled_replaced_or_cut() {
    let whole = 48 + 4 + 512 + 4;
    let (_, output) = output_of_one_read(|_| Fate::Drop);
    assert_eq!(output, []);
    let (_, output) = output_of_one_read(|_| Fate::Twice);
    assert_eq!((output.len(), &output[..whole]), (2 * whole, &output[whole..]));
    let (_, output) = output_of_one_read(|_| Fate::Bytes(vec![1, 2, 3]));
    assert_eq!(output, [1, 2, 3]);
    let (hand, output) = output_of_one_read(|_| Fate::CutAfter(50));
    assert_eq!(output.len(), 50);
    assert!(hand.connection.is_closed());
    let (mut hand, output) = output_of_one_read(|pdu| {
        pdu.data.truncate(100);
        Fate::Send
    });
    hand.decoder.push(&output);
    // The header still says 512: what a script wrote is what goes out.
    assert_eq!(hand.decoder.next(hand.digests, 8192).unwrap(), None);
}

#[test]
fn digests_are_damaged_where_they_are_asked_to_be() {
    use crate::target::frame::FrameFault;
    let (mut hand, output) = output_of_one_read(|_| Fate::CorruptHeader);
    hand.decoder.push(&output);
    let fault = FrameFault::HeaderDigest { opcode: opcode::DATA_IN };
    assert_eq!(hand.decoder.next(hand.digests, 8192), Err(fault));
    let (mut hand, output) = output_of_one_read(|_| Fate::CorruptData);
    hand.decoder.push(&output);
    let fault = FrameFault::DataDigest { opcode: opcode::DATA_IN };
    assert_eq!(hand.decoder.next(hand.digests, 8192), Err(fault));
}

#[test]
fn pdus_are_held_and_come_in_another_order() {
    let mut hand = Hand::logged_in(builder(), &[]);
    on_first_data_in(&hand.target.clone(), |_| Fate::Hold);
    hand.read(1, &read_10(0, 1), 512);
    hand.read(2, &read_10(0, 1), 512);
    let tags = |hand: &mut Hand| -> Vec<u32> {
        hand.all()
            .iter()
            .map(|(response, _)| match response {
                Response::DataIn(data) => data.initiator_task_tag,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(tags(&mut hand), [2]);
    assert_eq!(tags(&mut hand), [0u32; 0]);
    hand.target.release_held();
    assert_eq!(tags(&mut hand), [1]);
}

fn async_message(event: u8) -> Pdu {
    let zero = SerialNumber(0);
    let message = AsyncMessage {
        lun: [0; 8],
        numbers: SequenceNumbers { stat_sn: zero, exp_cmd_sn: zero, max_cmd_sn: zero },
        event,
        vendor_code: 0,
        parameters: [0, 0, 5],
        data_segment_length: 0,
    };
    Pdu::new(Response::AsyncMessage(message).emit(), Vec::new())
}

#[test]
fn pdus_of_the_scripts_own_are_numbered_as_asked() {
    let mut hand = Hand::logged_in(builder(), &[]);
    let next = hand.exp_stat_sn;
    let expected = [
        (Numbering::Exact, SerialNumber(0), SerialNumber(0)),
        (Numbering::Current, next, SerialNumber(0xffff_fffe)),
        (Numbering::Status, next, SerialNumber(0xffff_fffe)),
        (Numbering::Status, next.next(), SerialNumber(0xffff_fffe)),
    ];
    for (numbering, stat_sn, exp_cmd_sn) in expected {
        hand.target.inject(Injection { pdu: async_message(1), numbering });
        let (Response::AsyncMessage(message), _) = hand.one() else { panic!("no message") };
        assert_eq!((message.numbers.stat_sn, message.numbers.exp_cmd_sn), (stat_sn, exp_cmd_sn));
    }
    hand.read(1, &[0; 6], 0);
    let (Response::Scsi(response), _) = hand.one() else { panic!("no status") };
    assert_eq!(response.numbers.stat_sn, next.plus(2));
    hand.assert_content();
}

#[test]
fn requests_are_swallowed_or_answered_by_the_script() {
    let mut hand = Hand::logged_in(builder(), &[]);
    hand.target.on_request(|wire, pdu| {
        assert_eq!(wire.connection, 1);
        match pdu.header.initiator_task_tag() {
            1 => Handling::Swallow,
            2 => Handling::Answer(vec![Injection {
                pdu: async_message(4),
                numbering: Numbering::Status,
            }]),
            _ => Handling::Proceed,
        }
    });
    hand.read(1, &[0; 6], 0);
    assert_eq!(hand.all(), []);
    hand.read(2, &[0; 6], 0);
    let (Response::AsyncMessage(message), _) = hand.one() else { panic!("no message") };
    // Both counted in ExpCmdSN.
    assert_eq!((message.event, message.numbers.exp_cmd_sn), (4, SerialNumber(0)));
    hand.read(3, &[0; 6], 0);
    let (Response::Scsi(response), _) = hand.one() else { panic!("no status") };
    assert_eq!(response.initiator_task_tag, 3);
    hand.assert_content();
    // Rules hold for what is swallowed, too.
    hand.cmd_sn = hand.cmd_sn.next();
    hand.read(1, &[0; 6], 0);
    hand.assert_violation("§4.2.2.1", "is due");
}

#[test]
fn keys_of_the_scripts_own_are_proposed() {
    let target = builder().propose("MaxOutstandingR2T", "8").propose("TargetAlias", "x").build();
    let mut hand = Hand::of(&target);
    let names = [format!("InitiatorName={INITIATOR}"), format!("TargetName={NAME}")];
    let mut request = login_request(Stage::OperationalNegotiation);
    let (response, said) = hand.login_text(request, &[&names[0], &names[1]]);
    assert!(!response.transit);
    assert!(said.ends_with("MaxOutstandingR2T=8\0TargetAlias=x\0"), "{said}");
    request.exp_stat_sn = hand.exp_stat_sn;
    let response = hand.login(request, &["MaxOutstandingR2T=3"]);
    assert!(response.transit);
    assert_eq!(target.statistics().last_login.unwrap().parameters.max_outstanding_r2t, 3);
    hand.assert_content();
}
