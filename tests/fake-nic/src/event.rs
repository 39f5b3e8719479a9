//! What happened, in order.

use isboot_transport::intel::registers::Register;

/// Something that the driver did, or that the device did to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A register was written.
    Write(Register, u32),
    /// The part was reset by CTRL.RST.
    Reset,
    /// Memory for DMA, by its bus address.
    Allocate(u64),
    /// The same, given back.
    Free(u64),
    /// A window, by its bus address.
    Map(u64),
    /// The same, given back.
    Unmap(u64),
    /// The device wrote to memory that firmware had given it.
    ForeignWrite,
    /// Bus mastering was switched.
    BusMaster(bool),
}
