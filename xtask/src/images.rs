//! Builds the hosting kernel's images: PVH, multiboot and UEFI, from one link.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Task, build_folder, root};

/// No image may be larger.
const LARGEST: u64 = 1 << 20;
/// Where the linker script puts the image, and the UEFI entry in it.
const UEFI: [&str; 4] =
    ["--strip-all", "--target=efi-app-x86_64", "--set-start=0x101000", "--image-base=0x100000"];

/// The images: the ELF file that QEMU starts by PVH, and its other clothes.
pub(crate) const NAMES: [&str; 3] = ["boot-module", "boot-module.multiboot", "boot-module.efi"];

/// Where the images are.
pub(crate) fn folder() -> PathBuf {
    build_folder().join("boot-module")
}

/// What builds the ELF file.
pub(crate) fn build_task() -> Task {
    in_kernel("build --quiet --release").argument("--target-dir").argument(kernel_build_folder())
}

/// A command of cargo for the kernel, which is a workspace of its own, with options of its own.
pub(crate) fn in_kernel(line: &str) -> Task {
    const KERNEL: &str = "examples/boot-module";
    Task::cargo(line)
        .argument("--manifest-path")
        .argument(format!("{KERNEL}/Cargo.toml"))
        .argument("--config")
        .argument(format!("{KERNEL}/.cargo/config.toml"))
}

/// The kernel's own target folder: it is a workspace of its own.
pub(crate) fn kernel_build_folder() -> PathBuf {
    build_folder().join("kernel")
}

/// Builds all images.
pub(crate) fn build() -> Result<(), String> {
    let task = build_task();
    let ended = task.capture()?;
    if !ended.is_success() {
        return Err(format!("{}\n`{task}` failed", ended.output.trim_end()));
    }
    let built = kernel_build_folder().join("release/boot-module");
    let folder = folder();
    let [elf, multiboot, efi] = NAMES.map(|name| folder.join(name));
    fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    // Names are for people with a debugger, who find them in what cargo built.
    objcopy(&["--strip-all"], &built, &elf)?;
    objcopy(&["-O", "binary"], &elf, &multiboot)?;
    objcopy(&UEFI, &elf, &efi)
}

/// The size of each image, or which one is too large.
pub(crate) fn sizes() -> Result<String, String> {
    let mut sizes = Vec::new();
    for name in NAMES {
        let path = folder().join(name);
        let bytes = fs::metadata(&path).map_err(|error| at(&path, &error))?.len();
        if bytes >= LARGEST {
            return Err(format!("{name} has {bytes} bytes, {LARGEST} are too many"));
        }
        sizes.push(format!("{name} {} KiB", bytes.div_ceil(1024)));
    }
    Ok(sizes.join(", "))
}

fn objcopy(options: &[&str], from: &Path, to: &Path) -> Result<(), String> {
    let task = Task::new("objcopy", options).argument(from).argument(to);
    let ended = task.capture()?;
    if ended.is_success() {
        Ok(())
    } else {
        Err(format!("{}\n`{task}` failed", ended.output.trim_end()))
    }
}

fn at(path: &Path, error: &std::io::Error) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    format!("{}: {error}", path.display())
}
