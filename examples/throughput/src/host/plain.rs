//! What the kernel's sockets alone take for the same exchange: requests and answers of an iSCSI
//! target's sizes, and nothing that looks into them. No initiator over these sockets can be cheaper.
//!
//! A thread of this process answers from memory ([`answers`]). The other end keeps as
//! many requests outstanding as the workload says, and receives each answer straight into a buffer of
//! its own, header apart, with a readv(2) each and a poll(2) when there is nothing.

use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::answers::{self, HEADER, SEGMENT, answer};
use crate::contender::Contender;
use crate::processor;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Operation, Workload};

/// Neither end waits longer for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bare exchange of reads over the loopback interface.
#[derive(Default)]
pub struct PlainTcp {
    connected: Option<(Workload, Exchange)>,
}

impl Contender for PlainTcp {
    fn name(&self) -> &str {
        names::PLAIN_TCP
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if workload.operation == Operation::Write {
            return Err("plain TCP stands for reads only".to_owned());
        }
        if self.connected.as_ref().is_some_and(|(known, _)| known == workload) {
            return Ok(());
        }
        self.connected = None;
        let exchange = Exchange::new(workload)
            .map_err(|error| format!("connecting to a thread of our own: {error}"))?;
        self.connected = Some((*workload, exchange));
        Ok(())
    }

    fn run(&mut self, _: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, exchange)) = &mut self.connected else {
            return Err("there is no connection: it was not prepared".to_owned());
        };
        exchange.run(limit).map_err(|error| format!("moving bytes over the loopback: {error}"))
    }
}

struct Exchange {
    stream: TcpStream,
    buffers: Vec<Vec<u8>>,
    answers: Option<JoinHandle<()>>,
}

impl Exchange {
    fn new(workload: &Workload) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        let (peer, _) = listener.accept()?;
        for end in [&stream, &peer] {
            end.set_nodelay(true)?;
        }
        peer.set_read_timeout(None)?;
        stream.set_nonblocking(true)?;
        let block = workload.block as usize;
        let answers = std::thread::spawn(move || answer(&peer));
        let buffers = vec![vec![0xa5; block]; usize::from(workload.depth)];
        Ok(Self { stream, buffers, answers: Some(answers) })
    }

    fn run(&mut self, limit: Duration) -> std::io::Result<Sample> {
        let began = Instant::now();
        let processor = processor::time_of_this_thread();
        let depth = self.buffers.len();
        let block = self.buffers.first().map_or(0, Vec::len);
        let (mut asked, mut answered) = (0, 0);
        let requests = answers::request(block as u32).repeat(depth);
        while answered < asked || began.elapsed() < limit {
            if began.elapsed() < limit {
                let due = answered + depth - asked;
                (&self.stream).write_all(&requests[..due * HEADER])?;
                asked += due;
            }
            let buffer = &mut self.buffers[answered % depth];
            for segment in buffer.chunks_mut(SEGMENT) {
                receive(&self.stream, segment)?;
            }
            answered += 1;
        }
        let cpu = processor::time_of_this_thread().saturating_sub(processor);
        Ok(Sample {
            bytes: (answered * block) as u64,
            commands: answered as u64,
            elapsed: began.elapsed(),
            cpu: Some(cpu),
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(answers) = self.answers.take() {
            let _ = answers.join();
        }
    }
}

/// Receives a header and one segment.
fn receive(mut stream: &TcpStream, segment: &mut [u8]) -> std::io::Result<()> {
    let mut header = [0; HEADER];
    let mut have = 0;
    while have < HEADER + segment.len() {
        let head = &mut header[have.min(HEADER)..];
        let data = &mut segment[have.saturating_sub(HEADER)..];
        match stream.read_vectored(&mut [IoSliceMut::new(head), IoSliceMut::new(data)]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let patience = Timespec::try_from(PATIENCE).ok();
                let ready = poll(&mut [PollFd::new(&stream, PollFlags::IN)], patience.as_ref())?;
                if ready == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
