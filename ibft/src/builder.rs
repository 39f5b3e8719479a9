//! Writes a table into a buffer: for tests, for tools, and for handing over to the next stage.
//!
//! The `Repr` types hold a table's fields as values. [`TableRepr::emit`] writes them, and each view
//! has a `repr` to get its values back, so that a table can be read, changed and written again.
//! The result has a good checksum, structures on 16-byte boundaries and strings with a terminating
//! NUL, as the strictest readers want it.

mod writer;

use core::fmt;
use core::net::IpAddr;

use crate::Error;
use crate::field::{self, Lun, MacAddress, PciAddress, Secret};
use crate::structure::{
    Extensions, HEADER_LENGTH, Initiator, Nic, StructureKind, Target, flag, initiator, nic, target,
};
use crate::table::{CONTROL, OFFSETS, header, sum};
use writer::{ALIGNMENT, Writer};

/// Everything a table holds.
///
/// ```
/// use isboot_ibft::builder::{TableRepr, TargetRepr};
///
/// let targets = [TargetRepr { name: b"iqn.2010-06.org.example:a", ..TargetRepr::default() }];
/// let table = TableRepr { targets: &targets, ..TableRepr::default() };
/// let mut buffer = [0; 512];
/// let length = table.emit(&mut buffer)?;
/// assert_eq!(length, table.length()?);
/// # Ok::<(), isboot_ibft::builder::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRepr<'a> {
    /// The signature, one of [`SIGNATURES`](crate::SIGNATURES).
    pub signature: [u8; 4],
    /// Who made the firmware, filled up with NULs.
    pub oem_id: [u8; 6],
    /// What firmware it is, filled up with NULs.
    pub oem_table_id: [u8; 8],
    /// The control structure's flags, bits of [`flag`].
    pub control_flags: u8,
    /// Who boots.
    pub initiator: Option<InitiatorRepr<'a>>,
    /// The network interfaces.
    pub nics: &'a [NicRepr<'a>],
    /// The targets.
    pub targets: &'a [TargetRepr<'a>],
    /// Vendor data.
    pub extensions: Option<ExtensionsRepr<'a>>,
}

impl Default for TableRepr<'_> {
    fn default() -> Self {
        TableRepr {
            signature: *b"iBFT",
            oem_id: *b"ISBOOT",
            oem_table_id: *b"isboot\0\0",
            control_flags: 0,
            initiator: None,
            nics: &[],
            targets: &[],
            extensions: None,
        }
    }
}

/// The values of an initiator structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitiatorRepr<'a> {
    /// The number of the structure.
    pub index: u8,
    /// Bits of [`flag`]; by default valid and selected.
    pub flags: u8,
    /// The iSNS server.
    pub isns_server: Option<IpAddr>,
    /// The SLP server.
    pub slp_server: Option<IpAddr>,
    /// The first RADIUS server.
    pub primary_radius_server: Option<IpAddr>,
    /// The second RADIUS server.
    pub secondary_radius_server: Option<IpAddr>,
    /// The initiator's iSCSI name.
    pub name: &'a [u8],
}

impl Default for InitiatorRepr<'_> {
    fn default() -> Self {
        InitiatorRepr {
            index: 0,
            flags: flag::VALID | flag::BOOT_SELECTED,
            isns_server: None,
            slp_server: None,
            primary_radius_server: None,
            secondary_radius_server: None,
            name: b"",
        }
    }
}

/// The values of a NIC structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicRepr<'a> {
    /// The number targets refer to it by.
    pub index: u8,
    /// Bits of [`flag`]; by default valid, selected and global.
    pub flags: u8,
    /// The interface's address.
    pub address: Option<IpAddr>,
    /// The subnet's prefix length.
    pub prefix_length: u8,
    /// Where the address came from, as [`Origin`](crate::Origin) numbers it; by default 1, manual.
    pub origin: u8,
    /// The default gateway.
    pub gateway: Option<IpAddr>,
    /// The first DNS server.
    pub primary_dns: Option<IpAddr>,
    /// The second DNS server.
    pub secondary_dns: Option<IpAddr>,
    /// The DHCP server that gave the address.
    pub dhcp_server: Option<IpAddr>,
    /// The VLAN, 0 for none.
    pub vlan: u16,
    /// The interface's MAC address.
    pub mac: MacAddress,
    /// Where the interface is on the PCI bus.
    pub pci_address: PciAddress,
    /// The machine's host name.
    pub host_name: &'a [u8],
}

impl Default for NicRepr<'_> {
    fn default() -> Self {
        NicRepr {
            index: 0,
            flags: flag::VALID | flag::BOOT_SELECTED | flag::GLOBAL,
            address: None,
            prefix_length: 0,
            origin: 1,
            gateway: None,
            primary_dns: None,
            secondary_dns: None,
            dhcp_server: None,
            vlan: 0,
            mac: MacAddress::default(),
            pci_address: PciAddress::default(),
            host_name: b"",
        }
    }
}

/// The values of a target structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRepr<'a> {
    /// The number of the structure.
    pub index: u8,
    /// Bits of [`flag`]; by default valid and selected.
    pub flags: u8,
    /// The portal's address.
    pub address: Option<IpAddr>,
    /// The portal's port; by default 3260.
    pub port: u16,
    /// The logical unit to boot from.
    pub lun: Lun,
    /// Who has to prove who they are, as [`ChapType`](crate::ChapType) numbers it.
    pub chap_type: u8,
    /// The index of the NIC to reach the target through.
    pub nic_association: u8,
    /// The target's iSCSI name.
    pub name: &'a [u8],
    /// The name that the initiator proves itself by.
    pub chap_name: &'a [u8],
    /// The secret that the initiator proves itself with.
    pub chap_secret: Secret<'a>,
    /// The name that the target proves itself by.
    pub reverse_chap_name: &'a [u8],
    /// The secret that the target proves itself with.
    pub reverse_chap_secret: Secret<'a>,
}

impl Default for TargetRepr<'_> {
    fn default() -> Self {
        TargetRepr {
            index: 0,
            flags: flag::VALID | flag::BOOT_SELECTED,
            address: None,
            port: 3260,
            lun: Lun::default(),
            chap_type: 0,
            nic_association: 0,
            name: b"",
            chap_name: b"",
            chap_secret: Secret::default(),
            reverse_chap_name: b"",
            reverse_chap_secret: Secret::default(),
        }
    }
}

/// The values of an extensions structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionsRepr<'a> {
    /// The number of the structure.
    pub index: u8,
    /// Its flags, which nobody defines.
    pub flags: u8,
    /// What follows its header.
    pub data: &'a [u8],
}

/// Why a table cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffer is smaller than the table.
    BufferTooSmall {
        /// The table's length in bytes.
        needed: usize,
        /// The buffer's.
        available: usize,
    },
    /// The table, or a string of it, is longer than 16-bit offsets and lengths can say.
    TooLong,
    /// A string holds a NUL, which would end it for every reader.
    NulInString {
        /// What the string is.
        field: &'static str,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::BufferTooSmall { needed, available } => {
                write!(f, "the iBFT takes {needed} bytes, the buffer has {available}")
            }
            BuildError::TooLong => {
                f.write_str("the iBFT would be longer than its 16-bit offsets can reach")
            }
            BuildError::NulInString { field } => write!(f, "the {field} holds a NUL"),
        }
    }
}

impl core::error::Error for BuildError {}

impl TableRepr<'_> {
    /// How many bytes the table takes.
    ///
    /// # Errors
    /// [`BuildError::TooLong`] and [`BuildError::NulInString`].
    pub fn length(&self) -> Result<usize, BuildError> {
        self.write(&mut [])
    }

    /// Writes the table to the start of a buffer and returns its length in bytes. What follows in
    /// the buffer is left as it is.
    ///
    /// # Errors
    /// [`BuildError`]; the buffer is then unchanged.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, BuildError> {
        let needed = self.length()?;
        let available = buffer.len();
        let table =
            buffer.get_mut(..needed).ok_or(BuildError::BufferTooSmall { needed, available })?;
        table.fill(0);
        self.write(table)
    }

    /// Writes the table into a buffer of its length, or into an empty one to learn the length:
    /// writes beyond the buffer are dropped.
    fn write(&self, out: &mut [u8]) -> Result<usize, BuildError> {
        // The offsets: extensions, initiator, then NIC and target in turns, two of each at least.
        let pairs = self.nics.len().max(self.targets.len()).max(2);
        let control_length = pairs
            .checked_mul(4)
            .and_then(|length| length.checked_add(OFFSETS)?.checked_add(4))
            .and_then(|length| u16::try_from(length).ok())
            .ok_or(BuildError::TooLong)?;
        let mut writer = Writer {
            out,
            next: CONTROL.saturating_add(usize::from(control_length)).next_multiple_of(ALIGNMENT),
            heap: 0,
        };
        writer.heap = self.structures_end(writer.next);

        writer.header(CONTROL, StructureKind::Control, 0, self.control_flags, control_length);
        if let Some(extensions) = &self.extensions {
            let offset = extensions.emit(&mut writer)?;
            writer.offset(0, offset)?;
        }
        if let Some(initiator) = &self.initiator {
            let offset = initiator.emit(&mut writer)?;
            writer.offset(1, offset)?;
        }
        for (place, nic) in (2..).step_by(2).zip(self.nics) {
            let offset = nic.emit(&mut writer)?;
            writer.offset(place, offset)?;
        }
        for (place, target) in (3..).step_by(2).zip(self.targets) {
            let offset = target.emit(&mut writer)?;
            writer.offset(place, offset)?;
        }

        let length = writer.heap;
        if length > usize::from(u16::MAX) {
            return Err(BuildError::TooLong);
        }
        let out = writer.out;
        field::write_bytes(out, 0..4, &self.signature);
        let length_field = u32::try_from(length).map_err(|_| BuildError::TooLong)?;
        field::write_bytes(out, header::LENGTH, &length_field.to_le_bytes());
        field::write_u8(out, header::REVISION, 1);
        field::write_bytes(out, header::OEM_ID, &self.oem_id);
        field::write_bytes(out, header::OEM_TABLE_ID, &self.oem_table_id);
        let checksum = sum(out).wrapping_neg();
        field::write_u8(out, header::CHECKSUM, checksum);
        Ok(length)
    }

    /// Where the structures end, so that the heap can start: a fixed length each, on boundaries.
    fn structures_end(&self, start: usize) -> usize {
        let room = |kind: StructureKind, more: usize| {
            kind.defined_length().saturating_add(more).next_multiple_of(ALIGNMENT)
        };
        let initiator = self.initiator.as_ref().map_or(0, |_| room(StructureKind::Initiator, 0));
        let nics = self.nics.len().saturating_mul(room(StructureKind::Nic, 0));
        let targets = self.targets.len().saturating_mul(room(StructureKind::Target, 0));
        let extensions = self
            .extensions
            .as_ref()
            .map_or(0, |extensions| room(StructureKind::Extensions, extensions.data.len()));
        start
            .saturating_add(initiator)
            .saturating_add(nics)
            .saturating_add(targets)
            .saturating_add(extensions)
    }
}

impl<'a> Initiator<'a> {
    /// The structure's values, for writing them again.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when the name points outside the table.
    pub fn repr(&self) -> Result<InitiatorRepr<'a>, Error> {
        Ok(InitiatorRepr {
            index: self.index(),
            flags: self.flags(),
            isns_server: self.isns_server(),
            slp_server: self.slp_server(),
            primary_radius_server: self.primary_radius_server(),
            secondary_radius_server: self.secondary_radius_server(),
            name: self.name()?.as_bytes(),
        })
    }
}

impl InitiatorRepr<'_> {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<usize, BuildError> {
        let offset = writer.structure(StructureKind::Initiator, self.index, self.flags, 0)?;
        let out = writer.at(offset);
        field::write_address(out, initiator::layout::ISNS_SERVER, self.isns_server);
        field::write_address(out, initiator::layout::SLP_SERVER, self.slp_server);
        field::write_address(
            out,
            initiator::layout::PRIMARY_RADIUS_SERVER,
            self.primary_radius_server,
        );
        field::write_address(
            out,
            initiator::layout::SECONDARY_RADIUS_SERVER,
            self.secondary_radius_server,
        );
        writer.string(offset, initiator::layout::NAME, self.name, "initiator name")?;
        Ok(offset)
    }
}

impl<'a> Nic<'a> {
    /// The structure's values, for writing them again.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when the host name points outside the table.
    pub fn repr(&self) -> Result<NicRepr<'a>, Error> {
        Ok(NicRepr {
            index: self.index(),
            flags: self.flags(),
            address: self.address(),
            prefix_length: self.prefix_length(),
            origin: self.origin_byte(),
            gateway: self.gateway(),
            primary_dns: self.primary_dns(),
            secondary_dns: self.secondary_dns(),
            dhcp_server: self.dhcp_server(),
            vlan: self.vlan_tag(),
            mac: self.mac(),
            pci_address: self.pci_address(),
            host_name: self.host_name()?.as_bytes(),
        })
    }
}

impl NicRepr<'_> {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<usize, BuildError> {
        let offset = writer.structure(StructureKind::Nic, self.index, self.flags, 0)?;
        let out = writer.at(offset);
        field::write_address(out, nic::layout::ADDRESS, self.address);
        field::write_u8(out, nic::layout::PREFIX_LENGTH, self.prefix_length);
        field::write_u8(out, nic::layout::ORIGIN, self.origin);
        field::write_address(out, nic::layout::GATEWAY, self.gateway);
        field::write_address(out, nic::layout::PRIMARY_DNS, self.primary_dns);
        field::write_address(out, nic::layout::SECONDARY_DNS, self.secondary_dns);
        field::write_address(out, nic::layout::DHCP_SERVER, self.dhcp_server);
        field::write_u16(out, nic::layout::VLAN, self.vlan);
        field::write_bytes(out, nic::layout::MAC, &self.mac.0);
        field::write_u16(out, nic::layout::PCI_ADDRESS, self.pci_address.to_bits());
        writer.string(offset, nic::layout::HOST_NAME, self.host_name, "host name")?;
        Ok(offset)
    }
}

impl<'a> Target<'a> {
    /// The structure's values, for writing them again.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when a string points outside the table.
    pub fn repr(&self) -> Result<TargetRepr<'a>, Error> {
        Ok(TargetRepr {
            index: self.index(),
            flags: self.flags(),
            address: self.address(),
            port: self.port(),
            lun: self.lun(),
            chap_type: self.chap_type_byte(),
            nic_association: self.nic_association(),
            name: self.name()?.as_bytes(),
            chap_name: self.chap_name()?.as_bytes(),
            chap_secret: self.chap_secret()?,
            reverse_chap_name: self.reverse_chap_name()?.as_bytes(),
            reverse_chap_secret: self.reverse_chap_secret()?,
        })
    }
}

impl TargetRepr<'_> {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<usize, BuildError> {
        let offset = writer.structure(StructureKind::Target, self.index, self.flags, 0)?;
        let out = writer.at(offset);
        field::write_address(out, target::layout::ADDRESS, self.address);
        field::write_u16(out, target::layout::PORT, self.port);
        field::write_bytes(out, target::layout::LUN, &self.lun.raw());
        field::write_u8(out, target::layout::CHAP_TYPE, self.chap_type);
        field::write_u8(out, target::layout::NIC_ASSOCIATION, self.nic_association);
        let (secret, reverse_secret) =
            (self.chap_secret.expose(), self.reverse_chap_secret.expose());
        for (field, text, name) in [
            (target::layout::NAME, self.name, "target name"),
            (target::layout::CHAP_NAME, self.chap_name, "CHAP name"),
            (target::layout::CHAP_SECRET, secret, "CHAP secret"),
            (target::layout::REVERSE_CHAP_NAME, self.reverse_chap_name, "reverse CHAP name"),
            (target::layout::REVERSE_CHAP_SECRET, reverse_secret, "reverse CHAP secret"),
        ] {
            writer.string(offset, field, text, name)?;
        }
        Ok(offset)
    }
}

impl<'a> Extensions<'a> {
    /// The structure's values, for writing them again.
    pub fn repr(&self) -> ExtensionsRepr<'a> {
        ExtensionsRepr { index: self.index(), flags: self.flags(), data: self.data() }
    }
}

impl ExtensionsRepr<'_> {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<usize, BuildError> {
        let kind = StructureKind::Extensions;
        let offset = writer.structure(kind, self.index, self.flags, self.data.len())?;
        let end = HEADER_LENGTH.saturating_add(self.data.len());
        field::write_bytes(writer.at(offset), HEADER_LENGTH..end, self.data);
        Ok(offset)
    }
}
