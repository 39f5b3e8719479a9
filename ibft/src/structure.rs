//! Views of the table's structures: initiator, network interface, target, extensions.
//!
//! A view borrows the table and reads a field when it is asked for it. Its structure was checked to
//! lie within the table and to be at least as long as its fields; strings are checked when read.

use core::fmt;

use crate::table::Ibft;

/// Declares a view: the table, the structure's offset and its bytes.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<'a> {
            table: Ibft<'a>,
            offset: usize,
            header: StructureHeader,
            bytes: &'a [u8],
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(
                table: Ibft<'a>,
                offset: usize,
                header: StructureHeader,
                bytes: &'a [u8],
            ) -> Self {
                $name { table, offset, header, bytes }
            }

            /// Where the structure starts, in bytes from the start of the table.
            pub fn offset(&self) -> usize {
                self.offset
            }

            /// The structure's header.
            pub fn header(&self) -> StructureHeader {
                self.header
            }

            /// The number other structures refer to this one by.
            pub fn index(&self) -> u8 {
                self.header.index
            }

            /// Bits of [`flag`](crate::flag).
            pub fn flags(&self) -> u8 {
                self.header.flags
            }
        }
    };
}

pub(crate) mod initiator;
pub(crate) mod nic;
pub(crate) mod target;

pub use initiator::Initiator;
pub use nic::{MatchedBy, Nic};
pub use target::{ChapType, Target, TargetProblem};

/// The bits of a structure's flags byte.
pub mod flag {
    /// Control structure: fail over to the next boot attempt.
    pub const BOOT_FAILOVER: u8 = 1;
    /// Any other structure: the block is valid.
    pub const VALID: u8 = 1;
    /// Any other structure: firmware selected this block to boot from.
    pub const BOOT_SELECTED: u8 = 2;
    /// NIC: the address is global, not link-local.
    pub const GLOBAL: u8 = 4;
    /// Target: CHAP is to be checked by a RADIUS server.
    pub const RADIUS_CHAP: u8 = 4;
    /// Target: reverse CHAP is to be checked by a RADIUS server.
    pub const RADIUS_REVERSE_CHAP: u8 = 8;
}

/// What a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StructureKind {
    /// Id 1: lists the offsets of the others.
    Control,
    /// Id 2.
    Initiator,
    /// Id 3.
    Nic,
    /// Id 4.
    Target,
    /// Id 5: vendor data.
    Extensions,
}

impl StructureKind {
    /// The kind with this id.
    pub fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            1 => StructureKind::Control,
            2 => StructureKind::Initiator,
            3 => StructureKind::Nic,
            4 => StructureKind::Target,
            5 => StructureKind::Extensions,
            _ => return None,
        })
    }

    /// The id in the structure's header.
    pub const fn id(self) -> u8 {
        match self {
            StructureKind::Control => 1,
            StructureKind::Initiator => 2,
            StructureKind::Nic => 3,
            StructureKind::Target => 4,
            StructureKind::Extensions => 5,
        }
    }

    /// How many bytes the header and the defined fields take. Structures may be longer.
    pub const fn defined_length(self) -> usize {
        match self {
            StructureKind::Control => 18,
            StructureKind::Initiator => 74,
            StructureKind::Nic => 102,
            StructureKind::Target => 54,
            StructureKind::Extensions => HEADER_LENGTH,
        }
    }
}

impl fmt::Display for StructureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StructureKind::Control => "control",
            StructureKind::Initiator => "initiator",
            StructureKind::Nic => "NIC",
            StructureKind::Target => "target",
            StructureKind::Extensions => "extensions",
        })
    }
}

/// Length of a structure's header in bytes.
pub(crate) const HEADER_LENGTH: usize = 6;

/// The header that every structure starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructureHeader {
    /// What the structure is: see [`StructureKind::from_id`].
    pub id: u8,
    /// Version of its layout: 1.
    pub version: u8,
    /// Its length in bytes, this header included.
    pub length: u16,
    /// The number other structures refer to it by; not an index into anything.
    pub index: u8,
    /// Bits of [`flag`].
    pub flags: u8,
}

impl StructureHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [id, version, l0, l1, index, flags] = *bytes.first_chunk::<HEADER_LENGTH>()?;
        let length = u16::from_le_bytes([l0, l1]);
        Some(StructureHeader { id, version, length, index, flags })
    }

    /// Whether the structure is meant to be used. Some firmware sets only one of the two bits, so
    /// any flag counts.
    pub fn is_usable(&self) -> bool {
        self.flags != 0
    }

    /// Whether the structure is valid *and* selected for booting, as the specification wants it of
    /// what was booted from.
    pub fn is_preferred(&self) -> bool {
        self.flags & (flag::VALID | flag::BOOT_SELECTED) == flag::VALID | flag::BOOT_SELECTED
    }
}

/// One structure of the table, by kind.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Structure<'a> {
    /// Who boots.
    Initiator(Initiator<'a>),
    /// Through which interface.
    Nic(Nic<'a>),
    /// From where.
    Target(Target<'a>),
    /// Vendor data.
    Extensions(Extensions<'a>),
}

view! {
    /// An extensions structure: a header, and data that only its vendor knows.
    Extensions
}

impl<'a> Extensions<'a> {
    /// What follows the header.
    pub fn data(&self) -> &'a [u8] {
        let end = usize::from(self.header.length);
        self.bytes.get(HEADER_LENGTH..end).unwrap_or_default()
    }

    /// The table the structure is of.
    pub fn table(&self) -> Ibft<'a> {
        self.table
    }
}

impl fmt::Debug for Extensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("data_length", &self.data().len())
            .finish()
    }
}
