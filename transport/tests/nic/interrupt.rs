//! Interrupts in every mode, and what goes wrong with them.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::interrupt::{InterruptError, Line, Mode, icr};
use isboot_transport::intel::nic::Nic;

use crate::fake::{ADDRESS, Behaviour, Faults, MESSAGE, Machine};
use crate::{attached, frame, small};

/// A static, as a hosting kernel has one for each controller.
fn line() -> &'static Line {
    Box::leak(Box::default())
}

/// A machine whose handler is installed and whose controller interrupts as `wanted`.
pub(crate) fn interrupting(behaviour: Behaviour, wanted: Mode) -> (Machine, Nic<Machine, Machine>) {
    let (machine, mut nic) = attached(behaviour, small());
    machine.install(nic.acknowledger(line()));
    assert_eq!(nic.enable_interrupts(wanted, Some(MESSAGE)), Ok(wanted));
    machine.interrupts();
    nic.rearm();
    machine.forget();
    (machine, nic)
}

#[test]
fn a_frame_interrupts_once_until_rearmed_in_every_mode() {
    let modes = [
        (Behaviour::default(), Mode::Intx),
        (Behaviour::i82574(), Mode::Intx),
        (Behaviour::i82574(), Mode::Msi),
        (Behaviour::i82574(), Mode::Msix),
    ];
    for (behaviour, mode) in modes {
        let (machine, mut nic) = interrupting(behaviour, mode);
        assert_eq!(machine.interrupts(), 0, "{mode}: quiet without a cause");
        for number in 0..20 {
            machine.deliver(&frame(number, 100));
            assert_eq!(machine.interrupts(), 1, "{mode}");
            assert!(machine.state().interrupts.last.received(), "{mode}");
            assert_eq!(nic.split().0.receive().unwrap().bytes(), frame(number, 100));
            assert!(nic.split().0.receive().is_none());
            assert!(!nic.rearm(), "{mode}");
        }
    }
}

#[test]
fn without_a_handler_there_are_no_interrupts() {
    let (_, mut nic) = attached(Behaviour::default(), small());
    let error = nic.enable_interrupts(Mode::Intx, None).unwrap_err();
    assert_eq!(error, InterruptError::NoHandler { address: ADDRESS });
    assert!(error.to_string().contains("acknowledger"), "{error}");
    assert_eq!(nic.interrupt_mode(), Mode::Polled);
}

#[test]
fn a_link_change_reaches_the_handler() {
    let (machine, nic) = interrupting(Behaviour::i82574(), Mode::Msix);
    machine.raise(icr::LSC);
    assert_eq!(machine.interrupts(), 1);
    assert!(machine.state().interrupts.last.link_changed());
    drop(nic);
}

#[test]
fn a_mode_that_does_not_work_falls_back_to_one_that_does() {
    type Change = fn(&mut Faults);
    let dead: [(Change, Mode); 5] = [
        (|_| {}, Mode::Msix),
        (|faults| faults.ivar_drops = 1 << 19, Mode::Msi),
        (|faults| faults.msi_x_dead = true, Mode::Msi),
        (
            |faults| {
                faults.msi_x_dead = true;
                faults.msi_dead = true;
            },
            Mode::Intx,
        ),
        (
            |faults| {
                faults.msi_x_dead = true;
                faults.msi_dead = true;
                faults.line_dead = true;
            },
            Mode::Polled,
        ),
    ];
    for (change, expected) in dead {
        let (machine, mut nic) = attached(Behaviour::i82574(), small());
        machine.install(nic.acknowledger(line()));
        machine.faults(change);
        let before = machine.now();
        assert_eq!(nic.enable_interrupts(Mode::Msix, Some(MESSAGE)), Ok(expected));
        assert!(machine.now() - before < Duration::from_millis(400));
        assert_eq!(nic.interrupt_mode(), expected);
        nic.rearm();
        machine.interrupts();
        nic.rearm();
        machine.deliver(&frame(1, 100));
        assert_eq!(machine.interrupts(), u32::from(expected != Mode::Polled), "{expected}");
        assert_eq!(nic.split().0.receive().unwrap().bytes(), frame(1, 100));
    }
}
