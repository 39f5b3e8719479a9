//! What single families need of their PHY and their link.

use std::time::Duration;

use isboot_transport::device::{EthernetDevice, NicDevice};
use isboot_transport::hal::Clock;
use isboot_transport::intel::descriptor::Format;
use isboot_transport::intel::family::PhyCare;
use isboot_transport::intel::ids::{MODELS, Media, Model};
use isboot_transport::intel::nic::Nic;
use isboot_transport::intel::registers::{CTRL, H2ME, KMRNCTRLSTA, TIPG, TXCW, ctrl, h2me, txcw};
use isboot_transport::link::Link;

use crate::fake::{ADDRESS, Behaviour, Machine};
use crate::families::{for_each, one_each};
use crate::{frame, small};

const UP: Link = Link::Up { megabits: 1000, full_duplex: true };

fn attach(behaviour: Behaviour) -> (Machine, Nic<Machine, Machine>) {
    let machine = Machine::new(behaviour);
    let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
    (machine, nic)
}

fn with_care(care: PhyCare) -> impl Iterator<Item = &'static Model> {
    one_each().filter(move |model| model.family.quirks().phy_care == care)
}

/// Page 0 registers of the PHY.
const ADVERTISEMENT: u8 = 4;
const PARTNER: u8 = 5;

#[test]
fn pause_follows_what_both_ends_want() {
    const SYMMETRIC: u16 = 1 << 10;
    const ASYMMETRIC: u16 = 1 << 11;
    const REST: u16 = 0x41e1;
    for (partner, expected) in [
        (0, 0),
        (SYMMETRIC, ctrl::RFCE | ctrl::TFCE),
        (ASYMMETRIC, ctrl::RFCE),
        (SYMMETRIC | ASYMMETRIC, ctrl::RFCE | ctrl::TFCE),
    ] {
        for_each(one_each().filter(|model| model.media == Media::Copper), |model| {
            let machine = Machine::new(Behaviour::of(model.device_id));
            machine.set_phy(0, PARTNER, REST | partner);
            let mut nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            machine.advance(Duration::from_millis(25));
            let _ = nic.link();
            let sends = !model.family.quirks().no_pause_sent;
            let expected = expected & !if sends { 0 } else { ctrl::TFCE };
            let set = machine.peek(CTRL) & (ctrl::RFCE | ctrl::TFCE);
            assert_eq!(set, expected, "{partner:#x}");
        });
    }
}

#[test]
fn a_link_that_is_up_carries_frames_before_its_phy_may_be_asked() {
    for_each(one_each().filter(|model| model.media == Media::Copper), |model| {
        let flash_wait = model.family.quirks().flash_wait;
        let (machine, mut nic) = attach(Behaviour::of(model.device_id));
        let is_obeyed = || machine.peek(CTRL) & ctrl::RFCE != 0;
        assert_eq!(nic.link(), UP);
        assert!(machine.deliver(&frame(1, 100)));
        assert_eq!(nic.split().0.receive().unwrap().bytes(), frame(1, 100));
        assert_eq!(is_obeyed(), flash_wait.is_zero(), "what the ends agreed on");
        machine.advance(flash_wait);
        let _ = nic.link();
        assert!(is_obeyed());
        assert_eq!(machine.violations(), [""; 0]);
    });
}

#[test]
fn a_link_that_outlives_a_restart_keeps_what_its_ends_agreed_on() {
    for_each(one_each().filter(|model| model.media == Media::Copper), |model| {
        let (machine, nic) = attach(Behaviour::of(model.device_id));
        let mut device = NicDevice::new(nic);
        machine.reset_by_somebody();
        // The watchdog restarts it, and the next look is due.
        for _ in 0..2 {
            machine.advance(Duration::from_millis(500));
            assert!(device.link().is_up());
        }
        assert_eq!(device.nic_mut().statistics().resets, 1);
        assert_ne!(machine.peek(CTRL) & ctrl::RFCE, 0);
    });
}

#[test]
fn a_part_is_ready_as_soon_as_it_says_so() {
    for (device_id, limit) in [
        (0x100e, 6),  // 82540: 5 ms, no sign of the end
        (0x10d3, 8),  // 82574: the EEPROM is read, the flash is not
        (0x10c9, 8),  // 82576
        (0x1521, 12), // I350: 5 ms
        (0x10de, 40), // ICH10: 20 ms without a look
    ] {
        let machine = Machine::new(Behaviour::of(device_id));
        let begin = machine.now();
        let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let took = machine.now() - begin;
        assert!(took <= Duration::from_millis(limit), "{device_id:x}: {took:?}");
    }
}

#[test]
fn a_link_that_is_up_is_not_negotiated_again() {
    for_each(one_each(), |model| {
        let (machine, _nic) = attach(Behaviour::of(model.device_id));
        assert_eq!(machine.negotiations(), 0);
    });
}

#[test]
fn a_link_that_is_down_is_negotiated_with_all_that_the_phy_has() {
    for_each(one_each().filter(|model| model.media == Media::Copper), |model| {
        let (machine, mut nic) =
            attach(Behaviour { link_up: false, ..Behaviour::of(model.device_id) });
        assert_ne!(machine.negotiations(), 0);
        assert_eq!(machine.phy(0, ADVERTISEMENT) & 0x0de1, 0x0de1, "10, 100, pause");
        assert_eq!(machine.phy(0, 9) & 0x0200, 0x0200, "1000");
        assert_eq!(machine.violations(), [""; 0]);
        machine.set_link(true);
        let _ = nic.link();
        machine.advance(Duration::from_millis(250));
        assert_eq!(nic.link(), UP);
        nic.detach().unwrap();
        assert_eq!(machine.held_locks(), 0);
    });
}

#[test]
fn a_phy_that_is_dead_or_not_there_ends_in_time_and_frees_its_lock() {
    for_each(one_each(), |model| {
        for phy_dead in [true, false] {
            let behaviour = Behaviour {
                link_up: false,
                phy_dead,
                phy_refuses: !phy_dead,
                ..Behaviour::of(model.device_id)
            };
            let machine = Machine::new(behaviour);
            let before = machine.now();
            let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            let took = machine.now() - before;
            assert!(took < Duration::from_secs(3), "{took:?}");
            assert_eq!(machine.held_locks(), 0);
            nic.detach().unwrap();
        }
    });
}

#[test]
fn a_fibre_negotiates_and_is_forced_up_when_nobody_answers() {
    let fibre = MODELS.iter().filter(|model| {
        matches!(model.media, Media::Fibre | Media::SerDes)
            && model.family.quirks().format != Format::Advanced
    });
    for_each(fibre, |model| {
        let (machine, mut nic) = attach(Behaviour::of(model.device_id));
        assert_eq!(nic.link(), UP);
        assert_eq!(machine.peek(TXCW), txcw::ANE | txcw::FD | txcw::PAUSE | txcw::ASM_DIR);
        assert_eq!(machine.peek(CTRL) & (ctrl::SLU | ctrl::LRST), 0);

        let silent = Behaviour { partner_negotiates: false, ..Behaviour::of(model.device_id) };
        let (machine, mut nic) = attach(silent);
        assert_eq!(nic.link(), Link::Down, "there is light, and nobody who negotiates");
        machine.advance(Duration::from_millis(499));
        assert_eq!(nic.link(), Link::Down);
        assert_ne!(machine.peek(TXCW) & txcw::ANE, 0, "too early to give up");
        machine.advance(Duration::from_millis(1));
        let _ = nic.link();
        assert_eq!(nic.link(), UP, "forced");
        assert_eq!(machine.peek(TXCW) & txcw::ANE, 0);
        assert_ne!(machine.peek(CTRL) & ctrl::SLU, 0);
        machine.state_mut().behaviour.partner_negotiates = true;
        assert_eq!(nic.link(), Link::Down, "negotiating again");
        assert_eq!(nic.link(), UP);
        assert_eq!(machine.peek(CTRL) & ctrl::SLU, 0);
        // Without light nothing is forced.
        let (machine, mut nic) =
            attach(Behaviour { link_up: false, ..Behaviour::of(model.device_id) });
        machine.advance(Duration::from_secs(2));
        assert_eq!(nic.link(), Link::Down);
        assert_ne!(machine.peek(TXCW) & txcw::ANE, 0);
    });
}

#[test]
fn an_82578_has_its_workarounds() {
    let (machine, mut nic) = attach(Behaviour { link_up: false, ..Behaviour::of(0x10ef) });
    assert_eq!(machine.phy(769, 25), 0x4431, "no early preamble (revision 1)");
    assert_eq!(machine.phy(769, 17) & 0xff10, 0, "wake-up off");
    assert_eq!(machine.phy(769, 27), 0x0680, "the PHY sends pause frames");
    let mut k1 = machine.writes(KMRNCTRLSTA).into_iter().filter(|value| value >> 16 == 7);
    assert_eq!(k1.next_back().map(|value| value & 2), Some(0), "K1 off");
    machine.set_link(true);
    assert_eq!(nic.link(), Link::Down);
    machine.advance(Duration::from_millis(190));
    assert_eq!(nic.link(), Link::Down, "it would stall");
    machine.advance(Duration::from_millis(10));
    assert_eq!(nic.link(), UP);
    assert_eq!(machine.phy(776, 16), 0x0400, "the multiplexer was turned there and back");
    assert_eq!(machine.phy(770, 19), 0x0100);
    machine.set_link(false);
    assert_eq!(nic.link(), Link::Down);
    assert_eq!(machine.phy(770, 19), 0x4100);
    assert_eq!(nic.statistics().link_losses, 1);
}

#[test]
fn an_82579_is_slow_on_the_bus_and_awake_on_the_link() {
    let (machine, mut nic) = attach(Behaviour { link_up: false, ..Behaviour::of(0x1502) });
    assert_ne!(machine.phy(769, 16) & 1 << 10, 0, "MDIO slow mode");
    machine.set_phy(770, 17, 1 << 14);
    machine.set_link(true);
    assert_eq!(nic.link(), UP);
    assert_eq!(machine.phy(770, 17) & 1 << 14, 0, "K1 off at 1000 Mbit/s");
}

#[test]
fn an_i217_and_later_follow_their_speed() {
    for care in [PhyCare::Lpt, PhyCare::Spt] {
        for_each(with_care(care), |model| {
            let (machine, _nic) = attach(Behaviour::of(model.device_id));
            assert_eq!(machine.phy(772, 28) & 0x07ff, 0x00fa);
            assert_ne!(machine.phy(770, 17) & 1 << 9, 0);
            assert_eq!(machine.peek(TIPG) & 0x3ff, 8);
            let gap = machine.phy(776, 20) >> 2 & 0x3ff;
            assert_eq!(gap, if care == PhyCare::Spt { 0x18 } else { 0 });
        });
    }
}

#[test]
fn a_phy_in_ultra_low_power_is_woken_by_whoever_may() {
    use isboot_transport::intel::registers::{FWSM, fwsm};
    for_each(one_each().filter(|model| model.family.quirks().ultra_low_power), |model| {
        let asleep = Behaviour { link_up: false, ..Behaviour::of(model.device_id) };
        let (machine, _nic) = attach(asleep);
        assert_eq!(machine.phy(779, 16) & 1, 1, "no firmware: told to start");
        let machine = Machine::new(asleep);
        machine.set_phy(779, 16, 0x0010);
        machine.poke(FWSM, machine.peek(FWSM) | fwsm::FW_VALID);
        let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        assert_eq!(machine.phy(779, 16), 0x0010, "firmware's own");
        let asked = machine.writes(H2ME);
        assert_ne!(asked[0] & h2me::ENFORCE_SETTINGS, 0);
        assert_eq!(asked[1] & h2me::ENFORCE_SETTINGS, 0);
    });
}

#[test]
fn kinds_of_phy_get_what_they_need_before_they_negotiate() {
    let set_up = |device_id| attach(Behaviour { link_up: false, ..Behaviour::of(device_id) }).0;
    let m88 = set_up(0x100e);
    assert_eq!(m88.phy(0, 16) & 0x0860, 0x0860, "carrier on transmission, crossing by itself");
    assert_eq!(m88.phy(0, 20) & 0x0f70, 0x0170, "25 MHz, downshift after one");
    let igp = set_up(0x107d);
    assert_eq!(igp.phy(0, 18) & 0x1000, 0x1000, "82572EI: crossing by itself");
    assert_eq!(igp.phy(0, 25) & 3, 0, "no low power");
    let bm = set_up(0x10d3);
    assert_eq!(bm.phy(0, 16) & 0x0860, 0x0860, "82574L: downshift, crossing by itself");
    assert_eq!((bm.phy(0, 29), bm.phy(0, 30)), (3, 0));
}
