//! Asymmetric logical unit access: which target ports serve a unit, and how well (SPC-4 §5.11,
//! §6.37).

use core::fmt;

use super::cdb::Cdb;

/// REPORT TARGET PORT GROUPS: MAINTENANCE IN (A3h) with service action 0Ah.
#[must_use]
pub fn report_target_port_groups(allocation_length: u32) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[1]] = [0xa3, 0x0a];
    [cdb[6], cdb[7], cdb[8], cdb[9]] = allocation_length.to_be_bytes();
    cdb
}

/// ASYMMETRIC ACCESS STATE of a target port group (SPC-4 §5.11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessState {
    /// Every command, at full speed.
    ActiveOptimized,
    /// Every command, at less than the best speed.
    ActiveNonOptimized,
    /// Few commands, none on blocks, until told to take over.
    Standby,
    /// Few commands, none on blocks.
    Unavailable,
    /// Blocks are served well or less well by where they are.
    BlockDependent,
    /// Not in use.
    Offline,
    /// On the way from one state to another.
    Transitioning,
    /// A value that the standard keeps for later.
    Reserved(u8),
}

impl AccessState {
    /// From the four bits of a descriptor.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0x0 => Self::ActiveOptimized,
            0x1 => Self::ActiveNonOptimized,
            0x2 => Self::Standby,
            0x3 => Self::Unavailable,
            0x4 => Self::BlockDependent,
            0xe => Self::Offline,
            0xf => Self::Transitioning,
            other => Self::Reserved(other),
        }
    }
}

impl fmt::Display for AccessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ActiveOptimized => "active/optimized",
            Self::ActiveNonOptimized => "active/non-optimized",
            Self::Standby => "standby",
            Self::Unavailable => "unavailable",
            Self::BlockDependent => "logical block dependent",
            Self::Offline => "offline",
            Self::Transitioning => "transitioning",
            Self::Reserved(bits) => return write!(f, "reserved state {bits:x}h"),
        })
    }
}

/// A target port group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetPortGroup<'a> {
    /// TARGET PORT GROUP.
    pub number: u16,
    /// How the ports of the group serve the unit.
    pub state: AccessState,
    /// PREF: the target would rather be asked through this group.
    pub preferred: bool,
    ports: &'a [[u8; 4]],
}

impl TargetPortGroup<'_> {
    /// Whether a port, named by its RELATIVE TARGET PORT IDENTIFIER, is in the group.
    #[must_use]
    pub fn contains(&self, relative_target_port: u16) -> bool {
        self.ports
            .iter()
            .any(|&[_, _, p0, p1]| u16::from_be_bytes([p0, p1]) == relative_target_port)
    }
}

/// The groups that came whole, in the target's order.
pub fn target_port_groups(parameter_data: &[u8]) -> impl Iterator<Item = TargetPortGroup<'_>> {
    let (length, list) = match parameter_data.split_first_chunk() {
        Some((&length, list)) => (u32::from_be_bytes(length), list),
        None => (0, &[][..]),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(list.len());
    let mut rest = list.get(..length).unwrap_or_default();
    core::iter::from_fn(move || {
        let (&[state, _support, g0, g1, _, _status, _vendor, count], tail) =
            rest.split_first_chunk()?;
        let (ports, _) = tail.as_chunks::<4>();
        let ports = ports.get(..usize::from(count))?;
        rest = tail.get(ports.as_flattened().len()..)?;
        Some(TargetPortGroup {
            number: u16::from_be_bytes([g0, g1]),
            state: AccessState::from_bits(state),
            preferred: state & 0x80 != 0,
            ports,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    const TWO: [u8; 32] = [
        0, 0, 0, 28, 0x80, 0x0f, 0, 1, 0, 2, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x02, 0x0f, 0, 2, 0, 0,
        0, 1, 0, 0, 1, 3,
    ];

    #[test]
    fn the_command_stands_as_the_standard_has_it() {
        assert_eq!(
            report_target_port_groups(0x0102),
            [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn groups_states_and_ports_are_read() {
        let groups: Vec<_> = target_port_groups(&TWO).collect();
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].number, groups[0].state), (1, AccessState::ActiveOptimized));
        assert!(groups[0].preferred && !groups[1].preferred);
        assert!(groups[0].contains(1) && groups[0].contains(2) && !groups[0].contains(0x103));
        assert_eq!((groups[1].number, groups[1].state), (2, AccessState::Standby));
        assert!(groups[1].contains(0x103));
    }

    #[test]
    fn what_is_cut_or_lies_about_its_length_is_no_group() {
        for length in 0..TWO.len() {
            let whole = usize::from(length >= 20);
            assert_eq!(target_port_groups(&TWO[..length]).count(), whole, "{length} bytes");
        }
        let mut data = TWO;
        data[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        data[27] = 0xff;
        assert_eq!(target_port_groups(&data).count(), 1, "255 ports did not come");
        data[..4].copy_from_slice(&0u32.to_be_bytes());
        assert_eq!(target_port_groups(&data).count(), 0);
    }

    #[test]
    fn states_have_names() {
        let names: Vec<_> = (0..16).map(|bits| AccessState::from_bits(bits).to_string()).collect();
        assert_eq!(names[..3], ["active/optimized", "active/non-optimized", "standby"]);
        assert_eq!(names[3], "unavailable");
        assert_eq!(names[5], "reserved state 5h");
        assert_eq!(names[14..], ["offline", "transitioning"]);
    }
}
