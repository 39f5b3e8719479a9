//! Every register write of taking over three boards, in order: what changes there shows in a diff.
//!
//! `ISBOOT_WRITE_TRACES=1 cargo test -p isboot-transport --test nic trace` writes them anew.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use isboot_transport::intel::ids::{Model, VENDOR};
use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::{CTRL, Register, ctrl};

use crate::fake::{ADDRESS, Behaviour, Event, Machine};
use crate::small;

#[test]
fn the_three_boards_are_programmed_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nic/trace");
    for device_id in [0x107d, 0x10d3, 0x10ef] {
        let name = Model::find(VENDOR, device_id).unwrap().name;
        let machine = Machine::new(Behaviour::of(device_id));
        // Firmware left the link up.
        machine.poke(CTRL, ctrl::SLU);
        let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let now = render(&machine.state().events);
        let path = folder.join(format!("{name}.txt"));
        if std::env::var_os("ISBOOT_WRITE_TRACES").is_some() {
            fs::write(&path, &now).unwrap();
        }
        let then = fs::read_to_string(&path).unwrap();
        for (line, (now, then)) in now.lines().zip(then.lines()).enumerate() {
            assert_eq!(now, then, "{name}, line {}", line + 1);
        }
        assert_eq!(now, then, "{name}");
    }
}

/// One line for each write; neighbours with the same value on one.
fn render(events: &[Event]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(event) = events.get(at) {
        at += 1;
        match event {
            Event::Write(register, value) => {
                let first = *register;
                let mut last = first;
                let stride = match events.get(at) {
                    Some(Event::Write(next, same)) if same == value => {
                        next.offset().wrapping_sub(first.offset())
                    }
                    _ => 0,
                };
                while let Some(Event::Write(next, same)) = events.get(at)
                    && matches!(stride, 4 | 8)
                    && (same, next.offset()) == (value, last.offset() + stride)
                {
                    last = *next;
                    at += 1;
                }
                let _ = if first == last {
                    writeln!(text, "{:<12} {value:08x}", named(first))
                } else {
                    writeln!(text, "{:<12} {value:08x} to {}", named(first), named(last))
                };
            }
            Event::BusMaster(on) => {
                let _ = writeln!(text, "bus master   {}", if *on { "on" } else { "off" });
            }
            Event::Allocate(_) => text.push_str("allocate\n"),
            _ => {}
        }
    }
    text
}

fn named(register: Register) -> String {
    match register.name() {
        "?" => format!("{:05x}", register.offset()),
        name => name.to_owned(),
    }
}
