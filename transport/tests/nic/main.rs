//! The driver against a controller made of memory.

mod attach;
mod chips;
mod cost;
mod detach;

mod families;
mod formats;
mod hardships;
mod identify;
mod interrupt;
mod offload;
mod receive;
mod recovery;
mod removal;
mod trace;
mod transmit;
mod vlan;
mod watch;
mod wire;

pub(crate) use isboot_fake_nic as fake;

use fake::{ADDRESS, Behaviour, Machine};
use isboot_transport::intel::nic::{Nic, Options};

/// A machine with its controller attached, and what happened until then forgotten.
fn attached(behaviour: Behaviour, options: Options) -> (Machine, Nic<Machine, Machine>) {
    let machine = Machine::new(behaviour);
    let nic = Nic::attach(machine, machine, ADDRESS, &options).unwrap();
    machine.forget();
    (machine, nic)
}

/// Rings that tests fill, every descriptor for a frame.
fn small() -> Options {
    Options {
        receive_descriptors: 16,
        transmit_descriptors: 16,
        segmentation_offload: false,
        ..Options::default()
    }
}

/// Looks for frames in vain until the part is told of every descriptor.
fn rest(nic: &mut Nic<Machine, Machine>) {
    for _ in 0..64 {
        assert!(nic.split().0.receive().is_none());
    }
}

/// A frame of `len` bytes that is not IP, recognisable by its number.
fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(7)).collect();
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    bytes[14..18].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// What this thread logs from now on.
struct LogLines;

thread_local! {
    static LINES: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn log_lines() -> LogLines {
    // Every test that wants lines sets the same one.
    let _ = log::set_logger(&LogLines);
    log::set_max_level(log::LevelFilter::Warn);
    LogLines
}

impl LogLines {
    fn taken(&self) -> Vec<String> {
        LINES.take()
    }
}

impl log::Log for LogLines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }

    fn flush(&self) {}
}
