//! A target on TCP: a thread that accepts, and one for each connection.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::target::Target;

/// How often a thread with nothing to do looks whether somebody wants something of it.
const STEP: Duration = Duration::from_millis(5);
/// An initiator that takes nothing for so long is gone.
const SEND_LIMIT: Duration = Duration::from_secs(30);
/// How long the end of a server may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Bytes taken from the socket at once.
const PIECE: usize = 256 * 1024;

/// A target that listens. Dropping it ends the listener and every connection.
#[derive(Debug)]
pub struct Server {
    target: Target,
    address: SocketAddr,
    listener: Option<Listener>,
    streams: Streams,
}

#[derive(Debug)]
struct Listener {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Open sockets by connection number.
type Streams = Arc<Mutex<HashMap<u64, TcpStream>>>;

impl Server {
    pub(super) fn start(target: Target, address: impl ToSocketAddrs) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        let address = socket.local_addr()?;
        let streams = Streams::default();
        let listener = Some(listen(&target, socket, &streams)?);
        Ok(Self { target, address, listener, streams })
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address that it listens on.
    #[must_use]
    pub fn portal(&self) -> SocketAddr {
        self.address
    }

    /// The target behind it.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        open(&self.streams).len()
    }

    /// Closes every connection without a word, as a cable or a crash would; new ones are taken.
    pub fn drop_connections(&self) {
        for stream in open(&self.streams).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes no new connections; the port refuses them. Open ones live on.
    pub fn stop_listening(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.stop.store(true, Ordering::SeqCst);
            let _ = listener.thread.join();
        }
    }

    /// Listens again on the same port. Does nothing when it listens.
    ///
    /// # Errors
    /// Somebody else took the port.
    pub fn listen_again(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            let socket = TcpListener::bind(self.address)?;
            self.listener = Some(listen(&self.target, socket, &self.streams)?);
        }
        Ok(())
    }

    /// Ends as a crash would: no listener, no connection. The LUNs keep their data;
    /// [`listen_again`](Self::listen_again) plays the restart.
    pub fn crash(&mut self) {
        self.stop_listening();
        self.drop_connections();
        let end = Instant::now() + STOP_LIMIT;
        while self.connections() != 0 && Instant::now() < end {
            thread::sleep(STEP);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn open(streams: &Streams) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(target: &Target, socket: TcpListener, streams: &Streams) -> io::Result<Listener> {
    socket.set_nonblocking(true)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (target, streams) = (target.clone(), Arc::clone(streams));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            match socket.accept() {
                Ok((stream, _)) => admit(&target, stream, &streams),
                Err(_) => thread::sleep(STEP),
            }
        }
    });
    Ok(Listener { stop, thread })
}

/// Gives a new connection its thread. One that breaks before that is as good as never made.
fn admit(target: &Target, stream: TcpStream, streams: &Streams) {
    let prepared = stream.set_nonblocking(false).and_then(|()| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(SEND_LIMIT))?;
        Ok((stream.local_addr()?, stream.try_clone()?))
    });
    let Ok((portal, clone)) = prepared else { return };
    let connection = target.connect(portal);
    let number = connection.number();
    open(streams).insert(number, clone);
    let streams = Arc::clone(streams);
    let open_stream = OpenStream { number, stream, streams };
    thread::spawn(move || serve(connection, &open_stream.stream));
}

/// A socket that is closed and struck off the list however its thread ends.
struct OpenStream {
    number: u64,
    stream: TcpStream,
    streams: Streams,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        open(&self.streams).remove(&self.number);
    }
}

/// Moves bytes until either side is done.
fn serve(mut connection: Connection, mut stream: &TcpStream) {
    let mut buffer = vec![0; PIECE];
    loop {
        if connection.output().write_to(stream).is_err() {
            return;
        }
        if connection.is_closed() {
            linger(&mut connection, stream, &mut buffer);
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => connection.receive(&buffer[..count]),
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

/// Says that nothing more comes, and waits a little for the initiator to close: closing with
/// bytes unread would reset the connection and could take the last response with it. Bytes that
/// still come are shown to the connection, which knows whether they may.
fn linger(connection: &mut Connection, mut stream: &TcpStream, buffer: &mut [u8]) {
    const LIMIT: Duration = Duration::from_millis(500);
    let _ = stream.shutdown(Shutdown::Write);
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        match stream.read(buffer) {
            Ok(0) => return,
            Ok(count) => connection.receive(&buffer[..count]),
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use crate::target::Lun;
    use isboot::pdu::bhs::BasicHeaderSegment;

    const LIMIT: Duration = Duration::from_secs(5);

    fn target() -> Target {
        Target::builder("iqn.2001-04.com.example:disks").lun(Lun::memory(1 << 20)).build()
    }

    /// Sends a Login Request by hand.
    fn send_login(server: &Server) -> TcpStream {
        let mut header = [0; 48];
        header[0] = 0x43;
        header[1] = 0x87;
        header[8] = 0x40;
        let text = b"InitiatorName=iqn.2001-04.com.example:host\0\
                     TargetName=iqn.2001-04.com.example:disks\0";
        let request =
            crate::target::Pdu::new(BasicHeaderSegment::from_bytes(header), text.to_vec());
        let mut bytes = Vec::new();
        request.encode(isboot::pdu::digest::Digests::default(), &mut bytes);
        let mut stream = TcpStream::connect(server.portal()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(&bytes).unwrap();
        stream
    }

    /// Logs in by hand and returns the socket.
    fn log_in(server: &Server) -> TcpStream {
        let mut stream = send_login(server);
        let mut response = [0; 48];
        stream.read_exact(&mut response).unwrap();
        assert_eq!((response[0], response[1], response[36]), (0x23, 0x87, 0));
        let mut text = vec![0; (usize::from(response[7]) + 3) & !3];
        stream.read_exact(&mut text).unwrap();
        stream
    }

    #[track_caller]
    fn assert_ends(stream: &mut TcpStream) {
        let mut byte = [0];
        assert!(!stream.read(&mut byte).is_ok_and(|count| count > 0), "still there");
    }

    #[test]
    fn connections_are_dropped_and_new_ones_taken() {
        let target = target();
        let server = target.serve("127.0.0.1:0").unwrap();
        let mut stream = log_in(&server);
        assert_eq!((server.connections(), target.live_sessions()), (1, 1));
        server.drop_connections();
        assert_ends(&mut stream);
        let _again = log_in(&server);
        assert_eq!(target.statistics().logins, 2);
    }

    #[test]
    fn a_crash_and_a_restart_keep_port_and_data() {
        let target = target();
        let mut server = target.serve("127.0.0.1:0").unwrap();
        let mut stream = log_in(&server);
        target.write_lun(0, 0, b"kept").unwrap();
        server.crash();
        assert_ends(&mut stream);
        assert_eq!((server.connections(), target.live_sessions()), (0, 0));
        assert!(TcpStream::connect(server.portal()).is_err());
        server.listen_again().unwrap();
        let _again = log_in(&server);
        assert_eq!(target.read_lun(0, 0, 4).unwrap(), b"kept");
    }

    #[test]
    fn the_end_of_a_server_is_bounded_and_frees_its_port() {
        let server = target().serve("127.0.0.1:0").unwrap();
        let mut stream = log_in(&server);
        let portal = server.portal();
        let start = Instant::now();
        drop(server);
        assert!(start.elapsed() < LIMIT);
        assert_ends(&mut stream);
        drop(TcpListener::bind(portal).unwrap());
    }

    #[test]
    fn a_hook_that_panics_is_told_and_ends_its_connection() {
        let target = target();
        let server = target.serve("127.0.0.1:0").unwrap();
        target.on_response(|_, _| panic!("an assertion of the script"));
        let mut stream = send_login(&server);
        assert_ends(&mut stream);
        let end = Instant::now() + LIMIT;
        while target.violations().is_empty() && Instant::now() < end {
            thread::sleep(STEP);
        }
        assert!(target.violations().iter().any(|violation| violation.what.contains("panicked")));
        target.clear_hooks();
        let _again = log_in(&server);
    }

    /// A NOP-In that nobody asked for goes out while the initiator is silent.
    #[test]
    fn orders_reach_an_idle_connection() {
        let target = target();
        let server = target.serve("127.0.0.1:0").unwrap();
        let mut stream = log_in(&server);
        target.ping(b"");
        let mut header = [0; 48];
        stream.read_exact(&mut header).unwrap();
        assert_eq!((header[0], &header[16..20]), (0x20, &[0xff; 4][..]));
    }
}
