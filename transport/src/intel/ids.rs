//! Which parts are served, and which look as if they were: one row per device id.
//!
//! What a family needs is in [`family`](crate::intel::family).

use core::fmt;

use crate::intel::family::Family;

/// Intel's PCI vendor id.
pub const VENDOR: u16 = 0x8086;

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// PCI device id.
    pub device_id: u16,
    /// The chip.
    pub name: &'static str,
    /// The board or the chipset it is known by.
    pub board: &'static str,
    /// What it has in common with others.
    pub family: Family,
    /// What its link runs on, as far as the id tells.
    pub media: Media,
}

impl Model {
    /// The part with these ids, or `None` when this driver does not serve it.
    #[must_use]
    pub fn find(vendor_id: u16, device_id: u16) -> Option<&'static Self> {
        if vendor_id != VENDOR {
            return None;
        }
        let at = MODELS.binary_search_by_key(&device_id, |model| model.device_id).ok()?;
        MODELS.get(at)
    }
}

/// What the link runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// Twisted pairs, through a PHY.
    Copper,
    /// Fibre, 1000BASE-X by the controller itself.
    Fibre,
    /// A backplane, 1000BASE-X by the controller itself.
    SerDes,
    /// A PHY or a pluggable module behind SGMII.
    Sgmii,
}

/// A part of Intel's that is not served, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// PCI device id.
    pub device_id: u16,
    /// The chip.
    pub name: &'static str,
    /// Why.
    pub why: Refusal,
}

impl Refused {
    /// The refused part with these ids, if it is one of those known.
    #[must_use]
    pub fn find(vendor_id: u16, device_id: u16) -> Option<&'static Self> {
        if vendor_id != VENDOR {
            return None;
        }
        let at = REFUSED.binary_search_by_key(&device_id, |part| part.device_id).ok()?;
        REFUSED.get(at)
    }
}

/// Why a part is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 82542: its registers are elsewhere.
    Layout,
    /// Without its physical function a virtual one has neither link nor filters.
    VirtualFunction,
    /// I225, I226 and kin: the next programming model.
    Successor,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layout => "its queue registers lie elsewhere than those of every later part",
            Self::VirtualFunction => {
                "a virtual function depends on the driver of its physical function; \
                 attach the physical one"
            }
            Self::Successor => "2.5 Gbit/s parts have another programming model",
        })
    }
}

use Family as F;
use Media::{Copper, Fibre, SerDes, Sgmii};
use Refusal as Why;

/// Every part served, by device id.
pub const MODELS: &[Model] = &[
    m(0x0438, "DH8900CC", "SGMII", F::I82580, Sgmii),
    m(0x043a, "DH8900CC", "SerDes", F::I82580, SerDes),
    m(0x043c, "DH8900CC", "backplane", F::I82580, SerDes),
    m(0x0440, "DH8900CC", "SFP", F::I82580, Sgmii),
    m(0x0d4c, "I219-LM (11)", "400 series", F::Cnp, Copper),
    m(0x0d4d, "I219-V (11)", "400 series", F::Cnp, Copper),
    m(0x0d4e, "I219-LM (10)", "400 series", F::Cnp, Copper),
    m(0x0d4f, "I219-V (10)", "400 series", F::Cnp, Copper),
    m(0x0d53, "I219-LM (12)", "400 series, H410", F::Spt, Copper),
    m(0x0d55, "I219-V (12)", "400 series, H410", F::Spt, Copper),
    m(0x0dc5, "I219-LM (23)", "700 series", F::Tgp, Copper),
    m(0x0dc6, "I219-V (23)", "700 series", F::Tgp, Copper),
    m(0x0dc7, "I219-LM (22)", "700 series", F::Tgp, Copper),
    m(0x0dc8, "I219-V (22)", "700 series", F::Tgp, Copper),
    m(0x1001, "82543GC", "PRO/1000 F", F::I82543, Fibre),
    m(0x1004, "82543GC", "PRO/1000 T", F::I82543, Copper),
    m(0x1008, "82544EI", "PRO/1000 XT", F::I82544, Copper),
    m(0x1009, "82544EI", "PRO/1000 XF", F::I82544, Fibre),
    m(0x100c, "82544GC", "PRO/1000 T", F::I82544, Copper),
    m(0x100d, "82544GC", "on board", F::I82544, Copper),
    m(0x100e, "82540EM", "PRO/1000 MT Desktop", F::I82540, Copper),
    m(0x100f, "82545EM", "PRO/1000 MT Server", F::I82545, Copper),
    m(0x1010, "82546EB", "PRO/1000 MT Dual Port", F::I82545, Copper),
    m(0x1011, "82545EM", "PRO/1000 MF Server", F::I82545, Fibre),
    m(0x1012, "82546EB", "PRO/1000 MF Dual Port", F::I82545, Fibre),
    m(0x1013, "82541EI", "PRO/1000 MT Desktop", F::I82541, Copper),
    m(0x1014, "82541ER", "on board", F::I82541, Copper),
    m(0x1015, "82540EM", "on board", F::I82540, Copper),
    m(0x1016, "82540EP", "on board", F::I82540, Copper),
    m(0x1017, "82540EP", "PRO/1000 MT Mobile", F::I82540, Copper),
    m(0x1018, "82541EI", "PRO/1000 MT Mobile", F::I82541, Copper),
    m(0x1019, "82547EI", "PRO/1000 CT Desktop", F::I82547, Copper),
    m(0x101a, "82547EI", "PRO/1000 CT Mobile", F::I82547, Copper),
    m(0x101d, "82546EB", "PRO/1000 MT Quad Port", F::I82545, Copper),
    m(0x101e, "82540EP", "PRO/1000 MT Mobile, low profile", F::I82540, Copper),
    m(0x1026, "82545GM", "PRO/1000 MT Server", F::I82545Rev3, Copper),
    m(0x1027, "82545GM", "PRO/1000 MF Server", F::I82545Rev3, Fibre),
    m(0x1028, "82545GM", "PRO/1000 MB Server", F::I82545Rev3, SerDes),
    m(0x1049, "82566MM", "ICH8", F::Ich8, Copper),
    m(0x104a, "82566DM", "ICH8", F::Ich8, Copper),
    m(0x104b, "82566DC", "ICH8", F::Ich8, Copper),
    m(0x104c, "82562V", "ICH8, 10/100", F::Ich8, Copper),
    m(0x104d, "82566MC", "ICH8", F::Ich8, Copper),
    m(0x105e, "82571EB", "PRO/1000 PT Dual Port", F::I82571, Copper),
    m(0x105f, "82571EB", "PRO/1000 PF Dual Port", F::I82571, Fibre),
    m(0x1060, "82571EB", "PRO/1000 PB Dual Port", F::I82571, SerDes),
    m(0x1075, "82547GI", "PRO/1000 CT Network Connection", F::I82547Rev2, Copper),
    m(0x1076, "82541GI", "PRO/1000 MT Network Connection", F::I82541Rev2, Copper),
    m(0x1077, "82541GI", "PRO/1000 MT Mobile", F::I82541Rev2, Copper),
    m(0x1078, "82541ER", "on board", F::I82541Rev2, Copper),
    m(0x1079, "82546GB", "PRO/1000 MT Dual Port", F::I82545Rev3, Copper),
    m(0x107a, "82546GB", "PRO/1000 MF Dual Port", F::I82545Rev3, Fibre),
    m(0x107b, "82546GB", "PRO/1000 MB Dual Port", F::I82545Rev3, SerDes),
    m(0x107c, "82541PI", "PRO/1000 GT Desktop", F::I82541Rev2, Copper),
    m(0x107d, "82572EI", "PRO/1000 PT Server", F::I82572, Copper),
    m(0x107e, "82572EI", "PRO/1000 PF Server", F::I82572, Fibre),
    m(0x107f, "82572EI", "PRO/1000 PB Server", F::I82572, SerDes),
    m(0x108a, "82546GB", "PRO/1000 P Dual Port", F::I82545Rev3, Copper),
    m(0x108b, "82573V", "on board", F::I82573, Copper),
    m(0x108c, "82573E", "on board", F::I82573, Copper),
    m(0x1096, "80003ES2LAN", "on board, dual port", F::I80003, Copper),
    m(0x1098, "80003ES2LAN", "on board, dual port", F::I80003, SerDes),
    m(0x1099, "82546GB", "PRO/1000 GT Quad Port", F::I82545Rev3, Copper),
    m(0x109a, "82573L", "on board", F::I82573, Copper),
    m(0x10a4, "82571EB", "PRO/1000 PT Quad Port", F::I82571, Copper),
    m(0x10a5, "82571EB", "PRO/1000 PF Quad Port", F::I82571, Fibre),
    m(0x10a7, "82575EB", "Gigabit VT", F::I82575, Copper),
    m(0x10a9, "82575EB", "Gigabit backplane", F::I82575, SerDes),
    m(0x10b5, "82546GB", "PRO/1000 GT Quad Port, KSP3", F::I82545Rev3, Copper),
    m(0x10b9, "82572EI", "PRO/1000 PT Desktop", F::I82572, Copper),
    m(0x10ba, "80003ES2LAN", "on board", F::I80003, Copper),
    m(0x10bb, "80003ES2LAN", "on board", F::I80003, SerDes),
    m(0x10bc, "82571EB", "PRO/1000 PT Quad Port, low profile", F::I82571, Copper),
    m(0x10bd, "82566DM-2", "ICH9", F::Ich9, Copper),
    m(0x10bf, "82567LF", "ICH9", F::Ich9, Copper),
    m(0x10c0, "82562V-2", "ICH9, 10/100", F::Ich9, Copper),
    m(0x10c2, "82562G-2", "ICH9, 10/100", F::Ich9, Copper),
    m(0x10c3, "82562GT-2", "ICH9, 10/100", F::Ich9, Copper),
    m(0x10c4, "82562GT", "ICH8, 10/100", F::Ich8, Copper),
    m(0x10c5, "82562G", "ICH8, 10/100", F::Ich8, Copper),
    m(0x10c9, "82576", "Gigabit ET Dual Port", F::I82576, Copper),
    m(0x10cb, "82567V", "ICH9", F::Ich9, Copper),
    m(0x10cc, "82567LM-2", "ICH10", F::Ich9, Copper),
    m(0x10cd, "82567LF-2", "ICH10", F::Ich9, Copper),
    m(0x10ce, "82567V-2", "ICH10", F::Ich9, Copper),
    m(0x10d3, "82574L", "Gigabit CT Desktop", F::I82574, Copper),
    m(0x10d5, "82571PT", "PT Quad Port Server Adapter", F::I82571, Copper),
    m(0x10d6, "82575GB", "Gigabit VT Quad Port", F::I82575, Copper),
    m(0x10d9, "82571EB", "Dual Port Gigabit Mezzanine", F::I82571, SerDes),
    m(0x10da, "82571EB", "Quad Port Gigabit Mezzanine", F::I82571, SerDes),
    m(0x10de, "82567LM-3", "ICH10", F::Ich10, Copper),
    m(0x10df, "82567LF-3", "ICH10", F::Ich10, Copper),
    m(0x10e5, "82567LM-4", "ICH9", F::Ich9, Copper),
    m(0x10e6, "82576", "Gigabit EF Dual Port", F::I82576, Fibre),
    m(0x10e7, "82576", "Gigabit backplane", F::I82576, SerDes),
    m(0x10e8, "82576", "Gigabit ET Quad Port", F::I82576, Copper),
    m(0x10ea, "82577LM", "5 series", F::Pch, Copper),
    m(0x10eb, "82577LC", "5 series", F::Pch, Copper),
    m(0x10ef, "82578DM", "5 series", F::Pch, Copper),
    m(0x10f0, "82578DC", "5 series", F::Pch, Copper),
    m(0x10f5, "82567LM", "ICH9", F::Ich9, Copper),
    m(0x10f6, "82574LA", "on board", F::I82574, Copper),
    m(0x1501, "82567V-3", "ICH8", F::Ich8, Copper),
    m(0x1502, "82579LM", "6 and 7 series", F::Pch2, Copper),
    m(0x1503, "82579V", "6 and 7 series", F::Pch2, Copper),
    m(0x150a, "82576NS", "on board", F::I82576, Copper),
    m(0x150c, "82583V", "on board", F::I82583, Copper),
    m(0x150d, "82576", "Gigabit mezzanine, quad port", F::I82576, SerDes),
    m(0x150e, "82580", "Gigabit ET quad port", F::I82580, Copper),
    m(0x150f, "82580", "Gigabit fibre", F::I82580, Fibre),
    m(0x1510, "82580", "Gigabit backplane", F::I82580, SerDes),
    m(0x1511, "82580", "Gigabit SGMII", F::I82580, Sgmii),
    m(0x1516, "82580", "Gigabit ET dual port", F::I82580, Copper),
    m(0x1518, "82576NS", "on board", F::I82576, SerDes),
    m(0x1521, "I350", "Ethernet Server Adapter I350-T", F::I350, Copper),
    m(0x1522, "I350", "Ethernet Server Adapter I350-F", F::I350, Fibre),
    m(0x1523, "I350", "backplane", F::I350, SerDes),
    m(0x1524, "I350", "SGMII", F::I350, Sgmii),
    m(0x1525, "82567V-4", "ICH10", F::Ich10, Copper),
    m(0x1526, "82576", "Gigabit ET2 Quad Port", F::I82576, Copper),
    m(0x1527, "82580", "Gigabit EF quad port", F::I82580, Fibre),
    m(0x1533, "I210", "Ethernet Server Adapter I210-T1", F::I210, Copper),
    m(0x1534, "I210", "on board", F::I210, Copper),
    m(0x1535, "I210", "on board, industrial", F::I210, Copper),
    m(0x1536, "I210", "fibre", F::I210, Fibre),
    m(0x1537, "I210", "backplane", F::I210, SerDes),
    m(0x1538, "I210", "SGMII", F::I210, Sgmii),
    m(0x1539, "I211", "on board", F::I211, Copper),
    m(0x153a, "I217-LM", "8 series", F::Lpt, Copper),
    m(0x153b, "I217-V", "8 series", F::Lpt, Copper),
    m(0x1546, "I350", "DA4", F::I350, SerDes),
    m(0x1559, "I218-V", "8 series, low power", F::LptLp, Copper),
    m(0x155a, "I218-LM", "8 series, low power", F::LptLp, Copper),
    m(0x156f, "I219-LM", "100 series", F::Spt, Copper),
    m(0x1570, "I219-V", "100 series", F::Spt, Copper),
    m(0x157b, "I210", "on board, without flash", F::I210, Copper),
    m(0x157c, "I210", "backplane, without flash", F::I210, SerDes),
    m(0x15a0, "I218-LM (2)", "9 series", F::Lpt, Copper),
    m(0x15a1, "I218-V (2)", "9 series", F::Lpt, Copper),
    m(0x15a2, "I218-LM (3)", "9 series", F::LptLp, Copper),
    m(0x15a3, "I218-V (3)", "9 series", F::LptLp, Copper),
    m(0x15b7, "I219-LM (2)", "100 series", F::Spt, Copper),
    m(0x15b8, "I219-V (2)", "100 series", F::Spt, Copper),
    m(0x15b9, "I219-LM (3)", "Lewisburg", F::Spt, Copper),
    m(0x15bb, "I219-LM (7)", "300 series", F::Cnp, Copper),
    m(0x15bc, "I219-V (7)", "300 series", F::Cnp, Copper),
    m(0x15bd, "I219-LM (6)", "300 series", F::Cnp, Copper),
    m(0x15be, "I219-V (6)", "300 series", F::Cnp, Copper),
    m(0x15d6, "I219-V (5)", "200 series", F::Spt, Copper),
    m(0x15d7, "I219-LM (4)", "200 series", F::Spt, Copper),
    m(0x15d8, "I219-V (4)", "200 series", F::Spt, Copper),
    m(0x15df, "I219-LM (8)", "Ice Lake", F::Cnp, Copper),
    m(0x15e0, "I219-V (8)", "Ice Lake", F::Cnp, Copper),
    m(0x15e1, "I219-LM (9)", "Ice Lake", F::Cnp, Copper),
    m(0x15e2, "I219-V (9)", "Ice Lake", F::Cnp, Copper),
    m(0x15e3, "I219-LM (5)", "200 series", F::Spt, Copper),
    m(0x15f4, "I219-LM (15)", "500 series", F::Tgp, Copper),
    m(0x15f5, "I219-V (15)", "500 series", F::Tgp, Copper),
    m(0x15f6, "I210", "SGMII, without flash", F::I210, Sgmii),
    m(0x15f9, "I219-LM (14)", "500 series", F::Tgp, Copper),
    m(0x15fa, "I219-V (14)", "500 series", F::Tgp, Copper),
    m(0x15fb, "I219-LM (13)", "500 series", F::Tgp, Copper),
    m(0x15fc, "I219-V (13)", "500 series", F::Tgp, Copper),
    m(0x1a1c, "I219-LM (17)", "600 series", F::Tgp, Copper),
    m(0x1a1d, "I219-V (17)", "600 series", F::Tgp, Copper),
    m(0x1a1e, "I219-LM (16)", "600 series", F::Tgp, Copper),
    m(0x1a1f, "I219-V (16)", "600 series", F::Tgp, Copper),
    m(0x1f40, "I354", "backplane, 1 Gbit/s", F::I354, SerDes),
    m(0x1f41, "I354", "SGMII", F::I354, Sgmii),
    m(0x1f45, "I354", "backplane, 2.5 Gbit/s", F::I354, SerDes),
    m(0x294c, "82566DC-2", "ICH9", F::Ich9, Copper),
    m(0x550a, "I219-LM (18)", "Meteor Lake", F::Mtp, Copper),
    m(0x550b, "I219-V (18)", "Meteor Lake", F::Mtp, Copper),
    m(0x550c, "I219-LM (19)", "Meteor Lake", F::Tgp, Copper),
    m(0x550d, "I219-V (19)", "Meteor Lake", F::Tgp, Copper),
    m(0x550e, "I219-LM (20)", "Lunar Lake", F::Mtp, Copper),
    m(0x550f, "I219-V (20)", "Lunar Lake", F::Mtp, Copper),
    m(0x57a0, "I219-LM (24)", "Arrow Lake", F::Mtp, Copper),
    m(0x57a1, "I219-V (24)", "Arrow Lake", F::Mtp, Copper),
    m(0x57b3, "I219-LM (25)", "Panther Lake", F::Ptp, Copper),
    m(0x57b4, "I219-V (25)", "Panther Lake", F::Ptp, Copper),
    m(0x57b7, "I219-LM (27)", "Wildcat Lake", F::Ptp, Copper),
    m(0x57b8, "I219-V (27)", "Wildcat Lake", F::Ptp, Copper),
    m(0x57b9, "I219-LM (29)", "Nova Lake", F::Ptp, Copper),
    m(0x57ba, "I219-V (29)", "Nova Lake", F::Ptp, Copper),
];

/// Parts that are not, by device id.
pub const REFUSED: &[Refused] = &[
    r(0x0d9f, "I225-IT", Why::Successor),
    r(0x1000, "82542", Why::Layout),
    r(0x10ca, "82576 virtual function", Why::VirtualFunction),
    r(0x125b, "I226-LM", Why::Successor),
    r(0x125c, "I226-V", Why::Successor),
    r(0x125d, "I226-IT", Why::Successor),
    r(0x125e, "I221-V", Why::Successor),
    r(0x125f, "I226", Why::Successor),
    r(0x1520, "I350 virtual function", Why::VirtualFunction),
    r(0x152d, "82576 virtual function", Why::VirtualFunction),
    r(0x152f, "I350 virtual function", Why::VirtualFunction),
    r(0x15f2, "I225-LM", Why::Successor),
    r(0x15f3, "I225-V", Why::Successor),
    r(0x15f7, "I220-V", Why::Successor),
    r(0x15f8, "I225-I", Why::Successor),
    r(0x15fd, "I225", Why::Successor),
    r(0x3100, "I225-K", Why::Successor),
    r(0x3101, "I225-K2", Why::Successor),
    r(0x3102, "I226-K", Why::Successor),
    r(0x5502, "I225-LMVP", Why::Successor),
    r(0x5503, "I226-LMVP", Why::Successor),
];

const fn m(
    device_id: u16,
    name: &'static str,
    board: &'static str,
    family: Family,
    media: Media,
) -> Model {
    Model { device_id, name, board, family, media }
}

const fn r(device_id: u16, name: &'static str, why: Refusal) -> Refused {
    Refused { device_id, name, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_unique() {
        assert!(MODELS.windows(2).all(|pair| pair[0].device_id < pair[1].device_id));
        assert!(REFUSED.windows(2).all(|pair| pair[0].device_id < pair[1].device_id));
        assert!(REFUSED.iter().all(|part| Model::find(VENDOR, part.device_id).is_none()));
    }

    #[test]
    fn only_intel_parts_are_found() {
        assert_eq!(Model::find(VENDOR, 0x10d3).unwrap().name, "82574L");
        assert_eq!(Model::find(0x1af4, 0x10d3), None);
        assert_eq!(Model::find(VENDOR, 0x15f3), None, "I225 is another programming model");
        assert_eq!(Refused::find(VENDOR, 0x15f3).unwrap().why, Refusal::Successor);
        assert_eq!(Refused::find(VENDOR, 0x10ca).unwrap().why, Refusal::VirtualFunction);
        assert_eq!(Refused::find(VENDOR, 0x1000).unwrap().why, Refusal::Layout);
        assert_eq!(Refused::find(0x1af4, 0x1000), None);
    }

    #[test]
    fn every_family_has_a_part() {
        for family in Family::ALL {
            assert!(MODELS.iter().any(|model| model.family == *family), "{family:?}");
        }
    }
}
