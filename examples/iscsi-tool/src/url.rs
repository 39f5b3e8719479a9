//! `iscsi://[user[%secret]@]host[:port][/name[/lun]]`, or the root path of a boot: which portal,
//! which of its targets, and which of that one's disks.

use std::fmt;

use isboot::boot::{RootPath, RootPathError};
use isboot::login::{Host, Name, NameError, Secret, SecretError, TargetAddress};
use isboot::scsi::lun::LogicalUnitNumber;

/// Where a target listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Portal {
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A portal, and perhaps one of its targets, and perhaps one of that one's disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// CHAP name of this end.
    pub(crate) user: Option<String>,
    /// CHAP secret of this end. Never printed.
    pub(crate) secret: Option<Secret>,
    pub(crate) portal: Portal,
    pub(crate) target: Option<Name>,
    pub(crate) lun: Option<LogicalUnitNumber>,
}

/// What is wrong with a URL. No variant holds text that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UrlError {
    Scheme,
    RootPath(RootPathError),
    /// The user part looks like `user:secret`.
    User,
    EmptyUser,
    Secret(SecretError),
    Host,
    AddressWithoutBrackets,
    Port,
    Target(NameError),
    Lun,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("it starts with iscsi://"),
            Self::RootPath(error) => write!(f, "{error}"),
            Self::User => f.write_str(
                "before the @ stands a CHAP name, and perhaps % and the secret; a name with : / % \
                 or @ in it goes to --user, and a secret is better kept in a file: --secret-file",
            ),
            Self::EmptyUser => f.write_str("there is no user before the @"),
            Self::Secret(error) => write!(f, "after the %: {error}"),
            Self::Host => f.write_str("the host is missing or is neither a name nor an address"),
            Self::AddressWithoutBrackets => {
                f.write_str("an IPv6 address goes in brackets, as in iscsi://[fd00::1]/…")
            }
            Self::Port => f.write_str("the port is a number from 1 to 65535"),
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
        let (user, secret, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => {
                let (user, secret) = user_and_secret(credentials)?;
                (Some(user), secret, rest)
            }
            None => (None, None, rest),
        };
        let (portal, path) = rest.split_once('/').unwrap_or((rest, ""));
        let portal = parse_portal(portal)?;
        let (target, lun) = match path.split_once('/') {
            Some((target, lun)) => (target, Some(lun).filter(|lun| !lun.is_empty())),
            None => (path, None),
        };
        let target = Some(target).filter(|target| !target.is_empty() || lun.is_some());
        Ok(Self {
            user,
            secret,
            portal,
            target: target.map(Name::new).transpose().map_err(UrlError::Target)?,
            lun: lun.map(|lun| parse_lun(lun).ok_or(UrlError::Lun)).transpose()?,
        })
    }
}

/// Without the secret: this is printed.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("iscsi://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        let Portal { host, port } = &self.portal;
        write_host(f, host)?;
        if *port != TargetAddress::DEFAULT_PORT {
            write!(f, ":{port}")?;
        }
        self.target.as_ref().map_or(Ok(()), |target| write!(f, "/{target}"))?;
        self.lun.map_or(Ok(()), |lun| write!(f, "/{lun}"))
    }
}

/// `host:port`
impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        write!(f, ":{}", self.port)
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }
}

impl Portal {
    pub(crate) fn of_address(TargetAddress { host, port, .. }: &TargetAddress) -> Self {
        Self::new(host, *port)
    }

    fn new(host: &Host, port: u16) -> Self {
        let host = match host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.to_string(),
        };
        Self { host, port }
    }
}

impl Url {
    fn of_root_path(RootPath { server, port, lun, target_name }: RootPath) -> Self {
        Self {
            user: None,
            secret: None,
            portal: Portal::new(&server, port),
            target: Some(target_name),
            lun: Some(lun),
        }
    }
}

fn user_and_secret(credentials: &str) -> Result<(String, Option<Secret>), UrlError> {
    let (user, secret) = match credentials.split_once('%') {
        Some((user, secret)) => (user, Some(secret)),
        None => (credentials, None),
    };
    if user.contains([':', '/', '@']) {
        return Err(UrlError::User);
    }
    if user.is_empty() {
        return Err(UrlError::EmptyUser);
    }
    let secret = secret.map(|secret| Secret::new(secret.as_bytes())).transpose();
    Ok((user.to_owned(), secret.map_err(UrlError::Secret)?))
}

fn parse_portal(portal: &str) -> Result<Portal, UrlError> {
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
        None => TargetAddress::DEFAULT_PORT,
        // No sign, which the number's own parser would take.
        Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
            port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
        }
        Some(_) => return Err(UrlError::Port),
    };
    Ok(Portal { host: host.to_owned(), port })
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

    fn portal(host: &str, port: u16) -> Portal {
        Portal { host: host.to_owned(), port }
    }

    #[test]
    fn every_part_is_found() {
        let url = parse("iscsi://me%open%sesame@[fd00::1]:3261/iqn.2010-06.org.example:disk/300");
        assert_eq!(url.user.as_deref(), Some("me"));
        assert_eq!(url.secret, Secret::new(b"open%sesame").ok());
        assert_eq!(url.portal, portal("fd00::1", 3261));
        assert_eq!(url.target.as_ref().map(Name::as_str), Some("iqn.2010-06.org.example:disk"));
        assert_eq!(url.lun, LogicalUnitNumber::from_number(300));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for text in
            ["iscsi://san/iqn.2010-06.org.example:d", "iscsi://san/iqn.2010-06.org.example:d/"]
        {
            let url = parse(text);
            assert_eq!((url.user, url.secret, url.portal), (None, None, portal("san", 3260)));
            assert_eq!(url.lun, None);
        }
        for text in ["iscsi://san", "iscsi://san/", "iscsi://me@san:3260"] {
            assert_eq!((parse(text).portal, parse(text).target), (portal("san", 3260), None));
        }
        let zone = parse("iscsi://[fe80::1%eth0]/iqn.2010-06.org.example:d");
        assert_eq!(zone.portal.host, "fe80::1%eth0");
    }

    #[test]
    fn a_root_path_is_taken_too() {
        let url = parse("iscsi:[fd00::1]::3261:12c:iqn.2010-06.org.example:disk");
        assert_eq!(url.portal, portal("fd00::1", 3261));
        assert_eq!(url.target.as_ref().map(Name::as_str), Some("iqn.2010-06.org.example:disk"));
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
            (format!("iscsi://%hush@san/{name}"), UrlError::EmptyUser),
            (format!("iscsi://me:hush@san/{name}"), UrlError::User),
            (format!("iscsi://me:hu@sh/@san/{name}"), UrlError::User),
            (format!("iscsi://me%@san/{name}"), UrlError::Secret(SecretError::Empty)),
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
            ("iscsi://san//0".to_owned(), UrlError::Target(NameError::UnknownType)),
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
            let portal = Portal { host, port };
            let url = Url { user, secret: None, portal, target: Some(target), lun };
            prop_assert_eq!(url.to_string().parse::<Url>(), Ok(url));
        }

        #[test]
        fn no_text_upsets_it(text in "(iscsi://)?\\PC{0,60}") {
            if let Ok(url) = text.parse::<Url>() {
                let url = Url { secret: None, ..url };
                prop_assert_eq!(url.to_string().parse::<Url>(), Ok(url));
            }
        }

        #[test]
        fn a_secret_is_taken_and_not_repeated(secret in "[!-~]{6,30}") {
            let text = format!("iscsi://me%{secret}@san/iqn.2010-06.org.example:d");
            let url = text.parse::<Url>().unwrap();
            prop_assert_eq!(&url.secret, &Secret::new(secret.as_bytes()).ok());
            prop_assert_eq!(url.to_string(), "iscsi://me@san/iqn.2010-06.org.example:d");
            let debug = format!("{url:?}");
            prop_assert!(!debug.contains(&secret));
        }
    }
}
