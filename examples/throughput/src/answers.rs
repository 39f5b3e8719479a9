//! A server of plain TCP: it answers requests of an iSCSI target's sizes from memory, at once, with no
//! disk behind it and nothing that looks into what comes. No target can be quicker.
//!
//! A request is as long as a Basic Header Segment and says how many bytes are wanted. They come in
//! segments as a target sends them, with a header in front of each.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

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

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{Shutdown, TcpListener};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A connection to one that answers.
    fn connect() -> io::Result<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (peer, _) = listener.accept()?;
        thread::spawn(move || answer(&peer));
        Ok(stream)
    }

    #[test]
    fn an_answer_has_what_was_asked_for_and_a_header_for_each_segment() {
        let mut stream = connect().unwrap();
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
        for wanted in [0, (16 << 20) + 1] {
            let mut stream = connect().unwrap();
            stream.write_all(&request(wanted)).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    }
}
