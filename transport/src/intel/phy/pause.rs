//! Who may send pause frames to whom (IEEE 802.3 annex 28B.3).

/// What one end advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// It obeys pause frames, and would like to send some.
    pub(crate) symmetric: bool,
    /// It would like one direction.
    pub(crate) asymmetric: bool,
}

impl Pause {
    /// What we advertise: all of it.
    pub(crate) const BOTH: Self = Self { symmetric: true, asymmetric: true };

    const PAUSE: u16 = 1 << 10;
    const ASM_DIR: u16 = 1 << 11;

    /// From registers 4 and 5 of a copper PHY.
    pub(super) const fn of_advertisement(value: u16) -> Self {
        Self { symmetric: value & Self::PAUSE != 0, asymmetric: value & Self::ASM_DIR != 0 }
    }

    /// For register 4.
    pub(super) const fn to_advertisement(self) -> u16 {
        (if self.symmetric { Self::PAUSE } else { 0 })
            | if self.asymmetric { Self::ASM_DIR } else { 0 }
    }
}

/// What came out of it, for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// We send pause frames.
    pub(crate) send: bool,
    /// We obey them.
    pub(crate) obey: bool,
}

/// The resolution of table 28B-3.
pub(crate) const fn resolve(ours: Pause, theirs: Pause) -> Agreement {
    let both_asymmetric = ours.asymmetric && theirs.asymmetric;
    if ours.symmetric && theirs.symmetric {
        Agreement { send: true, obey: true }
    } else if both_asymmetric && theirs.symmetric {
        Agreement { send: true, obey: false }
    } else if both_asymmetric && ours.symmetric {
        Agreement { send: false, obey: true }
    } else {
        Agreement { send: false, obey: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_table_28b_3() {
        let nobody = (false, false);
        // Ours: symmetric, asymmetric; theirs; then whether we send and obey.
        for (row, expected) in [
            ((0, 0, 0, 0), nobody),
            ((0, 0, 1, 1), nobody),
            ((0, 1, 0, 0), nobody),
            ((0, 1, 0, 1), nobody),
            ((0, 1, 1, 0), nobody),
            ((0, 1, 1, 1), (true, false)),
            ((1, 0, 0, 0), nobody),
            ((1, 0, 0, 1), nobody),
            ((1, 0, 1, 0), (true, true)),
            ((1, 0, 1, 1), (true, true)),
            ((1, 1, 0, 0), nobody),
            ((1, 1, 0, 1), (false, true)),
            ((1, 1, 1, 0), (true, true)),
            ((1, 1, 1, 1), (true, true)),
        ] {
            let (a, b, c, d) = row;
            let end = |symmetric, asymmetric| Pause {
                symmetric: symmetric == 1,
                asymmetric: asymmetric == 1,
            };
            let Agreement { send, obey } = resolve(end(a, b), end(c, d));
            assert_eq!((send, obey), expected, "{row:?}");
        }
    }

    #[test]
    fn advertisements_are_bits_10_and_11() {
        assert_eq!(Pause::BOTH.to_advertisement(), 0x0c00);
        assert_eq!(Pause::of_advertisement(0x4de1), Pause { symmetric: true, asymmetric: true });
        assert!(!Pause::of_advertisement(0x45e1).asymmetric);
    }
}
