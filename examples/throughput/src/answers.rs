//! A server of plain TCP: it answers requests of an iSCSI target's sizes from memory, at once, with no
//! disk behind it and nothing that looks into what comes. No target can be quicker.
//!
//! A request is as long as a Basic Header Segment and says how many bytes are wanted. They come in
//! segments as a target sends them, with a header in front of each.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A Basic Header Segment (RFC 7143 §11.2.1): a request, and what comes before a segment's data.
pub const HEADER: usize = 48;
/// The most that a segment of an answer carries, as the target of the bench sends them.
pub const SEGMENT: usize = 256 * 1024;
/// Nobody is answered with more. Bounded, as the request comes from outside.
const LARGEST: usize = 16 << 20;

/// Asks for so many bytes.
#[must_use]
pub fn request(bytes: u32) -> [u8; HEADER] {
    let mut request = [0; HEADER];
    request[..4].copy_from_slice(&bytes.to_be_bytes());
    request
}

/// Answers requests until the connection ends, or one asks for nothing or for too much.
pub fn answer(peer: &TcpStream) {
    let (mut requests, mut answers) = (BufReader::new(peer), peer);
    let segment = vec![0x5a; HEADER + SEGMENT];
    let mut request = [0; HEADER];
    while requests.read_exact(&mut request).is_ok() {
        let wanted = u32::from_be_bytes([request[0], request[1], request[2], request[3]]) as usize;
        if !(1..=LARGEST).contains(&wanted) {
            return;
        }
        for at in (0..wanted).step_by(SEGMENT) {
            let length = HEADER + SEGMENT.min(wanted - at);
            if answers.write_all(&segment[..length]).is_err() {
                return;
            }
        }
    }
}

/// Listens on the loopback interface, for guests as well; dropping it ends all connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// None once it is over.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
    listens: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port.
    ///
    /// # Errors
    ///
    /// What the host's sockets refuse.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let connections = Arc::new(Mutex::new(Some(Vec::new())));
        let all = Arc::clone(&connections);
        let listens = thread::spawn(move || {
            thread::scope(|scope| {
                while let Ok((peer, _)) = listener.accept() {
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    let (Some(all), Ok(other), Ok(())) =
                        (&mut *all, peer.try_clone(), peer.set_nodelay(true))
                    else {
                        return;
                    };
                    all.push(other);
                    scope.spawn(move || {
                        answer(&peer);
                        let _ = peer.shutdown(Shutdown::Both);
                    });
                }
            });
        });
        Ok(Self { address, connections, listens: Some(listens) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let all = self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
        for connection in all.into_iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // So that it looks.
        if TcpStream::connect(self.address).is_ok()
            && let Some(listens) = self.listens.take()
        {
            let _ = listens.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn connect(server: &Server) -> TcpStream {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    #[test]
    fn an_answer_has_what_was_asked_for_and_a_header_for_each_segment() {
        let server = Server::start().unwrap();
        let mut stream = connect(&server);
        for wanted in [1, 4096, 256 << 10, 600 << 10] {
            stream.write_all(&request(wanted)).unwrap();
        }
        let mut all = vec![0; 4096 + 1 + (856 << 10) + (1 + 1 + 1 + 3) * HEADER];
        stream.read_exact(&mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 0x5a));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut all).unwrap(), 0, "more than was asked for");
    }

    #[test]
    fn who_asks_for_nothing_or_too_much_is_cut_off() {
        let server = Server::start().unwrap();
        for wanted in [0, (16 << 20) + 1] {
            let mut stream = connect(&server);
            stream.write_all(&request(wanted)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    }

    #[test]
    fn connections_end_with_the_server() {
        let server = Server::start().unwrap();
        let mut stream = connect(&server);
        stream.write_all(&request(1)).unwrap();
        stream.read_exact(&mut [0; HEADER + 1]).unwrap();
        let address = server.address();
        drop(server);
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        assert!(TcpStream::connect(address).is_err());
    }
}
