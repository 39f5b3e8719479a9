//! The target structure: one place to boot from, and how to authenticate there.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::StructureHeader;
use crate::field::{self, Lun, Secret, Text, is_host_address};
use crate::{Error, Ibft};

/// The port of an iSCSI target when the table has none (RFC 7143 §16).
const DEFAULT_PORT: u16 = 3260;

view! {
    /// A target structure: one place to boot from, and how to authenticate there.
    Target
}

/// Where the fields stand.
pub(crate) mod layout {
    use crate::field::Field;
    pub(crate) const ADDRESS: Field = 6..22;
    pub(crate) const PORT: Field = 22..24;
    pub(crate) const LUN: Field = 24..32;
    pub(crate) const CHAP_TYPE: usize = 32;
    pub(crate) const NIC_ASSOCIATION: usize = 33;
    pub(crate) const NAME: Field = 34..38;
    pub(crate) const CHAP_NAME: Field = 38..42;
    pub(crate) const CHAP_SECRET: Field = 42..46;
    pub(crate) const REVERSE_CHAP_NAME: Field = 46..50;
    pub(crate) const REVERSE_CHAP_SECRET: Field = 50..54;
}

/// Who has to prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChapType {
    /// 0: nobody.
    None,
    /// 1: the initiator.
    OneWay,
    /// 2: the initiator and the target.
    Mutual,
    /// A value that nobody defines. Do not read it as "none".
    Unknown(u8),
}

impl ChapType {
    /// Reads the table's byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => ChapType::None,
            1 => ChapType::OneWay,
            2 => ChapType::Mutual,
            other => ChapType::Unknown(other),
        }
    }
}

impl fmt::Display for ChapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChapType::None => f.write_str("none"),
            ChapType::OneWay => f.write_str("CHAP"),
            ChapType::Mutual => f.write_str("mutual CHAP"),
            ChapType::Unknown(byte) => write!(f, "unknown ({byte})"),
        }
    }
}

/// Why a target structure cannot be booted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetProblem {
    /// No flag is set: firmware did not fill it in.
    NotValid,
    /// It has no address.
    NoAddress,
    /// No host can have its address. Firmware that knows only IPv4 writes such for an IPv6 target.
    UnusableAddress(IpAddr),
    /// It has no name.
    NoName,
    /// Its name points outside the table.
    Name(Error),
}

impl fmt::Display for TargetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetProblem::NotValid => f.write_str("no flag marks it as valid"),
            TargetProblem::NoAddress => f.write_str("it has no address"),
            TargetProblem::UnusableAddress(address) => write!(
                f,
                "no host can have its address {address} (firmware without IPv6 writes such for an \
                 IPv6 target)"
            ),
            TargetProblem::NoName => f.write_str("it has no target name"),
            TargetProblem::Name(error) => error.fmt(f),
        }
    }
}

impl<'a> Target<'a> {
    /// The portal's address, if any. It may be one that no host can have: see
    /// [`problem`](Self::problem).
    pub fn address(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::ADDRESS)
    }

    /// The portal's port as it stands in the table.
    pub fn port(&self) -> u16 {
        field::read_u16(self.bytes, layout::PORT)
    }

    /// Where to connect to: the address, when a host can have it, and the port, or iSCSI's own
    /// when the table has none.
    pub fn portal(&self) -> Option<SocketAddr> {
        let address = self.address().filter(|address| is_host_address(*address))?;
        let port = if self.port() == 0 { DEFAULT_PORT } else { self.port() };
        Some(SocketAddr::new(address, port))
    }

    /// The logical unit to boot from.
    pub fn lun(&self) -> Lun {
        Lun::new(field::read_array(self.bytes, layout::LUN))
    }

    /// Who has to prove who they are.
    pub fn chap_type(&self) -> ChapType {
        ChapType::from_byte(self.chap_type_byte())
    }

    /// [`chap_type`](Self::chap_type) as it stands in the table.
    pub fn chap_type_byte(&self) -> u8 {
        field::read_u8(self.bytes, layout::CHAP_TYPE)
    }

    /// The [`index`](crate::Nic::index) of the NIC structure to reach this target through. See
    /// [`Ibft::nic_for`].
    pub fn nic_association(&self) -> u8 {
        field::read_u8(self.bytes, layout::NIC_ASSOCIATION)
    }

    /// The target's iSCSI name.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, layout::NAME, "target name")
    }

    /// The name that the initiator proves itself by; empty without CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn chap_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, layout::CHAP_NAME, "CHAP name")
    }

    /// The secret that the initiator proves itself with; empty without CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn chap_secret(&self) -> Result<Secret<'a>, Error> {
        self.table.secret(self.offset, self.bytes, layout::CHAP_SECRET, "CHAP secret")
    }

    /// The name that the target proves itself by; empty without mutual CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn reverse_chap_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, layout::REVERSE_CHAP_NAME, "reverse CHAP name")
    }

    /// The secret that the target proves itself with; empty without mutual CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn reverse_chap_secret(&self) -> Result<Secret<'a>, Error> {
        let field = layout::REVERSE_CHAP_SECRET;
        self.table.secret(self.offset, self.bytes, field, "reverse CHAP secret")
    }

    /// Why this target cannot be booted from; `None` when it can.
    pub fn problem(&self) -> Option<TargetProblem> {
        if !self.header.is_usable() {
            return Some(TargetProblem::NotValid);
        }
        match self.address() {
            None => return Some(TargetProblem::NoAddress),
            Some(address) if !is_host_address(address) => {
                return Some(TargetProblem::UnusableAddress(address));
            }
            Some(_) => {}
        }
        match self.name() {
            Ok(name) if name.is_empty() => Some(TargetProblem::NoName),
            Ok(_) => None,
            Err(error) => Some(TargetProblem::Name(error)),
        }
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("address", &self.address())
            .field("port", &self.port())
            .field("lun", &self.lun())
            .field("chap_type", &self.chap_type())
            .field("nic_association", &self.nic_association())
            .field("name", &self.name())
            .field("chap_name", &self.chap_name())
            .field("chap_secret", &self.chap_secret())
            .field("reverse_chap_name", &self.reverse_chap_name())
            .field("reverse_chap_secret", &self.reverse_chap_secret())
            .field("problem", &self.problem())
            .finish()
    }
}
