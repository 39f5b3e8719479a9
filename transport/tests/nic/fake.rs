//! A controller made of memory: registers with their side effects, rings that it owns, and a
//! hosting kernel whose bus addresses are not its pointers.
//!
//! The device works inside register writes, as an emulated one does, and only through bus
//! addresses: one that is wrong, freed, or used with bus mastering off fails the test.

mod interrupts;

use std::alloc::{Layout, alloc};
use std::cell::{Ref, RefCell, RefMut};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::time::Duration;

use isboot_transport::hal::{Clock, DmaLayout, DmaRegion, Hal};
use isboot_transport::intel::interrupt::icr;
use isboot_transport::intel::registers::{
    CTRL, EECD, EERD, ICR, IMS, MDIC, MPC, PBA, RAH0, RAL0, RCTL, RDBAH, RDBAL, RDH, RDLEN, RDT,
    Register, STATUS, TCTL, TDBAL, TDH, TDLEN, TDT, ctrl, rctl, tctl,
};
use isboot_transport::pci::{ConfigSpace, PciAddress};

pub(crate) use interrupts::{Faults, Interrupts, MESSAGE, TABLE, at};

/// Where the function is.
pub(crate) const ADDRESS: PciAddress = PciAddress { segment: 0, bus: 0, device: 3, function: 0 };
/// Its registers, as the bus sees them.
pub(crate) const BAR: u64 = 0xfeb8_0000;
/// What fills memory that was given back.
pub(crate) const CANARY: u8 = 0xa5;
/// The address that its EEPROM holds.
pub(crate) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Something that happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Write(Register, u32),
    Allocate(u64),
    Free(u64),
    Map(u64),
    Unmap(u64),
    /// The device wrote to memory that firmware had given it.
    ForeignWrite,
    BusMaster(bool),
}

/// How the part behaves; the default is a well-behaved 82540EM with its link up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) device_id: u16,
    /// Reads of CTRL until RST clears; `u32::MAX`: never.
    pub(crate) reset_reads: u32,
    /// A reset brings registers to their reset values. QEMU's e1000 does not.
    pub(crate) reset_clears: bool,
    /// Bus requests never drain.
    pub(crate) master_stuck: bool,
    /// Registers read as all ones after so many accesses.
    pub(crate) gone_after: u64,
    pub(crate) link_up: bool,
    /// What RAL0 and RAH0 hold after a reset.
    pub(crate) receive_address: [u8; 6],
    /// What the EEPROM holds; `None`: reads never end.
    pub(crate) eeprom: Option<[u8; 6]>,
    /// EERD's DONE bit and address shift.
    pub(crate) eerd: (u32, u32),
    /// MDIC never becomes ready.
    pub(crate) phy_dead: bool,
    /// Frames stay in the transmit ring until the test lets them go.
    pub(crate) hold_transmit: bool,
    /// Bus addresses start here.
    pub(crate) first_bus_address: u64,
    /// Allocations until the kernel has no more.
    pub(crate) allocations: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            device_id: 0x100e,
            reset_reads: 2,
            reset_clears: true,
            master_stuck: false,
            gone_after: u64::MAX,
            link_up: true,
            receive_address: MAC,
            eeprom: Some(MAC),
            eerd: (1 << 4, 8),
            phy_dead: false,
            hold_transmit: false,
            first_bus_address: 0x1_0000_0000 - (8 << 20),
            allocations: usize::MAX,
        }
    }
}

impl Behaviour {
    /// A well-behaved 82574L.
    pub(crate) fn i82574() -> Self {
        Self { device_id: 0x10d3, eerd: (1 << 1, 2), ..Self::default() }
    }
}

struct Region {
    pointer: NonNull<u8>,
    len: usize,
    bus: u64,
    freed: bool,
    foreign: bool,
}

pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    pub(crate) events: Vec<Event>,
    /// Register reads and writes.
    pub(crate) accesses: u64,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) bmcr_writes: usize,
    pub(crate) interrupts: Interrupts,
    registers: Vec<u32>,
    config: Vec<u32>,
    regions: Vec<Region>,
    now: Duration,
    /// So many reads give all ones, from now on.
    pub(crate) all_ones_reads: u32,
    removed: bool,
    reset_reads_left: u32,
    phy: [u16; 32],
}

/// The machines made so far.
static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// A copyable handle to everything: hosting kernel, configuration space and device.
#[derive(Clone, Copy)]
pub(crate) struct Machine(&'static RefCell<State>);

impl Machine {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let mut config = vec![0; 64];
        config[0] = u32::from(behaviour.device_id) << 16 | 0x8086;
        config[2] = 0x0200_0003;
        config[4] = BAR as u32;
        if behaviour.device_id == 0x10d3 {
            config[1] |= 1 << 20;
            config[7] = TABLE as u32;
            config[0x34 / 4] = u32::from(at::POWER);
            // Power management, MSI with 64 bits, MSI-X with its table at the start of window 3.
            config[usize::from(at::POWER) / 4] = 0xd001;
            config[usize::from(at::MSI) / 4] = 0x0080_a005;
            config[usize::from(at::MSI_X) / 4] = 0x0004_0011;
            config[usize::from(at::MSI_X) / 4 + 1] = 3;
        }
        let mut phy = [0; 32];
        phy[1] = 0x7969;
        phy[4] = 0x0de1;
        phy[5] = if behaviour.link_up { 0x4de1 } else { 0 };
        let state = Box::leak(Box::new(RefCell::new(State {
            behaviour,
            events: Vec::new(),
            accesses: 0,
            sent: Vec::new(),
            bmcr_writes: 0,
            interrupts: Interrupts::default(),
            registers: vec![0; 0x8000],
            config,
            regions: Vec::new(),
            now: Duration::from_secs(7),
            all_ones_reads: 0,
            removed: false,
            reset_reads_left: 0,
            phy,
        })));
        // Kept for good, where a leak checker finds it: the device outlives every driver.
        KEPT.lock().unwrap().push(std::ptr::from_ref(state) as usize);
        let machine = Self(state);
        machine.state_mut().power_on();
        machine
    }

    pub(crate) fn state(&self) -> Ref<'static, State> {
        self.0.borrow()
    }

    pub(crate) fn state_mut(&self) -> RefMut<'static, State> {
        self.0.borrow_mut()
    }

    /// What a register holds, without side effects.
    pub(crate) fn peek(&self, register: Register) -> u32 {
        self.state().registers[index(register)]
    }

    /// Makes a register hold a value, without side effects.
    pub(crate) fn poke(&self, register: Register, value: u32) {
        self.state_mut().registers[index(register)] = value;
    }

    /// Every value written to a register, in order.
    pub(crate) fn writes(&self, register: Register) -> Vec<u32> {
        let events = &self.state().events;
        let written = events.iter().filter_map(|event| match event {
            Event::Write(to, value) if *to == register => Some(*value),
            _ => None,
        });
        written.collect()
    }

    /// Where in the order of events the first such one is.
    pub(crate) fn position(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.state().events.iter().position(wanted).expect("no such event")
    }

    /// Forgets events and accesses so far.
    pub(crate) fn forget(&self) {
        let mut state = self.state_mut();
        state.events.clear();
        state.accesses = 0;
    }

    pub(crate) fn is_bus_master(&self) -> bool {
        self.state().config[1] & 4 != 0
    }

    /// Puts a capability list into configuration space: (offset, words).
    pub(crate) fn set_config(&self, offset: u16, value: u32) {
        self.state_mut().config[usize::from(offset) / 4] = value;
    }

    pub(crate) fn config(&self, offset: u16) -> u32 {
        self.state().config[usize::from(offset) / 4]
    }

    /// Leaves the device receiving into memory that is not ours, as firmware may.
    pub(crate) fn leave_running(&self) {
        let layout = DmaLayout { len: 4096, align: 4096, highest_address: u64::MAX };
        let ring = self.allocate(layout).unwrap();
        let layout = DmaLayout { len: 8 * 2048, align: 4096, highest_address: u64::MAX };
        let buffers = self.allocate(layout).unwrap();
        let mut state = self.state_mut();
        for region in &mut state.regions {
            region.foreign = true;
        }
        state.config[1] |= 6;
        for index in 0..8 {
            let mut descriptor = [0; 16];
            descriptor[..8].copy_from_slice(&(buffers.bus_address + index * 2048).to_le_bytes());
            state.dma_write(ring.bus_address + index * 16, &descriptor);
        }
        state.set(RDBAL, ring.bus_address as u32);
        state.set(RDBAH, (ring.bus_address >> 32) as u32);
        state.set(RDLEN, 128);
        state.set(RDH, 0);
        state.set(RDT, 7);
        state.set(RCTL, rctl::EN);
        state.set(TCTL, tctl::EN);
        state.set(IMS, 0x9d);
        state.events.clear();
    }

    /// Time passes.
    pub(crate) fn advance(&self, time: Duration) {
        self.state_mut().now += time;
    }

    /// The cable is pulled out or put in.
    pub(crate) fn set_link(&self, is_up: bool) {
        self.state_mut().behaviour.link_up = is_up;
        self.raise(icr::LSC);
    }

    /// Its registers are as after power on, and nobody told the driver.
    pub(crate) fn reset_by_somebody(&self) {
        self.state_mut().power_on();
    }

    /// A deep power state: windows and registers are forgotten, the function is still there.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state_mut();
        if state.behaviour.device_id == 0x10d3 {
            state.config[usize::from(at::POWER) / 4 + 1] |= 3;
        }
        state.config[1] &= !7;
        state.config[4] = 0;
        state.config[7] = 0;
        state.power_on();
    }

    /// The card is pulled out.
    pub(crate) fn remove(&self) {
        self.state_mut().removed = true;
    }

    /// A good frame arrives; says whether there was a descriptor for it.
    pub(crate) fn deliver(&self, frame: &[u8]) -> bool {
        const DD_EOP_IXSM: u8 = 0x07;
        self.deliver_piece(frame, DD_EOP_IXSM, 0, None)
    }

    /// One descriptor is filled: bytes, status, errors, and a length that may lie.
    pub(crate) fn deliver_piece(
        &self,
        bytes: &[u8],
        status: u8,
        errors: u8,
        len: Option<u16>,
    ) -> bool {
        self.state_mut().deliver(bytes, status, errors, len)
    }

    /// Fills the descriptor `ahead` of the head without moving the head.
    pub(crate) fn deliver_ahead(&self, ahead: u32, bytes: &[u8]) {
        let mut state = self.state_mut();
        let head = state.get(RDH);
        state.fill_descriptor(head + ahead, bytes, 0x07, 0, None);
    }

    /// Lets up to `count` held frames go; `report` says whether done bits are written.
    pub(crate) fn complete(&self, count: u32, report: bool) {
        self.state_mut().transmit(count, report);
    }

    /// Transmit descriptors between head and tail.
    pub(crate) fn transmit_backlog(&self) -> u32 {
        let state = self.state();
        let count = (state.get(TDLEN) / 16).max(1);
        (state.get(TDT) + count - state.get(TDH)) % count
    }

    /// Command bytes of the transmit descriptors before the tail, oldest first.
    pub(crate) fn transmit_commands(&self, count: u32) -> Vec<u8> {
        let mut state = self.state_mut();
        let ring = state.get(TDLEN) / 16;
        let tail = state.get(TDT);
        (0..count)
            .map(|back| {
                let slot = (tail + ring - count + back) % ring;
                let base = state.base(TDBAL);
                state.dma_read(base + u64::from(slot) * 16, 16)[11]
            })
            .collect()
    }

    /// Memory that is allocated and not freed.
    pub(crate) fn live_regions(&self) -> usize {
        self.state().regions.iter().filter(|region| !region.freed && !region.foreign).count()
    }

    /// Whether every byte of freed memory still is what freeing left.
    pub(crate) fn freed_memory_is_untouched(&self) -> bool {
        let state = self.state();
        state.regions.iter().filter(|region| region.freed).all(|region| {
            // SAFETY: freed regions are kept: `len` initialised bytes that nothing writes to.
            let bytes = unsafe { std::slice::from_raw_parts(region.pointer.as_ptr(), region.len) };
            bytes.iter().all(|byte| *byte == CANARY)
        })
    }

    /// Whether a pointer lies in memory that was allocated for DMA.
    pub(crate) fn is_dma_memory(&self, pointer: *const u8) -> bool {
        self.state().regions.iter().any(|region| {
            let start = region.pointer.as_ptr() as usize;
            (start..start + region.len).contains(&(pointer as usize))
        })
    }
}

impl Clock for Machine {
    fn now(&self) -> Duration {
        let mut state = self.state_mut();
        state.now += Duration::from_micros(10);
        state.now
    }

    fn spin(&self) {
        self.interrupts();
    }
}

// SAFETY: memory comes from the global allocator and is never given back to it; the device below
// reaches it only while allocated; registers are not memory and are reached by the overridden
// `read` and `write` alone.
unsafe impl Hal for Machine {
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion> {
        let mut state = self.state_mut();
        if state.behaviour.allocations == 0 {
            return None;
        }
        state.behaviour.allocations -= 1;
        let last = state.regions.last().map(|region| region.bus + region.len as u64);
        let bus = last.unwrap_or(state.behaviour.first_bus_address);
        let bus = bus.next_multiple_of(layout.align as u64);
        let memory = Layout::from_size_align(layout.len, layout.align).unwrap();
        // SAFETY: the layout has a size.
        let pointer = NonNull::new(unsafe { alloc(memory) }).unwrap();
        // SAFETY: just allocated with this length. The driver must not rely on zeroes.
        unsafe { pointer.write_bytes(0xee, layout.len) };
        let len = layout.len;
        state.regions.push(Region { pointer, len, bus, freed: false, foreign: false });
        state.events.push(Event::Allocate(bus));
        Some(DmaRegion { pointer, bus_address: bus, len })
    }

    unsafe fn free(&self, region: DmaRegion) {
        let mut state = self.state_mut();
        state.events.push(Event::Free(region.bus_address));
        let known = state.regions.iter_mut().find(|known| known.bus == region.bus_address);
        let known = known.expect("freed memory was never allocated");
        assert!(!known.freed, "freed twice");
        assert_eq!((known.pointer, known.len), (region.pointer, region.len));
        known.freed = true;
        // SAFETY: allocated with this length, and the driver no longer uses it.
        unsafe { region.pointer.write_bytes(CANARY, region.len) };
    }

    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>> {
        assert!([(BAR, 0x2_0000), (TABLE, 0x1000)].contains(&(bus_address, len)));
        self.state_mut().events.push(Event::Map(bus_address));
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
        let is_there = address == ADDRESS && !self.state().removed;
        if is_there { self.config(offset) } else { u32::MAX }
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        assert_eq!(address, ADDRESS);
        let mut state = self.state_mut();
        if offset == 4 {
            state.events.push(Event::BusMaster(value & 4 != 0));
            // The upper half is the status register.
            let status = state.config[1] & 0xffff_0000;
            state.config[1] = status | (value & 0xffff);
        } else {
            state.config[usize::from(offset) / 4] = value;
        }
    }
}

impl State {
    fn power_on(&mut self) {
        self.registers.fill(0);
        self.interrupt_power_on();
        let [a, b, c, d, e, f] = self.behaviour.receive_address;
        self.set(RAL0, u32::from_le_bytes([a, b, c, d]));
        self.set(RAH0, u32::from_le_bytes([e, f, 0, 0x80]));
        self.set(EECD, 1 << 9);
        self.set(PBA, 0x0010_0030);
    }

    fn get(&self, register: Register) -> u32 {
        self.registers[index(register)]
    }

    fn set(&mut self, register: Register, value: u32) {
        self.registers[index(register)] = value;
    }

    fn gone(&mut self) -> bool {
        self.accesses += 1;
        self.accesses > self.behaviour.gone_after || !self.is_reachable()
    }

    /// Powered, and its window where the driver found it.
    fn is_reachable(&self) -> bool {
        let power = self.config[usize::from(at::POWER) / 4 + 1];
        let is_mapped = self.config[4] == BAR as u32 && self.config[1] & 2 != 0;
        power & 3 == 0 && is_mapped && !self.removed
    }

    fn read(&mut self, offset: u32) -> u32 {
        if self.gone() {
            return u32::MAX;
        }
        if let Some(left) = self.all_ones_reads.checked_sub(1) {
            self.all_ones_reads = left;
            return u32::MAX;
        }
        // A frame from the wire, for whoever left reception on.
        if self.foreign_ring() {
            let behind = (self.get(RDH) + 7) % 8;
            self.set(RDT, behind);
            self.deliver(&[0xff; 60], 0x07, 0, None);
        }
        let register = Register::at(offset);
        let value = self.get(register);
        match register {
            STATUS => {
                let link = if self.behaviour.link_up { 0x83 } else { 0x80 };
                let draining = self.get(CTRL) & ctrl::MASTER_DISABLE != 0;
                let busy = self.behaviour.master_stuck || !draining;
                link | if busy { 1 << 19 } else { 0 }
            }
            CTRL => {
                if value & ctrl::RST != 0 && self.reset_reads_left != u32::MAX {
                    match self.reset_reads_left.checked_sub(1) {
                        Some(left) => self.reset_reads_left = left,
                        None => self.set(CTRL, value & !ctrl::RST),
                    }
                }
                self.get(CTRL)
            }
            ICR => self.read_icr(),
            MPC => {
                self.set(MPC, 0);
                value
            }
            _ => value,
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let register = Register::at(offset);
        self.events.push(Event::Write(register, value));
        if self.gone() {
            return;
        }
        match register {
            CTRL if value & ctrl::RST != 0 => {
                if self.behaviour.reset_clears {
                    self.power_on();
                }
                self.reset_reads_left = self.behaviour.reset_reads;
                self.set(CTRL, value);
            }
            MDIC => self.mdic(value),
            EERD => self.eerd(value),
            TDT => {
                self.set(TDT, value);
                if !self.behaviour.hold_transmit {
                    self.transmit(u32::MAX, true);
                }
            }
            _ if self.write_interrupt(register, value) => {}
            _ => self.set(register, value),
        }
    }

    fn mdic(&mut self, value: u32) {
        if self.behaviour.phy_dead {
            return;
        }
        let number = (value >> 16 & 0x1f) as usize;
        let mut result = value & !0xffff;
        if value >> 26 & 3 == 2 {
            result |= u32::from(self.phy[number]);
        } else {
            if number == 0 {
                self.bmcr_writes += 1;
            }
            self.phy[number] = value as u16;
            result |= value & 0xffff;
        }
        self.set(MDIC, result | 1 << 28);
    }

    fn eerd(&mut self, value: u32) {
        let (done, shift) = self.behaviour.eerd;
        let Some(bytes) = self.behaviour.eeprom else { return };
        let word = (value >> shift & 0xff) as usize;
        let data = u32::from(u16::from_le_bytes([bytes[word * 2], bytes[word * 2 + 1]]));
        self.set(EERD, data << 16 | done);
    }

    fn base(&self, low: Register) -> u64 {
        u64::from(self.get(low)) | u64::from(self.get(Register::at(low.offset() + 4))) << 32
    }

    fn foreign_ring(&self) -> bool {
        let base = self.base(RDBAL);
        self.get(RCTL) & rctl::EN != 0
            && self.regions.iter().any(|region| region.foreign && region.bus == base)
    }

    fn deliver(&mut self, bytes: &[u8], status: u8, errors: u8, len: Option<u16>) -> bool {
        let (head, tail, ring) = (self.get(RDH), self.get(RDT), self.get(RDLEN) / 16);
        if self.get(RCTL) & rctl::EN == 0 || self.config[1] & 4 == 0 || ring == 0 || head == tail {
            return false;
        }
        self.fill_descriptor(head, bytes, status, errors, len);
        self.set(RDH, (head + 1) % ring);
        self.raise(icr::RXT0);
        true
    }

    fn fill_descriptor(&mut self, at: u32, bytes: &[u8], status: u8, errors: u8, len: Option<u16>) {
        let ring = self.get(RDLEN) / 16;
        let descriptor = self.base(RDBAL) + u64::from(at % ring) * 16;
        let words = self.dma_read(descriptor, 8);
        let buffer = u64::from_le_bytes(words.try_into().unwrap());
        self.dma_write(buffer, bytes);
        let [l0, l1] = len.unwrap_or(bytes.len() as u16).to_le_bytes();
        self.dma_write(descriptor + 8, &[l0, l1, 0, 0, status, errors, 0, 0]);
    }

    fn transmit(&mut self, count: u32, report: bool) {
        for _ in 0..count {
            let (head, tail, ring) = (self.get(TDH), self.get(TDT), self.get(TDLEN) / 16);
            if self.get(TCTL) & tctl::EN == 0 || ring == 0 || head == tail {
                return;
            }
            let at = self.base(TDBAL) + u64::from(head) * 16;
            let descriptor = self.dma_read(at, 16);
            let buffer = u64::from_le_bytes(descriptor[..8].try_into().unwrap());
            let len = u16::from_le_bytes([descriptor[8], descriptor[9]]);
            const EOP_IFCS: u8 = 3;
            assert_eq!(descriptor[11] & 3, EOP_IFCS, "one whole frame per descriptor");
            let frame = self.dma_read(buffer, usize::from(len));
            self.sent.push(frame);
            const RS: u8 = 8;
            if report && descriptor[11] & RS != 0 {
                self.dma_write(at + 12, &[1]);
            }
            self.set(TDH, (head + 1) % ring);
            self.raise(icr::TXDW);
        }
    }

    fn locate(&self, bus: u64, len: usize) -> (usize, NonNull<u8>) {
        assert!(self.config[1] & 4 != 0, "DMA with bus mastering off");
        let found = self.regions.iter().position(|region| {
            (region.bus..region.bus + region.len as u64).contains(&bus)
                && bus + len as u64 <= region.bus + region.len as u64
        });
        let found = found.unwrap_or_else(|| panic!("DMA to {bus:#x}, which is nobody's"));
        let region = &self.regions[found];
        assert!(!region.freed, "DMA to freed memory at {bus:#x}");
        // SAFETY: the offset lies inside the region, as was just seen.
        (found, unsafe { region.pointer.add((bus - region.bus) as usize) })
    }

    fn dma_read(&mut self, bus: u64, len: usize) -> Vec<u8> {
        let (_, pointer) = self.locate(bus, len);
        // SAFETY: `len` initialised bytes of a live region; the driver does not write meanwhile.
        unsafe { std::slice::from_raw_parts(pointer.as_ptr(), len) }.to_vec()
    }

    fn dma_write(&mut self, bus: u64, bytes: &[u8]) {
        let (region, pointer) = self.locate(bus, bytes.len());
        if self.regions[region].foreign {
            self.events.push(Event::ForeignWrite);
        }
        // SAFETY: as many bytes of a live region; the driver holds no reference to what the
        // device owns.
        unsafe { pointer.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
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

fn index(register: Register) -> usize {
    register.offset() as usize / 4
}
