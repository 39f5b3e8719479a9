//! Addresses of host names, asked of name servers (RFC 1035): one name at a time, in bounded time,
//! and no answer counts that was not asked for.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use heapless::{String, Vec};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData,
    IpEndpoint,
};

use super::random::Random;
use super::{NAME_SERVER_LIMIT, is_station};

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// It is no host name: labels of 1 to 63 bytes, 253 in all (RFC 1035 §2.3.4).
    BadName,
    /// The interface has no address to ask from.
    NoAddress,
    /// There is nobody to ask: neither DHCP nor a router nor the configuration names a server.
    NoServer,
    /// There is no such host, says the server.
    NoSuchHost(IpAddr),
    /// The host has no address of our family that a target can have, says the server.
    NoHostAddress(IpAddr),
    /// No server gave an answer; this one refused, with this response code (RFC 1035 §4.1.1).
    Refused(IpAddr, u8),
    /// The answer did not fit a datagram.
    Cut(IpAddr),
    /// No server gave an answer in time; the last one asked.
    TimedOut(IpAddr),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("it is no host name"),
            Self::NoAddress => f.write_str("the interface has no address to ask from"),
            Self::NoServer => f.write_str("no name server is known; parameter dns names one"),
            Self::NoSuchHost(server) => write!(f, "name server {server} knows no such host"),
            Self::NoHostAddress(server) => {
                write!(
                    f,
                    "name server {server} knows no address of it that can be reached from ours"
                )
            }
            Self::Refused(server, code) => {
                write!(f, "name server {server} refused to answer, with response code {code}")
            }
            Self::Cut(server) => {
                write!(f, "the answer of name server {server} does not fit a datagram")
            }
            Self::TimedOut(server) => write!(f, "name server {server} did not answer in time"),
        }
    }
}

impl core::error::Error for ResolveError {}

/// How long each server may take, by the round that it is asked in.
const PATIENCE: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Where name servers listen.
const PORT: u16 = 53;
/// The dynamic ports (RFC 6335 §6).
const FIRST_DYNAMIC_PORT: u16 = 49152;
/// The longest name as text, and with its labels' lengths.
const NAME_LIMIT: usize = 253;
const QUESTION_LIMIT: usize = NAME_LIMIT + 2;
const LABEL_LIMIT: usize = 63;
const HEADER: usize = 12;
/// Answers that wait to be read, of up to 512 bytes (RFC 1035 §4.2.1): guesses may come before the
/// one that counts.
const ANSWERS: usize = 8;
const ANSWER_LENGTH: usize = 512;
/// Aliases followed from a name to an address.
const ALIAS_LIMIT: usize = 8;
/// Answers that are not to our question before it is asked anew, under other numbers: somebody
/// is guessing (RFC 5452 §9.3).
const GUESS_LIMIT: u8 = 4;

/// Room for the datagrams.
#[derive(Debug)]
pub(super) struct Datagrams {
    received: [PacketMetadata; ANSWERS],
    received_bytes: [u8; ANSWERS * ANSWER_LENGTH],
    sent: [PacketMetadata; 1],
    sent_bytes: [u8; HEADER + QUESTION_LIMIT + 4],
}

impl Datagrams {
    pub(super) const fn new() -> Self {
        Self {
            received: [PacketMetadata::EMPTY; ANSWERS],
            received_bytes: [0; ANSWERS * ANSWER_LENGTH],
            sent: [PacketMetadata::EMPTY; 1],
            sent_bytes: [0; HEADER + QUESTION_LIMIT + 4],
        }
    }
}

/// Asks for one name at a time.
#[derive(Debug)]
pub(super) struct Resolver {
    socket: SocketHandle,
    name: String<NAME_LIMIT>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Asking(Attempt),
    Done(Result<IpAddr, ResolveError>),
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// Counts servers, round by round.
    number: usize,
    identifier: u16,
    server: IpAddr,
    deadline: Duration,
    guesses: u8,
    /// What a server said that did answer, and did not help.
    refused: Option<ResolveError>,
}

impl Resolver {
    pub(super) fn new<'a>(sockets: &mut SocketSet<'a>, room: &'a mut Datagrams) -> Self {
        let received = PacketBuffer::new(&mut room.received[..], &mut room.received_bytes[..]);
        let sent = PacketBuffer::new(&mut room.sent[..], &mut room.sent_bytes[..]);
        let socket = sockets.add(Socket::new(received, sent));
        Self { socket, name: String::new(), state: State::Idle }
    }

    /// Begins with the next [`poll`](Self::poll).
    pub(super) fn start(&mut self, name: &str) -> Result<(), ResolveError> {
        // A final dot marks a complete name.
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = |label: &str| (1..=LABEL_LIMIT).contains(&label.len()) && label.is_ascii();
        if !name.split('.').all(fits) {
            return Err(ResolveError::BadName);
        }
        self.name = String::try_from(name).map_err(|_| ResolveError::BadName)?;
        let nobody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        self.state = State::Asking(Attempt {
            number: 0,
            identifier: 0,
            server: nobody,
            deadline: Duration::ZERO,
            guesses: 0,
            refused: None,
        });
        Ok(())
    }

    /// What came of it, once.
    pub(super) fn take_result(&mut self) -> Option<Result<IpAddr, ResolveError>> {
        let State::Done(result) = self.state else { return None };
        self.state = State::Idle;
        Some(result)
    }

    /// When an answer is overdue.
    pub(super) const fn due(&self) -> Option<Duration> {
        match self.state {
            State::Asking(attempt) => Some(attempt.deadline),
            _ => None,
        }
    }

    /// The server that is being asked.
    pub(super) const fn server(&self) -> Option<IpAddr> {
        match self.state {
            State::Asking(Attempt { number: 1.., server, .. }) => Some(server),
            _ => None,
        }
    }

    /// Takes in answers, and asks the next server when its time has come. `is_ipv6` says what kind
    /// of address is of use, if any is yet.
    pub(super) fn poll(
        &mut self,
        now: Duration,
        sockets: &mut SocketSet<'_>,
        servers: &Vec<IpAddr, NAME_SERVER_LIMIT>,
        is_ipv6: Option<bool>,
        random: &mut Random,
    ) {
        let State::Asking(mut attempt) = self.state else { return };
        let Some(is_ipv6) = is_ipv6 else {
            self.state = State::Done(Err(ResolveError::NoAddress));
            return;
        };
        let socket = sockets.get_mut::<Socket<'_>>(self.socket);
        let kind = if is_ipv6 { DnsQueryType::Aaaa } else { DnsQueryType::A };
        let mut next = now >= attempt.deadline;
        while let Ok((bytes, metadata)) = socket.recv() {
            let from: SocketAddr =
                (IpAddr::from(metadata.endpoint.addr), metadata.endpoint.port).into();
            let is_from_server = from == SocketAddr::new(attempt.server, PORT);
            let answer = DnsPacket::new_checked(bytes).ok().filter(|_| is_from_server);
            match answer.map(|answer| read(&answer, attempt.identifier, &self.name, kind)) {
                Some(Answer::Address(address)) => {
                    self.state = State::Done(Ok(address));
                    socket.close();
                    return;
                }
                Some(Answer::NoHost) => {
                    return self.fail(socket, ResolveError::NoSuchHost(attempt.server));
                }
                Some(Answer::NoAddress) => {
                    return self.fail(socket, ResolveError::NoHostAddress(attempt.server));
                }
                Some(Answer::Refused(code)) => {
                    attempt.refused = Some(ResolveError::Refused(attempt.server, code));
                    next = true;
                }
                Some(Answer::Cut) => {
                    attempt.refused = Some(ResolveError::Cut(attempt.server));
                    next = true;
                }
                Some(Answer::Other) | None => {
                    attempt.guesses = attempt.guesses.saturating_add(1);
                    next |= attempt.guesses >= GUESS_LIMIT;
                }
            }
        }
        if next {
            let usable = servers.iter().filter(|server| server.is_ipv6() == is_ipv6);
            let count = usable.clone().count();
            let asked = attempt.number;
            let round = asked.checked_div(count).and_then(|round| PATIENCE.get(round));
            let index = asked.checked_rem(count).unwrap_or(0);
            let (Some(&server), Some(&patience)) = (usable.clone().nth(index), round) else {
                let last = attempt.refused.unwrap_or(ResolveError::TimedOut(attempt.server));
                let error = if count == 0 { ResolveError::NoServer } else { last };
                return self.fail(socket, error);
            };
            attempt = Attempt {
                number: asked.saturating_add(1),
                identifier: random.next_u16(),
                server,
                deadline: now.saturating_add(patience),
                guesses: 0,
                refused: attempt.refused,
            };
            // Another port, too: what still comes to the last one is not heard.
            socket.close();
            let _ = socket.bind(FIRST_DYNAMIC_PORT | random.next_u16());
            let question = question(&self.name, attempt.identifier, kind);
            let _ = socket.send_slice(&question, IpEndpoint::new(server.into(), PORT));
        }
        self.state = State::Asking(attempt);
    }

    fn fail(&mut self, socket: &mut Socket<'_>, error: ResolveError) {
        socket.close();
        self.state = State::Done(Err(error));
    }
}

/// A question for the addresses of a name: recursion desired, one question (RFC 1035 §4.1).
fn question(
    name: &str,
    identifier: u16,
    kind: DnsQueryType,
) -> Vec<u8, { HEADER + QUESTION_LIMIT + 4 }> {
    const RECURSION_DESIRED: u8 = 1;
    const CLASS_IN: u16 = 1;
    let mut bytes = Vec::new();
    let [high, low] = identifier.to_be_bytes();
    // It is as long as the longest name needs.
    let mut push = |part: &[u8]| {
        let _ = bytes.extend_from_slice(part);
    };
    push(&[high, low, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        push(&[u8::try_from(label.len()).unwrap_or(0)]);
        push(label.as_bytes());
    }
    push(&[0]);
    push(&u16::from(kind).to_be_bytes());
    push(&CLASS_IN.to_be_bytes());
    bytes
}

/// What a datagram from a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Address(IpAddr),
    NoHost,
    NoAddress,
    Refused(u8),
    /// The address may be in what did not fit the datagram.
    Cut,
    /// It is no answer to our question.
    Other,
}

fn read(packet: &DnsPacket<&[u8]>, identifier: u16, name: &str, kind: DnsQueryType) -> Answer {
    let is_answer = packet.transaction_id() == identifier
        && packet.opcode() == DnsOpcode::Query
        && packet.flags().contains(DnsFlags::RESPONSE)
        && packet.question_count() == 1;
    let asked = DnsQuestion::parse(packet.payload()).ok();
    let Some((records, asked)) = asked.filter(|(_, asked)| asked.type_ == kind && is_answer) else {
        return Answer::Other;
    };
    if !is_same(packet, asked.name, name.split('.').map(str::as_bytes)) {
        return Answer::Other;
    }
    match packet.rcode() {
        DnsRcode::NoError => {}
        DnsRcode::NXDomain => return Answer::NoHost,
        other => return Answer::Refused(other.into()),
    }
    match find_address(packet, records, asked.name) {
        Some(address) => Answer::Address(address),
        // What is missing may have been cut off.
        None if packet.flags().contains(DnsFlags::TRUNCATED) => Answer::Cut,
        None => Answer::NoAddress,
    }
}

/// Follows aliases from a name to the first address that a target can have.
fn find_address<'a>(
    packet: &DnsPacket<&'a [u8]>,
    records: &'a [u8],
    asked: &'a [u8],
) -> Option<IpAddr> {
    let mut name = asked;
    for _ in 0..ALIAS_LIMIT {
        let (mut rest, mut alias) = (records, None);
        for _ in 0..packet.answer_record_count() {
            let Ok((behind, record)) = DnsRecord::parse(rest) else { break };
            rest = behind;
            let labels = packet.parse_name(name).map_while(Result::ok);
            if !is_same(packet, record.name, labels) {
                continue;
            }
            let address = match record.data {
                DnsRecordData::A(address) => IpAddr::V4(address),
                DnsRecordData::Aaaa(address) => IpAddr::V6(address),
                DnsRecordData::Cname(target) => {
                    alias.get_or_insert(target);
                    continue;
                }
                DnsRecordData::Other(..) => continue,
            };
            // A loopback address would turn the login to this host.
            let canonical = address.to_canonical();
            if canonical == address && is_station(address) && !address.is_loopback() {
                return Some(address);
            }
        }
        name = alias?;
    }
    None
}

/// Whether a name in a packet has these labels, whatever their case.
fn is_same<'a>(
    packet: &DnsPacket<&[u8]>,
    name: &[u8],
    labels: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let mut ours = labels;
    for label in packet.parse_name(name) {
        match (label, ours.next()) {
            (Ok(label), Some(ours)) if label.eq_ignore_ascii_case(ours) => {}
            _ => return false,
        }
    }
    ours.next().is_none()
}
