//! Against the real istgt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use isboot_tests::istgt::{Authentication, Istgt, Lun, Options, PRODUCT, REVISION, VENDOR};
use isboot_tests::ports::free_port;
use serde_json::Value;

use crate::{command, complaint, hex_sha256, iscsi_tool, json, noise, stdout, text};

const MIB: usize = 1 << 20;
const SECRET: &str = "correct horse battery";
const TARGET_SECRET: &str = "staple staple staple";

/// A target with two disks, and files of one test: gone when it ends.
struct Rig {
    istgt: Option<Istgt>,
    directory: PathBuf,
}

impl Rig {
    /// LUN 0 has 3 MiB and 5 blocks, LUN 1 has 5 MiB.
    fn new(options: &Options) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("iscsi-tool-{}-{number}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let block = options.block_length as usize;
        let lun = |seed: u64, length| {
            let image = directory.join(format!("{seed}.img"));
            fs::write(&image, noise(seed, length)).unwrap();
            Lun { image, serial: format!("SERIAL-{seed}") }
        };
        let luns = [lun(0, 3 * MIB + 5 * block), lun(1, 5 * MIB)];
        let istgt = Istgt::start(&directory.join("istgt"), &luns, options)
            .unwrap_or_else(|error| panic!("{error}"));
        Self { istgt: Some(istgt), directory }
    }

    fn istgt(&self) -> &Istgt {
        self.istgt.as_ref().unwrap()
    }

    fn url(&self) -> String {
        format!("iscsi://{}/{}", self.istgt().portal(), self.istgt().target_name())
    }

    fn lun(&self, lun: u16) -> String {
        format!("{}/{lun}", self.url())
    }

    fn image(&self, lun: u16) -> Vec<u8> {
        fs::read(self.directory.join(format!("{lun}.img"))).unwrap()
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.istgt = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn ls_shows_what_was_configured() {
    let rig = Rig::new(&Options { block_length: 4096, ..Options::default() });
    let table = text(&["ls", &rig.url()]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(
        lines[1],
        ["0", VENDOR, PRODUCT, REVISION, "SERIAL-0", "4096", "773", "3.02 MiB", "yes"]
    );
    assert_eq!(
        lines[2],
        ["1", VENDOR, PRODUCT, REVISION, "SERIAL-1", "4096", "1280", "5.00 MiB", "yes"]
    );

    let list = json(&["--json", "ls", &rig.url()]);
    assert_eq!(list["target"], rig.istgt().target_name());
    let disk = &list["disks"][1];
    assert_eq!((&disk["lun"], &disk["serial"]), (&"1".into(), &"SERIAL-1".into()));
    assert_eq!((&disk["bytes"], &disk["read_only"]), (&(5 * MIB).into(), &false.into()));

    let one = json(&["ls", &rig.lun(1), "--json"]);
    assert_eq!(one["disks"], Value::Array(vec![disk.clone()]));
    assert!(rig.istgt().wait_for_log("Logout from ", Duration::from_secs(5)), "it logs out");
}

#[test]
fn info_tells_what_was_agreed_on() {
    let options = Options {
        first_burst_length: 8192,
        max_burst_length: 16_384,
        max_recv_data_segment_length: 8192,
        ..Options::default()
    };
    let rig = Rig::new(&options);
    // FirstBurstLength is offered where unsolicited data is.
    let parameters =
        ["-p", "header_digest=crc32c", "-p", "immediate_data=no", "-p", "initial_r2t=no"];
    let info = json(&[&["info", &rig.url(), "--json"], &parameters[..]].concat());
    assert_eq!((&info["header_digest"], &info["data_digest"]), (&"CRC32C".into(), &"None".into()));
    assert_eq!(info["first_burst_length"], 8192);
    assert_eq!(info["max_burst_length"], 16_384);
    assert_eq!(info["max_send_data_segment_length"], 8192);
    assert_eq!(info["immediate_data"], false);
    let disks = info["disks"].as_array().unwrap();
    assert_eq!((disks.len(), &disks[1]["serial"]), (2, &"SERIAL-1".into()));
    let reservation = &disks[0]["reservation"];
    assert_eq!(
        (&reservation["keys"], &reservation["holder"]),
        (&Value::Array(vec![]), &Value::Null)
    );
    assert_eq!(info["initiator"], "iqn.2026-01.org.isboot:iscsi-tool");
    for step in ["connect_seconds", "login_seconds", "disks_seconds"] {
        assert!(info[step].as_f64().is_some_and(|time| time > 0.0 && time < 30.0), "{info:#}");
    }

    let name = "iqn.2010-06.org.example:someone";
    let page = text(&[&["info", &rig.url(), "--initiator-name", name], &parameters[..]].concat());
    for (key, value) in [
        ("Target", rig.istgt().target_name()),
        ("Initiator", name),
        ("Header digest", "CRC32C"),
        ("Burst", "16384 bytes (16.00 KiB)"),
        ("Immediate data", "no"),
    ] {
        assert!(page.contains(&format!("{key:20}{value}\n")), "{key}: {page}");
    }
    assert!(rig.istgt().log_contains(name), "{}", rig.istgt().log());
}

#[test]
fn a_whole_disk_is_hashed_and_copied() {
    let rig = Rig::new(&Options::default());
    let hash = hex_sha256(&rig.image(0));
    assert_eq!(text(&["read", &rig.lun(0), "--sha256"]), format!("{hash}  {}\n", rig.lun(0)));
    // More requests than commands, and pieces that no burst divides.
    let shape = ["--depth", "64", "--chunk", "1536", "-p", "queue_depth=3"];
    let read = json(&[&["read", &rig.lun(0), "--sha256", "--json"], &shape[..]].concat());
    assert_eq!((&read["sha256"], &read["bytes"]), (&hash.into(), &rig.image(0).len().into()));

    let copy = rig.file("copy", b"old");
    assert!(stdout(&["read", &rig.lun(0), "-o", &copy, "--depth", "1"]).is_empty());
    assert!(fs::read(&copy).unwrap() == rig.image(0));
    assert!(stdout(&["read", &rig.lun(0)]) == rig.image(0), "standard output takes it too");
}

#[test]
fn what_is_written_is_there_and_nothing_else_is() {
    let rig = Rig::new(&Options::default());
    let data = noise(99, 3 * MIB + 512);
    let file = rig.file("data", &data);
    let before = rig.image(1);
    let arguments = ["write", &rig.lun(1), "--lba", "7", &file];

    let question = complaint(2, &arguments);
    assert!(question.contains("overwrite") && question.contains("SERIAL-1"), "{question}");
    assert!(question.contains("--yes"), "{question}");
    assert!(rig.image(1) == before, "nothing is written without --yes");
    let difference = complaint(1, &["verify", &rig.lun(1), "--offset", "3584", &file]);
    assert!(difference.contains("first at byte 3584"), "{difference}");

    let answer = text(&[&arguments[..], &["--yes", "--chunk=100K", "--depth=5"]].concat());
    assert!(answer.contains("at byte 3584 of LUN 1, and flushed"), "{answer}");
    let after = rig.image(1);
    let end = 3584 + data.len();
    assert!(after[3584..end] == data);
    assert!(after[..3584] == before[..3584] && after[end..] == before[end..]);
    let equal = json(&["verify", &rig.lun(1), "--offset", "3584", &file, "--json"]);
    assert_eq!((&equal["equal"], &equal["bytes"]), (&true.into(), &data.len().into()));
}

#[test]
fn verify_tells_the_first_difference_of_several() {
    let rig = Rig::new(&Options::default());
    let mut data = rig.image(0)[1000..].to_vec();
    let exact = rig.file("exact", &data);
    let equal = text(&["verify", &rig.lun(0), "--offset", "1000", &exact]);
    assert!(equal.starts_with("LUN 0 holds "), "{equal}");

    for place in [2 * MIB + 333, 2 * MIB + 334, 3 * MIB] {
        data[place] ^= 0x81;
    }
    let place = 2 * MIB + 333;
    let (on_disk, byte) = (place + 1000, data[place]);
    let wrong = rig.file("wrong", &data);
    let arguments = ["verify", &rig.lun(0), "--offset", "1000", &wrong, "--chunk", "64K"];
    let sentence = complaint(1, &arguments);
    let (block, within) = (on_disk / 512, on_disk % 512);
    for part in [
        format!(
            "first at byte {on_disk} of the disk (block {block}, byte {within} in it; byte {place} of the file)"
        ),
        format!("the disk has {:#04x}, the file {byte:#04x}", byte ^ 0x81),
    ] {
        assert!(sentence.contains(&part), "{part:?} in {sentence:?}");
    }
    let output = iscsi_tool(&[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["equal"], &value["first_difference"]["byte"]),
        (&false.into(), &on_disk.into())
    );
}

#[test]
fn a_write_that_cannot_be_is_refused_before_anything_moves() {
    let rig = Rig::new(&Options { read_only: true, ..Options::default() });
    let file = rig.file("data", &noise(1, 512));
    let sentence = complaint(1, &["write", &rig.lun(0), &file, "--yes"]);
    assert!(sentence.contains("write-protected"), "{sentence}");

    let rig = Rig::new(&Options::default());
    let before = rig.image(0);
    let odd = rig.file("odd", &noise(1, 1000));
    let sentence = complaint(1, &["write", &rig.lun(0), &odd, "--yes"]);
    assert!(sentence.contains("1000, is no multiple") && sentence.contains("512"), "{sentence}");
    let even = rig.file("even", &noise(1, 1024));
    let sentence = complaint(1, &["write", &rig.lun(0), "--offset=100", &even, "--yes"]);
    assert!(sentence.contains("100, is no multiple"), "{sentence}");
    let large = rig.file("large", &noise(1, 4 * MIB));
    let sentence = complaint(1, &["write", &rig.lun(0), &large, "--yes"]);
    assert!(sentence.contains("LUN 0 has 3148288 bytes"), "{sentence}");
    assert!(rig.image(0) == before);
}

#[test]
fn a_login_that_fails_is_one_sentence_with_names_in_it() {
    let rig = Rig::new(&Options::default());
    let portal = rig.istgt().portal();
    let name = "iqn.2007-09.jp.ne.peach.istgt:nowhere";
    let sentence = complaint(1, &["ls", &format!("iscsi://{portal}/{name}")]);
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    for part in [name, &portal.to_string(), "0203h: target not found"] {
        assert!(sentence.contains(part), "{part:?} in {sentence:?}");
    }

    let port = free_port().unwrap();
    let begin = Instant::now();
    let sentence = complaint(1, &["ls", &format!("iscsi://127.0.0.1:{port}/{name}")]);
    assert!(begin.elapsed() < Duration::from_secs(5), "nobody waits for a refused port");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    assert!(
        sentence.contains(&format!("at 127.0.0.1:{port}: the target refused the connection")),
        "{sentence}"
    );

    let sentence = complaint(1, &["ls", &format!("iscsi://no-such-host.invalid/{name}")]);
    assert!(sentence.contains("cannot resolve the host no-such-host.invalid"), "{sentence}");

    let sentence = complaint(1, &["read", &rig.lun(7), "--sha256"]);
    assert!(sentence.contains("no disk with LUN 7; it has 0, 1"), "{sentence}");
}

/// istgt listens on 127.0.0.1 alone, and the name may mean ::1 first.
#[test]
fn every_address_of_a_name_is_tried() {
    let rig = Rig::new(&Options::default());
    let port = rig.istgt().portal().port();
    let url = format!("iscsi://localhost:{port}/{}", rig.istgt().target_name());
    assert_eq!(json(&["ls", &url, "--json"])["portal"], format!("127.0.0.1:{port}"));
}

#[test]
fn chap_opens_the_door_and_no_output_shows_a_secret() {
    let rig = Rig::new(&Options {
        authentication: Authentication::MutualChap {
            user: "me".to_owned(),
            secret: SECRET.to_owned(),
            target_user: "disk".to_owned(),
            target_secret: TARGET_SECRET.to_owned(),
        },
        ..Options::default()
    });
    let url = rig.url().replace("iscsi://", "iscsi://me@");
    let right = rig.file("right", format!("{SECRET}\n").as_bytes());
    let wrong = rig.file("wrong", b"correct horse bandage\n");
    let target = rig.file("target", TARGET_SECRET.as_bytes());
    let both = ["--mutual-user=disk", "--mutual-secret-file", &target];
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = command(arguments);
        command.arg("-vvv");
        variable.map(|secret| command.env("ISBOOT_CHAP_SECRET", secret));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for secret in [SECRET, TARGET_SECRET, "correct horse bandage"] {
            assert!(!said.contains(secret), "{said}");
        }
        (output.status.code().unwrap(), said)
    };

    let (status, said) = run(&[&["ls", &url, "--secret-file", &right], &both[..]].concat(), None);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("other users can read the secret in"), "{said}");
    let (status, said) = run(&[&["ls", &rig.url(), "--user=me"], &both[..]].concat(), Some(SECRET));
    assert_eq!(status, 0, "{said}");

    let (status, said) = run(&[&["ls", &url, "--secret-file", &wrong], &both[..]].concat(), None);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("authentication failed"), "{said}");
    let swapped = ["ls", &url, "--secret-file", &right, "--mutual-secret-file", &wrong];
    let (status, said) = run(&swapped, None);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("the target's CHAP response is wrong"), "{said}");
    let (status, said) = run(&["ls", &rig.url()], None);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("authentication"), "{said}");
    let (status, said) = run(&["ls", &url], None);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("--secret-file") && said.contains("ISBOOT_CHAP_SECRET"), "{said}");
    let (status, said) = run(&["ls", &url.replace("me@", &format!("me:{SECRET}@"))], None);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("a CHAP name, and perhaps %"), "{said}");
    let in_url = url.replace("me@", &format!("me%{SECRET}@"));
    let (status, said) = run(&[&["ls", &in_url], &both[..]].concat(), None);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("can see the secret in the URL"), "{said}");
    let md5 = ["info", &in_url, "--chap-algorithm=md5", "--header-digest=crc32c", "--json"];
    let mut command = command(&md5);
    command.env("ISBOOT_CHAP_MUTUAL_SECRET", TARGET_SECRET);
    let info: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(info["header_digest"], "CRC32C");
    let (status, said) = run(&["ls", &in_url, "--chap-algorithm=sha3-256,sha256"], None);
    assert_eq!(status, 1, "istgt knows MD5 alone: {said}");

    // A portal tells its targets to everybody, and each target asks for its own secrets.
    let portal = format!("iscsi://me@{}", rig.istgt().portal());
    let (status, said) = run(&["ls", "--targets", &portal], Some(SECRET));
    assert_eq!((status, said.contains(rig.istgt().target_name())), (0, true), "{said}");
    let (status, said) =
        run(&[&["ls", &portal, "--secret-file", &right], &both[..]].concat(), None);
    assert_eq!((status, said.contains("SERIAL-1")), (0, true), "{said}");
    let (status, said) =
        run(&[&["ls", &portal, "--secret-file", &wrong], &both[..]].concat(), None);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("authentication failed"), "{said}");
    assert!(said.contains("1 of the 1 targets of "), "{said}");
}

/// libiscsi's `iscsi-ls -s` spins forever here.
#[test]
fn a_portal_is_listed_with_its_targets_and_their_disks_in_bounded_time() {
    let rig = Rig::new(&Options::default());
    let url = format!("iscsi://{}", rig.istgt().portal());
    let begin = Instant::now();
    let page = text(&["ls", &url]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let head = format!("{}  {},1\n", rig.istgt().target_name(), rig.istgt().portal());
    assert!(page.starts_with(&head), "{page}");
    assert!(page.contains("SERIAL-0") && page.contains("SERIAL-1"), "{page}");
    let list = json(&["ls", "--json", &url]);
    assert_eq!(list["targets"][0]["disks"], json(&["ls", "--json", &rig.url()])["disks"]);
    assert_eq!(list["targets"][0]["addresses"][0]["portal_group_tag"], 1);
    assert!(rig.istgt().wait_for_log("Logout(discovery)", Duration::from_secs(5)));

    let name = rig.istgt().target_name();
    assert_eq!(text(&["ls", "-t", &url]), format!("{name}  {},1\n", rig.istgt().portal()));
    let only = json(&["ls", "-t", &url, "--json"]);
    assert_eq!(
        (&only["targets"][0]["target"], &only["targets"][0]["disks"]),
        (&name.into(), &Value::Null)
    );
}

#[test]
fn pings_reach_a_disk_and_a_portal() {
    let rig = Rig::new(&Options::default());
    let pace = ["--count=3", "--interval=0.01"];
    let page = text(&[&["ping", &rig.lun(1)], &pace[..]].concat());
    assert!(page.starts_with("LUN 1 of ") && page.contains("\n3 of 3 answered, in "), "{page}");
    let times = json(&[&["ping", &rig.url(), "--json"], &pace[..]].concat());
    assert_eq!((&times["lun"], &times["answered"]), (&"0".into(), &3.into()));
    assert_eq!(times["seconds"].as_array().unwrap().len(), 3);
    let portal = format!("iscsi://{}", rig.istgt().portal());
    let times = json(&[&["ping", &portal, "--json"], &pace[..]].concat());
    assert_eq!((&times["sent"], &times["answered"]), (&3.into(), &3.into()));
}

#[test]
fn a_target_that_dies_for_good_ends_every_command_in_bounded_time() {
    let mut rig = Rig::new(&Options::default());
    let copy = rig.file("copy", b"");
    let zeros = rig.file("zeros", &vec![0; 5 * MIB]);
    let shape = ["--chunk=512", "--depth=1", "-p", "outage_limit=1"];
    let disk = rig.lun(1);
    for (arguments, part) in [
        (vec!["read", &disk, "-o", &copy], "cannot read block"),
        (vec!["write", &disk, &zeros, "--yes"], "cannot write block"),
    ] {
        let logins = rig.istgt().log().matches("Login from ").count();
        let child = command(&[&arguments[..], &shape[..]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let in_time = isboot_tests::process::within(Duration::from_secs(10), || {
            rig.istgt().log().matches("Login from ").count() > logins
        });
        assert!(in_time, "{arguments:?}");
        std::thread::sleep(Duration::from_millis(100));
        rig.istgt.as_mut().unwrap().kill();
        let begin = Instant::now();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{arguments:?}: {:?}", begin.elapsed());
        assert!(stderr.contains(part), "{part:?} in {stderr}");
        assert!(stderr.contains("-p outage_limit=SECONDS"), "{stderr}");
        rig.istgt.as_mut().unwrap().restart().unwrap();
    }
}

/// Ten thousand requests, one after the other: some come before the restart, some after.
#[test]
fn a_target_that_restarts_during_a_read_costs_time_only() {
    let mut rig = Rig::new(&Options::default());
    let hash = hex_sha256(&rig.image(1));
    let arguments = ["read", &rig.lun(1), "--sha256", "--json", "--chunk=512", "--depth=1"];
    let child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(rig.istgt().wait_for_log("Login from ", Duration::from_secs(10)));
    std::thread::sleep(Duration::from_millis(150));
    rig.istgt.as_mut().unwrap().restart().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("session with ") && stderr.contains(" lost: "), "{stderr}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["sha256"], hash);
}
