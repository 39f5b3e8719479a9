use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;
use std::vec;
use std::vec::Vec;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn poll_until(stream: &mut StdTcp, mut done: impl FnMut(&mut StdTcp) -> bool) {
    let start = Instant::now();
    while !done(stream) {
        assert!(start.elapsed() < LIMIT, "still {:?} after {LIMIT:?}", stream.state());
        stream.wait(Duration::from_millis(20));
        stream.poll(Duration::ZERO);
    }
}

fn open(listener: &TcpListener) -> (StdTcp, TcpStream) {
    let mut stream = StdTcp::new();
    stream.connect(Duration::ZERO, listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    poll_until(&mut stream, |stream| stream.state() == StreamState::Open);
    (stream, peer)
}

fn reset(peer: TcpStream) {
    sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}

/// Puts `bytes` where they wait to be sent.
fn says(stream: &mut StdTcp, bytes: &[u8]) {
    stream.send(|out| {
        out[..bytes.len()].copy_from_slice(bytes);
        (bytes.len(), ())
    });
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn a_closed_port_refuses() {
    let portal = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut stream = StdTcp::new();
    if stream.connect(Duration::ZERO, portal).is_ok() {
        poll_until(&mut stream, |stream| stream.state() != StreamState::Connecting);
        assert_eq!(stream.state(), StreamState::Failed(StreamError::Refused));
    }
}

#[test]
fn what_came_before_the_peers_end_can_be_read_after_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    poll_until(&mut stream, |stream| stream.state() == StreamState::PeerClosed);
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"last words");
    assert_eq!(stream.recv(|bytes| (bytes.len(), ())), None);
}

#[test]
fn a_reset_is_told_from_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, peer) = open(&listener);
    reset(peer);
    poll_until(&mut stream, |stream| stream.state() != StreamState::Open);
    assert_eq!(stream.state(), StreamState::Failed(StreamError::Reset));
    assert_eq!(stream.send(|out| (out.len(), ())), None);
}

#[test]
fn twenty_megabytes_cross_both_ways_unharmed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    let data = pattern(20 << 20);
    let echo = thread::spawn(move || {
        let mut all = vec![0; 20 << 20];
        peer.read_exact(&mut all).unwrap();
        peer.write_all(&all).unwrap();
    });
    let (mut sent, mut back) = (0, Vec::new());
    poll_until(&mut stream, |stream| {
        while sent < data.len() {
            let wrote = stream.send(|out| {
                let count = out.len().min(data.len() - sent).min(70_001);
                out[..count].copy_from_slice(&data[sent..sent + count]);
                (count, count)
            });
            match wrote {
                Some(count) => sent += count,
                None => break,
            }
        }
        // Not everything at once: what is left must stay in order.
        while stream
            .recv(|bytes| {
                let count = bytes.len().min(50_021);
                back.extend_from_slice(&bytes[..count]);
                (count, ())
            })
            .is_some()
        {}
        back.len() == data.len()
    });
    assert!(back == data);
    echo.join().unwrap();
}

#[test]
fn a_long_run_goes_to_its_place_and_what_follows_it_is_lent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    let data = pattern(3 * PLACE_LEAST);
    let (head, run) = (100, 2 * PLACE_LEAST);
    // The start is known first, as a header is; the rest comes in two parts.
    peer.write_all(&data[..head]).unwrap();
    poll_until(&mut stream, |stream| !stream.received.is_empty());
    let mut short = vec![0; PLACE_LEAST];
    assert_eq!(stream.recv_into(&mut short), None, "what waits there comes first");
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), &data[..head]);

    let mut place = vec![0; run];
    assert_eq!(stream.recv_into(&mut place), None, "nothing came yet, and it is known where to");
    let mut placed = 0;
    for part in [&data[head..head + PLACE_LEAST], &data[head + PLACE_LEAST..]] {
        peer.write_all(part).unwrap();
        let wanted = (placed + part.len()).min(run);
        poll_until(&mut stream, |stream| {
            placed += stream.recv_into(&mut place[placed..]).unwrap_or(0);
            placed == wanted
        });
    }
    assert!(place == data[head..head + run]);
    let mut rest = Vec::new();
    poll_until(&mut stream, |stream| {
        while stream.recv(|bytes| (bytes.len(), rest.extend_from_slice(bytes))).is_some() {}
        rest.len() == data.len() - head - run
    });
    assert!(rest == data[head + run..]);
}

#[test]
fn a_short_run_is_lent_and_the_peers_end_is_found_in_the_middle_of_a_long_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    peer.write_all(b"short").unwrap();
    let mut place = vec![0; PLACE_LEAST];
    poll_until(&mut stream, |stream| !stream.received.is_empty());
    assert_eq!(stream.recv_into(&mut place[..5]), None);
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"short");

    assert_eq!(stream.recv_into(&mut place), None, "nothing came yet, and it is known where to");
    peer.write_all(b"half").unwrap();
    let mut placed = 0;
    poll_until(&mut stream, |stream| {
        placed += stream.recv_into(&mut place[placed..]).unwrap_or(0);
        placed == 4
    });
    drop(peer);
    poll_until(&mut stream, |stream| {
        assert_eq!(stream.recv_into(&mut place[placed..]), None);
        stream.state() == StreamState::PeerClosed
    });
    assert_eq!(&place[..4], b"half");
}

#[test]
fn after_an_abort_it_connects_again_with_nothing_left_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    peer.write_all(b"old").unwrap();
    poll_until(&mut stream, |stream| !stream.received.is_empty());
    stream.abort();
    assert_eq!(stream.state(), StreamState::Closed);
    stream.connect(Duration::ZERO, listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"new").unwrap();
    poll_until(&mut stream, |stream| !stream.received.is_empty());
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"new");
}

#[test]
fn a_wait_ends_with_the_answer_and_not_before() {
    const ANSWER: usize = 16 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    let data = pattern(2 * ANSWER);
    peer.write_all(&data[..ANSWER - 4]).unwrap();
    let sends = thread::spawn(move || {
        thread::sleep(waking::PATIENCE / 5);
        peer.write_all(&data[ANSWER - 4..ANSWER]).unwrap();
        peer
    });
    stream.expect(Expected { all: ANSWER, first: ANSWER, each: ANSWER });
    stream.wait(LIMIT);
    stream.poll(Duration::ZERO);
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.len())), Some(ANSWER));
    drop(sends.join().unwrap());
}

#[test]
fn a_peer_that_was_idle_when_its_answers_were_read_is_noticed() {
    const EACH: usize = 4096;
    const ALL: usize = 8 * EACH;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    let answer_to = |expected, stream: &mut StdTcp, peer: &mut TcpStream, count: usize| {
        stream.expect(expected);
        peer.write_all(&pattern(count)).unwrap();
        stream.wait(LIMIT);
        // Asked twice, it counts once.
        for _ in 0..2 {
            stream.poll(Duration::ZERO);
            while stream.recv(|bytes| (bytes.len(), ())).is_some() {}
        }
        stream.waking.get().haste()
    };
    let answer = |stream: &mut StdTcp, peer: &mut TcpStream, count| {
        answer_to(Expected { all: ALL, first: EACH, each: EACH }, stream, peer, count)
    };
    for waits in 1..=3 {
        assert_eq!(answer(&mut stream, &mut peer, ALL), waits);
    }
    assert_eq!(answer(&mut stream, &mut peer, ALL / 8 * 5), 3, "three were missing");
    assert_eq!(answer(&mut stream, &mut peer, ALL / 2), 2, "half were missing");
    let to_writes = Expected { all: 32 * 48, first: 48, each: 48 };
    assert_eq!(answer_to(to_writes, &mut stream, &mut peer, 32 * 48), 2, "no data was");
    stream.abort();
    assert_eq!(stream.waking.get().haste(), 0, "another peer");
}

#[test]
fn a_long_write_leaves_together_with_its_header() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, _peer) = open(&listener);
    let (header, digests, data) = (48, 8, 64 * 1024);
    assert!(stream.send(|out| (0, out.len())).unwrap() >= header + digests + data);
}

#[test]
fn what_is_sent_in_the_middle_of_much_leaves_together() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    peer.set_nonblocking(true).unwrap();
    let say = |stream: &mut StdTcp, byte| {
        says(stream, &[byte]);
        stream.poll(Duration::ZERO);
    };
    let mut heard = || {
        let mut bytes = [0; 16];
        peer.read(&mut bytes).map_or(Vec::new(), |count| bytes[..count].to_vec())
    };
    let much = Expected { all: 2 * ENOUGH_OWED, first: 4096, each: 4096 };
    let in_the_middle = |stream: &mut StdTcp| (stream.drained, stream.read) = (false, 0);

    stream.expect(much);
    say(&mut stream, 1);
    assert_eq!(heard(), [1], "there was nothing to read");
    in_the_middle(&mut stream);
    say(&mut stream, 2);
    assert_eq!(heard(), []);
    say(&mut stream, 3);
    assert_eq!(heard(), [2, 3], "the poll before found nothing more");
    in_the_middle(&mut stream);
    stream.expect(Expected { all: ENOUGH_OWED, ..much });
    say(&mut stream, 4);
    assert_eq!(heard(), [4], "the peer has little left to do");
    in_the_middle(&mut stream);
    stream.expect(much);
    stream.read = HELD_AT_MOST;
    say(&mut stream, 5);
    assert_eq!(heard(), [5], "much was read already");
    in_the_middle(&mut stream);
    stream.wait(Duration::ZERO);
    say(&mut stream, 6);
    assert_eq!(heard(), [6], "somebody waits");
    in_the_middle(&mut stream);
    say(&mut stream, 7);
    stream.close();
    assert_eq!(heard(), [7]);
}

#[test]
fn twenty_megabytes_leave_from_where_they_lie_behind_their_headers() {
    const SEGMENT: usize = 256 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = pattern(20 << 20);
    for owed in [0, 32] {
        let (mut stream, mut peer) = open(&listener);
        stream.expect(Expected { all: owed * 48, first: 48.min(owed), each: 48 });
        let heard = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        let mut wanted = Vec::new();
        let mut in_place = 0;
        for segment in data.chunks(SEGMENT) {
            says(&mut stream, b"header");
            wanted.extend_from_slice(b"header");
            wanted.extend_from_slice(segment);
            let mut rest = segment;
            poll_until(&mut stream, |stream| {
                while !rest.is_empty() {
                    let count = stream.send_from(rest);
                    in_place += count.unwrap_or(0);
                    let copied = || {
                        stream.send(|out| {
                            let count = out.len().min(rest.len());
                            out[..count].copy_from_slice(&rest[..count]);
                            (count, count)
                        })
                    };
                    match count.or_else(copied) {
                        Some(count) => rest = &rest[count..],
                        None => break,
                    }
                }
                rest.is_empty()
            });
        }
        stream.close();
        poll_until(&mut stream, |stream| stream.state() == StreamState::Closed);
        assert!(heard.join().unwrap().unwrap() == wanted, "{owed}");
        assert!(in_place > data.len() / 2, "{owed}: {in_place} were not copied");
    }
}

#[test]
fn short_rests_and_what_nobody_takes_any_more_are_not_sent_in_place() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let data = pattern(REST_LEAST);
    assert_eq!(StdTcp::new().send_from(&data), None);
    let (mut stream, mut peer) = open(&listener);
    assert_eq!(stream.send_from(&data[1..]), None);
    assert_eq!(stream.send_from(&data), Some(data.len()));
    peer.read_exact(&mut vec![0; data.len()]).unwrap();
    // Nobody reads: in the end there is no room, neither for it nor for what waits before it.
    let much = pattern(8 << 20);
    while stream.send_from(&much).is_some() {}
    says(&mut stream, b"header");
    assert_eq!(stream.send_from(&data), None);
    assert_eq!(stream.unsent.content(), b"header");
    stream.close();
    assert_eq!(stream.send_from(&data), None);
}

#[test]
fn a_reset_is_found_by_what_is_sent_in_place_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, peer) = open(&listener);
    reset(peer);
    let data = pattern(REST_LEAST);
    poll_until(&mut stream, |stream| {
        let _ = stream.send_from(&data);
        stream.state() != StreamState::Open
    });
    assert_eq!(stream.state(), StreamState::Failed(StreamError::Reset));
    assert_eq!(stream.send_from(&data), None);
}

#[test]
fn close_sends_everything_first() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    says(&mut stream, b"tail");
    // What the peer sent and nobody read must not turn our end into a reset.
    peer.write_all(b"unread").unwrap();
    poll_until(&mut stream, |stream| !stream.received.is_empty());
    stream.close();
    assert_eq!(stream.send(|out| (out.len(), ())), None);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"tail");
    assert_eq!(stream.state(), StreamState::Open, "the peer has not ended");
    drop(peer);
    poll_until(&mut stream, |stream| stream.state() == StreamState::Closed);
}

#[test]
fn a_peer_that_never_ends_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, _peer) = open(&listener);
    stream.close();
    let now = Duration::from_secs(100);
    stream.poll(now);
    assert_eq!(stream.poll_at(now), Some(now + CLOSE_TIMEOUT));
    stream.poll(now + CLOSE_TIMEOUT - Duration::from_millis(1));
    assert_eq!(stream.state(), StreamState::Open);
    stream.poll(now + CLOSE_TIMEOUT);
    assert_eq!(stream.state(), StreamState::Closed);
}

#[test]
fn a_peer_that_never_accepts_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = listener.local_addr().unwrap();
    // Fill the queue of connections that wait to be accepted: no further SYN is answered.
    shorten_queue(&listener);
    let waiting: Vec<_> = (0..3).map(|_| stream_to(portal)).collect();
    thread::sleep(Duration::from_millis(100));
    let mut stream = stream_to(portal);
    let now = Duration::from_secs(100);
    stream.poll(now);
    assert_eq!(stream.state(), StreamState::Connecting);
    stream.poll(now + CONNECT_TIMEOUT);
    assert_eq!(stream.state(), StreamState::Failed(StreamError::TimedOut));
    drop(waiting);
}

/// Makes the queue of unaccepted connections as short as it gets.
fn shorten_queue(listener: &TcpListener) {
    rustix::net::listen(listener, 0).unwrap();
}

fn stream_to(portal: SocketAddr) -> StdTcp {
    let mut stream = StdTcp::new();
    stream.connect(Duration::ZERO, portal).unwrap();
    stream
}

#[test]
fn a_wait_for_much_does_not_hold_back_the_little_that_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    stream.expect(Expected { all: 8 << 20, first: 1 << 20, each: 1 << 20 });
    peer.write_all(b"a notice").unwrap();
    let start = Instant::now();
    stream.wait(LIMIT);
    let took = start.elapsed();
    assert!(waking::PATIENCE <= took && took < LIMIT / 10, "{took:?}");
    stream.poll(Duration::ZERO);
    assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"a notice");
}

#[test]
fn a_peer_that_stops_in_the_middle_of_a_run_holds_a_wait_up_no_longer_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut stream, mut peer) = open(&listener);
    let mut place = vec![0; 4 * PLACE_LEAST];
    assert_eq!(stream.recv_into(&mut place), None, "nothing came yet");
    stream.expect(Expected { all: place.len(), first: place.len(), each: 0 });
    peer.write_all(&[7; PLACE_LEAST]).unwrap();
    let (mut placed, start) = (0, Instant::now());
    for _ in 0..10 {
        stream.wait(Duration::from_millis(20));
        stream.poll(Duration::ZERO);
        placed += stream.recv_into(&mut place[placed..]).unwrap_or(0);
    }
    assert_eq!(placed, PLACE_LEAST);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(peer);
    let start = Instant::now();
    stream.wait(LIMIT);
    assert!(start.elapsed() < LIMIT / 10, "its end wakes at once: {:?}", start.elapsed());
    stream.poll(Duration::ZERO);
    assert_eq!(stream.recv_into(&mut place[placed..]), None);
    assert_eq!(stream.state(), StreamState::PeerClosed);
}

/// What only Linux tells.
#[cfg(target_os = "linux")]
mod on_linux {
    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, libc, sockopt_impl};

    use super::*;

    sockopt_impl!(
        /// The front of `struct tcp_info`.
        Info,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        [u8; SEGMENTS_SENT + 4]
    );

    /// Where `tcpi_segs_out` is there.
    const SEGMENTS_SENT: usize = 136;

    fn segments_sent(stream: &StdTcp) -> u32 {
        let info = getsockopt(stream.socket.as_ref().unwrap(), Info).unwrap();
        u32::from_ne_bytes(info[SEGMENTS_SENT..].try_into().unwrap())
    }

    #[test]
    fn a_peer_that_may_be_idle_has_the_header_before_the_data() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (owed, alone) in [(0, true), (1, true), (4, true), (5, false), (32, false)] {
            let (mut stream, peer) = open(&listener);
            stream.expect(Expected { all: owed * 48, first: 48.min(owed * 48), each: 48 });
            let before = segments_sent(&stream);
            says(&mut stream, b"header");
            assert_eq!(stream.send_from(&pattern(REST_LEAST)), Some(REST_LEAST));
            assert_eq!(segments_sent(&stream) - before, 1 + u32::from(alone), "{owed}");
            drop(peer);
        }
    }
}
