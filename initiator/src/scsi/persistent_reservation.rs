//! Persistent reservations: who may use a unit that several hosts reach (SPC-4 §5.13, §6.15,
//! §6.16).

use super::cdb::Cdb;

/// Bytes of the PERSISTENT RESERVE OUT parameter list.
pub const PARAMETER_LIST_LENGTH: u32 = 24;

/// What a reservation allows others (SPC-4 §6.15.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationType {
    /// Others read.
    WriteExclusive,
    /// Others do neither.
    ExclusiveAccess,
    /// Who is not registered reads.
    WriteExclusiveRegistrantsOnly,
    /// Who is not registered does neither.
    ExclusiveAccessRegistrantsOnly,
    /// As registrants only, and every registrant holds it.
    WriteExclusiveAllRegistrants,
    /// As registrants only, and every registrant holds it.
    ExclusiveAccessAllRegistrants,
}

impl ReservationType {
    /// From the TYPE field.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x1 => Self::WriteExclusive,
            0x3 => Self::ExclusiveAccess,
            0x5 => Self::WriteExclusiveRegistrantsOnly,
            0x6 => Self::ExclusiveAccessRegistrantsOnly,
            0x7 => Self::WriteExclusiveAllRegistrants,
            0x8 => Self::ExclusiveAccessAllRegistrants,
            _ => return None,
        })
    }

    /// The TYPE field.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::WriteExclusive => 0x1,
            Self::ExclusiveAccess => 0x3,
            Self::WriteExclusiveRegistrantsOnly => 0x5,
            Self::ExclusiveAccessRegistrantsOnly => 0x6,
            Self::WriteExclusiveAllRegistrants => 0x7,
            Self::ExclusiveAccessAllRegistrants => 0x8,
        }
    }
}

/// What PERSISTENT RESERVE OUT does; a key is the host's own choice and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveOut {
    /// Registers `new`, or changes the registered `key` to it; a `new` of 0 takes the registration
    /// away. `key` is 0 for who is not registered.
    Register {
        /// The key so far.
        key: u64,
        /// The key from now on.
        new: u64,
        /// Registrations outlive a loss of power (APTPL).
        persist: bool,
    },
    /// Registers `new`, whatever was registered before.
    RegisterAndIgnore {
        /// The key from now on.
        new: u64,
        /// Registrations outlive a loss of power (APTPL).
        persist: bool,
    },
    /// Reserves the unit.
    Reserve {
        /// The registered key.
        key: u64,
        /// What it allows others.
        kind: ReservationType,
    },
    /// Gives the reservation back.
    Release {
        /// The registered key.
        key: u64,
        /// As it was reserved.
        kind: ReservationType,
    },
    /// Takes every reservation and registration away.
    Clear {
        /// The registered key.
        key: u64,
    },
    /// Takes the registrations with the key `other` away, and their reservation over.
    Preempt {
        /// The registered key.
        key: u64,
        /// Whose registrations end.
        other: u64,
        /// What the new reservation allows others.
        kind: ReservationType,
        /// Their commands are aborted too.
        abort: bool,
    },
}

impl ReserveOut {
    /// The command.
    #[must_use]
    pub fn cdb(&self) -> Cdb {
        let (action, kind) = match *self {
            Self::Register { .. } => (0x00, None),
            Self::Reserve { kind, .. } => (0x01, Some(kind)),
            Self::Release { kind, .. } => (0x02, Some(kind)),
            Self::Clear { .. } => (0x03, None),
            Self::Preempt { kind, abort: false, .. } => (0x04, Some(kind)),
            Self::Preempt { kind, abort: true, .. } => (0x05, Some(kind)),
            Self::RegisterAndIgnore { .. } => (0x06, None),
        };
        let mut cdb = [0; 16];
        // SCOPE is 0: the logical unit.
        [cdb[0], cdb[1], cdb[2]] = [0x5f, action, kind.map_or(0, ReservationType::bits)];
        [cdb[5], cdb[6], cdb[7], cdb[8]] = PARAMETER_LIST_LENGTH.to_be_bytes();
        cdb
    }

    /// The parameter list that goes with it.
    #[must_use]
    pub fn parameter_list(&self) -> [u8; PARAMETER_LIST_LENGTH as usize] {
        let (key, service_action_key, persist) = match *self {
            Self::Register { key, new, persist } => (key, new, persist),
            Self::RegisterAndIgnore { new, persist } => (0, new, persist),
            Self::Reserve { key, .. } | Self::Release { key, .. } | Self::Clear { key } => {
                (key, 0, false)
            }
            Self::Preempt { key, other, .. } => (key, other, false),
        };
        let mut list = [0; PARAMETER_LIST_LENGTH as usize];
        let (keys, rest) = list.split_at_mut(16);
        let (first, second) = keys.split_at_mut(8);
        first.copy_from_slice(&key.to_be_bytes());
        second.copy_from_slice(&service_action_key.to_be_bytes());
        if let Some(flags) = rest.get_mut(4) {
            *flags = u8::from(persist);
        }
        list
    }
}

/// PERSISTENT RESERVE IN, READ KEYS: answered by [`ReservationKeys`].
#[must_use]
pub fn read_keys(allocation_length: u16) -> Cdb {
    reserve_in(0x00, allocation_length)
}

/// PERSISTENT RESERVE IN, READ RESERVATION: answered by [`Reservation`].
#[must_use]
pub fn read_reservation(allocation_length: u16) -> Cdb {
    reserve_in(0x01, allocation_length)
}

/// PERSISTENT RESERVE IN, REPORT CAPABILITIES: answered by [`ReservationCapabilities`].
#[must_use]
pub fn report_capabilities(allocation_length: u16) -> Cdb {
    reserve_in(0x02, allocation_length)
}

fn reserve_in(service_action: u8, allocation_length: u16) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[1]] = [0x5e, service_action];
    [cdb[7], cdb[8]] = allocation_length.to_be_bytes();
    cdb
}

/// The registered keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationKeys<'a> {
    /// PRGENERATION: grows with each change of the registrations.
    pub generation: u32,
    keys: &'a [[u8; 8]],
    /// Whether keys were left out for want of room.
    pub truncated: bool,
}

impl<'a> ReservationKeys<'a> {
    /// Takes the bytes that came; `None` without a header.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        let (generation, content, truncated) = content(parameter_data)?;
        let (keys, _) = content.as_chunks();
        Some(Self { generation, keys, truncated })
    }

    /// The keys that came whole, in the target's order.
    pub fn keys(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.keys.iter().map(|&key| u64::from_be_bytes(key))
    }
}

/// The reservation in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// PRGENERATION: grows with each change of the registrations.
    pub generation: u32,
    /// The holder's key and what it allows others; `None` without a reservation. A type that no
    /// standard names is the second `None`.
    pub held: Option<(u64, Option<ReservationType>)>,
}

impl Reservation {
    /// Takes the bytes that came; `None` without a header.
    #[must_use]
    pub fn parse(parameter_data: &[u8]) -> Option<Self> {
        let (generation, content, _) = content(parameter_data)?;
        let held = content.first_chunk::<16>().map(|descriptor| {
            let [k0, k1, k2, k3, k4, k5, k6, k7, _, _, _, _, _, scope_and_type, _, _] = *descriptor;
            let key = u64::from_be_bytes([k0, k1, k2, k3, k4, k5, k6, k7]);
            (key, ReservationType::from_bits(scope_and_type & 0x0f))
        });
        Some(Self { generation, held })
    }
}

/// What a unit can do about reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationCapabilities {
    /// PTPL_C: registrations can be made to outlive a loss of power.
    pub persist_possible: bool,
    /// PTPL_A: they do now.
    pub persist_active: bool,
    /// The types it knows, unless it does not tell (TMV).
    types: Option<[u8; 2]>,
}

impl ReservationCapabilities {
    /// Takes the bytes that came; `None` when they are too few.
    #[must_use]
    pub fn parse(parameter_data: &[u8]) -> Option<Self> {
        let &[_, _, possible, active, types_0, types_1] = parameter_data.first_chunk()?;
        Some(Self {
            persist_possible: possible & 0x01 != 0,
            persist_active: active & 0x01 != 0,
            types: (active & 0x80 != 0).then_some([types_0, types_1]),
        })
    }

    /// Whether the unit knows a type; `None` when it does not tell.
    #[must_use]
    pub fn knows(&self, kind: ReservationType) -> Option<bool> {
        self.types.map(|[types_0, types_1]| match kind {
            ReservationType::WriteExclusive => types_0 & 0x02 != 0,
            ReservationType::ExclusiveAccess => types_0 & 0x08 != 0,
            ReservationType::WriteExclusiveRegistrantsOnly => types_0 & 0x20 != 0,
            ReservationType::ExclusiveAccessRegistrantsOnly => types_0 & 0x40 != 0,
            ReservationType::WriteExclusiveAllRegistrants => types_0 & 0x80 != 0,
            ReservationType::ExclusiveAccessAllRegistrants => types_1 & 0x01 != 0,
        })
    }
}

/// PRGENERATION, what follows the header as far as ADDITIONAL LENGTH says and as came, and whether
/// less came than there is.
fn content(parameter_data: &[u8]) -> Option<(u32, &[u8], bool)> {
    let (&[g0, g1, g2, g3, l0, l1, l2, l3], content) = parameter_data.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let came = content.get(..length.min(content.len()))?;
    Some((u32::from_be_bytes([g0, g1, g2, g3]), came, length > content.len()))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const TYPES: [ReservationType; 6] = [
        ReservationType::WriteExclusive,
        ReservationType::ExclusiveAccess,
        ReservationType::WriteExclusiveRegistrantsOnly,
        ReservationType::ExclusiveAccessRegistrantsOnly,
        ReservationType::WriteExclusiveAllRegistrants,
        ReservationType::ExclusiveAccessAllRegistrants,
    ];

    #[test]
    fn commands_stand_as_the_standard_has_them() {
        assert_eq!(read_keys(0x0108)[..10], [0x5e, 0, 0, 0, 0, 0, 0, 1, 8, 0]);
        assert_eq!(read_reservation(24)[..2], [0x5e, 1]);
        assert_eq!(report_capabilities(8)[..2], [0x5e, 2]);
        let kind = ReservationType::ExclusiveAccessRegistrantsOnly;
        let (key, other) = (0x0102_0304_0506_0708, 0x1112_1314_1516_1718);
        let cdb = |out: ReserveOut| {
            let cdb = out.cdb();
            assert_eq!(cdb[5..10], [0, 0, 0, 24, 0]);
            [cdb[0], cdb[1], cdb[2]]
        };
        let register = ReserveOut::Register { key, new: other, persist: true };
        assert_eq!(cdb(register), [0x5f, 0, 0]);
        let mut list = [0; 24];
        list[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(ReserveOut::Clear { key }.parameter_list(), list);
        list[8..16].copy_from_slice(&[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
        let preempt = |abort| ReserveOut::Preempt { key, other, kind, abort };
        assert_eq!(preempt(false).parameter_list(), list);
        list[20] = 1;
        assert_eq!(register.parameter_list(), list);
        list[..8].fill(0);
        let ignore = ReserveOut::RegisterAndIgnore { new: other, persist: true };
        assert_eq!((cdb(ignore), ignore.parameter_list()), ([0x5f, 6, 0], list));
        assert_eq!(cdb(ReserveOut::Reserve { key, kind }), [0x5f, 1, 6]);
        assert_eq!(cdb(ReserveOut::Release { key, kind }), [0x5f, 2, 6]);
        assert_eq!(cdb(ReserveOut::Clear { key }), [0x5f, 3, 0]);
        assert_eq!(cdb(preempt(false)), [0x5f, 4, 6]);
        assert_eq!(cdb(preempt(true)), [0x5f, 5, 6]);
    }

    #[test]
    fn types_go_there_and_back() {
        for kind in TYPES {
            assert_eq!(ReservationType::from_bits(kind.bits()), Some(kind));
        }
        assert_eq!(ReservationType::from_bits(2), None);
    }

    #[test]
    fn keys_are_read_as_far_as_they_came() {
        let mut data = Vec::from([0, 0, 0, 7, 0, 0, 0, 16]);
        data.extend_from_slice(&[1; 8]);
        data.extend_from_slice(&[2; 8]);
        data.extend_from_slice(&[3; 8]);
        let keys = |data: &[u8]| {
            let keys = ReservationKeys::parse(data).unwrap();
            assert_eq!(keys.generation, 7);
            (keys.keys().collect::<Vec<_>>(), keys.truncated)
        };
        let (one, two) = (u64::from_be_bytes([1; 8]), u64::from_be_bytes([2; 8]));
        assert_eq!(keys(&data), (Vec::from([one, two]), false), "what follows is none of it");
        assert_eq!(keys(&data[..23]), (Vec::from([one]), true));
        data[4] = 0xff;
        assert_eq!(keys(&data[..24]), (Vec::from([one, two]), true));
        assert_eq!(ReservationKeys::parse(&data[..7]), None);
    }

    #[test]
    fn the_reservation_is_read() {
        let none = [0, 0, 0, 3, 0, 0, 0, 0];
        assert_eq!(Reservation::parse(&none), Some(Reservation { generation: 3, held: None }));
        let mut data = [0; 24];
        (data[3], data[7], data[15], data[21]) = (3, 16, 9, 0x05);
        let held = Some((9, Some(ReservationType::WriteExclusiveRegistrantsOnly)));
        assert_eq!(Reservation::parse(&data).unwrap().held, held);
        data[21] = 0x0f;
        assert_eq!(Reservation::parse(&data).unwrap().held, Some((9, None)));
        assert_eq!(Reservation::parse(&data[..23]).unwrap().held, None);
        assert_eq!(Reservation::parse(&data[..7]), None);
    }

    #[test]
    fn capabilities_are_read() {
        let some = ReservationCapabilities::parse(&[0, 8, 0x01, 0x80, 0x22, 0x01, 0, 0]).unwrap();
        assert!(some.persist_possible && !some.persist_active);
        let known: Vec<_> =
            TYPES.into_iter().filter(|&kind| some.knows(kind) == Some(true)).collect();
        assert_eq!(known, [TYPES[0], TYPES[2], TYPES[5]]);
        let untold = ReservationCapabilities::parse(&[0, 8, 0, 0x01, 0xff, 0xff]).unwrap();
        assert!(untold.persist_active);
        assert_eq!(untold.knows(TYPES[0]), None);
        assert_eq!(ReservationCapabilities::parse(&[0, 8, 0, 0, 0]), None);
    }
}
