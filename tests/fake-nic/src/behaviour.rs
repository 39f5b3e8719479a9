//! How the part behaves, and what is wrong with it.

use std::time::Duration;

use crate::semaphore::Holders;

/// The address that its EEPROM holds.
pub const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// How the part behaves; the default is a well-behaved 82540EM with its link up.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// PCI device id: which part it is. One that is no part behaves like an 82540.
    pub device_id: u16,
    /// PCI function: 1 is a second port.
    pub function: u8,
    /// Reads of CTRL until RST clears; `u32::MAX`: never.
    pub reset_reads: u32,
    /// A reset brings registers to their reset values. QEMU's e1000 does not.
    pub reset_clears: bool,
    /// A reset that does not clear loads RAL0 and RAH0 again, as QEMU 7.2's e1000e does.
    pub reset_clears_address: bool,
    /// From the 82575 on: queues never say that they are on.
    pub queues_stuck: bool,
    /// Bus requests never drain.
    pub master_stuck: bool,
    /// EECD.AUTO_RD, or STATUS.LAN_INIT_DONE, comes after a reset. QEMU's igb has none.
    pub auto_read: bool,
    /// EEMNGCTL says that the PHY is configured. QEMU's models never do.
    pub phy_configured: bool,
    /// Registers read as all ones after so many accesses of them and of configuration space.
    pub gone_after: u64,
    /// Configuration space does so too: the part was pulled out, and does not just hang.
    pub config_goes: bool,
    /// The other end of the wire is there.
    pub link_up: bool,
    /// The PHY claims its link, and the MAC has it only once negotiation was started, as with QEMU's
    /// igb.
    pub link_needs_negotiation: bool,
    /// At the other end of a fibre somebody negotiates.
    pub partner_negotiates: bool,
    /// What RAL0 and RAH0 hold after a reset.
    pub receive_address: [u8; 6],
    /// What the EEPROM holds; `None`: reads never end.
    pub eeprom: Option<[u8; 6]>,
    /// I210: there is flash besides the fuses.
    pub has_flash: bool,
    /// MDIC never becomes ready.
    pub phy_dead: bool,
    /// No PHY answers: MDIC says ERROR.
    pub phy_refuses: bool,
    /// Reads of MDIC until it is ready.
    pub mdic_reads: u32,
    /// Who else holds the semaphores.
    pub holders: Holders,
    /// Frames stay in the transmit ring until the test lets them go.
    pub hold_transmit: bool,
    /// Transmit descriptors are done, and nobody says so.
    pub no_reports: bool,
    /// Addresses and lengths of frames are looked at, as on a wire.
    pub filters: bool,
    /// TCP and UDP checksums of received frames are looked at where RXCSUM says so; IXSM otherwise,
    /// as QEMU's e1000 always has it.
    pub checks_sums: bool,
    /// The check sequence is left on, whatever SECRC says.
    pub keeps_check_sequence: bool,
    /// It does anything, behind an IOMMU: it reaches no memory but what it was given, and what would
    /// fail a test as the driver's fault passes, since it may be led there by its own lies.
    pub is_hostile: bool,
    /// How much later it is at each look at the clock.
    pub tick: Duration,
    /// The hosting kernel's bus addresses start here, whatever the layout says.
    pub first_bus_address: Option<u64>,
    /// Allocations until the kernel has no more.
    pub allocations: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            device_id: 0x100e,
            function: 0,
            reset_reads: 2,
            reset_clears: true,
            reset_clears_address: true,
            queues_stuck: false,
            master_stuck: false,
            auto_read: true,
            phy_configured: true,
            gone_after: u64::MAX,
            config_goes: false,
            link_up: true,
            link_needs_negotiation: false,
            partner_negotiates: true,
            receive_address: MAC,
            eeprom: Some(MAC),
            has_flash: true,
            phy_dead: false,
            phy_refuses: false,
            mdic_reads: 1,
            holders: Holders::default(),
            hold_transmit: false,
            no_reports: false,
            filters: false,
            checks_sums: false,
            keeps_check_sequence: false,
            is_hostile: false,
            tick: Duration::from_micros(10),
            first_bus_address: None,
            allocations: usize::MAX,
        }
    }
}

impl Behaviour {
    /// A well-behaved part of this device id.
    #[must_use]
    pub fn of(device_id: u16) -> Self {
        Self { device_id, ..Self::default() }
    }

    /// A well-behaved 82574L.
    #[must_use]
    pub fn i82574() -> Self {
        Self::of(0x10d3)
    }
}
