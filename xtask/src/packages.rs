//! What boots, tests and measurements need from the system, and how to get it.

use std::path::Path;

use crate::process::Task;
use crate::proof;

/// Something that a Debian package brings.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) package: &'static str,
    /// Files of which one must be there; a bare name is looked up in PATH.
    files: &'static [&'static str],
    pub(crate) what_for: &'static str,
}

/// What a person wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `cargo xtask boot`.
    Boot,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench`.
    Bench,
    /// `cargo xtask fuzz`, where there is a nightly toolchain.
    Fuzz,
}

const BOOT: &[Need] = &[
    Need {
        package: "qemu-system-x86",
        files: &["qemu-system-x86_64"],
        what_for: "the machine that boots",
    },
    Need {
        package: "seabios",
        files: &["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin"],
        what_for: "its BIOS",
    },
    Need {
        package: "ipxe-qemu",
        files: &["/usr/lib/ipxe/qemu/efi-e1000.rom", "/usr/share/qemu/efi-e1000.rom"],
        what_for: "iPXE for its network card",
    },
    Need {
        package: "ovmf",
        files: &[
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd",
            "/usr/share/edk2/x64/OVMF_CODE_4M.fd",
        ],
        what_for: "its UEFI firmware",
    },
    Need { package: "istgt", files: &["istgt"], what_for: "the iSCSI target" },
    Need { package: "binutils", files: &["objcopy"], what_for: "the kernel's images" },
    Need { package: "gcc", files: &["cc"], what_for: "linking" },
];

const TEST: &[Need] = &[
    Need { package: "tgt", files: &["tgtd"], what_for: "another iSCSI target" },
    Need {
        package: "busybox-static",
        files: &["/bin/busybox", "busybox"],
        what_for: "a Linux guest that reads our tables",
    },
    Need { package: "iproute2", files: &["ip"], what_for: "a test's own network" },
    Need { package: "cpio", files: &["cpio"], what_for: "that guest's initramfs" },
];

const BENCH: &[Need] = &[
    Need { package: "libiscsi-bin", files: &["iscsi-perf"], what_for: "another initiator" },
    Need {
        package: "qemu-utils",
        files: &["qemu-img"],
        what_for: "what that one's writes are measured with",
    },
    Need {
        package: "qemu-block-extra",
        files: &["/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so"],
        what_for: "the same",
    },
    Need { package: "ipxe", files: &["/usr/lib/ipxe/ipxe.lkrn"], what_for: "iPXE under measure" },
    Need {
        package: "busybox-static",
        files: &["/bin/busybox", "busybox"],
        what_for: "Linux under measure",
    },
    Need { package: "iproute2", files: &["ip"], what_for: "a link of a given rate" },
    Need { package: "valgrind", files: &["valgrind"], what_for: "counting instructions" },
];

const FUZZ: &[Need] =
    &[Need { package: "g++", files: &["c++"], what_for: "libFuzzer, which is compiled" }];

/// Debian's own toolchain, whose sources allow a build for a target that rustup did not install.
const BARE_METAL: &[Need] = &[
    Need { package: "rustc-web", files: &["/usr/bin/rustc"], what_for: BARE_METAL_PROOF },
    Need { package: "cargo-web", files: &["/usr/bin/cargo"], what_for: BARE_METAL_PROOF },
    Need {
        package: "rust-web-src",
        files: &["/usr/lib/rustlib/src/rust/library/core/Cargo.toml"],
        what_for: BARE_METAL_PROOF,
    },
];

const BARE_METAL_PROOF: &str = "the proof that the core builds for x86_64-unknown-none";

/// Installs what is missing, or says what to install.
pub(crate) fn ensure(purpose: Purpose) -> Result<(), String> {
    install(&missing(purpose))
}

/// Installs LLVM's coverage tools of one version, where they are missing.
pub(crate) fn ensure_llvm(version: &str) -> Result<(), String> {
    if has_program(&format!("llvm-cov-{version}")) {
        return Ok(());
    }
    install_packages(&[&format!("llvm-{version}")])
}

/// Whether a program is in PATH or where Debian puts an administrator's.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(name).is_file())
}

/// What is not there yet.
pub(crate) fn missing(purpose: Purpose) -> Vec<&'static Need> {
    let mut needs: Vec<&Need> = match purpose {
        Purpose::Boot => BOOT.iter().collect(),
        // A smoke of the bench is a part of the test.
        Purpose::Test | Purpose::Bench => BOOT.iter().chain(BENCH).collect(),
        Purpose::Fuzz => FUZZ.iter().collect(),
    };
    if purpose == Purpose::Test {
        needs.extend(TEST);
    }
    needs.retain(|need| !is_met(need));
    if purpose == Purpose::Test
        && !proof::toolchain_has_bare_metal_target()
        && !(BARE_METAL.iter().all(is_met) && proof::debian_toolchain_is_new_enough())
    {
        needs.extend(BARE_METAL);
    }
    needs
}

fn is_met(need: &Need) -> bool {
    need.files.iter().any(|file| is_there(file))
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') { Path::new(file).exists() } else { has_program(file) }
}

/// Installs these packages, if there are any.
pub(crate) fn install(missing: &[&Need]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    install_packages(&missing.iter().map(|need| need.package).collect::<Vec<_>>())
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    let list = packages.join(" ");
    if !has_program("apt-get") {
        return Err(format!(
            "this is no Debian system, so install by hand what these Debian packages hold: {list}"
        ));
    }
    let sudo: &[&str] = if nix::unistd::geteuid().is_root() {
        &[]
    } else if has_program("sudo") {
        &["sudo"]
    } else {
        return Err(format!("as root, run: apt-get install -y {list}"));
    };
    println!("Installing {list}");
    let apt = |words: &[&str]| {
        let mut line: Vec<&str> = sudo.to_vec();
        line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
        line.extend(words);
        Task::new(line[0], &line[1..])
    };
    // The lists may be absent, or so old that they have a package as it was years ago. Without a
    // network they may still do.
    let update = apt(&["update"]).capture()?;
    let mut words = vec!["install", "--no-install-recommends"];
    words.extend(packages);
    let install = apt(&words);
    let ended = install.capture()?;
    if ended.is_success() {
        return Ok(());
    }
    Err(format!("`{install}` failed:\n{}{}", update.output, ended.output))
}
