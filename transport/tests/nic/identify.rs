//! A look that changes nothing: the controller may be another's.

use isboot_transport::intel::nic::{AttachError, Nic, Options, Step};
use isboot_transport::intel::registers::{RAH0, RAL0};
use isboot_transport::link::Link;
use isboot_transport::pci::BarError;

use crate::fake::{ADDRESS, Behaviour, Event, MAC, Machine};
use crate::small;

fn identify(machine: Machine) -> Result<(Option<[u8; 6]>, Link), AttachError> {
    let identity = Nic::identify(machine, &machine, ADDRESS)?;
    assert_eq!(identity.address, ADDRESS);
    Ok((identity.mac, identity.link))
}

/// Whether nothing was written to the controller.
fn is_untouched(machine: Machine) -> bool {
    let looks =
        |event: &Event| matches!(event, Event::Map(_) | Event::Unmap(_) | Event::ForeignWrite);
    machine.state().events.iter().all(looks)
}

#[test]
fn a_controller_that_runs_for_somebody_else_goes_on() {
    for behaviour in [Behaviour::default(), Behaviour::i82574()] {
        let machine = Machine::new(behaviour);
        machine.leave_running();
        let command = machine.config(4);
        let (mac, link) = identify(machine).unwrap();
        assert_eq!(mac, Some(MAC));
        // The fake tells its link in STATUS only once CTRL.SLU is set.
        assert_ne!(link, Link::Gone);
        assert!(is_untouched(machine), "{:?}", machine.state().events);
        assert_eq!(machine.config(4), command);
        assert!(machine.is_bus_master(), "it goes on receiving");
        assert!(machine.state().accesses <= 3, "{}", machine.state().accesses);
    }
}

/// What the network knows the interface by is kept, whatever the EEPROM says.
#[test]
fn an_address_that_firmware_had_set_can_be_kept() {
    const SET: [u8; 6] = [0x02, 0x00, 0x5e, 0x10, 0x20, 0x30];
    let machine = Machine::new(Behaviour::i82574());
    machine.poke(RAL0, 0x105e_0002);
    machine.poke(RAH0, 0x8000_3020);
    let (mac, _) = identify(machine).unwrap();
    assert_eq!(mac, Some(SET));
    let nic = Nic::attach(machine, machine, ADDRESS, &Options { mac, ..small() }).unwrap();
    assert_eq!(nic.mac(), SET);
    assert_eq!((machine.peek(RAL0), machine.peek(RAH0)), (0x105e_0002, 0x8000_3020));
    // The EEPROM has not changed: the next owner finds the interface as it was made.
    nic.detach().unwrap();
    assert_eq!(identify(machine).unwrap().0, Some(MAC));
    for none in [[0; 6], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]] {
        let options = Options { mac: Some(none), ..small() };
        assert_eq!(Nic::attach(machine, machine, ADDRESS, &options).unwrap().mac(), MAC);
    }
}

#[test]
fn memory_decoding_is_left_as_found() {
    for command in [0, 2, 6] {
        let machine = Machine::new(Behaviour::default());
        machine.set_config(4, command);
        assert_eq!(identify(machine).unwrap().0, Some(MAC));
        assert_eq!(machine.config(4), command);
    }
}

#[test]
fn an_address_that_is_no_stations_is_none() {
    for receive_address in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let machine = Machine::new(Behaviour { receive_address, ..Behaviour::default() });
        machine.set_config(4, 6);
        assert_eq!(identify(machine).unwrap().0, None);
        assert!(is_untouched(machine), "not even the EEPROM is asked");
    }
}

#[test]
fn a_sleeping_controller_is_let_sleep() {
    let machine = Machine::new(Behaviour::i82574());
    machine.set_config(4, 0x0010_0006);
    machine.set_config(0x34, 0xc8);
    machine.set_config(0xc8, 0x0001);
    machine.set_config(0xcc, 0x0000_0003);
    assert_eq!(identify(machine).unwrap(), (None, Link::Down));
    assert_eq!((machine.config(0xcc), machine.state().accesses), (3, 0));
}

#[test]
fn what_cannot_be_looked_at_is_named() {
    let machine = Machine::new(Behaviour { gone_after: 0, ..Behaviour::default() });
    let gone = AttachError::Gone { address: ADDRESS, step: Step::Identify };
    assert_eq!(identify(machine), Err(gone));
    let machine = Machine::new(Behaviour { device_id: 0x15f3, ..Behaviour::default() });
    assert!(matches!(identify(machine), Err(AttachError::Refused { .. })));
    let machine = Machine::new(Behaviour { device_id: 0x1234, ..Behaviour::default() });
    assert!(matches!(identify(machine), Err(AttachError::Unsupported { .. })));
    let machine = Machine::new(Behaviour::default());
    machine.set_config(0x10, 0);
    let unassigned = AttachError::Bar { address: ADDRESS, error: BarError::Unassigned };
    assert_eq!(identify(machine), Err(unassigned));
}
