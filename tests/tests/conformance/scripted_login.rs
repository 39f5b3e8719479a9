//! A login whose responses a row writes itself, over both ends in memory.
//!
//! The first word of an answer is the stage: `0` is CSG 0 with T=0, `0>1` grants stage 1, `0+` has
//! C=1. Pairs are separated by blanks; `%` stands for a blank inside a value. Whatever a row is
//! about, every request is held to the rules that hold for all of them.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isboot::boot::State;
use isboot::login::{LoginError, Misbehaviour, Negotiated};
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::request::{LoginRequest, Request, Stage};
use isboot::pdu::response::{LoginResponse, Response, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Error, SessionConfig};
use isboot_tests::pair::{Pair, Setting, target};
use isboot_tests::target::{Handling, Injection, Numbering, Pdu, Target};

pub(crate) use isboot::login::KeyProblem;

/// TSIH of every final response.
pub(crate) const TSIH: u16 = 0x1234;

// --- what the initiator sends ---

/// A Login Request, and what its answer is made of.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Number of its connection, from 1.
    pub(crate) connection: u64,
    /// Its place among the requests of its connection, from 0.
    pub(crate) step: usize,
    pub(crate) header: LoginRequest,
    pub(crate) text: Vec<u8>,
    /// The header as it came.
    pub(crate) bytes: [u8; 48],
    /// StatSN of the answer.
    stat_sn: SerialNumber,
    /// What was answered before it on the same connection.
    answered: Option<LoginResponse>,
    /// Operational keys offered on this connection and not answered yet.
    open: Vec<(String, String)>,
}

impl Seen {
    /// Stage, T and C as in an answer's first word.
    pub(crate) fn flags(&self) -> String {
        let more = if self.header.text_continues { "+" } else { "" };
        match self.header.transit {
            true => format!("{}>{}", code(self.header.current_stage), code(self.header.next_stage)),
            false => format!("{}{more}", code(self.header.current_stage)),
        }
    }

    /// The pairs, as they are written in an answer.
    pub(crate) fn pairs(&self) -> String {
        let pairs = String::from_utf8_lossy(&self.text).replace(' ', "%").replace('\0', " ");
        pairs.trim_end().to_owned()
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        values(&self.text).into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn in_security_stage(&self) -> bool {
        self.header.current_stage == Stage::SecurityNegotiation
    }

    /// An answer to this request, with the numbers that it should have.
    pub(crate) fn says(&self, flags: &str, pairs: &str) -> Answer {
        self.says_bytes(flags, &text(pairs))
    }

    /// As [`says`](Self::says), with a text of any bytes.
    pub(crate) fn says_bytes(&self, flags: &str, text: &[u8]) -> Answer {
        let codes: Vec<char> = flags.chars().filter(char::is_ascii_digit).collect();
        let next_stage = stage(*codes.last().expect("a stage"));
        let cmd_sn = self.header.cmd_sn;
        let header = LoginResponse {
            transit: flags.contains('>'),
            text_continues: flags.contains('+'),
            current_stage: stage(codes[0]),
            next_stage,
            version_max: 0,
            version_active: 0,
            isid: self.header.isid,
            tsih: if next_stage == Stage::FullFeaturePhase { TSIH } else { 0 },
            initiator_task_tag: self.header.initiator_task_tag,
            numbers: SequenceNumbers {
                stat_sn: self.stat_sn,
                exp_cmd_sn: cmd_sn,
                max_cmd_sn: cmd_sn.plus(31),
            },
            status_class: 0,
            status_detail: 0,
            data_segment_length: 0,
        };
        Answer { header, text: text.to_vec(), bytes: Vec::new() }
    }

    /// Ends the login with this status.
    pub(crate) fn ends(&self, class: u8, detail: u8) -> Answer {
        self.says(&code(self.header.current_stage).to_string(), "").with(|header| {
            (header.status_class, header.status_detail) = (class, detail);
        })
    }

    /// What a willing target answers: every offer is taken as it stands, the first of a list.
    pub(crate) fn granted(&self) -> Answer {
        self.granted_but(&[])
    }

    /// As [`granted`](Self::granted), with other values for some operational keys, or further
    /// ones; an empty value leaves the key out.
    pub(crate) fn granted_but(&self, changes: &[&str]) -> Answer {
        match self.header.current_stage {
            Stage::SecurityNegotiation if self.step == 0 => {
                self.says("0>1", "TargetPortalGroupTag=1 AuthMethod=None")
            }
            Stage::SecurityNegotiation => self.says("0>1", ""),
            _ => self.says("1>3", &self.accepted_but(changes)),
        }
    }

    /// The text of [`granted_but`](Self::granted_but) in the operational stage.
    pub(crate) fn accepted_but(&self, changes: &[&str]) -> String {
        let mut answers = Vec::new();
        for (key, value) in self.open.clone() {
            let taken = match key.as_str() {
                "HeaderDigest" | "DataDigest" => value.split(',').next().expect("a list").into(),
                "MaxRecvDataSegmentLength" => "65536".to_owned(),
                _ => value,
            };
            answers.push((key, taken));
        }
        for change in changes {
            let (key, value) = change.split_once('=').expect("key=value");
            match answers.iter_mut().find(|(name, _)| name == key) {
                Some((_, answer)) => value.clone_into(answer),
                None => answers.push((key.to_owned(), value.to_owned())),
            }
        }
        answers.retain(|(_, value)| !value.is_empty());
        answers.iter().map(|(key, value)| format!("{key}={value} ")).collect()
    }
}

/// `key=value` pairs, each with its NUL; `%` is a blank.
pub(crate) fn text(pairs: &str) -> Vec<u8> {
    pairs
        .split_whitespace()
        .flat_map(|pair| format!("{pair}\0").replace('%', " ").into_bytes())
        .collect()
}

fn values(text: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(text).expect("UTF-8");
    let pairs = text.split_terminator('\0');
    pairs.filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

fn stage(code: char) -> Stage {
    match code {
        '0' => Stage::SecurityNegotiation,
        '1' => Stage::OperationalNegotiation,
        '3' => Stage::FullFeaturePhase,
        other => panic!("no stage {other}"),
    }
}

fn code(stage: Stage) -> char {
    match stage {
        Stage::SecurityNegotiation => '0',
        Stage::OperationalNegotiation => '1',
        Stage::FullFeaturePhase => '3',
    }
}

// --- what the target answers ---

/// One Login Response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    header: LoginResponse,
    text: Vec<u8>,
    /// Bytes of the header that say what [`LoginResponse`] cannot.
    bytes: Vec<(usize, u8)>,
}

impl Answer {
    /// Changes fields.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut LoginResponse)) -> Self {
        change(&mut self.header);
        self
    }

    /// Changes a byte of the header.
    pub(crate) fn byte(mut self, at: usize, value: u8) -> Self {
        self.bytes.push((at, value));
        self
    }

    pub(crate) fn pdu(&self) -> Pdu {
        let mut pdu = Pdu::new(Response::Login(self.header).emit(), self.text.clone());
        let mut bytes = *pdu.header.as_bytes();
        self.bytes.iter().for_each(|&(at, value)| bytes[at] = value);
        pdu.header = BasicHeaderSegment::from_bytes(bytes);
        pdu
    }
}

/// What goes out for a request.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pdus: Vec<Pdu>,
    last: Option<LoginResponse>,
}

impl Reply {
    /// Nothing.
    pub(crate) fn silence() -> Self {
        Self::default()
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self { pdus: vec![answer.pdu()], last: Some(answer.header) }
    }
}

impl From<Vec<Answer>> for Reply {
    fn from(answers: Vec<Answer>) -> Self {
        let last = answers.last().map(|answer| answer.header);
        Self { pdus: answers.iter().map(Answer::pdu).collect(), last }
    }
}

impl From<Pdu> for Reply {
    fn from(pdu: Pdu) -> Self {
        Self { pdus: vec![pdu], last: None }
    }
}

/// Each text of `script` in pieces, cut at these places: every piece but the last has C=1.
pub(crate) fn in_pieces(
    mut script: impl FnMut(&Seen) -> Answer + Send + 'static,
    cuts: impl Fn(&[u8]) -> Vec<usize> + Send + 'static,
) -> impl FnMut(&Seen) -> Answer + Send + 'static {
    let mut under_way: Option<(Answer, VecDeque<Vec<u8>>)> = None;
    move |seen| {
        let (whole, mut pieces) = under_way.take().unwrap_or_else(|| {
            let whole = script(seen);
            let mut rest = whole.text.as_slice();
            let mut pieces = VecDeque::new();
            let mut from = 0;
            for cut in cuts(&whole.text) {
                let (piece, tail) = rest.split_at(cut - from);
                pieces.push_back(piece.to_vec());
                (rest, from) = (tail, cut);
            }
            pieces.push_back(rest.to_vec());
            (whole, pieces)
        });
        let piece = pieces.pop_front().expect("a piece");
        if pieces.is_empty() {
            let numbers = seen.says("0", "").header.numbers;
            return Answer { text: piece, ..whole }.with(|header| header.numbers = numbers);
        }
        let stage = code(seen.header.current_stage);
        let answer = seen.says_bytes(&format!("{stage}+"), &piece);
        under_way = Some((whole, pieces));
        answer
    }
}

// --- the play ---

#[derive(Default)]
struct Log {
    logins: Vec<Seen>,
    /// Everything else that came, with the number of its connection.
    others: Vec<(u64, Pdu)>,
}

/// A login to be played.
pub(crate) struct Play {
    target: Target,
    setting: Setting,
    configure: Box<dyn FnOnce(&mut SessionConfig)>,
    log: Arc<Mutex<Log>>,
}

/// A login that `script` answers, on every connection.
pub(crate) fn login<R: Into<Reply>>(script: impl FnMut(&Seen) -> R + Send + 'static) -> Play {
    login_from(1, script)
}

/// As [`login`]; the first StatSN is this.
pub(crate) fn login_from<R: Into<Reply>>(
    first_stat_sn: u32,
    mut script: impl FnMut(&Seen) -> R + Send + 'static,
) -> Play {
    let target = target().build();
    let log = Arc::new(Mutex::new(Log::default()));
    let noted = Arc::clone(&log);
    let mut answered: Option<(u64, LoginResponse)> = None;
    let mut offers: (u64, Vec<u8>) = (0, Vec::new());
    let mut heard = HashSet::new();
    target.on_request(move |wire, pdu| {
        let mut log = lock(&noted);
        let Ok(Request::Login(header)) = Request::parse(&pdu.header) else {
            log.others.push((wire.connection, pdu.clone()));
            return Handling::Swallow;
        };
        let connection = wire.connection;
        let step = log.logins.iter().filter(|seen| seen.connection == connection).count();
        let before = answered.filter(|(number, _)| *number == connection).map(|(_, last)| last);
        let stat_sn =
            before.map_or(SerialNumber(first_stat_sn), |last| last.numbers.stat_sn.next());
        let (bytes, text) = (*pdu.header.as_bytes(), pdu.data.clone());
        if offers.0 != connection {
            offers = (connection, Vec::new());
            heard.clear();
        }
        if header.current_stage == Stage::OperationalNegotiation {
            offers.1.extend_from_slice(&text);
        }
        // What only answers the target, in whatever words, is no offer.
        let mut open = if header.text_continues { Vec::new() } else { values(&offers.1) };
        open.retain(|(key, _)| !heard.contains(key));
        let seen = Seen { connection, step, header, text, bytes, stat_sn, answered: before, open };
        let reply: Reply = script(&seen).into();
        log.logins.push(seen);
        for pdu in &reply.pdus {
            let text = String::from_utf8_lossy(&pdu.data);
            let keys = text.split_terminator('\0').filter_map(|pair| pair.split_once('='));
            heard.extend(keys.map(|(key, _)| key.to_owned()));
        }
        answered = reply.last.map(|last| (connection, last));
        let exact = |pdu| Injection { pdu, numbering: Numbering::Exact };
        Handling::Answer(reply.pdus.into_iter().map(exact).collect())
    });
    Play { target, setting: Setting::new(&[]), configure: Box::new(|_| {}), log }
}

/// A willing target, but for these answers to operational keys (see [`Seen::granted_but`]).
pub(crate) fn login_but(changes: &'static [&'static str]) -> Play {
    login(move |seen| seen.granted_but(changes))
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Play {
    /// Sets parameters.
    pub(crate) fn parameters(mut self, parameters: &[(&str, &str)]) -> Self {
        self.setting = Setting::new(parameters);
        self
    }

    /// The CmdSN of the login.
    pub(crate) fn initial_cmd_sn(mut self, cmd_sn: u32) -> Self {
        self.setting.initial_cmd_sn = cmd_sn;
        self
    }

    /// Sets what no parameter does.
    pub(crate) fn configured(
        mut self,
        configure: impl FnOnce(&mut SessionConfig) + 'static,
    ) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Both ends, before anything moved.
    pub(crate) fn begin(self) -> Played {
        let pair = Pair::configured(&self.target, &self.setting, self.configure);
        Played { pair, log: self.log }
    }

    /// Plays on until the login is over: full feature phase, or the first error.
    pub(crate) fn run(self) -> Played {
        let mut played = self.begin();
        played.pair.run_until("the end of the login", |isboot| {
            isboot.negotiated().is_some() || isboot.last_error().is_some()
        });
        played.pair.pass(Duration::ZERO);
        played
    }

    /// The login succeeds.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Negotiated {
        self.run().logged_in()
    }

    /// The login fails at once and for good; see [`Played::failed`].
    #[track_caller]
    pub(crate) fn fails(self) -> Error {
        self.run().failed()
    }

    /// The login fails over what the target says of a key.
    #[track_caller]
    pub(crate) fn fails_over(self, wanted: &str) -> KeyProblem {
        match self.fails() {
            Error::Login(LoginError::PeerMisbehaved(Misbehaviour::Key {
                key, problem, ..
            })) if key == wanted => problem,
            error => panic!("not over {wanted}: {error}"),
        }
    }

    /// The connection is dropped at once; see [`Played::dropped`].
    #[track_caller]
    pub(crate) fn drops(self) -> Error {
        self.run().dropped()
    }
}

/// A login that was played.
pub(crate) struct Played {
    pub(crate) pair: Pair,
    log: Arc<Mutex<Log>>,
}

impl Played {
    /// The Login Requests so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        lock(&self.log).logins.clone()
    }

    /// What came after the login, on all connections.
    pub(crate) fn others(&self) -> Vec<Pdu> {
        lock(&self.log).others.iter().map(|(_, pdu)| pdu.clone()).collect()
    }

    /// Flags and pairs of each request.
    pub(crate) fn conversation(&self) -> Vec<(String, String)> {
        self.requests().iter().map(|seen| (seen.flags(), seen.pairs())).collect()
    }

    /// What followed the first request in which a key stood: the pairs of the request after it.
    #[track_caller]
    pub(crate) fn pairs_of(&self, step: usize) -> String {
        self.requests().get(step).expect("a request of this number").pairs()
    }

    /// The login succeeded, and full feature phase follows with the right numbers.
    #[track_caller]
    pub(crate) fn logged_in(&self) -> Negotiated {
        self.check();
        let isboot = &self.pair.isboot;
        let negotiated = isboot.negotiated();
        let negotiated = negotiated.unwrap_or_else(|| panic!("{:?}", isboot.last_error())).clone();
        let log = lock(&self.log);
        let last = log.logins.last().expect("a Login Request");
        if let Some((_, pdu)) = log.others.first() {
            let bytes = pdu.header.as_bytes();
            assert_eq!(bytes[24..28], last.header.cmd_sn.0.to_be_bytes(), "CmdSN of the login");
            assert_eq!(bytes[28..32], last.stat_sn.next().0.to_be_bytes(), "final StatSN + 1");
        }
        negotiated
    }

    /// The login failed: the connection is closed, the error reaches the caller, and nobody tries
    /// again, however long.
    #[track_caller]
    pub(crate) fn failed(mut self) -> Error {
        let error = self.dropped_now();
        assert_eq!(self.pair.isboot.state(), State::Ended(Some(error)), "the error is final");
        self.pair.pass(Duration::from_secs(600));
        self.assert_one_connection(&error);
        assert!(self.others().is_empty(), "{error}: {:?}", self.others());
        error
    }

    /// The connection is closed at once, and nothing more is said on it.
    #[track_caller]
    pub(crate) fn dropped(mut self) -> Error {
        let error = self.dropped_now();
        let spoken = self.requests().len();
        self.pair.pass(Duration::from_millis(50));
        assert_eq!(self.requests().len(), spoken, "{error}: another request");
        self.assert_one_connection(&error);
        assert!(self.others().is_empty(), "{error}: {:?}", self.others());
        error
    }

    #[track_caller]
    fn dropped_now(&mut self) -> Error {
        self.check();
        let isboot = &self.pair.isboot;
        let error = isboot.last_error().unwrap_or_else(|| panic!("it went well: {isboot:?}"));
        assert!(!self.pair.wire.is_open(), "{error}: the connection stays open");
        assert!(!error.to_string().is_empty());
        error
    }

    #[track_caller]
    fn assert_one_connection(&self, error: &Error) {
        assert_eq!(self.pair.wire.portals().len(), 1, "{error}: tried again");
    }

    /// What holds for every Login Request (RFC 7143 §6.2, §6.3, §11.12).
    #[track_caller]
    pub(crate) fn check(&self) {
        self.pair.assert_no_violations();
        let requests = self.requests();
        for seen in &requests {
            let place = format!("request {} of connection {}", seen.step, seen.connection);
            let Seen { header, text, bytes, .. } = seen;
            assert_eq!(bytes[0], 0x40 | opcode::LOGIN_REQUEST, "{place}");
            assert_eq!((header.version_max, header.version_min), (0, 0), "{place}");
            assert_eq!(header.tsih, 0, "{place}: TSIH");
            assert!(header.isid[0] >> 6 != 0b11, "{place}: ISID type");
            assert!(text.len() <= 8192, "{place}: {} bytes", text.len());
            assert!(!(header.transit && header.text_continues), "{place}: T and C");
            let flags = seen.flags();
            assert!(["0", "0+", "0>1", "1", "1+", "1>3"].contains(&flags.as_str()), "{flags}");
            if let Some(answered) = &seen.answered {
                let wanted = answered.numbers.stat_sn.next();
                assert_eq!(header.exp_stat_sn, wanted, "{place}: ExpStatSN");
                if answered.text_continues {
                    assert_eq!((text.len(), header.text_continues), (0, false), "{place}: C=1");
                }
                let stage =
                    if answered.transit { answered.next_stage } else { answered.current_stage };
                assert_eq!(header.current_stage, stage, "{place}: CSG");
            }
        }
        let connections: HashSet<u64> = requests.iter().map(|seen| seen.connection).collect();
        for connection in connections {
            let requests: Vec<&Seen> =
                requests.iter().filter(|seen| seen.connection == connection).collect();
            let constant = |header: &LoginRequest| {
                (header.initiator_task_tag, header.isid, header.cid, header.cmd_sn)
            };
            let first = constant(&requests[0].header);
            assert!(requests.iter().all(|seen| constant(&seen.header) == first), "{requests:?}");
            // One text from all of them: a pair may be cut anywhere.
            let text: Vec<u8> = requests.iter().flat_map(|seen| seen.text.clone()).collect();
            assert!(text.is_empty() || text.ends_with(&[0]), "a text ends with NUL");
            let mut keys = HashSet::new();
            for (key, value) in values(&text) {
                assert!(key.len() <= 63 && !value.is_empty(), "{key}={value}");
                assert!(keys.insert(key.clone()), "{key} twice");
            }
            for key in ["InitiatorName", "SessionType"] {
                assert!(requests[0].value(key).is_some(), "{key} in the first request");
            }
        }
    }
}
