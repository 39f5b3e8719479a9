//! Registers through which the driver meets firmware, the PHY and the chipset, and those which
//! one family needs for a reason of its own.

use super::Register;

registers! {
    /// CTRL's second address (82545GM, 82546GB §13.4.2).
    CTRL_DUP = 0x0004;
    /// SerDes control (82571, 82572).
    SCTL = 0x0024;
    /// Future extended NVM (ICH and PCH: where others have FCAL).
    FEXTNVM = 0x0028;
    /// Access to the link between controller and PHY (Kumeran).
    KMRNCTRLSTA = 0x0034;
    /// Future extended NVM 3 (PCH).
    FEXTNVM3 = 0x003c;
    /// Future extended NVM 7 (PCH: where the 82574 has IVAR).
    FEXTNVM7 = 0x00e4;
    /// Transmit configuration word: what 1000BASE-X advertises.
    TXCW = 0x0178;
    /// Receive configuration word: what 1000BASE-X hears.
    RXCW = 0x0180;
    /// Power states of the PHY (ICH and PCH).
    PHY_CTRL = 0x0f10;
    /// Dynamic clock and power of the IOSF port (I219).
    IOSFPC = 0x0f28;
    /// Packet buffer size (ICH8).
    PBS = 0x1008;
    /// What firmware has done since the reset.
    EEMNGCTL = 0x1010;
    /// Analogue reference of the link to the PHY (ICH and PCH).
    KABGTXD = 0x3004;
    /// Multicast table.
    MTA = 0x5200;
    /// VLAN filter table.
    VFTA = 0x5600;
    /// Wake-up control.
    WUC = 0x5800;
    /// Software semaphore; H2ME on I217 and later.
    SWSM = 0x5b50;
    /// Firmware semaphore and state.
    FWSM = 0x5b54;
    /// Which driver may free SWSM (82571, 82572).
    SWSM2 = 0x5b58;
    /// Who uses the EEPROM and the PHYs, software and firmware.
    SW_FW_SYNC = 0x5b5c;
    /// Future extended NVM 11 (I219).
    FEXTNVM11 = 0x5bbc;
    /// Future extended NVM 12 (I219).
    FEXTNVM12 = 0x5bc0;
    /// What the check sequence of noise starts from (82577, 82578).
    CRC_OFFSET = 0x5f50;
    /// The first word of the fuses (I210, I211).
    INVM = 0x12120;
}

/// Host to management engine: on chipsets since the I217 where others have SWSM.
pub const H2ME: Register = SWSM;

/// SWSM bits (82571 §13.4.4).
pub mod swsm {
    /// Taken by a driver; reading it as clear takes it.
    pub const SMBI: u32 = 1 << 0;
    /// Taken by software, against firmware.
    pub const SWESMBI: u32 = 1 << 1;
    /// A driver owns the part (82573).
    pub const DRV_LOAD: u32 = 1 << 3;
}

/// SWSM2 bits.
pub mod swsm2 {
    /// A driver has freed SMBI already.
    pub const LOCK: u32 = 1 << 1;
}

/// H2ME bits (I218 datasheet).
pub mod h2me {
    /// The PHY is in ultra low power.
    pub const ULP: u32 = 1 << 11;
    /// Do it now.
    pub const ENFORCE_SETTINGS: u32 = 1 << 12;
}

/// FWSM bits.
pub mod fwsm {
    /// The PHY may be reset (ICH and PCH).
    pub const RSPCIPHY: u32 = 1 << 6;
    /// Firmware is busy with ultra low power.
    pub const ULP_CFG_DONE: u32 = 1 << 10;
    /// Firmware runs.
    pub const FW_VALID: u32 = 1 << 15;
    /// Firmware is using the registers.
    pub const PCIM2PCI: u32 = 1 << 24;
}

/// SW_FW_SYNC bits (82576 §8.16.2).
pub mod sw_fw_sync {
    /// The EEPROM.
    pub const SW_EEP: u32 = 1 << 0;
    /// The PHY of port 0.
    pub const SW_PHY0: u32 = 1 << 1;
    /// The PHY of port 1.
    pub const SW_PHY1: u32 = 1 << 2;
    /// The PHY of port 2.
    pub const SW_PHY2: u32 = 1 << 5;
    /// The PHY of port 3.
    pub const SW_PHY3: u32 = 1 << 6;
    /// How far left firmware's bit of the same resource is.
    pub const FIRMWARE_SHIFT: u32 = 16;
}

/// EEMNGCTL bits.
pub mod eemngctl {
    /// Firmware has configured the PHY of port 0; the next bits are the next ports'.
    pub const CFG_DONE_PORT_0: u32 = 1 << 18;
}

/// KMRNCTRLSTA fields and registers behind it (ICH8, 80003ES2LAN).
pub mod kmrn {
    /// Where the register's number starts.
    pub const OFFSET_SHIFT: u32 = 16;
    /// Read.
    pub const REN: u32 = 1 << 21;
    /// Register: FIFO control.
    pub const FIFO_CTRL: u32 = 0;
    /// Register: time-outs.
    pub const TIMEOUTS: u32 = 4;
    /// Register: power states of the link.
    pub const K1_CONFIG: u32 = 7;
    /// K1_CONFIG: the link may sleep.
    pub const K1_ENABLE: u16 = 1 << 1;
    /// Register: in-band parameters.
    pub const INBAND_PARAM: u32 = 9;
    /// INBAND_PARAM: far-end loopback off.
    pub const IBIST_DISABLE: u16 = 1 << 9;
    /// Register: half-duplex control.
    pub const HD_CTRL: u32 = 16;
    /// HD_CTRL at 1000 Mbit/s.
    pub const HD_CTRL_1000: u16 = 0;
    /// HD_CTRL below.
    pub const HD_CTRL_10_100: u16 = 4;
    /// Register: operation mode, controller to PHY.
    pub const MAC2PHY_OPMODE: u32 = 31;
    /// MAC2PHY_OPMODE: a change of the cable is told as one of the link (PCH).
    pub const OPMODE_LSC2CSC: u16 = 1 << 1;
    /// MAC2PHY_OPMODE: electrical idle.
    pub const OPMODE_E_IDLE: u16 = 0x2000;
    /// FIFO_CTRL: both directions around the FIFO.
    pub const FIFO_BYPASS: u16 = 1 << 3 | 1 << 11;
}

/// TXCW bits (8254x §13.4.11).
pub mod txcw {
    /// Full duplex.
    pub const FD: u32 = 1 << 5;
    /// Symmetric pause.
    pub const PAUSE: u32 = 1 << 7;
    /// Asymmetric pause.
    pub const ASM_DIR: u32 = 1 << 8;
    /// Negotiate.
    pub const ANE: u32 = 1 << 31;
}

/// RXCW bits (8254x §13.4.12).
pub mod rxcw {
    /// What the other end advertises: pause bits as in TXCW.
    pub const PAUSE: u32 = 1 << 7;
    /// Asymmetric pause.
    pub const ASM_DIR: u32 = 1 << 8;
    /// An invalid symbol came; sticky.
    pub const IV: u32 = 1 << 27;
    /// Configuration words come: the other end negotiates.
    pub const C: u32 = 1 << 29;
    /// In step with the other end.
    pub const SYNCH: u32 = 1 << 30;
    /// Negotiation is complete.
    pub const ANC: u32 = 1 << 31;
}

/// SCTL values (82571).
pub mod sctl {
    /// SerDes loopback off: no reset ends it.
    pub const DISABLE_LOOPBACK: u32 = 0x0400;
}

/// FEXTNVM bits.
pub mod fextnvm {
    /// Software configures the PHY from the NVM.
    pub const SW_CONFIG: u32 = 1 << 27;
}

/// FEXTNVM3 fields.
pub mod fextnvm3 {
    /// How long the PHY's configuration takes.
    pub const PHY_CFG_COUNTER: u32 = 3 << 26;
    /// 50 ms.
    pub const PHY_CFG_COUNTER_50_MS: u32 = 1 << 27;
}

/// FEXTNVM4 fields.
pub mod fextnvm4 {
    /// How long beacons are.
    pub const BEACON_DURATION: u32 = 7;
    /// 8 µs.
    pub const BEACON_8_US: u32 = 7;
    /// 16 µs.
    pub const BEACON_16_US: u32 = 3;
}

/// FEXTNVM7 bits.
pub mod fextnvm7 {
    /// SMBus is not left on PERST.
    pub const DISABLE_SMB_PERST: u32 = 1 << 5;
}

/// FEXTNVM12 fields.
pub mod fextnvm12 {
    /// Which power state the PHY's clock may enter.
    pub const PHYPD_CTRL: u32 = 3 << 22;
    /// P1.
    pub const PHYPD_CTRL_P1: u32 = 2 << 22;
}

/// FEXTNVM11 bits.
pub mod fextnvm11 {
    /// Without the hardware's own fix for several requests.
    pub const DISABLE_MULR_FIX: u32 = 1 << 13;
}

/// PHY_CTRL bits.
pub mod phy_ctrl {
    /// Low power link up in D0.
    pub const D0A_LPLU: u32 = 1 << 1;
    /// No 1000 Mbit/s.
    pub const GBE_DISABLE: u32 = 1 << 6;
}

/// IOSFPC bits.
pub mod iosfpc {
    /// Bit 16: without it, and with more than two requests in TARC0, data is damaged (I219).
    pub const WITHOUT_NAME_16: u32 = 1 << 16;
}

/// KABGTXD bits.
pub mod kabgtxd {
    /// Bias that the specification updates ask for.
    pub const BGSQLBIAS: u32 = 5 << 16;
}
