//! The command line: what it prints for known tables, and how it ends for bad ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use isboot_ibft::fix_checksum;

fn ibft_dump(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ibft-dump"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data"))
        .args(arguments)
        .output()
        .expect("ibft-dump starts")
}

fn stdout(arguments: &[&str]) -> String {
    let output = ibft_dump(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it says when it ends with status 1.
fn complaint(arguments: &[&str]) -> String {
    let output = ibft_dump(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "nothing is printed of a bad table");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// Compares with a file, or writes the file when BLESS is set.
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "differs from {}; BLESS=1 rewrites it", path.display());
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn ipxe() -> Vec<u8> {
    include_bytes!("../../../tests/data/ipxe-e1000.ibft").to_vec()
}

/// Makes a table with two NICs, three targets and mutual CHAP; returns its path.
fn build_rich(name: &str) -> String {
    let path = scratch(name);
    let path = path.to_str().unwrap();
    stdout(&[
        "build",
        "--initiator=iqn.2010-06.org.example:client",
        "--nic=mac=52:54:00:12:34:56,address=10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3,pci=00:03.0,vlan=7,host=node1",
        "--nic=mac=52:54:00:12:34:57,address=2001:db8::15/64,gateway=2001:db8::1,pci=00:04.1",
        "--target=name=iqn.2010-06.org.example:disk1,address=10.0.2.2,lun=3,user=me,secret=twelve-chars,reverse-user=disk,reverse-secret=other-twelve",
        "--target=name=iqn.2010-06.org.example:disk2,address=2001:db8::2,port=3261,lun=300,nic=1",
        "--target=name=iqn.2010-06.org.example:disk3,address=0.0.32.1,nic=9",
        "--output",
        path,
    ]);
    path.to_owned()
}

#[test]
fn the_real_table_is_explained() {
    golden("ipxe-e1000.txt", &stdout(&["ipxe-e1000.ibft"]));
    golden("ipxe-e1000.sysfs", &stdout(&["--sysfs", "ipxe-e1000.ibft"]));
    golden("ipxe-e1000.json", &stdout(&["--json", "ipxe-e1000.ibft"]));
}

#[test]
fn a_built_table_is_explained_and_its_secrets_stay_hidden() {
    let path = build_rich("rich.ibft");
    let from_file = |text: String| text.replace(&path, "rich.ibft");
    let plain = from_file(stdout(&[&path]));
    golden("rich.txt", &plain);
    golden("rich.sysfs", &stdout(&["--sysfs", &path]));
    for option in ["--sysfs", "--json"] {
        let hidden = stdout(&[option, &path]);
        assert!(hidden.contains("[hidden]"), "{hidden}");
        assert!(!hidden.contains("twelve"), "{hidden}");
        let shown = stdout(&[option, "--show-secrets", &path]);
        assert!(shown.contains("twelve-chars") && shown.contains("other-twelve"), "{shown}");
    }
    assert!(!plain.contains("twelve"));
    assert!(stdout(&["--show-secrets", &path]).contains("twelve-chars"));
}

#[test]
fn a_bad_table_ends_with_status_1_and_the_reason() {
    let path = scratch("bad.ibft");
    let case = |change: &dyn Fn(&mut Vec<u8>), reason: &str| {
        let mut bytes = ipxe();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let complaint = complaint(&[path.to_str().unwrap()]);
        assert!(complaint.contains(reason), "{complaint}");
        assert!(complaint.contains("bad.ibft"), "names the file: {complaint}");
    };
    case(&|bytes| bytes[100] ^= 1, "checksum is wrong: its 579 bytes sum to 0x");
    case(&|bytes| bytes.truncate(300), "length at offset 4 is 579 bytes");
    case(&|bytes| bytes.truncate(2), "too short for an iBFT: 2 bytes");
    case(&|bytes| bytes[0] = b'x', "the signature at offset 0 is \"xBFT\"");
    case(
        &|bytes| {
            bytes[8] = 3;
            fix_checksum(bytes).unwrap();
        },
        "revision at offset 8 is 3",
    );
    assert!(complaint(&["no-such-file"]).contains("cannot read no-such-file"));
    assert_eq!(ibft_dump(&["--no-such-option"]).status.code(), Some(2));
}

#[test]
fn a_broken_structure_is_named_and_the_rest_explained() {
    let mut bytes = ipxe();
    bytes[162] = 90;
    fix_checksum(&mut bytes).unwrap();
    let path = scratch("short-nic.ibft");
    std::fs::write(&path, bytes).unwrap();
    let text = stdout(&[path.to_str().unwrap()]);
    assert!(text.contains("the NIC structure at offset 160 says it has 90 bytes"), "{text}");
    assert!(text.contains("NIC 0, which the table does not have"), "{text}");
    assert!(text.contains("1. iqn.2007-09.jp.ne.peach.istgt:disk1"), "{text}");
}

#[test]
fn a_dump_of_memory_is_searched() {
    let mut memory = vec![0; 0x10_0000];
    memory[0x9_e620..0x9_e620 + 579].copy_from_slice(&ipxe());
    let path = scratch("memory.bin");
    std::fs::write(&path, &memory).unwrap();
    let path = path.to_str().unwrap();
    let text = stdout(&["--memory", path]);
    assert!(text.contains("memory.bin at 0x9e620, via low-memory"), "{text}");
    let missing = complaint(&["--memory", path, "--instance", "1"]);
    assert!(missing.contains("instance 1 was wanted, and there are only 1"), "{missing}");
    memory[0x9_e620 + 9] ^= 1;
    std::fs::write(path, &memory).unwrap();
    let bad = complaint(&["--memory", path]);
    assert!(bad.contains("refused at 0x9e620") && bad.contains("checksum is wrong"), "{bad}");
}

#[test]
fn words_that_make_no_table_are_named() {
    for (words, reason) in [
        ("--nic=mac=52:54:00", "\"52:54:00\" is not a MAC address"),
        ("--nic=address=10.0.2.15", "an address needs its prefix length"),
        ("--nic=pci=00:20.0", "a PCI address is such as 00:03.0"),
        ("--target=naem=x", "a target has no \"naem\"; it has name, address"),
        ("--target=port=70000", "port=70000 cannot be understood"),
        ("--target=name", "\"name\" is not of the form word=value"),
    ] {
        let complaint = complaint(&["build", "--initiator=i", words, "-o", "/dev/null"]);
        assert!(complaint.contains(reason), "{complaint}");
    }
}

#[test]
fn help_shows_examples() {
    let help = stdout(&["--help"]);
    assert!(help.contains("ibft-dump build --initiator"), "{help}");
    assert!(stdout(&["build", "--help"]).contains("reverse-secret"));
}
