//! `demo.bare=yes`: loads by an initiator that costs nothing beyond TCP. It knows beforehand what will
//! come: it logs in with one prepared request, sends its commands from where they lie ready, and
//! counts bytes.
//!
//! It asks the real target for the same, at that target's pace, and over the same card, driver and
//! stack. It keeps no tasks, looks into nothing that comes, verifies nothing and places nothing: what
//! comes is dropped where the card put it. An initiator on this stack can be as cheap as this, and not
//! cheaper.
//!
//! Of what it does not look into, one is parsed first: how many bytes an answer has
//! ([`Bare::learn`]). A target that then sends anything else, if only a NOP-In, is told.

mod login;
mod wire;

use core::fmt;
use core::time::Duration;

use heapless::Vec;
use isboot::boot::{BootPlan, Parameters};
use isboot::disk::READ_LIMIT;
use isboot::pdu::bhs::BASIC_HEADER_SEGMENT_LENGTH;
use isboot::pdu::digest::{self, Crc32c, Crc32cFunction, DIGEST_LENGTH};
use isboot::pdu::request::{Request as Emitted, ScsiCommand, TaskAttribute};
use isboot::pdu::response::{DataIn, Residual, Response, ScsiResponse};
use isboot::pdu::serial::SerialNumber;
use isboot::scsi::cdb;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_transport::stream::{ByteStream, StreamState};

use self::wire::{close, rest};
use super::line::{Line, Unreadable};
use super::load::{Moved, Places};
use super::request::{Digests, Operation, Request, Run};
use super::{STAGE, tell};
use crate::clock;
use crate::console::Event;
use crate::failure::{During, Failure};
use crate::network::Stream;
use crate::profile::Mark;
use crate::serial;
use crate::session;

/// Bytes of a block; a unit with others does not answer as it must.
const BLOCK_LENGTH: u32 = 512;
/// Commands that the bench's target takes at once.
const WINDOW: u64 = 32;
/// The target has so long for a login, for an answer that is parsed, for its next byte, and for all
/// that is left at the end of a load. What QEMU's user network sent while the machine was held is lost,
/// and it sends again after 12 s at the latest.
const PATIENCE: Duration = Duration::from_secs(15);
const CHECK_CONDITION: u8 = 2;
/// A unit that has just come up tells no more things before it answers a read.
const ATTENTIONS: u32 = 4;
/// It looks so much later whether something has come: more has come by then, and each time costs, here
/// and in the emulator. Whoever looks into what comes takes longer than that.
const MOMENT: Duration = Duration::from_micros(2);
const COMMAND: usize = BASIC_HEADER_SEGMENT_LENGTH + DIGEST_LENGTH;

/// Answers lines until one wants the end.
pub(crate) fn run(
    stream: &mut Stream,
    plan: &BootPlan,
    parameters: &Parameters,
) -> Result<(), Failure> {
    let mut bare = Bare {
        stream,
        plan,
        crc32c: Crc32cFunction::fastest(session::now),
        wanted: Digests::None,
        digests: digest::Digests::default(),
        next: 1,
        answers: SerialNumber(0),
        under_way: 0,
        learned: None,
    };
    bare.change_session(Digests::preferred(parameters))?;
    let mut line = Line::default();
    loop {
        bare.stream.poll(clock::now());
        let Some(byte) = serial::take() else {
            rest(bare.stream, 0);
            continue;
        };
        if line.push(byte, |line| answer(&mut bare, line)) == Some(After::End) {
            close(bare.stream);
            return Ok(());
        }
    }
}

/// What follows the answer to a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Listen,
    End,
}

/// Does what a line asks, and tells what came of it.
fn answer(bare: &mut Bare<'_>, line: Result<&str, Unreadable>) -> After {
    let failed = |why: &dyn fmt::Display| drop(Event::new(STAGE).field("error", why));
    match line.map(Request::parse) {
        Ok(Ok(Request::End)) => return After::End,
        Ok(Ok(Request::Run(run))) => match bare.load(&run) {
            Ok(moved) => tell(&moved),
            Err(failure) => failed(&failure.text),
        },
        Ok(Ok(Request::Digests(digests))) => {
            if let Err(failure) = bare.change_session(digests) {
                failed(&failure.text);
            }
        }
        Ok(Err(why)) => failed(&why),
        Err(why) => failed(&why),
    }
    After::Listen
}

/// A session of one connection, while that is open.
struct Bare<'a> {
    stream: &'a mut Stream,
    plan: &'a BootPlan,
    crc32c: Crc32cFunction,
    /// What the next login asks for.
    wanted: Digests,
    /// What the connection carries: none during the login (RFC 7143 §11.2.3).
    digests: digest::Digests,
    /// The next command's CmdSN and tag.
    next: u32,
    /// ExpStatSN.
    answers: SerialNumber,
    /// Requests that wait for their answers.
    under_way: u64,
    /// How many bytes an answer has, of what was read last in this session.
    learned: Option<(Piece, u64)>,
}

impl Bare<'_> {
    /// Ends the session, logs in with these digests and says so.
    fn change_session(&mut self, digests: Digests) -> Result<(), Failure> {
        self.wanted = digests;
        if self.stream.state() == StreamState::Open {
            close(self.stream);
        }
        let logged_in = self.log_in();
        self.told(logged_in)?;
        Event::new(STAGE)
            .field("ready", "yes")
            .field("bare", self.plan.portal)
            .field("header_digest", login::digest(self.digests.header))
            .field("data_digest", login::digest(self.digests.data));
        Ok(())
    }

    /// Runs a load, over a new session where the last one is gone.
    fn load(&mut self, run: &Run) -> Result<Moved, Failure> {
        let piece = Piece::of(run)?;
        let moved = self.load_pieces(run, &piece);
        self.told(moved)
    }

    fn load_pieces(&mut self, run: &Run, piece: &Piece) -> Result<Moved, Failure> {
        if self.stream.state() != StreamState::Open {
            self.log_in()?;
        }
        // Once only: it must not warm up what others find cold when their turn begins.
        let of_answer = match self.learned {
            Some((known, length)) if known == *piece => length,
            _ => self.learn(run, piece)?,
        };
        self.learned = Some((*piece, of_answer));
        let profile = Mark::here();
        let began = clock::now();
        let commands = self.go(run, piece, of_answer, began + run.limit)?;
        let took = clock::now() - began;
        let profile = Mark::here().zip(profile).map(|(after, before)| after.since(before));
        let bytes = commands * u64::from(run.block);
        Ok(Moved { bytes, commands, took, checked: None, profile })
    }

    /// Says of a failure whose it is. What is still to come must not reach the next load.
    fn told<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        outcome.map_err(|failure| {
            self.stream.abort();
            let BootPlan { target_name, portal, .. } = self.plan;
            failure.with(format_args!("target {target_name} at {portal}"))
        })
    }

    /// The measured part: how many requests were answered. One of several commands is answered when
    /// they all are, and only then another one takes its place.
    fn go(
        &mut self,
        run: &Run,
        piece: &Piece,
        of_answer: u64,
        end: Duration,
    ) -> Result<u64, Failure> {
        let mut places = Places::new(run);
        let mut commands = Vec::<u8, { WINDOW as usize * COMMAND }>::new();
        let (mut begun, mut place) = (0, 0);
        // Commands that are asked, and how many bytes of them were sent; whole answers, and what came
        // of the next.
        let (mut asked, mut sent) = (0, 0);
        let (mut answered, mut came) = (0, 0);
        let mut heard = clock::now();
        loop {
            let now = clock::now();
            let is_over = now >= end || begun >= run.count;
            if !is_over {
                begun = (answered / piece.count + u64::from(run.depth)).min(run.count);
            }
            if sent == commands.len() {
                commands.clear();
                sent = 0;
            }
            let wanted = (begun * piece.count).min(answered + WINDOW);
            while asked < wanted && commands.capacity() - commands.len() >= COMMAND {
                if asked % piece.count == 0 {
                    place = places.next();
                }
                self.append_command(&mut commands, piece, place, asked % piece.count);
                asked += 1;
            }
            sent += self.send_some(commands.get(sent..).unwrap_or_default());
            let mark = Mark::here();
            while clock::now() < now + MOMENT {
                core::hint::spin_loop();
            }
            self.stream.poll(now);
            let before = (answered, came);
            while let Some(count) = self.stream.recv(|bytes| (bytes.len(), bytes.len() as u64)) {
                came += count;
                while came >= of_answer {
                    came -= of_answer;
                    answered += 1;
                    self.answers = self.answers.next();
                }
            }
            if answered > asked || (answered == asked && came > 0) {
                let why = format_args!("sent more than the {asked} answers that were asked for");
                return Err(Failure::new(STAGE, why));
            }
            if is_over && answered == begun * piece.count {
                return Ok(begun);
            }
            if (answered, came) != before {
                heard = now;
                if now < end + PATIENCE {
                    continue;
                }
            }
            if let Some(mark) = mark {
                mark.look_back();
            }
            let owed = (begun * piece.count - answered) * of_answer - came;
            self.under_way = begun.saturating_sub(answered / piece.count);
            self.wait(owed, heard.min(end) + PATIENCE)?;
        }
    }

    /// Bytes of the whole answer to a command of the load: those of one that is parsed.
    fn learn(&mut self, run: &Run, piece: &Piece) -> Result<u64, Failure> {
        for _ in 0..ATTENTIONS {
            if let Some(length) = self.try_to_learn(run, piece)? {
                return Ok(length);
            }
        }
        Err(Failure::new(STAGE, format_args!("told {ATTENTIONS} times that something changed")))
    }

    /// The same; nothing where the unit had something else to tell first.
    fn try_to_learn(&mut self, run: &Run, piece: &Piece) -> Result<Option<u64>, Failure> {
        let mut command = Vec::<u8, COMMAND>::new();
        // The last, where the unit may end before the load does.
        let last = (run.span / u64::from(run.block)).saturating_sub(1);
        self.append_command(&mut command, piece, last, piece.count - 1);
        let until = clock::now() + PATIENCE;
        self.send(&command, until)?;
        let (mut length, mut data) = (0, 0);
        loop {
            let pdu = self.receive_pdu(until)?;
            length += pdu.length;
            let is_last = match pdu.answer {
                Response::DataIn(DataIn { status, residual, data_segment_length, .. })
                    if matches!((status, residual), (None | Some(0), Residual::None)) =>
                {
                    data += u64::from(data_segment_length);
                    status.is_some()
                }
                Response::Scsi(ScsiResponse {
                    response: 0,
                    status: 0,
                    residual: Residual::None,
                    ..
                }) => true,
                Response::Scsi(ScsiResponse { response: 0, status: CHECK_CONDITION, .. })
                    if is_unit_attention(&pdu.text) =>
                {
                    self.answers = self.answers.next();
                    return Ok(None);
                }
                other => {
                    return Err(Failure::new(
                        STAGE,
                        format_args!("answered a read with {other:?}"),
                    ));
                }
            };
            if is_last {
                break;
            }
        }
        self.answers = self.answers.next();
        if data == u64::from(piece.size) {
            return Ok(Some(length));
        }
        Err(Failure::new(
            STAGE,
            format_args!("answered a read of {} bytes with {data}", piece.size),
        ))
    }

    /// A command as it is sent.
    fn append_command<const N: usize>(
        &mut self,
        commands: &mut Vec<u8, N>,
        piece: &Piece,
        place: u64,
        number: u64,
    ) {
        let blocks = piece.size / BLOCK_LENGTH;
        let lba = (place * piece.count + number) * u64::from(blocks);
        let command = Emitted::ScsiCommand(ScsiCommand {
            immediate: false,
            last: true,
            read: true,
            write: false,
            attribute: TaskAttribute::Simple,
            lun: piece.lun,
            initiator_task_tag: self.next,
            expected_data_transfer_length: piece.size,
            cmd_sn: SerialNumber(self.next),
            exp_stat_sn: self.answers,
            cdb: cdb::read(lba, blocks),
            data_segment_length: 0,
        });
        self.next = self.next.wrapping_add(1);
        let header = command.emit();
        // There is room: whoever calls saw to it.
        drop(commands.extend_from_slice(header.as_bytes()));
        if self.digests.header {
            let mut crc = Crc32c::new(self.crc32c);
            crc.update(header.as_bytes());
            drop(commands.extend_from_slice(&crc.wire_bytes()));
        }
    }
}

/// What a command of a load reads, of which a request has one or more.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Piece {
    lun: [u8; 8],
    /// Bytes of it.
    size: u32,
    /// Commands of a request.
    count: u64,
}

impl Piece {
    fn of(run: &Run) -> Result<Self, Failure> {
        let size = run.block.min(READ_LIMIT);
        if run.operation == Operation::Write {
            return Err(Failure::new(STAGE, "bare iSCSI stands for reads only"));
        }
        if !run.block.is_multiple_of(size) {
            let why =
                format_args!("bare iSCSI reads {READ_LIMIT} bytes a command, or fewer in all");
            return Err(Failure::new(STAGE, why));
        }
        let lun = LogicalUnitNumber::from_number(run.disk).ok_or("no LUN has such a number");
        let lun = lun.during(STAGE)?.to_bytes();
        Ok(Self { lun, size, count: u64::from(run.block / size) })
    }
}

/// Whether the data of a SCSI Response (RFC 7143 §11.4.7) has sense of fixed format that only says that
/// something changed, such as the power (SPC-4 §4.5.3).
fn is_unit_attention(data: &[u8]) -> bool {
    matches!(data, [_, _, 0x70 | 0xf0, _, flags_and_key, ..] if flags_and_key & 0xf == 6)
}
