//! One logical unit as a target is built with it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::backing::{Backing, Disk, Memory};

/// One logical unit. Start from [`Lun::file`] or [`Lun::memory`] and name what differs.
pub struct Lun {
    pub(super) backing: Box<dyn Backing>,
    pub(super) number: Option<u16>,
    /// Its eight bytes when they are not those of its number: only they name it.
    pub(super) address: Option<[u8; 8]>,
    pub(super) block_size: u32,
    /// Logical blocks in a physical one, as a power of two, and the first that starts one.
    pub(super) physical: (u8, u16),
    /// Type of protection information: 1 to 3, 0 for none.
    pub(super) protection: u8,
    pub(super) thin: Option<Thin>,
    /// Most blocks of one WRITE SAME; 0 for any number.
    pub(super) write_same_blocks: u64,
    /// DPOFUA.
    pub(super) force_unit_access: bool,
    /// Target port groups: number, asymmetric access state, ports. Commands come through the
    /// first port of the first group.
    pub(super) port_groups: Vec<(u16, u8, Vec<u16>)>,
    pub(super) read_only: bool,
    pub(super) vendor: String,
    pub(super) product: String,
    pub(super) revision: String,
    pub(super) serial: Option<String>,
    /// Told once to every new session, in this order (ASC, ASCQ).
    pub(super) unit_attentions: Vec<(u8, u8)>,
    /// So many commands find it becoming ready.
    pub(super) becoming_ready: u32,
    pub(super) bad_blocks: Vec<Range<u64>>,
}

/// How a LUN is thinly provisioned (SBC-3 §4.7).
#[derive(Clone, Copy, Debug)]
pub struct Thin {
    /// LBPU: UNMAP is there.
    pub unmap: bool,
    /// LBPWS: WRITE SAME(16) takes the UNMAP bit.
    pub write_same_16: bool,
    /// LBPWS10: WRITE SAME(10) takes the UNMAP bit.
    pub write_same_10: bool,
    /// LBPRZ is told: released blocks read as zeros. They do in any case.
    pub reads_zeros: bool,
    /// MAXIMUM UNMAP LBA COUNT.
    pub unmap_blocks: u32,
    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
    pub unmap_descriptors: u32,
    /// OPTIMAL UNMAP GRANULARITY: what is not whole granules stays.
    pub granularity: u32,
    /// UNMAP GRANULARITY ALIGNMENT.
    pub alignment: u32,
}

impl Default for Thin {
    fn default() -> Self {
        Self {
            unmap: true,
            write_same_16: true,
            write_same_10: true,
            reads_zeros: true,
            unmap_blocks: u32::MAX,
            unmap_descriptors: 1,
            granularity: 1,
            alignment: 0,
        }
    }
}

impl Lun {
    /// A LUN over a file, whose length is its capacity; write-protected when the file is.
    ///
    /// # Errors
    /// What the system says about the file.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let disk = Disk::open(path.as_ref())?;
        let read_only = !disk.is_writable();
        Ok(Self { read_only, ..Self::over(Box::new(disk)) })
    }

    /// A LUN of so many bytes of memory, all zero; what is not written takes no memory.
    #[must_use]
    pub fn memory(bytes: u64) -> Self {
        Self::over(Box::new(Memory::new(bytes)))
    }

    /// A LUN over anything that holds bytes.
    #[must_use]
    pub fn over(backing: Box<dyn Backing>) -> Self {
        Self {
            backing,
            number: None,
            address: None,
            block_size: 512,
            physical: (0, 0),
            protection: 0,
            thin: None,
            write_same_blocks: 0,
            force_unit_access: true,
            port_groups: Vec::new(),
            read_only: false,
            vendor: "ISBOOT".to_owned(),
            product: "test disk".to_owned(),
            revision: "0001".to_owned(),
            serial: None,
            unit_attentions: Vec::new(),
            becoming_ready: 0,
            bad_blocks: Vec::new(),
        }
    }

    /// Its number; without, the one after the LUN before.
    #[must_use]
    pub fn number(mut self, number: u16) -> Self {
        self.number = Some(number);
        self
    }

    /// The eight bytes that name it, in place of those of its number.
    #[must_use]
    pub fn address(mut self, address: [u8; 8]) -> Self {
        self.address = Some(address);
        self
    }

    /// Logical blocks in a physical one, as a power of two, and the first that starts one.
    #[must_use]
    pub fn physical_blocks(mut self, exponent: u8, lowest_aligned: u16) -> Self {
        self.physical = (exponent, lowest_aligned);
        self
    }

    /// It keeps protection information of this type, 1 to 3, with each block.
    #[must_use]
    pub fn protection(mut self, kind: u8) -> Self {
        self.protection = kind;
        self
    }

    /// Thinly provisioned.
    #[must_use]
    pub fn thin(mut self, thin: Thin) -> Self {
        self.thin = Some(thin);
        self
    }

    /// Most blocks of one WRITE SAME; any number unless said.
    #[must_use]
    pub fn write_same_blocks(mut self, blocks: u64) -> Self {
        self.write_same_blocks = blocks;
        self
    }

    /// It does not obey the FUA bit, and says so.
    #[must_use]
    pub fn without_force_unit_access(mut self) -> Self {
        self.force_unit_access = false;
        self
    }

    /// One more target port group, with its asymmetric access state (SPC-4 §6.37). Commands come
    /// through the first port of the first group.
    #[must_use]
    pub fn port_group(mut self, number: u16, state: u8, ports: &[u16]) -> Self {
        self.port_groups.push((number, state, ports.to_vec()));
        self
    }

    /// Bytes of a block: 512 unless said.
    #[must_use]
    pub fn block_size(mut self, bytes: u32) -> Self {
        self.block_size = bytes;
        self
    }

    /// Write-protected.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// What INQUIRY says: at most 8, 16 and 4 characters.
    #[must_use]
    pub fn identity(mut self, vendor: &str, product: &str, revision: &str) -> Self {
        self.vendor = vendor.to_owned();
        self.product = product.to_owned();
        self.revision = revision.to_owned();
        self
    }

    /// Unit serial number (VPD page 80h); without, one made of the LUN.
    #[must_use]
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = Some(serial.to_owned());
        self
    }

    /// One more unit attention that every new session is told first.
    #[must_use]
    pub fn unit_attention(mut self, code: u8, qualifier: u8) -> Self {
        self.unit_attentions.push((code, qualifier));
        self
    }

    /// So many commands find it NOT READY, becoming ready (04h/01h).
    #[must_use]
    pub fn becoming_ready(mut self, commands: u32) -> Self {
        self.becoming_ready = commands;
        self
    }

    /// Blocks that cannot be read or written.
    #[must_use]
    pub fn bad_blocks(mut self, blocks: Range<u64>) -> Self {
        self.bad_blocks.push(blocks);
        self
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> u64 {
        self.backing.length() / u64::from(self.block_size)
    }
}

impl fmt::Debug for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lun")
            .field("number", &self.number)
            .field("blocks", &self.blocks())
            .field("block_size", &self.block_size)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// The eight bytes of a LUN (SAM-5 §4.7): peripheral addressing below 256, flat above.
pub(super) fn encode_number(number: u16) -> [u8; 8] {
    let [high, low] = number.to_be_bytes();
    match number {
        0..256 => [0, low, 0, 0, 0, 0, 0, 0],
        _ => [0x40 | high, low, 0, 0, 0, 0, 0, 0],
    }
}

/// The number in eight bytes of a LUN, in either of the two forms.
pub(super) fn decode_number(lun: [u8; 8]) -> Option<u16> {
    match lun {
        [0, low, 0, 0, 0, 0, 0, 0] => Some(u16::from(low)),
        [high @ 0x40..0x80, low, 0, 0, 0, 0, 0, 0] => Some(u16::from_be_bytes([high & 0x3f, low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for number in [0, 1, 255, 256, 299, 16_383] {
            assert_eq!(decode_number(encode_number(number)), Some(number));
        }
        assert_eq!(encode_number(300), [0x41, 0x2c, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode_number([0x40, 3, 0, 0, 0, 0, 0, 0]), Some(3));
        assert_eq!(decode_number([1, 3, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(decode_number([0, 3, 0, 1, 0, 0, 0, 0]), None);
    }
}
