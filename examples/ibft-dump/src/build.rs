//! Makes a table from words: `mac=52:54:00:12:34:56,address=10.0.2.15/24,…`.

use std::net::IpAddr;
use std::str::FromStr;

use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{Lun, MacAddress, PciAddress, Secret, flag};

/// The words for a NIC, for the help text.
pub const NIC_WORDS: &str = "mac, address (with /prefix), gateway, dns, dns2, dhcp, vlan, pci, host, \
                             origin, flags, index";

/// The words for a target, for the help text.
pub const TARGET_WORDS: &str = "name, address, port, lun, nic, user, secret, reverse-user, \
                                reverse-secret, flags, index";

/// Builds a table. NICs and targets are lists of `word=value`, separated by commas; their indices
/// count from 0.
///
/// # Errors
/// A sentence that names the word that is wrong.
pub fn build(initiator: &str, nics: &[String], targets: &[String]) -> Result<Vec<u8>, String> {
    let nics: Vec<_> = nics
        .iter()
        .enumerate()
        .map(|(place, words)| nic(place, words))
        .collect::<Result<_, _>>()?;
    let targets: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(place, words)| target(place, words))
        .collect::<Result<_, _>>()?;
    let initiator = InitiatorRepr { name: initiator.as_bytes(), ..InitiatorRepr::default() };
    let table = TableRepr {
        initiator: Some(initiator),
        nics: &nics,
        targets: &targets,
        ..TableRepr::default()
    };
    let mut bytes = vec![0; table.length().map_err(|error| error.to_string())?];
    table.emit(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn nic(place: usize, words: &str) -> Result<NicRepr<'_>, String> {
    let mut nic = NicRepr { index: index(place)?, ..NicRepr::default() };
    for (word, value) in pairs(words)? {
        let value = Value { word, value };
        match word {
            "mac" => nic.mac = mac(value.value)?,
            "address" => (nic.address, nic.prefix_length) = value.network()?,
            "gateway" => nic.gateway = Some(value.parse()?),
            "dns" => nic.primary_dns = Some(value.parse()?),
            "dns2" => nic.secondary_dns = Some(value.parse()?),
            "dhcp" => nic.dhcp_server = Some(value.parse()?),
            "vlan" => nic.vlan = value.parse()?,
            "pci" => nic.pci_address = value.pci_address()?,
            "host" => nic.host_name = value.value.as_bytes(),
            "origin" => nic.origin = value.parse()?,
            "flags" => nic.flags = value.parse()?,
            "index" => nic.index = value.parse()?,
            _ => return Err(format!("a NIC has no \"{word}\"; it has {NIC_WORDS}")),
        }
    }
    Ok(nic)
}

fn target(place: usize, words: &str) -> Result<TargetRepr<'_>, String> {
    let mut target = TargetRepr { index: index(place)?, ..TargetRepr::default() };
    if place > 0 {
        // What booted is one target; the others are there to be tried after it.
        target.flags = flag::VALID;
    }
    for (word, value) in pairs(words)? {
        let value = Value { word, value };
        match word {
            "name" => target.name = value.value.as_bytes(),
            "address" => target.address = Some(value.parse()?),
            "port" => target.port = value.parse()?,
            "lun" => {
                target.lun = Lun::from_number(value.parse()?).ok_or_else(|| value.complaint())?;
            }
            "nic" => target.nic_association = value.parse()?,
            "user" => target.chap_name = value.value.as_bytes(),
            "secret" => target.chap_secret = Secret::new(value.value.as_bytes()),
            "reverse-user" => target.reverse_chap_name = value.value.as_bytes(),
            "reverse-secret" => target.reverse_chap_secret = Secret::new(value.value.as_bytes()),
            "flags" => target.flags = value.parse()?,
            "index" => target.index = value.parse()?,
            _ => return Err(format!("a target has no \"{word}\"; it has {TARGET_WORDS}")),
        }
    }
    target.chap_type = match (target.chap_name, target.reverse_chap_name) {
        (b"", _) => 0,
        (_, b"") => 1,
        _ => 2,
    };
    Ok(target)
}

/// Reads six bytes in hexadecimal with colons between them.
///
/// # Errors
/// A sentence that shows the value.
pub fn mac(value: &str) -> Result<MacAddress, String> {
    let bytes: Option<Vec<_>> = value
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2))
        .collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(MacAddress)
        .ok_or_else(|| format!("\"{value}\" is not a MAC address such as 52:54:00:12:34:56"))
}

fn index(place: usize) -> Result<u8, String> {
    u8::try_from(place).map_err(|_| "a table can number 256 structures of a kind".to_owned())
}

fn pairs(words: &str) -> Result<Vec<(&str, &str)>, String> {
    words
        .split(',')
        .map(|pair| pair.split_once('=').ok_or(format!("\"{pair}\" is not of the form word=value")))
        .collect()
}

struct Value<'a> {
    word: &'a str,
    value: &'a str,
}

impl Value<'_> {
    fn complaint(&self) -> String {
        format!("{}={} cannot be understood", self.word, self.value)
    }

    fn parse<T: FromStr>(&self) -> Result<T, String> {
        self.value.parse().map_err(|_| self.complaint())
    }

    fn network(&self) -> Result<(Option<IpAddr>, u8), String> {
        let (address, prefix) = self.value.split_once('/').ok_or_else(|| {
            format!(
                "{}: an address needs its prefix length, such as 10.0.2.15/24",
                self.complaint()
            )
        })?;
        let address = address.parse().map_err(|_| self.complaint())?;
        Ok((Some(address), prefix.parse().map_err(|_| self.complaint())?))
    }

    fn pci_address(&self) -> Result<PciAddress, String> {
        let parse = || {
            let (bus, rest) = self.value.split_once(':')?;
            let (device, function) = rest.split_once('.')?;
            let hex = |digits| u8::from_str_radix(digits, 16).ok();
            let (device, function) = (hex(device)?, hex(function)?);
            (device < 32 && function < 8).then_some(PciAddress { bus: hex(bus)?, device, function })
        };
        parse().ok_or_else(|| format!("{}: a PCI address is such as 00:03.0", self.complaint()))
    }
}
