//! `cargo xtask boot`: everything that a boot needs, then the boot.

use crate::images;
use crate::newer_qemu;
use crate::packages::{self, Purpose};
use crate::process::Task;

/// Sets up, builds the kernel's images and hands over to qemu-boot, whose status is the result.
pub(crate) fn run(options: &[String]) -> Result<u8, String> {
    let mut options = options.to_vec();
    let only_asks = ["--help", "-h", "--version", "-V"];
    let needs_no_images = options.iter().any(|option| only_asks.contains(&option.as_str()))
        || options
            .windows(2)
            .any(|pair| pair == ["--fault", "list"] || pair == ["--degraded", "list"]);
    if !needs_no_images {
        prepare(&mut options)?;
    }
    Ok(task(&options).show()?.status)
}

/// A run of qemu-boot. Its folder of images is where we build them.
pub(crate) fn task<I: AsRef<str>>(options: &[I]) -> Task {
    let mut task = Task::cargo("run --quiet --package qemu-boot --");
    for option in options {
        task = task.argument(option.as_ref());
    }
    task
}

fn prepare(options: &mut Vec<String>) -> Result<(), String> {
    if let Err(reason) = packages::ensure(Purpose::Boot) {
        // QEMU alone is enough: there is a target in the tests.
        if !packages::has_program("qemu-system-x86_64") {
            return Err(reason);
        }
        eprintln!("{reason}");
        let names_target =
            |option: &String| option == "--target" || option.starts_with("--target=");
        if !packages::has_program("istgt") && !options.iter().any(names_target) {
            eprintln!("Going on with the built-in target.");
            options.splice(0..0, ["--target".to_owned(), "builtin".to_owned()]);
        }
    }
    let names_igb = |option: &String| option == "igb" || option == "--nic=igb";
    if options.iter().any(|option| names_igb(option) || option.starts_with("--matrix")) {
        newer_qemu::ensure()?;
    }
    println!("Building the kernel's images");
    images::build()?;
    println!("{}\n", images::sizes()?);
    Ok(())
}
