//! The table under the names and with the values that Linux's `iscsi_ibft` gives it in
//! /sys/firmware/ibft, and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{Error, Ibft, Initiator, Lun, MacAddress, Nic, Secret, Target, Text};

use crate::Secrets;

/// What Linux would show: paths below /sys/firmware/ibft and their values, sorted by path.
///
/// Files whose value is empty or whose address is none do not exist, by the same rules as in Linux,
/// and a value whose string points outside the table is left out.
pub fn attributes(ibft: &Ibft<'_>, secrets: Secrets) -> BTreeMap<String, String> {
    let mut directory = Directory { path: "acpi_header".into(), attributes: BTreeMap::new() };
    directory.add("signature", text(&ibft.signature()));
    directory.add("oem_id", ibft.oem_id());
    directory.add("oem_table_id", ibft.oem_table_id());
    if let Some(it) = ibft.initiator() {
        directory.path = "initiator".into();
        initiator(ibft, &it, &mut directory);
    }
    for it in ibft.nics() {
        directory.path = format!("ethernet{}", it.index());
        nic(ibft, &it, &mut directory);
    }
    for it in ibft.targets() {
        directory.path = format!("target{}", it.index());
        target(ibft, &it, secrets, &mut directory);
    }
    directory.attributes
}

struct Directory {
    path: String,
    attributes: BTreeMap<String, String>,
}

impl Directory {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.attributes.insert(format!("{}/{name}", self.path), value.to_string());
    }

    fn add_address(&mut self, name: &str, raw: [u8; 16]) {
        let address = Ipv6Addr::from(raw);
        if !address.is_unspecified()
            && !address.to_ipv4_mapped().is_some_and(|it| it.is_unspecified())
        {
            self.add(name, print_address(raw));
        }
    }

    fn add_text(&mut self, name: &str, value: Result<Text<'_>, Error>) {
        if let Ok(value) = value {
            self.add(name, value);
        }
    }
}

fn initiator(ibft: &Ibft<'_>, it: &Initiator<'_>, to: &mut Directory) {
    let raw = Raw::new(ibft, it.offset());
    to.add("index", it.index());
    to.add("flags", it.flags());
    to.add_address("isns-server", raw.array(6));
    to.add_address("slp-server", raw.array(22));
    to.add_address("pri-radius-server", raw.array(38));
    to.add_address("sec-radius-server", raw.array(54));
    if raw.half(70) != 0 {
        to.add_text("initiator-name", it.name());
    }
}

fn nic(ibft: &Ibft<'_>, it: &Nic<'_>, to: &mut Directory) {
    let raw = Raw::new(ibft, it.offset());
    to.add("index", it.index());
    to.add("flags", it.flags());
    to.add_address("ip-addr", raw.array(6));
    let prefix_length = u32::from(it.prefix_length());
    if prefix_length != 0 {
        // Beyond 32 Linux shifts by more bits than there are; on x86 that is modulo 32.
        let host_bits = 1_u32.wrapping_shl(32_u32.wrapping_sub(prefix_length)).wrapping_sub(1);
        to.add("subnet-mask", IpAddr::from((!host_bits).to_be_bytes()));
        to.add("prefix-len", prefix_length);
    }
    to.add("origin", it.origin_byte());
    to.add_address("gateway", raw.array(24));
    to.add_address("primary-dns", raw.array(40));
    to.add_address("secondary-dns", raw.array(56));
    to.add_address("dhcp", raw.array(72));
    to.add("vlan", it.vlan_tag());
    to.add("mac", it.mac());
    if raw.half(100) != 0 {
        to.add_text("hostname", it.host_name());
    }
}

fn target(ibft: &Ibft<'_>, it: &Target<'_>, secrets: Secrets, to: &mut Directory) {
    let raw = Raw::new(ibft, it.offset());
    to.add("index", it.index());
    to.add("flags", it.flags());
    to.add("ip-addr", print_address(raw.array(6)));
    to.add("port", it.port());
    let lun = it.lun().raw().iter().fold(String::new(), |mut lun, byte| {
        let _ = write!(lun, "{byte:x}");
        lun
    });
    to.add("lun", lun);
    to.add("chap-type", it.chap_type_byte());
    to.add("nic-assoc", it.nic_association());
    if raw.half(34) != 0 {
        to.add_text("target-name", it.name());
    }
    if raw.half(38) != 0 {
        to.add_text("chap-name", it.chap_name());
        if let Ok(secret) = it.chap_secret() {
            to.add("chap-secret", secrets.print(secret));
        }
    }
    if raw.half(46) != 0 {
        to.add_text("rev-chap-name", it.reverse_chap_name());
        if let Ok(secret) = it.reverse_chap_secret() {
            to.add("rev-chap-name-secret", secrets.print(secret));
        }
    }
}

/// A structure's bytes, for what Linux shows without interpreting it.
struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    fn new(ibft: &Ibft<'a>, offset: usize) -> Self {
        Raw(&ibft.as_bytes()[offset..])
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..].first_chunk().copied().unwrap_or([0; N])
    }

    fn half(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }
}

fn text(bytes: &[u8]) -> Text<'_> {
    Text::new(bytes)
}

/// IPv4 with dots, IPv6 with all of its zeros.
fn print_address(raw: [u8; 16]) -> String {
    let address = Ipv6Addr::from(raw);
    match address.to_ipv4_mapped() {
        Some(address) => address.to_string(),
        None => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

/// Makes a table from what Linux shows: where the firmware's own table is out of reach, this is
/// the same in other words.
///
/// # Errors
/// A sentence that names the attribute that cannot be understood.
pub fn table(attributes: &BTreeMap<String, String>) -> Result<Vec<u8>, String> {
    let read = Read(attributes);
    let nics =
        read.directories("ethernet").map(|it| read.nic(it)).collect::<Result<Vec<_>, _>>()?;
    let targets =
        read.directories("target").map(|it| read.target(it)).collect::<Result<Vec<_>, _>>()?;
    let initiator =
        read.directories("initiator").next().map(|it| read.initiator(it)).transpose()?;
    let table = TableRepr {
        signature: read.padded("acpi_header/signature", *b"iBFT"),
        oem_id: read.padded("acpi_header/oem_id", [0; 6]),
        oem_table_id: read.padded("acpi_header/oem_table_id", [0; 8]),
        initiator,
        nics: &nics,
        targets: &targets,
        ..TableRepr::default()
    };
    let describe = |error| format!("the attributes make no table: {error}");
    let mut bytes = vec![0; table.length().map_err(describe)?];
    table.emit(&mut bytes).map_err(describe)?;
    Ok(bytes)
}

struct Read<'a>(&'a BTreeMap<String, String>);

impl<'a> Read<'a> {
    /// The directories whose name starts so, in the order of their numbers.
    fn directories(&self, kind: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut names: Vec<_> = self
            .0
            .keys()
            .filter_map(|path| path.strip_suffix("/index").filter(|name| name.starts_with(kind)))
            .collect();
        names.sort_by_key(|name| (name.len(), *name));
        names.into_iter()
    }

    fn value(&self, directory: &str, name: &str) -> Option<&'a str> {
        self.0.get(&format!("{directory}/{name}")).map(String::as_str).filter(|it| !it.is_empty())
    }

    fn bytes(&self, directory: &str, name: &str) -> &'a [u8] {
        self.value(directory, name).unwrap_or_default().as_bytes()
    }

    fn padded<const N: usize>(&self, path: &str, mut value: [u8; N]) -> [u8; N] {
        for (to, from) in value.iter_mut().zip(self.0.get(path).map_or("", String::as_str).bytes())
        {
            *to = from;
        }
        value
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        directory: &str,
        name: &str,
    ) -> Result<Option<T>, String> {
        let parse = |value: &str| {
            value.parse().map_err(|_| format!("cannot understand {directory}/{name}={value}"))
        };
        self.value(directory, name).map(parse).transpose()
    }

    fn number<T: std::str::FromStr + Default>(
        &self,
        directory: &str,
        name: &str,
    ) -> Result<T, String> {
        Ok(self.parsed(directory, name)?.unwrap_or_default())
    }

    fn address(&self, directory: &str, name: &str) -> Result<Option<IpAddr>, String> {
        let address: Option<IpAddr> = self.parsed(directory, name)?;
        Ok(address.filter(|it| !it.is_unspecified()))
    }

    fn initiator(&self, it: &str) -> Result<InitiatorRepr<'a>, String> {
        Ok(InitiatorRepr {
            index: self.number(it, "index")?,
            flags: self.number(it, "flags")?,
            isns_server: self.address(it, "isns-server")?,
            slp_server: self.address(it, "slp-server")?,
            primary_radius_server: self.address(it, "pri-radius-server")?,
            secondary_radius_server: self.address(it, "sec-radius-server")?,
            name: self.bytes(it, "initiator-name"),
        })
    }

    fn nic(&self, it: &str) -> Result<NicRepr<'a>, String> {
        let mac = match self.value(it, "mac") {
            Some(value) => {
                crate::build::mac(value).map_err(|error| format!("{it}/mac: {error}"))?
            }
            None => MacAddress::default(),
        };
        Ok(NicRepr {
            index: self.number(it, "index")?,
            flags: self.number(it, "flags")?,
            address: self.address(it, "ip-addr")?,
            prefix_length: self.number(it, "prefix-len")?,
            origin: self.number(it, "origin")?,
            gateway: self.address(it, "gateway")?,
            primary_dns: self.address(it, "primary-dns")?,
            secondary_dns: self.address(it, "secondary-dns")?,
            dhcp_server: self.address(it, "dhcp")?,
            vlan: self.number(it, "vlan")?,
            mac,
            // Linux shows the PCI address as a link to the device, if at all.
            pci_address: Default::default(),
            host_name: self.bytes(it, "hostname"),
        })
    }

    fn target(&self, it: &str) -> Result<TargetRepr<'a>, String> {
        let lun = self.value(it, "lun").unwrap_or("00000000");
        Ok(TargetRepr {
            index: self.number(it, "index")?,
            flags: self.number(it, "flags")?,
            address: self.address(it, "ip-addr")?,
            port: self.number(it, "port")?,
            lun: parse_lun(lun).ok_or_else(|| format!("cannot understand {it}/lun={lun}"))?,
            chap_type: self.number(it, "chap-type")?,
            nic_association: self.number(it, "nic-assoc")?,
            name: self.bytes(it, "target-name"),
            chap_name: self.bytes(it, "chap-name"),
            chap_secret: Secret::new(self.bytes(it, "chap-secret")),
            reverse_chap_name: self.bytes(it, "rev-chap-name"),
            reverse_chap_secret: Secret::new(self.bytes(it, "rev-chap-name-secret")),
        })
    }
}

/// Linux prints the eight bytes in hexadecimal without leading zeros: eight digits are a byte
/// each, and nine have one byte of two digits, which is taken to be the second, where SAM has the
/// number.
fn parse_lun(digits: &str) -> Option<Lun> {
    let mut raw = [0; 8];
    match digits.len() {
        8 => {
            for (byte, digit) in raw.iter_mut().zip(digits.chars()) {
                *byte = u8::try_from(digit.to_digit(16)?).ok()?;
            }
        }
        9 if digits.starts_with('0') && digits.ends_with("000000") => {
            raw[1] = u8::from_str_radix(&digits[1..3], 16).ok()?;
        }
        _ => return None,
    }
    Some(Lun::new(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPXE: &[u8] = include_bytes!("../../../tests/data/ipxe-e1000.ibft");

    #[test]
    fn what_linux_shows_makes_a_table_that_shows_the_same() {
        let shown = attributes(&Ibft::new(IPXE).unwrap(), Secrets::Show);
        let again = table(&shown).unwrap();
        assert_eq!(attributes(&Ibft::new(&again).unwrap(), Secrets::Show), shown);
    }

    #[test]
    fn luns_survive_linuxs_digits() {
        for number in [0, 1, 15, 16, 255] {
            let lun = Lun::from_number(number).unwrap();
            let digits: String = lun.raw().iter().map(|byte| format!("{byte:x}")).collect();
            assert_eq!(parse_lun(&digits), Some(lun), "{digits}");
        }
        assert_eq!(parse_lun("4010000000"), None);
    }

    #[test]
    fn an_attribute_that_makes_no_sense_is_named() {
        let mut shown = attributes(&Ibft::new(IPXE).unwrap(), Secrets::Show);
        shown.insert("target0/port".into(), "http".into());
        assert_eq!(table(&shown).unwrap_err(), "cannot understand target0/port=http");
    }
}
