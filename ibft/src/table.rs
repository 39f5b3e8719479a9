//! The table: its header, its checksum, its control structure, and the structures it lists.

use core::fmt;

use crate::Error;
use crate::field::{self, Field, Secret, Text};
use crate::structure::{
    Extensions, HEADER_LENGTH, Initiator, Nic, Structure, StructureHeader, StructureKind, Target,
    flag, target,
};

/// The signatures a table can have: `iBFT` by the specification, `IBFT` by ACPI's list of reserved
/// signatures, `BIFT` by Broadcom.
pub const SIGNATURES: [[u8; 4]; 3] = [*b"iBFT", *b"IBFT", *b"BIFT"];

/// Length of the smallest table in bytes: the header and a control structure.
pub const MINIMUM_TABLE_LENGTH: usize =
    CONTROL.saturating_add(StructureKind::Control.defined_length());

/// Length of the largest table in bytes: its offsets are 16 bits wide.
pub const MAXIMUM_TABLE_LENGTH: usize = 0x1_0000;

/// A buffer of this many bytes holds every table known from the field, twice over: EDK2's have 2048
/// bytes, iPXE's up to 768.
pub const TYPICAL_BUFFER_LENGTH: usize = 4096;

/// How many structures of a table are read. Known tables have up to ten.
pub const MAXIMUM_STRUCTURES: usize = 64;

/// Where the control structure starts: the header's length.
pub(crate) const CONTROL: usize = 48;

pub(crate) mod header {
    use super::Field;
    pub(crate) const LENGTH: Field = 4..8;
    pub(crate) const REVISION: usize = 8;
    pub(crate) const CHECKSUM: usize = 9;
    pub(crate) const OEM_ID: Field = 10..16;
    pub(crate) const OEM_TABLE_ID: Field = 16..24;
    pub(crate) const RESERVED: Field = 24..48;
}

/// Where the control structure's list of offsets starts, from the structure's start. The first is
/// for extensions, the second for the initiator, then a NIC and a target in turns.
pub(crate) const OFFSETS: usize = HEADER_LENGTH;

/// An iBFT whose header and control structure are sound.
///
/// It borrows the bytes and is as cheap to copy as a slice. Structures are found through the
/// offsets of the control structure, told apart by their own ids, and checked one by one: one that
/// cannot be read is left out of the iterators and named by [`problems`](Self::problems).
#[derive(Clone, Copy)]
pub struct Ibft<'a> {
    /// Exactly the table.
    bytes: &'a [u8],
    /// The header and the control structure, of which nothing else can be a part.
    head_length: usize,
}

impl<'a> Ibft<'a> {
    /// Checks bytes that start with a table and may go on behind it.
    ///
    /// # Errors
    /// What is wrong with the signature, the length, the checksum, the revision or the control
    /// structure. Everything else is checked when it is read.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let available = bytes.len();
        let found = *bytes.first_chunk::<4>().ok_or(Error::Truncated { available })?;
        if !SIGNATURES.contains(&found) {
            return Err(Error::Signature { found });
        }
        if available < MINIMUM_TABLE_LENGTH {
            return Err(Error::Truncated { available });
        }
        let found = field::read_u32(bytes, header::LENGTH);
        let bytes = checked_length(found)
            .and_then(|length| bytes.get(..length))
            .ok_or(Error::Length { found, available })?;
        let sum = sum(bytes);
        if sum != 0 {
            return Err(Error::Checksum { sum, length: bytes.len() });
        }
        let found = field::read_u8(bytes, header::REVISION);
        if found != 1 {
            return Err(Error::Revision { found });
        }
        let control = Structures::check(bytes, CONTROL, CONTROL)?;
        if control.id != StructureKind::Control.id() {
            return Err(Error::StructureId { offset: CONTROL, found: control.id });
        }
        Ok(Ibft { bytes, head_length: CONTROL.saturating_add(usize::from(control.length)) })
    }

    /// The table's bytes, secrets included.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The signature, one of [`SIGNATURES`].
    pub fn signature(&self) -> [u8; 4] {
        field::read_array(self.bytes, 0..4)
    }

    /// The checksum byte, which makes all bytes of the table sum to zero.
    pub fn checksum(&self) -> u8 {
        field::read_u8(self.bytes, header::CHECKSUM)
    }

    /// Who made the firmware.
    pub fn oem_id(&self) -> Text<'a> {
        Text::new(self.bytes.get(header::OEM_ID).unwrap_or_default())
    }

    /// What firmware it is.
    pub fn oem_table_id(&self) -> Text<'a> {
        Text::new(self.bytes.get(header::OEM_TABLE_ID).unwrap_or_default())
    }

    /// The header's last 24 bytes: reserved by the specification, OEM revision and creator in
    /// tables made by ACPI's rules.
    pub fn reserved(&self) -> [u8; 24] {
        field::read_array(self.bytes, header::RESERVED)
    }

    /// The control structure's header.
    pub fn control(&self) -> StructureHeader {
        let bytes = self.bytes.get(CONTROL..).unwrap_or_default();
        StructureHeader::parse(bytes).unwrap_or(StructureHeader {
            id: 0,
            version: 0,
            length: 0,
            index: 0,
            flags: 0,
        })
    }

    /// Whether firmware asks to go on with the next target when one fails. For reports only:
    /// going on is right either way.
    pub fn boot_failover(&self) -> bool {
        self.control().flags & flag::BOOT_FAILOVER != 0
    }

    /// Every structure that the control structure lists, in its order, and an error for each that
    /// cannot be read. An offset that is listed twice counts once.
    pub fn structures(&self) -> Structures<'a> {
        let offsets =
            self.bytes.get(CONTROL.saturating_add(OFFSETS)..self.head_length).unwrap_or_default();
        Structures { table: *self, offsets, next: 0 }
    }

    /// What cannot be read: structures, and strings of those that can.
    pub fn problems(&self) -> impl Iterator<Item = Error> + use<'a> {
        self.structures().flat_map(|structure| {
            let problems = match structure {
                Err(error) => [Some(error), None, None, None, None],
                Ok(Structure::Initiator(it)) => [it.name().err(), None, None, None, None],
                Ok(Structure::Nic(it)) => [it.host_name().err(), None, None, None, None],
                Ok(Structure::Target(it)) => [
                    it.name().err(),
                    it.chap_name().err(),
                    it.chap_secret().err(),
                    it.reverse_chap_name().err(),
                    it.reverse_chap_secret().err(),
                ],
                Ok(Structure::Extensions(_)) => [None; 5],
            };
            problems.into_iter().flatten()
        })
    }

    /// The initiator.
    pub fn initiator(&self) -> Option<Initiator<'a>> {
        self.structures().find_map(|structure| match structure {
            Ok(Structure::Initiator(initiator)) => Some(initiator),
            _ => None,
        })
    }

    /// The network interfaces, in the control structure's order.
    pub fn nics(&self) -> impl Iterator<Item = Nic<'a>> + Clone + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Ok(Structure::Nic(nic)) => Some(nic),
            _ => None,
        })
    }

    /// The targets, in the control structure's order, also those that cannot be booted from. See
    /// [`targets_in_order`](Self::targets_in_order).
    pub fn targets(&self) -> impl Iterator<Item = Target<'a>> + Clone + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Ok(Structure::Target(target)) => Some(target),
            _ => None,
        })
    }

    /// The extensions.
    pub fn extensions(&self) -> impl Iterator<Item = Extensions<'a>> + Clone + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Ok(Structure::Extensions(extensions)) => Some(extensions),
            _ => None,
        })
    }

    /// The targets worth trying, best first: those that are valid *and* selected, then those with
    /// any flag at all; those with a [`problem`](Target::problem) are left out.
    ///
    /// Try them in turn: firmware also lists attempts that failed.
    pub fn targets_in_order(&self) -> impl Iterator<Item = Target<'a>> + Clone + use<'a> {
        let usable = self.targets().filter(|target| target.problem().is_none());
        let preferred = usable.clone().filter(|target| target.header().is_preferred());
        preferred.chain(usable.filter(|target| !target.header().is_preferred()))
    }

    /// The NIC structure to reach a target through: the one whose index the target names; when
    /// there is none, the one at that place among the NICs; else the best there is.
    ///
    /// Compare [`Nic::index`] with [`Target::nic_association`] to learn whether it was a guess.
    pub fn nic_for(&self, target: &Target<'_>) -> Option<Nic<'a>> {
        let association = target.nic_association();
        best_nic(self.nics().filter(|nic| nic.index() == association))
            .or_else(|| {
                self.nics().nth(usize::from(association)).filter(|it| it.header().is_usable())
            })
            .or_else(|| best_nic(self.nics()))
    }

    /// Resolves a string: two bytes of length and two of offset.
    pub(crate) fn text(
        &self,
        structure_offset: usize,
        structure: &[u8],
        field: Field,
        name: &'static str,
    ) -> Result<Text<'a>, Error> {
        self.heap(structure_offset, structure, field, name).map(Text::new)
    }

    pub(crate) fn secret(
        &self,
        structure_offset: usize,
        structure: &[u8],
        field: Field,
        name: &'static str,
    ) -> Result<Secret<'a>, Error> {
        self.heap(structure_offset, structure, field, name).map(Secret::new)
    }

    fn heap(
        &self,
        structure_offset: usize,
        structure: &[u8],
        field: Field,
        name: &'static str,
    ) -> Result<&'a [u8], Error> {
        let (length, offset) = string_place(structure, field);
        if length == 0 || offset == 0 {
            return Ok(&[]);
        }
        let range = string_range(length, offset);
        self.bytes.get(range).filter(|_| usize::from(offset) >= self.head_length).ok_or(
            Error::StringBounds {
                field: name,
                structure_offset,
                offset,
                length,
                table_length: self.bytes.len(),
            },
        )
    }
}

/// A summary in one line, without secrets.
impl fmt::Display for Ibft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes by {} / {}: {} NIC(s), {} target(s)",
            self.signature().escape_ascii(),
            self.bytes.len(),
            self.oem_id(),
            self.oem_table_id(),
            self.nics().count(),
            self.targets().count()
        )
    }
}

impl fmt::Debug for Ibft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ibft")
            .field("signature", &format_args!("{}", self.signature().escape_ascii()))
            .field("length", &self.bytes.len())
            .field("oem_id", &self.oem_id())
            .field("oem_table_id", &self.oem_table_id())
            .field("control", &self.control())
            .field("structures", &format_args!("{:?}", ListOf(self.structures())))
            .finish()
    }
}

/// Formats what an iterator yields as a list.
struct ListOf<I>(I);

impl<I: Iterator<Item: fmt::Debug> + Clone> fmt::Debug for ListOf<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.clone()).finish()
    }
}

/// The structures of a table: see [`Ibft::structures`].
#[derive(Clone)]
pub struct Structures<'a> {
    table: Ibft<'a>,
    /// The control structure's offsets, two bytes each.
    offsets: &'a [u8],
    next: usize,
}

impl<'a> Iterator for Structures<'a> {
    type Item = Result<Structure<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = self.next;
            let offset = offset_at(self.offsets, place)?;
            self.next = place.saturating_add(1);
            if place >= MAXIMUM_STRUCTURES {
                self.next = usize::MAX;
                let found = self.offsets.len().checked_div(2).unwrap_or(0);
                return Some(Err(Error::StructureCount { found }));
            }
            let seen =
                || (0..place).any(|earlier| offset_at(self.offsets, earlier) == Some(offset));
            if offset != 0 && !seen() {
                return Some(self.read(usize::from(offset)));
            }
        }
    }
}

impl<'a> Structures<'a> {
    fn read(&self, offset: usize) -> Result<Structure<'a>, Error> {
        let table = self.table;
        let header = Self::check(table.bytes, table.head_length, offset)?;
        let bytes = table.bytes.get(offset..).unwrap_or_default();
        match StructureKind::from_id(header.id) {
            Some(StructureKind::Initiator) => {
                Ok(Structure::Initiator(Initiator::new(table, offset, header, bytes)))
            }
            Some(StructureKind::Nic) => Ok(Structure::Nic(Nic::new(table, offset, header, bytes))),
            Some(StructureKind::Target) => {
                Ok(Structure::Target(Target::new(table, offset, header, bytes)))
            }
            Some(StructureKind::Extensions) => {
                Ok(Structure::Extensions(Extensions::new(table, offset, header, bytes)))
            }
            Some(StructureKind::Control) | None => {
                Err(Error::StructureId { offset, found: header.id })
            }
        }
    }

    /// Checks that a structure lies within the table, not before `first`, and is as long as its
    /// kind's fields.
    fn check(table: &[u8], first: usize, offset: usize) -> Result<StructureHeader, Error> {
        let bounds = |length| Error::StructureBounds { offset, length, table_length: table.len() };
        let header = table
            .get(offset..)
            .filter(|_| offset >= first)
            .and_then(StructureHeader::parse)
            .ok_or(bounds(HEADER_LENGTH))?;
        let length = usize::from(header.length);
        let kind = StructureKind::from_id(header.id)
            .ok_or(Error::StructureId { offset, found: header.id })?;
        if length < kind.defined_length() {
            return Err(Error::StructureLength { kind, offset, found: header.length });
        }
        if offset.saturating_add(length) > table.len() {
            return Err(bounds(length));
        }
        Ok(header)
    }
}

/// Makes all bytes of the table sum to zero again after a change.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Length`], when the bytes are fewer than the header's length.
pub fn fix_checksum(table: &mut [u8]) -> Result<(), Error> {
    let available = table.len();
    if available < CONTROL {
        return Err(Error::Truncated { available });
    }
    let found = field::read_u32(table, header::LENGTH);
    let bytes = checked_length(found)
        .and_then(|length| table.get_mut(..length))
        .ok_or(Error::Length { found, available })?;
    field::write_u8(bytes, header::CHECKSUM, 0);
    let checksum = sum(bytes).wrapping_neg();
    field::write_u8(bytes, header::CHECKSUM, checksum);
    Ok(())
}

/// Overwrites every CHAP secret with zeros, makes the targets say that they have none, and fixes
/// the checksum. Returns how many secrets there were.
///
/// Call it on the memory the table was found in, and on every copy, once the secrets were read.
///
/// # Errors
/// As for [`Ibft::new`]; nothing is changed then.
pub fn wipe_secrets(table: &mut [u8]) -> Result<usize, Error> {
    // Everything that is to be changed is noted first: a careless table's strings may lie over its
    // structures.
    let mut places = [None; MAXIMUM_STRUCTURES];
    let view = Ibft::new(table)?;
    for (place, target) in places.iter_mut().zip(view.targets()) {
        *place = Some((
            target.offset(),
            secret_range(&view, &target, target::layout::CHAP_SECRET),
            secret_range(&view, &target, target::layout::REVERSE_CHAP_SECRET),
        ));
    }
    let mut wiped: usize = 0;
    for (_, secret, reverse_secret) in places.iter().flatten() {
        for range in [secret, reverse_secret].into_iter().flatten() {
            if let Some(bytes) = table.get_mut(range.0..range.1) {
                bytes.fill(0);
                wiped = wiped.saturating_add(1);
            }
        }
    }
    for (offset, ..) in places.iter().flatten() {
        let structure = table.get_mut(*offset..).unwrap_or_default();
        field::write_bytes(structure, target::layout::CHAP_SECRET, &[0; 4]);
        field::write_bytes(structure, target::layout::REVERSE_CHAP_SECRET, &[0; 4]);
    }
    fix_checksum(table)?;
    Ok(wiped)
}

/// Where a target's secret lies in the table, when it has one.
fn secret_range(table: &Ibft<'_>, target: &Target<'_>, field: Field) -> Option<(usize, usize)> {
    let structure = table.bytes.get(target.offset()..).unwrap_or_default();
    let (length, offset) = string_place(structure, field.clone());
    let bytes = table.heap(target.offset(), structure, field, "").ok()?;
    let range = string_range(length, offset);
    (!bytes.is_empty()).then_some((range.start, range.end))
}

/// The header's length, when a table can have it.
pub(crate) fn checked_length(length: u32) -> Option<usize> {
    usize::try_from(length)
        .ok()
        .filter(|length| (MINIMUM_TABLE_LENGTH..=MAXIMUM_TABLE_LENGTH).contains(length))
}

/// The sum that has to be zero, modulo 256.
pub(crate) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// A string's length and offset, in that order, as they stand in the structure.
fn string_place(structure: &[u8], field: Field) -> (u16, u16) {
    let start = field.start;
    let half = |at: usize| field::read_u16(structure, at..at.saturating_add(2));
    (half(start), half(start.saturating_add(2)))
}

fn string_range(length: u16, offset: u16) -> Field {
    let start = usize::from(offset);
    start..start.saturating_add(usize::from(length))
}

fn offset_at(offsets: &[u8], place: usize) -> Option<u16> {
    let at = place.checked_mul(2)?;
    offsets.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// The NIC to take of several: valid and selected, else with any flag, else the first.
fn best_nic<'a>(nics: impl Iterator<Item = Nic<'a>> + Clone) -> Option<Nic<'a>> {
    nics.clone()
        .find(|nic| nic.header().is_preferred())
        .or_else(|| nics.clone().find(|nic| nic.header().is_usable()))
        .or_else(|| nics.clone().next())
}
