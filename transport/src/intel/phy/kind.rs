//! Which PHY it is, by its identifier.

/// A PHY's identifier: the maker's and the model's bits above, the revision in the last four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhyId(pub(super) u32);

/// PHYs which are programmed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Marvell 88E1000 to 88E1011 beside 82543 to 82546, 88E1111 beside the 82573.
    M88,
    /// Inside 82541, 82547, 82571, 82572, ICH8 and ICH9.
    Igp,
    /// Inside 82574 and 82583, beside ICH9 and ICH10 (82567).
    Bm,
    /// 82563 beside the 80003ES2LAN.
    Gg82563,
    /// 82562: 10 and 100 Mbit/s.
    Ife,
    /// 82577.
    I82577,
    /// 82578.
    I82578,
    /// 82579.
    I82579,
    /// I217 and later.
    I217,
    /// Inside 82580, I350.
    I82580,
    /// None of these: programmed by what IEEE 802.3 gives every PHY.
    Unknown,
}

impl PhyId {
    pub(super) const fn kind(self) -> Kind {
        match self.0 & !0xf {
            0x0141_0c20 | 0x0141_0c30 | 0x0141_0c50 | 0x0141_0cc0 => Kind::M88,
            0x02a8_0380 | 0x02a8_0390 => Kind::Igp,
            0x0141_0cb0 => Kind::Bm,
            0x0141_0ca0 => Kind::Gg82563,
            0x02a8_0310 | 0x02a8_0320 | 0x02a8_0330 => Kind::Ife,
            0x0154_0050 => Kind::I82577,
            0x004d_d040 => Kind::I82578,
            0x0154_0090 => Kind::I82579,
            0x0154_00a0 => Kind::I217,
            0x0154_03a0 | 0x0154_03b0 => Kind::I82580,
            _ => Kind::Unknown,
        }
    }

    pub(super) const fn revision(self) -> u32 {
        self.0 & 0xf
    }

    /// 88E1111, beside the 82573L.
    pub(super) const fn is_88e1111(self) -> bool {
        self.0 & !0xf == 0x0141_0cc0
    }

    /// The second revision of the BM PHY, inside the 82574.
    pub(super) const fn is_bm_of_82574(self) -> bool {
        self.0 == 0x0141_0cb1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_boards_have_their_phys() {
        assert_eq!(PhyId(0x02a8_0380).kind(), Kind::Igp, "82572EI");
        assert_eq!(PhyId(0x0141_0cb1).kind(), Kind::Bm, "82574L");
        assert!(PhyId(0x0141_0cb1).is_bm_of_82574());
        assert_eq!(PhyId(0x004d_d042).kind(), Kind::I82578, "82578DM");
        assert_eq!(PhyId(0x004d_d042).revision(), 2);
        assert_eq!(PhyId(0).kind(), Kind::Unknown);
        assert_eq!(PhyId(u32::MAX).kind(), Kind::Unknown);
    }
}
