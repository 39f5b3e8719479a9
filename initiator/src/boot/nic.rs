//! Which of the machine's network interfaces to use: the table's by its MAC address, then by its
//! place, unless a parameter names one.

use core::fmt;

use isboot_ibft::{MacAddress, PciAddress};

/// Which network interface to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedNic {
    /// The one of the table's NIC structure. Where none has its MAC address, the PCI address
    /// decides: offload cards publish another than the network's, and firmware may have set one
    /// that a reset takes back.
    Table {
        /// Its MAC address.
        mac: MacAddress,
        /// Its PCI address; 00:00.0, where a bridge is, names none.
        pci: PciAddress,
    },
    /// The one with this MAC address, says a parameter.
    Mac(MacAddress),
    /// The one at this PCI address, says a parameter.
    At(PciAddress),
    /// The one of this number, from 0 in the order of PCI addresses, says a parameter.
    Number(u8),
    /// The first that has link, or else the first: the table names none, or a parameter says so.
    Any,
}

/// A network interface of the machine, to be chosen or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NicFound {
    /// What it is called, or why it cannot be used.
    pub name: Result<&'static str, &'static str>,
    /// Its MAC address, where it is known before the interface is taken over.
    pub mac: Option<MacAddress>,
    /// Where it is.
    pub pci: PciAddress,
    /// Whether its link is up already.
    pub has_link: bool,
}

/// No interface is the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchNic<'a> {
    /// What is wanted.
    pub wanted: WantedNic,
    /// What there is.
    pub found: &'a [NicFound],
}

impl WantedNic {
    /// The place of the one that is wanted.
    ///
    /// # Errors
    /// [`NoSuchNic`] says what is wanted and what there is.
    pub fn choose(self, found: &[NicFound]) -> Result<usize, NoSuchNic<'_>> {
        let usable = || found.iter().enumerate().filter(|(_, nic)| nic.name.is_ok());
        let first = |fits: &dyn Fn(&NicFound) -> bool| {
            usable().find(|(_, nic)| fits(nic)).map(|(place, _)| place)
        };
        let place = match self {
            Self::Table { mac, pci } => {
                let has_mac = |nic: &NicFound| mac.is_usable() && nic.mac == Some(mac);
                let is_there = |nic: &NicFound| pci != PciAddress::default() && nic.pci == pci;
                // Ports that are teamed may share an address.
                first(&|nic| has_mac(nic) && is_there(nic))
                    .or_else(|| first(&has_mac))
                    .or_else(|| first(&is_there))
            }
            Self::Mac(mac) => first(&|nic| nic.mac == Some(mac)),
            Self::At(pci) => first(&|nic| nic.pci == pci),
            Self::Number(number) => {
                let before =
                    |nic: &NicFound| usable().filter(|(_, other)| other.pci < nic.pci).count();
                first(&|nic| before(nic) == usize::from(number))
            }
            Self::Any => first(&|nic| nic.has_link).or_else(|| first(&|_| true)),
        };
        place.ok_or(NoSuchNic { wanted: self, found })
    }
}

impl fmt::Display for WantedNic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { mac, pci } => {
                write!(f, "the iBFT's, MAC address {mac} (PCI address {pci})")
            }
            Self::Mac(mac) => write!(f, "the one with MAC address {mac}"),
            Self::At(pci) => write!(f, "the one at PCI address {pci}"),
            Self::Number(number) => write!(f, "number {number}, counted from 0"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl fmt::Display for NicFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Ok(name) => write!(f, "{} {name}", self.pci)?,
            Err(why) => return write!(f, "{} ({why})", self.pci),
        }
        match self.mac {
            Some(mac) => write!(f, " {mac}")?,
            None => f.write_str(" with a MAC address not yet known")?,
        }
        f.write_str(if self.has_link { "" } else { " without link" })
    }
}

impl fmt::Display for NoSuchNic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no network interface is the one that is wanted ({}); found ", self.wanted)?;
        let Some((last, others)) = self.found.split_last() else {
            return f.write_str("none at all");
        };
        others.iter().try_for_each(|nic| write!(f, "{nic}, "))?;
        write!(f, "{last}; parameter nic chooses one")
    }
}

impl core::error::Error for NoSuchNic<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const fn mac(last: u8) -> MacAddress {
        MacAddress([0x52, 0x54, 0, 0, 0, last])
    }

    const fn at(device: u8, function: u8) -> PciAddress {
        PciAddress { bus: 0, device, function }
    }

    const fn nic(last: u8, pci: PciAddress) -> NicFound {
        NicFound { name: Ok("82574L"), mac: Some(mac(last)), pci, has_link: true }
    }

    /// Another vendor's, a board with two functions, one that sleeps, one without link; not in
    /// the order of their places.
    const FOUND: [NicFound; 5] = [
        NicFound { name: Err("no driver for 1af4:1000"), mac: None, ..nic(0, at(2, 0)) },
        NicFound { has_link: false, ..nic(6, at(6, 0)) },
        nic(3, at(3, 0)),
        nic(4, at(3, 1)),
        NicFound { mac: None, has_link: false, ..nic(0, at(5, 0)) },
    ];

    fn chosen(wanted: WantedNic) -> Option<usize> {
        wanted.choose(&FOUND).ok()
    }

    #[test]
    fn the_tables_mac_address_decides_before_its_place() {
        let table = |mac, pci| chosen(WantedNic::Table { mac, pci });
        assert_eq!(table(mac(4), at(3, 1)), Some(3), "the second function of a board");
        assert_eq!(table(mac(4), at(3, 0)), Some(3), "buses are numbered anew");
        assert_eq!(table(mac(6), at(0, 0)), Some(1), "without link, but it is this one");
        // Its MAC address is not known, or is not the network's.
        assert_eq!(table(mac(9), at(5, 0)), Some(4));
        assert_eq!(table(mac(9), at(3, 1)), Some(3));
        assert_eq!(table(mac(9), at(9, 0)), None);
        assert_eq!(table(mac(9), at(0, 0)), None);
        assert_eq!(table(mac(9), at(2, 0)), None, "no driver");
    }

    #[test]
    fn a_table_without_a_mac_address_matches_no_interface_without_one() {
        let none = MacAddress([0; 6]);
        let found = [NicFound { mac: Some(none), ..nic(0, at(3, 0)) }];
        let wanted = |pci| WantedNic::Table { mac: none, pci }.choose(&found).ok();
        assert_eq!((wanted(at(4, 0)), wanted(at(3, 0))), (None, Some(0)));
    }

    #[test]
    fn of_two_with_the_same_mac_address_the_place_decides() {
        let team = [nic(3, at(3, 0)), nic(3, at(3, 1))];
        let wanted = |pci| WantedNic::Table { mac: mac(3), pci }.choose(&team);
        assert_eq!(wanted(at(3, 1)), Ok(1));
        assert_eq!(wanted(at(9, 0)), Ok(0));
    }

    #[test]
    fn a_parameter_names_one_and_nothing_else_will_do() {
        assert_eq!(chosen(WantedNic::Mac(mac(4))), Some(3));
        assert_eq!(chosen(WantedNic::Mac(mac(9))), None);
        assert_eq!(chosen(WantedNic::At(at(5, 0))), Some(4));
        assert_eq!(chosen(WantedNic::At(at(2, 0))), None, "no driver");
        let numbers: [_; 5] =
            core::array::from_fn(|number| chosen(WantedNic::Number(number as u8)));
        assert_eq!(numbers, [Some(2), Some(3), Some(4), Some(1), None], "those that can be used");
    }

    #[test]
    fn any_is_the_first_with_link_or_else_the_first() {
        assert_eq!(chosen(WantedNic::Any), Some(2));
        assert_eq!(WantedNic::Any.choose(&FOUND[..2]), Ok(1));
        assert_eq!(WantedNic::Any.choose(&FOUND[..1]).ok(), None);
        assert_eq!(WantedNic::Any.choose(&[]).ok(), None);
    }

    #[test]
    fn who_is_not_found_hears_what_was() {
        let error = WantedNic::Table { mac: mac(9), pci: at(9, 0) }.choose(&FOUND).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no network interface is the one that is wanted (the iBFT's, MAC address \
             52:54:00:00:00:09 (PCI address 00:09.0)); found 00:02.0 (no driver for 1af4:1000), \
             00:06.0 82574L 52:54:00:00:00:06 without link, 00:03.0 82574L 52:54:00:00:00:03, \
             00:03.1 82574L 52:54:00:00:00:04, 00:05.0 82574L with a MAC address not yet known \
             without link; parameter nic chooses one"
        );
        let error = WantedNic::Any.choose(&[]).unwrap_err();
        assert!(error.to_string().ends_with("found none at all"), "{error}");
    }
}
