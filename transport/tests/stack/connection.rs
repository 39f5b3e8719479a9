//! One connection's life, and each way in which it ends.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::{Addressing, Sockets};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use isboot_transport::tcp::{BufferError, TcpOptions, TcpStream};

use crate::wire::cable;
use crate::{Peer, RST, SYN, World, buffer, fixed, forever, ip, pattern, stack, stream};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn bytes_cross_both_ways_unharmed() {
    let mut world = World::v4();
    world.connect();
    let data = pattern(3 << 20);
    let (mut sent, mut echoed, mut back) = (0, Vec::new(), Vec::new());
    let mut queued = 0;
    world.run_until(60 * SECOND, |world| {
        while let Some(count) = world.stream.send(|room| {
            let count = room.len().min(data.len() - sent).min(10_007);
            room[..count].copy_from_slice(&data[sent..sent + count]);
            (count, count)
        }) {
            sent += count;
            if count == 0 {
                break;
            }
        }
        let peer = world.peer.tcp();
        while peer.can_recv() {
            peer.recv(|bytes| (bytes.len(), echoed.extend_from_slice(bytes))).unwrap();
        }
        if peer.can_send() {
            queued += peer.send_slice(&echoed[queued..]).unwrap();
        }
        while let Some(()) = world.stream.recv(|bytes| {
            assert!(!bytes.is_empty());
            let count = bytes.len().min(5_003);
            back.extend_from_slice(&bytes[..count]);
            (count, ())
        }) {}
        back.len() == data.len()
    });
    assert!(back == data);
}

/// What came without smoltcp's knowledge is acknowledged as soon as the device can take that.
#[test]
fn a_batch_is_acknowledged_once_there_is_room() {
    let mut world = World::v4();
    world.connect();
    let data = pattern(14 * 1460);
    world.peer.tcp().send_slice(&data).unwrap();
    world.peer.poll(world.now);
    let mut came = Vec::new();
    let mut look = |world: &mut World, room| {
        world.stream.stack_mut().device_mut().room = room;
        world.stream.poll(world.now);
        while let Some(bytes) = world.stream.recv(|bytes| (bytes.len(), bytes.to_vec())) {
            came.extend(bytes);
        }
        world.peer.poll(world.now);
        world.peer.tcp().send_queue()
    };
    for _ in 0..3 {
        assert_eq!(look(&mut world, 0), data.len());
        assert_eq!(world.stream.poll_at(world.now), Some(world.now), "and it is not forgotten");
    }
    assert_eq!(look(&mut world, 63), 0);
    assert!(came == data);
}

/// However few segments smoltcp sees of a batch, the peer is not left waiting for the delay.
#[test]
fn a_batch_is_acknowledged_without_delay() {
    for segments in 2..20 {
        let mut world = World::v4();
        world.connect();
        world.run_until(SECOND, |world| world.sent().len() == 2);
        world.peer.tcp().send_slice(&pattern(segments * 1460)).unwrap();
        world.peer.poll(world.now);
        // Within a thousandth of the delay.
        for _ in 0..10 {
            world.now += Duration::from_micros(1);
            world.stream.poll(world.now);
            while world.stream.recv(|bytes| (bytes.len(), ())).is_some() {}
        }
        world.peer.poll(world.now);
        assert_eq!(world.peer.tcp().send_queue(), 0, "{segments} segments");
    }
}

#[test]
fn more_than_was_lent_cannot_be_taken_or_filled() {
    let mut world = World::v4();
    world.connect();
    let lent = world.stream.send(|room| (room.len() + 1, room.len()));
    world.run_until(SECOND, |world| Some(world.peer.tcp().recv_queue()) == lent);
    world.peer.tcp().send_slice(b"abc").unwrap();
    world.run_until(SECOND, |world| world.stream.recv(|bytes| (bytes.len() + 1, ())).is_some());
    assert_eq!(world.stream.state(), StreamState::Open);
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    let mut world = World::v4();
    let portal = SocketAddr::new(ip("10.0.2.2"), 9);
    world.stream.connect(world.now, portal).unwrap();
    let took = world.run_until(SECOND, |world| world.stream.state() != StreamState::Connecting);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::Refused));
    assert!(took < Duration::from_millis(20), "{took:?}");
}

#[test]
fn a_reset_is_not_a_refusal() {
    let mut world = World::v4();
    world.connect();
    world.peer.tcp().send_slice(b"last words").unwrap();
    world.step(Duration::from_millis(1));
    world.peer.tcp().abort();
    world.run_until(SECOND, |world| world.stream.state() != StreamState::Open);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::Reset));
    let last = world.stream.recv(|bytes| (bytes.len(), bytes.to_vec()));
    assert_eq!(last.unwrap(), b"last words", "what came before can still be read");
    assert!(world.stream.send(|_| (0, ())).is_none());
}

/// Who judges a reset by the byte that is due counts those of segments that were put together.
#[test]
fn a_reset_behind_a_batch_is_taken() {
    let mut world = World::v4();
    world.connect();
    world.run_until(SECOND, |world| world.sent().len() == 2);
    let data = pattern(5 * 1460);
    world.peer.tcp().send_slice(&data).unwrap();
    world.peer.poll(world.now);
    world.peer.tcp().abort();
    world.peer.poll(world.now);
    // Or our acknowledgement would be answered by another.
    world.peer.end.cable().silent = true;
    let mut came = Vec::new();
    world.run_until(SECOND, |world| {
        while let Some(bytes) = world.stream.recv(|bytes| (bytes.len(), bytes.to_vec())) {
            came.extend(bytes);
        }
        world.stream.state() == StreamState::Failed(StreamError::Reset)
    });
    assert!(came == data, "{} of {} bytes came", came.len(), data.len());
}

#[test]
fn a_peer_that_never_answers_times_out() {
    let mut world = World::v4();
    world.peer.end.cable().silent = true;
    let portal = world.portal();
    world.stream.connect(world.now, portal).unwrap();
    let took =
        world.run_until(20 * SECOND, |world| world.stream.state() != StreamState::Connecting);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::TimedOut));
    assert_eq!(took.as_secs(), TcpOptions::default().connect_timeout.as_secs());
}

#[test]
fn the_next_look_is_never_later_than_the_deadline() {
    let mut world = World::v4();
    world.peer.end.cable().silent = true;
    let portal = world.portal();
    world.stream.connect(world.now, portal).unwrap();
    let deadline = world.now + TcpOptions::default().connect_timeout;
    loop {
        world.stream.poll(world.now);
        if world.stream.state() != StreamState::Connecting {
            break;
        }
        let next = world.stream.poll_at(world.now).unwrap();
        assert!(next <= deadline);
        world.now = next.max(world.now + Duration::from_millis(1));
    }
    assert!(world.now <= deadline + Duration::from_millis(1));
}

#[test]
fn an_open_connection_whose_peer_dies_times_out() {
    let mut world = World::v4();
    world.connect();
    world.peer.end.cable().silent = true;
    let took = world.run_until(60 * SECOND, |world| world.stream.state() != StreamState::Open);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::TimedOut));
    assert!(took <= TcpOptions::default().user_timeout + SECOND, "{took:?}");
}

#[test]
fn an_idle_connection_lives() {
    let mut world = World::v4();
    world.connect();
    for _ in 0..3000 {
        world.step(Duration::from_millis(100));
    }
    assert_eq!(world.stream.state(), StreamState::Open);
}

#[test]
fn time_without_polls_is_not_the_peers_silence() {
    let mut world = World::v4();
    world.connect();
    for _ in 0..5 {
        world.now += 100 * SECOND;
        for _ in 0..100 {
            world.step(Duration::from_millis(1));
        }
        assert_eq!(world.stream.state(), StreamState::Open);
    }
    // And the timeout is what it was, once the peer had its time to answer.
    for _ in 0..300 {
        world.step(Duration::from_millis(100));
    }
    world.peer.end.cable().silent = true;
    let took = world.run_until(60 * SECOND, |world| world.stream.state() != StreamState::Open);
    assert!(took <= TcpOptions::default().user_timeout + SECOND, "{took:?}");
}

#[test]
fn a_link_that_flaps_is_forgiven_and_one_that_stays_down_is_not() {
    let mut world = World::v4();
    world.connect();
    world.peer.end.cable().unplugged = true;
    for _ in 0..100 {
        world.step(Duration::from_millis(100));
    }
    assert!(!world.stream.stack().link().is_up());
    world.peer.end.cable().unplugged = false;
    for _ in 0..100 {
        world.step(Duration::from_millis(100));
    }
    assert_eq!(world.stream.state(), StreamState::Open);
    world.peer.end.cable().unplugged = true;
    let took = world.run_until(60 * SECOND, |world| world.stream.state() != StreamState::Open);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::LinkDown));
    assert!(took <= TcpOptions::default().user_timeout + SECOND, "{took:?}");
    let portal = world.portal();
    assert_eq!(world.stream.connect(world.now, portal), Err(StreamError::LinkDown));
}

#[test]
fn a_device_that_is_gone_ends_the_connection_at_once() {
    let mut world = World::v4();
    world.connect();
    world.peer.end.cable().gone = true;
    let took = world.run_until(SECOND, |world| world.stream.state() != StreamState::Open);
    assert_eq!(world.stream.state(), StreamState::Failed(StreamError::LinkDown));
    assert!(took <= Duration::from_millis(501), "{took:?}");
}

#[test]
fn the_peers_end_is_seen_after_its_bytes() {
    let mut world = World::v4();
    world.connect();
    world.peer.tcp().send_slice(b"goodbye").unwrap();
    world.peer.tcp().close();
    world.run_until(SECOND, |world| world.stream.state() == StreamState::PeerClosed);
    assert_eq!(world.stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"goodbye");
    assert!(world.stream.recv(|bytes| (bytes.len(), ())).is_none());
    // Our half is still open.
    world.stream.send(|room| {
        room[..3].copy_from_slice(b"yes");
        (3, ())
    });
    world.run_until(SECOND, |world| world.peer.tcp().recv_queue() == 3);
    world.stream.close();
    world.run_until(SECOND, |world| world.stream.state() == StreamState::Closed);
}

#[test]
fn closing_sends_everything_first() {
    let mut world = World::v4();
    world.connect();
    world.stream.send(|room| {
        room[..10_000].fill(7);
        (10_000, ())
    });
    world.stream.close();
    assert!(world.stream.send(|_| (1, ())).is_none(), "nothing more can be written");
    world.run_until(SECOND, |world| world.peer.tcp().recv_queue() == 10_000);
    assert_eq!(world.stream.state(), StreamState::Open, "the peer has not closed");
    world.peer.tcp().close();
    world.run_until(SECOND, |world| world.stream.state() == StreamState::Closed);
}

#[test]
fn a_peer_that_never_closes_is_not_waited_for_long() {
    let mut world = World::v4();
    world.connect();
    world.stream.close();
    let took = world.run_until(10 * SECOND, |world| world.stream.state() == StreamState::Closed);
    assert_eq!(took.as_secs(), TcpOptions::default().close_timeout.as_secs());
    assert_ne!(world.sent().last().unwrap().1 & RST, 0);
}

#[test]
fn after_an_abort_it_connects_at_once_from_another_port() {
    let mut world = World::v4();
    for _ in 0..20 {
        world.connect();
        world.stream.send(|room| (room.len(), ()));
        world.stream.abort();
        assert_eq!(world.stream.state(), StreamState::Closed);
        world.peer.poll(world.now);
        world.peer.listen();
    }
    let sent = world.sent();
    let syns: Vec<u16> = sent.iter().filter(|(_, flags, _)| *flags == SYN).map(|s| s.0).collect();
    assert_eq!(syns.len(), 20);
    assert!(syns.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(syns.iter().all(|port| *port >= 49152));
    let resets = sent.iter().filter(|(_, flags, _)| flags & RST != 0).count();
    assert_eq!(resets, 20, "the peer is told");
}

/// smoltcp's numbers can be run forwards and backwards by who has seen enough of them, and DHCP
/// shows some to the whole network. Here somebody knows the generator's very first state.
#[test]
fn sequence_numbers_are_not_guessed_from_numbers_that_smoltcp_showed() {
    let mut state = {
        #[expect(deprecated, reason = "the hash that the stack makes its numbers with")]
        let mut hash = std::hash::SipHasher::new_with_keys(42, 0x6973_626f_6f74_6970);
        std::hash::Hasher::write(&mut hash, &1_u64.to_le_bytes());
        std::hash::Hasher::finish(&hash)
    };
    let mut next = || {
        state = state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
        (state >> (29 - (state >> 61))) as u32
    };
    let foreseen: Vec<u32> = std::iter::repeat_with(&mut next).take(1000).collect();
    let mut world = World::v4();
    for _ in 0..20 {
        world.connect();
        world.stream.abort();
        world.peer.poll(world.now);
        world.peer.listen();
    }
    let cable = world.peer.end.cable();
    let syns = cable.sent.iter().filter(|frame| frame.len() > 47 && frame[47] == SYN);
    let numbers: Vec<u32> = syns
        .map(|frame| u32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]))
        .collect();
    assert_eq!(numbers.len(), 20);
    assert!(numbers.iter().all(|number| !foreseen.contains(number)), "{numbers:08x?}");
    assert!((1..20).all(|n| !numbers[..n].contains(&numbers[n])), "{numbers:08x?}");
}

#[test]
fn ports_and_sequence_numbers_follow_the_seed() {
    let first = |seed: u64| {
        let (ours, theirs) = cable();
        let mut configuration = crate::configuration(fixed("10.0.2.15", 24, None));
        configuration.random_seed = seed;
        let sockets = forever(Sockets::new());
        let stack = isboot_transport::netstack::NetStack::new(
            ours,
            sockets,
            &configuration,
            Duration::ZERO,
        );
        let stream =
            TcpStream::new(stack.unwrap(), buffer(65536), buffer(65536), TcpOptions::default());
        let peer = Peer::new(theirs, &[("10.0.2.2", 24)]);
        let mut world = World { now: SECOND, stream: stream.unwrap(), peer };
        world.connect();
        let cable = world.peer.end.cable();
        let syn = cable.sent.iter().find(|frame| frame.len() > 47 && frame[47] == SYN).unwrap();
        (syn[34..36].to_vec(), syn[38..42].to_vec())
    };
    let (a, b) = (first(1), first(2));
    assert_ne!(a.0, b.0, "ports");
    assert_ne!(a.1, b.1, "sequence numbers");
}

#[test]
fn a_second_connect_replaces_the_first() {
    let mut world = World::v4();
    world.connect();
    let portal = world.portal();
    world.stream.connect(world.now, portal).unwrap();
    world.peer.poll(world.now);
    world.peer.listen();
    world.run_until(SECOND * 3, |world| world.stream.state() == StreamState::Open);
}

#[test]
fn without_address_or_route_there_is_no_attempt() {
    let (ours, _theirs) = cable();
    let mut unaddressed = stream(ours, Addressing::Dhcp);
    unaddressed.poll(SECOND);
    let portal = SocketAddr::new(ip("10.0.2.2"), 3260);
    assert_eq!(unaddressed.connect(SECOND, portal), Err(StreamError::NoAddress));

    let mut world = World::v4();
    for elsewhere in ["192.168.1.1", "fec0::2"] {
        let portal = SocketAddr::new(ip(elsewhere), 3260);
        assert_eq!(world.stream.connect(world.now, portal), Err(StreamError::NoRoute));
    }
    let nowhere = SocketAddr::new(ip("10.0.2.2"), 0);
    assert_eq!(world.stream.connect(world.now, nowhere), Err(StreamError::Other(0)));
    assert_eq!(world.stream.state(), StreamState::Closed);
}

#[test]
fn a_receive_buffer_beyond_the_ring_is_refused() {
    let (ours, _theirs) = cable();
    let make = |receive, transmit| {
        let stack = stack(ours.clone(), fixed("10.0.2.15", 24, None));
        TcpStream::new(stack, buffer(receive), buffer(transmit), TcpOptions::default()).err()
    };
    let most = 255 * 1440;
    assert_eq!(make(most, 65536), None);
    assert_eq!(make(most + 1, 65536), Some(BufferError::ReceiveTooLarge { len: most + 1, most }));
    let too_small = Some(BufferError::TooSmall { len: 100, least: 1440 });
    assert_eq!(make(100, 65536), too_small);
    assert_eq!(make(65536, 100), too_small);
}

#[test]
fn a_drained_batch_is_acknowledged_once() {
    let mut world = World::v4();
    world.connect();
    let payload = pattern(60_000);
    world.peer.tcp().send_slice(&payload).unwrap();
    // The window of the first flight is small: let it grow.
    world.run_until(SECOND, |world| world.stream.recv(|b| (b.len(), ())).is_some());
    world.run_until(SECOND, |world| {
        while world.stream.recv(|bytes| (bytes.len(), ())).is_some() {}
        world.peer.tcp().send_queue() == 0
    });
    let before = world.sent().len();
    world.peer.tcp().send_slice(&payload[..40_000]).unwrap();
    world.peer.poll(world.now);
    world.stream.poll(world.now);
    while world.stream.recv(|bytes| (bytes.len(), ())).is_some() {}
    world.stream.poll(world.now);
    let acknowledgements = world.sent().len() - before;
    assert!(acknowledgements <= 2, "{acknowledgements} for one batch");
}
