//! Our stack against Linux's and the real istgt, in real time, over a TAP device.

use std::time::{Duration, Instant};

use isboot::disk::DiskId;
use isboot::session::Error;
use isboot_tests::faults::{Faults, Side};
use isboot_tests::host::{Access, Host};
use isboot_tests::istgt::{Istgt, Lun, Options};
use isboot_tests::scratch::{Scratch, noise};
use isboot_tests::tap::{
    Line, TARGET, TapDevice, hurry_the_kernel, in_own_network, set_congestion_control,
};
use isboot_transport::tcp::TcpStream;

const MIB: usize = 1 << 20;
const DIGESTS: [(&str, &str); 2] = [("header_digest", "crc32c"), ("data_digest", "crc32c")];

/// A host over a bad cable, istgt at its other end.
pub(crate) struct Rig {
    pub(crate) host: Host<TcpStream<'static, TapDevice>>,
    pub(crate) line: Line,
    pub(crate) image: std::path::PathBuf,
}

/// How the kernel's end deals with loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// As it comes.
    Usual,
    /// It does not wait long.
    Hurried,
}

/// Runs `test` with a LUN of `length` bytes.
pub(crate) fn with_rig(
    length: usize,
    parameters: &[(&str, &str)],
    faults: &Faults,
    kernel: Kernel,
    test: impl FnOnce(&mut Rig) + Send,
) {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let ran = in_own_network(|tap| {
        // What the machine has is another on every machine; this one every network may choose.
        set_congestion_control("reno").expect("every kernel has it");
        if kernel == Kernel::Hurried {
            hurry_the_kernel().unwrap_or_else(|error| panic!("{error}"));
        }
        let image = scratch.image(1, length);
        let lun = Lun { image: image.clone(), serial: "SERIAL-1".to_owned() };
        let options = Options { address: TARGET, port: Some(3260), ..Options::default() };
        let istgt = Istgt::start(&scratch.path().join("istgt"), &[lun], &options)
            .unwrap_or_else(|error| panic!("{error}"));
        let line = Line::new(faults.clone());
        let stream = TapDevice::new(tap, &line).into_stream();
        let access = Access::new(istgt.portal(), istgt.target_name(), parameters);
        let host = Host::log_in_over(stream, &access)
            .unwrap_or_else(|error| panic!("{error}: {}", istgt.log()));
        test(&mut Rig { host, line, image });
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

/// Everything that the LUN holds is read, written anew, read again, and looked at from outside.
fn whole_lun(rig: &mut Rig, length: usize) {
    let back = rig.host.read(DiskId(0), 0, length, 64 * 1024, 8).unwrap();
    assert!(back == noise(1, length), "it reads as the file is");
    let data = noise(2, length);
    rig.host.write(DiskId(0), 0, &data, 64 * 1024, 8).unwrap();
    assert!(std::fs::read(&rig.image).unwrap() == data, "what was acknowledged is in the file");
    let back = rig.host.read(DiskId(0), 0, length, 64 * 1024, 8).unwrap();
    assert!(back == data, "it reads as written");
}

/// No delay but the machine's own.
fn at_once() -> Faults {
    Faults { delay: Duration::ZERO, ..Faults::default() }
}

/// The whole LUN under these faults, then a clean logout.
fn whole_lun_under(length: usize, parameters: &[(&str, &str)], faults: &Faults) -> Option<Error> {
    let mut error = None;
    let kept = &mut error;
    with_rig(length, parameters, faults, Kernel::Hurried, move |rig| {
        whole_lun(rig, length);
        *kept = rig.host.isboot().last_error();
        rig.line.set_faults(at_once());
        rig.host.leave().unwrap();
    });
    error
}

#[test]
fn whatever_is_lost_on_the_way_the_file_is_right() {
    for (lost, length) in [(0, 4 * MIB), (1, 4 * MIB), (5, 4 * MIB), (10, MIB)] {
        let error = whole_lun_under(length, &DIGESTS, &Faults { lost, ..at_once() });
        assert!(lost == 10 || error.is_none(), "{lost} %: {error:?}");
    }
}

/// One way at a time: the kernel doubles its wait at each loss, and of two losses out of three
/// nobody can tell when that ends.
#[test]
fn three_frames_of_ten_lost_on_the_way_to_the_target_cost_time() {
    let from = |side| Faults { lost: 30, only_from: Some(side), ..at_once() };
    whole_lun_under(2 * MIB, &DIGESTS, &from(Side::Initiator));
}

#[test]
fn three_frames_of_ten_lost_on_the_way_from_the_target_cost_time() {
    let from = |side| Faults { lost: 30, only_from: Some(side), ..at_once() };
    whole_lun_under(MIB / 8, &DIGESTS, &from(Side::Target));
}

#[test]
fn reordered_doubled_and_damaged_frames_cost_time() {
    for faults in [
        Faults { late: 10, doubled: 10, ..at_once() },
        Faults { lost: 2, late: 5, doubled: 5, flipped: 5, ..at_once() },
    ] {
        assert_eq!(whole_lun_under(4 * MIB, &DIGESTS, &faults), None, "{faults:?}");
    }
}

/// istgt leaves, or rejects, and so do we; what was acknowledged is right all the same.
#[test]
fn digests_find_what_no_checksum_tells() {
    for from in [Side::Initiator, Side::Target] {
        // One at a time: each may cost a login, and each login istgt's second of sleep.
        with_rig(2 * MIB, &DIGESTS, &at_once(), Kernel::Hurried, |rig| {
            let data = noise(2, 2 * MIB);
            for part in 0..2 {
                // Full frames go to the target in writes, and come from it in reads.
                rig.line.falsify_next(from);
                let place = part * MIB..(part + 1) * MIB;
                let offset = place.start as u64;
                rig.host.write(DiskId(0), offset, &data[place.clone()], 64 * 1024, 8).unwrap();
                let back = rig.host.read(DiskId(0), offset, MIB, 64 * 1024, 8).unwrap();
                assert!(back == data[place], "{from:?}");
            }
            assert_eq!(rig.line.harmed(), 2, "{from:?}");
            assert!(std::fs::read(&rig.image).unwrap() == data, "{from:?}");
            rig.host.leave().unwrap();
        });
    }
}

fn unplugged_for(seconds: u64) {
    with_rig(4 * MIB, &DIGESTS, &at_once(), Kernel::Usual, |rig| {
        let time = Duration::from_secs(seconds);
        for is_write in [true, false] {
            rig.line.unplug_in(Duration::from_millis(5), time);
            let begin = Instant::now();
            if is_write {
                rig.host.write(DiskId(0), 0, &noise(2, 4 * MIB), 64 * 1024, 8).unwrap();
                assert!(std::fs::read(&rig.image).unwrap() == noise(2, 4 * MIB));
            } else {
                let back = rig.host.read(DiskId(0), 0, 4 * MIB, 64 * 1024, 8).unwrap();
                assert!(back == noise(2, 4 * MIB));
            }
            let took = begin.elapsed();
            assert!(took > time, "it was out meanwhile");
            assert!(took < time + Duration::from_secs(15), "{is_write}: {took:?}");
            // Long enough out for the session to be renewed.
            assert_eq!(rig.host.isboot().last_error().is_some(), seconds > 20);
            if seconds > 20 {
                break;
            }
        }
        rig.host.leave().unwrap();
    });
}

#[test]
fn a_plug_out_for_a_second_costs_little_more() {
    unplugged_for(1);
}

#[test]
fn a_plug_out_for_half_a_minute_costs_a_session() {
    unplugged_for(30);
}
