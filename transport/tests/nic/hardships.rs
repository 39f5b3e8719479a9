//! What every family must bear: resets that do not end, locks that are not given, EEPROMs and PHYs
//! that do not answer, links that go.

use std::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::intel::ids::Media;
use isboot_transport::intel::nic::{AttachError, Nic, Step};

use crate::fake::family::{Bus, Lock, Nvm};
use crate::fake::{ADDRESS, Behaviour, Holders, MAC, Machine, Part};
use crate::families::{assert_handed_back, await_link, for_each, one_each, to_us};
use crate::{frame, small};

type Attached = Nic<Machine, Machine>;

/// Takes it over, within `limit`.
fn attach(machine: Machine, limit: Duration) -> Result<Attached, AttachError> {
    let begin = machine.now();
    let result = Nic::attach(machine, machine, ADDRESS, &small());
    let time = machine.now() - begin;
    assert!(time < limit, "took {time:?}, and {limit:?} is too long already");
    if let Err(error) = &result {
        assert!(!machine.is_bus_master(), "bus master after {error}");
        assert_eq!(machine.live_regions(), 0, "memory kept after {error}");
    }
    result
}

/// One frame in and one out.
fn assert_works(machine: Machine, nic: &mut Attached, number: u32) {
    assert!(machine.deliver(&to_us(number, 200)), "frame {number} in");
    assert_eq!(nic.split().0.receive().unwrap().bytes(), to_us(number, 200));
    nic.split().1.send(100, |room| room.copy_from_slice(&frame(number, 100)));
    nic.split().1.flush();
    assert_eq!(machine.state().sent.last(), Some(&frame(number, 100)), "frame {number} out");
}

/// A part with this hardship works all the same, within `limit`, and is handed back.
fn bears(machine: Machine, limit: Duration) {
    let mut nic = attach(machine, limit).unwrap();
    assert_works(machine, &mut nic, 1);
    nic.detach().unwrap();
    assert_handed_back(machine);
}

const SECOND: Duration = Duration::from_secs(1);

fn traits(device_id: u16) -> crate::fake::family::Traits {
    Part::find(device_id).unwrap().family.traits()
}

#[test]
fn a_reset_that_never_ends_is_an_error() {
    for_each(one_each(), |model| {
        let behaviour = Behaviour { reset_reads: u32::MAX, ..Behaviour::of(model.device_id) };
        match attach(Machine::new(behaviour), SECOND).err().unwrap() {
            AttachError::Stuck { step: Step::Reset, register, .. } => {
                assert_eq!(register.offset(), 0, "CTRL");
            }
            error => panic!("{error}"),
        }
    });
}

#[test]
fn requests_that_never_drain_are_cut_off_by_the_reset() {
    for_each(one_each(), |model| {
        let machine =
            Machine::new(Behaviour { master_stuck: true, ..Behaviour::of(model.device_id) });
        machine.leave_running();
        bears(machine, SECOND);
    });
}

/// Fatal on 82571, 82572 and 80003ES2LAN alone, of which registers must not be used before.
#[test]
fn an_eeprom_read_that_never_ends_is_fatal_where_it_must_be() {
    for_each(one_each(), |model| {
        let behaviour =
            Behaviour { auto_read: false, phy_configured: false, ..Behaviour::of(model.device_id) };
        let machine = Machine::new(behaviour);
        let is_fatal = matches!(
            Part::find(model.device_id).unwrap().family,
            crate::fake::Family::I82571 | crate::fake::Family::I82572 | crate::fake::Family::I80003
        );
        if is_fatal {
            let error = attach(machine, SECOND).err().unwrap();
            assert!(matches!(error, AttachError::Stuck { step: Step::ReadEeprom, .. }), "{error}");
        } else {
            bears(machine, SECOND);
        }
    });
}

#[test]
fn a_phy_that_nobody_says_is_configured_is_used_all_the_same() {
    for_each(one_each(), |model| {
        bears(
            Machine::new(Behaviour { phy_configured: false, ..Behaviour::of(model.device_id) }),
            SECOND,
        );
    });
}

/// Whatever firmware holds, for however long: the part is used, and what is held is not taken.
#[test]
fn locks_that_are_held_by_others_are_waited_for_and_not_broken() {
    let hardships: [(&str, Holders); 5] = [
        ("a stale SMBI", Holders { stale_smbi: true, ..Holders::default() }),
        ("SWESMBI refused", Holders { firmware_holds_swesmbi: true, ..Holders::default() }),
        ("every resource", Holders { firmware_resources: 0x7f, ..Holders::default() }),
        ("SWFLAG or the MDIO bus", Holders { firmware_holds_bus: true, ..Holders::default() }),
        ("the PHY's reset", Holders { firmware_forbids_phy_reset: true, ..Holders::default() }),
    ];
    for (what, holders) in hardships {
        for_each(one_each(), |model| {
            for link_up in [true, false] {
                let behaviour = Behaviour { holders, link_up, ..Behaviour::of(model.device_id) };
                let machine = Machine::new(behaviour);
                println!("{what}, link up: {link_up}");
                let mut nic = attach(machine, Duration::from_secs(12)).unwrap();
                machine.set_link(true);
                assert_works(machine, &mut nic, 1);
                let _ = nic.link();
                nic.detach().unwrap();
                assert_eq!(machine.violations(), [""; 0], "{what}");
                assert_handed_back(machine);
            }
        });
    }
}

#[test]
fn a_stale_smbi_is_released_once_and_the_phy_then_used_under_the_lock() {
    for_each(one_each(), |model| {
        let has_smbi = matches!(traits(model.device_id).lock, Lock::Swsm | Lock::SwFwSync);
        if !has_smbi || model.media != Media::Copper {
            return;
        }
        let holders = Holders { stale_smbi: true, ..Holders::default() };
        let behaviour = Behaviour { holders, link_up: false, ..Behaviour::of(model.device_id) };
        let machine = Machine::new(behaviour);
        let nic = attach(machine, Duration::from_secs(2)).unwrap();
        assert_ne!(machine.negotiations(), 0, "the link was not negotiated");
        drop(nic);
        assert_eq!(machine.violations(), [""; 0]);
    });
}

#[test]
fn a_phy_that_is_slow_dead_or_absent_costs_no_more_than_its_bounds() {
    for_each(one_each(), |model| {
        for link_up in [true, false] {
            let behaviour = Behaviour { link_up, ..Behaviour::of(model.device_id) };
            let slow = Behaviour { mdic_reads: 20, ..behaviour };
            let dead = Behaviour { phy_dead: true, ..behaviour };
            let absent = Behaviour { phy_refuses: true, ..behaviour };
            for behaviour in [slow, dead, absent] {
                let machine = Machine::new(behaviour);
                let mut nic = attach(machine, Duration::from_secs(6)).unwrap();
                machine.set_link(true);
                let begin = machine.now();
                // A link is the MAC's word.
                await_link(machine, &mut nic);
                assert!(machine.now() - begin < Duration::from_secs(2));
                assert_works(machine, &mut nic, 1);
                nic.detach().unwrap();
                assert_eq!(machine.violations(), [""; 0]);
                assert_handed_back(machine);
            }
        }
    });
}

#[test]
fn the_address_comes_from_the_eeprom_the_fuses_or_an_error_that_helps() {
    for_each(one_each(), |model| {
        let nvm = traits(model.device_id).nvm;
        for receive_address in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            let behaviour = Behaviour { receive_address, ..Behaviour::of(model.device_id) };
            if nvm == Nvm::ChipsetFlash {
                let error = attach(Machine::new(behaviour), SECOND).err().unwrap();
                assert_eq!(error, AttachError::MacInChipset { address: ADDRESS });
                continue;
            }
            let nic = attach(Machine::new(behaviour), SECOND).unwrap();
            assert_eq!(nic.mac(), MAC);
            drop(nic);
            let fuses = Behaviour { has_flash: false, ..behaviour };
            let nic = attach(Machine::new(fuses), SECOND).unwrap();
            assert_eq!(nic.mac(), MAC, "in flash or fuses");
            drop(nic);
            // EERD is never done; Microwire gives ones.
            let silent = Behaviour { eeprom: None, ..behaviour };
            let error = attach(Machine::new(silent), SECOND).err().unwrap();
            assert_eq!(error, AttachError::NoMac { address: ADDRESS });
        }
    });
}

#[test]
fn the_second_port_of_an_82546_has_the_other_address() {
    let behaviour = Behaviour { function: 1, receive_address: [0; 6], ..Behaviour::of(0x1010) };
    let nic = attach(Machine::new(behaviour), SECOND).unwrap();
    let [.., last] = MAC;
    assert_eq!(nic.mac()[5], last ^ 1);
}

#[test]
fn a_link_that_flaps_loses_no_frame_that_was_queued() {
    for_each(one_each(), |model| {
        let machine = Machine::new(Behaviour::of(model.device_id));
        let mut nic = attach(machine, SECOND).unwrap();
        await_link(machine, &mut nic);
        let mut number = 0;
        for flap in 1..=20 {
            machine.set_link(false);
            for _ in 0..5 {
                let (_, mut transmitter) = nic.split();
                assert!(transmitter.has_room());
                transmitter.send(100, |room| room.copy_from_slice(&frame(number, 100)));
                transmitter.flush();
                number += 1;
            }
            assert!(!nic.link().is_up());
            assert_eq!(machine.transmit_backlog(), 5, "they wait for the link");
            machine.set_link(true);
            await_link(machine, &mut nic);
            assert_eq!(nic.statistics().link_losses, flap);
            assert!(machine.deliver(&to_us(number, 300)));
            assert_eq!(nic.split().0.receive().unwrap().bytes(), to_us(number, 300));
        }
        let sent: Vec<_> = (0..number).map(|number| frame(number, 100)).collect();
        assert_eq!(machine.state().sent, sent);
    });
}

/// Sent and not reported, reported late, and a head that is ahead of the reports.
#[test]
fn buffers_come_back_by_reports_alone_in_every_family() {
    for_each(one_each(), |model| {
        let behaviour = Behaviour { hold_transmit: true, ..Behaviour::of(model.device_id) };
        let machine = Machine::new(behaviour);
        let mut nic = attach(machine, SECOND).unwrap();
        let mut number = 0;
        let fill = |nic: &mut Attached, number: &mut u32| {
            let first = *number;
            while nic.split().1.has_room() {
                nic.split().1.send(100, |room| room.copy_from_slice(&frame(*number, 100)));
                *number += 1;
            }
            *number - first
        };
        // One descriptor stays unused, one is kept for a context.
        assert_eq!(fill(&mut nic, &mut number), 14);
        machine.complete(14, false);
        assert_eq!(fill(&mut nic, &mut number), 0, "all sent, nothing reported");
        machine.report();
        assert_eq!(fill(&mut nic, &mut number), 14, "the last report frees the ring");
        machine.complete(14, true);
        let sent: Vec<_> = (0..number).map(|number| frame(number, 100)).collect();
        assert_eq!(machine.state().sent, sent);
    });
}

/// Whatever SECRC says: four bytes more, which the stack takes for padding.
#[test]
fn a_check_sequence_that_stays_on_does_no_harm() {
    for_each(one_each(), |model| {
        let behaviour = Behaviour { keeps_check_sequence: true, ..Behaviour::of(model.device_id) };
        let machine = Machine::new(behaviour);
        let mut nic = attach(machine, SECOND).unwrap();
        for len in [60, 1514] {
            assert!(machine.deliver(&to_us(1, len)));
            let bytes = nic.split().0.receive().unwrap().bytes().to_vec();
            assert_eq!((&bytes[..len], bytes.len()), (&to_us(1, len)[..], len + 4));
        }
    });
}

#[test]
fn parts_that_reach_4_gib_get_memory_below_and_the_others_none_above_their_reach() {
    for_each(one_each(), |model| {
        let above = 0x1_0000_0000;
        let behaviour =
            Behaviour { first_bus_address: Some(above), ..Behaviour::of(model.device_id) };
        let machine = Machine::new(behaviour);
        let result = attach(machine, SECOND);
        match traits(model.device_id).bus {
            Bus::Pci => {
                let error = result.err().unwrap();
                assert!(matches!(error, AttachError::Ring { .. }), "{error}");
            }
            Bus::Express | Bus::Chipset => {
                assert_works(machine, &mut result.unwrap(), 1);
            }
        }
    });
}
