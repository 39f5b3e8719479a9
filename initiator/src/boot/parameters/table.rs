//! The parameters as rows: name, range, meaning, and how each is read and written.

use core::str::FromStr;

use isboot_ibft::{MacAddress, PciAddress};
use isboot_transport::netstack::AddressCheck;
use isboot_transport::vlan::VlanId;

use super::{AddressSource, NicChoice, ParameterInfo, VlanChoice};
use crate::login::{DigestOffer, LoginConfig};
use crate::session::OUTSTANDING_R2T_LIMIT;
use crate::time::Duration;

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

/// Every parameter, in the order of a boot.
pub(super) const TABLE: &[ParameterInfo] = &[
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
    boolean!(
        "segmentation_offload",
        segmentation_offload,
        "the network interface cuts what is sent into TCP segments, where it can (IPv4)"
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
        "read_limit",
        read_limit,
        4096..=16_777_216,
        "4096-16777216",
        "bytes",
        "most that one read moves, within transfer_limit: in pieces disk and network work together"
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
