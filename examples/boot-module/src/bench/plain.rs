//! `demo.plain=ADDRESS:PORT`: loads over plain TCP, with a server that answers from memory. Same card,
//! driver and stack, requests and answers of the same sizes, and nobody who looks into them: what
//! anybody on this stack pays at least.
//!
//! A request is as long as a Basic Header Segment (RFC 7143 §11.2.1), and begins with how many bytes
//! are wanted, in network order. They come in segments, with as much in front of each.

use core::net::SocketAddr;
use core::time::Duration;

use isboot_transport::stream::{ByteStream, StreamState};

use super::line::{Line, Unreadable};
use super::load::Moved;
use super::request::{Operation, Request, Run};
use super::{STAGE, tell};
use crate::clock;
use crate::console::Event;
use crate::failure::Failure;
use crate::interrupt;
use crate::network::Stream;
use crate::profile::Mark;
use crate::serial;

const HEADER: usize = 48;
/// The most that a segment of an answer carries.
const SEGMENT: u32 = 256 * 1024;
/// Nobody waits longer for the server's next byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers lines until one wants the end.
pub(crate) fn run(stream: &mut Stream, server: SocketAddr) -> Result<(), Failure> {
    connect(stream, server)?;
    Event::new(STAGE).field("ready", "yes").field("plain", server);
    let mut line = Line::default();
    loop {
        stream.poll(clock::now());
        let Some(byte) = serial::take() else {
            rest(stream);
            continue;
        };
        if line.push(byte, |line| answer(stream, server, line)) == Some(After::End) {
            close(stream);
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
fn answer(stream: &mut Stream, server: SocketAddr, line: Result<&str, Unreadable>) -> After {
    let failed = |why: &dyn core::fmt::Display| drop(Event::new(STAGE).field("error", why));
    match line.map(Request::parse) {
        Ok(Ok(Request::End)) => return After::End,
        Ok(Ok(Request::Run(run))) => match load(stream, server, &run) {
            Ok(moved) => tell(&moved),
            Err(failure) => {
                // What is still to come of it must not reach the next.
                stream.abort();
                failed(&failure.text);
            }
        },
        Ok(Ok(Request::Digests(_))) => failed(&"plain TCP has no digests"),
        Ok(Err(why)) => failed(&why),
        Err(why) => failed(&why),
    }
    After::Listen
}

/// Runs a load, over a new connection where the last one is gone.
fn load(stream: &mut Stream, server: SocketAddr, run: &Run) -> Result<Moved, Failure> {
    if run.operation == Operation::Write {
        return Err(Failure::new(STAGE, "plain TCP stands for reads only"));
    }
    if stream.state() != StreamState::Open {
        connect(stream, server)?;
    }
    let profile = Mark::here();
    let began = clock::now();
    let commands = go(stream, run, began + run.limit)
        .map_err(|failure| failure.with(format_args!("the server at {server}")))?;
    let took = clock::now() - began;
    let profile = Mark::here().zip(profile).map(|(after, before)| after.since(before));
    let bytes = commands * u64::from(run.block);
    Ok(Moved { bytes, commands, took, checked: None, profile })
}

/// The measured part: how many requests were answered.
fn go(stream: &mut Stream, run: &Run, end: Duration) -> Result<u64, Failure> {
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&run.block.to_be_bytes());
    let headers = u64::from(run.block.div_ceil(SEGMENT)) * HEADER as u64;
    let of_an_answer = u64::from(run.block) + headers;

    // Requests that were made, and their bytes; whole answers, and what came of the next.
    let (mut asked, mut sent) = (0, 0);
    let (mut answered, mut came) = (0, 0);
    let mut heard = clock::now();
    loop {
        let now = clock::now();
        let is_over = now >= end || asked >= run.count;
        if !is_over {
            asked = (answered + u64::from(run.depth)).min(run.count);
        }
        while sent < asked * HEADER as u64
            && let Some(count) = stream.send(|room| fill(room, &request, sent, asked))
        {
            sent += count;
        }
        let mark = Mark::here();
        stream.poll(now);
        let before = (answered, came);
        while let Some(count) = stream.recv(|bytes| (bytes.len(), bytes.len() as u64)) {
            came += count;
            while came >= of_an_answer {
                came -= of_an_answer;
                answered += 1;
            }
        }
        let fail = |why: core::fmt::Arguments<'_>| Err(Failure::new(STAGE, why));
        if answered > asked || (answered == asked && came > 0) {
            return fail(format_args!("sent more than the {asked} answers that were asked for"));
        }
        if is_over && answered == asked {
            return Ok(answered);
        }
        if (answered, came) != before {
            heard = now;
            continue;
        }
        if let Some(mark) = mark {
            mark.look_back();
        }
        let owed = (asked - answered) * of_an_answer - came;
        match stream.state() {
            StreamState::Open if now - heard < PATIENCE => rest(stream),
            StreamState::Open => {
                let seconds = PATIENCE.as_secs();
                return fail(format_args!("owes {owed} bytes, and sent none for {seconds} s"));
            }
            StreamState::Failed(error) => return fail(format_args!("owes {owed} bytes: {error}")),
            _ => return fail(format_args!("closed the connection and owes {owed} bytes")),
        }
    }
}

/// Writes as much of `asked` requests as there is room for, behind the first `sent` bytes of them.
fn fill(room: &mut [u8], request: &[u8; HEADER], sent: u64, asked: u64) -> (usize, u64) {
    let at = (sent % HEADER as u64) as usize;
    let left = (asked * HEADER as u64 - sent) as usize;
    let bytes = request.iter().cycle().skip(at).take(left);
    let count = room.iter_mut().zip(bytes).map(|(place, byte)| *place = *byte).count();
    (count, count as u64)
}

/// Waits for the server to accept. The stream has its own bound.
fn connect(stream: &mut Stream, server: SocketAddr) -> Result<(), Failure> {
    let failed = |why: &dyn core::fmt::Display| {
        Err(Failure::new(STAGE, format_args!("connecting to the server at {server}: {why}")))
    };
    if let Err(error) = stream.connect(clock::now(), server) {
        return failed(&error);
    }
    loop {
        stream.poll(clock::now());
        match stream.state() {
            StreamState::Open => return Ok(()),
            StreamState::Connecting => rest(stream),
            StreamState::Failed(error) => return failed(&error),
            StreamState::PeerClosed | StreamState::Closed => return failed(&"it closed at once"),
        }
    }
}

/// Ends the connection. The stream has its own bound.
fn close(stream: &mut Stream) {
    stream.close();
    while !matches!(stream.state(), StreamState::Closed | StreamState::Failed(_)) {
        stream.poll(clock::now());
        while stream.recv(|bytes| (bytes.len(), ())).is_some() {}
        rest(stream);
    }
}

/// Sleeps until the card interrupts, or the stream wants to be called.
fn rest(stream: &mut Stream) {
    let until = stream.poll_at(clock::now());
    interrupt::rest(stream.stack_mut().device_mut().nic_mut(), until);
}
