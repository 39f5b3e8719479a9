//! The registers of the part, by name, and the only code that reaches them.

use core::ops::Deref;
use core::ptr::NonNull;
use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::gate::Gate;

/// Offset of a register from the start of BAR 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    /// The register at an offset, a multiple of 4.
    #[must_use]
    pub const fn at(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset from the start of BAR 0, in bytes.
    #[must_use]
    pub const fn offset(self) -> u32 {
        self.0
    }

    /// The name the datasheets use, for messages; `"?"` for one of an array.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut names = NAMES.iter().chain(shared::NAMES);
        names.find(|(register, _)| *register == self).map_or("?", |(_, name)| name)
    }
}

/// How much of BAR 0 is mapped.
pub const WINDOW: usize = 0x2_0000;

/// A window of registers, mapped by a [`Mapping`].
///
/// Every access is 32 bits wide and in program order.
pub(crate) struct Registers<H: Hal> {
    hal: H,
    base: NonNull<u8>,
    len: usize,
    /// Firmware uses them too: see [`Mapping::arbitrate`].
    arbitrated: bool,
}

impl<H: Hal> Registers<H> {
    pub(crate) fn read(&self, register: Register) -> u32 {
        match self.pointer(register) {
            // SAFETY: `pointer` is aligned and inside the mapping, which is there as long as a
            // `&self` can be had: see `Mapping` and `Reach`.
            Some(pointer) => unsafe { self.hal.read(pointer) },
            None => u32::MAX,
        }
    }

    pub(crate) fn write(&self, register: Register, value: u32) {
        if self.arbitrated {
            self.await_firmware();
        }
        if let Some(pointer) = self.pointer(register) {
            // SAFETY: as in `read`.
            unsafe { self.hal.write(pointer, value) }
        }
    }

    /// Reads, clears and sets bits, writes.
    pub(crate) fn update(&self, register: Register, clear: u32, set: u32) {
        self.write(register, (self.read(register) & !clear) | set);
    }

    /// Writes a tail. Where firmware uses the registers too, a write may be lost or mixed with its
    /// own; a tail that stays wrong would let the part use memory that is not ours, so both
    /// directions are stopped then, which the watchdog notices.
    pub(crate) fn write_tail(&self, register: Register, value: u32) {
        const ATTEMPTS: u32 = 10;
        self.write(register, value);
        if !self.arbitrated {
            return;
        }
        for _ in 0..ATTEMPTS {
            if self.read(register) == value {
                return;
            }
            self.write(register, value);
        }
        log::warn!("firmware keeps {} from being written", register.name());
        self.update(RCTL, rctl::EN, 0);
        self.update(TCTL, tctl::EN, 0);
    }

    /// Waits until firmware is done with the registers (FWSM.PCIM2PCI), at most 100 ms.
    fn await_firmware(&self) {
        const LIMIT: Duration = Duration::from_millis(100);
        let _ = wait_until(&self.hal, LIMIT, || self.read(FWSM) & fwsm::PCIM2PCI == 0);
    }

    /// Makes posted writes reach the part.
    pub(crate) fn flush(&self) {
        let _ = self.read(STATUS);
    }

    /// The same window, for a [`Reach`].
    fn again(&self) -> Self
    where
        H: Clone,
    {
        let Self { hal, base, len, arbitrated } = self;
        Self { hal: hal.clone(), base: *base, len: *len, arbitrated: *arbitrated }
    }

    fn pointer(&self, register: Register) -> Option<NonNull<u32>> {
        let offset = usize::try_from(register.0).ok()?;
        if offset & 3 != 0 || offset > self.len.saturating_sub(4) {
            return None;
        }
        // SAFETY: the mapping is `len` bytes long and `offset` was just seen to lie inside.
        Some(unsafe { self.base.byte_add(offset) }.cast())
    }
}

// SAFETY: the hosting kernel promises that a mapping holds on every processor; `base` is only
// ever passed to the `Hal`.
unsafe impl<H: Hal + Send> Send for Registers<H> {}

// SAFETY: as above, and an access is one call of the `Hal`, which is shared as it allows. Which
// registers two processors may touch at a time is their callers' matter: a handler reads and
// clears causes, everything else is the owner's.
unsafe impl<H: Hal + Sync> Sync for Registers<H> {}

/// The owner of a register window: unmaps it when dropped.
pub(crate) struct Mapping<H: Hal> {
    registers: Registers<H>,
    /// Through which a handler reaches them, and its ticket.
    gate: Option<(&'static Gate, u32)>,
    /// A handler was inside and did not return.
    is_held: bool,
}

impl<H: Hal> Mapping<H> {
    /// Maps `len` bytes, a multiple of 4, at `bus_address`, or `None` when the hosting kernel
    /// cannot.
    pub(crate) fn new(hal: H, bus_address: u64, len: usize) -> Option<Self> {
        let base = hal.map(bus_address, len)?;
        let mapping = Self {
            registers: Registers { hal, base, len, arbitrated: false },
            gate: None,
            is_held: false,
        };
        (base.addr().get() & 3 == 0).then_some(mapping)
    }

    /// Makes every write wait for firmware that uses the registers at the same time (82579).
    pub(crate) fn arbitrate(&mut self) {
        self.registers.arbitrated = true;
    }

    /// Lets handlers reach the registers through `gate`, until the mapping is dropped.
    pub(crate) fn reach(&mut self, gate: &'static Gate) -> Reach<H>
    where
        H: Clone,
    {
        let ticket = match self.gate {
            Some((open, ticket)) if core::ptr::eq(open, gate) && open.is_valid(ticket) => ticket,
            _ => {
                self.shut_handlers_out();
                let ticket = gate.open();
                self.gate = Some((gate, ticket));
                ticket
            }
        };
        Reach { registers: self.registers.again(), gate, ticket }
    }

    /// Shuts handlers out for good, and waits for those who are inside: from now on only the
    /// owner touches the registers, unless a handler does not return.
    pub(crate) fn shut_handlers_out(&mut self) {
        /// A handler takes microseconds; a processor that a hypervisor stopped, longer.
        const LIMIT: Duration = Duration::from_millis(100);
        let Some((gate, ticket)) = self.gate.take() else { return };
        gate.shut(ticket);
        self.is_held |= !wait_until(&self.registers.hal, LIMIT, || gate.is_empty());
    }
}

impl<H: Hal> Deref for Mapping<H> {
    type Target = Registers<H>;

    fn deref(&self) -> &Registers<H> {
        &self.registers
    }
}

impl<H: Hal> Drop for Mapping<H> {
    fn drop(&mut self) {
        self.shut_handlers_out();
        if self.is_held {
            log::warn!("a handler did not return: the registers that it uses stay mapped");
            return;
        }
        let Registers { hal, base, len, .. } = &self.registers;
        // SAFETY: `base` is of a map of this length. No pointer into it outlives `self`: every
        // `Reach` was shut out above, and nobody is inside.
        unsafe { hal.unmap(*base, *len) }
    }
}

/// A handler's way to the registers, while their [`Mapping`] lives; harmless afterwards.
pub(crate) struct Reach<H: Hal> {
    registers: Registers<H>,
    gate: &'static Gate,
    ticket: u32,
}

impl<H: Hal> Reach<H> {
    /// Uses the registers, or does nothing when their mapping is gone or about to go.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Registers<H>) -> R) -> Option<R> {
        let _inside = self.gate.enter(self.ticket)?;
        Some(f(&self.registers))
    }
}

impl<H: Hal + Clone> Clone for Reach<H> {
    fn clone(&self) -> Self {
        Self { registers: self.registers.again(), gate: self.gate, ticket: self.ticket }
    }
}

/// Declares registers with their datasheet names.
macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $offset:literal;)*) => {
        $($(#[$doc])* pub const $name: Register = Register($offset);)*
        pub(super) const NAMES: &[(Register, &str)] = &[$(($name, stringify!($name)),)*];
    };
}

mod shared;

pub use shared::*;

// Queue 0 of the 82575 and later has its registers from 0xc000 and 0xe000 on; the addresses below,
// which all parts have had since the 82543, reach the same ones (82576 §8.10.5, I210 §8.9.5).
registers! {
    /// Device control.
    CTRL = 0x0000;
    /// Device status.
    STATUS = 0x0008;
    /// EEPROM and flash control.
    EECD = 0x0010;
    /// EEPROM read.
    EERD = 0x0014;
    /// Extended device control.
    CTRL_EXT = 0x0018;
    /// Management data input/output: the PHY's registers.
    MDIC = 0x0020;
    /// Future extended NVM 4: how long beacons are (PCH, where EECD and EERD are gone).
    FEXTNVM4 = 0x0024;
    /// Flow control frame address, low.
    FCAL = 0x0028;
    /// Flow control frame address, high.
    FCAH = 0x002c;
    /// Flow control frame type.
    FCT = 0x0030;
    /// Interrupt causes; reading clears.
    ICR = 0x00c0;
    /// Interrupt throttling.
    ITR = 0x00c4;
    /// Interrupt causes, set by software.
    ICS = 0x00c8;
    /// Interrupt mask set.
    IMS = 0x00d0;
    /// Interrupt mask clear.
    IMC = 0x00d8;
    /// Causes that clear themselves when their MSI-X message leaves (82574).
    EIAC = 0x00dc;
    /// Causes that are masked by themselves when acknowledged or sent.
    IAM = 0x00e0;
    /// Which MSI-X vector each cause uses (82574).
    IVAR = 0x00e4;
    /// Interrupt throttling of MSI-X vector 0 (82574).
    EITR_82574 = 0x00e8;
    /// Receive control.
    RCTL = 0x0100;
    /// Flow control transmit timer.
    FCTTV = 0x0170;
    /// Transmit control.
    TCTL = 0x0400;
    /// Transmit inter-packet gap.
    TIPG = 0x0410;
    /// Which PHY MDIC reaches, and how (82580 and later).
    MDICNFG = 0x0e04;
    /// What the PHY does for less power (82580 and later).
    PHPM = 0x0e14;
    /// Energy efficient Ethernet (I350 and later).
    EEER = 0x0e30;
    /// What the PHY offers when it negotiates (I350 and later).
    IPCNFG = 0x0e38;
    /// Who owns the PHY's management bus (82574: bit 5).
    EXTCNF_CTRL = 0x0f00;
    /// Packet buffer allocation.
    PBA = 0x1000;
    /// Errors of the packet memory, counted and corrected (I217 and later).
    PBECCSTS = 0x100c;
    /// Errors of the packet memory, corrected (82571).
    PBA_ECC = 0x1100;
    /// General purpose interrupt enable: how causes become interrupts (82576 and later).
    GPIE = 0x1514;
    /// Extended interrupt causes, set by software (82575 and later).
    EICS = 0x1520;
    /// Extended interrupt mask set (82575 and later).
    EIMS = 0x1524;
    /// Extended interrupt mask clear (82575 and later).
    EIMC = 0x1528;
    /// Extended causes that clear themselves when their message leaves (82575 and later).
    EIAC_82575 = 0x152c;
    /// Extended causes that are masked by themselves (82575 and later).
    EIAM = 0x1530;
    /// Extended interrupt causes (82575 and later).
    EICR = 0x1580;
    /// Which causes use MSI-X vector 0 (82575).
    MSIXBM0 = 0x1600;
    /// Interrupt throttling of vector 0 (82575 and later).
    EITR_82575 = 0x1680;
    /// Which vector queues 0 and 1 use (82576 and later).
    IVAR0 = 0x1700;
    /// Which vector other causes use (82576 and later).
    IVAR_MISC = 0x1740;
    /// Flow control receive threshold, low.
    FCRTL = 0x2160;
    /// Flow control receive threshold, high.
    FCRTH = 0x2168;
    /// Packet memory for reception (82576 and later).
    RXPBS = 0x2404;
    /// Receive descriptor base, low.
    RDBAL = 0x2800;
    /// Receive descriptor base, high.
    RDBAH = 0x2804;
    /// Receive descriptor ring length in bytes.
    RDLEN = 0x2808;
    /// How the receive queue splits frames and replicates them (82575 and later).
    SRRCTL = 0x280c;
    /// Receive descriptor head.
    RDH = 0x2810;
    /// Receive descriptor tail.
    RDT = 0x2818;
    /// Receive interrupt delay.
    RDTR = 0x2820;
    /// Receive descriptor control.
    RXDCTL = 0x2828;
    /// Receive interrupt absolute delay.
    RADV = 0x282c;
    /// Packet memory for transmission (82576 and later).
    TXPBS = 0x3404;
    /// Transmit descriptor base, low.
    TDBAL = 0x3800;
    /// Transmit descriptor base, high.
    TDBAH = 0x3804;
    /// Transmit descriptor ring length in bytes.
    TDLEN = 0x3808;
    /// Transmit descriptor head.
    TDH = 0x3810;
    /// Transmit descriptor tail.
    TDT = 0x3818;
    /// Transmit descriptor control.
    TXDCTL = 0x3828;
    /// Where the head is written back instead of DD, low; bit 0 turns that on (82575 and later).
    TDWBAL = 0x3838;
    /// Where the head is written back, high (82575 and later).
    TDWBAH = 0x383c;
    /// Transmit arbitration, queue 0.
    TARC0 = 0x3840;
    /// Transmit descriptor control, queue 1.
    TXDCTL1 = 0x3928;
    /// Transmit arbitration, queue 1.
    TARC1 = 0x3940;
    /// Missed frames: no room in the packet buffer; reading clears.
    MPC = 0x4010;
    /// Frames for which there was no descriptor; reading clears.
    RNBC = 0x40a0;
    /// Frames that were too long; reading clears.
    ROC = 0x40ac;
    /// Receive checksum control.
    RXCSUM = 0x5000;
    /// Longest frame that is received (82575 and later).
    RLPML = 0x5004;
    /// Receive filter control.
    RFCTL = 0x5008;
    /// Receive address 0, low.
    RAL0 = 0x5400;
    /// Receive address 0, high.
    RAH0 = 0x5404;
    /// Multiple receive queues command.
    MRQC = 0x5818;
    /// Virtual machines' queues (82576 and later).
    VT_CTL = 0x581c;
    /// Management control.
    MANC = 0x5820;
    /// PCI Express control.
    GCR = 0x5b00;
    /// PCI Express control 2.
    GCR2 = 0x5b64;
    /// Debug bits of the receive filter.
    FFLT_DBG = 0x5f04;
    /// Offloads of receive queue 0 (I350 and later).
    DVMOLR = 0xc038;
}

impl Register {
    /// Word `index` of a table that starts here, `stride` bytes apart.
    pub(crate) const fn nth(self, index: u32, stride: u32) -> Self {
        Self(self.0.wrapping_add(index.wrapping_mul(stride)))
    }
}

/// CTRL bits.
pub mod ctrl {
    /// No new bus requests by the part (GIO master disable).
    pub const MASTER_DISABLE: u32 = 1 << 2;
    /// Link reset (fibre and SerDes).
    pub const LRST: u32 = 1 << 3;
    /// Automatic speed detection.
    pub const ASDE: u32 = 1 << 5;
    /// Full duplex.
    pub const FD: u32 = 1 << 0;
    /// Set link up.
    pub const SLU: u32 = 1 << 6;
    /// Force speed.
    pub const FRCSPD: u32 = 1 << 11;
    /// Force duplex.
    pub const FRCDPX: u32 = 1 << 12;
    /// LANPHYPC, which powers a chipset's PHY, is what LANPHYPC_VALUE says.
    pub const LANPHYPC_OVERRIDE: u32 = 1 << 16;
    /// See LANPHYPC_OVERRIDE.
    pub const LANPHYPC_VALUE: u32 = 1 << 17;
    /// Software-defined pin 2: data of the PHY's bus (82543).
    pub const MDIO: u32 = 1 << 20;
    /// Software-defined pin 3: clock of the PHY's bus (82543).
    pub const MDC: u32 = 1 << 21;
    /// Pin 2 is an output.
    pub const MDIO_DIR: u32 = 1 << 24;
    /// Pin 3 is an output.
    pub const MDC_DIR: u32 = 1 << 25;
    /// Reset; clears itself.
    pub const RST: u32 = 1 << 26;
    /// Receive flow control.
    pub const RFCE: u32 = 1 << 27;
    /// Transmit flow control.
    pub const TFCE: u32 = 1 << 28;
    /// Strip and insert VLAN tags.
    pub const VME: u32 = 1 << 30;
    /// Reset of the PHY.
    pub const PHY_RST: u32 = 1 << 31;
}

/// STATUS bits.
pub mod status {
    /// Full duplex.
    pub const FD: u32 = 1 << 0;
    /// Link up.
    pub const LU: u32 = 1 << 1;
    /// Which port of its package it is: shift of two bits.
    pub const FUNCTION_SHIFT: u32 = 2;
    /// The reset is done with the configuration (ICH10 and later).
    pub const LAN_INIT_DONE: u32 = 1 << 9;
    /// The PHY was reset; writing zero clears.
    pub const PHYRA: u32 = 1 << 10;
    /// Shift of the two speed bits.
    pub const SPEED_SHIFT: u32 = 6;
    /// The transmitter obeys a pause frame.
    pub const TXOFF: u32 = 1 << 4;
    /// Bus requests of the part are still under way (GIO master enable status).
    pub const MASTER_ENABLED: u32 = 1 << 19;
}

/// EECD bits.
pub mod eecd {
    /// EEPROM clock.
    pub const SK: u32 = 1 << 0;
    /// EEPROM select.
    pub const CS: u32 = 1 << 1;
    /// Data to the EEPROM.
    pub const DI: u32 = 1 << 2;
    /// Data from the EEPROM.
    pub const DO: u32 = 1 << 3;
    /// Software wants the EEPROM.
    pub const REQ: u32 = 1 << 6;
    /// Software has it.
    pub const GNT: u32 = 1 << 7;
    /// The EEPROM has 256 words, not 64.
    pub const SIZE: u32 = 1 << 9;
    /// A flash is there (I210).
    pub const FLASH_DETECTED: u32 = 1 << 19;
    /// The EEPROM was read after reset.
    pub const AUTO_RD: u32 = 1 << 9;
}

/// CTRL_EXT bits.
pub mod ctrl_ext {
    /// The controller is linked through SMBus (PCH).
    pub const FORCE_SMBUS: u32 = 1 << 11;
    /// LANPHYPC has reached the PHY (I217 and later).
    pub const LPCD: u32 = 1 << 2;
    /// The speed detection is passed by.
    pub const SPD_BYPS: u32 = 1 << 15;
    /// What the link runs on (23:22): zero is a PHY.
    pub const LINK_MODE: u32 = 3 << 22;
    /// Read the EEPROM again.
    pub const EE_RST: u32 = 1 << 13;
    /// Reading EICR clears it (82575: IRCA).
    pub const IRCA: u32 = 1 << 0;
    /// Causes in IAM or EIAM are masked when their MSI-X message leaves.
    pub const EIAME: u32 = 1 << 24;
    /// Reading ICR masks the causes in IAM.
    pub const IAME: u32 = 1 << 27;
    /// A driver owns the part.
    pub const DRV_LOAD: u32 = 1 << 28;
    /// Masking a cause clears its vector's pending bit.
    pub const PBA_CLR: u32 = 1 << 31;
}

/// EXTCNF_CTRL bits.
pub mod extcnf_ctrl {
    /// Firmware writes the OEM bits (82577, 82578).
    pub const OEM_WRITE_ENABLE: u32 = 1 << 3;
    /// Software owns the PHY and the NVM (ICH and PCH).
    pub const SWFLAG: u32 = 1 << 5;
    /// Hardware does not configure the PHY by itself (82579).
    pub const GATE_PHY_CFG: u32 = 1 << 7;
    /// Software owns the management bus.
    pub const MDIO_SW_OWNERSHIP: u32 = 1 << 5;
}

/// RCTL bits.
pub mod rctl {
    /// Receiver enabled.
    pub const EN: u32 = 1 << 1;
    /// Accept broadcast.
    pub const BAM: u32 = 1 << 15;
    /// Store frames with errors.
    pub const SBP: u32 = 1 << 2;
    /// Accept all multicast (IPv6 neighbour discovery without a filter table).
    pub const MPE: u32 = 1 << 4;
    /// Accept frames longer than standard.
    pub const LPE: u32 = 1 << 5;
    /// Strip the frame check sequence.
    pub const SECRC: u32 = 1 << 26;
    /// BSIZE counts in 16 times as much.
    pub const BSEX: u32 = 1 << 25;
    /// BSIZE: buffers of 2048 bytes.
    pub const BSIZE_2048: u32 = 0 << 16;
    /// BSIZE with [`BSEX`]: buffers of 16384 bytes.
    pub const BSIZE_16384: u32 = 1 << 16;
    /// BSIZE with [`BSEX`]: buffers of 8192 bytes.
    pub const BSIZE_8192: u32 = 2 << 16;
    /// BSIZE with [`BSEX`]: buffers of 4096 bytes.
    pub const BSIZE_4096: u32 = 3 << 16;
}

/// TCTL fields.
pub mod tctl {
    /// Transmitter enabled.
    pub const EN: u32 = 1 << 1;
    /// Pad short packets.
    pub const PSP: u32 = 1 << 3;
    /// Collision threshold 15.
    pub const CT: u32 = 15 << 4;
    /// Collision distance for full duplex.
    pub const COLD: u32 = 0x3f << 12;
    /// Retransmit on late collision.
    pub const RTLC: u32 = 1 << 24;
}

/// RXCSUM bits.
pub mod rxcsum {
    /// Check the IPv4 header.
    pub const IPOFL: u32 = 1 << 8;
    /// Check TCP and UDP.
    pub const TUOFL: u32 = 1 << 9;
}

/// RFCTL bits.
pub mod rfctl {
    /// NFS write filter off.
    pub const NFSW_DIS: u32 = 1 << 6;
    /// NFS read filter off.
    pub const NFSR_DIS: u32 = 1 << 7;
    /// No interrupt for TCP acknowledgements.
    pub const ACK_DIS: u32 = 1 << 12;
    /// Extended descriptors on receive.
    pub const EXTEN: u32 = 1 << 15;
    /// No parsing of IPv6 extension headers: malformed ones hang reception.
    pub const IPV6_EX_DIS: u32 = 1 << 16;
    /// Nor of the newer ones.
    pub const NEW_IPV6_EXT_DIS: u32 = 1 << 17;
    /// Frames are filtered by their length (82575).
    pub const LEF: u32 = 1 << 18;
}

/// RXDCTL and TXDCTL fields.
pub mod dctl {
    /// Descriptors held below which the part fetches more (PTHRESH).
    pub const PTHRESH_SHIFT: u32 = 0;
    /// Descriptors that memory must have for that (HTHRESH).
    pub const HTHRESH_SHIFT: u32 = 8;
    /// Descriptors gathered before they are written back (WTHRESH); zero: none.
    pub const WTHRESH_SHIFT: u32 = 16;
    /// The thresholds count descriptors, not cache lines (before 82575).
    pub const GRAN: u32 = 1 << 24;
    /// The queue is on (82575 and later).
    pub const ENABLE: u32 = 1 << 25;
}

/// SRRCTL fields.
pub mod srrctl {
    /// BSIZEPACKET counts in these.
    pub const BSIZEPACKET_UNIT: usize = 1024;
    /// DESCTYPE: advanced, one buffer.
    pub const DESCTYPE_ONE_BUFFER: u32 = 1 << 25;
}

/// DVMOLR bits.
pub mod dvmolr {
    /// Strip the frame check sequence.
    pub const STRCRC: u32 = 1 << 31;
}

/// PHPM bits (I210 §8.27.1).
pub mod phpm {
    /// A low-power link although the system is awake (D0LPLU).
    pub const D0_LPLU: u32 = 1 << 1;
    /// The link goes down while nobody needs it.
    pub const GO_LINKD: u32 = 1 << 5;
}

/// EEER bits (I210 §8.24.11).
pub mod eeer {
    /// Low-power idle when there is nothing to send.
    pub const TX_LPI_EN: u32 = 1 << 16;
    /// The other end may do so.
    pub const RX_LPI_EN: u32 = 1 << 17;
    /// Low-power idle while flow control holds transmission.
    pub const LPI_FC: u32 = 1 << 18;
}

/// PBA_ECC bits.
pub mod pba_ecc {
    /// Correct errors of one bit.
    pub const CORR_EN: u32 = 1 << 0;
}

/// PBECCSTS bits.
pub mod pbeccsts {
    /// Correct errors of one bit.
    pub const ECC_ENABLE: u32 = 1 << 16;
}

/// FFLT_DBG bits.
pub mod fflt_dbg {
    /// The wake-up clock is never gated.
    pub const DONT_GATE_WAKE_DMA_CLK: u32 = 1 << 12;
}

/// MANC bits.
pub mod manc {
    /// The PHY must not be reset.
    pub const BLK_PHY_RST: u32 = 1 << 18;
    /// Firmware receives frames, too.
    pub const RCV_TCO_EN: u32 = 1 << 17;
    /// The part answers ARP by itself.
    pub const ARP_EN: u32 = 1 << 13;
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};
    use std::vec::Vec;

    use super::*;
    use crate::hal::{Clock, DmaLayout, DmaRegion};

    /// Registers that nobody reads, and what was unmapped.
    #[derive(Default)]
    struct Machine {
        unmapped: RefCell<Vec<usize>>,
        now: Cell<Duration>,
        reads: Cell<usize>,
    }

    impl Clock for Machine {
        fn now(&self) -> Duration {
            self.now.set(self.now.get().saturating_add(Duration::from_millis(1)));
            self.now.get()
        }
    }

    // SAFETY: pointers are never followed: `read` and `write` are overridden.
    unsafe impl Hal for Machine {
        fn allocate(&self, _: DmaLayout) -> Option<DmaRegion> {
            None
        }

        unsafe fn free(&self, _: DmaRegion) {}

        fn map(&self, bus_address: u64, _: usize) -> Option<NonNull<u8>> {
            NonNull::new(core::ptr::without_provenance_mut(bus_address as usize))
        }

        unsafe fn unmap(&self, pointer: NonNull<u8>, _: usize) {
            self.unmapped.borrow_mut().push(pointer.addr().get());
        }

        unsafe fn read(&self, _: NonNull<u32>) -> u32 {
            assert!(self.unmapped.borrow().is_empty(), "read after it was unmapped");
            self.reads.set(self.reads.get() + 1);
            7
        }

        unsafe fn write(&self, _: NonNull<u32>, _: u32) {}
    }

    #[test]
    fn a_reach_ends_with_its_mapping() {
        static GATE: Gate = Gate::new();
        let machine = Machine::default();
        let mut mapping = Mapping::new(&machine, 0x1000, 16).unwrap();
        let reach = mapping.reach(&GATE);
        let same = mapping.reach(&GATE);
        assert_eq!(reach.with(|registers| registers.read(STATUS)), Some(7));
        assert_eq!(same.clone().with(|registers| registers.read(STATUS)), Some(7));
        drop(mapping);
        assert_eq!(*machine.unmapped.borrow(), [0x1000]);
        assert_eq!(reach.with(|registers| registers.read(STATUS)), None);
        assert_eq!(same.with(|registers| registers.read(STATUS)), None);
    }

    #[test]
    fn another_gate_ends_the_first() {
        static FIRST: Gate = Gate::new();
        static SECOND: Gate = Gate::new();
        let machine = Machine::default();
        let mut mapping = Mapping::new(&machine, 0x1000, 16).unwrap();
        let first = mapping.reach(&FIRST);
        let second = mapping.reach(&SECOND);
        assert_eq!(first.with(|_| ()), None);
        assert_eq!(second.with(|_| ()), Some(()));
    }

    #[test]
    fn registers_that_a_handler_is_using_stay_mapped() {
        static GATE: Gate = Gate::new();
        let machine = Machine::default();
        let mut mapping = Mapping::new(&machine, 0x1000, 16).unwrap();
        let reach = mapping.reach(&GATE);
        let before = machine.now();
        // As if the handler were stopped in the middle, on another processor.
        let value = reach.with(|registers| {
            drop(mapping);
            registers.read(STATUS)
        });
        assert_eq!(value, Some(7));
        assert!(machine.unmapped.borrow().is_empty(), "kept for good");
        assert!(machine.now() - before < Duration::from_millis(200), "and not waited for");
        assert_eq!(reach.with(|_| ()), None);
    }

    #[test]
    fn registers_outside_of_the_window_are_not_reached() {
        let machine = Machine::default();
        let mapping = Mapping::new(&machine, 0x1000, 16).unwrap();
        assert_eq!(mapping.read(Register::at(12)), 7);
        assert_eq!(mapping.read(Register::at(16)), u32::MAX);
        assert_eq!(mapping.read(Register::at(6)), u32::MAX, "not aligned");
        assert_eq!(machine.reads.get(), 1);
        assert!(Mapping::new(&machine, 0x1002, 16).is_none());
    }
}
