//! Where the registers are and what their bits mean, from the datasheets and not from the driver:
//! a mistake there must not be repeated here.
//!
//! Numbers are those of the 8254x manual §13, the 82574 datasheet §10, the ICH9 and PCH manuals
//! and the I210 datasheet §8.

#![allow(missing_docs, reason = "the datasheets' names, at the datasheets' offsets")]

pub const CTRL: u32 = 0x0000;
pub const CTRL_DUP: u32 = 0x0004;
pub const STATUS: u32 = 0x0008;
pub const EECD: u32 = 0x0010;
pub const EERD: u32 = 0x0014;
pub const CTRL_EXT: u32 = 0x0018;
pub const MDIC: u32 = 0x0020;
pub const KMRNCTRLSTA: u32 = 0x0034;
pub const ICR: u32 = 0x00c0;
pub const ICS: u32 = 0x00c8;
pub const IMS: u32 = 0x00d0;
pub const IMC: u32 = 0x00d8;
pub const EIAC: u32 = 0x00dc;
pub const IAM: u32 = 0x00e0;
pub const IVAR: u32 = 0x00e4;
pub const RCTL: u32 = 0x0100;
pub const TXCW: u32 = 0x0178;
pub const RXCW: u32 = 0x0180;
pub const TCTL: u32 = 0x0400;
pub const EXTCNF_CTRL: u32 = 0x0f00;
pub const PBA: u32 = 0x1000;
pub const EEMNGCTL: u32 = 0x1010;
pub const GPIE: u32 = 0x1514;
pub const EICS: u32 = 0x1520;
pub const EIMS: u32 = 0x1524;
pub const EIMC: u32 = 0x1528;
pub const EIAC_82575: u32 = 0x152c;
pub const EIAM: u32 = 0x1530;
pub const EICR: u32 = 0x1580;
pub const MSIXBM0: u32 = 0x1600;
pub const IVAR0: u32 = 0x1700;
pub const IVAR_MISC: u32 = 0x1740;
pub const RDBAL: u32 = 0x2800;
pub const RDBAH: u32 = 0x2804;
pub const RDLEN: u32 = 0x2808;
pub const SRRCTL: u32 = 0x280c;
pub const RDH: u32 = 0x2810;
pub const RDT: u32 = 0x2818;
pub const RXDCTL: u32 = 0x2828;
pub const TDBAL: u32 = 0x3800;
pub const TDBAH: u32 = 0x3804;
pub const TDLEN: u32 = 0x3808;
pub const TDH: u32 = 0x3810;
pub const TDT: u32 = 0x3818;
pub const TXDCTL: u32 = 0x3828;
pub const TARC0: u32 = 0x3840;
pub const TARC1: u32 = 0x3940;
pub const MPC: u32 = 0x4010;
pub const RNBC: u32 = 0x40a0;
pub const STATISTICS: core::ops::Range<u32> = 0x4000..0x4100;
pub const RXCSUM: u32 = 0x5000;
pub const RLPML: u32 = 0x5004;
pub const RFCTL: u32 = 0x5008;
pub const RAL0: u32 = 0x5400;
pub const RAH0: u32 = 0x5404;
pub const SWSM: u32 = 0x5b50;
pub const FWSM: u32 = 0x5b54;
pub const SW_FW_SYNC: u32 = 0x5b5c;
/// 82580 and I350: the address of the PHY.
pub const MDICNFG: u32 = 0x0e04;
/// I210: EECD and EERD moved.
pub const EECD_I210: u32 = 0x1_2010;
pub const EERD_I210: u32 = 0x1_2014;
/// I210 and I211: words of the fuses inside.
pub const INVM: u32 = 0x1_2120;

pub mod ctrl {
    pub const GIO_MASTER_DISABLE: u32 = 1 << 2;
    pub const SLU: u32 = 1 << 6;
    pub const RST: u32 = 1 << 26;
    pub const VME: u32 = 1 << 30;
    pub const PHY_RST: u32 = 1 << 31;
}

pub mod status {
    pub const FD: u32 = 1 << 0;
    pub const LU: u32 = 1 << 1;
    pub const FUNCTION_SHIFT: u32 = 2;
    pub const SPEED_1000: u32 = 2 << 6;
    pub const LAN_INIT_DONE: u32 = 1 << 9;
    pub const PHYRA: u32 = 1 << 10;
    pub const GIO_MASTER_ENABLE: u32 = 1 << 19;
}

pub mod eecd {
    pub const SK: u32 = 1 << 0;
    pub const CS: u32 = 1 << 1;
    pub const DI: u32 = 1 << 2;
    pub const DO: u32 = 1 << 3;
    pub const REQ: u32 = 1 << 6;
    pub const GNT: u32 = 1 << 7;
    pub const PRES: u32 = 1 << 8;
    pub const AUTO_RD: u32 = 1 << 9;
    pub const FLASH_DETECTED: u32 = 1 << 19;
}

pub mod rctl {
    pub const EN: u32 = 1 << 1;
    pub const SBP: u32 = 1 << 2;
    pub const UPE: u32 = 1 << 3;
    pub const MPE: u32 = 1 << 4;
    pub const LPE: u32 = 1 << 5;
    pub const BAM: u32 = 1 << 15;
    pub const BSIZE_SHIFT: u32 = 16;
    pub const BSEX: u32 = 1 << 25;
    pub const SECRC: u32 = 1 << 26;
}

pub mod tctl {
    pub const EN: u32 = 1 << 1;
}

/// RXDCTL and TXDCTL of the 82575 and later.
pub const QUEUE_ENABLE: u32 = 1 << 25;
/// TARC0: the queue takes part in arbitration.
pub const TARC_ENABLE: u32 = 1 << 10;
pub const RFCTL_EXTEN: u32 = 1 << 15;

pub mod ctrl_ext {
    pub const EE_RST: u32 = 1 << 13;
    pub const EIAME: u32 = 1 << 24;
    pub const IAME: u32 = 1 << 27;
    pub const DRV_LOAD: u32 = 1 << 28;
}

pub mod icr {
    pub const TXDW: u32 = 1 << 0;
    pub const TXQE: u32 = 1 << 1;
    pub const LSC: u32 = 1 << 2;
    pub const RXSEQ: u32 = 1 << 3;
    pub const RXDMT0: u32 = 1 << 4;
    pub const RXO: u32 = 1 << 6;
    pub const RXT0: u32 = 1 << 7;
    pub const RXQ0: u32 = 1 << 20;
    pub const RXQ1: u32 = 1 << 21;
    pub const TXQ0: u32 = 1 << 22;
    pub const TXQ1: u32 = 1 << 23;
    pub const OTHER: u32 = 1 << 24;
    pub const DRSTA: u32 = 1 << 30;
    pub const INT_ASSERTED: u32 = 1 << 31;
}

pub mod txcw {
    pub const ANE: u32 = 1 << 31;
}

pub mod rxcw {
    pub const C: u32 = 1 << 29;
    pub const SYNCH: u32 = 1 << 30;
}
