//! Plain TCP of our hosting kernel under measure: booted once in QEMU, against a server on the host.

mod image;
mod loads;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use qemu_boot::plan::Nic;
use throughput::answers::{HEADER, Server, request};
use throughput::contender::Contender;
use throughput::guest::machine::Hardware;
use throughput::guest::plain::PlainTcp;
use throughput::workload::{Digests, Workload};

const LIMIT: Duration = Duration::from_millis(50);
const READ: Workload = Workload::read(1 << 20, 4);

fn boot(server: SocketAddr) -> Result<PlainTcp, String> {
    let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e);
    PlainTcp::boot(&hardware, &image::image(), server)
}

#[test]
fn one_connection_serves_every_size_and_depth() {
    let server = Server::start().unwrap();
    let mut plain = boot(server.address()).unwrap();
    let workloads = [
        READ,
        Workload::read(1 << 20, 1),
        Workload::random_read(4096, 32),
        Workload::read(32 << 10, 1),
        Workload::read(600 << 10, 3),
    ];
    loads::run_each(&mut plain, &workloads, LIMIT);
    for refused in [Workload::write(4096, 1), READ.with(Digests::Both)] {
        let error = plain.prepare(&refused).unwrap_err();
        assert_eq!(error, "plain TCP stands for reads without digests only");
    }
    plain.end().unwrap();
}

/// Each of them is told, in a bounded time, and the next load gets a connection of its own.
#[test]
fn a_server_that_owes_something_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Workload::read(4096, 1);
    let serve = std::thread::spawn(move || {
        let answer = [0x5a; HEADER + 4096];
        let of_the_next = |count: usize, then: &dyn Fn(&mut TcpStream)| {
            let (mut peer, _) = listener.accept().unwrap();
            let mut asked = [0; HEADER];
            peer.read_exact(&mut asked).unwrap();
            assert_eq!(asked, request(4096));
            peer.write_all(&answer[..count]).unwrap();
            then(&mut peer);
        };
        // Dies in the middle; says no more; says too much.
        of_the_next(1000, &|_| {});
        of_the_next(answer.len() - 1, &|peer| drop(peer.read(&mut [0; 1])));
        of_the_next(answer.len(), &|peer| {
            peer.write_all(&answer.repeat(40)).unwrap();
            drop(peer.read(&mut [0; 1]));
        });
        // And nobody listens any more.
    });
    let mut plain = boot(address).unwrap();
    let mut error_of = |words: &str| {
        let error = plain.run(&asked, Duration::from_millis(500)).unwrap_err();
        assert!(error.contains(words), "{error}, and not {words}");
        assert!(error.contains("the server at 10.0.2.2:"), "{error}");
    };
    error_of("closed the connection and owes 3144 bytes");
    error_of("owes 1 bytes, and sent none for 5 s");
    error_of("sent more than the ");
    error_of("connection refused");
    serve.join().unwrap();
    plain.end().unwrap();
}
