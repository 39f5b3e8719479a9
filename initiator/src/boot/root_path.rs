//! Root paths: where a boot disk is, in one line (RFC 4173 §5).

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use crate::login::{AddressProblem, Host, Name, NameError, TargetAddress};
use crate::scsi::lun::LogicalUnitNumber;

/// Where a boot disk is: `iscsi:<server>:<protocol>:<port>:<LUN>:<target>` (RFC 4173 §5).
///
/// Left empty, the protocol is 6 (TCP, and nothing else), the port 3260, and the LUN 0. An IPv6
/// address stands in brackets. An empty server would ask for a discovery service, of which none is
/// known here, and is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPath {
    /// Address or name of the target's server.
    pub server: Host,
    /// TCP port.
    pub port: u16,
    /// The logical unit to boot from.
    pub lun: LogicalUnitNumber,
    /// The target's iSCSI name.
    pub target_name: Name,
}

impl FromStr for RootPath {
    type Err = RootPathError;

    fn from_str(text: &str) -> Result<RootPath, RootPathError> {
        let rest = text.strip_prefix("iscsi:").ok_or(RootPathError::Prefix)?;
        let (server, rest) = match rest.find(']').filter(|_| rest.starts_with('[')) {
            Some(end) => {
                let (server, rest) = rest
                    .split_at_checked(end.saturating_add(1))
                    .ok_or(RootPathError::Incomplete)?;
                (server, rest.strip_prefix(':').ok_or(RootPathError::Incomplete)?)
            }
            None => rest.split_once(':').ok_or(RootPathError::Incomplete)?,
        };
        let mut fields = rest.splitn(4, ':');
        let mut field = || fields.next().ok_or(RootPathError::Incomplete);
        let (protocol, port, lun, target) = (field()?, field()?, field()?, field()?);
        if !matches!(protocol, "" | "6") {
            return Err(RootPathError::Protocol);
        }
        Ok(RootPath {
            server: parse_server(server)?,
            port: match port {
                "" => TargetAddress::DEFAULT_PORT,
                // No sign, which the number's own parser would take.
                port if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                    port.parse().ok().filter(|port| *port != 0).ok_or(RootPathError::Port)?
                }
                _ => return Err(RootPathError::Port),
            },
            lun: match lun {
                "" => LogicalUnitNumber::ZERO,
                lun => lun.parse().map_err(|_| RootPathError::Lun)?,
            },
            target_name: match target {
                "" => return Err(RootPathError::NoTarget),
                name => Name::new(name).map_err(RootPathError::TargetName)?,
            },
        })
    }
}

fn parse_server(server: &str) -> Result<Host, RootPathError> {
    if server.is_empty() {
        return Err(RootPathError::NoServer);
    }
    match TargetAddress::parse(server.as_bytes()) {
        Ok(TargetAddress { host, portal_group_tag: None, .. }) => Ok(host),
        Ok(_) => Err(RootPathError::Server(AddressProblem::BadHost)),
        Err(error) => Err(RootPathError::Server(error.problem)),
    }
}

/// With every field but the protocol, which is always the same; it reads back as it is.
impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Host::Address(IpAddr::V6(address)) => write!(f, "iscsi:[{address}]")?,
            Host::Address(address) => write!(f, "iscsi:{address}")?,
            Host::Name(name) => write!(f, "iscsi:{name}")?,
        }
        write!(f, "::{}:", self.port)?;
        let bytes = self.lun.to_bytes();
        let (groups, _) = bytes.as_chunks::<2>();
        let shown = groups.iter().rposition(|group| *group != [0; 2]).unwrap_or(0);
        for (index, &group) in groups.iter().enumerate().take(shown.saturating_add(1)) {
            let dash = if index == 0 { "" } else { "-" };
            write!(f, "{dash}{:x}", u16::from_be_bytes(group))?;
        }
        write!(f, ":{}", self.target_name)
    }
}

/// Why a text is no root path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootPathError {
    /// It does not start with `iscsi:`.
    Prefix,
    /// Less than five fields after the prefix.
    Incomplete,
    /// The server is left empty, which asks for discovery.
    NoServer,
    /// The server is none.
    Server(AddressProblem),
    /// A protocol other than TCP.
    Protocol,
    /// Not 1–65535.
    Port,
    /// Not up to four groups of up to four hex digits.
    Lun,
    /// The target's name is left empty.
    NoTarget,
    /// The target's name is none.
    TargetName(NameError),
}

impl fmt::Display for RootPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a root path reads iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET; ")?;
        f.write_str(match self {
            Self::Prefix => "this one does not start with iscsi:",
            Self::Incomplete => "this one lacks fields",
            Self::NoServer => "without a server there is no discovery service to ask; name one",
            Self::Server(problem) => return write!(f, "the server: {problem}"),
            Self::Protocol => "the protocol is 6, TCP, or left empty",
            Self::Port => "the port is a number from 1 to 65535, or left empty",
            Self::Lun => {
                "the LUN is up to four groups of hex digits, as in 4752-3a4f, or left empty"
            }
            Self::NoTarget => "the target's name is missing",
            Self::TargetName(error) => return write!(f, "the target's name: {error}"),
        })
    }
}

impl core::error::Error for RootPathError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_upsets_it(text in "(iscsi:)?[\\[\\]a-f0-9:.,-]{0,40}(iqn\\.\\PC{0,30})?") {
            let _ = text.parse::<RootPath>();
        }

        #[test]
        fn what_is_read_prints_the_same(
            server in "192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9a-f]\\]|[a-z]{1,9}\\.example",
            port in "[1-9][0-9]{0,3}|",
            lun in "[0-9a-f]{1,4}(-[0-9a-f]{1,4}){0,3}|",
            unit in "[a-z0-9:.-]{1,20}",
        ) {
            let text = std::format!("iscsi:{server}::{port}:{lun}:iqn.2001-04.com.example:{unit}");
            let path: RootPath = text.parse().unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn every_lun_reads_back(lun: [u8; 8]) {
            let mut path: RootPath = "iscsi:192.0.2.2::::naa.52004567ba64678d".parse().unwrap();
            path.lun = LogicalUnitNumber::from_bytes(lun);
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }
}
