//! Reads and writes answered by hand, and what must be true afterwards.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use isboot::disk::RequestError;
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::{DataOut, Request, ScsiCommand};
use isboot::pdu::response::{
    DataIn, ReadyToTransfer, Residual, Response, ScsiResponse, SequenceNumbers,
};
use isboot::session::{Error, SessionConfig};
use isboot_tests::pair::{NUMBERS, Pair, Random, Setting, target};
use isboot_tests::target::{Builder, Handling, Injection, Numbering, Pdu, Target};

/// What the first blocks of the LUN hold.
pub(crate) fn content(length: usize) -> Vec<u8> {
    Random(0x0c0f_fee0).bytes(length)
}

/// A Data-In PDU with the bytes of `range` of the read.
pub(crate) fn data_in(data_sn: u32, range: Range<u32>) -> DataIn {
    DataIn {
        last: false,
        acknowledge: false,
        status: None,
        residual: Residual::None,
        lun: [0; 8],
        initiator_task_tag: 0,
        target_transfer_tag: RESERVED_TAG,
        numbers: NUMBERS,
        data_sn,
        buffer_offset: range.start,
        data_segment_length: range.end - range.start,
    }
}

/// A part of a read's data.
pub(crate) fn part(data_sn: u32, range: Range<u32>) -> Response {
    Response::DataIn(data_in(data_sn, range))
}

/// The last part of a read's data, with GOOD status.
pub(crate) fn last_part(data_sn: u32, range: Range<u32>) -> Response {
    Response::DataIn(DataIn { last: true, status: Some(0), ..data_in(data_sn, range) })
}

/// GOOD in a SCSI Response, which counts so many Data-In and R2T PDUs.
pub(crate) fn good(exp_data_sn: u32, residual: Residual) -> Response {
    Response::Scsi(ScsiResponse {
        response: 0,
        status: 0,
        initiator_task_tag: 0,
        snack_tag: 0,
        numbers: NUMBERS,
        exp_data_sn,
        residual,
        bidirectional_read_residual: Residual::None,
        data_segment_length: 0,
    })
}

/// An R2T for the bytes of `range`, with a tag of its own.
pub(crate) fn r2t(r2t_sn: u32, range: Range<u32>) -> ReadyToTransfer {
    ReadyToTransfer {
        lun: [0; 8],
        initiator_task_tag: 0,
        target_transfer_tag: 0xabba_0000 + r2t_sn,
        numbers: NUMBERS,
        r2t_sn,
        buffer_offset: range.start,
        desired_data_transfer_length: range.end - range.start,
    }
}

/// `response` to the task of this tag, with the bytes of [`content`] that it announces and the
/// target's numbers.
pub(crate) fn answer(initiator_task_tag: u32, response: Response) -> Injection {
    let (data, status) = match &response {
        Response::DataIn(data_in) => {
            let start = data_in.buffer_offset as usize % (1 << 20);
            let length = data_in.data_segment_length as usize;
            (content(start + length).split_off(start), data_in.status.is_some())
        }
        Response::ReadyToTransfer(_) => (Vec::new(), false),
        Response::NopIn(nop) => (Vec::new(), nop.initiator_task_tag != RESERVED_TAG),
        _ => (Vec::new(), true),
    };
    let mut pdu = Pdu::new(response.emit(), data);
    pdu.header.set_initiator_task_tag(initiator_task_tag);
    let numbering = if status { Numbering::Status } else { Numbering::Current };
    Injection { pdu, numbering }
}

/// As [`answer`], with every number as the response has it.
pub(crate) fn exactly(initiator_task_tag: u32, response: Response) -> Injection {
    Injection { numbering: Numbering::Exact, ..answer(initiator_task_tag, response) }
}

/// Both ends, logged in, and what the LUN holds.
pub(crate) struct Trial {
    pub(crate) target: Target,
    pub(crate) pair: Pair,
}

impl Trial {
    /// With every default.
    pub(crate) fn new() -> Self {
        Self::of(target(), &[])
    }

    pub(crate) fn of(builder: Builder, parameters: &[(&str, &str)]) -> Self {
        Self::configured(builder, parameters, |_| {})
    }

    pub(crate) fn configured(
        builder: Builder,
        parameters: &[(&str, &str)],
        configure: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let target = builder.build();
        target.write_lun(0, 0, &content(1 << 16)).unwrap();
        let mut pair = Pair::configured(&target, &Setting::new(parameters), configure);
        pair.become_ready();
        Self { target, pair }
    }

    /// The next read is answered with these, the ones after it as usual.
    pub(crate) fn answer_read(&self, script: Vec<Response>) {
        self.answer_read_with(move |tag, _| {
            script.iter().map(|&response| answer(tag, response)).collect()
        });
    }

    /// The next read, named by its tag and the numbers to come, is answered with these.
    pub(crate) fn answer_read_with(
        &self,
        script: impl FnOnce(u32, &ScsiCommand) -> Vec<Injection> + Send + 'static,
    ) {
        let mut script = Some(script);
        self.target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(command)) if is_read(&command) => match script.take() {
                Some(script) => Handling::Answer(script(pdu.header.initiator_task_tag(), &command)),
                None => Handling::Proceed,
            },
            _ => Handling::Proceed,
        });
    }

    /// The next write gets these R2Ts, so many at a time, and GOOD when all were answered; its
    /// Data-Out is kept here. Writes after it are served as usual.
    pub(crate) fn answer_write(&self, script: &[ReadyToTransfer], at_once: usize) -> Sent {
        let sent = Sent::default();
        let record = sent.clone();
        let sequences = script.iter().map(|r2t| r2t.r2t_sn).collect::<BTreeSet<_>>().len();
        let mut waiting = Vec::from(script).into_iter();
        let mut open = None;
        self.target.on_request(move |_, pdu| {
            let tag = pdu.header.initiator_task_tag();
            let mut next = |count: usize| -> Vec<Injection> {
                let r2ts = waiting.by_ref().take(count);
                r2ts.map(|r2t| answer(tag, Response::ReadyToTransfer(r2t))).collect()
            };
            match Request::parse(&pdu.header) {
                Ok(Request::ScsiCommand(command)) if command.write && open.is_none() => {
                    open = Some(tag);
                    record.lock().commands.push((command, pdu.data.clone()));
                    match command.last {
                        true => Handling::Answer(next(at_once)),
                        false => Handling::Swallow,
                    }
                }
                Ok(Request::DataOut(data_out)) if open == Some(tag) => {
                    let mut record = record.lock();
                    record.data.push((data_out, pdu.data.clone()));
                    if !data_out.last {
                        return Handling::Swallow;
                    }
                    if data_out.target_transfer_tag == RESERVED_TAG {
                        return Handling::Answer(next(at_once));
                    }
                    record.answered += 1;
                    if record.answered == sequences {
                        return Handling::Answer(vec![answer(
                            tag,
                            good(sequences as u32, Residual::None),
                        )]);
                    }
                    Handling::Answer(next(1))
                }
                _ => Handling::Proceed,
            }
        });
        sent
    }

    /// Every command that moves data and every Data-Out from now on; the target serves them.
    pub(crate) fn record(&self) -> Sent {
        let sent = Sent::default();
        let record = sent.clone();
        self.target.on_request(move |_, pdu| {
            match Request::parse(&pdu.header) {
                Ok(Request::ScsiCommand(command)) => {
                    record.lock().commands.push((command, pdu.data.clone()));
                }
                Ok(Request::DataOut(data_out)) => {
                    record.lock().data.push((data_out, pdu.data.clone()));
                }
                _ => {}
            }
            Handling::Proceed
        });
        sent
    }

    /// Reads from the start of the LUN.
    pub(crate) fn read(&mut self, length: usize) -> Result<Vec<u8>, RequestError> {
        self.pair.read(0, 0, length)
    }

    /// Writes [`content`] to block 128 and on.
    pub(crate) fn write(&mut self, length: usize) -> Result<(), RequestError> {
        self.pair.write(0, 128, &content(length))
    }

    /// Reads, and what is read is what the LUN holds.
    #[track_caller]
    pub(crate) fn assert_reads(&mut self, length: usize, what: &str) {
        assert_eq!(self.read(length).as_ref(), Ok(&content(length)), "{what}");
    }

    /// Writes by the target's own hand, so that the LUN holds all of it.
    #[track_caller]
    pub(crate) fn assert_writes(&mut self, length: usize, what: &str) {
        assert_eq!(self.write(length), Ok(()), "{what}");
        let held = self.target.read_lun(0, 128 * 512, length).unwrap();
        assert_eq!(held, content(length), "{what}");
    }

    /// The session was renewed once, because of the target's protocol, and nothing else happened:
    /// nothing completed twice, and the initiator broke no rule.
    #[track_caller]
    pub(crate) fn assert_renewed(mut self, what: &str) {
        let error = self.pair.isboot.last_error();
        assert!(
            matches!(error, Some(Error::PeerMisbehaved(_) | Error::Malformed(_) | Error::Frame(_))),
            "{what}: {error:?}"
        );
        assert_eq!(self.target.statistics().logins, 2, "{what}");
        self.assert_quiet(what);
    }

    /// Nothing happened to the session.
    #[track_caller]
    pub(crate) fn assert_untroubled(mut self, what: &str) {
        assert_eq!(self.pair.isboot.last_error(), None, "{what}");
        assert_eq!(self.target.statistics().logins, 1, "{what}");
        self.assert_quiet(what);
    }

    #[track_caller]
    fn assert_quiet(&mut self, what: &str) {
        assert!(self.pair.take_completion().is_none(), "{what}: completed twice");
        let snacks = self.target.statistics().request_count(opcode::SNACK_REQUEST);
        assert_eq!(snacks, 0, "{what}: no SNACK at error recovery level 0");
        self.pair.log_out();
    }
}

fn is_read(command: &ScsiCommand) -> bool {
    matches!(command.cdb[0], 0x28 | 0x88)
}

/// What the initiator sent of writes.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Record>>);

#[derive(Default)]
pub(crate) struct Record {
    /// Each command and its immediate data.
    pub(crate) commands: Vec<(ScsiCommand, Vec<u8>)>,
    pub(crate) data: Vec<(DataOut, Vec<u8>)>,
    answered: usize,
}

impl Sent {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }

    /// The commands.
    pub(crate) fn commands(&self) -> Vec<ScsiCommand> {
        self.lock().commands.iter().map(|(command, _)| *command).collect()
    }

    /// Buffer Offset and length of each Data-Out.
    pub(crate) fn ranges(&self) -> Vec<Range<u32>> {
        let range =
            |data: &DataOut| data.buffer_offset..data.buffer_offset + data.data_segment_length;
        self.lock().data.iter().map(|(data, _)| range(data)).collect()
    }

    /// Every R2T, in this order, was answered by exactly its bytes of [`content`]: in segments of
    /// at most `segment`, with its tag and the command's tag and LUN, DataSN from 0, offsets
    /// without a gap, F on the last alone.
    #[track_caller]
    pub(crate) fn assert_answers(&self, r2ts: &[ReadyToTransfer], segment: u32, what: &str) {
        let record = self.lock();
        let (command, _) = record.commands[0];
        let mut data = record.data.iter().filter(|(d, _)| d.target_transfer_tag != RESERVED_TAG);
        for r2t in r2ts {
            let end = r2t.buffer_offset + r2t.desired_data_transfer_length;
            let (mut offset, mut data_sn) = (r2t.buffer_offset, 0);
            while offset < end {
                let (data_out, bytes) = data.next().expect("a Data-Out for each part");
                let length = data_out.data_segment_length;
                let expected = DataOut {
                    last: offset + length == end,
                    lun: command.lun,
                    initiator_task_tag: command.initiator_task_tag,
                    target_transfer_tag: r2t.target_transfer_tag,
                    exp_stat_sn: data_out.exp_stat_sn,
                    data_sn,
                    buffer_offset: offset,
                    data_segment_length: length,
                };
                assert_eq!(*data_out, expected, "{what}");
                assert!((1..=segment).contains(&length) && offset + length <= end, "{what}");
                let (from, to) = (offset as usize, (offset + length) as usize);
                assert_eq!(*bytes, content(to)[from..], "{what}");
                offset += length;
                data_sn += 1;
            }
        }
        assert_eq!(data.next(), None, "{what}: nothing that was not asked for");
    }
}

/// Numbers as they stand after `command`: for answers whose numbers are the point.
pub(crate) fn numbers_after(command: &ScsiCommand) -> SequenceNumbers {
    SequenceNumbers {
        stat_sn: command.exp_stat_sn,
        exp_cmd_sn: command.cmd_sn.next(),
        max_cmd_sn: command.cmd_sn.plus(32),
    }
}
