//! The plan of a boot: what the iBFT and the parameters together ask for, in owned values.
//!
//! Made once; the table's memory is not needed afterwards, and can be wiped of its secrets.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use heapless::String;
use isboot_ibft::{Ibft, PciAddress};

use super::parameters::{AddressSource, NicChoice, Parameters};
use crate::login::{Authentication, Credentials, LoginConfig, Name, NameError, Secret};
use crate::pdu::digest::Crc32cFunction;
use crate::pdu::serial::SerialNumber;
use crate::scsi::lun::LogicalUnitNumber;
use crate::session::SessionConfig;

/// Everything that a boot needs to know.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// This node's iSCSI name.
    pub initiator_name: Name,
    /// The target's iSCSI name.
    pub target_name: Name,
    /// Where the target listens.
    pub portal: SocketAddr,
    /// The logical unit to boot from.
    pub lun: LogicalUnitNumber,
    /// MAC address of the network interface, when the table names one.
    pub mac: Option<[u8; 6]>,
    /// PCI address of the network interface, when the table or the parameters name one.
    pub pci: Option<PciAddress>,
    /// Where the address comes from.
    pub addressing: Addressing,
    /// 802.1Q VLAN identifier; 0 for untagged frames.
    pub vlan: u16,
    /// Who proves what to whom.
    pub authentication: Authentication,
}

/// Where the network address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// The iBFT's own.
    Static {
        /// Our address.
        address: IpAddr,
        /// Length of the network prefix in bits.
        prefix: u8,
        /// The router, when there is one.
        gateway: Option<IpAddr>,
    },
    /// To be leased.
    Dhcp,
}

/// Why a table is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The table has no initiator structure, or one without a usable name.
    InitiatorName(Option<NameError>),
    /// The table has no usable target at all.
    NoTarget,
    /// The parameters ask for a target that the table does not have.
    NoSuchTarget {
        /// What was asked for.
        wanted: u8,
        /// How many usable targets the table has.
        have: u8,
    },
    /// The target's name is unusable.
    TargetName(NameError),
    /// The target has no usable address (some firmware leaves out IPv6 addresses).
    NoTargetAddress,
    /// The target's CHAP credentials are unusable.
    Secret(&'static str),
    /// The target's logical unit number cannot be decoded.
    Lun,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InitiatorName(None) => f.write_str("the iBFT names no initiator"),
            Self::InitiatorName(Some(error)) => {
                write!(f, "the iBFT's initiator name is unusable: {error}")
            }
            Self::NoTarget => f.write_str(
                "the iBFT has no usable target; did the firmware attach a disk before booting?",
            ),
            Self::NoSuchTarget { wanted, have } => {
                write!(f, "the iBFT has {have} usable targets, and parameter target asks for number {wanted}")
            }
            Self::TargetName(error) => write!(f, "the iBFT's target name is unusable: {error}"),
            Self::NoTargetAddress => f.write_str(
                "the iBFT's target has no usable address; some firmware cannot write IPv6 there",
            ),
            Self::Secret(problem) => write!(f, "the iBFT's CHAP credentials: {problem}"),
            Self::Lun => f.write_str("the iBFT's logical unit number cannot be decoded"),
        }
    }
}

impl core::error::Error for PlanError {}

impl BootPlan {
    /// The session that this plan asks for.
    #[must_use]
    pub fn session_config(&self, parameters: &Parameters, crc32c: Crc32cFunction) -> SessionConfig {
        let mut login = LoginConfig::new(
            self.initiator_name.clone(),
            self.target_name.clone(),
            isid(self.mac.unwrap_or([0x02, 0, 0, 0, 0, 1])),
        );
        login.authentication = self.authentication.clone();
        login.header_digest = parameters.header_digest;
        login.data_digest = parameters.data_digest;
        login.offer = parameters.offer;
        SessionConfig {
            portal: self.portal,
            login,
            timeouts: parameters.timeouts,
            initial_cmd_sn: SerialNumber(1),
            crc32c,
        }
    }
}

/// The ISID of an interface: OUI format, the qualifier being the rest of its MAC address (RFC
/// 7143 §11.12.5). The same interface always gives the same ISID, so that a login replaces the
/// session that a crash left behind.
fn isid([o0, o1, o2, n0, n1, n2]: [u8; 6]) -> [u8; 6] {
    // T is 00b; A and B hold the OUI without its group and local bits.
    [o0 >> 2, o1, o2, n0, n1, n2]
}
