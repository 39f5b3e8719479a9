//! What the fuzz targets do, as plain functions of bytes: each takes anything, reaches deep into
//! the initiator or the driver, and panics when something does not hold that must.
//!
//! The fuzzer (`fuzz/`) calls them with what it thinks of; `tests/replay.rs` calls them with what
//! it found worth keeping (`fuzz/corpus/`); the program of this crate calls them with noise where
//! there is no fuzzer.

mod chap;
mod framer;
mod frames;
mod full_feature;
#[path = "../../../ibft/tests/exercise/mod.rs"]
mod ibft;
mod login;
mod nic;
pub mod noise;
mod script;
mod scsi;
pub mod session;
mod text;

use script::Script;

/// Something to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The fuzz target's name, and its corpus's.
    pub name: &'static str,
    /// Takes any bytes; panics when the initiator is wrong.
    pub run: fn(&[u8]),
    /// Longer inputs reach nothing new, in bytes.
    pub longest: usize,
}

/// All there is.
pub const TARGETS: [Target; 12] = [
    Target { name: "framer", run: framer::framer, longest: 256 },
    Target { name: "text", run: text::text, longest: 256 },
    Target { name: "chap", run: chap::chap, longest: 128 },
    Target { name: "login", run: login::login, longest: 256 },
    Target { name: "session", run: session::run, longest: 144 },
    Target { name: "full_feature", run: full_feature::full_feature, longest: 144 },
    Target { name: "sense", run: scsi::sense, longest: 64 },
    Target { name: "report_luns", run: scsi::report_luns, longest: 96 },
    Target { name: "scsi", run: scsi::scsi, longest: 96 },
    Target { name: "nic", run: nic::nic, longest: 256 },
    Target { name: "ibft_table", run: ibft::table, longest: 1024 },
    Target { name: "frames", run: frames::frames, longest: 512 },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// What a fuzz target does with its input, which it need not shorten itself.
///
/// # Panics
/// When the initiator is wrong, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = target(name).expect("a target of that name");
    (target.run)(input.get(..target.longest).unwrap_or(input));
}

/// Formats it to nowhere: what is displayed must not fail, and its text need not be kept.
fn shown(value: &dyn std::fmt::Display) {
    struct Nowhere(usize);
    impl std::fmt::Write for Nowhere {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut nowhere = Nowhere(0);
    std::fmt::write(&mut nowhere, format_args!("{value}")).expect("what is displayed");
    assert_ne!(nowhere.0, 0, "an empty text tells nothing");
}
