//! The initiator structure: who boots.

use core::fmt;
use core::net::IpAddr;

use super::StructureHeader;
use crate::field::{self, Text};
use crate::{Error, Ibft};

view! {
    /// The initiator structure: who boots.
    Initiator
}

/// Where the fields stand.
pub(crate) mod layout {
    use crate::field::Field;
    pub(crate) const ISNS_SERVER: Field = 6..22;
    pub(crate) const SLP_SERVER: Field = 22..38;
    pub(crate) const PRIMARY_RADIUS_SERVER: Field = 38..54;
    pub(crate) const SECONDARY_RADIUS_SERVER: Field = 54..70;
    pub(crate) const NAME: Field = 70..74;
}

impl<'a> Initiator<'a> {
    /// The iSNS server, if any.
    pub fn isns_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::ISNS_SERVER)
    }

    /// The SLP server, if any.
    pub fn slp_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::SLP_SERVER)
    }

    /// The first RADIUS server, if any.
    pub fn primary_radius_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::PRIMARY_RADIUS_SERVER)
    }

    /// The second RADIUS server, if any.
    pub fn secondary_radius_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::SECONDARY_RADIUS_SERVER)
    }

    /// The initiator's iSCSI name.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, layout::NAME, "initiator name")
    }
}

impl fmt::Debug for Initiator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("name", &self.name())
            .field("isns_server", &self.isns_server())
            .field("slp_server", &self.slp_server())
            .field("primary_radius_server", &self.primary_radius_server())
            .field("secondary_radius_server", &self.secondary_radius_server())
            .finish()
    }
}
