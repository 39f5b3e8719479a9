//! Parameters by name, so that any kernel can take them from its command line, loader or shell.

mod table;

use core::fmt;
use core::net::IpAddr;

use isboot_ibft::{MacAddress, PciAddress};
use isboot_transport::intel::interrupt::Mode;
use isboot_transport::intel::nic::Options;
use isboot_transport::netstack::AddressCheck;
use isboot_transport::vlan::VlanId;

use super::root_path::{RootPath, RootPathError};
use crate::disk::{READ_LIMIT, TransferLimit};
use crate::login::{ChapAlgorithms, DigestOffer, OperationalOffer};
use crate::session::{Escalation, Timeouts};
use crate::time::Duration;
use table::TABLE;

/// Where the network address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddressSource {
    /// The address in the iBFT, and DHCP when the iBFT has none.
    #[default]
    Ibft,
    /// DHCP, whatever the iBFT says.
    Dhcp,
    /// IPv6 from the prefixes that routers advertise, whatever the iBFT says.
    Slaac,
}

/// Which network interface to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NicChoice {
    /// The one that the iBFT names: by MAC address, then by PCI address.
    #[default]
    Ibft,
    /// The one with this MAC address.
    Mac(MacAddress),
    /// The one at this PCI address.
    At(PciAddress),
    /// The one of this number, from 0 in the order of PCI addresses.
    Number(u8),
    /// The first that has link, or else the first.
    Any,
}

/// Which VLAN to speak in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VlanChoice {
    /// The one that the iBFT names, if any.
    #[default]
    Ibft,
    /// None, whatever the iBFT says.
    Untagged,
    /// This one.
    Tagged(VlanId),
}

/// Everything that can be set, with the defaults of [`Parameters::default`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Which valid iBFT counts, from 0, when firmware left several.
    pub instance: u8,
    /// Which target of the iBFT to log in to, from 0 in the order of preference.
    pub target: u8,
    /// The boot disk, instead of the iBFT's targets.
    pub root_path: Option<RootPath>,
    /// Which network interface to use.
    pub nic: NicChoice,
    /// How it is to interrupt; a hosting kernel that only polls leaves this alone.
    pub interrupts: Mode,
    /// Frames that may arrive between two polls: a power of two.
    pub receive_descriptors: u32,
    /// Frames that may wait to be sent: a power of two.
    pub transmit_descriptors: u32,
    /// Whether the interface computes the TCP checksums of what is sent.
    pub checksum_offload: bool,
    /// Whether the interface cuts what is sent into segments.
    pub segmentation_offload: bool,
    /// Which VLAN to speak in.
    pub vlan: VlanChoice,
    /// Where the address comes from.
    pub address: AddressSource,
    /// How the address is checked for being somebody else's too.
    pub address_check: AddressCheck,
    /// A name server to ask before those that the address came with.
    pub dns: Option<IpAddr>,
    /// Largest IP packet, in bytes; `None` is 1500 on the link and 1280 to a target behind a router.
    pub mtu: Option<u16>,
    /// Initiator part of the session identifier, in wire order (RFC 7143 §11.12.5); `None` is
    /// [`BootPlan::isid`](super::BootPlan::isid), from the interface.
    pub isid: Option<[u8; 6]>,
    /// The portal group that the target must be of (RFC 7143 §13.9); `None` is any.
    pub target_portal_group_tag: Option<u16>,
    /// CHAP algorithms that are acceptable, in order of preference.
    pub chap_algorithms: ChapAlgorithms,
    /// Whether CHAP secrets below 96 bits are acceptable.
    pub allow_short_secrets: bool,
    /// Whether TCP wants entropy too, as mutual CHAP always does. Without, a hosting kernel that
    /// has none may seed TCP with something weaker, and says so.
    pub require_entropy: bool,
    /// Digests that are acceptable for headers, in order of preference.
    pub header_digest: DigestOffer,
    /// Digests that are acceptable for data, in order of preference.
    pub data_digest: DigestOffer,
    /// Commands outstanding at a time.
    pub queue_depth: u16,
    /// Most bytes moved by one command.
    pub transfer_limit: u32,
    /// Most bytes moved by one READ, within `transfer_limit`; see [`TransferLimit::read`].
    pub read_limit: u32,
    /// What login offers.
    pub offer: OperationalOffer,
    /// Bounds of the session's waits.
    pub timeouts: Timeouts,
    /// What is asked of the target when a command hangs, before the session is renewed.
    pub escalation: Escalation,
    /// Bound of the wait for the link.
    pub link_timeout: Duration,
    /// Bound of the wait for an address.
    pub address_timeout: Duration,
    /// Bound of the wait for a logical unit to become ready.
    pub ready_timeout: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            instance: 0,
            target: 0,
            root_path: None,
            nic: NicChoice::Ibft,
            interrupts: Mode::Polled,
            receive_descriptors: Options::default().receive_descriptors,
            transmit_descriptors: Options::default().transmit_descriptors,
            checksum_offload: Options::default().checksum_offload,
            segmentation_offload: Options::default().segmentation_offload,
            vlan: VlanChoice::Ibft,
            address: AddressSource::Ibft,
            address_check: AddressCheck::Announce,
            dns: None,
            mtu: None,
            isid: None,
            target_portal_group_tag: None,
            chap_algorithms: ChapAlgorithms::default(),
            allow_short_secrets: false,
            require_entropy: false,
            header_digest: DigestOffer::NoneThenCrc32c,
            data_digest: DigestOffer::NoneThenCrc32c,
            queue_depth: 32,
            transfer_limit: 1024 * 1024,
            read_limit: READ_LIMIT,
            offer: OperationalOffer::default(),
            timeouts: Timeouts::default(),
            escalation: Escalation::default(),
            link_timeout: Duration::from_secs(10),
            address_timeout: Duration::from_secs(30),
            ready_timeout: Duration::from_secs(30),
        }
    }
}

/// One parameter, for people: see [`Parameters::list`].
#[derive(Clone, Copy, Debug)]
pub struct ParameterInfo {
    /// Its name, without any prefix.
    pub name: &'static str,
    /// The values it takes.
    pub range: &'static str,
    /// The unit of its value, or nothing.
    pub unit: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
    read: fn(&Parameters, &mut fmt::Formatter<'_>) -> fmt::Result,
    write: fn(&mut Parameters, &str) -> Option<()>,
}

impl PartialEq for ParameterInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ParameterInfo {}

/// A value that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// There is no parameter of that name.
    Unknown,
    /// The value lies outside this parameter's range.
    OutOfRange(&'static ParameterInfo),
    /// The value is no root path.
    RootPath(RootPathError),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such parameter; isboot.help lists them all"),
            Self::OutOfRange(info) => {
                write!(f, "{} takes {}", info.name, info.range)?;
                if info.unit.is_empty() { Ok(()) } else { write!(f, " ({})", info.unit) }
            }
            Self::RootPath(error) => write!(f, "root_path takes ibft or a root path: {error}"),
        }
    }
}

impl core::error::Error for ParameterError {}

impl Parameters {
    /// Sets the parameter `name` from its text form.
    ///
    /// # Errors
    /// [`ParameterError`] when there is none of that name or the value does not fit; nothing has
    /// changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ParameterError> {
        let info = TABLE.iter().find(|info| info.name == name).ok_or(ParameterError::Unknown)?;
        // A root path has more parts than a range could tell.
        if info.name == "root_path" && value != "ibft" {
            self.root_path = Some(value.parse().map_err(ParameterError::RootPath)?);
            return Ok(());
        }
        (info.write)(self, value).ok_or(ParameterError::OutOfRange(info))
    }

    /// How to attach the network interface. Its MAC address is its own, unless
    /// [`Options::mac`] is set besides.
    #[must_use]
    pub fn nic_options(&self) -> Options {
        let defaults = Options::default();
        Options {
            receive_descriptors: self.receive_descriptors,
            transmit_descriptors: self.transmit_descriptors,
            mtu: self.mtu.unwrap_or(defaults.mtu),
            checksum_offload: self.checksum_offload,
            segmentation_offload: self.segmentation_offload,
            ..defaults
        }
    }

    /// What one command moves at most.
    #[must_use]
    pub fn transfer_limit(&self) -> TransferLimit {
        TransferLimit { read: self.read_limit.min(self.transfer_limit), write: self.transfer_limit }
    }

    /// Every parameter there is.
    #[must_use]
    pub fn list() -> &'static [ParameterInfo] {
        TABLE
    }

    /// The present value of a parameter, in the form that [`set`](Self::set) takes.
    #[must_use]
    pub fn value(&self, info: &'static ParameterInfo) -> impl fmt::Display + '_ {
        Value { parameters: self, info }
    }
}

struct Value<'a> {
    parameters: &'a Parameters,
    info: &'static ParameterInfo,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Through `pad`, so that a table can give it a width. The longest is a root path.
        let mut text = heapless::String::<520>::new();
        fmt::write(&mut text, format_args!("{}", Raw(self)))?;
        f.pad(&text)
    }
}

struct Raw<'a>(&'a Value<'a>);

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0.info.read)(self.0.parameters, f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_parameter_prints_what_it_takes() {
        for info in Parameters::list() {
            let defaults = Parameters::default();
            let text = defaults.value(info).to_string();
            let mut parameters = Parameters::default();
            assert_eq!(parameters.set(info.name, &text), Ok(()), "{} = {text}", info.name);
            assert_eq!(parameters, defaults, "{}", info.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, info) in Parameters::list().iter().enumerate() {
            let same = Parameters::list().iter().filter(|other| other.name == info.name).count();
            assert_eq!(same, 1, "{} (row {index})", info.name);
        }
    }

    #[test]
    fn a_bad_value_changes_nothing_and_names_the_range() {
        let mut parameters = Parameters::default();
        for (name, value) in [
            ("queue_depth", "0"),
            ("queue_depth", "1025"),
            ("queue_depth", "-1"),
            ("queue_depth", "8x"),
            ("queue_depth", ""),
            ("isid", "00023d00000"),
            ("isid", "+0023d000001"),
            ("isid", "000000000000"),
            ("isid", "c0023d000001"),
            ("portal_group", "65536"),
            ("protocol_level", "0"),
            ("protocol_level", "3"),
            ("chap_algorithms", "sha512"),
            ("chap_algorithms", ""),
            ("chap_algorithms", "md5,md5"),
            ("header_digest", "CRC32C"),
            ("header_digest", "crc32c,"),
            ("mtu", "575"),
            ("mtu", "9001"),
            ("receive_descriptors", "4"),
            ("receive_descriptors", "100"),
            ("transmit_descriptors", "8192"),
            ("checksum_offload", "on"),
            ("segmentation_offload", "1"),
            ("vlan", "4095"),
            ("vlan", "none"),
            ("nic", "00:20.0"),
            ("escalation", "abort-task,abort-task"),
            ("nic", "00:03.8"),
            ("nic", "00.03"),
            ("nic", "32"),
            ("nic", "52:54:00:12:34"),
            ("nic", "52:54:00:12:34:56:78"),
            ("nic", "53:54:00:12:34:56"),
            ("nic", "+2:54:00:12:34:56"),
            ("nic", "52:54:0:12:34:56"),
            ("nic", "first"),
            ("immediate_data", "maybe"),
            ("outage_limit", "99999999999999999999"),
        ] {
            let error = parameters.set(name, value).unwrap_err();
            assert!(matches!(error, ParameterError::OutOfRange(_)), "{name}={value}");
            assert!(error.to_string().starts_with(name), "{error}");
        }
        assert_eq!(parameters.set("queue_deep", "1"), Err(ParameterError::Unknown));
        let error = parameters.set("root_path", "iscsi:::::disk").unwrap_err();
        assert_eq!(error, ParameterError::RootPath(RootPathError::NoServer));
        assert!(error.to_string().starts_with("root_path"), "{error}");
        assert_eq!(parameters, Parameters::default());
    }

    #[test]
    fn values_are_taken() {
        let mut parameters = Parameters::default();
        parameters.set("nic", "0a:1f.7").unwrap();
        parameters.set("vlan", "4094").unwrap();
        parameters.set("mtu", "9000").unwrap();
        parameters.set("receive_descriptors", "64").unwrap();
        parameters.set("checksum_offload", "no").unwrap();
        parameters.set("segmentation_offload", "no").unwrap();
        parameters.set("isid", "80abCDef0123").unwrap();
        parameters.set("portal_group", "0").unwrap();
        parameters.set("chap_algorithms", "sha256,sha3-256").unwrap();
        parameters.set("data_digest", "crc32c").unwrap();
        parameters.set("first_burst_length", "512").unwrap();
        parameters.set("outage_limit", "3").unwrap();
        let root_path = "iscsi:[2001:db8::5]::3261:4752-3a4f:iqn.2001-04.com.example:disk";
        parameters.set("root_path", root_path).unwrap();
        let info = Parameters::list().iter().find(|info| info.name == "root_path").unwrap();
        assert_eq!(parameters.value(info).to_string(), root_path);
        let pci = PciAddress { bus: 10, device: 31, function: 7 };
        assert_eq!(parameters.nic, NicChoice::At(pci));
        let mac = MacAddress([0x52, 0x54, 0, 0x12, 0xab, 0xcd]);
        for (text, choice) in [
            ("52:54:00:12:AB:cd", NicChoice::Mac(mac)),
            ("31", NicChoice::Number(31)),
            ("any", NicChoice::Any),
            ("ibft", NicChoice::Ibft),
        ] {
            parameters.set("nic", text).unwrap();
            assert_eq!(parameters.nic, choice);
            let info = Parameters::list().iter().find(|info| info.name == "nic").unwrap();
            assert_eq!(parameters.value(info).to_string(), text.to_lowercase());
        }
        let options = parameters.nic_options();
        assert_eq!((options.mtu, options.checksum_offload), (9000, false));
        assert!(!options.segmentation_offload);
        assert_eq!((options.receive_descriptors, options.transmit_descriptors), (64, 64));
        assert_eq!(parameters.vlan, VlanChoice::Tagged(VlanId::new(4094).unwrap()));
        assert_eq!(parameters.isid, Some([0x80, 0xab, 0xcd, 0xef, 0x01, 0x23]));
        assert_eq!(parameters.target_portal_group_tag, Some(0));
        assert_eq!(parameters.chap_algorithms.to_string(), "sha256,sha3-256");
        assert_eq!(parameters.data_digest, DigestOffer::Crc32c);
        assert_eq!(parameters.offer.first_burst_length, 512);
        assert_eq!(parameters.timeouts.outage, Duration::from_secs(3));
    }
}
