//! Where it was measured, and with which versions: what a reader of the figures must know. No names
//! of hosts or users, no paths.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use isboot_tests::tap::congestion_control;
use serde::{Deserialize, Serialize};

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about: `processor`.
    pub name: String,
    /// And what there is to know.
    pub value: String,
}

/// What takes part, and the Debian package that it comes from.
const PACKAGES: [(&str, &str); 7] = [
    ("istgt", "istgt"),
    ("libiscsi", "libiscsi-bin"),
    ("Linux in the guest", "linux-image-amd64"),
    ("open-iscsi", "open-iscsi"),
    ("fio", "fio"),
    ("iPXE", "ipxe"),
    ("valgrind", "valgrind"),
];

/// Everything that can be found out here; what is not there is left out.
pub fn collect(emulators: &[&Path]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push(Fact { name: name.to_owned(), value });
        }
    };
    add("isboot", Some(isboot()));
    add("measured", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    add("processor", processor());
    add("memory", memory());
    add("system", system());
    add("TCP's congestion control", Some(congestion_control()));
    let mut qemu: Vec<String> = emulators.iter().filter_map(|program| emulator(program)).collect();
    qemu.dedup();
    add("QEMU", Some(qemu.join("; ")));
    let versions = versions(PACKAGES.map(|(_, package)| package));
    for (name, package) in PACKAGES {
        add(name, versions.get(package).cloned());
    }
    add("Rust", said("rustc", &["--version"]));
    facts
}

fn isboot() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match commit {
        Ok(commit) if commit.status.success() => {
            format!("{version}, commit {}", String::from_utf8_lossy(&commit.stdout).trim())
        }
        _ => version.to_owned(),
    }
}

/// What a program prints, where it runs well.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.trim().to_owned())
}

/// Of Debian packages: those installed, else those that the guest's were fetched from. Asked for all
/// at once, as each asking takes half a second.
fn versions<const N: usize>(packages: [&str; N]) -> HashMap<String, String> {
    let ask = |program: &str, arguments: &[&str]| {
        // Some are found and some are not, which its status calls a failure.
        let output = Command::new(program).args(arguments).args(packages).output();
        output.map_or_else(|_| String::new(), |one| String::from_utf8_lossy(&one.stdout).into())
    };
    let mut versions = candidates(&ask("apt-cache", &["policy"]));
    let installed = ask("dpkg-query", &["-W", "-f", "${Package} ${Version}\n"]);
    let pairs = installed.lines().filter_map(|line| line.split_once(' '));
    let pairs = pairs.filter(|(_, version)| !version.is_empty());
    versions.extend(pairs.map(|(package, version)| (package.to_owned(), version.to_owned())));
    versions
}

/// What `apt-cache policy` would install: a line with the package's name and a colon, and among
/// those that follow the candidate.
fn candidates(policy: &str) -> HashMap<String, String> {
    let mut package = "";
    let mut candidates = HashMap::new();
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name;
        } else if let Some(version) = line.trim().strip_prefix("Candidate: ")
            && version != "(none)"
        {
            candidates.insert(package.to_owned(), version.to_owned());
        }
    }
    candidates
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    let has_instruction = field("flags")?.split(' ').any(|flag| flag == "sse4_2");
    let crc32c = if has_instruction { "with" } else { "without" };
    Some(format!("{cores} × {}, {crc32c} SSE4.2", field("model name")?))
}

fn memory() -> Option<String> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.0} GiB", kib as f64 / f64::from(1 << 20)))
}

fn system() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or("unknown", |name| name.trim_matches('"'));
    Some(format!("{name}, Linux {}", release.trim()))
}

fn emulator(program: &Path) -> Option<String> {
    let output = qemu_boot::machine::emulator(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().next()?.strip_prefix("QEMU emulator version ")?;
    Some(version.split(' ').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_of_each_package_is_found() {
        let policy = "fio:\n  Installed: (none)\n  Candidate: 3.33-3\n  Version table:\n     \
                      3.33-3 500\nipxe:\n  Installed: (none)\n  Candidate: (none)\n";
        assert_eq!(candidates(policy), HashMap::from([("fio".to_owned(), "3.33-3".to_owned())]));
    }

    #[test]
    fn a_reader_learns_processor_and_system_and_no_path_of_this_machine() {
        let facts = collect(&[Path::new("no-such-emulator")]);
        let has = |name: &str| facts.iter().any(|fact| fact.name == name);
        assert!(has("isboot") && has("processor") && has("system") && has("memory"));
        assert!(!has("QEMU"), "what is not there is left out");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        for fact in &facts {
            assert!(!fact.value.contains(env!("CARGO_MANIFEST_DIR")), "{fact:?}");
            assert!(fact.value != host.trim(), "{fact:?}");
        }
    }
}
