//! A copyable handle to everything: hosting kernel, configuration space and device.

use std::cell::{Ref, RefCell, RefMut};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::time::Duration;

use isboot_transport::hal::{Clock, DmaLayout, DmaRegion, Hal};
use isboot_transport::intel::registers::Register;
use isboot_transport::pci::{ConfigSpace, PciAddress};

use crate::behaviour::Behaviour;
use crate::config::{BAR, BAR_SIZE, TABLE};
use crate::device::State;
use crate::event::Event;
use crate::family::Part;
use crate::receive::{DD, EOP, IXSM, Written};
use crate::register::{
    IMS, RCTL, RDBAL, RDH, RDLEN, RDT, RFCTL, RXDCTL, SRRCTL, TCTL, TXDCTL, icr, rctl, tctl,
};

/// Where the function is.
pub const ADDRESS: PciAddress = PciAddress { segment: 0, bus: 0, device: 3, function: 0 };
/// Bytes of the window with the MSI-X table.
const TABLE_SIZE: u64 = 0x1000;

/// The machines made so far.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Hosting kernel, configuration space and device: copies are the same machine.
#[derive(Clone, Copy)]
pub struct Machine(&'static RefCell<State>);

impl Machine {
    /// A machine with one controller, switched on.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        let state = Box::leak(Box::new(RefCell::new(State::new(behaviour))));
        // Kept for good, where a leak checker finds it: the device outlives every driver.
        KEPT.lock().expect("no panic while held").push(std::ptr::from_ref(state) as usize);
        Self(state)
    }

    /// Makes it another machine; memory that the last driver used is gone, so it must be too.
    pub fn renew(&self, behaviour: Behaviour) {
        let old = self.0.replace(State::new(behaviour));
        // Its handler holds a copy of this handle.
        drop(old);
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> Ref<'static, State> {
        self.0.borrow()
    }

    /// The same, to be changed.
    #[must_use]
    pub fn state_mut(&self) -> RefMut<'static, State> {
        self.0.borrow_mut()
    }

    /// What a register holds, without side effects.
    #[must_use]
    pub fn peek(&self, register: Register) -> u32 {
        self.state().get(register.offset())
    }

    /// Makes a register hold a value, without side effects.
    pub fn poke(&self, register: Register, value: u32) {
        self.state_mut().set(register.offset(), value);
    }

    /// Every value written to a register, in order.
    #[must_use]
    pub fn writes(&self, register: Register) -> Vec<u32> {
        let events = &self.state().events;
        let written = events.iter().filter_map(|event| match event {
            Event::Write(to, value) if *to == register => Some(*value),
            _ => None,
        });
        written.collect()
    }

    /// Where in the order of events the first such one is.
    ///
    /// # Panics
    /// When there is none.
    pub fn position(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.state().events.iter().position(wanted).expect("no such event")
    }

    /// Forgets events and accesses so far.
    pub fn forget(&self) {
        let mut state = self.state_mut();
        state.events.clear();
        state.accesses = 0;
        state.touches = 0;
    }

    /// Accesses of registers and of configuration space: what
    /// [`gone_after`](Behaviour::gone_after) counts.
    #[must_use]
    pub fn touches(&self) -> u64 {
        self.state().touches
    }

    /// What was done that the datasheets forbid.
    #[must_use]
    pub fn violations(&self) -> Vec<&'static str> {
        self.state().violations.clone()
    }

    /// Locks on the driver's side that are still held; 0 when none is.
    #[must_use]
    pub fn held_locks(&self) -> u32 {
        self.state().held()
    }

    /// What a PHY register holds, without side effects.
    #[must_use]
    pub fn phy(&self, page: u16, register: u8) -> u16 {
        self.state().phy.peek(page, register)
    }

    /// Makes a PHY register hold a value, without side effects.
    pub fn set_phy(&self, page: u16, register: u8, value: u16) {
        self.state_mut().phy.poke(page, register, value);
    }

    /// Which part it is.
    #[must_use]
    pub fn part(&self) -> Part {
        self.state().part
    }

    /// How often the PHY was told to negotiate anew.
    #[must_use]
    pub fn negotiations(&self) -> usize {
        self.state().phy.negotiations
    }

    /// Whether the function may use memory by itself.
    #[must_use]
    pub fn is_bus_master(&self) -> bool {
        let state = self.state();
        let is_pulled = state.behaviour.config_goes && state.has_gone();
        state.config.is_bus_master() && !is_pulled
    }

    /// Puts a word into configuration space, whatever writing it would do.
    pub fn set_config(&self, offset: u16, value: u32) {
        self.state_mut().config.put(offset, value);
    }

    /// A word of configuration space.
    #[must_use]
    pub fn config(&self, offset: u16) -> u32 {
        self.state().config.word(offset)
    }

    /// Time passes.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state_mut();
        state.now += time;
        state.foreign_traffic();
    }

    /// The cable is pulled out or put in.
    pub fn set_link(&self, is_up: bool) {
        let mut state = self.state_mut();
        state.behaviour.link_up = is_up;
        state.link_changed();
    }

    /// Its registers are as after power on, and nobody told the driver.
    pub fn reset_by_somebody(&self) {
        self.state_mut().power_on();
    }

    /// A deep power state: windows and registers are forgotten, the function is still there.
    pub fn lose_power(&self) {
        let mut state = self.state_mut();
        state.config.lose_power();
        state.power_on();
    }

    /// The card is pulled out.
    pub fn remove(&self) {
        let mut state = self.state_mut();
        state.behaviour.gone_after = 0;
        state.behaviour.config_goes = true;
    }

    /// Leaves the device running on memory that is not ours, as firmware may: it receives into a
    /// ring of its own, with interrupts on, and goes on doing so whenever time passes or anybody
    /// looks at it.
    pub fn leave_running(&self) {
        let layout = DmaLayout { len: 4096, align: 4096, highest_address: u64::from(u32::MAX) };
        let ring = self.allocate(layout).expect("memory");
        let layout = DmaLayout { len: 8 * 2048, ..layout };
        let buffers = self.allocate(layout).expect("memory");
        let mut state = self.state_mut();
        for region in &mut state.memory.regions {
            region.is_foreign = true;
        }
        let command = state.config.word(4);
        state.config.put(4, command | 6);
        for index in 0..8 {
            let mut descriptor = [0; 16];
            descriptor[..8].copy_from_slice(&(buffers.bus_address + index * 2048).to_le_bytes());
            state.dma_write(ring.bus_address + index * 16, &descriptor);
        }
        state.set(RFCTL, 0);
        state.set(SRRCTL, 2);
        state.set(RXDCTL, 1 << 25);
        state.set(TXDCTL, 1 << 25);
        state.set(RDBAL, ring.bus_address as u32);
        state.set(RDBAL + 4, (ring.bus_address >> 32) as u32);
        state.set(RDLEN, 128);
        state.set(RDH, 0);
        state.set(RDT, 7);
        state.set(RCTL, rctl::EN);
        state.set(TCTL, tctl::EN);
        state.set(IMS, icr::TXDW | icr::LSC | icr::RXSEQ | icr::RXDMT0 | icr::RXT0);
        state.events.clear();
    }

    /// What firmware's memory holds.
    #[must_use]
    pub fn foreign_memory(&self) -> Vec<u8> {
        self.state().memory.foreign()
    }

    /// A good frame arrives; says whether there was a descriptor for it.
    pub fn deliver(&self, frame: &[u8]) -> bool {
        self.state_mut().deliver(frame)
    }

    /// One descriptor is filled: bytes, status, errors, and a length that may lie.
    pub fn deliver_piece(&self, bytes: &[u8], status: u8, errors: u8, len: Option<u16>) -> bool {
        let written = Written { status, errors, len, tag: 0 };
        self.state_mut().deliver_piece(bytes, written)
    }

    /// Fills the descriptor `ahead` of the head without moving the head.
    pub fn deliver_ahead(&self, ahead: u32, bytes: &[u8]) {
        self.state_mut().deliver_ahead(ahead, bytes);
    }

    /// A good frame arrives, whatever the device would say about its checksums.
    pub fn deliver_unchecked(&self, frame: &[u8]) -> bool {
        self.deliver_piece(frame, DD | EOP | IXSM, 0, None)
    }

    /// Lets up to `count` held frames go; `report` says whether done bits are written.
    pub fn complete(&self, count: u32, report: bool) {
        self.state_mut().transmit(count, report);
    }

    /// Writes the done bits of descriptors that were sent and not reported.
    pub fn report(&self) {
        self.state_mut().report();
    }

    /// Transmit descriptors between head and tail.
    #[must_use]
    pub fn transmit_backlog(&self) -> u32 {
        self.state().transmit_backlog()
    }

    /// Command bytes of the transmit descriptors before the tail, oldest first.
    #[must_use]
    pub fn transmit_commands(&self, count: u32) -> Vec<u8> {
        use crate::register::{TDLEN, TDT};
        let state = self.state();
        let slots = state.get(TDLEN) / 16;
        let tail = state.get(TDT);
        (0..count)
            .map(|back| state.transmit_descriptor((tail + slots - count + back) % slots)[11])
            .collect()
    }

    /// Writes into a descriptor of the receive or the transmit ring, wherever the registers say
    /// that the ring is and whoever owns it.
    pub fn scribble(&self, receive: bool, slot: u32, offset: u32, bytes: &[u8]) {
        use crate::register::{TDBAL, TDLEN};
        let mut state = self.state_mut();
        let (base, len) = if receive { (RDBAL, RDLEN) } else { (TDBAL, TDLEN) };
        let slots = (state.get(len) / 16).max(1);
        let at = state.base(base) + u64::from(slot % slots * 16 + offset % 16);
        if state.memory.has(at, bytes.len()) {
            state.dma_write(at, bytes);
        }
    }

    /// Memory that is allocated and not freed.
    #[must_use]
    pub fn live_regions(&self) -> usize {
        self.state().memory.live()
    }

    /// Where the device finds the first memory that was allocated.
    #[must_use]
    pub fn first_bus_address(&self) -> Option<u64> {
        self.state().memory.regions.first().map(|region| region.bus)
    }

    /// Whether every byte of freed memory still is what freeing left.
    #[must_use]
    pub fn freed_memory_is_untouched(&self) -> bool {
        self.state().memory.freed_is_untouched()
    }

    /// Whether a pointer lies in memory that was allocated for DMA.
    #[must_use]
    pub fn is_dma_memory(&self, pointer: *const u8) -> bool {
        self.state().memory.contains_pointer(pointer)
    }
}

impl Clock for Machine {
    fn now(&self) -> Duration {
        let tick = self.state().behaviour.tick;
        self.advance(tick);
        self.state().now
    }

    fn spin(&self) {
        self.interrupts();
    }

    fn wait(&self, time: Duration) {
        const OTHERS: Duration = Duration::from_millis(1);
        let mut left = time;
        while self.state().interrupts.faults.line_is_busy && left > OTHERS {
            self.advance(OTHERS);
            self.handle();
            left -= OTHERS;
        }
        self.advance(left);
        self.interrupts();
    }
}

// SAFETY: memory comes from the global allocator and goes back only when the machine is renewed;
// the device reaches it only while allocated; registers are not memory and are reached by the
// overridden `read` and `write` alone.
unsafe impl Hal for Machine {
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion> {
        let mut state = self.state_mut();
        if state.behaviour.allocations == 0 {
            return None;
        }
        state.behaviour.allocations -= 1;
        let first = state.behaviour.first_bus_address;
        let region = state.memory.allocate(layout, first);
        state.events.push(Event::Allocate(region.bus_address));
        Some(region)
    }

    unsafe fn free(&self, region: DmaRegion) {
        let mut state = self.state_mut();
        state.events.push(Event::Free(region.bus_address));
        state.memory.free(region);
    }

    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>> {
        let windows = [(BAR, u64::from(BAR_SIZE)), (TABLE, TABLE_SIZE)];
        let fits = |(base, size)| bus_address >= base && bus_address + len as u64 <= base + size;
        assert!(windows.into_iter().any(fits), "{len} bytes at {bus_address:#x} are no window");
        let mut state = self.state_mut();
        if bus_address == TABLE && state.interrupts.faults.table_unmapped {
            return None;
        }
        state.events.push(Event::Map(bus_address));
        NonNull::new(std::ptr::without_provenance_mut(bus_address as usize))
    }

    unsafe fn unmap(&self, pointer: NonNull<u8>, _: usize) {
        self.state_mut().events.push(Event::Unmap(pointer.addr().get() as u64));
    }

    unsafe fn read(&self, register: NonNull<u32>) -> u32 {
        match table_word(register) {
            Some((vector, word)) => self.state().interrupts.table[vector][word],
            None => self.state_mut().read(offset(register)),
        }
    }

    unsafe fn write(&self, register: NonNull<u32>, value: u32) {
        match table_word(register) {
            Some((vector, word)) => self.state_mut().interrupts.table[vector][word] = value,
            None => self.state_mut().write(offset(register), value),
        }
    }
}

impl ConfigSpace for Machine {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        let mut state = self.state_mut();
        let is_gone = state.is_gone();
        if address != ADDRESS || (is_gone && state.behaviour.config_goes) {
            return u32::MAX;
        }
        state.foreign_traffic();
        state.config.word(offset)
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        assert_eq!(address, ADDRESS, "another function was written to");
        let mut state = self.state_mut();
        let is_gone = state.is_gone();
        if offset == 4 {
            state.events.push(Event::BusMaster(value & 4 != 0));
        }
        if !(is_gone && state.behaviour.config_goes) {
            state.config.write(offset, value);
        }
    }
}

fn offset(register: NonNull<u32>) -> u32 {
    (register.addr().get() - BAR as usize) as u32
}

/// Which word of which vector, of a pointer into the MSI-X table.
fn table_word(register: NonNull<u32>) -> Option<(usize, usize)> {
    let offset = (register.addr().get() as u64).checked_sub(TABLE)? as usize;
    Some((offset / 16, offset % 16 / 4))
}
