//! UNH-IOL full feature phase 14, 15, 17–20: logout, NOP, text, task management, asynchronous messages.

use std::sync::{Arc, Mutex};

use isboot::login::Name;
use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::Request;
use isboot::pdu::response::Response;
use isboot::session::{Discovered, Error, SendTargets};
use isboot_tests::pair::{DiscoveryPair, NAME, target};
use isboot_tests::target::{Fate, Handling};

use crate::text_requests::{Part, answer};

const TARGET: &str = "TargetName=iqn.2001-04.com.example:a\0TargetAddress=192.0.2.1:3260,1\0";

#[test]
fn ffp_18_1_the_fields_of_a_text_request() {
    let named = SendTargets::Name(Name::new(NAME).unwrap());
    for (what, value) in [(SendTargets::All, "All"), (named, NAME)] {
        let target = target().build();
        // (ExpCmdSN of the last Login Response, tags of Login Requests)
        let login = Arc::<Mutex<(u32, Vec<u32>)>>::default();
        let learned = Arc::clone(&login);
        target.on_response(move |_, pdu| {
            if let Ok(Response::Login(response)) = Response::parse(&pdu.header) {
                let mut learned = learned.lock().unwrap();
                learned.0 = response.numbers.exp_cmd_sn.0;
                learned.1.push(response.initiator_task_tag);
            }
            Fate::Send
        });
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        target.on_request(move |_, pdu| {
            if let Ok(Request::Text(request)) = Request::parse(&pdu.header) {
                let (exp_cmd_sn, tags) = &*login.lock().unwrap();
                assert_eq!(pdu.data, format!("SendTargets={value}\0").into_bytes());
                assert_eq!(request.cmd_sn.0, *exp_cmd_sn);
                assert_eq!(request.target_transfer_tag, RESERVED_TAG);
                assert!(!tags.contains(&request.initiator_task_tag));
                assert!(request.last && !request.text_continues);
                assert_eq!(request.lun, [0; 8]);
                *count.lock().unwrap() += 1;
            }
            Handling::Proceed
        });
        let mut pair = DiscoveryPair::configured(&target, what, |_| {});
        assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1), "{value}");
        assert_eq!(*seen.lock().unwrap(), 1, "{value}");
        pair.assert_no_violations();
    }
}

#[test]
fn ffp_18_2_the_next_text_request_copies_tags_and_lun() {
    let target = target().build();
    let (first, second) = TARGET.split_at(37);
    let lun = [0x41, 0x2c, 1, 2, 3, 4, 5, 6];
    let parts = [Part { lun, ..Part::pairs(first, 0xabba_abba) }, Part::last(second)];
    let requests = answer(&target, &parts);
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1));
    assert_eq!(pair.lines(), ["iqn.2001-04.com.example:a 192.0.2.1:3260,1"]);
    let requests = requests.lock().unwrap();
    let [(first, _), (second, text)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(second.initiator_task_tag, first.initiator_task_tag);
    assert_eq!((second.target_transfer_tag, second.lun), (0xabba_abba, lun));
    assert!(second.last && text.is_empty());
    assert_eq!(second.cmd_sn, first.cmd_sn.next());
    pair.assert_no_violations();
}

#[test]
fn ffp_18_3_1_a_tag_in_the_last_part_means_nothing() {
    let target = target().build();
    let last = Part { target_transfer_tag: 0x1234, ..Part::last(TARGET) };
    let requests = answer(&target, &[last]);
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish(), Ok(Discovered { found: 1, unusable: 0, truncated: false }));
    assert_eq!(requests.lock().unwrap().len(), 1);
    assert_eq!(target.statistics().logouts, 1);
    pair.assert_no_violations();
}

#[test]
fn ffp_18_3_2_a_part_that_is_not_the_last_has_a_tag() {
    let target = target().build();
    let requests = answer(&target, &[Part::pairs(TARGET, RESERVED_TAG)]);
    let mut pair = DiscoveryPair::new(&target);
    assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))));
    assert_eq!(requests.lock().unwrap().len(), 3, "one on each of three connections");
    assert_eq!(target.statistics().connections, 3);
}

#[test]
fn ffp_18_4_a_foreign_key_in_a_send_targets_answer_ends_the_connection() {
    for key in [
        "MaxRecvDataSegmentLength=512",
        "TargetAlias=disks",
        "X-vendor=1",
        "TargetPortalGroupTag=1",
    ] {
        for text in [format!("{key}\0{TARGET}"), format!("{TARGET}{key}\0")] {
            let target = target().build();
            let requests = answer(&target, &[Part::last(&text)]);
            let mut pair = DiscoveryPair::new(&target);
            assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))), "{text}");
            assert_eq!(requests.lock().unwrap().len(), 3, "{text}: tried again, a few times");
            assert_eq!(target.statistics().connections, 3, "{text}");
        }
    }
}
