//! One connection to a peer made by hand: what it may do, and how soon what it does not do is seen.

use std::time::Duration;

use isboot_tests::pair::Random;
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use isboot_transport::tcp::TcpOptions;

use crate::peer::{ACK, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// How long until the stream is done with a peer that died in the state that `begin` brought about.
fn mourned(mut world: World, end: StreamState) -> Duration {
    world.manner.is_dead = true;
    let took = world.run_until(MINUTE, |world| world.stream.state() == end);
    // It does not go on about it either.
    world.pass(SECOND);
    let before = world.seen.len();
    world.pass(MINUTE);
    assert_eq!(world.seen.len(), before, "{:?}", &world.seen[before..]);
    took
}

#[test]
fn a_dead_peer_is_noticed_in_every_state_when_its_time_is_up() {
    let options = TcpOptions::default();
    let timed_out = StreamState::Failed(StreamError::TimedOut);
    let within = |took: Duration, limit: Duration| {
        assert!((limit..limit + SECOND / 2).contains(&took), "{took:?}, not {limit:?}");
    };

    let mut connecting = World::new();
    connecting.connect();
    within(mourned(connecting, timed_out), options.connect_timeout);

    within(mourned(World::open(), timed_out), options.user_timeout);

    // With data under way, prompts of our own are no sign of life.
    let mut writing = World::open();
    writing.deliver(&[1; 5000], SECOND);
    writing.stream.send(|room| {
        room[..5000].fill(2);
        (5000, ())
    });
    within(mourned(writing, timed_out), options.user_timeout);

    let mut reading = World::open();
    reading.say(ACK, World::first_byte(), &[3; 1000]);
    reading.run_until(SECOND, |world| world.stream.recv(|bytes| (bytes.len(), ())).is_some());
    within(mourned(reading, timed_out), options.user_timeout);

    let mut closing = World::open();
    closing.stream.close();
    within(mourned(closing, StreamState::Closed), options.close_timeout);
}

#[test]
fn an_idle_connection_asks_every_keep_alive_and_lives() {
    let mut world = World::open();
    world.pass(SECOND);
    let before = world.seen.len();
    world.pass(MINUTE * 10);
    let asked = world.seen.len() - before;
    assert!((118..=121).contains(&asked), "every five seconds: {asked}");
    assert_eq!(world.stream.state(), StreamState::Open);
}

#[test]
fn a_peer_that_has_rebooted_says_so_when_it_is_asked() {
    let mut world = World::open();
    world.manner.has_rebooted = true;
    let reset = StreamState::Failed(StreamError::Reset);
    let took = world.run_until(MINUTE, |world| world.stream.state() == reset);
    assert!(took <= TcpOptions::default().keep_alive + millis(20), "{took:?}");
}

#[test]
fn a_lost_syn_costs_a_second_and_a_lost_answer_too() {
    for (deaf_for, dumb_for) in [(1, 0), (0, 1), (2, 0)] {
        let mut world = World::new();
        (world.manner.deaf_for, world.manner.dumb_for) = (deaf_for, dumb_for);
        world.connect();
        let open = |world: &mut World| world.stream.state() == StreamState::Open;
        let took = world.run_until(MINUTE, open);
        let limit = if deaf_for == 2 { SECOND * 3 } else { SECOND };
        assert!(took <= limit + millis(50), "{deaf_for} {dumb_for}: {took:?}");
        world.deliver(&[7; 10_000], SECOND);
    }
}

/// The last segment of a burst has nothing behind it that would tell of its loss.
#[test]
fn a_lost_last_segment_costs_a_probe_timeout() {
    for length in [48, 1460, 1460 * 3] {
        let mut world = World::open();
        world.deliver(&[1; 100], SECOND);
        world.manner.deaf_for = 1;
        let took = world.deliver(&vec![2; length], SECOND);
        assert!(took <= millis(60), "{length}: {took:?}");
        // Lost once more, twice the time.
        world.manner.deaf_for = length.div_ceil(1460) + 1;
        let took = world.deliver(&vec![3; length], SECOND);
        assert!(took <= millis(200), "{length}: {took:?}");
    }
}

/// Nobody is asked again and again: the wait doubles.
#[test]
fn a_peer_that_does_not_answer_is_asked_ever_less_often() {
    let mut world = World::open();
    world.deliver(&[1; 100], SECOND);
    world.manner.is_dead = true;
    world.stream.send(|room| {
        room[..100].fill(2);
        (100, ())
    });
    let before = world.seen.len();
    world.pass(SECOND * 15);
    let asked = world.seen.len() - before;
    assert!((5..=25).contains(&asked), "{asked} in fifteen seconds");
}

#[test]
fn a_window_update_that_is_lost_is_asked_for() {
    let mut world = World::open();
    world.deliver(&[1; 5000], SECOND);
    world.manner.window = 0;
    world.say(ACK, world.acknowledged, &[]);
    world.pass(millis(10));
    let data = Random(1).bytes(20_000);
    world.stream.send(|room| {
        room[..10_000].copy_from_slice(&data[..10_000]);
        (10_000, ())
    });
    // Shut for long: the peer is alive, so the connection is.
    world.pass(MINUTE);
    assert_eq!(world.stream.state(), StreamState::Open);
    // It opens, and nobody says so.
    world.manner.window = 0xffff;
    let begin = world.received.len();
    world.run_until(MINUTE * 2, |world| world.received.len() - begin >= 10_000);
    assert_eq!(world.received[begin..], data[..10_000]);
    world.deliver(&data[10_000..], SECOND);
}

#[test]
fn a_tiny_segment_size_is_borne_down_to_a_bound() {
    for (mss, longest) in [(Some(0), 536), (None, 536), (Some(1), 48), (Some(100), 100)] {
        let mut world = World::new();
        world.manner.mss = mss;
        world.connect();
        world.run_until(SECOND, |world| world.stream.state() == StreamState::Open);
        let data = Random(2).bytes(20_000);
        world.deliver(&data, SECOND * 10);
        let most = world.seen.iter().map(|(.., length)| *length).max();
        assert_eq!(most, Some(longest), "{mss:?}");
        // Probes of what is only late are few.
        assert!(world.seen.len() <= 20_000 / longest * 2 + 10, "{mss:?}: {}", world.seen.len());
    }
}

/// More holes than there is room to keep in mind: the rest comes again.
#[test]
fn more_holes_than_are_kept_lose_nothing() {
    const SEGMENT: usize = 500;
    let mut world = World::open();
    let data = Random(3).bytes(SEGMENT * 100);
    let say = |world: &mut World, number: usize| {
        let begin = World::first_byte().wrapping_add((number * SEGMENT) as u32);
        world.say(ACK, begin, &data[number * SEGMENT..][..SEGMENT]);
    };
    // Every other one, backwards: fifty holes.
    for number in (0..100).rev().filter(|number| number % 2 == 1) {
        say(&mut world, number);
    }
    world.pass(millis(10));
    assert!(world.stream.recv(|bytes| (bytes.len(), ())).is_none(), "nothing is in order");
    let mut came: Vec<u8> = Vec::new();
    world.run_until(SECOND, |world| {
        while world.stream.recv(|bytes| (bytes.len(), came.extend(bytes))).is_some() {}
        let next = world.acknowledged.wrapping_sub(World::first_byte()) as usize / SEGMENT;
        if next < 100 {
            say(world, next);
        }
        came.len() == data.len()
    });
    assert!(came == data);
}

/// Nobody reads: the window shuts, nothing is lost, and it opens again though that is not heard.
#[test]
fn a_reader_that_stalls_shuts_the_window_and_opens_it_again() {
    let mut world = World::open();
    let data = Random(4).bytes(400_000);
    let mut next = 0;
    let push = |world: &mut World, next: &mut usize| {
        let done = world.acknowledged.wrapping_sub(World::first_byte()) as usize;
        *next = done.max(*next);
        let room = world.our_window as usize;
        while *next < data.len() && *next < done + room && *next < done + 20_000 {
            let length = (done + room - *next).min(1400).min(data.len() - *next);
            let begin = World::first_byte().wrapping_add(*next as u32);
            world.say(ACK, begin, &data[*next..*next + length]);
            *next += length;
        }
    };
    world.deliver(&[1; 100], SECOND);
    world.run_until(SECOND * 10, |world| {
        push(world, &mut next);
        world.our_window == 0
    });
    assert!(next > 200_000, "{next}");
    world.pass(MINUTE);
    assert_eq!(world.stream.state(), StreamState::Open);
    // Half is read, and our word of it is lost.
    world.manner.deaf_for = 2;
    let mut came: Vec<u8> = Vec::new();
    while came.len() < 100_000 {
        world.stream.recv(|bytes| (bytes.len(), came.extend(bytes))).unwrap();
    }
    world.pass(millis(100));
    assert_eq!(world.our_window, 0, "the peer does not know");
    world.manner.deaf_for = 0;
    // It probes the window with a byte, as it must (RFC 9293 §3.8.6.1).
    let begin = World::first_byte().wrapping_add(next as u32);
    world.say(ACK, begin, &data[next..=next]);
    world.run_until(SECOND * 10, |world| {
        push(world, &mut next);
        while world.stream.recv(|bytes| (bytes.len(), came.extend(bytes))).is_some() {}
        came.len() >= data.len()
    });
    assert!(came == data);
}
