//! The watchdog: every step of it, with virtual time.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::interrupt::{Mode, icr};
use isboot_transport::intel::nic::{Nic, Notice, Trouble};
use isboot_transport::intel::registers::{
    CTRL_EXT, EIAC, IMS, IVAR, MPC, RCTL, RDH, RDT, RFCTL, ctrl_ext, rfctl,
};
use isboot_transport::link::Link;

use crate::fake::{Behaviour, Machine, at};
use crate::interrupt::{every, interrupting};
use crate::{attached, frame, small};

/// A host that sleeps whenever nothing waits, until its timer, and then polls.
struct Host {
    machine: Machine,
    nic: Nic<Machine, Machine>,
    received: Vec<Vec<u8>>,
    notices: Vec<Notice>,
}

/// Between two looks of the watchdog.
const TICK: Duration = Duration::from_millis(110);

impl Host {
    fn new((machine, nic): (Machine, Nic<Machine, Machine>)) -> Self {
        let mut host = Self { machine, nic, received: Vec::new(), notices: Vec::new() };
        host.tick();
        assert!(host.notices.is_empty());
        host
    }

    fn interrupting(behaviour: Behaviour, mode: Mode) -> Self {
        Self::new(interrupting(behaviour, mode))
    }

    /// Polls until nothing waits, looks after the controller, and goes to sleep.
    fn poll(&mut self) {
        loop {
            while let Some(frame) = self.nic.split().0.receive() {
                self.received.push(frame.bytes().to_vec());
            }
            let now = self.machine.now();
            self.notices.extend(self.nic.watch(now));
            if !self.nic.rearm() {
                break;
            }
        }
        self.machine.interrupts();
    }

    /// The host's timer wakes it up.
    fn tick(&mut self) {
        self.machine.advance(TICK);
        self.machine.interrupts();
        self.poll();
    }

    fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.tick();
        }
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// A frame arrives and is received at the next timer at the latest.
    fn deliver(&mut self, number: u32) {
        assert!(self.machine.deliver(&frame(number, 100)));
        self.machine.interrupts();
        self.poll();
    }

    /// Nothing was lost or came twice.
    #[track_caller]
    fn assert_received(&self, numbers: std::ops::Range<u32>) {
        let expected: Vec<_> = numbers.map(|number| frame(number, 100)).collect();
        assert_eq!(self.received, expected);
    }
}

#[test]
fn nothing_is_said_while_all_is_well() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        for number in 0..200 {
            host.deliver(number);
            host.tick();
        }
        assert_eq!(host.take_notices(), [], "{mode}");
        host.assert_received(0..200);
        assert_eq!(host.nic.statistics().lost_interrupts, 0);
        assert_eq!(host.nic.interrupt_mode(), mode);
    }
}

#[test]
fn a_lost_interrupt_is_noticed_and_made_up_for() {
    for (behaviour, mode) in every().into_iter().filter(|(_, mode)| *mode != Mode::Intx) {
        let mut host = Host::interrupting(behaviour, mode);
        host.machine.faults(|faults| faults.lost = 1);
        host.deliver(0);
        host.ticks(4);
        assert_eq!(host.take_notices(), [Notice::InterruptLost], "{mode}");
        assert_eq!(host.nic.interrupt_mode(), mode, "one loss ends no mode");
        host.assert_received(0..1);
        let before = host.machine.state().interrupts.handled;
        host.deliver(1);
        assert_eq!(host.machine.state().interrupts.handled, before + 1, "{mode}: they come again");
        host.ticks(20);
        assert_eq!(host.take_notices(), [], "{mode}");
        assert_eq!(host.nic.statistics().lost_interrupts, 1);
    }
}

#[test]
fn modes_that_die_are_given_up_one_by_one_and_no_frame_is_lost() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    let mut number = 0;
    let mut run = |host: &mut Host| {
        for _ in 0..12 {
            host.deliver(number);
            host.tick();
            number += 1;
        }
        let notices = host.take_notices();
        let fell = |notice: &Notice| matches!(notice, Notice::FellBack { .. });
        notices.into_iter().filter(fell).collect::<Vec<_>>()
    };
    host.machine.faults(|faults| faults.msi_x_dead = true);
    assert_eq!(run(&mut host), [Notice::FellBack { from: Mode::Msix, to: Mode::Msi }]);
    host.machine.faults(|faults| faults.msi_dead = true);
    assert_eq!(run(&mut host), [Notice::FellBack { from: Mode::Msi, to: Mode::Intx }]);
    let before = host.machine.state().interrupts.handled;
    assert_eq!(run(&mut host), []);
    assert!(host.machine.state().interrupts.handled >= before + 12, "the line works");
    host.machine.faults(|faults| faults.line_dead = true);
    assert_eq!(run(&mut host), [Notice::FellBack { from: Mode::Intx, to: Mode::Polled }]);
    assert_eq!(run(&mut host), []);
    assert_eq!(host.nic.interrupt_mode(), Mode::Polled);
    assert_eq!(host.machine.peek(IMS), 0);
    host.assert_received(0..60);
    assert_eq!(host.nic.statistics().resets, 0);
}

#[test]
fn a_mode_fallen_back_to_that_is_dead_is_given_up_at_once() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    host.machine.faults(|faults| {
        (faults.msi_x_dead, faults.msi_dead, faults.line_dead) = (true, true, true);
    });
    for number in 0..16 {
        host.deliver(number);
        host.tick();
    }
    assert_eq!(host.nic.interrupt_mode(), Mode::Polled);
    let fallbacks = host.take_notices().into_iter();
    assert_eq!(fallbacks.filter(|n| matches!(n, Notice::FellBack { .. })).count(), 3);
    host.assert_received(0..16);
}

#[test]
fn a_host_that_cannot_take_interrupts_does_not_lose_its_mode() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    for number in 0..50 {
        // Polled all the time with interrupts off: messages wait.
        host.machine.deliver(&frame(number, 100));
        while let Some(frame) = host.nic.split().0.receive() {
            host.received.push(frame.bytes().to_vec());
        }
        host.machine.advance(TICK);
        let now = host.machine.now();
        assert_eq!(host.nic.watch(now), None);
    }
    host.assert_received(0..50);
    host.ticks(10);
    assert_eq!(host.take_notices(), []);
    assert_eq!(host.nic.interrupt_mode(), Mode::Msix);
}

#[test]
fn a_message_under_way_is_no_lost_mask() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        // The frame is there, its message has masked the part, and the handler has not run.
        host.machine.deliver(&frame(0, 100));
        host.machine.advance(TICK);
        let now = host.machine.now();
        assert_eq!(host.nic.watch(now), None, "{mode}");
        host.machine.interrupts();
        host.poll();
        host.ticks(5);
        assert_eq!(host.take_notices(), [], "{mode}");
        host.assert_received(0..1);
    }
}

#[test]
fn vectors_that_were_lost_are_found_written_again_and_revived() {
    // Registers, and bits without which a cause makes no interrupt, or too many.
    let vectors = [
        (IVAR, 0x0008_8888),
        (IVAR, 0x0000_0008),
        (IVAR, 0x0008_0000),
        (EIAC, icr::RXQ0),
        (CTRL_EXT, ctrl_ext::EIAME),
        (RFCTL, rfctl::ACK_DIS),
    ];
    for (register, bits) in vectors {
        let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
        let good = host.machine.peek(register);
        host.machine.poke(register, good & !bits);
        host.deliver(0);
        host.ticks(12);
        let what = register.name();
        assert_eq!(host.take_notices(), [Notice::Repaired { what }]);
        assert_eq!(host.machine.peek(register), good);
        let before = host.machine.state().interrupts.handled;
        host.deliver(1);
        assert_eq!(host.machine.state().interrupts.handled, before + 1, "{what}");
        host.ticks(12);
        assert_eq!(host.take_notices(), [], "{what}");
        host.assert_received(0..2);
    }
}

#[test]
fn a_damaged_msi_x_entry_or_capability_is_written_again() {
    type Damage = fn(&Machine);
    let damages: [(Damage, &str); 6] = [
        (|m| m.state_mut().interrupts.table[0][0] = 0xfee0_1000, "MSI-X entry address"),
        (|m| m.state_mut().interrupts.table[0][1] = 1, "MSI-X entry address"),
        (|m| m.state_mut().interrupts.table[0][2] = 7, "MSI-X entry data"),
        (|m| m.state_mut().interrupts.table[0][3] = 1, "MSI-X entry mask"),
        (|m| m.set_config(at::MSI_X, m.config(at::MSI_X) & !(1 << 31)), "MSI-X enable"),
        (|m| m.set_config(at::MSI_X, m.config(at::MSI_X) | 1 << 30), "MSI-X function mask"),
    ];
    for (damage, what) in damages {
        assert_repaired(Mode::Msix, damage, what);
    }
}

/// What is damaged is found, named and written again, and interrupts come as before.
fn assert_repaired(mode: Mode, damage: fn(&Machine), what: &'static str) {
    let mut host = Host::interrupting(Behaviour::i82574(), mode);
    damage(&host.machine);
    host.deliver(0);
    host.ticks(12);
    assert_eq!(host.take_notices(), [Notice::Repaired { what }]);
    let before = host.machine.state().interrupts.handled;
    host.deliver(1);
    assert_eq!(host.machine.state().interrupts.handled, before + 1, "{what}");
    host.assert_received(0..2);
}

#[test]
fn a_damaged_msi_capability_and_a_line_switched_off_are_written_again() {
    type Damage = fn(&Machine);
    let damages: [(Mode, Damage, &str); 4] = [
        (Mode::Msi, |m| m.set_config(at::MSI, m.config(at::MSI) & !(1 << 16)), "MSI enable"),
        (Mode::Msi, |m| m.set_config(at::MSI + 4, 0xfee0_1000), "MSI message address"),
        (Mode::Msi, |m| m.set_config(at::MSI + 12, 7), "MSI message data"),
        (Mode::Intx, |m| m.set_config(4, m.config(4) | 1 << 10), "interrupt line"),
    ];
    for (mode, damage, what) in damages {
        assert_repaired(mode, damage, what);
    }
}

#[test]
fn a_mask_that_was_lost_is_set_again_and_what_waited_is_heard() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        host.machine.poke(IMS, 0);
        // The watchdog comes before the host sleeps again, which would set the mask as well. One
        // look proves nothing: the message may be under way of a frame that was taken out already.
        for notice in [None, Some(Notice::MaskRestored)] {
            host.machine.advance(TICK);
            let now = host.machine.now();
            assert_eq!(host.nic.watch(now), notice, "{mode}");
        }
        let before = host.machine.state().interrupts.handled;
        host.deliver(0);
        assert_eq!(host.machine.state().interrupts.handled, before + 1, "{mode}");
        host.ticks(12);
        assert_eq!(host.take_notices(), []);
        host.assert_received(0..1);
    }
}

#[test]
fn a_link_change_without_an_interrupt_is_seen() {
    for (behaviour, mode) in every().into_iter().filter(|(_, mode)| *mode != Mode::Intx) {
        let mut host = Host::interrupting(behaviour, mode);
        // The 82574 sends it again by MSI-X whenever it is let through, until ICR was read.
        let comes_again = mode == Mode::Msix && behaviour.device_id == 0x10d3;
        host.machine.faults(|faults| faults.lost = if comes_again { 3 } else { 1 });
        host.machine.set_link(false);
        assert_eq!(host.nic.link(), Link::Down);
        host.ticks(4);
        assert_eq!(host.take_notices(), [Notice::LinkChangeUnseen { is_up: false }], "{mode}");
        host.machine.set_link(true);
        host.ticks(4);
        assert_eq!(host.take_notices(), [], "{mode}: heard");
        // The 82578 needs 200 ms more.
        let _ = host.nic.link();
        host.machine.advance(Duration::from_millis(200));
        assert!(host.nic.link().is_up());
    }
}

#[test]
fn an_icr_that_reads_as_zero_hides_no_link_change() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    host.machine.faults(|faults| faults.icr_reads_zero = true);
    let before = host.machine.state().interrupts.handled;
    host.machine.set_link(false);
    assert_eq!(host.machine.interrupts(), 1, "the message comes all the same");
    assert!(!host.machine.state().interrupts.last.link_changed());
    assert!(!host.machine.state().interrupts.last.is_empty(), "and wakes the host");
    host.ticks(4);
    assert_eq!(host.nic.link(), Link::Down);
    assert_eq!(host.take_notices(), []);
    assert!(host.machine.state().interrupts.handled > before);
}

#[test]
fn a_reset_under_us_is_survived_with_every_frame_that_was_reported() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        host.machine.deliver(&frame(0, 100));
        host.machine.deliver(&frame(1, 100));
        host.machine.reset_by_somebody();
        host.machine.advance(TICK);
        // The watchdog comes first: the frames are in the ring, and the ring is not started over.
        let now = host.machine.now();
        assert_eq!(host.nic.watch(now), None);
        assert!(!host.machine.is_bus_master());
        host.poll();
        assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::Reset }], "{mode}");
        host.assert_received(0..2);
        for number in 2..40 {
            let before = host.machine.state().interrupts.handled;
            host.deliver(number);
            assert!(host.machine.state().interrupts.handled > before, "{mode}");
            host.tick();
        }
        host.assert_received(0..40);
        assert_eq!(host.take_notices(), []);
        assert_eq!(host.nic.interrupt_mode(), mode);
        assert_eq!(host.nic.statistics().resets, 1);
    }
}

/// Queues a frame and tells the part.
fn send(host: &mut Host, number: u32) {
    let (_, mut transmitter) = host.nic.split();
    assert!(transmitter.has_room());
    transmitter.send(100, |room| room.copy_from_slice(&frame(number, 100)));
    transmitter.flush();
}

#[test]
fn frames_not_reported_as_sent_are_counted_and_later_ones_leave() {
    let behaviour = Behaviour { hold_transmit: true, ..Behaviour::i82574() };
    let mut host = Host::interrupting(behaviour, Mode::Msix);
    for number in 0..3 {
        send(&mut host, number);
    }
    host.machine.complete(1, true);
    host.machine.deliver(&frame(0, 100));
    host.machine.reset_by_somebody();
    host.machine.advance(TICK);
    let now = host.machine.now();
    assert_eq!(host.nic.watch(now), None, "a frame waits");
    assert_eq!(host.nic.statistics().unsent, 2);
    // The stack answers while the part stands still.
    send(&mut host, 10);
    send(&mut host, 11);
    host.poll();
    assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::Reset }]);
    host.machine.complete(100, true);
    let sent = host.machine.state().sent.clone();
    assert_eq!(sent, [frame(0, 100), frame(10, 100), frame(11, 100)]);
    host.assert_received(0..1);
}

#[test]
fn frames_that_do_not_leave_are_noticed_after_the_time_that_the_speed_needs() {
    let behaviour = Behaviour { hold_transmit: true, ..Behaviour::i82574() };
    let mut host = Host::interrupting(behaviour, Mode::Msix);
    send(&mut host, 0);
    host.ticks(8);
    assert_eq!(host.take_notices(), [], "not yet");
    host.ticks(4);
    assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::TransmitStall }]);
    assert_eq!(host.nic.statistics().unsent, 1);
    send(&mut host, 1);
    host.machine.complete(100, true);
    host.ticks(30);
    assert_eq!(host.take_notices(), [], "one that moves is left alone");
    assert_eq!(host.machine.state().sent, [frame(1, 100)]);
    // Without a link nothing is due.
    host.machine.set_link(false);
    send(&mut host, 2);
    host.ticks(50);
    let stalls = host.take_notices();
    assert!(!stalls.iter().any(|n| matches!(n, Notice::Restarted { .. })), "{stalls:?}");
}

#[test]
fn a_receiver_that_starves_is_told_again_and_then_reset() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    let starve = |host: &Host| {
        host.machine.poke(RDH, host.machine.peek(RDT));
        host.machine.poke(MPC, 9);
    };
    starve(&host);
    host.machine.forget();
    host.tick();
    assert_eq!(host.take_notices(), []);
    assert_eq!(host.machine.writes(RDT).len(), 1, "told again");
    host.tick();
    starve(&host);
    host.tick();
    starve(&host);
    host.tick();
    assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::ReceiveStall }]);
    for number in 0..40 {
        host.deliver(number);
    }
    host.assert_received(0..40);
    assert_eq!(host.nic.statistics().missed, 27);
}

#[test]
fn a_part_that_lost_its_power_or_its_windows_is_brought_back() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        host.machine.deliver(&frame(0, 100));
        host.machine.interrupts();
        host.machine.lose_power();
        host.machine.advance(TICK);
        let now = host.machine.now();
        assert_eq!(host.nic.watch(now), None, "a frame waits");
        host.poll();
        assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::Unanswered }]);
        for number in 1..20 {
            host.deliver(number);
        }
        host.assert_received(0..20);
        assert_eq!(host.nic.interrupt_mode(), mode);
    }
}

#[test]
fn all_ones_once_is_nothing() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    host.machine.state_mut().all_ones_reads = 1;
    host.ticks(3);
    assert_eq!(host.take_notices(), []);
    host.deliver(0);
    host.assert_received(0..1);
}

#[test]
fn a_part_that_was_removed_is_let_go() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        host.machine.deliver(&frame(0, 100));
        host.machine.remove();
        host.ticks(3);
        assert_eq!(host.take_notices(), []);
        assert_eq!(host.nic.link(), Link::Down, "it may come back");
        host.ticks(20);
        assert_eq!(host.take_notices(), [Notice::Removed]);
        host.assert_received(0..1);
        assert_eq!(host.nic.link(), Link::Gone);
        host.ticks(100);
        host.machine.forget();
        let before = host.machine.state().accesses;
        host.ticks(100);
        assert_eq!(host.take_notices(), []);
        assert_eq!(host.machine.state().accesses, before, "nobody asks a part that is gone");
        assert!(host.nic.detach().is_err());
    }
}

#[test]
fn a_bridge_that_is_reset_takes_nothing_away() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        let there = host.machine.state().behaviour;
        let mut number = 0;
        // Each time it is away for a second, and the two do not add up.
        for _ in 0..3 {
            host.machine.deliver(&frame(number, 100));
            host.machine.remove();
            host.ticks(10);
            host.machine.state_mut().behaviour = there;
            host.machine.lose_power();
            host.ticks(50);
            let why = Trouble::Unanswered;
            assert_eq!(host.take_notices(), [Notice::Restarted { why }], "{mode}");
            for later in 1..20 {
                host.deliver(number + later);
            }
            number += 20;
        }
        host.assert_received(0..number);
        assert_eq!(host.nic.interrupt_mode(), mode);
    }
}

#[test]
fn a_part_that_never_comes_back_is_given_up_after_a_few_tries() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    host.machine.state_mut().behaviour.gone_after = 0;
    host.tick();
    assert_eq!(host.nic.link(), Link::Down, "it may come back");
    let tries = |notices: &[Notice]| {
        let why = Trouble::Unanswered;
        notices.iter().filter(|notice| **notice == Notice::NotRestarted { why }).count()
    };
    host.ticks(1000);
    let notices = host.take_notices();
    assert_eq!(notices.last(), Some(&Notice::GivenUp));
    assert_eq!((notices.len(), tries(&notices)), (5, 4));
    assert_eq!(host.nic.statistics().resets, 5);
    assert_eq!(host.nic.link(), Link::Gone);
    assert!(!host.machine.is_bus_master());
}

#[test]
fn a_part_that_is_reset_again_and_again_is_restarted_less_and_less_often() {
    let mut host = Host::new(attached(Behaviour::i82574(), small()));
    let begin = host.machine.now();
    let mut restarts = 0;
    while host.machine.now() - begin < Duration::from_secs(300) {
        host.machine.poke(RCTL, 0);
        host.tick();
        restarts += host.take_notices().len();
    }
    // At 0, 1, 3, 7, 15, 31 seconds, and every 32 from then on.
    assert!((12..=15).contains(&restarts), "{restarts}");
}

#[test]
fn a_cause_that_flaps_does_not_flood_the_log() {
    let (lines, mut host) =
        (crate::log_lines(), Host::interrupting(Behaviour::i82574(), Mode::Msix));
    let mut notices = 0;
    for number in 0..500 {
        host.machine.poke(EIAC, 0);
        host.deliver(number);
        host.ticks(120); // 13 s: forgiven each time
        notices += host.take_notices().len();
    }
    assert!(notices >= 500, "{notices}");
    let said = lines.taken().iter().filter(|line| line.contains("EIAC")).count();
    assert!((1..=10).contains(&said), "{said} lines for {notices} repairs");
    assert_eq!(host.nic.interrupt_mode(), Mode::Msix, "seldom enough to go on");
    // Often is another matter.
    for number in 500..510 {
        host.machine.poke(EIAC, 0);
        host.deliver(number);
        host.ticks(11);
    }
    assert_eq!(host.nic.interrupt_mode(), Mode::Msi);
    host.assert_received(0..510);
}

#[test]
fn looking_after_it_costs_what_it_says() {
    for (behaviour, mode) in every() {
        let mut host = Host::interrupting(behaviour, mode);
        host.ticks(3);
        host.machine.forget();
        let looks = 100;
        for _ in 0..looks {
            host.machine.advance(TICK);
            let now = host.machine.now();
            assert_eq!(host.nic.watch(now), None);
            assert_eq!(host.nic.watch(now), None, "once per interval");
        }
        let accesses = host.machine.state().accesses;
        assert!(accesses <= looks * 5 + looks / 9 * 10, "{mode}: {accesses} for {looks} looks");
    }
    let mut host = Host::new(attached(Behaviour::default(), small()));
    host.machine.forget();
    for _ in 0..100 {
        host.machine.advance(TICK);
        let now = host.machine.now();
        host.nic.watch(now);
    }
    assert_eq!(host.machine.state().accesses, 300, "polled: STATUS, RCTL and MPC");
}

#[test]
fn a_status_of_an_unknown_cause_changes_nothing() {
    // VMware's model shows queue causes without MSI-X.
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Intx);
    host.machine.raise(icr::RXQ0 | icr::TXQ0 | 1 << 27);
    host.ticks(5);
    assert_eq!(host.take_notices(), []);
    host.machine.poke(CTRL_EXT, host.machine.peek(CTRL_EXT) & !ctrl_ext::IAME);
    host.ticks(12);
    assert_eq!(host.take_notices(), [Notice::Repaired { what: "CTRL_EXT" }]);
    assert_eq!(host.machine.peek(RFCTL) & rfctl::ACK_DIS, 0);
}

#[test]
fn answers_to_what_is_still_delivered_do_not_stop_the_delivery() {
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    for number in 0..10 {
        host.machine.deliver(&frame(number, 100));
    }
    host.machine.reset_by_somebody();
    host.machine.advance(TICK);
    let now = host.machine.now();
    assert_eq!(host.nic.watch(now), None, "frames wait");
    // The part stands still, and so does what is queued for it.
    while host.nic.split().1.has_room() {
        host.nic.split().1.send(100, |room| room.fill(1));
    }
    let now = host.machine.now();
    assert_eq!(host.nic.watch(now), None);
    assert!(host.nic.split().1.has_room(), "the stack takes frames only with room to answer");
    assert_eq!(host.nic.statistics().unsent, 14);
    host.poll();
    assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::Reset }]);
    host.assert_received(0..10);
}

#[test]
fn the_82575_and_later_say_themselves_that_they_were_reset() {
    let mut host = Host::interrupting(Behaviour::of(0x10c9), Mode::Msix);
    host.machine.raise(icr::DRSTA);
    host.machine.interrupts();
    assert!(host.machine.state().interrupts.last.was_reset());
    host.tick();
    assert_eq!(host.take_notices(), [Notice::Restarted { why: Trouble::Reset }]);
    host.ticks(5);
    assert_eq!(host.take_notices(), []);
    // On an 82574 that bit means nothing.
    let mut host = Host::interrupting(Behaviour::i82574(), Mode::Msix);
    host.machine.raise(icr::DRSTA | icr::LSC);
    host.machine.interrupts();
    host.ticks(5);
    assert_eq!(host.take_notices(), []);
}
