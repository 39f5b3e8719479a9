//! Which parts are served: one row per device id names the part and its family.
//!
//! What a family needs is in [`family`](crate::intel::family).

use crate::intel::family::Family;

/// Intel's PCI vendor id.
pub const VENDOR: u16 = 0x8086;

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// PCI device id.
    pub device_id: u16,
    /// The name it is known by.
    pub name: &'static str,
    /// What it has in common with others.
    pub family: Family,
}

impl Model {
    /// The part with these ids, or `None` when this driver does not serve it.
    #[must_use]
    pub fn find(vendor_id: u16, device_id: u16) -> Option<&'static Self> {
        if vendor_id != VENDOR {
            return None;
        }
        MODELS.iter().find(|model| model.device_id == device_id)
    }
}

/// Every part served, by device id.
pub const MODELS: &[Model] = &[
    // QEMU's e1000-82544gc.
    Model { device_id: 0x100c, name: "82544GC", family: Family::I82544 },
    // QEMU's e1000; PRO/1000 MT Desktop.
    Model { device_id: 0x100e, name: "82540EM", family: Family::I82540 },
    // QEMU's e1000-82545em, VMware's e1000; PRO/1000 MT Server.
    Model { device_id: 0x100f, name: "82545EM", family: Family::I82540 },
    // QEMU's and VMware's e1000e; Gigabit CT Desktop.
    Model { device_id: 0x10d3, name: "82574L", family: Family::I82574 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_unique() {
        assert!(MODELS.windows(2).all(|pair| pair[0].device_id < pair[1].device_id));
    }

    #[test]
    fn only_intel_parts_are_found() {
        assert_eq!(Model::find(VENDOR, 0x10d3).unwrap().name, "82574L");
        assert_eq!(Model::find(0x1af4, 0x10d3), None);
        assert_eq!(Model::find(VENDOR, 0x15f3), None, "I225 is another programming model");
    }
}
