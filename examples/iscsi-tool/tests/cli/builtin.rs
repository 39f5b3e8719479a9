//! Against the built-in target, which breaks the connection at every rule that is broken.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use isboot_tests::process::within;
use isboot_tests::target::{Builder, Lun, Server, Target};

use crate::{command, complaint, json, noise, stdout, text};

const NAME: &str = "iqn.2010-06.org.example:disk";
const MIB: usize = 1 << 20;
const TIB: u64 = 1 << 40;
const SYNCHRONIZE_CACHE: [u8; 2] = [0x35, 0x91];

/// The target, and the port that it listens on.
struct Rig {
    target: Target,
    server: Server,
}

impl Rig {
    fn new(builder: Builder) -> Self {
        Self::at("127.0.0.1:0", builder)
    }

    fn at(address: &str, builder: Builder) -> Self {
        let target = builder.build();
        let server = target.serve(address).expect("a free port");
        Self { target, server }
    }

    fn url(&self) -> String {
        format!("iscsi://{}/{NAME}", self.server.portal())
    }

    fn lun(&self, lun: u16) -> String {
        format!("{}/{lun}", self.url())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let sentences: Vec<String> =
            self.target.violations().iter().map(ToString::to_string).collect();
        if !std::thread::panicking() {
            assert!(sentences.is_empty(), "{sentences:#?}");
        }
    }
}

#[test]
fn any_part_of_a_disk_can_be_read() {
    let image = noise(3, 5 * MIB);
    let rig = Rig::new(
        Target::builder(NAME).lun(Lun::memory(MIB as u64)).lun(Lun::memory(image.len() as u64)),
    );
    rig.target.write_lun(1, 0, &image).unwrap();
    for (arguments, range) in [
        (["--offset=700", "--length=1", "--chunk=512"], 700..701),
        (["--offset=511", "--length=1030", "--chunk=512"], 511..1541),
        (["--offset=1M", "--length=1K", "--chunk=4K"], MIB..MIB + 1024),
        (["--lba=3", "--length=100000", "--chunk=1000"], 1536..101_536),
        (["--lba=10239", "--length=512", "--chunk=1M"], 5 * MIB - 512..5 * MIB),
        (["--lba=10240", "--length=0", "--chunk=1M"], 0..0),
    ] {
        let found = stdout(&[&["read", &rig.lun(1)], &arguments[..]].concat());
        assert!(found == image[range], "{arguments:?}");
    }
    let end = stdout(&["read", &rig.lun(1), "--offset", "5242879"]);
    assert_eq!(end, image[5 * MIB - 1..]);

    for arguments in [
        ["--offset=5242881", "--length=0"],
        ["--offset=5242879", "--length=2"],
        ["--lba=18446744073709551615", "--length=1"],
    ] {
        let output = complaint(1, &[&["read", &rig.lun(1)], &arguments[..]].concat());
        assert!(output.contains("LUN 1 has "), "{output}");
    }
}

#[test]
fn numbers_beyond_32_bits_and_luns_beyond_a_byte_work() {
    let lun = Lun::memory(8 * TIB).block_size(512).number(300);
    let rig = Rig::new(Target::builder(NAME).lun(lun));
    let data = noise(1, 4096);
    let end = 8 * TIB - 4096;
    rig.target.write_lun(300, end, &data).unwrap();
    assert!(text(&["ls", &rig.url()]).contains("17179869184  8.00 TiB  yes"));
    assert!(stdout(&["read", &rig.lun(300), "--lba", "17179869176"]) == data);
    let found = stdout(&["read", &rig.lun(300), "--offset", "8191G", "--length", "4K"]);
    assert!(found == [0; 4096]);
    rig.target.write_lun(300, 8191 << 30, &data).unwrap();
    assert!(stdout(&["read", &rig.lun(300), "--offset", "8191G", "--length", "4K"]) == data);
}

#[test]
fn ipv6_works_and_an_alias_cannot_turn_the_terminal_around() {
    let builder = Target::builder(NAME).lun(Lun::memory(MIB as u64)).alias("Disk\u{202e}1");
    let rig = Rig::at("[::1]:0", builder);
    assert!(rig.url().starts_with("iscsi://[::1]:"));
    let page = text(&["info", &rig.url()]);
    assert!(page.contains("Target alias        \"Disk\\u{202e}1\"\n"), "{page}");
    assert_eq!(json(&["info", &rig.url(), "--json"])["target_alias"], "Disk\u{202e}1");
}

#[test]
fn a_write_ends_with_a_flush_and_a_logout() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(4 * MIB as u64)));
    let data = noise(2, 3 * MIB);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flushed");
    fs::write(&file, &data).unwrap();
    let file = file.to_str().unwrap();
    let wrote = json(&["write", &rig.lun(0), file, "--yes", "--offset=1M", "--json"]);
    assert_eq!(wrote["bytes"], data.len());
    let statistics = rig.target.statistics();
    let flushes: u64 =
        SYNCHRONIZE_CACHE.iter().filter_map(|code| statistics.commands.get(code)).sum();
    assert_eq!((flushes, statistics.logouts), (1, 1), "{statistics:?}");
    assert!(rig.target.read_lun(0, MIB as u64, data.len()).unwrap() == data);
    fs::remove_file(file).unwrap();
}

#[test]
fn depth_is_how_many_requests_are_under_way() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(8 * MIB as u64)).window(64));
    for depth in [1, 5] {
        let option = format!("--depth={depth}");
        stdout(&["read", &rig.lun(0), "--sha256", "--chunk=16K", &option]);
        let most = rig.target.statistics().most_outstanding;
        assert!(most <= depth + 1, "{most} at depth {depth}");
        assert!(depth == 1 || most > 2, "{most} at depth {depth}");
    }
}

/// With one ISID for all, the second run would end the session of the first.
#[test]
fn every_run_is_a_session_of_its_own() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(MIB as u64)));
    let isid = || {
        text(&["ls", &rig.url()]);
        rig.target.statistics().last_login.unwrap().isid
    };
    let (first, second) = (isid(), isid());
    assert_ne!(first, second);
    assert_eq!((first[0], second[0]), (0x80, 0x80), "the random format");
}

#[test]
fn a_read_that_fails_names_the_blocks_and_keeps_what_came_before() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(4 * MIB as u64)));
    let data = noise(4, 4 * MIB);
    rig.target.write_lun(0, 0, &data).unwrap();
    rig.target.set_bad_blocks(0, &[5000..5001, 6000..7000]);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rescued");
    let name = file.to_str().unwrap();
    let sentence = complaint(1, &["read", &rig.lun(0), "-o", name, "--chunk=64K"]);
    assert!(sentence.contains("cannot read blocks 4992 to 5119 of LUN 0: "), "{sentence}");
    assert!(sentence.contains("the disk reports "), "{sentence}");
    assert!(fs::read(&file).unwrap() == data[..4992 * 512]);
    fs::remove_file(&file).unwrap();
}

/// Eight TiB, of which it reads what it can until Ctrl-C: with a few buffers, and a logout.
#[test]
fn ctrl_c_logs_out_and_memory_stays_small() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(8 * TIB)));
    let arguments = ["read", &rig.lun(0), "--sha256", "--depth=8", "--chunk=1M"];
    let child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let moved = || rig.target.statistics().data_in_bytes;
    assert!(within(Duration::from_secs(30), || moved() > 64 << 20), "{}", moved());
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kibibytes < 32 << 10, "{peak} for 8 MiB of buffers");

    let begin = Instant::now();
    // The shell's own: the program is not everywhere.
    let interrupt = format!("kill -INT {}", child.id());
    let kill = std::process::Command::new("sh").args(["-c", &interrupt]).status();
    assert!(kill.unwrap().success());
    let output = end(child);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!((output.status.code(), stderr.trim()), (Some(130), "iscsi-tool: interrupted"));
    assert!(output.stdout.is_empty(), "no hash of a part");
    assert_eq!(rig.target.statistics().logouts, 1);
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(8 * TIB)));
    rig.target.write_lun(0, 0, &noise(5, 512)).unwrap();
    let mut child = command(&["read", &rig.lun(0)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut block = [0; 512];
    // The end of the pipe goes with it.
    child.stdout.take().unwrap().read_exact(&mut block).unwrap();
    let output = end(child);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(block[..] == noise(5, 512));
}

/// Waits for the end, not forever.
fn end(mut child: Child) -> Output {
    if !within(Duration::from_secs(10), || child.try_wait().unwrap().is_some()) {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

/// One target answers, one is gone: the first is listed all the same, and the second says why not.
#[test]
fn a_portal_is_listed_as_far_as_it_can_be() {
    let gone = isboot_tests::ports::free_port().unwrap();
    let other = "iqn.2010-06.org.example:gone";
    let builder = Target::builder(NAME).lun(Lun::memory(MIB as u64));
    let rig = Rig::new(builder.also_known(other, &format!("127.0.0.1:{gone},1")));
    let portal = format!("iscsi://{}", rig.server.portal());
    let output = command(&["ls", &portal]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(page.contains("WRITABLE") && page.contains(&format!("{other}  127.0.0.1:{gone},1\n")));
    assert!(page.contains("the target refused the connection"), "{page}");
    assert!(stderr.starts_with("iscsi-tool: 1 of the 2 targets of "), "{stderr}");
    let output = command(&["ls", &portal, "--json"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = list["targets"].as_array().unwrap();
    let told: Vec<_> = targets.iter().map(|target| target["disks"].is_array()).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 1, "{list:#}");
}

/// A target that takes connections and never says a word.
#[test]
fn a_target_that_hangs_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = listener.local_addr().unwrap();
    for url in [format!("iscsi://{portal}"), format!("iscsi://{portal}/{NAME}")] {
        for limit in [["--timeout", "1"], ["-p", "login_timeout=1"]] {
            let begin = Instant::now();
            let sentence = complaint(1, &[&["ls", &url], &limit[..]].concat());
            assert!(begin.elapsed() < Duration::from_secs(6), "{limit:?}: {:?}", begin.elapsed());
            assert!(sentence.contains(&portal.to_string()), "{sentence}");
            assert!(sentence.contains("login") || sentence.contains("time"), "{sentence}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_with_its_name() {
    let rig = Rig::new(Target::builder(NAME).lun(Lun::memory(MIB as u64)));
    for (file, part) in [
        ("/nowhere/at/all", "cannot create /nowhere/at/all: "),
        ("/dev/full", "cannot write to /dev/full: "),
    ] {
        let sentence = complaint(1, &["read", &rig.lun(0), "-o", file]);
        assert!(sentence.contains(part), "{sentence}");
    }
    for verb in ["write", "verify"] {
        let sentence = complaint(1, &[verb, &rig.lun(0), "/nowhere/at/all"]);
        assert!(sentence.contains("cannot read /nowhere/at/all: "), "{sentence}");
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["ls", &rig.url()]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("cannot write to standard output: "), "{stderr}");
}

#[test]
fn info_tells_how_blocks_lie_how_units_are_reached_and_where_storage_is() {
    let lun = Lun::memory(MIB as u64).physical_blocks(3, 7).port_group(1, 1, &[1]);
    let rig = Rig::new(Target::builder(NAME).lun(lun));
    let page = text(&["info", &rig.lun(0)]);
    for line in [
        "Physical blocks     4096 bytes, the first at block 7\n",
        "Access state        active/non-optimized\n",
        "Reservation         none\n",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
    let info = json(&["info", &rig.lun(0), "--json"]);
    let disk = &info["disks"][0];
    assert_eq!(disk["physical_block_size"], 4096);
    assert_eq!(disk["lowest_aligned_block"], 7);
    assert_eq!(disk["access_state"], "active/non-optimized");
}
