//! Reads and writes the iSCSI Boot Firmware Table (iBFT): no allocation, no `unsafe`, no panics on
//! what firmware wrote.
//!
//! The table is how an iSCSI boot ROM tells the operating system what it booted from: the
//! initiator's name, the network interfaces with their addresses, and the targets with their
//! credentials. [`Ibft`] checks the bytes once and then lends typed views of each structure;
//! [`locate`] finds the table in a machine's memory; [`builder`] writes one.
//!
//! ```
//! use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
//! use isboot_ibft::{Ibft, MacAddress};
//!
//! let nics = [NicRepr {
//!     address: Some([10, 0, 2, 15].into()),
//!     prefix_length: 24,
//!     mac: MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
//!     ..NicRepr::default()
//! }];
//! let targets = [TargetRepr {
//!     address: Some([10, 0, 2, 2].into()),
//!     name: b"iqn.2010-06.org.example:disk1",
//!     ..TargetRepr::default()
//! }];
//! let initiator = InitiatorRepr { name: b"iqn.2010-06.org.example:client", ..Default::default() };
//! let table = TableRepr { initiator: Some(initiator), nics: &nics, targets: &targets, ..Default::default() };
//! let mut buffer = [0; 1024];
//! let length = table.emit(&mut buffer)?;
//!
//! let ibft = Ibft::new(&buffer[..length])?;
//! for target in ibft.targets_in_order() {
//!     let nic = ibft.nic_for(&target).ok_or("no NIC in the table")?;
//!     assert_eq!(target.name()?.to_string(), "iqn.2010-06.org.example:disk1");
//!     assert_eq!(target.portal().map(|portal| portal.to_string()), Some("10.0.2.2:3260".into()));
//!     assert_eq!(nic.mac().to_string(), "52:54:00:12:34:56");
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # What firmware gets wrong
//!
//! Tables in the field deviate from the specification in known ways, and all of them are absorbed:
//! three signatures, lengths longer than the structures, structures beyond the first two of a kind,
//! `::ffff:0.0.0.0` for "no address", prefixes over 128, LUNs in little-endian, strings without a
//! terminator, offsets that point outside the table. A structure that cannot be read does not take
//! the others with it: [`Ibft::problems`] names it, and the iterators go on.
//!
//! # Secrets
//!
//! CHAP secrets stand in the table in plain text. They come out as [`Secret`], which no formatting
//! shows, and [`wipe_secrets`] removes them from a copy or from the table itself.
#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable,
    clippy::todo
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "tests compute on their own numbers")
)]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// The examples of README.md are tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use core::fmt;

pub mod builder;
mod field;
pub mod locate;
mod structure;
mod table;

pub use field::{Lun, LunEncoding, MacAddress, Origin, PciAddress, Secret, Text, is_host_address};
pub use structure::{
    ChapType, Extensions, Initiator, MatchedBy, Nic, Structure, StructureHeader, StructureKind,
    Target, TargetProblem, flag,
};
pub use table::{
    Ibft, MAXIMUM_STRUCTURES, MAXIMUM_TABLE_LENGTH, MINIMUM_TABLE_LENGTH, SIGNATURES,
    TYPICAL_BUFFER_LENGTH, fix_checksum, wipe_secrets,
};

/// Why bytes are not a usable table, or a part of a table is not usable.
///
/// Offsets count from the start of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than a table's header and control structure take.
    Truncated {
        /// How many bytes there were.
        available: usize,
    },
    /// The first four bytes are none of [`SIGNATURES`].
    Signature {
        /// The four bytes.
        found: [u8; 4],
    },
    /// The header's length is below the minimum, beyond the bytes at hand, or beyond
    /// [`MAXIMUM_TABLE_LENGTH`].
    Length {
        /// The header's length in bytes.
        found: u32,
        /// How many bytes there were.
        available: usize,
    },
    /// The bytes of the table do not sum to zero.
    Checksum {
        /// What they sum to, modulo 256.
        sum: u8,
        /// How many bytes were summed.
        length: usize,
    },
    /// The header's revision is not 1.
    Revision {
        /// The header's revision.
        found: u8,
    },
    /// A structure has an id that the place does not allow or that nobody defines.
    StructureId {
        /// Where the structure starts.
        offset: usize,
        /// Its id.
        found: u8,
    },
    /// A structure says that it is shorter than its fields.
    StructureLength {
        /// What the structure is.
        kind: StructureKind,
        /// Where it starts.
        offset: usize,
        /// Its length in bytes.
        found: u16,
    },
    /// A structure starts or ends outside the table, or lies over the header and control structure.
    StructureBounds {
        /// Where the structure starts.
        offset: usize,
        /// Its length in bytes: the header's own when it could be read, else a header's.
        length: usize,
        /// The table's length in bytes.
        table_length: usize,
    },
    /// The control structure lists more than [`MAXIMUM_STRUCTURES`] structures; the rest are not read.
    StructureCount {
        /// How many offsets the control structure holds.
        found: usize,
    },
    /// A string starts or ends outside the table, or lies over the header and control structure.
    StringBounds {
        /// What the string is.
        field: &'static str,
        /// Where the structure that refers to it starts.
        structure_offset: usize,
        /// The string's offset.
        offset: u16,
        /// The string's length in bytes.
        length: u16,
        /// The table's length in bytes.
        table_length: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Truncated { available } => write!(
                f,
                "too short for an iBFT: {available} bytes, the smallest table has {MINIMUM_TABLE_LENGTH}"
            ),
            Error::Signature { found } => {
                write!(f, "not an iBFT: the signature at offset 0 is \"{}\"", found.escape_ascii())
            }
            Error::Length { found, available } => write!(
                f,
                "the iBFT's length at offset 4 is {found} bytes, which is not within \
                 {MINIMUM_TABLE_LENGTH}..={} and the {available} bytes at hand",
                MAXIMUM_TABLE_LENGTH
            ),
            Error::Checksum { sum, length } => write!(
                f,
                "the iBFT's checksum is wrong: its {length} bytes sum to {sum:#04x} instead of 0, \
                 so it was damaged or changed after the firmware wrote it"
            ),
            Error::Revision { found } => {
                write!(f, "the iBFT's revision at offset 8 is {found}; only revision 1 is defined")
            }
            Error::StructureId { offset, found } => {
                write!(
                    f,
                    "the structure at offset {offset} has id {found}, which is not defined here"
                )
            }
            Error::StructureLength { kind, offset, found } => write!(
                f,
                "the {kind} structure at offset {offset} says it has {found} bytes; its fields take {}",
                kind.defined_length()
            ),
            Error::StructureBounds { offset, length, table_length } => write!(
                f,
                "the structure at offset {offset}, {length} bytes long, does not lie within the \
                 {table_length} bytes of the iBFT, behind its control structure"
            ),
            Error::StructureCount { found } => write!(
                f,
                "the control structure lists {found} structures; the first {MAXIMUM_STRUCTURES} are read"
            ),
            Error::StringBounds { field, structure_offset, offset, length, table_length } => {
                write!(
                    f,
                    "the {field} of the structure at offset {structure_offset} is {length} bytes at \
                 offset {offset}, which do not lie within the {table_length} bytes of the iBFT, \
                 behind its control structure"
                )
            }
        }
    }
}

impl core::error::Error for Error {}
