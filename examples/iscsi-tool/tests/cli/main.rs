//! The command line: what it prints, what it moves, and how it ends.

mod builtin;
mod istgt;
mod tgt;

use std::process::{Command, Output, Stdio};

use isboot_tests::scratch::noise;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[test]
fn a_wrong_command_line_is_status_2() {
    let url = "iscsi://127.0.0.1/iqn.2010-06.org.example:disk";
    let disk = format!("{url}/0");
    for (arguments, part) in [
        (vec![], "one of ls, info, ping, read, write and verify is needed"),
        (vec!["ls"], "<URL>"),
        (vec!["ls", "127.0.0.1"], "it starts with iscsi://"),
        (vec!["ls", url, "-p", "queue_deep=1"], "there is no such parameter; -p help"),
        (vec!["ls", url, "-p", "queue_depth=0"], "queue_depth takes 1-1024"),
        (vec!["ls", url, "-p", "mtu=1500"], "the host's own network"),
        (vec!["ls", url, "-p", "vlan=7"], "the host's own network"),
        (vec!["ls", url, "-p", "queue_depth"], "NAME=VALUE"),
        (vec!["ls", url, "--initiator-name", "me"], "an iSCSI name starts with"),
        (vec!["ls", url, "--mutual-user", "disk"], "--mutual-secret-file"),
        (vec!["read", url, "--sha256"], "add a LUN"),
        (vec!["read", "iscsi://127.0.0.1", "--sha256"], "the URL names no target"),
        (vec!["info", "iscsi://127.0.0.1"], "the URL names no target"),
        (vec!["ls", url, "--targets"], "this URL names a target"),
        (vec!["ls", url, "--header-digest=sha1"], "--header-digest sha1: "),
        (vec!["ls", url, "--queue-depth=0"], "--queue-depth 0: "),
        (vec!["ls", url, "--chap-algorithm=md4"], "--chap-algorithm md4: "),
        (vec!["ls", url, "--timeout=0"], "1..=3600"),
        (vec!["ping", url, "--interval=-1"], "an interval is"),
        (vec!["ping", url, "--interval=x"], "an interval is"),
        (vec!["read", &disk, "--json"], "-o FILE or --sha256"),
        (vec!["read", &disk, "--lba=1", "--offset=1"], "cannot be used with"),
        (vec!["read", &disk, "--depth=65"], "1..=64"),
        (vec!["read", &disk, "--chunk=1"], "512 bytes to 64M"),
    ] {
        let sentence = complaint(2, &arguments);
        assert!(sentence.contains(part), "{part:?} in {sentence:?}");
    }
}

#[test]
fn help_lists_the_parameters_with_their_defaults() {
    let table = text(&["-p", "help"]);
    let row = table.lines().find(|line| line.starts_with("queue_depth ")).unwrap();
    let words: Vec<&str> = row.split_whitespace().take(4).collect();
    assert_eq!(words, ["queue_depth", "32", "1-1024", "commands"]);
    assert!(text(&["--help"]).contains("Exit status"));
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iscsi-tool"));
    command.args(arguments).env_remove("ISBOOT_CHAP_SECRET").stdin(Stdio::null());
    command
}

fn iscsi_tool(arguments: &[&str]) -> Output {
    command(arguments).output().expect("iscsi-tool starts")
}

/// What it prints when all goes well.
fn stdout(arguments: &[&str]) -> Vec<u8> {
    let output = iscsi_tool(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    output.stdout
}

fn text(arguments: &[&str]) -> String {
    String::from_utf8(stdout(arguments)).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let text = text(arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What it says when it ends with this status, having printed nothing.
fn complaint(status: i32, arguments: &[&str]) -> String {
    let output = iscsi_tool(arguments);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr
}
