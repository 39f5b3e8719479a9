//! Bare iSCSI of our hosting kernel under measure: booted once in QEMU, against a real istgt, and
//! against what is none.

mod image;
mod loads;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::request::Request;
use isboot_tests::istgt::{Istgt, Lun, Options};
use isboot_tests::scratch::Scratch;
use qemu_boot::disk_image;
use qemu_boot::plan::Nic;
use throughput::contender::Contender;
use throughput::guest::bare::Bare;
use throughput::guest::machine::Hardware;
use throughput::rig::Rig;
use throughput::workload::{Digests, Workload};

const LIMIT: Duration = Duration::from_millis(50);
const READ: Workload = Workload::read(1 << 20, 4);
const SPAN: u64 = 8 << 20;
/// What the guest waits for at most, ten seconds, and a machine with other work.
const BOUNDED: Duration = Duration::from_secs(40);

fn boot(portal: SocketAddr, target_name: &str, digests: Digests) -> Result<Bare, String> {
    boot_for(SPAN, portal, target_name, digests)
}

fn boot_for(
    span: u64,
    portal: SocketAddr,
    target_name: &str,
    digests: Digests,
) -> Result<Bare, String> {
    let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e);
    Bare::boot(&hardware, &image::image(), &[], portal, target_name, span, digests)
}

#[test]
fn one_boot_reads_every_size_and_depth_with_and_without_digests() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), SPAN).unwrap();
    let mut bare = boot(rig.portal(), rig.target_name(), Digests::Both).unwrap();
    let workloads = [
        READ.with(Digests::Both),
        Workload::read(4096, 1).with(Digests::Both),
        READ,
        Workload::read(1 << 20, 1),
        // More commands than istgt takes at once.
        Workload::read(1 << 20, 16),
        Workload::random_read(4096, 32),
        Workload::read(32 << 10, 1),
        READ.with(Digests::Header),
    ];
    loads::run_each(&mut bare, &workloads, LIMIT);

    // It counts what istgt read for it, and the first answer, which is not counted.
    for workload in [READ.with(Digests::Both), Workload::random_read(4096, 32)] {
        bare.prepare(&workload).unwrap();
        let before = bytes_read_by(rig.istgt_id());
        let counted = bare.run(&workload, LIMIT).unwrap().bytes;
        let read = bytes_read_by(rig.istgt_id()) - before;
        assert!((counted..counted + (1 << 20)).contains(&read), "{workload}: {counted} of {read}");
    }
    bare.prepare(&READ.with(Digests::Header)).unwrap();

    // What it does not stand for is refused, and the next one runs.
    let write = Workload::write(4096, 1).with(Digests::Header);
    let refused = "bare iSCSI stands for reads only";
    assert_eq!(bare.prepare(&write).unwrap_err(), refused);
    assert_eq!(bare.run(&write, LIMIT).unwrap_err(), refused);
    let error = bare.run(&Workload::read(600 << 10, 1), LIMIT).unwrap_err();
    assert!(error.starts_with("bare iSCSI reads 262144 bytes a command"), "{error}");
    bare.run(&READ.with(Digests::Header), LIMIT).unwrap();
    bare.end().unwrap();

    // The unit ends before the load does, which is seen before the load begins.
    let mut beyond = boot_for(2 * SPAN, rig.portal(), rig.target_name(), Digests::None).unwrap();
    let error = beyond.run(&READ, LIMIT).unwrap_err();
    assert!(error.contains("answered a read with Scsi"), "{error}");
    assert!(error.contains("status: 2"), "{error}");
    beyond.end().unwrap();
}

#[test]
fn a_target_that_goes_in_the_middle_is_told_and_found_again_when_it_is_back() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let image = scratch.path().join("disk.img");
    disk_image::create(&image, SPAN, 1).unwrap();
    let luns = [Lun { image, serial: "BARE".to_owned() }];
    let options = Options { nop_in_interval: 3600, ..Options::default() };
    let mut istgt = Istgt::start(&scratch.path().join("istgt"), &luns, &options).unwrap();
    let (portal, name) = (istgt.portal(), istgt.target_name().to_owned());
    let mut bare = boot(portal, &name, Digests::None).unwrap();
    bare.run(&READ, LIMIT).unwrap();

    let error = thread::scope(|scope| {
        let run = scope.spawn(|| bare.run(&READ, Duration::from_secs(20)));
        thread::sleep(Duration::from_millis(500));
        istgt.kill();
        run.join().unwrap().unwrap_err()
    });
    let whom = format!("target {name} at 10.0.2.2:{}: ", portal.port());
    assert!(error.starts_with(&whom), "{error}");
    assert!(error.contains("owes "), "{error}");
    let error = bare.run(&READ, LIMIT).unwrap_err();
    assert_eq!(error, format!("{whom}connection refused"));

    istgt.restart().unwrap();
    bare.run(&READ, LIMIT).unwrap();
    bare.end().unwrap();
}

/// Each of them is told in a bounded time, with what came.
#[test]
fn a_server_that_is_no_target_is_told() {
    let words = [
        // Closes at once; says nothing; says what no PDU begins with; answers the login as a target
        // that has nothing to say of digests.
        (Vec::new(), true, "closed the connection and owes 48 bytes"),
        (Vec::new(), false, "owes 48 bytes, and 15 s are over"),
        (vec![0x5a; 4096], false, "PDU with opcode 0x1a"),
        (login_response(), false, "does not agree to HeaderDigest=None"),
    ];
    for (says, closes, expected) in words {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = listener.local_addr().unwrap();
        let serve = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut login = [0; BASIC_HEADER_SEGMENT_LENGTH];
            peer.read_exact(&mut login).unwrap();
            let header = BasicHeaderSegment::from_bytes(login);
            assert!(matches!(Request::parse(&header), Ok(Request::Login(_))), "{login:?}");
            let text = header.data_segment_length().next_multiple_of(4);
            peer.read_exact(&mut vec![0; text as usize]).unwrap();
            peer.write_all(&says).unwrap();
            if !closes {
                wait_for_end(&mut peer);
            }
        });
        let began = Instant::now();
        let error = boot(portal, "iqn.2026-11.org.example:nobody", Digests::None).unwrap_err();
        assert!(began.elapsed() < BOUNDED, "{:?}", began.elapsed());
        assert!(error.contains(expected), "{error}, and not {expected}");
        assert!(error.contains("target iqn.2026-11.org.example:nobody at 10.0.2.2:"), "{error}");
        serve.join().unwrap();
    }
}

/// From files and sockets.
fn bytes_read_by(process: u32) -> u64 {
    let counters = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let read = counters.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.unwrap().parse().unwrap()
}

/// A Login Response without text that goes to the full feature phase (RFC 7143 §11.13).
fn login_response() -> Vec<u8> {
    let mut response = vec![0; BASIC_HEADER_SEGMENT_LENGTH];
    // T, from operational negotiation; TSIH 1.
    (response[0], response[1], response[15]) = (0x23, 0x87, 1);
    response
}

fn wait_for_end(peer: &mut TcpStream) {
    while peer.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
}
