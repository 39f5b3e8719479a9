//! `iscsi://[user@]host[:port]/name[/lun]`, or the root path of a boot: which target, and which of
//! its disks.

use std::fmt;

use isboot::boot::{RootPath, RootPathError};
use isboot::login::{Host, Name, NameError};
use isboot::scsi::lun::LogicalUnitNumber;

/// The port that IANA gave to iSCSI targets.
const PORT: u16 = 3260;

/// A target, and perhaps one of its disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// CHAP name of this end.
    pub(crate) user: Option<String>,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) target: Name,
    pub(crate) lun: Option<LogicalUnitNumber>,
}

/// What is wrong with a URL. No variant holds text that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    Scheme,
    RootPath(RootPathError),
    /// The user part looks like `user:secret` or `user%secret`.
    Secret,
    EmptyUser,
    Host,
    AddressWithoutBrackets,
    Port,
    NoTarget,
    Target(NameError),
    Lun,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("it starts with iscsi://"),
            Self::RootPath(error) => write!(f, "{error}"),
            Self::Secret => f.write_str(
                "a secret has no place in it, where other users can see it: use --secret-file or \
                 ISBOOT_CHAP_SECRET (a CHAP name with : or % goes to --user)",
            ),
            Self::EmptyUser => f.write_str("there is no user before the @"),
            Self::Host => f.write_str("the host is missing or is neither a name nor an address"),
            Self::AddressWithoutBrackets => {
                f.write_str("an IPv6 address goes in brackets, as in iscsi://[fd00::1]/…")
            }
            Self::Port => f.write_str("the port is a number from 1 to 65535"),
            Self::NoTarget => f.write_str(
                "the target's name is missing: iscsi://host/iqn.2010-06.org.example:disk",
            ),
            Self::Target(error) => write!(f, "the target's name is none: {error}"),
            Self::Lun => f.write_str(
                "after the target's name comes at most a LUN as `ls` prints it: a decimal number, \
                 or groups as in 4752-3a4f-6b7e-2f99",
            ),
        }
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let Some(rest) = text.strip_prefix("iscsi://") else {
            return match text.parse() {
                Ok(path) => Ok(Self::of_root_path(path)),
                Err(RootPathError::Prefix) => Err(UrlError::Scheme),
                Err(error) => Err(UrlError::RootPath(error)),
            };
        };
        // The last @: what stands before may be anything, and must not become a host.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(checked_user(user)?), rest),
            None => (None, rest),
        };
        let (portal, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(portal)?;
        let (target, lun) = match path.split_once('/') {
            Some((target, lun)) => (target, Some(lun).filter(|lun| !lun.is_empty())),
            None => (path, None),
        };
        if target.is_empty() {
            return Err(UrlError::NoTarget);
        }
        Ok(Self {
            user,
            host: host.to_owned(),
            port,
            target: Name::new(target).map_err(UrlError::Target)?,
            lun: lun.map(|lun| parse_lun(lun).ok_or(UrlError::Lun)).transpose()?,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("iscsi://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.target)?;
        self.lun.map_or(Ok(()), |lun| write!(f, "/{lun}"))
    }
}

impl Url {
    fn of_root_path(RootPath { server, port, lun, target_name }: RootPath) -> Self {
        let host = match server {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.to_string(),
        };
        Self { user: None, host, port, target: target_name, lun: Some(lun) }
    }
}

fn checked_user(user: &str) -> Result<String, UrlError> {
    if user.contains([':', '%', '/', '@']) {
        return Err(UrlError::Secret);
    }
    if user.is_empty() { Err(UrlError::EmptyUser) } else { Ok(user.to_owned()) }
}

fn host_and_port(portal: &str) -> Result<(&str, u16), UrlError> {
    let (host, port) = match portal.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
            // A zone may follow the address: fe80::1%eth0.
            let address = host.split_once('%').map_or(host, |(address, _)| address);
            address.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(UrlError::Host),
            }
        }
        None => match portal.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(UrlError::AddressWithoutBrackets),
            Some((host, port)) => (host, Some(port)),
            None => (portal, None),
        },
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(UrlError::Host);
    }
    let port = match port {
        None => PORT,
        // No sign, which the number's own parser would take.
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
        }
        Some(_) => return Err(UrlError::Port),
    };
    Ok((host, port))
}

/// A LUN in the form that `ls` prints.
fn parse_lun(text: &str) -> Option<LogicalUnitNumber> {
    if text.contains('-') {
        return text.parse().ok();
    }
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u32 = text.parse().ok()?;
    match (u16::try_from(number).ok().and_then(LogicalUnitNumber::from_number), number) {
        (Some(lun), _) => Some(lun),
        // Extended flat space (SAM-5 §4.7.7.5.3).
        (None, ..=0x00ff_ffff) => {
            let [_, a, b, c] = number.to_be_bytes();
            Some(LogicalUnitNumber::from_bytes([0xd2, a, b, c, 0, 0, 0, 0]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_part_is_found() {
        let url = parse("iscsi://me@[fd00::1]:3261/iqn.2010-06.org.example:disk/300");
        assert_eq!(url.user.as_deref(), Some("me"));
        assert_eq!((url.host.as_str(), url.port), ("fd00::1", 3261));
        assert_eq!(url.target.as_str(), "iqn.2010-06.org.example:disk");
        assert_eq!(url.lun, LogicalUnitNumber::from_number(300));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for text in
            ["iscsi://san/iqn.2010-06.org.example:d", "iscsi://san/iqn.2010-06.org.example:d/"]
        {
            let url = parse(text);
            assert_eq!((url.user, url.host.as_str(), url.port), (None, "san", 3260));
            assert_eq!(url.lun, None);
        }
        assert_eq!(parse("iscsi://[fe80::1%eth0]/iqn.2010-06.org.example:d").host, "fe80::1%eth0");
    }

    #[test]
    fn a_root_path_is_taken_too() {
        let url = parse("iscsi:[fd00::1]::3261:12c:iqn.2010-06.org.example:disk");
        assert_eq!((url.host.as_str(), url.port), ("fd00::1", 3261));
        assert_eq!(url.target.as_str(), "iqn.2010-06.org.example:disk");
        assert_eq!(url.lun.map(|lun| lun.to_bytes()), Some([1, 0x2c, 0, 0, 0, 0, 0, 0]));
        let error = "iscsi:san:17:::iqn.2010-06.org.example:d".parse::<Url>();
        assert_eq!(error, Err(UrlError::RootPath(RootPathError::Protocol)));
    }

    #[test]
    fn errors_name_the_part() {
        let name = "iqn.2010-06.org.example:d";
        for (text, error) in [
            (format!("http://san/{name}"), UrlError::Scheme),
            (format!("san/{name}"), UrlError::Scheme),
            (format!("iscsi://@san/{name}"), UrlError::EmptyUser),
            (format!("iscsi://me:hush@san/{name}"), UrlError::Secret),
            (format!("iscsi://me%hush@san/{name}"), UrlError::Secret),
            (format!("iscsi://me:hu@sh/@san/{name}"), UrlError::Secret),
            (format!("iscsi:///{name}"), UrlError::Host),
            (format!("iscsi://:3260/{name}"), UrlError::Host),
            (format!("iscsi://[san]/{name}"), UrlError::Host),
            (format!("iscsi://[fd00::1/{name}"), UrlError::Host),
            (format!("iscsi://[fd00::1]x/{name}"), UrlError::Host),
            (format!("iscsi://fd00::1/{name}"), UrlError::AddressWithoutBrackets),
            (format!("iscsi://san:/{name}"), UrlError::Port),
            (format!("iscsi://san:0/{name}"), UrlError::Port),
            (format!("iscsi://san:+1/{name}"), UrlError::Port),
            (format!("iscsi://san:65536/{name}"), UrlError::Port),
            ("iscsi://san".to_owned(), UrlError::NoTarget),
            ("iscsi://san/".to_owned(), UrlError::NoTarget),
            ("iscsi://san/disk".to_owned(), UrlError::Target(NameError::UnknownType)),
            (format!("iscsi://san/{name}/x"), UrlError::Lun),
            (format!("iscsi://san/{name}/+1"), UrlError::Lun),
            (format!("iscsi://san/{name}/1/2"), UrlError::Lun),
            (format!("iscsi://san/{name}/16777216"), UrlError::Lun),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z][a-z0-9.-]{0,20}",
            any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
        ]
    }

    fn lun() -> impl Strategy<Value = LogicalUnitNumber> {
        prop_oneof![
            (0..=0x3fff_u16).prop_map(|number| LogicalUnitNumber::from_number(number).unwrap()),
            (0x4000..=0xff_ffff_u32).prop_map(|number| {
                let [_, a, b, c] = number.to_be_bytes();
                LogicalUnitNumber::from_bytes([0xd2, a, b, c, 0, 0, 0, 0])
            }),
            any::<[u8; 8]>()
                .prop_map(LogicalUnitNumber::from_bytes)
                .prop_filter("numbers have the forms above", |lun| lun.number().is_none()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            user in proptest::option::of("[a-zA-Z0-9._-]{1,20}"),
            host in host(),
            port in 1..=u16::MAX,
            unit in "[a-z0-9.:-]{1,30}",
            lun in proptest::option::of(lun()),
        ) {
            let target = Name::new(&format!("iqn.2010-06.org.example:{unit}")).unwrap();
            let url = Url { user, host, port, target, lun };
            prop_assert_eq!(url.to_string().parse::<Url>(), Ok(url));
        }

        #[test]
        fn no_text_upsets_it(text in "(iscsi://)?\\PC{0,60}") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert_eq!(url.to_string().parse::<Url>(), Ok(url));
            }
        }

        #[test]
        fn a_secret_is_refused_and_not_repeated(secret in "[!-~]{6,30}", between in "[:%]") {
            let text = format!("iscsi://me{between}{secret}@san/iqn.2010-06.org.example:d");
            let error = text.parse::<Url>().unwrap_err();
            prop_assert_eq!(&error, &UrlError::Secret);
        }
    }
}
