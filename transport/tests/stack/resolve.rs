//! Names of targets: the servers that are asked, how long for, and what counts as an answer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use isboot_transport::netstack::{Addressing, Configuration, NetStack, ResolveError, Sockets};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::wire::{End, cable};
use crate::{OUR_MAC, PEER_MAC, fixed, forever, ip};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const NAME: &str = "disks.example.org";

/// A question as a server sees it.
#[derive(Clone)]
struct Asked {
    at: Duration,
    server: IpAddr,
    port: u16,
    bytes: Vec<u8>,
}

/// Name servers, all on one machine, and us.
struct Rig {
    stack: NetStack<'static, End>,
    interface: Interface,
    end: End,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    asked: Vec<Asked>,
    /// Somebody who sees the questions, and answers them before the servers do.
    liar: Option<IpAddr>,
    now: Duration,
}

impl Rig {
    fn new(addressing: Addressing, dns: Option<&str>, seed: u64, servers: &[&str]) -> Self {
        let (ours, mut end) = cable();
        let configuration =
            Configuration { dns: dns.map(ip), ..Configuration::new(OUR_MAC, addressing, seed) };
        let room = forever(Sockets::new());
        let stack = NetStack::new(ours, room, &configuration, Duration::ZERO).unwrap();
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(PEER_MAC)));
        let mut interface = Interface::new(config, &mut end, Instant::ZERO);
        interface.update_ip_addrs(|own| {
            for server in servers {
                let prefix = if server.contains(':') { 64 } else { 24 };
                own.push(IpCidr::new(IpAddress::from(ip(server)), prefix)).unwrap();
            }
        });
        let mut sockets = SocketSet::new(forever(vec![SocketStorage::EMPTY]).as_mut_slice());
        let buffer = || {
            let metadata = forever(vec![udp::PacketMetadata::EMPTY; 64]).as_mut_slice();
            udp::PacketBuffer::new(metadata, forever(vec![0; 65536]).as_mut_slice())
        };
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(53).unwrap();
        let socket = sockets.add(socket);
        Self {
            stack,
            interface,
            end,
            sockets,
            socket,
            asked: vec![],
            liar: None,
            now: Duration::ZERO,
        }
    }

    fn v4() -> Self {
        Self::new(fixed("10.0.2.15", 24, None), Some("10.0.2.3"), 42, &["10.0.2.3"])
    }

    /// Asks; `answer` says what the servers send, and from which port.
    fn ask(
        &mut self,
        name: &str,
        mut answer: impl FnMut(&Asked) -> Vec<Vec<u8>>,
    ) -> Result<IpAddr, ResolveError> {
        self.stack.resolve(name)?;
        let start = self.now;
        loop {
            if let Some(result) = self.stack.resolved() {
                assert_eq!(self.stack.resolved(), None, "told once");
                return result;
            }
            assert!(self.now - start < 30 * SECOND, "still asking");
            self.step(&mut answer);
        }
    }

    fn step(&mut self, answer: &mut impl FnMut(&Asked) -> Vec<Vec<u8>>) {
        self.now += MILLISECOND;
        self.stack.poll(self.now);
        let at = Instant::from_micros(self.now.as_micros() as i64);
        self.interface.poll(at, &mut self.end, &mut self.sockets);
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        let mut questions = vec![];
        while let Ok((bytes, metadata)) = socket.recv() {
            let asked = Asked {
                at: self.now,
                server: metadata.local_address.unwrap().into(),
                port: metadata.endpoint.port,
                bytes: bytes.to_vec(),
            };
            questions.push((asked, metadata));
        }
        for (asked, metadata) in questions {
            if let Some(liar) = self.liar {
                let lie = udp::UdpMetadata { local_address: Some(liar.into()), ..metadata };
                socket.send_slice(&reply(&asked, 0, &[address("192.0.2.66")]), lie).unwrap();
            }
            for reply in answer(&asked) {
                socket.send_slice(&reply, metadata).unwrap();
            }
            self.asked.push(asked);
        }
        self.interface.poll(at, &mut self.end, &mut self.sockets);
        isboot_transport::device::EthernetDevice::flush(&mut self.end);
        self.stack.poll(self.now);
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = vec![];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// One record; the name of the question is at 12.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let head = [kind.to_be_bytes(), [0, 1], [0, 0], [0, 60], (data.len() as u16).to_be_bytes()];
    [name, &head.concat(), data].concat()
}

const OF_THE_QUESTION: [u8; 2] = [0xc0, 12];

fn address(text: &str) -> Vec<u8> {
    match ip(text) {
        IpAddr::V4(v4) => record(&OF_THE_QUESTION, A, &v4.octets()),
        IpAddr::V6(v6) => record(&OF_THE_QUESTION, AAAA, &v6.octets()),
    }
}

/// The question with its answer: flags, response code, records.
fn reply(asked: &Asked, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = asked.bytes.clone();
    bytes[2] = 0x81;
    bytes[3] = 0x80 | code;
    bytes[7] = records.len() as u8;
    bytes.extend(records.concat());
    bytes
}

#[test]
fn a_name_has_the_address_that_its_server_says() {
    let mut rig = Rig::v4();
    let result = rig.ask(NAME, |asked| vec![reply(asked, 0, &[address("192.0.2.7")])]);
    assert_eq!(result, Ok(ip("192.0.2.7")));
    let asked = &rig.asked[0];
    let expected = [&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &labels(NAME), &[0, 1, 0, 1]].concat();
    assert_eq!(asked.bytes[2..], expected);
    assert!(asked.port >= 49152);
    assert_eq!(rig.asked.len(), 1);
    // The same in capitals, and with the dot that ends a complete name.
    let shout = |asked: &Asked| {
        let mut reply = reply(asked, 0, &[address("192.0.2.8")]);
        reply[12..].make_ascii_uppercase();
        vec![reply]
    };
    assert_eq!(rig.ask("disks.example.org.", shout), Ok(ip("192.0.2.8")));
}

#[test]
fn over_ipv6_it_is_an_ipv6_address() {
    let addressing = fixed("fec0::15", 64, None);
    let mut rig = Rig::new(addressing, Some("fec0::3"), 42, &["fec0::3"]);
    let result = rig.ask(NAME, |asked| vec![reply(asked, 0, &[address("2001:db8::7")])]);
    assert_eq!(result, Ok(ip("2001:db8::7")));
    assert_eq!(rig.asked[0].bytes[rig.asked[0].bytes.len() - 4..], [0, 28, 0, 1]);
}

#[test]
fn aliases_are_followed_within_the_answer() {
    let chain = |length: usize| {
        move |asked: &Asked| {
            let name = |index: usize| match index {
                0 => labels(NAME),
                _ => labels(&format!("alias{index}.example.org")),
            };
            let mut records: Vec<_> =
                (0..length).map(|index| record(&name(index), CNAME, &name(index + 1))).collect();
            records.push(record(&name(length), A, &[192, 0, 2, 9]));
            // In no order that helps.
            records.reverse();
            vec![reply(asked, 0, &records)]
        }
    };
    let mut rig = Rig::v4();
    for length in [0, 1, 7] {
        assert_eq!(rig.ask(NAME, chain(length)), Ok(ip("192.0.2.9")), "{length}");
    }
    let none = Err(ResolveError::NoHostAddress(ip("10.0.2.3")));
    assert_eq!(rig.ask(NAME, chain(8)), none);
    let circle =
        |asked: &Asked| vec![reply(asked, 0, &[record(&OF_THE_QUESTION, CNAME, &OF_THE_QUESTION)])];
    assert_eq!(rig.ask(NAME, circle), none);
    // A name that points at itself, which no name may.
    let knot = |asked: &Asked| {
        let at = (asked.bytes.len() as u16 | 0xc000).to_be_bytes();
        vec![reply(asked, 0, &[record(&at, CNAME, &at)])]
    };
    assert_eq!(rig.ask(NAME, knot), none);
}

/// Addresses that no target can have, or of another name, are passed over.
#[test]
fn addresses_that_no_target_can_have_do_not_count() {
    let mut rig = Rig::v4();
    let useless = [
        address("0.0.0.0"),
        address("127.0.0.1"),
        address("224.0.0.1"),
        address("255.255.255.255"),
        address("::ffff:192.0.2.1"),
        record(&labels("other.example.org"), A, &[192, 0, 2, 1]),
        record(&OF_THE_QUESTION, 16, b"text"),
    ];
    let records = useless.to_vec();
    let none = Err(ResolveError::NoHostAddress(ip("10.0.2.3")));
    assert_eq!(rig.ask(NAME, |asked| vec![reply(asked, 0, &records)]), none);
    let records = [&useless[..], &[address("192.0.2.2")]].concat();
    assert_eq!(rig.ask(NAME, |asked| vec![reply(asked, 0, &records)]), Ok(ip("192.0.2.2")));
}

#[test]
fn what_is_no_answer_to_our_question_is_not_taken() {
    type Forgery = fn(&mut Vec<u8>);
    let forgeries: [Forgery; 7] = [
        |bytes| bytes[0] ^= 1,
        // A question.
        |bytes| bytes[2] &= 0x7f,
        // Another operation.
        |bytes| bytes[2] |= 0x10,
        // Two questions, or none.
        |bytes| bytes[5] = 2,
        |bytes| bytes[5] = 0,
        // Another name, another kind.
        |bytes| bytes[13] = b'x',
        |bytes| bytes[32] = 28,
    ];
    for forgery in forgeries {
        let mut rig = Rig::v4();
        let result = rig.ask(NAME, |asked| {
            let mut forged = reply(asked, 0, &[address("192.0.2.66")]);
            forgery(&mut forged);
            let cut = forged[..11].to_vec();
            vec![forged, cut, vec![], reply(asked, 0, &[address("192.0.2.7")])]
        });
        assert_eq!(result, Ok(ip("192.0.2.7")));
        assert_eq!(rig.asked.len(), 1);
    }
}

#[test]
fn what_comes_from_somebody_else_is_not_taken() {
    let servers = ["10.0.2.3", "10.0.2.66"];
    let mut rig = Rig::new(fixed("10.0.2.15", 24, None), Some("10.0.2.3"), 42, &servers);
    rig.liar = Some(ip("10.0.2.66"));
    let result = rig.ask(NAME, |asked| vec![reply(asked, 0, &[address("192.0.2.7")])]);
    assert_eq!(result, Ok(ip("192.0.2.7")));
}

/// Somebody guesses numbers: the question is put anew, under others.
#[test]
fn a_flood_of_guesses_ends_the_attempt() {
    let mut rig = Rig::v4();
    let result = rig.ask(NAME, |asked| {
        let mut forged = reply(asked, 0, &[address("192.0.2.66")]);
        (0..60_u8)
            .map(|guess| {
                forged[1] = asked.bytes[1] ^ (guess | 0x80);
                forged.clone()
            })
            .collect()
    });
    assert_eq!(result, Err(ResolveError::TimedOut(ip("10.0.2.3"))));
    assert_eq!(rig.asked.len(), 3);
    assert!(rig.now < 2 * SECOND);
}

/// RFC 5452 §9.2, RFC 6056: neither the port nor the identifier of the next question follows.
#[test]
fn identifiers_and_ports_are_of_no_order() {
    let mut rig = Rig::v4();
    for _ in 0..100 {
        rig.ask(NAME, |asked| vec![reply(asked, 0, &[address("192.0.2.7")])]).unwrap();
    }
    let numbers: Vec<_> = rig.asked.iter().map(|asked| (&asked.bytes[..2], asked.port)).collect();
    let distinct = |count: usize| assert!(count >= 99, "{count}");
    distinct(numbers.iter().map(|(identifier, _)| identifier).collect::<BTreeSet<_>>().len());
    distinct(numbers.iter().map(|(_, port)| port).collect::<BTreeSet<_>>().len());
    let steps: BTreeSet<_> =
        numbers.windows(2).map(|pair| pair[1].1.wrapping_sub(pair[0].1)).collect();
    distinct(steps.len());
    // Another seed, other numbers.
    let mut other = Rig::new(fixed("10.0.2.15", 24, None), Some("10.0.2.3"), 43, &["10.0.2.3"]);
    other.ask(NAME, |asked| vec![reply(asked, 0, &[address("192.0.2.7")])]).unwrap();
    assert_ne!((other.asked[0].port, &other.asked[0].bytes[..2]), (numbers[0].1, numbers[0].0));
}

#[test]
fn servers_are_asked_in_turn_three_times_over_seven_seconds() {
    let addressing = Addressing::Static {
        address: ip("10.0.2.15"),
        prefix: 24,
        gateway: None,
        dns: Some(ip("10.0.2.4")),
    };
    let servers = ["10.0.2.3", "10.0.2.4"];
    let mut rig = Rig::new(addressing, Some("10.0.2.3"), 42, &servers);
    let result = rig.ask(NAME, |_| vec![]);
    assert_eq!(result, Err(ResolveError::TimedOut(ip("10.0.2.4"))));
    let asked: Vec<_> =
        rig.asked.iter().map(|asked| (asked.at.as_secs(), asked.server.to_string())).collect();
    let (first, second) = (servers[0].to_owned(), servers[1].to_owned());
    let [a, b, c, d, e, f] = [0, 1, 2, 4, 6, 10];
    let turns = [(a, &first), (b, &second), (c, &first), (d, &second), (e, &first), (f, &second)];
    assert_eq!(asked, turns.map(|(at, server)| (at, server.clone())));
    assert_eq!(rig.now.as_secs(), 14);
    // A server that cannot help is left at once, and remembered when nobody else answers.
    let start = rig.now;
    let result = rig.ask(NAME, |asked| match asked.server.to_string().as_str() {
        "10.0.2.3" => vec![reply(asked, 2, &[])],
        _ => vec![reply(asked, 0, &[address("192.0.2.7")])],
    });
    assert_eq!(result, Ok(ip("192.0.2.7")));
    assert!(rig.now - start < SECOND / 10);
    let result = rig.ask(NAME, |asked| match asked.server.to_string().as_str() {
        "10.0.2.3" => vec![reply(asked, 5, &[])],
        _ => vec![],
    });
    assert_eq!(result, Err(ResolveError::Refused(ip("10.0.2.3"), 5)));
}

/// A caller that waits for the answer does not wait for ever.
#[test]
fn time_passes_without_a_link() {
    let mut rig = Rig::v4();
    rig.end.cable().unplugged = true;
    assert_eq!(rig.ask(NAME, |_| vec![]), Err(ResolveError::TimedOut(ip("10.0.2.3"))));
    assert!((7..8).contains(&rig.now.as_secs()), "{:?}", rig.now);
}

#[test]
fn errors_say_who_said_what() {
    let server = ip("10.0.2.3");
    let mut rig = Rig::v4();
    let unknown = rig.ask(NAME, |asked| vec![reply(asked, 3, &[])]).unwrap_err();
    assert_eq!(unknown, ResolveError::NoSuchHost(server));
    assert_eq!(unknown.to_string(), "name server 10.0.2.3 knows no such host");
    let none = rig.ask(NAME, |asked| vec![reply(asked, 0, &[])]);
    assert_eq!(none, Err(ResolveError::NoHostAddress(server)));
    let cut = rig.ask(NAME, |asked| {
        let mut cut = reply(asked, 0, &[]);
        cut[2] |= 2;
        vec![cut]
    });
    assert_eq!(cut, Err(ResolveError::Cut(server)));
    let long = format!("{}.example.org", ["a"; 130].join("."));
    for name in ["", ".", "a..b", "b\u{e4}r", &"x".repeat(64), &long] {
        assert_eq!(rig.ask(name, |_| vec![]), Err(ResolveError::BadName), "{name}");
    }
    let longest = ["a"; 127].join(".");
    assert_eq!(longest.len(), 253);
    let found = rig.ask(&longest, |asked| vec![reply(asked, 0, &[address("192.0.2.7")])]);
    assert_eq!(found, Ok(ip("192.0.2.7")));
    let mut nobody = Rig::new(fixed("10.0.2.15", 24, None), None, 42, &[]);
    assert_eq!(nobody.ask(NAME, |_| vec![]), Err(ResolveError::NoServer));
    let mut other = Rig::new(fixed("10.0.2.15", 24, None), Some("fec0::3"), 42, &[]);
    assert_eq!(other.ask(NAME, |_| vec![]), Err(ResolveError::NoServer));
    let mut addressless = Rig::new(Addressing::Dhcp, Some("10.0.2.3"), 42, &[]);
    assert_eq!(addressless.ask(NAME, |_| vec![]), Err(ResolveError::NoAddress));
}
