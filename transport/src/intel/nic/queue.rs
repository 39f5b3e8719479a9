//! The queues of the 82575 and later, which are turned on one by one, and what else only these
//! parts have (82575, 82576, 82580, I350 and I210 datasheets).

use core::time::Duration;

use super::error::{AttachError, Step};
use super::part::Part;
use crate::hal::{Hal, wait_until};
use crate::intel::registers::{
    DVMOLR, EEER, MANC, MPC, PHPM, RCTL, RFCTL, RLPML, RNBC, ROC, RXDCTL, Register, SRRCTL, TDWBAH,
    TDWBAL, TXDCTL, VT_CTL, dctl, dvmolr, eeer, manc, phpm, rctl, rfctl, srrctl,
};
use crate::pci::ConfigSpace;

/// Thresholds of the parts before the 82575: prefetch when 31 or fewer descriptors are held, fetch
/// one at a time, write back at once, counted in descriptors (8254x §13.4.46, 82574 §10.2.5.10).
pub(super) const THRESHOLDS: u32 =
    31 << dctl::PTHRESH_SHIFT | 1 << dctl::HTHRESH_SHIFT | dctl::GRAN;
/// All of them.
pub(super) const THRESHOLDS_MASK: u32 = 0x3f << dctl::PTHRESH_SHIFT
    | 0x3f << dctl::HTHRESH_SHIFT
    | 0x3f << dctl::WTHRESH_SHIFT
    | dctl::GRAN;
/// Thresholds of the others, always counted in descriptors: prefetch when 8 or fewer are held,
/// write back at once (I210 §8.9.8, §8.11.12).
const RECEIVE_THRESHOLDS: u32 = 8 << dctl::PTHRESH_SHIFT | 8 << dctl::HTHRESH_SHIFT;
const TRANSMIT_THRESHOLDS: u32 = 8 << dctl::PTHRESH_SHIFT | 1 << dctl::HTHRESH_SHIFT;

/// How long a queue may take to turn on or off.
const QUEUE_LIMIT: Duration = Duration::from_millis(10);

/// Nothing that saves power at the price of the link.
pub(super) fn start_control<H: Hal + Clone, C: ConfigSpace>(part: &Part<H, C>) {
    let quirks = part.model.family.quirks();
    if quirks.phy_power_management {
        part.registers.update(PHPM, phpm::GO_LINKD | phpm::D0_LPLU, 0);
    }
    if quirks.energy_efficient {
        part.registers.update(EEER, eeer::TX_LPI_EN | eeer::RX_LPI_EN | eeer::LPI_FC, 0);
    }
}

/// Turns the transmit queue on, its ring in place and its tail at zero (I210 §4.5.10).
pub(super) fn start_transmit<H: Hal + Clone, C: ConfigSpace>(
    part: &Part<H, C>,
) -> Result<(), AttachError> {
    // Completion is the done bit's matter.
    part.registers.write(TDWBAL, 0);
    part.registers.write(TDWBAH, 0);
    turn_on(part, TXDCTL, TRANSMIT_THRESHOLDS)
}

/// Turns the receive queue on, its ring in place and its tail at zero (I210 §4.5.9).
///
/// One queue and no virtual machines: whatever passes the filters comes here. So frames wait in
/// the packet memory while there is no descriptor, as flow control wants it (SRRCTL.DROP_EN off).
pub(super) fn start_receive<H: Hal + Clone, C: ConfigSpace>(
    part: &Part<H, C>,
    longest_frame: u32,
    buffer_size: usize,
) -> Result<(), AttachError> {
    let kilobytes = u32::try_from(buffer_size / srrctl::BSIZEPACKET_UNIT).unwrap_or(0);
    let registers = &part.registers;
    registers.write(VT_CTL, 0);
    registers.write(SRRCTL, kilobytes | srrctl::DESCTYPE_ONE_BUFFER);
    registers.write(RLPML, longest_frame);
    if part.model.family.quirks().strips_per_queue {
        registers.write(DVMOLR, dvmolr::STRCRC);
    }
    turn_on(part, RXDCTL, RECEIVE_THRESHOLDS)
}

/// The tail must not be written before the queue says that it is on.
fn turn_on<H: Hal + Clone, C: ConfigSpace>(
    part: &Part<H, C>,
    register: Register,
    thresholds: u32,
) -> Result<(), AttachError> {
    part.registers.write(register, thresholds | dctl::ENABLE);
    part.await_register(Step::Start, register, QUEUE_LIMIT, |value| value & dctl::ENABLE != 0)
}

/// Turns both queues off; one that stays on is ended by the reset that follows.
pub(super) fn stop<H: Hal + Clone, C: ConfigSpace>(part: &Part<H, C>) {
    for register in [RXDCTL, TXDCTL] {
        turn_off(part, register);
    }
}

fn turn_off<H: Hal + Clone, C: ConfigSpace>(part: &Part<H, C>, register: Register) {
    let registers = &part.registers;
    registers.update(register, dctl::ENABLE, 0);
    let _ = wait_until(&part.hal, QUEUE_LIMIT, || registers.read(register) & dctl::ENABLE == 0);
}

/// While firmware receives, frames come in before the queue is there, and the 82575 then hands
/// their remains on as the first ones: lets it drop everything for a moment, as too long.
pub(super) fn flush_receive_memory<H: Hal + Clone, C: ConfigSpace>(
    part: &Part<H, C>,
    longest_frame: u32,
) {
    let registers = &part.registers;
    if registers.read(MANC) & manc::RCV_TCO_EN == 0 {
        return;
    }
    let (queue, control, filter) =
        (registers.read(RXDCTL), registers.read(RCTL), registers.read(RFCTL));
    turn_off(part, RXDCTL);
    registers.write(RFCTL, filter & !rfctl::LEF);
    registers.write(RLPML, 0);
    let dropping = (control & !(rctl::EN | rctl::SBP)) | rctl::LPE;
    registers.write(RCTL, dropping);
    registers.write(RCTL, dropping | rctl::EN);
    registers.flush();
    part.hal.wait(Duration::from_millis(2));
    registers.write(RXDCTL, queue);
    let _ = wait_until(&part.hal, QUEUE_LIMIT, || registers.read(RXDCTL) & dctl::ENABLE != 0);
    registers.write(RCTL, control);
    registers.flush();
    registers.write(RLPML, longest_frame);
    registers.write(RFCTL, filter);
    // Reading clears: what was dropped just now was no loss.
    for counter in [ROC, RNBC, MPC] {
        let _ = registers.read(counter);
    }
}
