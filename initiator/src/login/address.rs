//! `TargetAddress` (RFC 7143 §13.8).

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use heapless::String;

use super::excerpt::Excerpt;
use super::literal::{decimal, ipv4, ipv6};

/// Where a target can be reached: `host[:port][,portal-group-tag]` (RFC 7143 §13.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAddress {
    /// Address or name.
    pub host: Host,
    /// TCP port; 3260 when the text names none.
    pub port: u16,
    /// Present in SendTargets answers; a redirection has none, and one that is there is ignored.
    pub portal_group_tag: Option<u16>,
}

/// The host part of a [`TargetAddress`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box in")]
pub enum Host {
    /// A dotted IPv4 or bracketed IPv6 address.
    Address(IpAddr),
    /// A host name, to be resolved by whoever can.
    Name(String<{ Host::MAX_NAME_LENGTH }>),
}

impl Host {
    /// Longest host name in bytes (RFC 1035 §2.3.4, in text form).
    pub const MAX_NAME_LENGTH: usize = 253;
}

impl TargetAddress {
    /// The registered iSCSI port (RFC 7143 §15).
    pub const DEFAULT_PORT: u16 = 3260;

    /// Reads the value of a TargetAddress key, or an address that a person typed.
    ///
    /// Addresses that no target can have are refused too: unspecified, broadcast, multicast.
    ///
    /// # Errors
    /// [`AddressError`] with the start of the text and what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<TargetAddress, AddressError> {
        parse(text).map_err(|problem| AddressError { problem, text: Excerpt::of(text) })
    }

    /// The socket address, unless the host is a name.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Address(address) => Some(SocketAddr::new(address, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// An address that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// What is wrong.
    pub problem: AddressProblem,
    /// The start of the text.
    pub text: Excerpt,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}", self.text, self.problem)
    }
}

impl core::error::Error for AddressError {}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressProblem {
    /// Neither an IPv4 address, a bracketed IPv6 address nor a host name.
    BadHost,
    /// Not 1–65535.
    BadPort,
    /// Not 0–65535.
    BadPortalGroupTag,
    /// Unspecified, broadcast or multicast.
    Forbidden,
}

impl fmt::Display for AddressProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadHost => "not an IPv4 address, an IPv6 address in brackets, or a host name",
            Self::BadPort => "the port is not a number from 1 to 65535",
            Self::BadPortalGroupTag => "the portal group tag is not a number from 0 to 65535",
            Self::Forbidden => "no target can be reached at such an address",
        })
    }
}

fn parse(text: &[u8]) -> Result<TargetAddress, AddressProblem> {
    let (address, tag) = split(text, b',');
    let portal_group_tag = match tag {
        Some(tag) => Some(decimal(tag).ok_or(AddressProblem::BadPortalGroupTag)?),
        None => None,
    };
    let (host, port) = if let Some(bracketed) = address.strip_prefix(b"[") {
        let (inside, after) = split(bracketed, b']');
        let address = ipv6(inside).ok_or(AddressProblem::BadHost)?;
        let port = match after {
            Some([]) => None,
            Some([b':', port @ ..]) => Some(port),
            _ => return Err(AddressProblem::BadHost),
        };
        (Host::Address(IpAddr::V6(address)), port)
    } else {
        let (host, port) = split(address, b':');
        // A second colon: an IPv6 address that lacks its brackets.
        if port.is_some_and(|port| port.contains(&b':')) {
            return Err(AddressProblem::BadHost);
        }
        (unbracketed(host)?, port)
    };
    let port = match port {
        Some(port) => decimal(port).filter(|port| *port != 0).ok_or(AddressProblem::BadPort)?,
        None => TargetAddress::DEFAULT_PORT,
    };
    if let Host::Address(address) = host
        && is_forbidden(address.to_canonical())
    {
        return Err(AddressProblem::Forbidden);
    }
    Ok(TargetAddress { host, port, portal_group_tag })
}

/// What stands before the first `at`, and what behind it, if it is there.
fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |byte| *byte == at);
    (parts.next().unwrap_or_default(), parts.next())
}

fn unbracketed(host: &[u8]) -> Result<Host, AddressProblem> {
    // All digits and dots: an IPv4 address or nothing, never a name.
    if host.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        let address = ipv4(host).ok_or(AddressProblem::BadHost)?;
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let label_fits = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A final dot marks a complete name and is not part of it.
    let name = host.strip_suffix(b".").unwrap_or(host);
    if !name.split(|byte| *byte == b'.').all(label_fits) {
        return Err(AddressProblem::BadHost);
    }
    let name = core::str::from_utf8(name).ok().and_then(|name| String::try_from(name).ok());
    name.map(Host::Name).ok_or(AddressProblem::BadHost)
}

fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_unspecified() || address.is_broadcast() || address.is_multicast()
        }
        IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> std::string::String {
        match TargetAddress::parse(text.as_bytes()) {
            Ok(address) => match address.portal_group_tag {
                Some(tag) => format!("{address},{tag}"),
                None => address.to_string(),
            },
            Err(error) => format!("{:?}", error.problem),
        }
    }

    #[test]
    fn good_addresses_are_read() {
        for (text, expected) in [
            ("192.0.2.2:3261", "192.0.2.2:3261"),
            ("192.0.2.2", "192.0.2.2:3260"),
            ("[2001:db8::5]:3261", "[2001:db8::5]:3261"),
            ("[2001:db8::5]", "[2001:db8::5]:3260"),
            ("[fe80::5]:3260", "[fe80::5]:3260"),
            ("127.0.0.1:3260", "127.0.0.1:3260"),
            ("store.example.com:3261", "store.example.com:3261"),
            ("store", "store:3260"),
            ("store.example.com.", "store.example.com:3260"),
            ("192.0.2.2:3261,1", "192.0.2.2:3261,1"),
            ("10.0.0.1:5003,1", "10.0.0.1:5003,1"),
            ("[2001:db8::1],65", "[2001:db8::1]:3260,65"),
            ("[2001:db8::1]:5003,65535", "[2001:db8::1]:5003,65535"),
            ("host.example.com,0", "host.example.com:3260,0"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "[2001:db8::5",
            "2001:db8::5:3260",
            "2001:db8::5",
            ":3260",
            "192.0.2.256",
            "192.0.2",
            "192.0.2.2.",
            "192.00.2.2",
            "3260",
            "",
            "store example.com",
            " 192.0.2.2",
            "192.0.2.2 ",
            "[192.0.2.2]:3260",
            "[2001:db8::5]3260",
            "[fe80::5%eth0]:3260",
            "-store.example.com",
            "store..example.com",
            "st\u{f6}re",
            "store=1",
        ] {
            assert_eq!(shown(text), "BadHost", "{text}");
        }
        for text in ["192.0.2.2:0", "192.0.2.2:65536", "192.0.2.2:", "192.0.2.2:+1", "a:0x10"] {
            assert_eq!(shown(text), "BadPort", "{text}");
        }
        for text in ["192.0.2.2,", "192.0.2.2,65536", "192.0.2.2,-1", "192.0.2.2,1,2"] {
            assert_eq!(shown(text), "BadPortalGroupTag", "{text}");
        }
        let long = format!("{}.example.com", "a.".repeat(150));
        assert_eq!(shown(&long), "BadHost");
        assert!(TargetAddress::parse(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn addresses_no_target_can_have_are_refused() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "239.1.2.3:3260",
            "[::]",
            "[ff02::1]",
            "[::ffff:0.0.0.0]",
            "[::ffff:224.0.0.1]:3260",
        ] {
            assert_eq!(shown(text), "Forbidden", "{text}");
        }
    }

    #[test]
    fn the_error_names_the_address() {
        let error = TargetAddress::parse(b"224.0.0.1").unwrap_err();
        assert_eq!(error.to_string(), "\"224.0.0.1\": no target can be reached at such an address");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = TargetAddress::parse(&bytes);
        }

        #[test]
        fn what_is_shown_reads_the_same(text in "[0-9a-f.:\\[\\],]{1,30}") {
            if let Ok(address) = TargetAddress::parse(text.as_bytes()) {
                let again = TargetAddress::parse(address.to_string().as_bytes()).unwrap();
                prop_assert_eq!(again.host, address.host);
                prop_assert_eq!(again.port, address.port);
            }
        }
    }
}
