//! A session without disks over a target in the same thread: for what disks never ask of one.

use std::net::SocketAddr;

use isboot::login::{LoginConfig, Name};
use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::request::Request;
use isboot::pdu::response::{Response, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Command, Escalation, Event, Session, SessionConfig, TaskTag, Timeouts};
use isboot::time::Instant;
use isboot_tests::pair::Wire;
use isboot_tests::target::{Connection, Target};

/// A session in full feature phase, with room for `TASKS` commands.
pub(crate) struct Bare<const TASKS: usize> {
    pub(crate) session: Box<Session<TASKS>>,
    connection: Connection,
    /// Numbers of the next status that is made by hand.
    numbers: SequenceNumbers,
}

impl<const TASKS: usize> Bare<TASKS> {
    pub(crate) fn logged_in(target: &Target) -> Self {
        Self::with(target, |_| {})
    }

    pub(crate) fn with(target: &Target, configure: impl FnOnce(&mut SessionConfig)) -> Self {
        let name = |name| Name::new(name).unwrap();
        let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
        let portal: SocketAddr = Wire::PORTAL;
        let mut config = SessionConfig {
            portal,
            login: LoginConfig::new(
                name("iqn.2026-11.org.example:host"),
                name(target.name()),
                isid,
            ),
            timeouts: Timeouts::default(),
            escalation: Escalation::default(),
            initial_cmd_sn: SerialNumber(1),
            crc32c: Crc32cFunction::default(),
        };
        configure(&mut config);
        let numbers = SequenceNumbers {
            stat_sn: SerialNumber(0),
            exp_cmd_sn: config.initial_cmd_sn,
            max_cmd_sn: config.initial_cmd_sn,
        };
        let mut session = Box::new(Session::new(config, Instant::ZERO));
        session.link_up(Instant::ZERO, None);
        let mut bare = Self { session, connection: target.connect(portal), numbers };
        bare.exchange();
        assert!(bare.session.negotiated().is_some(), "logged in");
        bare
    }

    /// Carries bytes both ways until there are none.
    pub(crate) fn exchange(&mut self) {
        loop {
            let mut out = [0; 4096];
            let count = self.session.transmit(Instant::ZERO, &mut out, &mut ());
            self.connection.receive(&out[..count]);
            let back = self.connection.take_output();
            if count == 0 && back.is_empty() {
                return;
            }
            let mut input = &back[..];
            while self.session.receive(Instant::ZERO, &mut input).is_some() {}
        }
    }

    pub(crate) fn submit(&mut self, command: Command) -> TaskTag {
        self.session.submit(Instant::ZERO, command).expect("a free slot")
    }

    /// The Initiator Task Tag of the command that is sent now; the target never gets it.
    pub(crate) fn sent_tag(&mut self) -> u32 {
        let mut out = [0; BASIC_HEADER_SEGMENT_LENGTH];
        assert_eq!(self.session.transmit(Instant::ZERO, &mut out, &mut ()), out.len());
        let Ok(Request::ScsiCommand(command)) =
            Request::parse(&BasicHeaderSegment::from_bytes(out))
        else {
            panic!("a command")
        };
        self.numbers = SequenceNumbers {
            stat_sn: command.exp_stat_sn,
            exp_cmd_sn: command.cmd_sn.next(),
            max_cmd_sn: command.cmd_sn.plus(8),
        };
        command.initiator_task_tag
    }

    /// Answers by hand, with the numbers that are due: what came of it.
    pub(crate) fn answer(&mut self, tag: u32, response: Response) -> Vec<Event<'static>> {
        let mut bytes = *response.emit().as_bytes();
        bytes[16..20].copy_from_slice(&tag.to_be_bytes());
        let SequenceNumbers { stat_sn, exp_cmd_sn, max_cmd_sn } = self.numbers;
        for (at, number) in [(24, stat_sn), (28, exp_cmd_sn), (32, max_cmd_sn)] {
            bytes[at..at + 4].copy_from_slice(&number.0.to_be_bytes());
        }
        self.numbers.stat_sn = stat_sn.next();
        let (mut input, mut events) = (&bytes[..], Vec::new());
        while let Some(event) = self.session.receive(Instant::ZERO, &mut input) {
            if let Event::Completed { task, completion } = event {
                events.push(Event::Completed { task, completion });
            }
        }
        events
    }
}
