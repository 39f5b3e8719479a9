//! Serial number arithmetic (RFC 1982), as CmdSN and StatSN need it (RFC 7143 §4.2.2).

use core::fmt;

/// Half of the number space: two numbers this far apart have no order (RFC 1982 §3.2).
const HALF: u32 = 1 << 31;

/// A 32-bit counter that wraps: CmdSN, StatSN and their Exp and Max companions.
///
/// There is no `Ord` on purpose: "before" holds only within half of the number space, and for
/// two numbers exactly 2^31 apart it is undefined. Here neither is before the other then, so
/// every comparison below answers `false`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SerialNumber(pub u32);

impl SerialNumber {
    /// The number that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The number before this one; MaxCmdSN = ExpCmdSN − 1 is a closed window (§11.4.11).
    #[must_use]
    pub const fn previous(self) -> Self {
        self.minus(1)
    }

    /// The number `count` steps on. RFC 1982 §3.1 defines this for `count` below 2^31.
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// The number `count` steps back.
    #[must_use]
    pub const fn minus(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// Steps from `earlier` to this number; at least 2^31 when `earlier` is not earlier.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether this number comes before `other` (RFC 1982 §3.2).
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        let distance = other.distance_from(self);
        distance != 0 && distance < HALF
    }

    /// Whether this number comes after `other`.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }

    /// Whether this number is `other` or comes before it.
    #[must_use]
    pub const fn is_at_or_before(self, other: Self) -> bool {
        other.distance_from(self) < HALF
    }

    /// Whether this number is `other` or comes after it.
    #[must_use]
    pub const fn is_at_or_after(self, other: Self) -> bool {
        other.is_at_or_before(self)
    }

    /// `other` when it comes after this number, else this number: how a received ExpCmdSN or
    /// MaxCmdSN is taken over (§4.2.2.1).
    #[must_use]
    pub const fn advanced_to(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::SerialNumber as Sn;
    use proptest::prelude::*;

    #[test]
    fn order_wraps() {
        assert!(Sn(0xffff_ffff).is_before(Sn(0)));
        assert!(Sn(0).is_after(Sn(0xffff_ffff)));
        assert!(Sn(5).is_at_or_before(Sn(5)));
        assert!(!Sn(5).is_before(Sn(5)));
        assert_eq!(Sn(0xffff_ffff).next(), Sn(0));
        assert_eq!(Sn(0).previous(), Sn(0xffff_ffff));
        assert_eq!(Sn(2).distance_from(Sn(0xffff_fffe)), 4);
    }

    #[test]
    fn half_the_space_apart_is_neither() {
        for start in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let (a, b) = (Sn(start), Sn(start).plus(1 << 31));
            assert!(!a.is_before(b) && !b.is_before(a));
            assert!(!a.is_at_or_before(b) && !a.is_at_or_after(b));
            assert_eq!(a.advanced_to(b), a);
        }
        assert!(Sn(0).is_before(Sn(0x7fff_ffff)));
        assert!(!Sn(0).is_before(Sn(0x8000_0001)));
    }

    #[test]
    fn numbers_advance_and_never_go_back() {
        assert_eq!(Sn(0xffff_fff0).advanced_to(Sn(3)), Sn(3));
        assert_eq!(Sn(3).advanced_to(Sn(0xffff_fff0)), Sn(3));
    }

    proptest! {
        #[test]
        fn at_most_one_of_before_after_equal(a: u32, b: u32) {
            let (a, b) = (Sn(a), Sn(b));
            let holds = u8::from(a.is_before(b)) + u8::from(a.is_after(b)) + u8::from(a == b);
            prop_assert!(holds <= 1);
            prop_assert_eq!(holds == 0, a.distance_from(b) == 1 << 31);
        }

        #[test]
        fn adding_moves_forward(a: u32, step in 1u32..(1 << 31)) {
            prop_assert!(Sn(a).is_before(Sn(a).plus(step)));
            prop_assert_eq!(Sn(a).plus(step).minus(step), Sn(a));
            prop_assert_eq!(Sn(a).plus(step).distance_from(Sn(a)), step);
        }
    }
}
