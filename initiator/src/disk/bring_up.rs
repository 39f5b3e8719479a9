//! Finding the logical units and asking each what it is, one command at a time.

use heapless::{Deque, String, Vec};

use super::disk::{Disk, DiskId};
use super::examine::{Examined, Purpose};
use super::fault::{NoBootDisk, UnitFault};
use super::identity::Identity;
use super::lun_list::LunList;
use super::patience::Patience;
use super::request::RequestError;
use super::verdict::{News, Repeat, Verdict, judge};
use crate::pdu::request::TaskAttribute;
use crate::pdu::response::Residual;
use crate::scsi::capacity::{Capacity, CapacityError, ReadCapacity10, ReadCapacity16};
use crate::scsi::cdb;
use crate::scsi::inquiry::{
    DeviceIdentification, StandardInquiry, SupportedPages, UnitSerialNumber, page,
};
use crate::scsi::lun::LogicalUnitNumber;
use crate::scsi::mode::ModeHeader;
use crate::scsi::provisioning::{BlockLimits, LogicalBlockProvisioning};
use crate::scsi::target_port_groups::{AccessState, report_target_port_groups, target_port_groups};
use crate::session::{Command, Completion, TaskError, Transfer};
use crate::time::{Duration, Instant};

/// Room for parameter data; only the list of logical units is longer, and is read as it comes.
const SCRATCH: usize = 1024;
/// Pause before a unit that becomes ready is asked again.
const NOT_READY_PAUSE: Duration = Duration::from_millis(100);
/// How often one unit is asked everything anew because it says that it changed meanwhile.
const FRESH_STARTS: u8 = 8;
/// How often one step is asked again after an outage.
const OUTAGES: u8 = 16;
/// What is asked for where the answer has no fixed length.
const SHORT: u8 = 252;
/// The same where a list may be longer.
const LONG: u16 = SCRATCH as u16;

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
pub(super) enum Step {
    ReportLuns,
    Inquiry,
    Start,
    Ready,
    Capacity16,
    Capacity10,
    Pages,
    SerialNumber,
    Identification,
    BlockLimits,
    Provisioning,
    AccessStates,
    ModeSense6,
    ModeSense10,
    Finished,
}

/// Steps that only some units can take.
const OPTIONAL_STEPS: usize = 5;

#[derive(Debug)]
pub(super) struct BringUp<const LUNS: usize> {
    luns: LunList<LUNS>,
    next: usize,
    pub(super) disks: Vec<Disk, LUNS>,
    boot_fault: Option<UnitFault>,
    pub(super) purpose: Purpose,
    pub(super) examined: Option<Examined>,
    pub(super) step: Step,
    pub(super) candidate: Disk,
    /// Whether the candidate has target port groups to report, and which of them, and which port,
    /// its answers come through.
    has_groups: bool,
    own_group: Option<u16>,
    own_port: Option<u16>,
    /// What the candidate is still to be asked, ahead of the last step.
    to_ask: Deque<Step, OPTIONAL_STEPS>,
    pub(super) awaiting: bool,
    /// What is awaited is of no use: the session before had the rest of the answers.
    pub(super) is_stale: bool,
    patience: Patience,
    outages: u8,
    /// The unit was started already, and was asked everything anew so often.
    pub(super) started: bool,
    fresh_starts: u8,
    not_before: Instant,
    ready_timeout: Duration,
    ready_deadline: Option<Instant>,
    scratch: [u8; SCRATCH],
    /// Bytes of the present answer, and how many were asked for.
    received: usize,
    expected: u32,
}

impl<const LUNS: usize> BringUp<LUNS> {
    pub(super) fn new(boot_lun: LogicalUnitNumber, ready_timeout: Duration) -> Self {
        Self {
            luns: LunList::new(boot_lun),
            next: 0,
            disks: Vec::new(),
            boot_fault: None,
            purpose: Purpose::Search,
            examined: None,
            step: Step::ReportLuns,
            candidate: Disk::unknown(LogicalUnitNumber::ZERO),
            has_groups: false,
            own_group: None,
            own_port: None,
            to_ask: Deque::new(),
            awaiting: false,
            is_stale: false,
            patience: Patience::FRESH,
            outages: 0,
            started: false,
            fresh_starts: 0,
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
        *self = Self::new(boot_lun, self.ready_timeout);
    }

    pub(super) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    /// The boot unit, in the target's form once that is known.
    pub(super) fn boot_lun(&self) -> LogicalUnitNumber {
        self.luns.boot()
    }

    /// The disk of the boot unit, or why there is none.
    pub(super) fn boot_disk(&self) -> Result<DiskId, NoBootDisk<'_>> {
        let lun = self.luns.boot();
        let place = self.disks.iter().position(|disk| disk.lun == lun);
        place.and_then(|place| u16::try_from(place).ok()).map(DiskId).ok_or(NoBootDisk {
            lun,
            is_listed: self.luns.lists_boot(),
            fault: self.boot_fault,
            units: self.luns.units(),
        })
    }

    pub(super) fn state(&self) -> BringUpState {
        match (self.step, self.purpose) {
            (Step::Finished, _) | (_, Purpose::Again { .. }) => BringUpState::Finished,
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
        let page =
            |page, length| (cdb::inquiry_vital_product_data(page, length), u32::from(length));
        let short = u16::from(SHORT);
        let (cdb, length) = match self.step {
            Step::ReportLuns => {
                let allocation = self.luns.allocation();
                (cdb::report_luns(allocation), allocation)
            }
            Step::Inquiry => (cdb::inquiry(short), u32::from(short)),
            Step::Start => (cdb::start_unit(), 0),
            Step::Ready => (cdb::test_unit_ready(), 0),
            Step::Capacity16 => (cdb::read_capacity_16(32), 32),
            Step::Capacity10 => (cdb::read_capacity_10(), 8),
            Step::Pages => page(page::SUPPORTED_PAGES, short),
            Step::SerialNumber => page(page::UNIT_SERIAL_NUMBER, short),
            Step::Identification => page(page::DEVICE_IDENTIFICATION, LONG),
            Step::BlockLimits => page(page::BLOCK_LIMITS, short),
            Step::Provisioning => page(page::LOGICAL_BLOCK_PROVISIONING, short),
            Step::AccessStates => (report_target_port_groups(u32::from(LONG)), u32::from(LONG)),
            Step::ModeSense6 => (cdb::mode_sense_6(0x3f, SHORT), u32::from(SHORT)),
            Step::ModeSense10 => (cdb::mode_sense_10(0x3f, short), u32::from(short)),
            Step::Finished => return None,
        };
        let lun = match self.step {
            // Answered there whether or not it is a unit (SPC-4 §6.33).
            Step::ReportLuns => LogicalUnitNumber::ZERO,
            _ => self.candidate.lun,
        };
        let transfer = if length == 0 { Transfer::None } else { Transfer::Read(length) };
        let attribute = TaskAttribute::Simple;
        Some(Command { lun: lun.to_bytes(), cdb, transfer, attribute, idempotent: true })
    }

    /// The command that was due is on its way.
    pub(super) fn submitted(&mut self, command: &Command) {
        self.awaiting = true;
        self.received = 0;
        self.expected = command.transfer.length();
    }

    pub(super) fn data_in(&mut self, offset: u32, bytes: &[u8]) {
        if self.step == Step::ReportLuns {
            return self.luns.take(offset, bytes);
        }
        let Ok(start) = usize::try_from(offset) else { return };
        let Some(end) = start.checked_add(bytes.len()) else { return };
        if let Some(place) = self.scratch.get_mut(start..end) {
            place.copy_from_slice(bytes);
            // Data may come in any order that was agreed on.
            self.received = self.received.max(end);
        }
    }

    /// Takes the end of the command; what the unit told besides is for the caller.
    pub(super) fn completed(&mut self, now: Instant, completion: Completion, sense: &[u8]) -> News {
        self.awaiting = false;
        if core::mem::take(&mut self.is_stale) {
            self.begin_unit();
            return News::Nothing;
        }
        match judge(completion, sense) {
            Verdict::Good(residual) => {
                let moved = match residual {
                    Residual::Underflow(count) => self.expected.saturating_sub(count),
                    Residual::None | Residual::Overflow(_) => self.expected,
                };
                // Bytes of an issue before the last do not count.
                self.received = self.received.min(usize::try_from(moved).unwrap_or(0));
                match self.step {
                    Step::ReportLuns if self.luns.ended(moved) => self.go(Step::ReportLuns),
                    Step::ReportLuns => self.next_unit(),
                    _ => self.answered(),
                }
                News::Nothing
            }
            Verdict::Again { repeat, news, error } => {
                self.again(now, repeat, news, error);
                news
            }
            Verdict::Failed(error) => {
                // An outage is the session's trouble, not the unit's: ask again when it is over.
                // Bounded, since a session that never completes a command ends.
                if matches!(completion, Completion::Failed(TaskError::Outage))
                    && self.outages < OUTAGES
                {
                    self.outages = self.outages.saturating_add(1);
                } else {
                    self.refused(error);
                }
                News::Nothing
            }
        }
    }

    /// The unit did not execute the command. Becoming ready has a time limit of its own.
    fn again(&mut self, now: Instant, repeat: Repeat, news: News, error: RequestError) {
        let due = match repeat {
            Repeat::WhenReady => {
                let deadline = *self.ready_deadline.get_or_insert(now.after(self.ready_timeout));
                (now < deadline).then(|| now.after(NOT_READY_PAUSE))
            }
            Repeat::WhenStarted
                if !self.started && !matches!(self.step, Step::ReportLuns | Step::Inquiry) =>
            {
                self.started = true;
                self.to_ask.clear();
                return self.go(Step::Start);
            }
            Repeat::WhenStarted => None,
            _ => self.patience.again(now, repeat),
        };
        let Some(due) = due else { return self.refused(error) };
        self.not_before = due;
        // What it said before may no longer be so.
        let changed = matches!(news, News::UnitChanged | News::UnitsChanged)
            && repeat == Repeat::AfterEvent
            && self.step != Step::ReportLuns;
        if changed && self.fresh_starts < FRESH_STARTS {
            self.fresh_starts = self.fresh_starts.saturating_add(1);
            self.ask_anew();
        }
    }

    /// The unit answered the present step.
    fn answered(&mut self) {
        let answer = self.scratch.get(..self.received).unwrap_or_default();
        let next = match self.step {
            Step::Inquiry => match StandardInquiry::parse(answer) {
                Some(inquiry) if inquiry.is_direct_access() => {
                    fill(&mut self.candidate.vendor, inquiry.vendor());
                    fill(&mut self.candidate.product, inquiry.product());
                    fill(&mut self.candidate.revision, inquiry.revision());
                    self.has_groups = inquiry.has_target_port_groups();
                    let starts = self.is_to_be_started();
                    self.started |= starts;
                    if starts { Step::Start } else { Step::Ready }
                }
                Some(inquiry) => {
                    let qualifier = inquiry.peripheral_qualifier() << 5;
                    let fault = UnitFault::NoDisk(qualifier | inquiry.peripheral_device_type());
                    return self.left_out(fault);
                }
                None => return self.left_out(UnitFault::BadInquiry),
            },
            Step::Start => Step::Ready,
            Step::Ready => Step::Capacity16,
            Step::Capacity16 => match ReadCapacity16::parse(answer) {
                Ok(capacity) => self.measured(capacity),
                Err(CapacityError::Truncated) => Step::Capacity10,
                Err(error) => return self.left_out(UnitFault::Capacity(error)),
            },
            Step::Capacity10 => match ReadCapacity10::parse(answer) {
                Ok(ReadCapacity10::Capacity(capacity)) => self.measured(capacity),
                Ok(ReadCapacity10::TooLarge) => return self.left_out(UnitFault::TooLarge),
                Err(error) => return self.left_out(UnitFault::Capacity(error)),
            },
            Step::Pages => {
                let pages = SupportedPages::parse(answer);
                let steps = [
                    (Step::SerialNumber, page::UNIT_SERIAL_NUMBER),
                    (Step::Identification, page::DEVICE_IDENTIFICATION),
                    (Step::BlockLimits, page::BLOCK_LIMITS),
                    (Step::Provisioning, page::LOGICAL_BLOCK_PROVISIONING),
                ];
                for (step, page) in steps {
                    if pages.is_some_and(|pages| pages.contains(page)) {
                        // As long as the list of such steps: it cannot be full.
                        let _ = self.to_ask.push_back(step);
                    }
                }
                return self.vital_pages_known();
            }
            Step::SerialNumber => {
                if let Some(serial) = UnitSerialNumber::parse(answer) {
                    fill(&mut self.candidate.serial, serial.text());
                }
                self.next_to_ask()
            }
            Step::Identification => {
                if let Some(page) = DeviceIdentification::parse(answer) {
                    self.candidate.identity = Identity::best(&page);
                    self.own_port = of_port(&page, 4);
                    self.own_group = of_port(&page, 5);
                }
                self.next_to_ask()
            }
            Step::BlockLimits => {
                if let Some(limits) = BlockLimits::parse(answer) {
                    let most = limits.maximum_transfer_length();
                    self.candidate.max_transfer_blocks = most.unwrap_or(u32::MAX);
                    self.candidate.optimal_transfer_blocks = limits.optimal_transfer_length();
                    self.candidate.provisioning.limit(limits);
                }
                self.next_to_ask()
            }
            Step::Provisioning => {
                if let Some(page) = LogicalBlockProvisioning::parse(answer) {
                    self.candidate.provisioning.refine(page, self.candidate.blocks);
                }
                self.next_to_ask()
            }
            Step::AccessStates => {
                self.candidate.access_state = own_state(answer, self.own_group, self.own_port);
                self.next_to_ask()
            }
            Step::ModeSense6 => return self.found(ModeHeader::parse_6(answer)),
            Step::ModeSense10 => return self.found(ModeHeader::parse_10(answer)),
            Step::ReportLuns | Step::Finished => return,
        };
        self.go(next);
    }

    /// The present step was refused: some steps have a substitute, others cost the unit its place.
    fn refused(&mut self, error: RequestError) {
        let failed = |command| UnitFault::Failed { command, error };
        match self.step {
            Step::ReportLuns => {
                log::warn!("REPORT LUNS failed ({error}); only the boot LUN is looked at");
                self.luns.without();
                self.next_unit();
            }
            Step::Inquiry => self.left_out(failed("INQUIRY")),
            Step::Start => self.go(Step::Ready),
            // Who holds a reservation may still let others ask for the capacity (SPC-4 §5.13).
            Step::Ready if error == RequestError::Reserved => self.go(Step::Capacity16),
            Step::Ready => self.left_out(failed("TEST UNIT READY")),
            Step::Capacity16 => self.go(Step::Capacity10),
            Step::Capacity10 => self.left_out(failed("READ CAPACITY(10)")),
            Step::Pages => self.vital_pages_known(),
            Step::SerialNumber
            | Step::Identification
            | Step::BlockLimits
            | Step::Provisioning
            | Step::AccessStates => {
                let next = self.next_to_ask();
                self.go(next);
            }
            Step::ModeSense6 => self.go(Step::ModeSense10),
            // Not known to be protected: a write will tell.
            Step::ModeSense10 => self.found(None),
            Step::Finished => {}
        }
    }

    fn measured(&mut self, capacity: Capacity) -> Step {
        let disk = &mut self.candidate;
        disk.block_size = capacity.block_size;
        disk.blocks = capacity.blocks;
        disk.physical_block_exponent = capacity.physical_block_exponent;
        disk.lowest_aligned_block = capacity.lowest_aligned_block;
        disk.protection_type = capacity.protection_type;
        disk.provisioning.thin = capacity.thin;
        disk.provisioning.reads_zeros = capacity.reads_zeros;
        Step::Pages
    }

    fn vital_pages_known(&mut self) {
        if self.has_groups {
            let _ = self.to_ask.push_back(Step::AccessStates);
        }
        let next = self.next_to_ask();
        self.go(next);
    }

    fn next_to_ask(&mut self) -> Step {
        self.to_ask.pop_front().unwrap_or(Step::ModeSense6)
    }

    fn found(&mut self, mode: Option<ModeHeader>) {
        self.candidate.read_only = mode.is_some_and(|mode| mode.write_protected);
        self.candidate.force_unit_access = mode.is_some_and(|mode| mode.force_unit_access);
        if let Purpose::Again { index, .. } = self.purpose {
            return self.compare(index);
        }
        // Only in a later search: the list of LUNs is as long.
        if self.disks.push(self.candidate.clone()).is_err() {
            log::warn!("there is no room for logical unit {}", self.candidate.lun);
        }
        self.next_unit();
    }

    fn left_out(&mut self, fault: UnitFault) {
        let lun = self.candidate.lun;
        if matches!(fault, UnitFault::NoDisk(_)) {
            log::debug!("logical unit {lun} is left out: {fault}");
        } else {
            log::warn!("logical unit {lun} is left out: {fault}");
        }
        if let Purpose::Again { index, .. } = self.purpose {
            return self.conclude(Examined { index, result: Err(fault.as_request_error()) });
        }
        if lun == self.luns.boot() {
            self.boot_fault = Some(fault);
        }
        self.next_unit();
    }

    /// Goes on with the next unit that is not known yet.
    fn next_unit(&mut self) {
        while let Some(&lun) = self.luns.units().get(self.next) {
            self.next = self.next.saturating_add(1);
            if !self.disks.iter().any(|disk| disk.lun == lun) {
                self.candidate.lun = lun;
                return self.begin_unit();
            }
        }
        if let Err(error) = self.boot_disk() {
            log::error!("there is no boot disk: {error}");
        }
        self.go(Step::Finished);
    }

    /// A unit about which nothing is known.
    pub(super) fn begin_unit(&mut self) {
        (self.started, self.fresh_starts) = (false, 0);
        self.ask_anew();
    }

    /// Asks the present unit everything from the start.
    fn ask_anew(&mut self) {
        self.candidate = Disk::unknown(self.candidate.lun);
        (self.has_groups, self.own_group, self.own_port) = (false, None, None);
        self.to_ask.clear();
        self.go(Step::Inquiry);
    }

    /// Asks the target anew for its units.
    pub(super) fn search(&mut self) {
        self.next = 0;
        self.purpose = Purpose::Search;
        self.go(Step::ReportLuns);
    }

    pub(super) fn go(&mut self, step: Step) {
        self.step = step;
        self.patience = Patience::FRESH;
        self.outages = 0;
        self.ready_deadline = None;
        self.not_before = Instant::ZERO;
    }
}

/// The number in the designator of this type for the port that the page came through.
fn of_port(page: &DeviceIdentification<'_>, kind: u8) -> Option<u16> {
    let mut designators = page.designators();
    let found = designators.find(|name| name.association == 1 && name.kind == kind)?;
    let &[_, _, high, low] = found.bytes.first_chunk()?;
    Some(u16::from_be_bytes([high, low]))
}

/// The state of the group that the answers come through: the one named, the one with the port, or
/// the only one.
fn own_state(answer: &[u8], group: Option<u16>, port: Option<u16>) -> Option<AccessState> {
    let named = target_port_groups(answer).find(|candidate| match (group, port) {
        (Some(group), _) => candidate.number == group,
        (None, Some(port)) => candidate.contains(port),
        (None, None) => target_port_groups(answer).count() == 1,
    });
    named.map(|group| group.state)
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
