//! Finding the logical units and asking each what it is, one command at a time.

use heapless::{String, Vec};

use super::disk::Disk;
use super::verdict::{Verdict, judge};
use crate::pdu::request::TaskAttribute;
use crate::pdu::response::Residual;
use crate::scsi::capacity::{Capacity, ReadCapacity10, ReadCapacity16};
use crate::scsi::inquiry::{BlockLimits, StandardInquiry, SupportedPages, UnitSerialNumber, page};
use crate::scsi::lun::LogicalUnitNumber;
use crate::scsi::mode::write_protected;
use crate::scsi::{cdb, report_luns};
use crate::session::{Command, Completion, TaskError, Transfer};
use crate::time::{Duration, Instant};

/// Room for parameter data; a REPORT LUNS list longer than this is cut here.
const SCRATCH: usize = 4096;
/// How often one step is repeated because the unit asked for it, apart from waiting for it to
/// become ready.
const TRIES: u8 = 16;
/// What is asked for where the answer has no fixed length.
const SHORT: u8 = 252;

/// How far the search for disks has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BringUpState {
    /// Commands are still to be answered.
    Working,
    /// Every logical unit was looked at.
    Finished,
}

/// What is asked next of the target, then of each logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    ReportLuns,
    Inquiry,
    Ready,
    Capacity16,
    Capacity10,
    Pages,
    SerialNumber,
    BlockLimits,
    WriteProtection,
    Finished,
}

#[derive(Debug)]
pub(super) struct BringUp<const LUNS: usize> {
    boot_lun: LogicalUnitNumber,
    luns: Vec<LogicalUnitNumber, LUNS>,
    next: usize,
    disks: Vec<Disk, LUNS>,
    step: Step,
    candidate: Disk,
    has_serial: bool,
    has_limits: bool,
    awaiting: bool,
    tries: u8,
    not_before: Instant,
    ready_timeout: Duration,
    ready_deadline: Option<Instant>,
    scratch: [u8; SCRATCH],
    /// Bytes of the present answer, and how many were asked for.
    received: usize,
    expected: u32,
}

const UNKNOWN: Disk = Disk {
    lun: LogicalUnitNumber::ZERO,
    vendor: String::new(),
    product: String::new(),
    revision: String::new(),
    serial: String::new(),
    block_size: 0,
    blocks: 0,
    physical_block_exponent: 0,
    read_only: false,
    max_transfer_blocks: u32::MAX,
};

impl<const LUNS: usize> BringUp<LUNS> {
    pub(super) fn new(boot_lun: LogicalUnitNumber, ready_timeout: Duration) -> Self {
        Self {
            boot_lun,
            luns: Vec::new(),
            next: 0,
            disks: Vec::new(),
            step: Step::ReportLuns,
            candidate: UNKNOWN,
            has_serial: false,
            has_limits: false,
            awaiting: false,
            tries: 0,
            not_before: Instant::ZERO,
            ready_timeout,
            ready_deadline: None,
            scratch: [0; SCRATCH],
            received: 0,
            expected: 0,
        }
    }

    /// From the beginning, with another target: nothing was found yet.
    pub(super) fn start_over(&mut self, boot_lun: LogicalUnitNumber) {
        self.boot_lun = boot_lun;
        self.luns.clear();
        self.next = 0;
        self.step = Step::ReportLuns;
        self.awaiting = false;
        self.tries = 0;
        self.not_before = Instant::ZERO;
        self.ready_deadline = None;
    }

    pub(super) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    pub(super) fn state(&self) -> BringUpState {
        match self.step {
            Step::Finished => BringUpState::Finished,
            _ => BringUpState::Working,
        }
    }

    /// When [`due`](Self::due) has something.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        (self.step != Step::Finished && !self.awaiting).then_some(self.not_before)
    }

    /// The command to submit now, if any.
    pub(super) fn due(&self, now: Instant) -> Option<Command> {
        if self.awaiting || now < self.not_before {
            return None;
        }
        let (cdb, length) = match self.step {
            Step::ReportLuns => (cdb::report_luns(SCRATCH as u32), SCRATCH as u32),
            Step::Inquiry => (cdb::inquiry(u16::from(SHORT)), u32::from(SHORT)),
            Step::Ready => (cdb::test_unit_ready(), 0),
            Step::Capacity16 => (cdb::read_capacity_16(32), 32),
            Step::Capacity10 => (cdb::read_capacity_10(), 8),
            Step::Pages => vital_product_data(page::SUPPORTED_PAGES),
            Step::SerialNumber => vital_product_data(page::UNIT_SERIAL_NUMBER),
            Step::BlockLimits => vital_product_data(page::BLOCK_LIMITS),
            Step::WriteProtection => (cdb::mode_sense_6(0x3f, SHORT), u32::from(SHORT)),
            Step::Finished => return None,
        };
        let lun = match self.step {
            Step::ReportLuns => LogicalUnitNumber::ZERO,
            _ => self.candidate.lun,
        };
        let transfer = if length == 0 { Transfer::None } else { Transfer::Read(length) };
        Some(Command { lun: lun.to_bytes(), cdb, transfer, attribute: TaskAttribute::Simple })
    }

    /// The command that was due is on its way.
    pub(super) fn submitted(&mut self, command: &Command) {
        self.awaiting = true;
        self.received = 0;
        self.expected = command.transfer.length();
    }

    pub(super) fn data_in(&mut self, offset: u32, bytes: &[u8]) {
        let Ok(start) = usize::try_from(offset) else { return };
        let Some(end) = start.checked_add(bytes.len()) else { return };
        if let Some(place) = self.scratch.get_mut(start..end) {
            place.copy_from_slice(bytes);
            // Data may come in any order that was agreed on.
            self.received = self.received.max(end);
        }
    }

    pub(super) fn completed(&mut self, now: Instant, completion: Completion, sense: &[u8]) {
        self.awaiting = false;
        match judge(completion, sense) {
            Verdict::Good(residual) => {
                // Bytes of an issue before the last do not count.
                if let Residual::Underflow(count) = residual {
                    let moved = usize::try_from(self.expected.saturating_sub(count)).unwrap_or(0);
                    self.received = self.received.min(moved);
                }
                self.answered();
            }
            Verdict::Again(pause, error) => self.again(now, pause, &error),
            Verdict::Failed(error) => {
                // An outage is the session's trouble, not the unit's: ask again when it is over.
                // Bounded, since a session that never completes a command ends.
                if matches!(completion, Completion::Failed(TaskError::Outage)) {
                    self.again(now, Duration::ZERO, &error);
                } else {
                    self.refused(&error);
                }
            }
        }
    }

    /// The unit is not yet willing. Becoming ready has a time limit of its own.
    fn again(&mut self, now: Instant, pause: Duration, error: &dyn core::fmt::Display) {
        let deadline = *self.ready_deadline.get_or_insert(now.after(self.ready_timeout));
        self.tries = self.tries.saturating_add(1);
        self.not_before = now.after(pause);
        let patient = if pause.is_zero() { self.tries < TRIES } else { now < deadline };
        if !patient {
            self.refused(error);
        }
    }

    /// The unit answered the present step.
    fn answered(&mut self) {
        let answer = self.scratch.get(..self.received).unwrap_or_default();
        let next = match self.step {
            Step::ReportLuns => {
                for lun in report_luns::luns(answer) {
                    if !self.luns.contains(&lun) && self.luns.push(lun).is_err() {
                        log::warn!(
                            "the target has more logical units than the {LUNS} there is room for"
                        );
                        break;
                    }
                }
                if !self.luns.contains(&self.boot_lun) {
                    if self.luns.is_full() {
                        let _ = self.luns.pop();
                    }
                    let _ = self.luns.push(self.boot_lun);
                }
                return self.next_unit();
            }
            Step::Inquiry => match StandardInquiry::parse(answer) {
                Some(inquiry) if inquiry.is_direct_access() => {
                    fill(&mut self.candidate.vendor, inquiry.vendor());
                    fill(&mut self.candidate.product, inquiry.product());
                    fill(&mut self.candidate.revision, inquiry.revision());
                    Step::Ready
                }
                _ => {
                    log::debug!("logical unit {} is no disk", self.candidate.lun);
                    return self.next_unit();
                }
            },
            Step::Ready => Step::Capacity16,
            Step::Capacity16 => match ReadCapacity16::parse(answer) {
                Ok(capacity) => self.measured(capacity),
                Err(error) => return self.refused(&error),
            },
            Step::Capacity10 => match ReadCapacity10::parse(answer) {
                Ok(ReadCapacity10::Capacity(capacity)) => self.measured(capacity),
                Ok(ReadCapacity10::TooLarge) => {
                    return self.refused(&"it needs READ CAPACITY(16) and refuses it");
                }
                Err(error) => return self.refused(&error),
            },
            Step::Pages => {
                let pages = SupportedPages::parse(answer);
                let has = |page| pages.is_some_and(|pages| pages.contains(page));
                self.has_serial = has(page::UNIT_SERIAL_NUMBER);
                self.has_limits = has(page::BLOCK_LIMITS);
                self.after_pages()
            }
            Step::SerialNumber => {
                if let Some(serial) = UnitSerialNumber::parse(answer) {
                    fill(&mut self.candidate.serial, serial.text());
                }
                self.after_serial()
            }
            Step::BlockLimits => {
                if let Some(limits) = BlockLimits::parse(answer)
                    && let Some(blocks) = limits.maximum_transfer_length()
                {
                    self.candidate.max_transfer_blocks = blocks;
                }
                Step::WriteProtection
            }
            Step::WriteProtection => {
                self.candidate.read_only = write_protected(answer).unwrap_or(false);
                return self.found();
            }
            Step::Finished => Step::Finished,
        };
        self.go(next);
    }

    /// The present step was refused: some steps have a substitute, others cost the unit its place.
    fn refused(&mut self, error: &dyn core::fmt::Display) {
        match self.step {
            Step::ReportLuns => {
                log::warn!("REPORT LUNS failed ({error}); only the boot LUN is looked at");
                self.luns.clear();
                let _ = self.luns.push(self.boot_lun);
                self.next_unit();
            }
            Step::Capacity16 => self.go(Step::Capacity10),
            Step::Pages => {
                let next = self.after_pages();
                self.go(next);
            }
            Step::SerialNumber => {
                let next = self.after_serial();
                self.go(next);
            }
            Step::BlockLimits => self.go(Step::WriteProtection),
            Step::WriteProtection => self.found(),
            Step::Inquiry | Step::Ready | Step::Capacity10 => {
                log::warn!(
                    "logical unit {} is left out: {:?} failed: {error}",
                    self.candidate.lun,
                    self.step
                );
                self.next_unit();
            }
            Step::Finished => {}
        }
    }

    fn measured(&mut self, capacity: Capacity) -> Step {
        self.candidate.block_size = capacity.block_size;
        self.candidate.blocks = capacity.blocks;
        self.candidate.physical_block_exponent = capacity.physical_block_exponent;
        Step::Pages
    }

    fn after_pages(&self) -> Step {
        if self.has_serial { Step::SerialNumber } else { self.after_serial() }
    }

    fn after_serial(&self) -> Step {
        if self.has_limits { Step::BlockLimits } else { Step::WriteProtection }
    }

    fn found(&mut self) {
        // As long as the list of LUNs: it cannot be full.
        let _ = self.disks.push(self.candidate.clone());
        self.next_unit();
    }

    fn next_unit(&mut self) {
        match self.luns.get(self.next) {
            Some(&lun) => {
                self.next = self.next.saturating_add(1);
                self.candidate = Disk { lun, ..UNKNOWN };
                (self.has_serial, self.has_limits) = (false, false);
                self.go(Step::Inquiry);
            }
            None => self.go(Step::Finished),
        }
    }

    fn go(&mut self, step: Step) {
        self.step = step;
        self.tries = 0;
        self.ready_deadline = None;
        self.not_before = Instant::ZERO;
    }
}

fn vital_product_data(page: u8) -> ([u8; 16], u32) {
    (cdb::inquiry_vital_product_data(page, u16::from(SHORT)), u32::from(SHORT))
}

/// Copies printable ASCII text, cut to what fits.
fn fill<const N: usize>(into: &mut String<N>, text: &[u8]) {
    into.clear();
    for &byte in text {
        let character =
            if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
        if into.push(character).is_err() {
            break;
        }
    }
}
