//! The built-in target against an independent initiator: libiscsi, through its tools.

use std::process::Command;
use std::time::Duration;

use isboot::disk::DiskId;
use isboot_tests::host::{Access, Host};
use isboot_tests::process::{Process, within};
use isboot_tests::target::{
    Chap, Credentials, DigestPolicy, Lun, Redirect, SenseFormat, Server, Target,
};

const NAME: &str = "iqn.2001-04.com.example:disks";
const INITIATOR: &str = "iqn.2001-04.com.example:libiscsi";
const LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

/// What a tool of libiscsi said, and whether it was content.
struct Said {
    text: String,
    success: bool,
}

fn run(tool: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(tool);
    command.args(arguments);
    let mut process = match Process::spawn(command, "libiscsi-bin") {
        Ok(process) => process,
        Err(error) => panic!("{error}"),
    };
    let mut status = None;
    within(LIMIT, || {
        status = process.exited();
        status.is_some()
    });
    process.kill();
    let text = process.log();
    let Some(status) = status else { panic!("`{tool}` did not end within {LIMIT:?}: {text}") };
    Said { text, success: status.success() }
}

fn serve(target: &Target) -> Server {
    target.serve("127.0.0.1:0").expect("a free port of loopback")
}

fn url(server: &Server, lun: u16, options: &str) -> String {
    format!("iscsi://127.0.0.1:{}/{NAME}/{lun}{options}", server.port())
}

#[track_caller]
fn assert_no_violations(target: &Target) {
    let sentences: Vec<String> = target.violations().iter().map(ToString::to_string).collect();
    assert!(sentences.is_empty(), "{sentences:#?}");
}

fn inquire(url: &str) -> Said {
    run("iscsi-inq", &["-i", INITIATOR, url])
}

#[test]
fn identity_and_vital_product_data() {
    let lun = Lun::memory(MIB).identity("ACME", "Rocket disk", "7.1").serial("SN-0042");
    let target = Target::builder(NAME).lun(lun).build();
    let server = serve(&target);
    let said = inquire(&url(&server, 0, ""));
    assert!(said.success, "{}", said.text);
    for expected in ["ACME", "Rocket disk", "7.1", "DIRECT_ACCESS"] {
        assert!(said.text.contains(expected), "{expected} in\n{}", said.text);
    }
    for (page, expected) in
        [("128", "SN-0042"), ("131", "ACME"), ("176", "maximum transfer length:32768")]
    {
        let arguments = ["-i", INITIATOR, "-e", "1", "-c", page, &url(&server, 0, "")];
        let said = run("iscsi-inq", &arguments);
        assert!(said.success && said.text.contains(expected), "page {page}:\n{}", said.text);
    }
    assert_no_violations(&target);
    assert!(target.statistics().logouts >= 3);
}

#[test]
fn capacities_small_large_and_of_4096_bytes() {
    let target = Target::builder(NAME)
        .lun(Lun::memory(64 * MIB))
        .lun(Lun::memory(64 * MIB).block_size(4096))
        .lun(Lun::memory(5 << 40))
        .build();
    let server = serve(&target);
    for (lun, last, size) in [(0, 131_071, 512), (1, 16_383, 4096), (2, 10_737_418_239u64, 512)] {
        let said = run("iscsi-readcapacity16", &[&url(&server, lun, "")]);
        assert!(said.success, "{}", said.text);
        assert!(
            said.text.contains(&format!("RETURNED LOGICAL BLOCK ADDRESS:{last}")),
            "{}",
            said.text
        );
        assert!(
            said.text.contains(&format!("LOGICAL BLOCK LENGTH IN BYTES:{size}")),
            "{}",
            said.text
        );
    }
    assert_no_violations(&target);
}

#[test]
fn discovery_lists_the_target_and_all_its_luns() {
    let mut builder = Target::builder(NAME);
    for _ in 0..300 {
        builder = builder.lun(Lun::memory(MIB).unit_attention(0x29, 0x01));
    }
    let target = builder.also_known("iqn.2001-04.com.example:other", "127.0.0.1:1,9").build();
    let server = serve(&target);
    let said = run("iscsi-ls", &[&format!("iscsi://127.0.0.1:{}", server.port())]);
    assert!(said.success, "{}", said.text);
    let line = format!("Target:{NAME} Portal:127.0.0.1:{},1", server.port());
    assert!(said.text.contains(&line), "{}", said.text);
    assert!(said.text.contains("iqn.2001-04.com.example:other Portal:127.0.0.1:1,9"));
    let statistics = target.statistics();
    assert_eq!((statistics.discovery_logins, statistics.logins), (1, 0));
    assert_no_violations(&target);
}

#[test]
fn luns_are_listed_one_by_one() {
    let mut builder = Target::builder(NAME);
    for _ in 0..300 {
        builder = builder.lun(Lun::memory(MIB));
    }
    let target = builder.build();
    let server = serve(&target);
    let said = run("iscsi-ls", &["-s", &format!("iscsi://127.0.0.1:{}", server.port())]);
    assert!(said.success, "{}", said.text);
    assert_eq!(said.text.matches("Lun:").count(), 300, "{}", said.text);
    // iscsi-ls prints the first two bytes of a LUN: 412Bh is 299 in flat addressing.
    assert!(said.text.contains("Lun:255 ") && said.text.contains("Lun:16683 "), "{}", said.text);
    assert_no_violations(&target);
}

/// libiscsi's tools always offer `None,CRC32C` for headers and `None` for data.
#[test]
fn digests_by_the_policy_of_the_target() {
    let cases =
        [(DigestPolicy::Free, false), (DigestPolicy::Refuse, false), (DigestPolicy::Force, true)];
    for (policy, digest) in cases {
        let target = Target::builder(NAME).lun(Lun::memory(MIB)).header_digest(policy).build();
        let server = serve(&target);
        let said = inquire(&url(&server, 0, ""));
        assert!(said.success && said.text.contains("ISBOOT"), "{policy:?}: {}", said.text);
        let parameters = target.statistics().last_login.expect("a login").parameters;
        assert_eq!((parameters.header_digest, parameters.data_digest), (digest, false));
        assert_no_violations(&target);
    }
    let target =
        Target::builder(NAME).lun(Lun::memory(MIB)).data_digest(DigestPolicy::Force).build();
    let server = serve(&target);
    assert!(!inquire(&url(&server, 0, "")).success);
    assert_eq!((target.statistics().logins, target.statistics().failed_logins), (0, 1));
}

#[test]
fn chap_one_way_and_mutual() {
    let (initiator, secret) = ("operator", "initiatorsecret1");
    let target = Target::builder(NAME)
        .lun(Lun::memory(MIB))
        .chap_policy(Chap {
            challenge_length: 1024,
            ..Chap::new(
                Credentials::new(initiator, secret),
                Some(Credentials::new("disks", "targetsecret0002")),
            )
        })
        .build();
    let server = serve(&target);
    let at = format!("127.0.0.1:{}/{NAME}/0", server.port());

    let said = inquire(&format!("iscsi://{initiator}%{secret}@{at}"));
    assert!(said.success, "{}", said.text);
    let login = target.statistics().last_login.expect("a login");
    assert!(login.chap && !login.mutual_chap);

    let mutual = "?target_user=disks&target_password=targetsecret0002";
    let said = inquire(&format!("iscsi://{initiator}%{secret}@{at}{mutual}"));
    assert!(said.success, "{}", said.text);
    assert!(target.statistics().last_login.expect("a login").mutual_chap);

    let logins = target.statistics().logins;
    for wrong in [
        format!("iscsi://{initiator}%wrongsecret0003@{at}"),
        format!("iscsi://somebody%{secret}@{at}"),
        format!("iscsi://{at}"),
    ] {
        let said = inquire(&wrong);
        assert!(!said.success, "{wrong}: {}", said.text);
    }
    assert_eq!(target.statistics().logins, logins);
    assert_eq!(target.statistics().failed_logins, 3);
    // It is the initiator who finds that this target does not know its secret.
    let wrong =
        format!("iscsi://{initiator}%{secret}@{at}?target_user=disks&target_password=other");
    assert!(!inquire(&wrong).success);
    assert_no_violations(&target);
}

#[test]
fn a_wrong_target_name_and_a_redirection() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB)).build();
    let server = serve(&target);
    let wrong = format!("iscsi://127.0.0.1:{}/iqn.2001-04.com.example:nobody/0", server.port());
    let said = inquire(&wrong);
    assert!(!said.success);
    assert!(said.text.contains("Target not found"), "{}", said.text);

    let elsewhere = Target::builder(NAME).lun(Lun::memory(MIB)).build();
    let there = serve(&elsewhere);
    let address = format!("127.0.0.1:{},1", there.port());
    target.set_redirect(Some(Redirect { address, permanent: false, times: 1 }));
    let said = inquire(&url(&server, 0, ""));
    assert!(said.success, "{}", said.text);
    assert_eq!((target.statistics().logins, elsewhere.statistics().logins), (0, 1));
    assert_no_violations(&target);
    assert_no_violations(&elsewhere);
}

#[test]
fn unit_attentions_becoming_ready_and_descriptor_sense() {
    for format in [SenseFormat::Fixed, SenseFormat::Descriptor] {
        let lun = Lun::memory(MIB).unit_attention(0x29, 0x01).unit_attention(0x29, 0x07);
        let target = Target::builder(NAME).lun(lun).sense_format(format).build();
        let server = serve(&target);
        let said = run("iscsi-readcapacity16", &[&url(&server, 0, "")]);
        assert!(said.success, "{format:?}: {}", said.text);
        assert_no_violations(&target);
    }
}

#[test]
fn mode_pages_are_readable() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB)).build();
    let server = serve(&target);
    let said = run("iscsi-swp", &[&url(&server, 0, "")]);
    assert!(said.success && said.text.contains("SWP:0"), "{}", said.text);
    assert_no_violations(&target);
}

/// libiscsi's own test suite for targets.
#[test]
fn the_suite_of_libiscsi_is_content() {
    let suites = [
        "SCSI.Read10",
        "SCSI.Read16",
        "SCSI.Write10",
        "SCSI.Write16",
        "SCSI.ReadCapacity10",
        "SCSI.ReadCapacity16",
        "SCSI.TestUnitReady",
        "SCSI.Inquiry",
        "SCSI.ModeSense6",
        "SCSI.Mandatory",
        "iSCSI.iSCSIResiduals",
    ];
    let modes = [(true, true), (true, false), (false, true), (false, false)];
    for (initial_r2t, immediate_data) in modes {
        let target = Target::builder(NAME)
            .lun(Lun::memory(64 * MIB))
            .initial_r2t(initial_r2t)
            .immediate_data(immediate_data)
            .first_burst_length(4096)
            .max_burst_length(16_384)
            .max_recv_data_segment_length(2048)
            .max_outstanding_r2t(4)
            .header_digest(if initial_r2t { DigestPolicy::Force } else { DigestPolicy::Refuse })
            .tolerate_early_acknowledgement()
            .build();
        let server = serve(&target);
        for suite in suites {
            assert_suite_passes(suite, &server);
        }
        let statistics = target.statistics();
        assert_eq!(statistics.immediate_bytes != 0, immediate_data);
        assert_eq!(statistics.unsolicited_bytes != 0, !initial_r2t);
        assert!(statistics.solicited_bytes != 0);
        assert_no_violations(&target);
    }
}

/// With R2Ts on their way the suite's abort test corrupts its own memory, so here all data is
/// immediate.
#[test]
fn tasks_are_aborted_and_luns_reset() {
    let target = Target::builder(NAME).lun(Lun::memory(64 * MIB)).build();
    let server = serve(&target);
    assert_suite_passes("iSCSI.iSCSITMF", &server);
    assert!(target.statistics().request_count(0x02) >= 1);
    assert_no_violations(&target);
}

#[track_caller]
fn assert_suite_passes(suite: &str, server: &Server) {
    let said = run("iscsi-test-cu", &["-d", "-n", "-t", suite, &url(server, 0, "")]);
    let asserts = said.text.lines().find(|line| line.trim_start().starts_with("asserts"));
    let numbers: Vec<u64> = asserts
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // Total, run, passed, failed.
    assert!(
        matches!(numbers[..], [total, _, passed, 0] if total != 0 && passed == total),
        "{suite}: {}\n{:?}",
        said.text,
        server.target().violations()
    );
}

#[test]
fn numbers_out_of_order_end_the_connection() {
    for (suite, clause) in [("iSCSI.iSCSIcmdsn", "§4.2.2.1"), ("iSCSI.iSCSIdatasn", "§11.7.5")] {
        let target = Target::builder(NAME)
            .lun(Lun::memory(64 * MIB))
            .immediate_data(false)
            .tolerate_early_acknowledgement()
            .build();
        let server = serve(&target);
        run("iscsi-test-cu", &["-d", "-n", "-t", suite, &url(&server, 0, "")]);
        let violations = target.violations();
        assert!(violations.iter().any(|v| v.clause.contains(clause)), "{suite}: {violations:?}");
    }
}

#[test]
fn many_commands_at_once() {
    let target = Target::builder(NAME)
        .lun(Lun::memory(64 * MIB))
        .window(16)
        .header_digest(DigestPolicy::Force)
        .build();
    let server = serve(&target);
    let url = url(&server, 0, "");
    let said = run("iscsi-perf", &["-i", INITIATOR, "-m", "32", "-b", "64", "-t", "2", &url]);
    let statistics = target.statistics();
    assert!(statistics.data_in_bytes >= 64 * MIB, "{}", said.text);
    assert!((2..=16).contains(&statistics.most_outstanding), "{}", statistics.most_outstanding);
    assert_no_violations(&target);
}

/// The initiator of this product in every data mode and with every digest: it reads, writes and
/// logs out, and breaks no rule of the target on its way.
#[test]
fn our_own_initiator_breaks_no_rule() {
    let content: Vec<u8> = (0..9 * MIB / 4).flat_map(|k| (k as u32 * 77).to_le_bytes()).collect();
    for mode in 0..16 {
        let on = |bit: u32| mode & 1 << bit != 0;
        let target = Target::builder(NAME)
            .lun(Lun::memory(9 * MIB).unit_attention(0x29, 0x01).becoming_ready(2))
            .lun(Lun::memory(8 * MIB).block_size(4096).read_only())
            .initial_r2t(on(0))
            .immediate_data(on(1))
            .header_digest(if on(2) { DigestPolicy::Force } else { DigestPolicy::Refuse })
            .data_digest(if on(3) { DigestPolicy::Force } else { DigestPolicy::Refuse })
            .max_recv_data_segment_length(5000)
            .first_burst_length(20_000)
            .max_burst_length(50_000)
            .max_outstanding_r2t(3)
            .initial_stat_sn(0xffff_fff0)
            .window(7)
            .build();
        let server = serve(&target);
        let offer = |on| if on { "crc32c" } else { "none" };
        let parameters = [
            ("header_digest", offer(on(2))),
            ("data_digest", offer(on(3))),
            ("initial_r2t", "no"),
            ("max_outstanding_r2t", "4"),
        ];
        let access = Access::new(server.portal(), NAME, &parameters);
        let mut host = Host::log_in(&access).expect("a login");
        assert_eq!(host.disks().len(), 2);
        host.write(DiskId(0), 0, &content, 300 * 1024, 8).expect("a write");
        assert!(target.read_lun(0, 0, content.len()).expect("the LUN") == content, "mode {mode}");
        let back = host.read(DiskId(0), 0, content.len(), 300 * 1024, 16).expect("a read");
        assert!(back == content, "mode {mode}");
        target.ping(b"still there?");
        host.log_out().expect("a logout");
        assert_no_violations(&target);
        let remarks: Vec<String> = target.remarks().iter().map(ToString::to_string).collect();
        assert!(remarks.is_empty(), "{remarks:#?}");
        let statistics = target.statistics();
        assert_eq!((statistics.logins, statistics.logouts), (1, 1));
        assert!((2..=7).contains(&statistics.most_outstanding), "{}", statistics.most_outstanding);
        let (initial_r2t, immediate_data) = (on(0), on(1));
        assert_eq!(statistics.immediate_bytes != 0, immediate_data);
        assert_eq!(statistics.unsolicited_bytes != 0, !initial_r2t);
        assert_ne!(statistics.solicited_bytes, 0);
    }
}
