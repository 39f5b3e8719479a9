//! The capability list of a function, and the two capabilities that a driver needs early: power
//! states of the function and of its link.

use super::{ConfigSpace, PciAddress, offset};

/// Where capability `id` is, or `None`.
///
/// The list is walked through at most 48 entries (all that fit), so that a list which points at
/// itself ends.
pub fn capability<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress, id: u8) -> Option<u16> {
    const STATUS_CAPABILITIES: u32 = 1 << 20;
    if config.read(address, offset::COMMAND) & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let mut next = config.read(address, offset::CAPABILITIES) & 0xfc;
    for _ in 0..48 {
        if next < 0x40 {
            return None;
        }
        let at = u16::try_from(next).ok()?;
        let header = config.read(address, at);
        if header & 0xff == u32::from(id) {
            return Some(at);
        }
        next = (header >> 8) & 0xfc;
    }
    None
}

/// Whether the function is in power state D0, the only one in which its registers answer.
pub fn is_powered_on<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    const STATE: u32 = 3;
    capability(config, address, capability_id::POWER_MANAGEMENT)
        .is_none_or(|at| config.read(address, at.wrapping_add(4)) & STATE == 0)
}

/// Asks for power state D0; says whether the function was in another one, in which case it needs
/// 10 ms (PCI Power Management 1.2 §5.4) and its registers have lost their content.
pub fn power_on<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    const STATE: u32 = 3;
    const PME_STATUS: u32 = 1 << 15;
    let Some(at) = capability(config, address, capability_id::POWER_MANAGEMENT) else {
        return false;
    };
    let at = at.wrapping_add(4);
    let status = config.read(address, at);
    if status & STATE == 0 {
        return false;
    }
    // PME_STATUS is write-one-to-clear: leave it to whoever handles wake-up.
    config.write(address, at, status & !STATE & !PME_STATUS);
    true
}

/// Turns off the PCI Express link power states whose bits are set in `states`: 1 = L0s, 2 = L1.
pub fn disable_link_power_states<C: ConfigSpace + ?Sized>(
    config: &C,
    address: PciAddress,
    states: u8,
) {
    const LINK_CONTROL: u16 = 0x10;
    if let Some(at) = capability(config, address, capability_id::EXPRESS) {
        let at = at.wrapping_add(LINK_CONTROL);
        // The upper half is the link status, whose write-one-to-clear bits stay untouched.
        let control = config.read(address, at) & 0xffff;
        let wanted = control & !u32::from(states & 3);
        if wanted != control {
            config.write(address, at, wanted);
        }
    }
}

/// Capability ids (PCI Code and ID Assignment §2).
pub mod capability_id {
    /// Power management.
    pub const POWER_MANAGEMENT: u8 = 0x01;
    /// Message signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// PCI Express.
    pub const EXPRESS: u8 = 0x10;
    /// Message signalled interrupts, extended.
    pub const MSI_X: u8 = 0x11;
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Machine, Words, at};
    use super::*;

    #[test]
    fn a_capability_list_that_runs_in_circles_ends() {
        let circle: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x4809), (0x48, 0x4009)];
        let machine = Machine::with(&[(0, 3, 0, circle)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), None);
        let list: Words<'_> = &[(4, 1 << 20), (0x34, 0x43), (0x40, 0x4809), (0x48, 0x0005)];
        let machine = Machine::with(&[(0, 3, 0, list)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), Some(0x48));
        let none: Words<'_> = &[(4, 0), (0x34, 0x40), (0x40, 0x0005)];
        let machine = Machine::with(&[(0, 3, 0, none)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), None);
    }

    #[test]
    fn link_power_states_are_turned_off_and_nothing_else() {
        let express: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x0010), (0x50, 0xffff_0043)];
        let machine = Machine::with(&[(0, 3, 0, express)]);
        disable_link_power_states(&machine, at(0, 3, 0), 3);
        assert_eq!(machine.read(at(0, 3, 0), 0x50), 0x40);
    }

    #[test]
    fn waking_up_keeps_the_wake_event() {
        let asleep: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x0001), (0x44, 0x8103)];
        let machine = Machine::with(&[(0, 3, 0, asleep)]);
        assert!(power_on(&machine, at(0, 3, 0)));
        assert_eq!(machine.read(at(0, 3, 0), 0x44), 0x0100);
        assert!(!power_on(&machine, at(0, 3, 0)), "awake already");
    }
}
