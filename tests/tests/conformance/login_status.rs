//! B-LS: every status class and detail of a Login Response.

use std::time::Duration;

use isboot::boot::State;
use isboot::login::{LoginError, Misbehaviour};
use isboot::session::Error;
use isboot_tests::pair::{Break, Pair, target};

use crate::login_phase::{chap, discovery};
use crate::scripted_login::{Reply, Seen, login};

fn rejected(class: u8, detail: u8) -> Error {
    Error::Login(LoginError::Rejected { class, detail })
}

/// The first response has this status: the login fails at once and for good, with a reason that
/// names it.
#[track_caller]
fn ends_at_once(detail: u8) {
    let error = login(move |seen| seen.ends(2, detail)).fails();
    assert_eq!(error, rejected(2, detail));
    let said = error.to_string();
    assert!(said.contains(&format!("02{detail:02x}h")), "{said}");
    // Also with every number void, and T, NSG and text that would mean something else (§11.13.5).
    let noisy = login(move |seen| {
        seen.says("0>1", "AuthMethod=None").with(|header| {
            (header.status_class, header.status_detail) = (2, detail);
            header.numbers.stat_sn.0 = 0xdead_beef;
            header.numbers.exp_cmd_sn.0 = 0x8000_0000;
            header.numbers.max_cmd_sn.0 = 5;
        })
    });
    assert_eq!(noisy.fails(), rejected(2, detail));
}

#[test]
fn b_ls_01_success_without_t_goes_on_in_the_stage() {
    let played = login(|seen| match seen.step {
        0 | 2 => seen.says(&seen.flags()[..1], ""),
        _ => seen.granted(),
    })
    .run();
    played.logged_in();
    let flags: Vec<String> = played.requests().iter().map(Seen::flags).collect();
    assert_eq!(flags, ["0>1", "0>1", "1>3", "1>3"]);
}

#[test]
fn b_ls_02_initiator_error() {
    ends_at_once(0x00);
}

#[test]
fn b_ls_03_authentication_failure() {
    // At once, from a target that demands what is not configured.
    ends_at_once(0x01);
    // After CHAP_R: nothing else is tried, neither None nor another secret.
    for required in [true, false] {
        let played = login(|seen| match seen.step {
            0 => seen.says("0", "TargetPortalGroupTag=1 AuthMethod=CHAP"),
            1 => seen.says("0", "CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f"),
            _ => seen.ends(2, 1),
        })
        .configured(chap(required))
        .run();
        assert!(played.requests()[2].value("CHAP_R").is_some());
        assert_eq!(played.failed(), rejected(2, 1));
    }
    // Later, too: a target that took the secret and now does not is not asked again.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.read(0, 0, 512).unwrap();
    target.refuse_logins(2, 1, 100);
    pair.wire.break_now(Break::Reset);
    assert_eq!(pair.end(), Some(rejected(2, 1)));
    pair.pass(Duration::from_secs(600));
    assert_eq!(target.statistics().connections, 2);
}

#[test]
fn b_ls_04_authorization_failure() {
    ends_at_once(0x02);
}

#[test]
fn b_ls_05_not_found() {
    ends_at_once(0x03);
}

#[test]
fn b_ls_06_target_removed() {
    ends_at_once(0x04);
}

#[test]
fn b_ls_07_unsupported_version() {
    ends_at_once(0x05);
    let error = login(|seen| {
        seen.ends(2, 5).with(|header| (header.version_max, header.version_active) = (1, 1))
    })
    .fails();
    assert_eq!(error, rejected(2, 5), "no other version is tried");
}

#[test]
fn b_ls_08_too_many_connections() {
    ends_at_once(0x06);
    // Another session of the same process is none the worse.
    let target = target().build();
    let mut other = Pair::ready(&target, &[]);
    let refused = login(|seen| seen.ends(2, 6)).fails();
    assert_eq!(refused, rejected(2, 6));
    other.read(0, 0, 512).unwrap();
    assert_eq!(target.statistics().connections, 1);
    other.log_out();
}

#[test]
fn b_ls_09_missing_parameter() {
    ends_at_once(0x07);
    assert!(rejected(2, 7).to_string().contains("misses a parameter"));
}

#[test]
fn b_ls_10_cannot_include_in_session() {
    ends_at_once(0x08);
}

#[test]
fn b_ls_11_session_type_not_supported() {
    ends_at_once(0x09);
    let refused = login(|seen| seen.ends(2, 9)).configured(discovery).fails();
    assert_eq!(refused, rejected(2, 9));
    // The target that refuses discovery still takes a Normal session by its configured name.
    login(|seen| match seen.value("SessionType").as_deref() {
        Some("Discovery") => seen.ends(2, 9),
        _ => seen.granted(),
    })
    .succeeds();
}

#[test]
fn b_ls_12_session_does_not_exist() {
    ends_at_once(0x0a);
}

#[test]
fn b_ls_13_invalid_during_login() {
    ends_at_once(0x0b);
    let mid_login = login(|seen| match seen.step {
        0 => seen.granted(),
        1 => seen.says("1", ""),
        _ => seen.ends(2, 0x0b),
    });
    assert_eq!(mid_login.fails(), rejected(2, 0x0b));
}

/// The same login again after a pause, thrice; then it succeeds. And a bound when it never does.
fn comes_again(detail: u8) {
    let mut played = login(move |seen| match seen.connection {
        1..=3 => seen.ends(3, detail),
        _ => seen.granted(),
    })
    .begin();
    let wire = played.pair.wire.clone();
    let mut pauses = Vec::new();
    for connection in 1..=4 {
        let took =
            played.pair.run_until("the next connection", |_| wire.portals().len() == connection);
        pauses.push(took.as_millis());
    }
    assert_eq!(pauses, [0, 100, 200, 400], "paced");
    assert_eq!(played.pair.isboot.last_error(), Some(rejected(3, detail)), "and visible");
    played.pair.run_until("full feature phase", |isboot| isboot.negotiated().is_some());
    played.logged_in();
    let requests = played.requests();
    let first = |connection| {
        let mut of = requests.iter().filter(|seen| seen.connection == connection);
        of.next().map(Seen::pairs)
    };
    assert!((2..=4).all(|connection| first(connection) == first(1)), "the same login");

    let mut played =
        login(move |seen| seen.ends(3, detail)).parameters(&[("outage_limit", "60")]).begin();
    assert_eq!(played.pair.end(), Some(rejected(3, detail)));
    let seconds = played.pair.now().as_millis() / 1000;
    assert!((55..=65).contains(&seconds), "given up after {seconds} s");
    let attempts = played.requests().len();
    assert!((12..=25).contains(&attempts), "{attempts} attempts");
}

#[test]
fn b_ls_14_target_error_is_tried_again() {
    comes_again(0x00);
}

#[test]
fn b_ls_15_service_unavailable_is_tried_again() {
    comes_again(0x01);
    // An array that boots for minutes is waited for, if one allows minutes.
    let mut played = login(|seen| match seen.connection {
        1..=100 => seen.ends(3, 1),
        _ => seen.granted(),
    })
    .parameters(&[("outage_limit", "900")])
    .begin();
    played.pair.run_until("the array", |isboot| isboot.negotiated().is_some());
    assert!(played.pair.now().as_millis() > 400_000);
}

#[test]
fn b_ls_16_out_of_resources_is_tried_again() {
    comes_again(0x02);
}

#[test]
fn b_ls_17_an_unknown_detail_is_like_its_class() {
    for detail in [0x0c, 0x7f, 0xff] {
        ends_at_once(detail);
    }
    for detail in [0x03, 0xff] {
        comes_again(detail);
    }
}

#[test]
fn b_ls_18_an_unknown_class_fails() {
    for class in [0x04, 0x05, 0x80, 0xff] {
        for detail in [0x00, 0x01] {
            let error = login(move |seen| seen.ends(class, detail)).fails();
            let reserved = LoginError::PeerMisbehaved(Misbehaviour::StatusClass(class));
            assert_eq!(error, Error::Login(reserved));
        }
    }
}

#[test]
fn b_ls_19_the_status_wins_over_text_and_t() {
    for (class, detail) in [(2, 1), (3, 0)] {
        for text in ["", "MaxBurstLength=junk", "TargetPortalGroupTag=2", "CHAP_R=0x00"] {
            let error = login(move |seen| match seen.step {
                0 => seen.granted(),
                1 => seen.says("1", "InitialR2T=Yes"),
                _ => seen.says("1>3", text).with(|header| {
                    (header.status_class, header.status_detail) = (class, detail);
                }),
            })
            .configured(|config| config.login.target_portal_group_tag = Some(1))
            .drops();
            assert_eq!(error, rejected(class, detail), "{text}");
        }
    }
}

#[test]
fn b_ls_20_a_target_that_goes_on_talking_is_not_heard() {
    for (class, detail) in [(2, 0), (3, 1), (4, 0)] {
        let script = move |seen: &Seen| -> Reply {
            let later = |step| {
                seen.granted()
                    .with(|header| header.numbers.stat_sn = header.numbers.stat_sn.plus(step))
            };
            match seen.connection {
                1 => vec![seen.ends(class, detail), later(1), later(2)].into(),
                _ => Reply::silence(),
            }
        };
        let mut played = login(script).run();
        played.pair.pass(Duration::from_millis(50));
        assert_eq!(played.requests().len(), 1, "nothing more is sent");
        assert!(!played.pair.wire.is_open(), "closed");
        assert!(!matches!(played.pair.isboot.state(), State::Ready | State::FindingDisks));
        assert!(played.others().is_empty());
    }
}
