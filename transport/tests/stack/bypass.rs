//! Data that is read in the frames in which it came, and a network that does what it wants with them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::wire::cable;
use crate::{PORT, Peer, World, buffer, fixed, ip, pattern, stack};

const SECOND: Duration = Duration::from_secs(1);
/// The segments of the peer's stack.
const SEGMENT: usize = 1460;

/// All that can be read now, and what of it lay in this memory.
fn read_all(world: &mut World, ring: &Range<usize>, came: &mut Vec<u8>) -> usize {
    let mut through_the_ring = 0;
    while let Some(count) = world.stream.recv(|bytes| {
        came.extend_from_slice(bytes);
        let is_in_it = ring.contains(&(bytes.as_ptr() as usize));
        (bytes.len(), if is_in_it { bytes.len() } else { 0 })
    }) {
        through_the_ring += count;
    }
    through_the_ring
}

#[test]
fn of_a_batch_only_the_first_segment_is_copied() {
    for address in ["10.0.2.15", "fec0::15"] {
        let ours = address;
        let theirs = address.strip_suffix('5').map(|net| format!("{net}4")).unwrap();
        let prefix = if ip(ours).is_ipv4() { 24 } else { 64 };
        let (near, far) = cable();
        let ring = buffer(256 << 10);
        let place = ring.as_ptr_range();
        let place = place.start as usize..place.end as usize;
        let stack = stack(near, fixed(ours, prefix, None));
        let stream = TcpStream::new(stack, ring, buffer(64 << 10), TcpOptions::default()).unwrap();
        let peer = Peer::new(far, &[(&theirs, prefix)]);
        let mut world = World { now: SECOND, stream, peer };
        let portal = SocketAddr::new(ip(&theirs), PORT);
        world.run_until(20 * SECOND, |world| {
            let _ = world.stream.connect(world.now, portal);
            world.stream.poll(world.now);
            world.stream.state() == StreamState::Connecting
        });
        world.run_until(SECOND, |world| world.peer.tcp().may_send());
        let data = pattern(40 * SEGMENT);
        world.peer.tcp().send_slice(&data).unwrap();
        let (mut came, mut copied) = (Vec::new(), 0);
        // Of the peer's first frames, of which its window allows fewer, too.
        for _ in 0..20 {
            world.step(Duration::from_millis(1));
            copied += read_all(&mut world, &place, &mut came);
        }
        assert!(came == data, "{} of {} bytes", came.len(), data.len());
        assert!(copied <= 12 * SEGMENT, "{copied} of {} bytes were copied", data.len());
    }
}

/// Long runs go to their place, and what follows them is there to be read.
#[test]
fn data_is_put_where_it_belongs() {
    let mut world = World::v4();
    world.connect();
    let data = pattern(1 << 20);
    let (mut sent, mut came, mut placed) = (0, Vec::new(), 0);
    world.run_until(10 * SECOND, |world| {
        sent += world.peer.tcp().send_slice(&data[sent..]).unwrap();
        let mut place = vec![0; 20_000];
        loop {
            if let Some(count) = world.stream.recv_into(&mut place) {
                came.extend_from_slice(&place[..count]);
                placed += count;
            } else if let Some(bytes) = world.stream.recv(|bytes| (bytes.len(), bytes.to_vec())) {
                came.extend(bytes);
            } else {
                break;
            }
        }
        came.len() == data.len()
    });
    assert!(came == data);
    assert!(placed > data.len() / 2, "{placed} bytes");
    let least = world.stream.recv_into(&mut []);
    assert_eq!(least, None);
}

#[test]
fn the_peers_end_comes_behind_its_data() {
    let mut world = World::v4();
    world.connect();
    let data = pattern(9 * SEGMENT + 1);
    world.peer.tcp().send_slice(&data).unwrap();
    world.peer.tcp().close();
    let mut came = Vec::new();
    world.run_until(SECOND, |world| {
        read_all(world, &(0..0), &mut came);
        world.stream.state() == StreamState::PeerClosed
    });
    read_all(&mut world, &(0..0), &mut came);
    assert!(came == data, "{} of {} bytes", came.len(), data.len());
}

/// What each end sends when it has nothing to say, and what it asks for again, has the numbers of the
/// wire.
#[test]
fn an_idle_connection_lives_on_and_what_is_lost_later_comes_again() {
    let mut world = World::v4();
    world.connect();
    transfer(&mut world, 40 * SEGMENT);
    for _ in 0..600 {
        world.step(Duration::from_millis(100));
    }
    assert_eq!(world.stream.state(), StreamState::Open);
    // Ours is lost once, twice; then theirs.
    for losses in 1..3 {
        let mut lost = 0;
        world.stream.send(|_| (100, ())).unwrap();
        let before = world.now;
        world.run_until(SECOND, |world| {
            world.stream.poll(world.now);
            world.peer.end.on_the_way(1, |frames| {
                let count = frames.len();
                frames.retain(|frame| frame.len() <= 60 || lost == losses);
                lost += count - frames.len();
            });
            world.peer.tcp().recv_queue() == losses * 100
        });
        assert!(world.now - before < Duration::from_millis(500), "{:?}", world.now - before);
    }
    transfer(&mut world, 40 * SEGMENT);
}

/// As many bytes of the peer's come as they are.
fn transfer(world: &mut World, length: usize) {
    let data = pattern(length);
    world.peer.tcp().send_slice(&data).unwrap();
    let mut came = Vec::new();
    world.run_until(5 * SECOND, |world| {
        read_all(world, &(0..0), &mut came);
        came.len() >= length
    });
    assert!(came == data);
}

#[test]
fn the_next_connection_knows_nothing_of_the_last() {
    let mut world = World::v4();
    for _ in 0..3 {
        world.connect();
        transfer(&mut world, 100 * SEGMENT);
        world.stream.abort();
        world.step(Duration::from_millis(1));
        world.peer.listen();
    }
}

/// What a network does to the frames that are on their way.
fn harm(frames: &mut VecDeque<Vec<u8>>, choices: &mut impl Iterator<Item = u8>) {
    let mut harmed = VecDeque::new();
    for frame in frames.drain(..) {
        match choices.next().unwrap_or(0) {
            0..=4 => {}
            5..=8 => harmed.extend([frame.clone(), frame]),
            9..=14 => harmed.push_front(frame),
            15..=18 => harmed.insert(harmed.len() / 2, frame),
            // What is not good does not come past the driver.
            _ => harmed.push_back(frame),
        }
    }
    *frames = harmed;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Lost, twice, late and early: every byte comes once and in its place, however it is read, while
    /// we send as well.
    #[test]
    fn every_byte_comes_once(
        choices in vec(any::<u8>(), 50..400),
        mildness in 1_u8..8,
        reads in vec((0_usize..4, 1_usize..60_000), 5..40),
        length in 1_usize..400_000,
    ) {
        let mut world = World::v4();
        world.connect();
        let data = pattern(length);
        let (mut sent, mut came) = (0, Vec::new());
        let mut choices = choices.into_iter().cycle().enumerate().map(|(number, choice)| {
            // Less and less, so that it ends.
            let is_mild = number % 8 < usize::from(mildness) || number > 3000;
            if is_mild { 255 } else { choice }
        });
        // Somebody reads now and then.
        let mut reads = reads.into_iter().chain([(2, 60_000)]).cycle();
        let end = world.now + 60 * SECOND;
        while came.len() < data.len() {
            prop_assert!(world.now < end, "{} of {} bytes came", came.len(), data.len());
            world.now += Duration::from_millis(1);
            sent += world.peer.tcp().send_slice(&data[sent..]).unwrap();
            world.stream.send(|room| (room.len().min(300), ())).unwrap_or_default();
            let peer = world.peer.tcp();
            while peer.can_recv() {
                peer.recv(|bytes| (bytes.len(), ())).unwrap();
            }
            world.peer.poll(world.now);
            world.peer.end.on_the_way(0, |frames| harm(frames, &mut choices));
            world.stream.poll(world.now);
            for _ in 0..20 {
                let (how, most) = reads.next().unwrap();
                let count = match how {
                    0 => break,
                    1 => {
                        let mut place = vec![0; most];
                        let count = world.stream.recv_into(&mut place);
                        came.extend_from_slice(&place[..count.unwrap_or(0)]);
                        count
                    }
                    _ => world.stream.recv(|bytes| {
                        let count = bytes.len().min(most);
                        came.extend_from_slice(&bytes[..count]);
                        (count, count)
                    }),
                };
                if how != 1 && count.is_none() {
                    break;
                }
            }
        }
        prop_assert!(came == data);
        prop_assert_eq!(world.stream.state(), StreamState::Open);
        world.run_until(60 * SECOND, |world| {
            read_all(world, &(0..0), &mut came);
            world.peer.tcp().send_queue() == 0
        });
    }
}
