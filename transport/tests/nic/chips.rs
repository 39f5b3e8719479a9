//! What single families need of reset, locks and addresses.

use std::cell::Cell;
use std::ptr::NonNull;
use std::time::Duration;

use isboot_transport::hal::{Clock, DmaLayout, DmaRegion, Hal};
use isboot_transport::intel::family::{Family, Lock, PhyReset, ResetBy};
use isboot_transport::intel::ids::MODELS;
use isboot_transport::intel::nic::{AttachError, Nic, Step};
use isboot_transport::intel::registers::{
    CTRL, CTRL_DUP, CTRL_EXT, FCAL, PBA, PBS, RAH0, RAL0, Register, SWSM, SWSM2, TARC0, TXCW, ctrl,
    swsm,
};

use crate::fake::{ADDRESS, BAR, Behaviour, Event, MAC, Machine};
use crate::families::{for_each, one_each};
use crate::small;

fn attach(behaviour: Behaviour) -> (Machine, Nic<Machine, Machine>) {
    let machine = Machine::new(behaviour);
    let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
    (machine, nic)
}

fn resets(machine: Machine, register: Register) -> Vec<u32> {
    machine.writes(register).into_iter().filter(|value| value & ctrl::RST != 0).collect()
}

/// A hosting kernel with I/O ports, behind which the part may be or not.
struct Ports {
    machine: Machine,
    works: bool,
    selected: Cell<u32>,
    resets: Cell<u32>,
}

const PORTS: u16 = 0xc000;

impl Clock for Ports {
    fn now(&self) -> Duration {
        self.machine.now()
    }
}

// SAFETY: the machine keeps the promises; a port reaches the register that another port selected.
unsafe impl Hal for Ports {
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion> {
        self.machine.allocate(layout)
    }
    unsafe fn free(&self, region: DmaRegion) {
        // SAFETY: passed on.
        unsafe { self.machine.free(region) }
    }
    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>> {
        self.machine.map(bus_address, len)
    }
    unsafe fn unmap(&self, pointer: NonNull<u8>, len: usize) {
        // SAFETY: passed on.
        unsafe { self.machine.unmap(pointer, len) }
    }
    unsafe fn read(&self, register: NonNull<u32>) -> u32 {
        // SAFETY: passed on.
        unsafe { self.machine.read(register) }
    }
    unsafe fn write(&self, register: NonNull<u32>, value: u32) {
        // SAFETY: passed on.
        unsafe { self.machine.write(register, value) }
    }
    fn write_port(&self, port: u16, value: u32) -> bool {
        assert_ne!(self.machine.config(4) & 1, 0, "its ports are decoded");
        match port - PORTS {
            0 => self.selected.set(value),
            4 => {
                self.resets.set(self.resets.get() + u32::from(value & ctrl::RST != 0));
                if self.works {
                    let at = BAR as usize + self.selected.get() as usize;
                    let register = NonNull::new(std::ptr::without_provenance_mut(at)).unwrap();
                    // SAFETY: a register of the fake, as `map` gives them out.
                    unsafe { self.machine.write(register, value) }
                }
            }
            other => panic!("port {other:#x}"),
        }
        true
    }
}

#[test]
fn parts_that_cannot_be_reset_through_memory_are_reset_through_their_ports() {
    let by_ports = one_each().filter(|model| model.family.quirks().reset_by == ResetBy::Ports);
    let mut count = 0;
    for model in by_ports {
        for works in [true, false] {
            let machine = Machine::new(Behaviour::of(model.device_id));
            machine.set_config(0x14, u32::from(PORTS) | 1);
            let (selected, resets) = Default::default();
            let hal = Ports { machine, works, selected, resets };
            let nic = Nic::attach(&hal, machine, ADDRESS, &small()).unwrap();
            assert_eq!(nic.mac(), MAC);
            let written = self::resets(machine, CTRL).len();
            assert_eq!((hal.resets.get(), written), (1, 1), "{}: works {works}", model.name);
            assert_eq!(machine.config(4) & 1, 0, "the ports are closed again");
            nic.detach().unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 10, "82544, 82540, 82545, 82541 in both revisions");
}

#[test]
fn without_ports_and_for_everybody_else_memory_does() {
    for_each(one_each(), |model| {
        let (machine, _nic) = attach(Behaviour::of(model.device_id));
        let shadow = model.family.quirks().reset_by == ResetBy::Shadow;
        let expected = if shadow { (0, 1) } else { (1, 0) };
        assert_eq!((resets(machine, CTRL).len(), resets(machine, CTRL_DUP).len()), expected);
    });
}

#[test]
fn a_phy_is_reset_with_its_controller_only_while_its_link_is_down_and_firmware_lets_it() {
    let together =
        || one_each().filter(|model| model.family.quirks().phy_reset == PhyReset::Together);
    assert_eq!(together().count(), 12, "ICH8 to the latest PCH");
    let was_reset = |behaviour| {
        let machine = Machine::new(behaviour);
        // As firmware leaves it: the link is up when the wire lets it.
        machine.poke(CTRL, ctrl::SLU);
        let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
        let reset = resets(machine, CTRL)[0] & ctrl::PHY_RST != 0;
        machine.forget();
        nic.detach().unwrap();
        assert_eq!(resets(machine, CTRL)[0] & ctrl::PHY_RST, 0, "never for the next owner");
        reset
    };
    for_each(together(), |model| {
        let up = Behaviour::of(model.device_id);
        assert!(!was_reset(up), "link up");
        let down = Behaviour { link_up: false, ..up };
        assert!(was_reset(down), "link down");
        let mut forbidden = down;
        forbidden.holders.firmware_forbids_phy_reset = true;
        assert!(!was_reset(forbidden), "forbidden");
    });
}

#[test]
fn packet_memory_is_shared_out_before_the_reset_which_keeps_it() {
    for_each(one_each(), |model| {
        let kilobytes = model.family.quirks().receive_kilobytes;
        let (machine, _nic) = attach(Behaviour::of(model.device_id));
        let before = |event: &Event| matches!(event, Event::Write(r, _) if *r == PBA);
        if kilobytes != 0 {
            let reset = machine.position(
                |e| matches!(e, Event::Write(CTRL | CTRL_DUP, value) if value & ctrl::RST != 0),
            );
            assert!(machine.position(before) < reset);
            assert_eq!(machine.writes(PBA), [kilobytes]);
        }
        let pbs: &[u32] = if model.family == Family::Ich8 { &[16] } else { &[] };
        assert_eq!(machine.writes(PBS), pbs);
    });
}

#[test]
fn what_lies_at_fcal_in_chipsets_is_left_alone() {
    for_each(one_each(), |model| {
        let (machine, _nic) = attach(Behaviour::of(model.device_id));
        let in_chipset = model.family.quirks().lock == Lock::SwFlag;
        assert_eq!(machine.writes(FCAL).is_empty(), in_chipset);
    });
}

#[test]
fn no_register_is_used_before_an_82572_has_read_its_eeprom() {
    let silent = |device_id| Behaviour { auto_read: false, ..Behaviour::of(device_id) };
    for device_id in [0x105e, 0x107d, 0x1096] {
        let machine = Machine::new(silent(device_id));
        let error = Nic::attach(machine, machine, ADDRESS, &small()).err().unwrap();
        assert!(
            matches!(error, AttachError::Stuck { step: Step::ReadEeprom, .. }),
            "{device_id:04x}: {error}"
        );
        assert_eq!((machine.held_locks(), machine.live_regions()), (0, 0));
    }
    for device_id in [0x108b, 0x10d3, 0x10c9, 0x10ef] {
        attach(silent(device_id));
    }
}

#[test]
fn a_lock_whose_owner_is_gone_is_freed_and_one_that_firmware_keeps_is_respected() {
    let guarded = || one_each().filter(|model| model.family.quirks().lock != Lock::None);
    for_each(guarded(), |model| {
        for held in 0..3 {
            let mut behaviour = Behaviour { link_up: held == 0, ..Behaviour::of(model.device_id) };
            match held {
                0 => behaviour.holders.stale_smbi = true,
                1 => behaviour.holders.firmware_holds_swesmbi = true,
                _ => behaviour.holders.firmware_holds_bus = true,
            }
            let machine = Machine::new(behaviour);
            let before = machine.now();
            let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            let took = machine.now() - before;
            // Five takers, none of which waits longer than the datasheets ask for.
            assert!(took < Duration::from_secs(6), "{held}: {took:?}");
            assert_eq!(nic.mac(), MAC);
            nic.detach().unwrap();
            assert_eq!(machine.held_locks(), 0, "{held}");
            assert_eq!(machine.violations(), [""; 0], "{held}");
        }
    });
}

#[test]
fn one_port_of_an_82571_frees_the_lock_for_both() {
    let stale = || {
        let mut behaviour = Behaviour::of(0x105e);
        behaviour.holders.stale_smbi = true;
        Machine::new(behaviour)
    };
    let machine = stale();
    let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
    assert_eq!(machine.writes(SWSM2), [2]);
    // The other port was first: SMBI is its driver's.
    let machine = stale();
    machine.poke(SWSM2, 2);
    let _nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
    let given_up = machine.writes(SWSM).iter().any(|value| value & swsm::SMBI == 0);
    assert!(!given_up, "the other port's lock was taken from it");
}

#[test]
fn firmware_is_told_where_it_looks() {
    let (machine, nic) = attach(Behaviour::of(0x108b));
    assert_ne!(machine.peek(SWSM) & swsm::DRV_LOAD, 0, "82573");
    assert_eq!(machine.peek(CTRL_EXT) & 1 << 28, 0);
    nic.detach().unwrap();
    assert_eq!(machine.peek(SWSM) & swsm::DRV_LOAD, 0);
}

#[test]
fn an_82571_keeps_its_address_through_the_other_ports_reset() {
    let (machine, _nic) = attach(Behaviour::of(0x105e));
    let at = |register: Register, index: u32| Register::at(register.offset() + index * 8);
    assert_eq!(machine.peek(at(RAL0, 14)), machine.peek(RAL0));
    assert_eq!(machine.peek(at(RAH0, 14)), machine.peek(RAH0));
    let (machine, _nic) = attach(Behaviour::of(0x107d));
    assert_eq!(machine.peek(at(RAH0, 14)), 0, "82572: one port");
}

#[test]
fn addresses_that_no_reset_loaded_are_found() {
    let empty = |device_id, function| Behaviour {
        receive_address: [0; 6],
        function,
        has_flash: false,
        ..Behaviour::of(device_id)
    };
    for model in MODELS.iter().filter(|model| model.family.quirks().lock != Lock::SwFlag) {
        let (_, nic) = attach(empty(model.device_id, 0));
        assert_eq!(nic.mac(), MAC, "{}", model.name);
    }
    let [a, b, c, d, e, f] = MAC;
    let (_, nic) = attach(empty(0x1010, 1));
    assert_eq!(nic.mac(), [a, b, c, d, e, f ^ 1], "the second port of an 82546EB");
    for model in one_each().filter(|model| model.family.quirks().lock == Lock::SwFlag) {
        let machine = Machine::new(empty(model.device_id, 0));
        let error = Nic::attach(machine, machine, ADDRESS, &small()).err().unwrap();
        assert_eq!(error, AttachError::MacInChipset { address: ADDRESS });
        assert!(error.to_string().contains("enable it for network boot"));
        assert_eq!(machine.held_locks(), 0);
    }
}

#[test]
fn an_i219_is_not_reset_with_descriptors_in_its_queues() {
    const DESC_RING_STATUS: u16 = 0xe4;
    use isboot_transport::intel::registers::{FEXTNVM11, TDBAL, TDT};
    for_each(one_each().filter(|model| model.family.quirks().flush_rings), |model| {
        for is_due in [true, false] {
            let machine = Machine::new(Behaviour::of(model.device_id));
            machine.leave_running();
            machine.set_config(DESC_RING_STATUS, if is_due { 1 << 8 } else { 0 });
            machine.poke(Register::at(0x3808), 128);
            let nic = Nic::attach(machine, machine, ADDRESS, &small()).unwrap();
            assert_ne!(machine.writes(FEXTNVM11), []);
            let reset = resets(machine, CTRL)[0];
            let reset = machine.position(|e| *e == Event::Write(CTRL, reset));
            let events = machine.state().events.clone();
            let wrote = |register| {
                events[..reset].iter().any(|e| matches!(e, Event::Write(r, _) if *r == register))
            };
            assert_eq!(wrote(TDBAL) && wrote(TDT), is_due);
            nic.detach().unwrap();
            assert_eq!(machine.live_regions(), 0);
            assert!(machine.freed_memory_is_untouched());
        }
    });
}

#[test]
fn fields_that_only_one_family_has_are_only_written_there() {
    let (machine, _nic) = attach(Behaviour::of(0x107d));
    let tarc0 = machine.peek(TARC0);
    assert_eq!(tarc0 & 0x7f << 23, 0xf << 23, "82572EI: 30:27 clear, 26:23 set");
    assert_ne!(tarc0 & 1 << 21, 0, "82572EI at 1000 Mbit/s");
    assert!(machine.writes(TXCW).is_empty(), "copper");
}
