//! A unit that answers by script, and what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::request::{Request, ScsiCommand};
use isboot::pdu::response::{DataIn, Residual, Response};
use isboot::scsi::sense::{Sense, SenseKey};
use isboot_tests::pair::{NUMBERS, Pair, scsi_response, target};
use isboot_tests::target::{Builder, Fate, Handling, Injection, Numbering, Pdu, Target};

/// Operation codes.
pub(crate) const TEST_UNIT_READY: u8 = 0x00;
pub(crate) const INQUIRY: u8 = 0x12;
pub(crate) const START_STOP_UNIT: u8 = 0x1b;
pub(crate) const READ: u8 = 0x28;
pub(crate) const WRITE: u8 = 0x2a;
pub(crate) const SYNCHRONIZE_CACHE: u8 = 0x35;
pub(crate) const READ_16: u8 = 0x88;
pub(crate) const WRITE_16: u8 = 0x8a;
pub(crate) const SYNCHRONIZE_CACHE_16: u8 = 0x91;
pub(crate) const READ_CAPACITY_16: u8 = 0x9e;
pub(crate) const REPORT_LUNS: u8 = 0xa0;

/// The status of a command that has sense data.
pub(crate) const CHECK_CONDITION: u8 = 0x02;
/// What a command's script says of it: `None` lets the target serve it.
pub(crate) type Answer = Option<Vec<Injection>>;

/// SCSI commands in the order of their arrival.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<ScsiCommand>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<ScsiCommand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those with this operation code.
    pub(crate) fn of(&self, code: u8) -> Vec<ScsiCommand> {
        self.all().into_iter().filter(|command| command.cdb[0] == code).collect()
    }

    pub(crate) fn count(&self, code: u8) -> usize {
        self.of(code).len()
    }

    pub(crate) fn codes(&self) -> Vec<u8> {
        self.all().iter().map(|command| command.cdb[0]).collect()
    }

    /// Vital product data pages that were asked for.
    pub(crate) fn pages(&self) -> Vec<u8> {
        let inquiries = self.of(INQUIRY).into_iter();
        inquiries.filter(|command| command.cdb[1] == 1).map(|command| command.cdb[2]).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Each command with this code is the same one again as a new task: its own CmdSN and tag.
    #[track_caller]
    pub(crate) fn assert_new_tasks(&self, code: u8, count: usize, what: &str) {
        let commands = self.of(code);
        assert_eq!(commands.len(), count, "{what}: {commands:#?}");
        for pair in commands.windows(2) {
            assert_eq!(pair[0].cdb, pair[1].cdb, "{what}");
            assert!(pair[1].cmd_sn.0.wrapping_sub(pair[0].cmd_sn.0).cast_signed() > 0, "{what}");
            assert_ne!(pair[0].initiator_task_tag, pair[1].initiator_task_tag, "{what}");
        }
    }
}

/// A pair whose target answers commands by script.
pub(crate) struct Scripted {
    pub(crate) target: Target,
    pub(crate) pair: Pair,
    pub(crate) log: Log,
}

impl Scripted {
    /// Logged in, the disk found, nothing scripted yet.
    pub(crate) fn new() -> Self {
        Self::of(target(), &[])
    }

    pub(crate) fn of(builder: Builder, parameters: &[(&str, &str)]) -> Self {
        let target = builder.times(0, 0).build();
        let pair = Pair::ready(&target, parameters);
        let scripted = Self { target, pair, log: Log::default() };
        scripted.answer(|_| None);
        scripted
    }

    /// Not even connected, so that the script has the first command too.
    pub(crate) fn fresh(
        builder: Builder,
        script: impl FnMut(&ScsiCommand) -> Answer + Send + 'static,
    ) -> Self {
        let target = builder.times(0, 0).build();
        let pair = Pair::new(&target, &[]);
        let scripted = Self { target, pair, log: Log::default() };
        scripted.answer(script);
        scripted
    }

    /// Commands are answered by this script from now on, and logged anew.
    pub(crate) fn answer(&self, mut script: impl FnMut(&ScsiCommand) -> Answer + Send + 'static) {
        self.log.clear();
        let log = self.log.clone();
        self.target.on_request(move |_, pdu| {
            let Ok(Request::ScsiCommand(command)) = Request::parse(&pdu.header) else {
                return Handling::Proceed;
            };
            log.0.lock().unwrap_or_else(PoisonError::into_inner).push(command);
            script(&command).map_or(Handling::Proceed, Handling::Answer)
        });
    }

    /// The next `count` commands with this code are answered so.
    pub(crate) fn answer_next(
        &self,
        code: u8,
        count: usize,
        make: impl Fn(u32) -> Injection + Send + 'static,
    ) {
        self.answer(next(code, count, make));
    }

    /// What the target itself answers is changed: commands by code, and their data.
    pub(crate) fn alter(
        &self,
        mut change: impl FnMut(&ScsiCommand, &mut Vec<u8>) + Send + 'static,
    ) {
        let log = self.log.clone();
        self.target.on_response(move |_, pdu| {
            if let Ok(Response::DataIn(header)) = Response::parse(&pdu.header) {
                let commands: HashMap<u32, ScsiCommand> =
                    log.all().into_iter().map(|c| (c.initiator_task_tag, c)).collect();
                if let Some(command) = commands.get(&header.initiator_task_tag) {
                    change(command, &mut pdu.data);
                }
            }
            Fate::Send
        });
    }

    /// Reads a block, and tells how long that took.
    pub(crate) fn read(&mut self) -> (Result<Vec<u8>, RequestError>, Duration) {
        let begin = self.pair.now();
        let result = self.pair.read(0, 5, 512);
        (result, self.pair.now().since(begin))
    }

    /// Nothing happened to the session, and the unit is as usable as before.
    #[track_caller]
    pub(crate) fn assert_untroubled(&mut self, what: &str) {
        assert_eq!(self.pair.isboot.last_error(), None, "{what}");
        self.target.clear_hooks();
        self.pair.read(0, 0, 512).unwrap_or_else(|error| panic!("{what}: {error}"));
        self.pair.log_out();
    }

    /// The session was renewed once, and the unit is as usable as before.
    #[track_caller]
    pub(crate) fn assert_renewed(&mut self, what: &str) {
        assert!(self.pair.isboot.last_error().is_some(), "{what}");
        assert_eq!(self.target.statistics().logins, 2, "{what}");
        self.target.clear_hooks();
        self.pair.read(0, 0, 512).unwrap_or_else(|error| panic!("{what}: {error}"));
        self.pair.log_out();
    }
}

/// A script: the next `count` commands with this code are answered so, all others served.
pub(crate) fn next(
    code: u8,
    count: usize,
    make: impl Fn(u32) -> Injection + Send + 'static,
) -> impl FnMut(&ScsiCommand) -> Answer + Send + 'static {
    let mut left = count;
    move |command| {
        if command.cdb[0] != code || left == 0 {
            return None;
        }
        left -= 1;
        Some(vec![make(command.initiator_task_tag)])
    }
}

// --- answers ---

/// A SCSI Response with this status and data segment.
pub(crate) fn response(initiator_task_tag: u32, status: u8, segment: Vec<u8>) -> Injection {
    scsi_response(initiator_task_tag, status, Residual::None, segment)
}

/// CHECK CONDITION with fixed sense data.
pub(crate) fn check(tag: u32, key: u8, code: u8, qualifier: u8) -> Injection {
    response(tag, CHECK_CONDITION, counted(&fixed(0x70, key, code, qualifier)))
}

/// The data of a read, and its status.
pub(crate) fn data(tag: u32, data: Vec<u8>, status: Option<u8>) -> Injection {
    let numbering = if status.is_some() { Numbering::Status } else { Numbering::Current };
    let response = DataIn {
        last: true,
        acknowledge: false,
        status,
        residual: Residual::None,
        lun: [0; 8],
        initiator_task_tag: tag,
        target_transfer_tag: u32::MAX,
        numbers: NUMBERS,
        data_sn: 0,
        buffer_offset: 0,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::DataIn(response).emit(), data);
    Injection { pdu, numbering }
}

/// Fixed sense data of 18 bytes (SPC-4 §4.5.3).
pub(crate) fn fixed(response_code: u8, key: u8, code: u8, qualifier: u8) -> Vec<u8> {
    vec![response_code, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
}

/// Sense data behind its SenseLength.
pub(crate) fn counted(sense: &[u8]) -> Vec<u8> {
    [&(sense.len() as u16).to_be_bytes()[..], sense].concat()
}

/// The error of a CHECK CONDITION.
pub(crate) fn scsi(key: SenseKey, code: u8, qualifier: u8) -> RequestError {
    let sense = Sense { key, code, qualifier, deferred: false, information: None };
    RequestError::Scsi { status: CHECK_CONDITION, sense: Some(sense) }
}
