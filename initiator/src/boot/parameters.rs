//! Parameters by name, so that any kernel can take them from its command line, loader or shell.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use isboot_ibft::{MacAddress, PciAddress};
use isboot_transport::intel::interrupt::Mode;
use isboot_transport::intel::nic::Options;
use isboot_transport::netstack::AddressCheck;
use isboot_transport::vlan::VlanId;

use super::root_path::{RootPath, RootPathError};
use crate::login::{ChapAlgorithms, DigestOffer, LoginConfig, OperationalOffer};
use crate::session::{Escalation, OUTSTANDING_R2T_LIMIT, Timeouts};
use crate::time::Duration;

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
            transfer_limit: 256 * 1024,
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
            ..defaults
        }
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

/// A row for a number that lies within bounds.
macro_rules! number {
    ($name:literal, $($field:ident).+, $low:literal ..= $high:expr, $range:literal, $unit:literal,
     $meaning:literal) => {
        ParameterInfo {
            name: $name,
            range: $range,
            unit: $unit,
            meaning: $meaning,
            read: |parameters, f| write!(f, "{}", parameters.$($field).+),
            write: |parameters, value| {
                parameters.$($field).+ = bounded(value, $low, $high)?;
                Some(())
            },
        }
    };
}

/// A row for the size of a ring of descriptors.
macro_rules! descriptors {
    ($name:literal, $field:ident, $meaning:literal) => {
        ParameterInfo {
            name: $name,
            range: "a power of two, 8-4096",
            unit: "frames",
            meaning: $meaning,
            read: |parameters, f| write!(f, "{}", parameters.$field),
            write: |parameters, value| {
                let count: u32 = bounded(value, 8, 4096)?;
                parameters.$field = count.is_power_of_two().then_some(count)?;
                Some(())
            },
        }
    };
}

/// A row for a time in whole seconds.
macro_rules! seconds {
    ($name:literal, $($field:ident).+, $meaning:literal) => {
        ParameterInfo {
            name: $name,
            range: "1-3600",
            unit: "seconds",
            meaning: $meaning,
            read: |parameters, f| write!(f, "{}", parameters.$($field).+.as_secs()),
            write: |parameters, value| {
                parameters.$($field).+ = Duration::from_secs(bounded(value, 1, 3600)?);
                Some(())
            },
        }
    };
}

/// A row for a digest list.
macro_rules! digest {
    ($name:literal, $field:ident, $meaning:literal) => {
        ParameterInfo {
            name: $name,
            range: "none | crc32c | none,crc32c | crc32c,none",
            unit: "",
            meaning: $meaning,
            read: |parameters, f| f.write_str(digest_name(parameters.$field)),
            write: |parameters, value| {
                parameters.$field = digest_offer(value)?;
                Some(())
            },
        }
    };
}

/// A row for yes or no.
macro_rules! boolean {
    ($name:literal, $($field:ident).+, $meaning:literal) => {
        ParameterInfo {
            name: $name,
            range: "yes | no",
            unit: "",
            meaning: $meaning,
            read: |parameters, f| f.write_str(if parameters.$($field).+ { "yes" } else { "no" }),
            write: |parameters, value| {
                parameters.$($field).+ = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return None,
                };
                Some(())
            },
        }
    };
}

const TABLE: &[ParameterInfo] = &[
    number!(
        "instance",
        instance,
        0..=15,
        "0-15",
        "",
        "which iBFT counts when firmware left several"
    ),
    number!(
        "target",
        target,
        0..=31,
        "0-31",
        "",
        "which target of the iBFT, in order of preference"
    ),
    ParameterInfo {
        name: "root_path",
        range: "ibft | iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET",
        unit: "",
        meaning: "boot disk: the iBFT's, or the one that an RFC 4173 root path names",
        read: |parameters, f| match &parameters.root_path {
            Some(root_path) => write!(f, "{root_path}"),
            None => f.write_str("ibft"),
        },
        write: |parameters, value| {
            parameters.root_path = if value == "ibft" { None } else { Some(value.parse().ok()?) };
            Some(())
        },
    },
    ParameterInfo {
        name: "nic",
        range: "ibft | any | 0-31 | XX:XX:XX:XX:XX:XX | BUS:DEVICE.FUNCTION",
        unit: "",
        meaning: "network interface: the iBFT's, the first with link, or one by its number in the \
                  order of PCI addresses, its MAC address, or its PCI address (hexadecimal)",
        read: |parameters, f| match parameters.nic {
            NicChoice::Ibft => f.write_str("ibft"),
            NicChoice::Any => f.write_str("any"),
            NicChoice::Number(number) => write!(f, "{number}"),
            NicChoice::Mac(mac) => write!(f, "{mac}"),
            NicChoice::At(pci) => write!(f, "{pci}"),
        },
        write: |parameters, value| {
            parameters.nic = match value {
                "ibft" => NicChoice::Ibft,
                "any" => NicChoice::Any,
                pci if pci.contains('.') => NicChoice::At(pci_address(pci)?),
                mac if mac.contains(':') => NicChoice::Mac(mac_address(mac)?),
                number => NicChoice::Number(bounded(number, 0, 31)?),
            };
            Some(())
        },
    },
    ParameterInfo {
        name: "interrupts",
        range: "none | intx | msi | msix",
        unit: "",
        meaning: "how the network interface interrupts: not at all, this way, or the next that works",
        read: |parameters, f| write!(f, "{}", parameters.interrupts),
        write: |parameters, value| {
            parameters.interrupts = value.parse().ok()?;
            Some(())
        },
    },
    descriptors!(
        "receive_descriptors",
        receive_descriptors,
        "frames that the network interface may receive between two polls"
    ),
    descriptors!(
        "transmit_descriptors",
        transmit_descriptors,
        "frames that may wait in the network interface to be sent"
    ),
    boolean!(
        "checksum_offload",
        checksum_offload,
        "the network interface computes the TCP checksums of what is sent"
    ),
    ParameterInfo {
        name: "vlan",
        range: "ibft | 0-4094",
        unit: "",
        meaning: "802.1Q VLAN: the iBFT's, or this one; 0 is none",
        read: |parameters, f| match parameters.vlan {
            VlanChoice::Ibft => f.write_str("ibft"),
            VlanChoice::Untagged => f.write_str("0"),
            VlanChoice::Tagged(vlan) => write!(f, "{vlan}"),
        },
        write: |parameters, value| {
            parameters.vlan = match value {
                "ibft" => VlanChoice::Ibft,
                "0" => VlanChoice::Untagged,
                number => VlanChoice::Tagged(VlanId::new(bounded(number, 1, 4094)?)?),
            };
            Some(())
        },
    },
    ParameterInfo {
        name: "address",
        range: "ibft | dhcp | slaac",
        unit: "",
        meaning: "address: the iBFT's (DHCP when it has none), DHCP's, or IPv6 from routers",
        read: |parameters, f| {
            f.write_str(match parameters.address {
                AddressSource::Ibft => "ibft",
                AddressSource::Dhcp => "dhcp",
                AddressSource::Slaac => "slaac",
            })
        },
        write: |parameters, value| {
            parameters.address = match value {
                "ibft" => AddressSource::Ibft,
                "dhcp" => AddressSource::Dhcp,
                "slaac" => AddressSource::Slaac,
                _ => return None,
            };
            Some(())
        },
    },
    ParameterInfo {
        name: "address_check",
        range: "announce | probe",
        unit: "",
        meaning: "whether somebody else has the address: used at once and watched, or asked first",
        read: |parameters, f| {
            f.write_str(match parameters.address_check {
                AddressCheck::Announce => "announce",
                AddressCheck::Probe => "probe",
            })
        },
        write: |parameters, value| {
            parameters.address_check = match value {
                "announce" => AddressCheck::Announce,
                "probe" => AddressCheck::Probe,
                _ => return None,
            };
            Some(())
        },
    },
    ParameterInfo {
        name: "dns",
        range: "ibft | an IPv4 or IPv6 address",
        unit: "",
        meaning: "name server for a host name in root_path: where the address comes from, or this",
        read: |parameters, f| match parameters.dns {
            None => f.write_str("ibft"),
            Some(address) => write!(f, "{address}"),
        },
        write: |parameters, value| {
            parameters.dns = if value == "ibft" { None } else { Some(value.parse().ok()?) };
            Some(())
        },
    },
    ParameterInfo {
        name: "mtu",
        range: "auto | 576-9000",
        unit: "bytes",
        meaning: "largest IP packet: 1500 on the link and 1280 to a target behind a router, or this",
        read: |parameters, f| match parameters.mtu {
            None => f.write_str("auto"),
            Some(mtu) => write!(f, "{mtu}"),
        },
        write: |parameters, value| {
            parameters.mtu = if value == "auto" { None } else { Some(bounded(value, 576, 9000)?) };
            Some(())
        },
    },
    ParameterInfo {
        name: "isid",
        range: "mac | 12 hexadecimal digits",
        unit: "",
        meaning: "initiator part of the session identifier: from the MAC address, or this",
        read: |parameters, f| match parameters.isid {
            None => f.write_str("mac"),
            Some(isid) => isid.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        },
        write: |parameters, value| {
            parameters.isid = if value == "mac" { None } else { Some(isid(value)?) };
            Some(())
        },
    },
    ParameterInfo {
        name: "portal_group",
        range: "any | 0-65535",
        unit: "",
        meaning: "portal group tag that the target must name",
        read: |parameters, f| match parameters.target_portal_group_tag {
            None => f.write_str("any"),
            Some(tag) => write!(f, "{tag}"),
        },
        write: |parameters, value| {
            parameters.target_portal_group_tag =
                if value == "any" { None } else { Some(bounded(value, 0, 65_535)?) };
            Some(())
        },
    },
    ParameterInfo {
        name: "chap_algorithms",
        range: "any of sha3-256,sha256,sha1,md5 in any order",
        unit: "",
        meaning: "acceptable CHAP algorithms, best first",
        read: |parameters, f| write!(f, "{}", parameters.chap_algorithms),
        write: |parameters, value| {
            parameters.chap_algorithms = value.parse().ok()?;
            Some(())
        },
    },
    boolean!(
        "allow_short_secrets",
        allow_short_secrets,
        "CHAP secrets below 96 bits are acceptable (RFC 7143 9.2.1)"
    ),
    boolean!(
        "require_entropy",
        require_entropy,
        "refuse TCP without a source of randomness; mutual CHAP is refused in any case"
    ),
    digest!("header_digest", header_digest, "acceptable header digests, best first"),
    digest!("data_digest", data_digest, "acceptable data digests, best first"),
    number!(
        "queue_depth",
        queue_depth,
        1..=1024,
        "1-1024",
        "commands",
        "commands outstanding at a time"
    ),
    number!(
        "transfer_limit",
        transfer_limit,
        4096..=16_777_216,
        "4096-16777216",
        "bytes",
        "most that one command moves"
    ),
    number!(
        "max_recv_data_segment_length",
        offer.max_recv_data_segment_length,
        512..=16_777_215,
        "512-16777215",
        "bytes",
        "largest data segment taken from the target (RFC 7143 13.12)"
    ),
    number!(
        "max_burst_length",
        offer.max_burst_length,
        512..=16_777_215,
        "512-16777215",
        "bytes",
        "most data of one solicited sequence (RFC 7143 13.13)"
    ),
    number!(
        "first_burst_length",
        offer.first_burst_length,
        512..=16_777_215,
        "512-16777215",
        "bytes",
        "most unsolicited data of one command (RFC 7143 13.14)"
    ),
    boolean!(
        "immediate_data",
        offer.immediate_data,
        "write data along with the command (RFC 7143 13.11)"
    ),
    boolean!("initial_r2t", offer.initial_r2t, "write data only when asked for (RFC 7143 13.10)"),
    number!(
        "max_outstanding_r2t",
        offer.max_outstanding_r2t,
        1..=OUTSTANDING_R2T_LIMIT as u64,
        "1-4",
        "",
        "R2Ts outstanding for one command (RFC 7143 13.17)"
    ),
    number!(
        "protocol_level",
        offer.iscsi_protocol_level,
        1..=2,
        "1-2",
        "",
        "highest iSCSI protocol level: 2 is RFC 7144, 1 is not announced (RFC 7143 13.24)"
    ),
    seconds!("link_timeout", link_timeout, "wait for the link"),
    seconds!("address_timeout", address_timeout, "wait for an address"),
    seconds!("connect_timeout", timeouts.connect, "wait for the target to accept"),
    seconds!("login_timeout", timeouts.login, "wait for a login to finish"),
    seconds!("ready_timeout", ready_timeout, "wait for a logical unit to become ready"),
    seconds!("ping_interval", timeouts.ping_interval, "silence before the target is pinged"),
    seconds!("ping_timeout", timeouts.ping, "wait for the answer to a ping"),
    seconds!("pdu_timeout", timeouts.pdu, "wait for the end of a PDU that has begun"),
    seconds!("command_timeout", timeouts.command, "wait for a response before the escalation"),
    ParameterInfo {
        name: "escalation",
        range: "none | any of abort-task,abort-task-set,lun-reset,target-warm-reset,\
                target-cold-reset in any order",
        unit: "",
        meaning: "steps for a command that hangs; after the last the session is renewed",
        read: |parameters, f| write!(f, "{}", parameters.escalation),
        write: |parameters, value| {
            parameters.escalation = value.parse().ok()?;
            Some(())
        },
    },
    seconds!(
        "task_management_timeout",
        timeouts.task_management,
        "wait for the answer to a step before the session is renewed"
    ),
    seconds!("text_timeout", timeouts.text, "wait for a part of a text response"),
    seconds!("logout_timeout", timeouts.logout, "wait for the logout response"),
    seconds!("outage_limit", timeouts.outage, "time out of reach after which requests fail"),
];

/// A decimal number within bounds.
fn bounded<T: TryFrom<u64>>(value: &str, low: u64, high: u64) -> Option<T> {
    let number = u64::from_str(value).ok().filter(|number| (low..=high).contains(number))?;
    T::try_from(number).ok()
}

/// Twelve hexadecimal digits that make an ISID which can be used (RFC 7143 §11.12.5).
fn isid(value: &str) -> Option<[u8; 6]> {
    let well_formed = value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let [0, 0, isid @ ..] = u64::from_str_radix(value, 16).ok()?.to_be_bytes() else { return None };
    (well_formed && LoginConfig::can_be_isid(isid)).then_some(isid)
}

fn digest_name(offer: DigestOffer) -> &'static str {
    match offer {
        DigestOffer::None => "none",
        DigestOffer::Crc32c => "crc32c",
        DigestOffer::NoneThenCrc32c => "none,crc32c",
        DigestOffer::Crc32cThenNone => "crc32c,none",
    }
}

fn digest_offer(value: &str) -> Option<DigestOffer> {
    [
        DigestOffer::None,
        DigestOffer::Crc32c,
        DigestOffer::NoneThenCrc32c,
        DigestOffer::Crc32cThenNone,
    ]
    .into_iter()
    .find(|offer| digest_name(*offer) == value)
}

fn pci_address(value: &str) -> Option<PciAddress> {
    let (bus, rest) = value.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let bus = u8::from_str_radix(bus, 16).ok()?;
    let device = u8::from_str_radix(device, 16).ok().filter(|device| *device < 32)?;
    let function = u8::from_str_radix(function, 16).ok().filter(|function| *function < 8)?;
    Some(PciAddress { bus, device, function })
}

/// Six times two hexadecimal digits that make a station's address.
fn mac_address(value: &str) -> Option<MacAddress> {
    let mut mac = [0; 6];
    let mut parts = value.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+'))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    Some(MacAddress(mac)).filter(|mac| parts.next().is_none() && mac.is_usable())
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
